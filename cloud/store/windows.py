"""Maintenance windows and fire drills: when they stand, over what, and which alarms they concern."""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Literal
from uuid import UUID

import msgspec

from cloud.store.database import Connection, rows_as
from cloud.store.sql import load_queries

_SQL = load_queries("windows")
Kind = Literal["maintenance", "drill"]


class Scope(msgspec.Struct, frozen=True, kw_only=True):
    """Where a window stands: an estate, and within it only what is named here."""

    estate: int
    building: str | None = None
    unit: str | None = None
    devices: tuple[int, ...] | None = None
    gateway: UUID | None = None
    bus: str | None = None


class WindowRow(msgspec.Struct, frozen=True):
    """A maintenance window or a drill. `warned_at`: people were told that it ends soon."""

    id: UUID
    kind: Kind
    estate: int
    building: str | None
    unit: str | None
    devices: Sequence[int] | None
    gateway: UUID | None
    bus: str | None
    from_at: datetime
    until_at: datetime
    why: str
    person: int | None
    who: str
    warned_at: datetime | None
    ended_at: datetime | None
    ended_who: str | None = None


class Ended(msgspec.Struct, frozen=True):
    """A window that a person ended before its time, and when that would have been."""

    kind: Kind
    estate: int
    was_until: datetime
    why: str


class Asked(msgspec.Struct, frozen=True):
    """A source, as windows know it: whose it is, and where, for what is no device."""

    estate: int
    gateway: UUID | None = None
    device: int | None = None
    bus: str | None = None
    building: str | None = None
    unit: str | None = None


class Covering(msgspec.Struct, frozen=True):
    """A window or drill that stands over the source at a position."""

    position: int
    id: UUID
    kind: Kind
    until_at: datetime
    why: str


class StillWrong(msgspec.Struct, frozen=True):
    """An alarm that was raised in a drill and holds when that is over."""

    id: UUID
    state: str
    estate: int


async def time(connection: Connection) -> datetime:
    """The database's clock, by which windows begin and end."""
    at: datetime = await connection.fetchval(_SQL["time"])
    return at


async def put(
    connection: Connection, kind: Kind, scope: Scope, from_at: datetime | None, until_at: datetime, why: str,
    person: int | None, who: str,
) -> UUID | None:  # fmt: skip
    """A new window, from now on without `from_at`. None where its devices or box are not of the estate."""
    devices = None if scope.devices is None else list(scope.devices)
    made: UUID | None = await connection.fetchval(
        _SQL["open"], kind, scope.estate, scope.building, scope.unit, devices, scope.gateway, scope.bus, from_at,
        until_at, why, person, who,
    )  # fmt: skip
    return made


async def count_open(connection: Connection, estate: int) -> int:
    """How many windows and drills of an estate are not over."""
    return int(await connection.fetchval(_SQL["count_open"], estate))


async def standing(
    connection: Connection, estates: Sequence[int], *, now: datetime | None = None, limit: int = 100
) -> list[WindowRow]:
    """Windows and drills of these estates that stand or are to come, the first to end first."""
    return rows_as(WindowRow, await connection.fetch(_SQL["standing"], list(estates), now, limit))


async def over(connection: Connection, estates: Sequence[int], *, limit: int = 100) -> list[WindowRow]:
    """Windows and drills of these estates that are over, the newest first."""
    return rows_as(WindowRow, await connection.fetch(_SQL["over"], list(estates), limit))


async def covering(connection: Connection, asked: Sequence[Asked], *, now: datetime | None = None) -> list[Covering]:
    """What stands over these sources: of each kind the one that ends last."""
    columns = [[getattr(source, name) for source in asked] for name in Asked.__struct_fields__]
    return rows_as(Covering, await connection.fetch(_SQL["covering"], *columns, now))


async def warn(connection: Connection, limit: int, ahead: timedelta, *, now: datetime | None = None) -> list[WindowRow]:
    """Those that end within `ahead`; each is found once, by one process."""
    return rows_as(WindowRow, await connection.fetch(_SQL["warn"], limit, now, ahead))


async def end_due(connection: Connection, limit: int, *, now: datetime | None = None) -> list[WindowRow]:
    """Those whose time is over, now ended; each is found once, by one process."""
    return rows_as(WindowRow, await connection.fetch(_SQL["end_due"], limit, now))


async def end(
    connection: Connection, window: UUID, estates: Sequence[int], person: int | None, who: str,
    *, now: datetime | None = None,
) -> Ended | None:  # fmt: skip
    """A person ends one of these estates before its time; what it kept out of service comes back, the rest is due."""
    rows = rows_as(Ended, await connection.fetch(_SQL["end"], window, list(estates), person, who, now))
    if not rows:
        return None
    await connection.execute(_SQL["let_go"], rows[0].estate, rows[0].was_until, now)
    return rows[0]


async def mark_drill(connection: Connection, drills: Mapping[UUID, UUID]) -> list[UUID]:
    """These alarms were raised in these drills: the label 'test' is preset. Returns those not marked before."""
    if not drills:
        return []
    rows = await connection.fetch(_SQL["mark_drill"], list(drills), list(drills.values()))
    return [row["id"] for row in rows]


async def unmark_drill(connection: Connection, drills: Sequence[UUID]) -> list[StillWrong]:
    """These drills are over: what still holds is from now on an alarm like any other."""
    return rows_as(StillWrong, await connection.fetch(_SQL["unmark_drill"], list(drills)))


async def note(connection: Connection, noted: Sequence[tuple[UUID, str]], *, now: datetime | None = None) -> None:
    """Comments of the system's own on alarms (alarm, text)."""
    if not noted:
        return
    await connection.execute(_SQL["note"], [alarm for alarm, _ in noted], [text for _, text in noted], now)


async def in_drill(connection: Connection, alarms: Sequence[UUID]) -> dict[UUID, UUID]:
    """Those of these alarms that are to be told as a drill, with the drill."""
    return {row["id"]: row["drill"] for row in await connection.fetch(_SQL["in_drill"], list(alarms))}
