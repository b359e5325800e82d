"""Commands to devices, from the order to the answer."""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import msgspec

from cloud.store.database import Connection, rows_as
from cloud.store.sql import load_queries

_SQL = load_queries("commands")


class Down(msgspec.Struct, frozen=True):
    """A box's connection that its commands go down: its name, by which session it was opened, and whether it is new."""

    id: UUID
    gateway: UUID
    session: bytes
    is_new: bool


class WaitingCommand(msgspec.Struct, frozen=True):
    """A command to hand to its box, by this connection."""

    down: UUID
    id: UUID
    device: str
    point: str
    args: dict[str, Any]
    not_after: datetime


class Wanted(msgspec.Struct, frozen=True):
    """What is to be ordered of a device."""

    device: int
    point: str
    args: dict[str, Any]


class Ordered(msgspec.Struct, frozen=True):
    """What came of an order: the command that waits for its box, or the `problem` why there is none."""

    device: int
    point: str
    command: UUID | None
    gateway: UUID | None = None
    problem: str = ""


class Orderable(msgspec.Struct, frozen=True):
    """A device that can be ordered something of."""

    id: int
    gateway: UUID
    commands: list[str]


class NewCommand(msgspec.Struct, frozen=True):
    """A command that is about to be queued."""

    id: UUID
    gateway: UUID
    device: int
    point: str
    args: dict[str, Any]


class CommandRow(msgspec.Struct, frozen=True):
    """A command as the console shows it; `status` is one of contract.messages.CommandStatus."""

    id: UUID
    device: int
    point: str
    args: dict[str, Any]
    status: str
    reason: str
    who: str
    at: datetime
    sent_at: datetime | None
    answered_at: datetime | None
    not_after: datetime


async def put(
    connection: Connection, command: UUID, gateway: UUID, device: int, point: str, args: Mapping[str, object],
    not_after: datetime, person: int | None, who: str,
) -> None:  # fmt: skip
    """A command that waits for its box."""
    await connection.execute(_SQL["put"], command, gateway, device, point, dict(args), not_after, person, who)


async def orderable(connection: Connection, devices: Sequence[int], estates: Sequence[int]) -> dict[int, Orderable]:
    """Those of the devices that are in one of the estates, with what each can be ordered."""
    rows = await connection.fetch(_SQL["orderable"], list(devices), list(estates))
    return {device.id: device for device in rows_as(Orderable, rows)}


async def put_all(
    connection: Connection, new: Sequence[NewCommand], lasts: timedelta, person: int | None, who: str
) -> None:
    """Commands that wait for their boxes for so long, by the database's clock."""
    columns = [[getattr(command, field) for command in new] for field in NewCommand.__struct_fields__]
    await connection.execute(_SQL["put_all"], *columns, lasts, person, who)


async def open_downs(connection: Connection, downs: Sequence[Down]) -> None:
    """These connections are their boxes' newest: from now on only they are given commands."""
    await connection.execute(_SQL["open_downs"], [down.gateway for down in downs], [down.id for down in downs])


async def standing_downs(connection: Connection, downs: Sequence[Down]) -> set[UUID]:
    """Those of these connections that are still their boxes' newest, and whose session holds."""
    rows = await connection.fetch(_SQL["standing_downs"], [d.id for d in downs], [d.session for d in downs])
    return {row["down"] for row in rows}


async def take_waiting(connection: Connection, downs: Sequence[Down]) -> list[WaitingCommand]:
    """What boxes have to be told now; new connections also what was sent on an earlier one and not answered."""
    asked = [d.gateway for d in downs], [d.id for d in downs], [d.is_new for d in downs]
    return rows_as(WaitingCommand, await connection.fetch(_SQL["take_waiting"], *asked))


async def expire(connection: Connection) -> set[int]:
    """Gives up on commands whose time is up; returns their devices."""
    return {row["device"] for row in await connection.fetch(_SQL["expire"])}


async def answer(connection: Connection, gateway: UUID, answers: Sequence[tuple[UUID, str, str]]) -> set[int]:
    """A box's answers (command, status, reason); returns the devices whose commands were open."""
    ids, statuses, reasons = ([row[i] for row in answers] for i in range(3))
    return {row["device"] for row in await connection.fetch(_SQL["answer"], gateway, ids, statuses, reasons)}


async def list_recent(connection: Connection, device: int, limit: int = 10) -> list[CommandRow]:
    """The last commands of a device, the newest first."""
    return rows_as(CommandRow, await connection.fetch(_SQL["list_recent"], device, limit))


async def get(connection: Connection, command: UUID, estates: Sequence[int]) -> CommandRow | None:
    """One command to a device of these estates."""
    rows = rows_as(CommandRow, await connection.fetch(_SQL["get"], command, list(estates)))
    return rows[0] if rows else None
