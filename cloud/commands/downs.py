"""The down streams: where boxes listen for their orders, ten thousand of them a process.

An idle one costs what its socket does: no task, no timer, no statement, and nothing of the HTTP server's, which gives
up the connection once the answer has begun. All are looked after together: whose heartbeat is due, who was woken and
who is new share a transaction.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from heapq import heappop, heappush
from itertools import count
from math import isfinite
from uuid import UUID, uuid4

import msgspec
import structlog
from prometheus_client import Gauge
from starlette.requests import Request
from starlette.types import Receive, Scope, Send

from cloud.store import Database, commands
from cloud.store.commands import WaitingCommand
from cloud.store.gateways import Gateway
from contract.errors import Retryable
from contract.messages import Command
from contract.session import HEARTBEAT_S, MAX_BEAT_S, MIN_BEAT_S

log = structlog.get_logger()
Authenticate = Callable[[Request], Awaitable[Gateway]]
"""The box of a request's token. Raises what the caller maps to 401."""
_OPEN = Gauge("anju_down_streams", "Boxes that listen for orders")
MOST_TOGETHER = 500
_EARLY = 1 / 20
"""A heartbeat may come earlier by this part of its period, so that many share a look."""
TAKEOVER = "anju.takeover"
"""The extension of ASGI by which the server gives up a connection; `by` is a Takeover."""
Takeover = Callable[[asyncio.Protocol], asyncio.Transport]
_HEAD = (
    b"HTTP/1.1 200 OK\r\ncontent-type: application/x-ndjson\r\nx-accel-buffering: no\r\n"
    b"transfer-encoding: chunked\r\nconnection: close\r\n\r\n"
)
_HEARTBEAT = b"\n"
_MOST_UNREAD = 64 << 10


class _Down(asyncio.Protocol):
    """One box's open stream, and the protocol of its connection."""

    __slots__ = ("_downs", "_transport", "due_s", "gateway", "heartbeat_s", "id", "is_new", "is_open", "session")

    def __init__(self, downs: "Downs", gateway: Gateway, heartbeat_s: float) -> None:
        self.id = uuid4()
        self.gateway, self.session, self.heartbeat_s = gateway.id, gateway.session, heartbeat_s
        self.is_new = self.is_open = True
        self.due_s = 0.0
        self._downs = downs

    def begin(self, takeover: Takeover) -> bool:
        """Takes the connection over from the server, and answers; false where it is lost already."""
        self._transport = takeover(self)
        self.is_open = not self._transport.is_closing()
        if self.is_open:
            self._transport.write(_HEAD)
        return self.is_open

    def tell(self, said: bytes) -> None:
        """Writes to the stream. Whoever has not read 64 KB of heartbeats is gone: their stream is let go."""
        if not self.is_open:
            return
        self._transport.write(b"%x\r\n%b\r\n" % (len(said), said))
        if self._transport.get_write_buffer_size() > _MOST_UNREAD:
            self.is_open = False
            self._transport.abort()

    def end(self) -> None:
        """Ends the stream in order, once."""
        if self.is_open:
            self.is_open = False
            self._transport.write(b"0\r\n\r\n")
            self._transport.close()

    def connection_lost(self, _: Exception | None) -> None:
        """The box went away, or we let it go."""
        self.is_open = False
        self._downs.gone(self)


