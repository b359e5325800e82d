"""The client: one server, a few connections that are kept, and a bound on everything that it can do to us."""

import asyncio
import ssl
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import asynccontextmanager
from types import TracebackType
from typing import Final, Protocol, Self

import h11

from edge.http.address import Address
from edge.http.dial import dial
from edge.http.proxy import HttpProxy, environment_proxy
from edge.http.wire import Wire, headers_of

MAX_CONNECTIONS: Final = 6
"""In use and kept: two streams of blocks, the down stream, beats, a renewal, and one to spare."""
KEEP_S: Final = 60.0
"""So long an unused connection is kept; routers on the way forget it sooner or later, and tell nobody."""
CONNECT_S: Final = 30.0
MAX_LINE: Final = 64 << 10
MAX_INTERIM: Final = 10
"""Interim answers (1xx) before the answer itself."""
CLOSE_S: Final = 0.5
LOOK_S: Final = 0.005
"""How often it is looked whether the other side has more of a body that goes at a pace."""
_REPEATABLE: Final = frozenset({"GET", "HEAD"})


class Pace(Protocol):
    """How a body goes that must not be in the way of others: in parts, with a bound on what is under way."""

    part_bytes: int
    window_bytes: int
    """So much may be under way at most, of the body alone."""

    async def let_through(self, size: int) -> None:
        """Returns when so many bytes may go."""

    def drained(self, size: int, took_s: float, rtt_s: float) -> None:
        """So much went through while the window was full, over a way of so long at least."""


class Traffic:
    """Bytes on the wire of all connections of a client, headers of IP and TCP counted in (see TcpCounts).

    What a connection carried after it was last looked at is missed where the other side ends it.
    """

    def __init__(self) -> None:
        self.sent_bytes = self.received_bytes = 0
        self._counted: dict[Wire, tuple[int, int]] = {}

    def look(self) -> None:
        """Counts what has come to it on the connections that are open."""
        for wire in list(self._counted):
            self.count(wire)

    def count(self, wire: Wire, *, is_last: bool = False) -> None:
        """Counts what has come to it on one connection."""
        counts = wire.counts()
        if counts is not None:
            sent, received = self._counted.get(wire, (0, 0))
            self.sent_bytes += counts.sent_bytes - sent
            self.received_bytes += counts.received_bytes - received
            self._counted[wire] = counts.sent_bytes, counts.received_bytes
        if is_last:
            self._counted.pop(wire, None)


