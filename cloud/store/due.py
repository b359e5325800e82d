"""Keeps up with rows that come due: on-delays, shelves' ends, escalations, limits. Any number of processes may.

The database says what is due, by its own clock; a row that one process handles is passed over by the others, and is
handled in the transaction that moves it on. So a process that dies leaves it as it was, for another to find.
"""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import datetime

import msgspec
import structlog
from prometheus_client import Counter, Histogram

from cloud.store.database import Connection, Database
from cloud.store.sql import load_queries
from contract.errors import Retryable

log = structlog.get_logger()
_SQL = load_queries("due")
_HANDLED = Counter("anju_due_rows", "Rows that came due and were handled", ["what"])
_SECONDS = Histogram("anju_due_seconds", "Time of a transaction over due rows, its commit included", ["what"])
AT_ONCE = 100
"""Rows of a transaction: few enough that whoever wants one of them, a person too, waits for some 50 ms at most."""
EVERY_S = 0.25
"""How long a row that came due lies unseen at most, where nothing is under way."""
_AGAIN_S = 1.0
_BROKEN_S = 5.0


class Handled(msgspec.Struct, frozen=True):
    """How many due rows a transaction handled, and the topics to wake once it is committed."""

    rows: int
    topics: frozenset[str] = frozenset()


Due = Callable[[Connection, int], Awaitable[int | Handled]]
"""Takes up to so many due rows with FOR UPDATE SKIP LOCKED and handles them within this transaction."""


async def keep_up(due: Due, database: Database, what: str, *, at_once: int = AT_ONCE, every_s: float = EVERY_S) -> None:
    """Handles what is due, for ever: at once where there is more, else it looks every `every_s`.

    `what` names it in logs and metrics. A database that cannot be had is waited for. A mistake of ours is logged with
    its trace and tried again, for what else this process does must go on.
    """
    is_well = True
    while True:
        try:
            handled = await handle_due(due, database, what, at_once=at_once)
        except Retryable as e:
            if is_well:
                log.warning("cannot see to what is due; trying again", what=what, problem=str(e))
            is_well, pause_s = False, _AGAIN_S
        except Exception:
            log.exception("what is due could not be handled; trying again", what=what)
            is_well, pause_s = False, _BROKEN_S
        else:
            if not is_well:
                log.info("seeing to what is due again", what=what)
            is_well, pause_s = True, 0.0 if handled else every_s
        await asyncio.sleep(pause_s)


async def handle_due(due: Due, database: Database, what: str, *, at_once: int = AT_ONCE) -> int:
    """Handles some of what is due in one transaction and wakes who looks at it; returns how many rows.

    Raises Retryable where the database cannot be had.
    """
    with _SECONDS.labels(what).time():
        async with database.transaction() as connection:
            done = await due(connection, at_once)
    handled = done if isinstance(done, Handled) else Handled(done)
    if handled.topics:
        await database.wake(handled.topics)
    _HANDLED.labels(what).inc(handled.rows)
    return handled.rows


async def next_alarms(connection: Connection) -> datetime | None:
    """When the next of what alarms wait for comes due, so that simulated time can go there at once; None: nothing."""
    at: datetime | None = await connection.fetchval(_SQL["next"])
    return at
