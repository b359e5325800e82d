"""Plans with their versions, and the mobilisations that follow them."""

from collections.abc import Collection, Sequence
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import msgspec

from cloud.store.commands import Ordered
from cloud.store.database import Connection, rows_as
from cloud.store.sql import load_queries

_SQL = load_queries("plans")


class PlanRow(msgspec.Struct, frozen=True):
    """A version of a plan; `body` is cloud/incidents/plan.py's Plan."""

    estate_id: int
    estate: str
    name: str
    version: int
    body: dict[str, Any]
    who: str
    at: datetime


class KnownDevice(msgspec.Struct, frozen=True):
    """A device that a plan may order something of."""

    id: int
    kind: str
    commands: list[str]


class LockedMobilisation(msgspec.Struct, frozen=True):
    """A mobilisation that somebody acts on, locked."""

    id: UUID
    estate: int
    plan: str
    drill: bool
    ended_at: datetime | None


class MobilisationRow(msgspec.Struct, frozen=True):
    """A mobilisation as pages show it, with the plan as it was when it was started."""

    id: UUID
    estate_id: int
    estate: str
    plan: str
    body: dict[str, Any]
    drill: bool
    incident: UUID | None
    who: str
    started_at: datetime
    ends_at: datetime
    ended_at: datetime | None
    ended_by: str | None


class RollRow(msgspec.Struct, frozen=True):
    """Somebody who was called, with their newest answer; `by_other`: somebody else entered it."""

    person: int
    name: str
    answer: str | None
    at: datetime | None
    who: str | None
    by_other: bool


class OrderRow(msgspec.Struct, frozen=True):
    """What was asked of a device; `status` is the command's, empty where it could not be ordered: `reason` says why."""

    device: int
    name: str
    kind: str
    building: str
    unit: str
    floor: str
    spot: str
    point: str
    status: str
    reason: str
    answered_at: datetime | None


async def put_plan(connection: Connection, estate: int, name: str, body: object, person: int | None, who: str) -> int:
    """One more version of a plan; returns its number."""
    return int(await connection.fetchval(_SQL["put_plan"], estate, name, body, person, who))


async def list_plans(connection: Connection, estates: Sequence[int]) -> list[PlanRow]:
    """The plans of these estates as they are now."""
    return rows_as(PlanRow, await connection.fetch(_SQL["list_plans"], list(estates)))


async def get_plan(connection: Connection, estate: int, name: str, version: int | None = None) -> PlanRow | None:
    """One plan, as it is now or as it was in a version."""
    rows = rows_as(PlanRow, await connection.fetch(_SQL["get_plan"], estate, name, version))
    return rows[0] if rows else None


async def known_devices(connection: Connection, estate: int, devices: Collection[int]) -> list[KnownDevice]:
    """Those of these devices that are in an estate."""
    return rows_as(KnownDevice, await connection.fetch(_SQL["known_devices"], estate, list(devices)))


async def known_channels(connection: Connection, estate: int) -> dict[str, int]:
    """The channels in use at an estate or above it, by name."""
    return {row["name"]: row["id"] for row in await connection.fetch(_SQL["known_channels"], estate)}


async def known_people(connection: Connection, logins: Collection[str]) -> dict[str, int]:
    """Those of these logins that there are, with their people."""
    return {row["login"]: row["id"] for row in await connection.fetch(_SQL["known_people"], list(logins))}


async def start(
    connection: Connection, plan: PlanRow, *, drill: bool, incident: UUID | None, person: int | None, who: str,
    lasts: timedelta, now: datetime | None,
) -> tuple[UUID, datetime] | None:  # fmt: skip
    """A new mobilisation and when it began; None where the same one is running."""
    row = await connection.fetchrow(
        _SQL["start"], plan.estate_id, plan.name, plan.version, drill, incident, person, who, lasts, now
    )
    return (row["id"], row["started_at"]) if row else None


async def running(connection: Connection, estate: int, plan: str, *, drill: bool) -> UUID | None:
    """The mobilisation of a plan that is running."""
    found: UUID | None = await connection.fetchval(_SQL["running"], estate, plan, drill)
    return found


async def put_calls(connection: Connection, mobilisation: UUID, people: Sequence[int]) -> None:
    """Who is called."""
    await connection.execute(_SQL["put_calls"], mobilisation, list(people))


async def put_orders(connection: Connection, mobilisation: UUID, orders: Sequence[Ordered]) -> None:
    """What was asked of devices."""
    columns = [[getattr(order, name) for order in orders] for name in ("device", "point", "command", "problem")]
    await connection.execute(_SQL["put_orders"], mobilisation, *columns)


async def lock(connection: Connection, mobilisation: UUID) -> LockedMobilisation | None:
    """One mobilisation, locked until the transaction ends."""
    row = await connection.fetchrow(_SQL["lock"], mobilisation)
    return LockedMobilisation(**dict(row)) if row else None


async def lock_due(connection: Connection, limit: int, now: datetime | None) -> list[LockedMobilisation]:
    """Mobilisations that end by themselves now, locked."""
    return rows_as(LockedMobilisation, await connection.fetch(_SQL["lock_due"], limit, now))


async def end(connection: Connection, mobilisations: Sequence[UUID], who: str, now: datetime | None) -> None:
    """They are over."""
    await connection.execute(_SQL["end"], list(mobilisations), now, who)


async def is_called(connection: Connection, mobilisation: UUID, person: int) -> bool:
    """Whether a person was called."""
    return bool(await connection.fetchval(_SQL["is_called"], mobilisation, person))


async def put_answer(
    connection: Connection, mobilisation: UUID, person: int, answer: str, entered_by: int | None, who: str,
    now: datetime | None,
) -> None:  # fmt: skip
    """A person's answer, entered by themselves or by another."""
    await connection.execute(_SQL["put_answer"], mobilisation, person, answer, now, entered_by, who)


async def get(
    connection: Connection, mobilisation: UUID, estates: Sequence[int], person: int
) -> MobilisationRow | None:
    """One mobilisation of these estates, or one to which this person was called."""
    rows = rows_as(MobilisationRow, await connection.fetch(_SQL["get"], mobilisation, list(estates), person))
    return rows[0] if rows else None


async def list_recent(connection: Connection, estates: Sequence[int], limit: int) -> list[MobilisationRow]:
    """The newest mobilisations of these estates, those that run first."""
    return rows_as(MobilisationRow, await connection.fetch(_SQL["list_recent"], list(estates), limit))


async def roll(connection: Connection, mobilisation: UUID) -> list[RollRow]:
    """Who was called, with their answers."""
    return rows_as(RollRow, await connection.fetch(_SQL["roll"], mobilisation))


async def orders(connection: Connection, mobilisation: UUID) -> list[OrderRow]:
    """What was asked of devices, with their answers."""
    return rows_as(OrderRow, await connection.fetch(_SQL["orders"], mobilisation))


async def wanted(connection: Connection, mobilisations: Sequence[UUID]) -> set[UUID]:
    """Those of the mobilisations that run, locked so that nobody ends them before the transaction ends."""
    return {row["id"] for row in await connection.fetch(_SQL["wanted"], list(mobilisations))}
