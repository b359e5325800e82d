"""The pool of connections, and which tier the server offers."""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager, suppress
from enum import StrEnum
from typing import Self, TypeVar

import asyncpg
import msgspec
import structlog
from asyncpg.pool import PoolConnectionProxy

from cloud.store import wakeups
from cloud.store.errors import REFUSALS, UNAVAILABLE, UnkeepableError, say
from cloud.store.migrate import migrate
from contract.errors import AnjuError, Retryable

log = structlog.get_logger()
# The pool logs a traceback for each connection it cannot make; whoever asked for it hears of it anyway.
logging.getLogger("asyncpg").setLevel(logging.CRITICAL)

Connection = asyncpg.Connection | PoolConnectionProxy
"""What every function of the store runs on: a connection, in a transaction of the caller's where it writes."""

ACQUIRE_S = 3.0
COMMAND_S = 15.0
"""A guard who waits longer believes the page is broken; a box tries again."""
_CLOSE_S = 5.0
_SAY_EVERY_S = 5.0


class Tier(StrEnum):
    """What the server offers (ARCHITECTURE.md, decision 7)."""

    COMMUNITY = "community"
    APACHE = "apache"
    PLAIN = "plain"


async def detect_tier(connection: asyncpg.Connection) -> Tier:
    """The tier of this server; installs TimescaleDB into the database where the server has it loaded.

    A server that has it installed but not loaded ends the connection that asks for it.
    """
    offered = await connection.fetchval("SELECT count(*) FROM pg_available_extensions WHERE name = 'timescaledb'")
    if not offered:
        return Tier.PLAIN
    try:
        await connection.execute("CREATE EXTENSION IF NOT EXISTS timescaledb")
    except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError) as e:
        log.warning("TimescaleDB is installed but cannot be used; going on as plain PostgreSQL", problem=say(e))
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


async def _leave(_: asyncpg.Connection) -> None:
    """A connection goes back to the pool as it is: nothing of the store sets, locks or listens to anything beyond its
    transaction. What asyncpg would say to the server instead is a journey of its own, for each statement.
    """


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
            if connection.is_closed():
                connection = await _first_connection(url, wait_s)
            applied = await migrate(connection, tier)
        finally:
            await connection.close()
        log.info("database ready", tier=tier, migrated=len(applied))
        pool = await asyncpg.create_pool(
            url, min_size=1, max_size=connections, init=_prepare, reset=_leave, command_timeout=COMMAND_S,
            server_settings=SETTINGS,
        )  # fmt: skip
        try:
            yield cls(pool, tier, url)
        finally:
            try:
                async with asyncio.timeout(_CLOSE_S):
                    await pool.close()
            except TimeoutError:  # a server that hangs; what was not committed is not acknowledged either
                pool.terminate()

    @asynccontextmanager
    async def connect(self) -> AsyncIterator[Connection]:
        """A connection for reading. Raises Retryable when the database cannot be had."""
        try:
            connection = await self._pool.acquire(timeout=ACQUIRE_S)
        except (*UNAVAILABLE, asyncpg.InterfaceError) as e:
            raise Retryable(f"the database cannot be had: {say(e)}", after_s=2) from e
        try:
            yield connection
        except UNAVAILABLE as e:
            raise Retryable(f"the database was lost: {say(e)}", after_s=2) from e
        except asyncpg.InterfaceError as e:
            if _is_gone(connection):
                raise Retryable(f"the database was lost: {say(e)}", after_s=2) from e
            raise
        finally:
            with suppress(*UNAVAILABLE, asyncpg.InterfaceError):
                await self._pool.release(connection, timeout=ACQUIRE_S)

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Connection]:
        """A connection in a transaction, committed when the block ends. Raises Retryable as connect does.

        A commit whose answer was lost is Retryable too: what runs in it must bear being run again.
        """
        async with self.connect() as connection, connection.transaction():
            yield connection

    @asynccontextmanager
    async def storing(self) -> AsyncIterator[Connection]:
        """A transaction over data from outside. Raises UnkeepableError where the database refuses them for good."""
        try:
            async with self.transaction() as connection:
                yield connection
        except REFUSALS as e:
            raise UnkeepableError(say(e)) from e

    async def wake(self, topics: Iterable[str]) -> None:
        """Tells every process that something changed in these topics. Call after the commit, never within it."""
        await wakeups.wake(self._pool, topics)

    async def listen(self, heard: Callable[[frozenset[str]], None], alive: Callable[[bool], None]) -> None:
        """Calls `heard` with the topics of each wake-up, for ever; with none where anything may have changed.

        `alive` is told whether wake-ups are heard at all.
        """
        await wakeups.Listener(self._url, SETTINGS, heard, alive).run()

    async def healthy(self) -> bool:
        """Whether the database answers now."""
        try:
            async with asyncio.timeout(ACQUIRE_S), self.connect() as connection:
                return bool(await connection.fetchval("SELECT true"))
        except (Retryable, TimeoutError):
            return False


def _is_gone(connection: Connection) -> bool:
    """Whether the server closed it; the pool takes such a connection back, and its holder may not even ask then."""
    try:
        return connection.is_closed()
    except asyncpg.InterfaceError:
        return True


SETTINGS = {
    "application_name": "anju-cloud",
    "timezone": "UTC",
    "jit": "off",
    "lock_timeout": "10s",
    # A process that froze or was cut off must not keep a box's cursor locked until TCP gives up.
    "idle_in_transaction_session_timeout": "30s",
    "tcp_keepalives_idle": "10",
    "tcp_keepalives_interval": "5",
    "tcp_keepalives_count": "3",
}


async def _first_connection(url: str, wait_s: float) -> asyncpg.Connection:
    loop = asyncio.get_running_loop()
    deadline = loop.time() + wait_s
    say_at = loop.time()
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
                raise AnjuError(f"no database answers at DATABASE_URL: {say(e)}. Is it started?") from e
            if loop.time() >= say_at:
                log.warning("waiting for the database", problem=say(e), left_s=round(deadline - loop.time()))
                say_at = loop.time() + _SAY_EVERY_S
            await asyncio.sleep(0.5)


S = TypeVar("S", bound=msgspec.Struct)


def rows_as(model: type[S], rows: Iterable[asyncpg.Record]) -> list[S]:
    """Rows as structs of `model`, whose fields are named like the columns."""
    return [model(**dict(row)) for row in rows]
