"""Floods of alarms: which estates are in one, and where its alarms are."""

from collections.abc import Sequence
from datetime import datetime, timedelta

import msgspec

from cloud.store.database import Connection, rows_as
from cloud.store.sql import load_queries

_SQL = load_queries("floods")


class PlaceCount(msgspec.Struct, frozen=True):
    """How many alarms a building has; `building` is empty for what stands in none."""

    estate: str
    building: str
    alarms: int


class PlaceGroup(msgspec.Struct, frozen=True):
    """What people have to see to in a place, by priority."""

    estate_id: int
    estate: str
    building: str
    unit: str
    critical: int
    high: int
    medium: int
    low: int
    alarms: int


async def update(
    connection: Connection, within: timedelta, starts_above: int, ends_below: int, *, now: datetime | None = None
) -> dict[int, bool]:
    """Begins and ends floods; returns the estates where that happened, and whether one stands there now."""
    rows = await connection.fetch(_SQL["update"], now, within, starts_above, ends_below)
    return {row["estate"]: row["stands"] for row in rows}


async def in_flood(connection: Connection, estates: Sequence[int]) -> set[int]:
    """Those of these estates that are in a flood: what is of low and medium priority there is gathered."""
    return set(await standing(connection, estates))


async def standing(connection: Connection, estates: Sequence[int]) -> dict[int, datetime]:
    """Those of these estates that are in a flood, and since when."""
    return {row["estate"]: row["since"] for row in await connection.fetch(_SQL["standing"], list(estates))}


async def times(
    connection: Connection, estates: Sequence[int], since: datetime, until: datetime, limit: int
) -> list[datetime]:
    """When alarms came to people of these estates, the newest first."""
    rows = await connection.fetch(_SQL["times"], list(estates), since, until, limit)
    return [row["announced_at"] for row in rows]


async def places(connection: Connection, estates: Sequence[int], since: datetime, until: datetime) -> list[PlaceCount]:
    """How many alarms of a time are in which building, the most first."""
    return rows_as(PlaceCount, await connection.fetch(_SQL["places"], list(estates), since, until))


async def grouped(connection: Connection, estates: Sequence[int], limit: int = 200) -> list[PlaceGroup]:
    """What people of these estates have to see to now, by place, the worst first."""
    return rows_as(PlaceGroup, await connection.fetch(_SQL["grouped"], list(estates), limit))


async def clock(connection: Connection) -> datetime:
    """The database's clock."""
    at: datetime = await connection.fetchval(_SQL["clock"])
    return at
