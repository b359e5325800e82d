"""The pool of connections, and which tier the server offers."""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from enum import StrEnum
from functools import partial
from typing import Self, TypeVar

import asyncpg
import msgspec
import structlog
from asyncpg.pool import PoolConnectionProxy

from cloud.store.migrate import migrate
from contract.errors import AnjuError, Retryable

log = structlog.get_logger()
# The pool logs a traceback for each connection it cannot make; whoever asked for it hears of it anyway.
logging.getLogger("asyncpg").setLevel(logging.CRITICAL)

Connection = asyncpg.Connection | PoolConnectionProxy
"""What every function of the store runs on: a connection, in a transaction of the caller's where it writes."""

CHANNEL = "anju"
_LOST = (asyncpg.PostgresConnectionError, asyncpg.InterfaceError, OSError, TimeoutError)
_BUSY = (
    asyncpg.SerializationError,
    asyncpg.DeadlockDetectedError,
    asyncpg.TooManyConnectionsError,
    asyncpg.CannotConnectNowError,
    asyncpg.AdminShutdownError,
    asyncpg.CrashShutdownError,
    asyncpg.InsufficientResourcesError,
    asyncpg.LockNotAvailableError,
    asyncpg.QueryCanceledError,
)
UNAVAILABLE = (*_LOST, *_BUSY)
"""Errors that say nothing about the data: the same may be tried again later."""


class Tier(StrEnum):
    """What the server offers (ARCHITECTURE.md, decision 7)."""

    COMMUNITY = "community"
    APACHE = "apache"
    PLAIN = "plain"


async def detect_tier(connection: asyncpg.Connection) -> Tier:
    """The tier of this server; installs TimescaleDB into the database where the server has it loaded."""
    offered = await connection.fetchval("SELECT count(*) FROM pg_available_extensions WHERE name = 'timescaledb'")
    if not offered:
        return Tier.PLAIN
    try:
        await connection.execute("CREATE EXTENSION IF NOT EXISTS timescaledb")
    except asyncpg.PostgresError as e:
        log.warning("TimescaleDB is installed but cannot be used; going on as plain PostgreSQL", problem=str(e))
        return Tier.PLAIN
    # The licence is a setting of the loaded library, so a session that just loaded it knows it too.
    licence = await connection.fetchval("SELECT current_setting('timescaledb.license', true)")
    return Tier.APACHE if licence == "apache" else Tier.COMMUNITY


async def _prepare(connection: asyncpg.Connection) -> None:
    await connection.set_type_codec(
        "jsonb",
        encoder=lambda value: b"\x01" + msgspec.json.encode(value),
        decoder=lambda data: msgspec.json.decode(data[1:]),
        schema="pg_catalog",
        format="binary",
    )


