"""Commands to devices, from the order to the answer."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

import msgspec

from cloud.store.database import Connection, rows_as
from cloud.store.sql import load_queries

_SQL = load_queries("commands")


class WaitingCommand(msgspec.Struct, frozen=True):
    """A command to hand to its box."""

    id: UUID
    device: str
    point: str
    args: dict[str, Any]
    not_after: datetime


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


async def hold_down(connection: Connection, gateway: UUID, down: UUID) -> None:
    """This connection is the box's newest: from now on only it is given commands."""
    await connection.execute(_SQL["hold_down"], gateway, down)


async def holds_down(connection: Connection, gateway: UUID, down: UUID) -> bool:
    """Whether this connection is still the box's newest."""
    return bool(await connection.fetchval(_SQL["holds_down"], gateway, down))


async def take_waiting(connection: Connection, gateway: UUID, down: UUID, *, again: bool) -> list[WaitingCommand]:
    """What a box has to be told now; `again` also what was sent on an earlier connection and not answered."""
    return rows_as(WaitingCommand, await connection.fetch(_SQL["take_waiting"], gateway, again, down))


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