class Client:
    """One server over a pool of connections: `async with client.request(…) as answer`.

    What is in the way is an OSError with a sentence: TimeoutError, ssl.SSLCertVerificationError, ConnectionError.
    """

    def __init__(
        self,
        url: str,
        *,
        trust: ssl.SSLContext | None = None,
        proxy: HttpProxy | None = None,
        keep_s: float = KEEP_S,
    ) -> None:
        """Trusts the system's authorities where `trust` names no others; without a proxy the environment may name one.

        Connections are kept unused for `keep_s`. Raises NotAnAddressError.
        """
        self.traffic = Traffic()
        self._keep_s = keep_s
        self._address = Address.parse(url)
        self._proxy = proxy or environment_proxy(self._address)
        self._trust = (trust or ssl.create_default_context()) if self._address.is_tls else None
        self._room = asyncio.Semaphore(MAX_CONNECTIONS)
        self._kept: list[tuple[Wire, asyncio.Task[None]]] = []

    @property
    def proxy(self) -> HttpProxy | None:
        """The proxy that all goes through, if there is one."""
        return self._proxy

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Lets go of the connections that are kept; the others end with their requests."""
        kept, self._kept = self._kept, []
        for wire, watch in kept:
            watch.cancel()
            self._drop(wire)
        if kept:
            await asyncio.wait([watch for _, watch in kept], timeout=CLOSE_S)

    @asynccontextmanager
    async def request(
        self,
        method: str,
        path: str,
        *,
        body: bytes = b"",
        headers: Mapping[str, str] | None = None,
        total_s: float | None,
        silence_s: float | None = None,
        is_repeatable: bool = False,
        pace: Pace | None = None,
    ) -> AsyncIterator["Answer"]:
        """Sends a request and gives the answer's head; the body is read within the context.

        All of it may take `total_s`, and each part of the answer `silence_s`. A kept connection that turns out to be
        gone before anything was answered is replaced once, where doing the request twice does no harm. A body goes at
        once, or at a `pace`. Raises ValueError for headers that are none.
        """
        async with _within(total_s, "no whole answer"), self._room:
            request = self._head(method, path, body, headers or {})
            wire = await self._kept_wire()
            try:
                if wire is not None:
                    try:
                        answer = await _ask(wire, request, body, silence_s, pace)
                    except TimeoutError:
                        raise
                    except OSError:
                        if wire.has_heard or not (is_repeatable or method in _REPEATABLE):
                            raise
                        self._drop(wire)
                        wire = None
                if wire is None:
                    async with _within(CONNECT_S, "no connection"):
                        wire = await dial(self._address, self._proxy, self._trust)
                    self.traffic.count(wire)
                    answer = await _ask(wire, request, body, silence_s, pace)
                yield answer
            finally:
                if wire is not None:
                    self._give_back(wire)

    def _head(self, method: str, path: str, body: bytes, headers: Mapping[str, str]) -> h11.Request:
        address, target = self._address, f"{self._address.path}{path}"
        all_headers = {
            "Host": address.authority,  # and nothing that nobody reads: on a metered link each byte is paid for
            **headers,
        }
        if body or method == "POST":
            all_headers["Content-Length"] = str(len(body))
        if self._proxy is not None and not address.is_tls:
            target = f"http://{address.authority}{target}"
            if self._proxy.authorization:
                all_headers["Proxy-Authorization"] = self._proxy.authorization
        try:
            return h11.Request(method=method, target=target, headers=list(all_headers.items()))
        except h11.LocalProtocolError as e:
            raise ValueError(f"this cannot be sent: {e}") from e

    # Connections that are kept

    async def _kept_wire(self) -> Wire | None:
        """A kept connection of which no end has been heard."""
        while self._kept:
            wire, watch = self._kept.pop()
            if not watch.done():
                watch.cancel()
                try:
                    await asyncio.wait([watch])
                except BaseException:
                    self._drop(wire)
                    raise
                if watch.cancelled():
                    wire.has_heard = False
                    return wire
            self._drop(wire)
        return None

    def _give_back(self, wire: Wire) -> None:
        """Keeps a connection whose answer was read to its end; lets go of any other."""
        engine = wire.engine
        if engine.our_state is not h11.DONE or engine.their_state is not h11.DONE or engine.trailing_data[0]:
            self._drop(wire)
            return
        self.traffic.count(wire)
        engine.start_next_cycle()
        self._kept.append((wire, asyncio.create_task(self._watch(wire), name="kept connection")))

    async def _watch(self, wire: Wire) -> None:
        """Whatever comes on a connection that nobody uses, its end or a late word, it is no good any more."""
        try:
            async with asyncio.timeout(self._keep_s):
                await wire.reader.read(1)
        except OSError:  # a TimeoutError is one
            pass
        self._kept = [(kept, watch) for kept, watch in self._kept if kept is not wire]
        self._drop(wire)

    def _drop(self, wire: Wire) -> None:
        self.traffic.count(wire, is_last=True)
        wire.abort()


class Answer:
    """A server's answer: its head, and its body as it comes."""

    def __init__(self, wire: Wire, head: h11.Response, silence_s: float | None) -> None:
        self._wire, self._silence_s = wire, silence_s
        self.status = head.status_code
        self.headers = headers_of(head)
        """By names in small letters."""
        self._is_whole = False

    async def read(self, limit: int) -> bytes:
        """The whole body. Raises ValueError above `limit` bytes, having read hardly more than that."""
        body = bytearray()
        while part := await self._part():
            body += part
            if len(body) > limit:
                raise ValueError(f"more than {limit} bytes")
        return bytes(body)

    async def lines(self) -> AsyncGenerator[bytes, None]:
        """The body's lines as they come, without their ends. Raises ValueError for one of more than MAX_LINE bytes."""
        rest = bytearray()
        while part := await self._part():
            rest += part
            *whole, rest = rest.split(b"\n") if b"\n" in part else (rest,)
            if any(len(line) > MAX_LINE for line in (*whole, rest)):
                raise ValueError(f"a line of more than {MAX_LINE} bytes")
            for line in whole:
                yield bytes(line)
        if rest:
            yield bytes(rest)

    async def _part(self) -> bytes:
        """More of the body; empty at its end."""
        while not self._is_whole:
            event = await _next(self._wire, self._silence_s)
            if isinstance(event, h11.Data) and event.data:
                return event.data
            self._is_whole = not isinstance(event, h11.Data)
        return b""


