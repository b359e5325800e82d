"""What a request of a block costs on the socket: the box's own client and session, TLS 1.3, every byte counted."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from secrets import token_urlsafe

from contract.columns import Row
from contract.kinds import Lane
from contract.session import BlocksReply
from edge.http.client import Client
from edge.uplink.session import Requests
from tests.support.blocks import Chain, clock, inventory
from tests.support.certificates import certificates
from tests.support.fake_cloud import FakeCloud

GATEWAY = "0194d5c0-7b1e-7c3a-9f00-5d2f6a8e1b42"


@dataclass(frozen=True)
class Wire:
    """Bytes around a block: up and down, the mean block, and once for connecting."""

    up: float
    down: float
    block: float
    handshake: int


class _Counter:
    """Bytes that went either way."""

    def __init__(self) -> None:
        self.up = self.down = 0


async def wire_bytes(folder: Path, blocks: Sequence[Sequence[Row]]) -> Wire:
    """Sends each block in a request of its own."""
    ca, cert, key = certificates(folder)
    serving = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    serving.load_cert_chain(cert, key)
    counter = _Counter()
    async with (
        FakeCloud() as cloud,
        _relay(int(cloud.url.rpartition(":")[2]), None, serving) as tls_port,
        _relay(tls_port, counter, None) as port,
        Client(f"https://127.0.0.1:{port}", trust=ssl.create_default_context(cafile=str(ca))) as http,
    ):
        requests = Requests(http, cloud.url)
        requests.token = token_urlsafe(32)
        cloud.enrol(GATEWAY, bytes(32))
        cloud.tokens[requests.token] = GATEWAY
        record = inventory()
        await _send(requests, Lane.URGENT, Chain(Lane.URGENT).urgent(record, clock(10**18)))
        handshake = counter.up + counter.down
        bulk = Chain(Lane.BULK, inventory_id=record.inventory_id)
        sealed = [bulk.bulk(rows) for rows in blocks]
        await _send(requests, Lane.BULK, sealed[0])
        up, down = counter.up, counter.down
        for block in sealed[1:]:
            await _send(requests, Lane.BULK, block)
        up, down = counter.up - up, counter.down - down
    n, size = len(sealed) - 1, sum(map(len, sealed[1:]))
    around = (up - size) / n, down / n
    return Wire(*around, size / n, round(handshake - sum(around)))


async def _send(requests: Requests, lane: Lane, block: bytes) -> None:
    reply = await requests.send(lane, [block])
    assert isinstance(reply, BlocksReply), reply


@asynccontextmanager
async def _relay(port: int, counter: _Counter | None, serving: ssl.SSLContext | None) -> AsyncIterator[int]:
    """A port whose connections go on to another; `serving` ends TLS here."""
    tasks: set[asyncio.Task[None]] = set()

    async def pipe(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, way: str) -> None:
        with suppress(OSError):
            while data := await reader.read(1 << 16):
                if counter is not None:
                    setattr(counter, way, getattr(counter, way) + len(data))
                writer.write(data)
                await writer.drain()
        writer.close()

    async def accepted(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, back = await asyncio.open_connection("127.0.0.1", port)
        for one in (pipe(reader, back, "up"), pipe(there, writer, "down")):
            tasks.add(asyncio.create_task(one))

    server = await asyncio.start_server(accepted, "127.0.0.1", 0, ssl=serving)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
