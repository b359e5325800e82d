"""The wire between a box and its broker, as a door for TCP connections: it can be cut, shut and opened again."""

import asyncio
from contextlib import suppress
from typing import Self

_CHUNK = 64 * 1024


class Gate:
    """Passes each connection to `host`:`port` on to a port of 127.0.0.1. An async context manager: open while open."""

    def __init__(self, host: str, port: int, to: int) -> None:
        """A port of 0 becomes a free one when it opens."""
        self.host, self.port, self._to = host, port, to
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Self:
        await self.open()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.shut()

    async def open(self) -> None:
        """Takes connections. Harmless when it does so already. Raises OSError where the port is not to be had."""
        if self._server is None:
            self._server = await asyncio.start_server(self._pass_on, self.host, self.port)
            self.port = self._server.sockets[0].getsockname()[1]

    async def shut(self) -> None:
        """Breaks all connections and takes no more."""
        server, self._server = self._server, None
        if server is not None:
            server.close()
        self.cut()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if server is not None:
            await server.wait_closed()

    def cut(self) -> None:
        """Breaks all connections."""
        for task in self._tasks:
            task.cancel()

    async def _pass_on(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        behind: asyncio.StreamWriter | None = None
        try:
            answers, behind = await asyncio.open_connection("127.0.0.1", self._to)
            async with asyncio.TaskGroup() as both:
                both.create_task(_copy(reader, behind))
                both.create_task(_copy(answers, writer))
        except (asyncio.CancelledError, OSError, ExceptionGroup):
            pass  # cut, or an end that went: both ends go
        finally:
            self._tasks.discard(task)
            for end in (writer, behind):
                if end is not None:
                    end.transport.abort()


async def _copy(source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
    """Copies until the source ends, which ends the connection."""
    while data := await source.read(_CHUNK):
        target.write(data)
        await target.drain()
    with suppress(OSError):
        target.write_eof()
    raise ConnectionResetError("the other end closed it")
