"""Escalations, the messages they lead to, and the requests in which those left, with what became of each."""

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

import msgspec

from cloud.store.alarms import AlarmRow
from cloud.store.database import Connection, rows_as
from cloud.store.oncall import ChannelRow
from cloud.store.sql import load_queries

_SQL = load_queries("notify")


class DueStep(msgspec.Struct, frozen=True):
    """An alarm whose next step is due, locked. `announced` counts how often it came to want somebody."""

    alarm: UUID
    policy: int | None
    step: int
    round: int
    announced: int
    estate: int
    priority: str
    drill: bool
    wanted: bool
    """Somebody is still wanted."""
    now: datetime


class NextStep(msgspec.Struct, frozen=True):
    """Where an alarm's escalation goes on; `due_at` None: it does not."""

    alarm: UUID
    step: int
    round: int
    due_at: datetime | None


class NewMessage(msgspec.Struct, frozen=True, kw_only=True):
    """Who is to be told what: a `person`, or whoever reads the channel `target`. `text` None: an alarm says its own."""

    subject: str
    subject_id: UUID
    step: str
    estate: int
    priority: str
    person: int | None = None
    target: int | None = None
    text: dict[str, str] | None = None
    path: str = ""
    drill: bool = False
    wait_s: float = 0.0
    """How long others may join it before it leaves by itself."""


class QueuedMessage(msgspec.Struct, frozen=True):
    """A message that goes next through a channel, locked. `batch` is the send that may have brought it already."""

    id: int
    subject: str
    subject_id: UUID
    estate: int
    priority: str
    person: int | None
    batch: UUID | None
    repeat: bool
    text: dict[str, Any] | None
    path: str
    drill: bool
    created_at: datetime


class Turned(msgspec.Struct, frozen=True):
    """A message that was refused or lost; `is_new` where it goes on by a channel that has not been tried."""

    subject: str
    subject_id: UUID
    step: str
    is_new: bool


class TryRow(msgspec.Struct, frozen=True):
    """One try to bring a message, as a page shows it; without times where none was made yet."""

    id: int
    step: str
    person: str
    channel: str
    state: str
    repeat: bool
    taken_at: datetime | None
    ended_at: datetime | None
    outcome: str | None
    code: str | None
    reason: str | None
    lines: int | None


async def announce(connection: Connection, alarms: Sequence[UUID], *, now: datetime | None = None) -> None:
    """The escalation of these alarms begins, or begins anew, where their area has a policy for them."""
    await connection.execute(_SQL["announce"], list(alarms), now)


async def take_due(connection: Connection, limit: int, *, now: datetime | None = None) -> list[DueStep]:
    """Alarms whose next step is due, locked; what another process has is passed over."""
    return rows_as(DueStep, await connection.fetch(_SQL["take_due"], limit, now))


async def step_on(connection: Connection, steps: Sequence[NextStep]) -> None:
    """The next step of each alarm."""
    await connection.execute(
        _SQL["step_on"], [s.alarm for s in steps], [s.step for s in steps], [s.round for s in steps],
        [s.due_at for s in steps],
    )  # fmt: skip


async def put_messages(
    connection: Connection, messages: Sequence[NewMessage], *, now: datetime | None = None
) -> set[UUID]:
    """Queues messages, each once a (subject, step, person); returns the subjects for which somebody has a channel."""
    columns = [[getattr(message, field) for message in messages] for field in NewMessage.__struct_fields__]
    return {row["subject_id"] for row in await connection.fetch(_SQL["put_messages"], *columns, now)}


async def waiting_channels(connection: Connection) -> list[int]:
    """The channels through which something wants to go now."""
    return [row["id"] for row in await connection.fetch(_SQL["waiting_channels"])]


async def lock_channel(connection: Connection, channel: int) -> ChannelRow | None:
    """A channel, locked; None where another process has it, or its service wants to be left alone."""
    row = await connection.fetchrow(_SQL["lock_channel"], channel)
    return ChannelRow(**dict(row)) if row else None


async def recent_sends(connection: Connection, channel: int) -> tuple[list[datetime | None], datetime]:
    """When the requests of the last minutes to a channel had their end (None: they have none), and the time now."""
    now = await connection.fetchval(_SQL["clock"])
    rows = await connection.fetch(_SQL["recent_sends"], channel)
    return [row["ended_at"] for row in rows], now