class Database:
    """A pool at a database of the present form. Use as `async with Database.open(url) as database`."""

    def __init__(self, pool: asyncpg.Pool, tier: Tier, url: str) -> None:
        self._pool = pool
        self._url = url
        self.tier = tier

    @classmethod
    @asynccontextmanager
    async def open(cls, url: str, connections: int = 10, *, wait_s: float = 0.0) -> AsyncIterator[Self]:
        """Connects, finds the tier, migrates, and closes at the end.

        Waits up to `wait_s` for a server that is starting. Raises AnjuError saying what is wrong and what to do.
        """
        connection = await _first_connection(url, wait_s)
        try:
            tier = await detect_tier(connection)
            applied = await migrate(connection, tier)
        finally:
            await connection.close()
        log.info("database ready", tier=tier, migrated=len(applied))
        async with asyncpg.create_pool(
            url, min_size=1, max_size=connections, init=_prepare, command_timeout=30, server_settings=_SETTINGS
        ) as pool:
            yield cls(pool, tier, url)

    @asynccontextmanager
    async def connect(self) -> AsyncIterator[Connection]:
        """A connection for reading. Raises Retryable when the database cannot be had."""
        try:
            async with self._pool.acquire(timeout=10) as connection:
                yield connection
        except UNAVAILABLE as e:
            if isinstance(e, ValueError):  # asyncpg's DataError: an argument of ours is wrong, which no retry mends
                raise
            raise Retryable(f"the database cannot be had: {_say(e)}", after_s=2) from e

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Connection]:
        """A connection in a transaction, committed when the block ends. Raises Retryable as connect does.

        A commit whose answer was lost is Retryable too: what runs in it must bear being run again.
        """
        async with self.connect() as connection, connection.transaction():
            yield connection

    async def wake(self, topics: Iterable[str]) -> None:
        """Tells every process that something changed in these topics. Call after the commit, never within it.

        Best effort: a page that misses a wake-up re-renders at the next one or at its next heartbeat.
        """
        distinct = sorted(set(topics))
        if not distinct:
            return
        try:
            async with self._pool.acquire(timeout=10) as connection:
                await connection.execute("SELECT pg_notify($1, $2)", CHANNEL, "\n".join(distinct))
        except UNAVAILABLE as e:
            log.warning("a wake-up was not sent", problem=str(e))

    async def listen(self, heard: Callable[[frozenset[str]], None]) -> None:
        """Calls `heard` with the topics of each wake-up, for ever, on a connection of its own.

        After a lost connection it calls `heard` with the empty set: anything may have changed.
        """
        first = True
        while True:
            try:
                connection = await asyncpg.connect(self._url, timeout=10, server_settings=_SETTINGS)
            except (*UNAVAILABLE, asyncpg.PostgresError) as e:
                log.warning("cannot listen for changes; trying again", problem=str(e))
                await asyncio.sleep(1)
                continue
            lost = asyncio.Event()
            connection.add_termination_listener(partial(_set, lost))
            try:
                await connection.add_listener(CHANNEL, lambda *args: heard(frozenset(str(args[3]).split("\n"))))
                if not first:
                    heard(frozenset())
                first = False
                await lost.wait()
                log.warning("lost the connection that listens for changes")
            except UNAVAILABLE:
                continue
            finally:
                connection.terminate()

    async def healthy(self) -> bool:
        """Whether the database answers now."""
        try:
            async with self.connect() as connection:
                return bool(await connection.fetchval("SELECT true"))
        except Retryable:
            return False


def storable(text: str, most: int) -> str:
    """Text from outside as PostgreSQL takes it: without NUL characters, and no longer than `most`."""
    return text.replace("\x00", "")[:most]


def _say(error: Exception) -> str:
    return str(error) or type(error).__name__


def _set(event: asyncio.Event, _: object) -> None:
    event.set()


_SETTINGS = {"application_name": "anju-cloud", "timezone": "UTC", "jit": "off"}


async def _first_connection(url: str, wait_s: float) -> asyncpg.Connection:
    loop = asyncio.get_running_loop()
    deadline = loop.time() + wait_s
    while True:
        try:
            return await asyncpg.connect(url, timeout=10)
        except (asyncpg.InvalidPasswordError, asyncpg.InvalidAuthorizationSpecificationError) as e:
            raise AnjuError(f"the database refuses the user or password in DATABASE_URL: {e}") from e
        except asyncpg.InvalidCatalogNameError as e:
            raise AnjuError(f"{e}: create it first (createdb), or correct DATABASE_URL") from e
        except (ValueError, asyncpg.ClientConfigurationError) as e:
            raise AnjuError(f"DATABASE_URL is not a PostgreSQL address: {e}") from e
        except UNAVAILABLE as e:
            if loop.time() >= deadline:
                raise AnjuError(f"no database answers at DATABASE_URL: {_say(e)}. Is it started?") from e
            await asyncio.sleep(0.5)


S = TypeVar("S", bound=msgspec.Struct)


def rows_as(model: type[S], rows: Iterable[asyncpg.Record]) -> list[S]:
    """Rows as structs of `model`, whose fields are named like the columns."""
    return [model(**dict(row)) for row in rows]
