"""The server of the box's own pages: for few people on a local network where anybody may try anything."""

import asyncio
from collections import Counter
from collections.abc import Mapping
from contextlib import suppress
from typing import Final

import h11
import structlog

from edge.http.messages import Answered, Request, Response, reason
from edge.http.router import Router, Routes, path_of
from edge.http.wire import MAX_HEAD, Wire

log = structlog.get_logger(__name__)

MAX_CONNECTIONS: Final = 64
"""When one more comes, the oldest that waits for what its other side sends goes: an answer takes milliseconds. It is
one of the address that has most: nobody alone keeps the others out."""
HEAD_S: Final = 15.0
"""So long a connection has for the head of its next request, whether it is idle or slow."""
WRITE_S: Final = 10.0
"""So long an answer may take to go."""
LINGER_S: Final = 1.0
LINGER_BYTES: Final = 1 << 20
"""What is still sent to us after we answered is thrown away for so long, or the answer would be lost with it."""
CLOSE_S: Final = 0.5
"""So long answers may still take when the server is closed."""


class Server:
    """Serves routes over HTTP/1.1, each answer with `headers`. Listen, and close at the end."""

    def __init__(
        self, routes: Routes, headers: Mapping[str, str] | None = None, *, max_connections: int = MAX_CONNECTIONS
    ) -> None:
        self._router, self._headers, self._max = Router(routes), tuple((headers or {}).items()), max_connections
        self._server: asyncio.Server | None = None
        self._connections: dict[asyncio.Task[None], _Connection] = {}
        """The oldest first."""
        self._is_closing = False

    @property
    def port(self) -> int:
        """The port that is listened at; 0 while there is none."""
        return int(self._server.sockets[0].getsockname()[1]) if self._server and self._server.sockets else 0

    async def listen(self, host: str, port: int) -> None:
        """Takes connections from now on. Raises OSError or UnicodeError for an address that cannot be had."""
        self._is_closing = False
        self._server = await asyncio.start_server(self._connected, host, port, limit=MAX_HEAD, backlog=self._max)

    async def close(self) -> None:
        """Takes no more connections, lets answers that are under way go, and ends."""
        self._is_closing = True
        if self._server is not None:
            self._server.close()
        for task, connection in self._connections.items():
            if not connection.is_answering:
                task.cancel()
            connection.is_last = True
        if tasks := set(self._connections):
            _, late = await asyncio.wait(tasks, timeout=CLOSE_S)
            for task in late:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        if self._server is not None:
            await self._server.wait_closed()
        self._server = None

    def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        wire = Wire(h11.SERVER, reader, writer)
        if self._is_closing:  # it was on its way in when the door was closed
            wire.abort()
            return
        if not self._make_room():
            wire.send(
                h11.Response(status_code=503, reason=reason(503), headers=list(self._headers)), h11.EndOfMessage()
            )
            writer.close()
            return
        connection = _Connection(wire, self._router, self._headers)
        task = asyncio.get_running_loop().create_task(connection.run(), name="http connection")
        self._connections[task] = connection

        def ended(_: asyncio.Task[None]) -> None:  # also for one that was cancelled before its first step
            self._connections.pop(task, None)
            wire.abort()

        task.add_done_callback(ended)

    def _make_room(self) -> bool:
        if len(self._connections) < self._max:
            return True
        waiting = {task: c.remote for task, c in self._connections.items() if not c.is_answering or c.is_listening}
        if not waiting:
            return False
        held = Counter(connection.remote for connection in self._connections.values())
        task = max(waiting, key=lambda task: held[waiting[task]])  # the oldest of those
        task.cancel()
        del self._connections[task]
        return True


class _Connection:
    """One connection: request after request, each answered before the next is looked at."""

    def __init__(self, wire: Wire, router: Router, headers: tuple[tuple[str, str], ...]) -> None:
        self._wire, self._router, self._headers = wire, router, headers
        wire.writer.transport.set_write_buffer_limits(high=0)  # to drain is to have given all to the kernel
        self.remote = wire.remote
        self.is_answering = False
        self.is_last = False
        """No further request will be taken."""

    @property
    def is_listening(self) -> bool:
        """Whether the other side has still to send something, be it the rest of what is being answered."""
        return self._wire.is_listening

    async def run(self) -> None:
        """Serves until either side has enough."""
        with suppress(OSError):  # it went away, or was too slow to read what it asked for
            while await self._serve_one():
                pass
            await self._linger()

    async def _serve_one(self) -> bool:
        """Answers one request. False when there will be no other on this connection."""
        wire, engine = self._wire, self._wire.engine
        try:
            async with asyncio.timeout(HEAD_S):
                head = await wire.next()
        except TimeoutError:
            if engine.trailing_data[0]:  # the start of a request
                await self._send(Response.bare(408), is_head=False)
            return False
        except h11.RemoteProtocolError as e:
            if engine.our_state in {h11.IDLE, h11.SEND_RESPONSE}:
                await self._send(Response.bare(e.error_status_hint), is_head=False)
            return False
        if not isinstance(head, h11.Request):
            return False
        self.is_answering = True
        await self._send(await self._answer(head), is_head=head.method == b"HEAD")
        self.is_answering = False
        if engine.our_state is not h11.DONE or engine.their_state is not h11.DONE or self.is_last:
            return False
        engine.start_next_cycle()
        await asyncio.sleep(0)  # who sends many requests at once does not hold up the box
        return True

    async def _answer(self, head: h11.Request) -> Response:
        try:
            path = path_of(head.target)
            handler, values = self._router.find(head.method.decode("ascii"), path)
            return await handler(Request(head, self._wire, path, values))
        except Answered as answered:
            return answered.response
        except OSError:  # the connection's own: who asked is gone
            raise
        except Exception:  # the outermost loop of a connection's task: a page that fails takes nothing else down
            log.exception("a page could not be made", path=head.target.decode("latin-1")[:200])
            return Response.bare(500)

    async def _send(self, response: Response, *, is_head: bool) -> None:
        """Sends an answer. Raises OSError; TimeoutError for who reads too slowly."""
        await self._skip_empty_body()
        is_last = self.is_last or self._wire.engine.their_state is not h11.DONE
        headers = [*self._headers, *response.headers, ("Content-Length", str(len(response.body)))]
        if response.body:
            headers.append(("Content-Type", response.content_type))
        if is_last:
            headers.append(("Connection", "close"))
        self._wire.send(h11.Response(status_code=response.status, reason=reason(response.status), headers=headers))
        if response.body and not is_head:
            self._wire.send(h11.Data(response.body))
        self._wire.send(h11.EndOfMessage())
        async with asyncio.timeout(WRITE_S):
            await self._wire.writer.drain()

    async def _skip_empty_body(self) -> None:
        """Takes the end of a request that has no body, without waiting for anything."""
        engine = self._wire.engine
        if engine.their_state is h11.SEND_BODY and not engine.they_are_waiting_for_100_continue:
            with suppress(h11.RemoteProtocolError):
                engine.next_event()

    async def _linger(self) -> None:
        """Sees to it that the last answer arrives: what is sent to us meanwhile would break the connection."""
        reader, writer = self._wire.reader, self._wire.writer
        with suppress(TimeoutError):
            async with asyncio.timeout(LINGER_S):
                if writer.can_write_eof():
                    writer.write_eof()
                left = LINGER_BYTES
                while left > 0 and (part := await reader.read(MAX_HEAD)):
                    left -= len(part)
