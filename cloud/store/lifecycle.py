"""Alarms as they are moved: locked, changed in memory, written back; many at once, a statement a step."""

from collections.abc import Collection, Sequence
from datetime import datetime
from uuid import UUID

import msgspec

from cloud.store.database import Connection, rows_as
from cloud.store.sql import load_queries
from contract.errors import Retryable

_SQL = load_queries("lifecycle")


class Live(msgspec.Struct):
    """An alarm that is locked, or is about to be made: what of it can change, and what it is about."""

    id: UUID
    rule: str
    rule_version: int
    source: str
    series: int | None
    device: int | None
    gateway: UUID | None
    estate: int
    priority: str
    state: str
    holds: bool
    stage: int
    value: str
    raised_at: datetime
    late: bool = False
    announced_at: datetime | None = None
    acked_at: datetime | None = None
    acked_by: int | None = None
    hold_until: datetime | None = None
    hold_why: str = ""
    held_by: int | None = None
    cause: UUID | None = None
    repeats: int = 0
    chattering: bool = False
    warn_at: datetime | None = None
    clears_at: datetime | None = None
    ended_at: datetime | None = None


class Step(msgspec.Struct, frozen=True):
    """One line of an alarm's history: what happened, when, through whom and why."""

    alarm: UUID
    at: datetime
    from_state: str
    to_state: str
    event: str
    who: str
    person: int | None = None
    why: str = ""


async def time(connection: Connection, now: datetime | None) -> datetime:
    """What time it is: the database's, or the one given."""
    at: datetime = await connection.fetchval(_SQL["time"], now)
    return at


async def lock_active(connection: Connection, sources: Sequence[tuple[str, str]]) -> dict[tuple[str, str], Live]:
    """The active alarms of these (rule, source), locked until the transaction ends."""
    rows = await connection.fetch(_SQL["lock_active"], [rule for rule, _ in sources], [source for _, source in sources])
    return {(alarm.rule, alarm.source): alarm for alarm in rows_as(Live, rows)}


async def lock(connection: Connection, alarms: Collection[UUID]) -> list[Live]:
    """Alarms by their ids, active or not, locked until the transaction ends."""
    return rows_as(Live, await connection.fetch(_SQL["lock"], list(alarms)))


async def lock_due(connection: Connection, limit: int, now: datetime | None) -> list[Live]:
    """Alarms of which something is due, locked; those that another process has are its own."""
    return rows_as(Live, await connection.fetch(_SQL["lock_due"], now, limit))


async def lock_of_rules(
    connection: Connection, known: Collection[str], changed: Collection[str], after: UUID, limit: int
) -> list[Live]:
    """Some active alarms, by id from `after` on, of rules that are not `known` or that have `changed`; locked."""
    return rows_as(Live, await connection.fetch(_SQL["lock_of_rules"], list(known), list(changed), after, limit))


async def add(connection: Connection, alarms: Sequence[Live], now: datetime | None) -> None:
    """New alarms. Raises Retryable where somebody else has just made one of the same rule and source."""
    made = await connection.fetch(
        _SQL["add"], [a.id for a in alarms], [a.rule for a in alarms], [a.rule_version for a in alarms],
        [a.source for a in alarms], [a.series for a in alarms], [a.device for a in alarms],
        [a.gateway for a in alarms], [a.estate for a in alarms], [a.priority for a in alarms],
        [a.state for a in alarms], [a.holds for a in alarms], [a.stage for a in alarms], [a.value for a in alarms],
        [a.raised_at for a in alarms], [a.late for a in alarms], [a.hold_until for a in alarms],
        [a.hold_why for a in alarms], [a.cause for a in alarms], [a.warn_at for a in alarms],
        [a.repeats for a in alarms], [a.chattering for a in alarms], [a.clears_at for a in alarms], now,
    )  # fmt: skip
    if len(made) != len(alarms):
        raise Retryable("an alarm of the same source was raised at the same moment", after_s=0.1)


async def put(connection: Connection, alarms: Sequence[Live], now: datetime | None) -> None:
    """Writes locked alarms back as they stand now."""
    await connection.execute(
        _SQL["put"], [a.id for a in alarms], [a.rule_version for a in alarms], [a.priority for a in alarms],
        [a.state for a in alarms], [a.holds for a in alarms], [a.stage for a in alarms], [a.value for a in alarms],
        [a.acked_at for a in alarms], [a.acked_by for a in alarms], [a.hold_until for a in alarms],
        [a.hold_why for a in alarms], [a.held_by for a in alarms], [a.cause for a in alarms],
        [a.repeats for a in alarms], [a.chattering for a in alarms], [a.warn_at for a in alarms],
        [a.clears_at for a in alarms], now,
    )  # fmt: skip


async def add_steps(connection: Connection, steps: Sequence[Step]) -> None:
    """Lines of history, in their order."""
    await connection.execute(
        _SQL["add_transitions"], [s.alarm for s in steps], [s.at for s in steps], [s.from_state for s in steps],
        [s.to_state for s in steps], [s.event for s in steps], [s.person for s in steps], [s.who for s in steps],
        [s.why for s in steps],
    )  # fmt: skip


async def announce(connection: Connection, alarms: Collection[UUID], now: datetime | None) -> list[UUID]:
    """Those of these alarms that want somebody as they stand now."""
    return [row["id"] for row in await connection.fetch(_SQL["announce"], list(alarms), now)]


async def raises(connection: Connection, alarms: Collection[UUID], since: datetime) -> dict[UUID, list[datetime]]:
    """When these alarms were raised, or came once more, after `since`."""
    found: dict[UUID, list[datetime]] = {}
    for row in await connection.fetch(_SQL["raises"], list(alarms), since):
        found.setdefault(row["alarm"], []).append(row["at"])
    return found


async def assign(connection: Connection, alarm: UUID, person: int | None) -> bool:
    """Somebody is on it, or nobody any more; whether that is a change."""
    return bool(await connection.execute(_SQL["assign"], alarm, person) != "UPDATE 0")


async def label(connection: Connection, alarm: UUID, word: str | None) -> bool:
    """What it was: real, false, test or unknown; whether that is a change."""
    return bool(await connection.execute(_SQL["label"], alarm, word) != "UPDATE 0")


async def add_comment(
    connection: Connection, alarm: UUID, person: int, who: str, text: str, now: datetime | None
) -> None:
    """What somebody wrote about it."""
    await connection.execute(_SQL["add_comment"], alarm, person, who, text, now)
