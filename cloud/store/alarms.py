"""Alarms and their history as they are read, and what the stages that make them few tell each other.

How they are moved stands in lifecycle.py.
"""

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

import msgspec

from cloud.store.database import Connection, rows_as
from cloud.store.sql import load_queries

_SQL = load_queries("alarms")


class Subject(msgspec.Struct, frozen=True):
    """What a condition is about, as rules see it.

    `source` is its name in the database: `series:12`, `device:<id>/<event>` for what only happens, `gateway:<id>`,
    `bus:<gateway>/<bus>`, `place:<estate>/<building>/<unit>`. `areas` are the ids from the root down to the estate.
    """

    source: str
    kind: str
    point: str
    estate: int
    areas: tuple[int, ...]
    zone: str
    """The estate's time zone, for schedules."""
    gateway: UUID | None = None
    device: int | None = None
    series: int | None = None


class Raising(msgspec.Struct, frozen=True):
    """An alarm that is about to be raised, or to be raised again."""

    rule: str
    subject: Subject
    priority: str
    at: datetime
    """Since when the condition holds, by the box's clock."""
    value: str = ""
    stage: int = 1
    life_safety: bool = False


class Hold(msgspec.Struct, frozen=True):
    """What keeps an alarm from people: SHLVD and OOSRV end by themselves at `until`, DSUPR with its `cause`."""

    state: str
    """SHLVD, DSUPR or OOSRV."""
    until: datetime | None
    why: str
    cause: UUID | None = None
    """The alarm that says why."""


class Moved(msgspec.Struct, frozen=True):
    """An alarm that was raised, worsened, cleared or let go by the engine, as it stands now."""

    alarm: UUID
    rule: str
    subject: Subject
    from_state: str
    to_state: str
    at: datetime
    event: str
    priority: str
    holds: bool


class AlarmRow(msgspec.Struct, frozen=True):
    """An alarm as the console shows it: raised by the box's clock, created when the cloud stored it."""

    id: UUID
    rule: str
    rule_version: int
    priority: str
    state: str
    holds: bool
    """Whether the condition holds, whatever the state says."""
    stage: int
    value: str
    raised_at: datetime
    created_at: datetime
    changed_at: datetime
    ended_at: datetime | None
    acked_at: datetime | None
    acked_by: str | None
    acked_by_id: int | None
    late: bool
    source: str
    """What it is about: 'series:12', 'gateway:<id>', 'bus:<gateway>/<bus>', 'place:<estate>/<building>/<unit>'."""
    gateway: UUID | None
    device: int | None
    """None, like `point`, for an alarm about a box, a bus or a place."""
    device_name: str
    kind: str
    point: str | None
    building: str
    unit: str
    floor: str
    spot: str
    estate_id: int
    estate: str
    timezone: str
    stale: bool
    """The device, its bus or its box is silent: nobody knows how it stands there now."""
    hold_until: datetime | None
    """When a shelf or a time out of service ends by itself."""
    hold_why: str
    held_by: str | None
    cause: UUID | None
    """The alarm that says why this one is suppressed."""
    assignee: str | None
    assignee_id: int | None
    label: str | None
    repeats: int
    """How often it came again while it stood."""
    chattering: bool
    """Three times in a minute: it is told once, and ends only after a minute of quiet."""


class TransitionRow(msgspec.Struct, frozen=True):
    """One line of an alarm's history."""

    at: datetime
    from_state: str
    to_state: str
    event: str
    person: int | None
    who: str
    why: str


async def list_active(connection: Connection, estates: Sequence[int], limit: int = 500) -> list[AlarmRow]:
    """What is wrong now in these estates, the worst and oldest first."""
    return rows_as(AlarmRow, await connection.fetch(_SQL["list_active"], list(estates), limit))


async def list_recent(connection: Connection, estates: Sequence[int], limit: int = 20) -> list[AlarmRow]:
    """Alarms that are over, the newest first."""
    return rows_as(AlarmRow, await connection.fetch(_SQL["list_recent"], list(estates), limit))


async def get(connection: Connection, alarm: UUID, estates: Sequence[int]) -> AlarmRow | None:
    """One alarm of these estates, active or past."""
    rows = rows_as(AlarmRow, await connection.fetch(_SQL["get"], alarm, list(estates)))
    return rows[0] if rows else None


async def history(connection: Connection, alarm: UUID) -> list[TransitionRow]:
    """Every transition of an alarm, in order."""
    return rows_as(TransitionRow, await connection.fetch(_SQL["history"], alarm))


async def count_unacknowledged(connection: Connection, estates: Sequence[int]) -> dict[str, int]:
    """Alarms nobody has acknowledged, by priority."""
    rows = await connection.fetch(_SQL["count_unacknowledged"], list(estates))
    return {row["priority"]: row["count"] for row in rows}
