"""Alarms as pages show them: what wants a person, what is held, what ended, and what was done and written."""

from collections.abc import Collection, Sequence
from datetime import datetime
from uuid import UUID

import msgspec

from cloud.store.alarms import AlarmRow, TransitionRow
from cloud.store.database import Connection, rows_as
from cloud.store.sql import load_queries

_SQL = load_queries("alarm_pages")
MOST_ACTIVE = 500
MOST_PEOPLE = 100


class PageRow(AlarmRow, frozen=True, kw_only=True):
    """An alarm, whether it was raised in a fire drill, and how many it suppresses."""

    drill: bool
    beneath: int


class CommentRow(msgspec.Struct, frozen=True):
    """What somebody wrote."""

    at: datetime
    person: int | None
    who: str
    text: str


class Colleague(msgspec.Struct, frozen=True):
    """A person who may take an alarm, with one of their roles there."""

    id: int
    name: str
    role: str


async def active(connection: Connection, estates: Sequence[int], limit: int = MOST_ACTIVE) -> list[PageRow]:
    """What wants a person now in these estates, the worst and oldest first."""
    return rows_as(PageRow, await connection.fetch(_SQL["active"], list(estates), limit))


async def held(connection: Connection, estates: Sequence[int], limit: int) -> list[PageRow]:
    """What is shelved or out of service, the first to end first, then what is suppressed."""
    return rows_as(PageRow, await connection.fetch(_SQL["held"], list(estates), limit))


async def count_held(connection: Connection, estates: Sequence[int]) -> int:
    """How many are shelved, out of service or suppressed."""
    return int(await connection.fetchval(_SQL["count_held"], list(estates)))


async def ended(connection: Connection, estates: Sequence[int], limit: int) -> list[PageRow]:
    """Alarms that are over, the newest first."""
    return rows_as(PageRow, await connection.fetch(_SQL["ended"], list(estates), limit))


async def get(connection: Connection, alarm: UUID, estates: Sequence[int]) -> PageRow | None:
    """One alarm of these estates, active or past."""
    rows = rows_as(PageRow, await connection.fetch(_SQL["get"], alarm, list(estates)))
    return rows[0] if rows else None


async def beneath(connection: Connection, alarm: UUID, estates: Sequence[int], limit: int) -> list[PageRow]:
    """What an alarm suppresses, by place."""
    return rows_as(PageRow, await connection.fetch(_SQL["beneath"], alarm, list(estates), limit))


async def history(connection: Connection, alarm: UUID) -> list[TransitionRow]:
    """Every transition of an alarm, in order."""
    return rows_as(TransitionRow, await connection.fetch(_SQL["history"], alarm))


async def comments(connection: Connection, alarm: UUID) -> list[CommentRow]:
    """What people wrote about an alarm, in order."""
    return rows_as(CommentRow, await connection.fetch(_SQL["comments"], alarm))


async def who_may(
    connection: Connection, estate: int, roles: Sequence[str], limit: int = MOST_PEOPLE
) -> list[Colleague]:
    """Who has one of these roles at an estate, by name."""
    return rows_as(Colleague, await connection.fetch(_SQL["who_may"], estate, list(roles), limit))


async def area_names(connection: Connection, areas: Collection[int]) -> dict[int, str]:
    """What areas are called."""
    rows = await connection.fetch(_SQL["area_names"], list(areas))
    return {row["id"]: row["name"] for row in rows}


async def device_names(connection: Connection, devices: Collection[int]) -> dict[int, str]:
    """What devices are called."""
    rows = await connection.fetch(_SQL["device_names"], list(devices))
    return {row["id"]: row["name"] for row in rows}


async def estates_beyond(connection: Connection, estates: Collection[int]) -> list[frozenset[int]]:
    """All other estates than these, each as the ids of its areas from the root down."""
    rows = await connection.fetch(_SQL["estates_beyond"], list(estates))
    return [frozenset(int(part) for part in row["path"].split("/") if part) for row in rows]


async def time(connection: Connection) -> datetime:
    """What time it is to the alarms: the database's."""
    at: datetime = await connection.fetchval(_SQL["time"])
    return at
