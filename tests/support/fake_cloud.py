"""A cloud in memory that follows the uplink's rules to the letter, and can be told to misbehave.

async with FakeCloud() as cloud:
    cloud.enrol("gw-1", public_key)
    ... cloud.url ... cloud.gateways["gw-1"].urgent.items
"""

import asyncio
import contextlib
import inspect
import secrets
import socket
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Self

import msgspec
from aiohttp import web
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from contract.block import decode_block
from contract.errors import BlockError
from contract.kinds import Lane
from contract.messages import Command
from contract.records import ClockRecord, InventoryRecord, LossReceipt
from contract.session import (
    BEAT_PATH,
    CHALLENGE_PATH,
    DOWN_PATH,
    ENROL_PATH,
    MAX_REQUEST_BYTES,
    SESSION_PATH,
    Beat,
    BeatReply,
    BlocksReply,
    ChallengeReply,
    ChallengeRequest,
    EnrolReply,
    EnrolRequest,
    GatewayReport,
    Refusal,
    RefusalReason,
    SessionReply,
    SessionRequest,
    blocks_path,
    iter_blocks,
    signed_text,
)
from tests.support.reference_stream import ReferenceStream, Refused


@dataclass
class FakeGateway:
    """What the cloud keeps of one box."""

    public_key: bytes
    urgent: ReferenceStream = field(default_factory=lambda: ReferenceStream(Lane.URGENT))
    bulk: ReferenceStream = field(default_factory=lambda: ReferenceStream(Lane.BULK))
    inventories: set[int] = field(default_factory=set)
    clocks: dict[bytes, ClockRecord] = field(default_factory=dict)
    commands: asyncio.Queue[Command | bytes | None] = field(default_factory=asyncio.Queue)
    refusals: list[str] = field(default_factory=list)
    beats: list[Beat] = field(default_factory=list)
    orders: list[Lane] = field(default_factory=list)
    """The stream of each request, in the order they came."""

    def stream(self, lane: Lane) -> ReferenceStream:
        return self.urgent if lane is Lane.URGENT else self.bulk


