"""NOTIFY and LISTEN: how a process that committed tells all processes that something changed."""

import asyncio
from collections.abc import Callable, Iterable, Iterator
from functools import partial

import asyncpg
import structlog

from cloud.store.errors import UNAVAILABLE, say
from cloud.store.sql import load_queries

log = structlog.get_logger()
_SQL = load_queries("wakeups")
CHANNEL = "anju"
ANYTHING = frozenset[str]()
"""The topics of a wake-up that does not say what changed."""
CHECK_EVERY_S = 5.0
"""How often a listener makes sure that its connection lives, and that it missed no alarm."""
_PAYLOAD_BYTES = 7_500
_MOST_PAYLOADS = 8
_AGAIN_S = 1.0


def payloads(topics: Iterable[str]) -> Iterator[str]:
    """Topics as NOTIFY takes them, below its 8,000 bytes; an empty one ("anything") where they are too many."""
    packed, size = [[]], 0  # type: list[list[str]], int
    for topic in sorted(set(topics)):
        size += len(topic.encode()) + 1
        if size > _PAYLOAD_BYTES:
            packed.append([])
            size = len(topic.encode()) + 1
        packed[-1].append(topic)
    if len(packed) > _MOST_PAYLOADS:
        yield ""
    elif packed[0]:
        yield from ("\n".join(part) for part in packed)


async def wake(pool: asyncpg.Pool, topics: Iterable[str]) -> None:
    """Tells every process. Call after the commit; it never raises, since what was committed stands.

    A wake-up that is lost is made up by the listeners' check.
    """
    try:
        async with pool.acquire(timeout=5) as connection:
            for payload in payloads(topics):
                await connection.execute(_SQL["notify"], CHANNEL, payload)
    except (*UNAVAILABLE, asyncpg.PostgresError, asyncpg.InterfaceError) as e:
        log.warning("a wake-up was not sent", problem=say(e))


class Listener:
    """Hears the wake-ups on a connection of its own. `alive` is told when it begins and ceases to hear."""

    def __init__(
        self, url: str, settings: dict[str, str], heard: Callable[[frozenset[str]], None], alive: Callable[[bool], None]
    ) -> None:
        self._url = url
        self._settings = settings
        self._heard = heard
        self._alive = alive
        self._checked: asyncpg.Record | None = None

    async def run(self) -> None:
        """Listens for ever; after a lost connection anything may have changed."""
        while True:
            try:
                await self._listen()
            except (*UNAVAILABLE, asyncpg.PostgresError) as e:
                self._alive(False)
                log.warning("cannot hear of changes; trying again", problem=say(e))
                await asyncio.sleep(_AGAIN_S)

    async def _listen(self) -> None:
        connection = await asyncpg.connect(
            self._url, timeout=5, command_timeout=CHECK_EVERY_S, server_settings=self._settings
        )
        lost = asyncio.Event()
        connection.add_termination_listener(partial(_set, lost))
        try:
            await connection.add_listener(CHANNEL, self._notified)
            self._alive(True)
            self._heard(ANYTHING)
            while True:
                self._compare(await connection.fetchrow(_SQL["check"]))
                try:
                    async with asyncio.timeout(CHECK_EVERY_S):
                        await lost.wait()
                    raise ConnectionError("the server closed the connection")
                except TimeoutError:
                    continue
        finally:
            connection.terminate()

    def _compare(self, now: asyncpg.Record | None) -> None:
        """Wakes what nobody may have woken: an alarm whose wake-up was lost, a box that fell silent."""
        if self._checked is not None and now is not None:
            if now["transition"] != self._checked["transition"]:
                self._heard(frozenset({"alarms"}))
            if now["silent"] != self._checked["silent"]:
                self._heard(ANYTHING)  # nothing behind such a box is known any more
        self._checked = now

    def _notified(self, *arguments: object) -> None:
        payload = str(arguments[3])
        self._heard(frozenset(payload.split("\n")) if payload else ANYTHING)


def _set(event: asyncio.Event, _: object) -> None:
    event.set()
