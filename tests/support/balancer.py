"""One address for several processes: a TCP forwarder that goes to any of them that answers, and can cut all off."""

import asyncio
import random
import socket
import struct
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress

from tests.support.cable import FINE

DIAL_S = 1.0
RESENT_S = 0.2
"""A lost packet is sent again after so long at least."""


class Balancer:
    """Passes each connection on to one of `ports` of this machine, in a random order of trying."""

    def __init__(self, ports: Sequence[int], seed: int) -> None:
        self._ports, self._dice = list(ports), random.Random(seed)
        self.weather = FINE
        """What happens on the way, where there is no cable that does it to packets."""
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
                    group.create_task(self._pass_on(reader, onward[1]))
                    group.create_task(self._pass_on(onward[0], writer))
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

    async def _pass_on(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            while data := await reader.read(1 << 16):
                if self.weather != FINE:
                    await self._suffer(len(data))
                writer.write(data)
                await writer.drain()
            if writer.can_write_eof():
                writer.write_eof()

    async def _suffer(self, size: int) -> None:
        """To a stream a lost packet is a late one, and one that comes twice or too early is nothing."""
        while self.weather.is_cut:  # noqa: ASYNC110  # whoever makes the weather tells nobody
            await asyncio.sleep(0.05)
        now = self.weather
        late_s = now.delay_s + self._dice.uniform(0, now.jitter_s) + (RESENT_S if self._dice.random() < now.loss else 0)
        await asyncio.sleep(late_s + (size * 8 / (now.kbit_s * 1000) if now.kbit_s else 0))