class FakeCloud:
    """An aiohttp server on a free port of this machine; what it shall do wrong next is in `faults`.

    A fault is called once, with the request, before a blocks request is read, and answers it, at once or
    as a coroutine (or raises, or answers None: then the request is served).
    """

    def __init__(
        self, *, expires_s: float = 900.0, heartbeat_s: float = 0.2, sock: socket.socket | None = None
    ) -> None:
        """Listens on `sock` where it is given, which may be of another place (tests/support/cable.py)."""
        self.gateways: dict[str, FakeGateway] = {}
        self.claims: dict[str, str | int] = {}
        """Claim code to gateway id, or to the status that refuses it."""
        self.faults: deque[Callable[[web.Request], Any]] = deque()
        self.takes_no_beat = False
        self.refused_reports: list[GatewayReport] | None = None
        """Where it is a list, beats with a report are answered 400, and the report is here."""
        self.cut_after_commit = 0
        """So many requests are committed, and their connection is cut before the answer."""
        self.expires_s, self.heartbeat_s = expires_s, heartbeat_s
        self.utc_ns: Callable[[], int] = time.time_ns
        self.sessions = 0
        self.public_url = ""
        self._nonces: dict[bytes, str] = {}
        self.tokens: dict[str, str] = {}
        self._changed = asyncio.Condition()
        self._runner: web.AppRunner | None = None
        self._sock, self._host, self._port = sock, "127.0.0.1", 0

    def enrol(self, gateway: str, public_key: bytes) -> FakeGateway:
        self.gateways[gateway] = FakeGateway(public_key)
        return self.gateways[gateway]

    @property
    def url(self) -> str:
        return f"http://{self._host}:{self._port}"

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    async def start(self) -> None:
        """Listens; after a stop on the same port as before."""
        app = web.Application(client_max_size=MAX_REQUEST_BYTES)
        app.router.add_post(ENROL_PATH, self._enrol)
        app.router.add_post(CHALLENGE_PATH, self._challenge)
        app.router.add_post(SESSION_PATH, self._session)
        app.router.add_get(DOWN_PATH, self._down)
        app.router.add_post(BEAT_PATH, self._beat)
        for lane in Lane:
            app.router.add_post(blocks_path(lane), self._blocks)
        self._runner = web.AppRunner(app, shutdown_timeout=0.1)
        await self._runner.setup()
        if self._sock is not None:
            await web.SockSite(self._runner, self._sock).start()
        else:
            await web.TCPSite(self._runner, self._host, self._port).start()
        self._host, self._port = self._runner.addresses[0][:2]
        self.public_url = self.public_url or self.url

    async def stop(self) -> None:
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None

    async def until(self, condition: Callable[[], bool], timeout_s: float = 10.0) -> None:
        """Returns when the condition holds; it is looked at after each request and each heartbeat."""
        async with asyncio.timeout(timeout_s), self._changed:
            await self._changed.wait_for(condition)

    async def _tell(self) -> None:
        async with self._changed:
            self._changed.notify_all()

    async def _enrol(self, request: web.Request) -> web.Response:
        asked = msgspec.json.decode(await request.read(), type=EnrolRequest)
        gateway = self.claims.get(asked.claim, 404)
        if gateway == 403:
            return web.json_response({"status": 403, "detail": "this claim is not known"}, status=403)
        if isinstance(gateway, int):
            return web.Response(status=gateway)
        known = self.gateways.get(gateway)
        if known is not None and known.public_key != asked.public_key:
            return web.Response(status=409)
        if known is None:
            self.enrol(gateway, asked.public_key)
        return _json(EnrolReply(gateway, "Test estate"))

    async def _challenge(self, request: web.Request) -> web.Response:
        asked = msgspec.json.decode(await request.read(), type=ChallengeRequest)
        if asked.gateway not in self.gateways:
            return web.Response(status=404)
        nonce = secrets.token_bytes(32)
        self._nonces[nonce] = asked.gateway
        return _json(ChallengeReply(nonce))

    async def _session(self, request: web.Request) -> web.Response:
        asked = msgspec.json.decode(await request.read(), type=SessionRequest)
        if self._nonces.pop(asked.nonce, None) != asked.gateway:
            return web.Response(status=401)
        gateway = self.gateways[asked.gateway]
        try:
            Ed25519PublicKey.from_public_bytes(gateway.public_key).verify(
                asked.signature, signed_text(asked.gateway, asked.nonce, self.public_url)
            )
        except InvalidSignature:
            return web.Response(status=401)
        token = secrets.token_urlsafe()
        self.tokens[token] = asked.gateway
        self.sessions += 1
        reply = SessionReply(token, self.expires_s, self.utc_ns(), gateway.urgent.cursor, gateway.bulk.cursor)
        await self._tell()
        return _json(reply)

    def _authorised(self, request: web.Request) -> FakeGateway | None:
        token = request.headers.get("Authorization", "").removeprefix("Bearer ")
        return self.gateways.get(self.tokens.get(token, ""))

    async def _blocks(self, request: web.Request) -> web.StreamResponse:
        lane = Lane(request.path.rpartition("/")[2])
        if self.faults:
            fault = self.faults.popleft()(request)
            if inspect.isawaitable(fault):
                fault = await fault
            if fault is not None:
                return fault
        gateway = self._authorised(request)
        if gateway is None:
            return web.Response(status=401)
        gateway.orders.append(lane)
        try:
            blocks = list(iter_blocks(await request.read()))
            answer = self._take(gateway, lane, blocks)
        except BlockError:
            return web.Response(status=400)
        await self._tell()
        if self.cut_after_commit:
            self.cut_after_commit -= 1
            assert request.transport is not None
            request.transport.abort()
        return answer

    def _take(self, gateway: FakeGateway, lane: Lane, blocks: list[bytes]) -> web.Response:
        """Commits block after block up to the first that is refused; that one is answered when it is the first."""
        stream = gateway.stream(lane)
        for index, data in enumerate(blocks):
            known = len(stream.items)
            refusal = self._refusal(gateway, stream, data)
            if refusal is not None and index:
                break
            if refusal is not None:
                gateway.refusals.append(refusal.reason)
                return _json(refusal, status=409)
            if lane is Lane.URGENT:
                for record in stream.items[known:]:
                    self._note(gateway, record)
        return _json(BlocksReply(stream.cursor))

    def _refusal(self, gateway: FakeGateway, stream: ReferenceStream, data: bytes) -> Refusal | None:
        header = decode_block(data).header
        if stream.stream is Lane.BULK and header.inventory not in gateway.inventories:
            return Refusal(RefusalReason.INVENTORY, stream.cursor, header.inventory)
        if stream.stream is Lane.BULK and header.boot not in gateway.clocks:
            return Refusal(RefusalReason.CLOCK, stream.cursor)
        try:
            stream.take(data)
        except Refused as refused:
            return Refusal(str(refused), stream.cursor)
        return None

    def _note(self, gateway: FakeGateway, record: object) -> None:
        if isinstance(record, InventoryRecord):
            gateway.inventories.add(record.inventory_id)
        elif isinstance(record, ClockRecord):
            gateway.clocks[record.boot] = record
        elif isinstance(record, LossReceipt):
            gateway.stream(record.stream).pass_over(record)

    async def _beat(self, request: web.Request) -> web.Response:
        gateway = self._authorised(request)
        if gateway is None:
            return web.Response(status=401)
        if self.takes_no_beat:
            return web.Response(status=503)
        beat = msgspec.json.decode(await request.read(), type=Beat)
        if beat.report is not None and self.refused_reports is not None:
            self.refused_reports.append(beat.report)
            return web.Response(status=400)
        gateway.beats.append(beat)
        return web.Response(body=msgspec.json.encode(BeatReply()), content_type="application/json")

    async def _down(self, request: web.Request) -> web.StreamResponse:
        gateway = self._authorised(request)
        if gateway is None:
            return web.Response(status=401)
        response = web.StreamResponse(headers={"Content-Type": "application/x-ndjson"})
        await response.prepare(request)
        with contextlib.suppress(ConnectionResetError):  # the box hung up
            while True:
                try:
                    async with asyncio.timeout(self.heartbeat_s):
                        command = await gateway.commands.get()
                except TimeoutError:
                    await response.write(b"\n")
                    await self._tell()
                    continue
                if command is None:
                    break
                await response.write((command if isinstance(command, bytes) else msgspec.json.encode(command)) + b"\n")
        return response


def _json(body: msgspec.Struct, status: int = 200) -> web.Response:
    return web.Response(body=msgspec.json.encode(body), status=status, content_type="application/json")
