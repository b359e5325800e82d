"""What the figures of alarm management are counted from: each alarm's times, and how often alarms were held back."""

from collections.abc import Sequence
from datetime import datetime

import msgspec

from cloud.store.database import Connection, rows_as
from cloud.store.sql import load_queries
from contract.errors import AnjuError

_SQL = load_queries("kpis")
MOST_ALARMS = 1_000_000


class AlarmFacts(msgspec.Struct, frozen=True, gc=False):
    """An alarm's times. `annunciated`: each time at which it came to people; none where it never did."""

    rule: str
    source: str
    priority: str
    label: str | None
    annunciated: Sequence[datetime]
    acknowledged_at: datetime | None
    cleared_at: datetime | None
    """When its condition was over; None while it holds."""
    chattered: bool = False
    """The engine found it to come three times in a minute while it stood."""


class HoldCounts(msgspec.Struct, frozen=True):
    """How often alarms were suppressed, shelved and taken out of service."""

    suppressed: int = 0
    shelved: int = 0
    out_of_service: int = 0


class SourceName(msgspec.Struct, frozen=True):
    """What a source is called, and where it is."""

    source: str
    name: str


async def facts(connection: Connection, estates: Sequence[int], since: datetime, until: datetime) -> list[AlarmFacts]:
    """The alarms of these estates that were told in a period, or stood in it.

    Raises AnjuError where there are more than a million.
    """
    async with connection.transaction(readonly=True):
        await connection.execute(_SQL["memory"])
        rows = await connection.fetch(_SQL["facts"], list(estates), since, until, MOST_ALARMS + 1)
    if len(rows) > MOST_ALARMS:
        raise AnjuError(f"more than {MOST_ALARMS:,} alarms: choose a shorter period, or fewer estates")
    return [AlarmFacts(*row.values()) for row in rows]


async def holds(connection: Connection, estates: Sequence[int], since: datetime, until: datetime) -> HoldCounts:
    """How often alarms of these estates were held back in a period."""
    rows = await connection.fetch(_SQL["holds"], list(estates), since, until)
    return rows_as(HoldCounts, rows)[0]


async def names(connection: Connection, sources: Sequence[str]) -> dict[str, str]:
    """What these sources are called; one that is no more is left out."""
    rows = rows_as(SourceName, await connection.fetch(_SQL["names"], list(sources)))
    return {row.source: row.name for row in rows}


async def estates_of(connection: Connection, name: str | None) -> list[int]:
    """The estates beneath the area of a name; all without one. Raises AnjuError where there is no such area."""
    rows = await connection.fetch(_SQL["estates"], name)
    if not rows:
        raise AnjuError(f"there is no estate {name!r}" if name else "there are no estates yet")
    return [row["id"] for row in rows]