async def _ask(
    wire: Wire, request: h11.Request, body: bytes, silence_s: float | None, pace: Pace | None = None
) -> Answer:
    """Sends a request and waits for the head of its answer.

    It does not wait until the body has gone: a server that refuses one may answer without reading it.
    """
    if pace is None or not body:
        wire.send(request, h11.Data(body), h11.EndOfMessage())
        return await _head_of(wire, silence_s)
    sending = asyncio.create_task(_send_at(pace, wire, request, body), name="body")
    try:
        return await _head_of(wire, silence_s)
    finally:
        sending.cancel()
        await asyncio.wait([sending])


async def _send_at(pace: Pace, wire: Wire, request: h11.Request, body: bytes) -> None:
    """Sends a request with its body in parts, until it has gone or the connection has; its answer says which."""
    before, sent = wire.counts(), 0
    events: list[h11.Event] = [request]
    while sent < len(body):
        part = body[sent : sent + pace.part_bytes]
        await pace.let_through(len(part))
        if wire.writer.transport.is_closing():
            return
        sent += len(part)
        wire.send(*events, h11.Data(part), *([h11.EndOfMessage()] if sent == len(body) else []))
        events = []
        if before is not None and sent < len(body):
            await _until_within(pace, wire, sent + before.acked_bytes)


async def _until_within(pace: Pace, wire: Wire, sent: int) -> None:
    """Returns once no more is under way than the pace has for its window; `sent` counts as the kernel's acked bytes."""
    await asyncio.sleep(0)  # whoever writes to the socket gets to it
    clock = asyncio.get_running_loop().time
    began, first = clock(), wire.counts()
    now = first
    while now is not None and first is not None and sent - now.acked_bytes > pace.window_bytes:
        await asyncio.sleep(LOOK_S)
        now = wire.counts()
    if now is not None and first is not None and now.acked_bytes > first.acked_bytes:
        pace.drained(now.acked_bytes - first.acked_bytes, clock() - began, now.min_rtt_s)


async def _head_of(wire: Wire, silence_s: float | None) -> Answer:
    for _ in range(MAX_INTERIM):
        event = await _next(wire, silence_s)
        if isinstance(event, h11.Response):
            return Answer(wire, event, silence_s)
    raise ConnectionError("the server answers and answers, and never comes to its answer")


async def _next(wire: Wire, silence_s: float | None) -> object:
    """What comes next. Raises OSError with a sentence."""
    try:
        return await wire.next(silence_s)
    except TimeoutError as e:
        if e.errno is not None:  # the kernel's, see UNHEARD_MS: no time of ours has passed, and another try may do
            raise ConnectionError("the connection is dead: nothing of what was sent arrived") from e
        raise TimeoutError(f"not a word for {silence_s:g} s") from e
    except h11.RemoteProtocolError as e:
        if not wire.has_heard:
            raise ConnectionError("the connection was closed before there was an answer") from e
        raise ConnectionError(f"what answers does not speak HTTP as it should: {e}") from e


@asynccontextmanager
async def _within(seconds: float | None, what: str) -> AsyncIterator[None]:
    """Raises TimeoutError with words after so long."""
    try:
        async with asyncio.timeout(seconds) as limit:
            yield
    except TimeoutError as e:
        if limit.expired() and not str(e):
            raise TimeoutError(f"{what} within {seconds:g} s") from e
        raise
