"""Silences beneath the alarm that says why: of a bus, of a box."""

from collections.abc import Collection, Sequence
from datetime import datetime, timedelta
from uuid import UUID

import msgspec

from cloud.store.database import Connection, rows_as
from cloud.store.sql import load_queries

_SQL = load_queries("folding")


class Cause(msgspec.Struct, frozen=True):
    """The alarm that says why the source at a position is silent."""

    position: int
    cause: UUID
    rule: str


class Doubt(msgspec.Struct, frozen=True):
    """The silence at a position may have its cause elsewhere; when that will be known."""

    position: int
    is_box: bool
    """Its box missed a beat; else devices of its bus go off line one after the other."""
    known_at: datetime


class Unfolded(msgspec.Struct, frozen=True):
    """A silence whose cause stands: the alarm `cause` of a rule. In `state` DSUPR it was about to come back."""

    id: UUID
    state: str
    cause: UUID
    rule: str


async def causes(
    connection: Connection, sources: Sequence[tuple[UUID, int | None]], of_boxes: Collection[str],
    of_buses: Collection[str],
) -> list[Cause]:  # fmt: skip
    """Which alarms of these rules say why these (gateway, device) are silent, by position."""
    gateways, devices = [gateway for gateway, _ in sources], [device for _, device in sources]
    rows = await connection.fetch(_SQL["causes"], gateways, devices, list(of_boxes), list(of_buses))
    return rows_as(Cause, rows)


class Falling(msgspec.Struct, frozen=True):
    """When a bus counts as on its way down: so many of its devices went off line `lately`.

    A silence waits for what becomes of that, again and again for `wait`, until it is older than `young`.
    """

    devices: int
    lately: timedelta
    wait: timedelta
    young: timedelta


async def doubted(
    connection: Connection, sources: Sequence[tuple[UUID, int | None, datetime]], falling: Falling,
    *, now: datetime | None = None,
) -> list[Doubt]:  # fmt: skip
    """Which of these (gateway, device, since) may be silent because of their box, that missed a beat, or their bus."""
    gateways, devices, since = ([source[n] for source in sources] for n in range(3))
    rows = await connection.fetch(
        _SQL["doubted"], gateways, devices, now, falling.lately, falling.wait, falling.devices, since, falling.young
    )
    return rows_as(Doubt, rows)


async def unfolded(
    connection: Connection, of_boxes: Collection[str], of_buses: Collection[str], of_devices: Collection[str],
    limit: int,
) -> list[Unfolded]:  # fmt: skip
    """Silences, locked, that are not beneath the alarm of their box or bus that stands, so far as nobody has them."""
    rows = await connection.fetch(_SQL["unfolded"], list(of_boxes), list(of_buses), list(of_devices), limit)
    return rows_as(Unfolded, rows)


async def put_beneath(connection: Connection, folded: Sequence[Unfolded]) -> None:
    """What was about to come back is beneath a cause again."""
    await connection.execute(
        _SQL["put_beneath"], [one.id for one in folded], [one.cause for one in folded], [one.rule for one in folded]
    )


async def let_go(connection: Connection, after: timedelta, limit: int, *, now: datetime | None = None) -> int:
    """What is beneath an alarm that is over comes back `after` a while, if it still holds; returns how many."""
    return len(await connection.fetch(_SQL["let_go"], now, after, limit))
