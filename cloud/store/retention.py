"""How long rows are kept: what is older than its time goes, by chunks where there are any, and is summed up before.

Readings go once their hours are rolled up. Events that say who it was leave counts. What is never dropped here: alarms
and their transitions, commands, the audit log; that is the history of who did what about a danger.
"""

from datetime import datetime, timedelta
from typing import Literal

from cloud.store.database import Connection, Tier
from cloud.store.sql import load_queries

_SQL = load_queries("retention")
Rows = Literal["readings", "states", "events", "readings_hour", "states_hour", "readings_day", "states_day"]
"""Tables of rows with a time."""
EVENTS_AT_ONCE = 5_000
ROWS_AT_ONCE = 50_000
_DAY = timedelta(days=1)
_DROP_S = 120.0
"""Plain PostgreSQL has no index on the time alone: it reads the whole table for what is old."""


async def drop(connection: Connection, tier: Tier, rows: Rows, before: datetime) -> tuple[int, bool]:
    """Drops what is older than the last midnight (UTC) before a time, in the caller's transaction.

    Returns how many chunks went, or rows on plain PostgreSQL, and whether there is more: there a call drops the oldest
    day only, so that no transaction lasts long. Readings wait, with nothing dropped, until their hours are rolled up.
    """
    until = before.replace(hour=0, minute=0, second=0, microsecond=0)
    since = await connection.fetchval(_SQL["lock"], rows)
    if tier is Tier.PLAIN:
        oldest = await connection.fetchval(_SQL[f"oldest_{rows}"], timeout=_DROP_S)
        if oldest is None or oldest >= until:
            return 0, False
        step = oldest.replace(hour=0, minute=0, second=0, microsecond=0) + _DAY
    else:
        if not await connection.fetchval(_SQL["chunks"], rows, until):
            return 0, False
        step = until
    if rows == "readings" and await connection.fetchval(_SQL["marks_before"], step):
        return 0, False
    await connection.execute(_SQL["move"], rows, max(since, step))
    if tier is not Tier.PLAIN:
        return int(await connection.fetchval(_SQL["drop_chunks"], rows, step)), False
    gone = await connection.execute(_SQL[f"delete_{rows}"], step, timeout=_DROP_S)
    return int(gone.split()[-1]), step < until


async def count_personal_events(connection: Connection, before: datetime) -> tuple[int, bool]:
    """Makes counts by day of the oldest events that say who it was; returns of how many, and whether there are more."""
    counted = int(await connection.fetchval(_SQL["count_personal_events"], before, EVENTS_AT_ONCE))
    return counted, counted == EVENTS_AT_ONCE


async def drop_quarantine(connection: Connection, before: datetime, most_bytes: int) -> tuple[int, bool]:
    """Drops old quarantined blocks, and of each box the oldest beyond `most_bytes`; returns how many, and no more."""
    return int(await connection.fetchval(_SQL["drop_quarantine"], before, most_bytes)), False


async def drop_losses(connection: Connection, before: datetime, most: int) -> tuple[int, bool]:
    """Drops old loss receipts, and of each box the oldest beyond `most`; returns how many, and if there may be more."""
    gone = int(await connection.fetchval(_SQL["drop_losses"], before, most, ROWS_AT_ONCE))
    return gone, gone == ROWS_AT_ONCE


async def drop_boots(connection: Connection, most: int) -> tuple[int, bool]:
    """Drops of each box the oldest runs of its clock beyond `most`, then, where it has more seals than that, those of
    unknown runs; returns how many rows, and if there may be more. What comes of such a run later has no time.
    """
    boots = int(await connection.fetchval(_SQL["drop_boots"], most, ROWS_AT_ONCE))
    seals = int(await connection.fetchval(_SQL["drop_seals"], most, ROWS_AT_ONCE))
    return boots + seals, ROWS_AT_ONCE in (boots, seals)