async def next_messages(connection: Connection, channel: int, limit: int, *, personal: bool) -> list[QueuedMessage]:
    """What goes next through a channel, locked, the worst first."""
    return rows_as(QueuedMessage, await connection.fetch(_SQL["next_messages"], channel, personal, limit))


async def alarms(connection: Connection, ids: Collection[UUID]) -> dict[UUID, AlarmRow]:
    """Alarms as messages say them."""
    return {alarm.id: alarm for alarm in rows_as(AlarmRow, await connection.fetch(_SQL["alarms"], list(ids)))}


async def wanting(connection: Connection, ids: Collection[UUID]) -> set[UUID]:
    """Which of these alarms still want somebody, as far as is known now."""
    return {row["id"] for row in await connection.fetch(_SQL["wanting"], list(ids))}


async def bound_gate(connection: Connection) -> None:
    """Waits for no lock longer than a second in this transaction, and holds none much longer if this process stops."""
    await connection.execute(_SQL["bound_gate"])


async def hold_wanting(connection: Connection, ids: Collection[UUID]) -> set[UUID]:
    """Which of these alarms nobody has acknowledged; none of them can be until the transaction ends."""
    return {row["id"] for row in await connection.fetch(_SQL["hold_wanting"], list(ids))}


async def hold_send(connection: Connection, send: UUID) -> bool:
    """Whether a send is still its process's to make; nobody gives it up for lost until the transaction ends."""
    return await connection.fetchval(_SQL["hold_send"], send) is not None


async def drop_messages(connection: Connection, messages: Collection[int]) -> None:
    """Nobody needs these any more."""
    await connection.execute(_SQL["drop_messages"], list(messages))


async def open_send(
    connection: Connection, send: UUID, channel: int, messages: Collection[int], lines: int, lasts_s: float,
    *, repeat: bool,
) -> None:  # fmt: skip
    """A request that is about to be made, for these messages; it counts as lost if it has no end after `lasts_s`."""
    await connection.execute(_SQL["open_send"], send, channel, lasts_s, lines, repeat)
    await connection.execute(_SQL["join_send"], list(messages), send, channel)


async def end_send(
    connection: Connection, send: UUID, outcome: str, code: str = "", reason: str = "", *, again: bool = True
) -> bool:
    """What became of a request; False where it had been given up for lost meanwhile."""
    return await connection.fetchval(_SQL["end_send"], send, outcome, code, reason, again) is not None


async def accept(connection: Connection, send: UUID) -> None:
    """The service has the messages of a request."""
    await connection.execute(_SQL["accept"], send)


async def release(connection: Connection, send: UUID, wanted: Collection[UUID], wait_s: float) -> None:
    """Nothing was sent: messages about what is still wanted wait again, for `wait_s` at least."""
    await connection.execute(_SQL["release"], send, list(wanted), wait_s)


async def advance(connection: Connection, sends: Collection[UUID]) -> list[Turned]:
    """The messages of requests that came to nothing go on by the next channel of their person, or are refused."""
    return rows_as(Turned, await connection.fetch(_SQL["advance"], list(sends)))


async def pause(connection: Connection, channel: int, pause_s: float, why: str) -> None:
    """Nothing goes through a channel for so long; what waits for it goes by another where there is one."""
    await connection.execute(_SQL["pause"], channel, pause_s, why)
    await connection.execute(_SQL["divert"], channel)


async def lose_sends(connection: Connection) -> list[UUID]:
    """Requests whose process died before the answer; each is found once."""
    return [row["id"] for row in await connection.fetch(_SQL["lose_sends"])]


async def hasten(connection: Connection, failed: Collection[tuple[UUID, str]]) -> None:
    """The next step of these (alarm, step) comes now, where that step reached nobody."""
    await connection.execute(_SQL["hasten"], [alarm for alarm, _ in failed], [step for _, step in failed])


async def give_up(connection: Connection) -> None:
    """Ends messages that found nobody for a day."""
    await connection.execute(_SQL["give_up"])


async def of_subject(connection: Connection, subject: UUID) -> list[TryRow]:
    """Whom an alarm or incident was brought to, through what, and what became of each try, in order."""
    return rows_as(TryRow, await connection.fetch(_SQL["of_subject"], subject))
