"""One address for several processes: a TCP forwarder that goes to any of them that answers, and can cut all off."""

import asyncio
import random
import socket
import struct
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress

DIAL_S = 1.0


class Balancer:
    """Passes each connection on to one of `ports` of this machine, in a random order of trying."""

    def __init__(self, ports: Sequence[int], seed: int) -> None:
        self._ports, self._dice = list(ports), random.Random(seed)
        self._writers: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[None]] = set()

    @classmethod
    @asynccontextmanager
    async def listening(cls, host: str, port: int, ports: Sequence[int], seed: int) -> AsyncIterator["Balancer"]:
        """Listens while open."""
        made = cls(ports, seed)
        server = await asyncio.start_server(made._take, host, port)
        try:
            yield made
        finally:
            server.close()
            made.reset()
            await asyncio.gather(*made._tasks, return_exceptions=True)

    def reset(self) -> None:
        """Every connection ends at once, as by a router that has forgotten it."""
        for writer in self._writers:
            sock = writer.get_extra_info("socket")
            with suppress(OSError):
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            writer.transport.abort()

    async def _take(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        self._writers.add(writer)
        try:
            onward = await self._dial()
            if onward is None:
                return
            self._writers.add(onward[1])
            try:
                async with asyncio.TaskGroup() as group:
                    group.create_task(_pass_on(reader, onward[1]))
                    group.create_task(_pass_on(onward[0], writer))
            finally:
                self._writers.discard(onward[1])
                onward[1].transport.abort()
        finally:
            self._writers.discard(writer)
            writer.transport.abort()

    async def _dial(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter] | None:
        for port in self._dice.sample(self._ports, len(self._ports)):
            with suppress(OSError, TimeoutError):
                async with asyncio.timeout(DIAL_S):
                    return await asyncio.open_connection("127.0.0.1", port)
        return None


async def _pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(OSError):
        while data := await reader.read(1 << 16):
            writer.write(data)
            await writer.drain()
        if writer.can_write_eof():
            writer.write_eof()