class Downs:
    """All down streams of this process: an ASGI application, and the task that looks after them.

    `heartbeat_s` is for boxes that ask for none; it is shorter in tests.
    """

    def __init__(self, database: Database, authenticate: Authenticate, heartbeat_s: float = HEARTBEAT_S) -> None:
        self._database, self._authenticate, self._heartbeat_s = database, authenticate, heartbeat_s
        self._open: dict[str, _Down] = {}
        """By gateway, as wake-ups name them."""
        self._at_once: dict[UUID, _Down] = {}
        self._due: list[tuple[float, int, _Down]] = []
        self._count = count()
        self._wake = asyncio.Event()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002  # ASGI's form
        """Begins to serve a box, until it goes, its session ends or it has a newer stream. Raises as `authenticate`."""
        request = Request(scope)
        period_s = self._period_s(request.query_params.get("heartbeat_s"))
        down = _Down(self, await self._authenticate(request), period_s)
        if not down.begin(scope["extensions"][TAKEOVER]["by"]):
            return  # it went away while it was asked who it is
        name = str(down.gateway)
        if (older := self._open.get(name)) is not None:
            older.end()
        self._open[name] = down
        _OPEN.set(len(self._open))
        self._look_soon([down])

    def gone(self, down: _Down) -> None:
        """A stream's connection is lost."""
        name = str(down.gateway)
        if self._open.get(name) is down:
            del self._open[name]
            _OPEN.set(len(self._open))

    def _period_s(self, asked: str | None) -> float:
        """How often a box wants to hear that we live, within what is good for both."""
        try:
            period_s = float(asked) if asked else self._heartbeat_s
        except ValueError:
            return self._heartbeat_s
        if not asked or not isfinite(period_s):
            return self._heartbeat_s
        return min(max(period_s, MIN_BEAT_S), MAX_BEAT_S)

    def _look_soon(self, downs: Iterable[_Down]) -> None:
        self._at_once.update((down.id, down) for down in downs)
        self._wake.set()

    def woken(self, topics: frozenset[str]) -> None:
        """Something changed in these topics; an empty set: anything may have."""
        if not topics:
            self._look_soon(self._open.values())
            return
        names = (topic.removeprefix("gateway:") for topic in topics if topic.startswith("gateway:"))
        if found := [self._open[name] for name in names if name in self._open]:
            self._look_soon(found)

    def close(self) -> None:
        """Ends all streams, so that the server can stop."""
        for down in list(self._open.values()):
            down.end()

    async def run(self) -> None:
        """Looks after the streams, for ever: orders go down, heartbeats go out, what has no session any more ends."""
        while True:
            downs = self._next()
            if downs:
                await self._look(downs)
            else:
                await self._until_due()

    async def _until_due(self) -> None:
        loop = asyncio.get_running_loop()
        alarm = loop.call_at(self._due[0][0], self._wake.set) if self._due else None
        await self._wake.wait()
        self._wake.clear()
        if alarm is not None:
            alarm.cancel()

    def _next(self) -> list[_Down]:
        """Who is looked at next: first who was woken or is new, then whose heartbeat is due."""
        found: dict[UUID, _Down] = {}
        while self._at_once and len(found) < MOST_TOGETHER:
            key, down = self._at_once.popitem()
            if down.is_open:
                found[key] = down
        now_s = asyncio.get_running_loop().time()
        while self._due and len(found) < MOST_TOGETHER:
            due_s, _, down = self._due[0]
            if due_s > now_s + down.heartbeat_s * _EARLY:
                break
            heappop(self._due)
            if down.is_open and down.due_s == due_s:  # else it was looked at meanwhile
                found[down.id] = down
        return list(found.values())

    async def _look(self, downs: list[_Down]) -> None:
        try:
            standing, waiting = await self._ask(downs)
        except Retryable as e:  # no box is cut off for it, and none has to wait for its heartbeat
            log.debug("cannot look for orders", problem=str(e))
            while more := self._next():
                downs += more
            standing, waiting = {down.id for down in downs}, []
        lines: dict[UUID, bytes] = {}
        for item in waiting:
            lines[item.down] = lines.get(item.down, b"") + _line(item)
        now_s = asyncio.get_running_loop().time()
        for down in downs:
            if down.id in standing:
                down.tell(lines.get(down.id, _HEARTBEAT))
                down.due_s = now_s + down.heartbeat_s
                heappush(self._due, (down.due_s, next(self._count), down))
            else:
                down.end()

    async def _ask(self, downs: list[_Down]) -> tuple[set[UUID], list[WaitingCommand]]:
        """Which of these streams go on, and what is to be told on them. Raises Retryable."""
        asked = [commands.Down(down.id, down.gateway, down.session, down.is_new) for down in downs]
        async with self._database.transaction() as connection:
            if new := [down for down in asked if down.is_new]:
                await commands.open_downs(connection, new)
            standing = await commands.standing_downs(connection, asked)
            waiting = await commands.take_waiting(connection, [down for down in asked if down.id in standing])
        for down in downs:
            down.is_new = False
        return standing, waiting


def _line(item: WaitingCommand) -> bytes:
    not_after_ns = int(item.not_after.timestamp() * 1e6) * 1000
    return msgspec.json.encode(Command(str(item.id), item.device, item.point, item.args, not_after_ns)) + b"\n"
