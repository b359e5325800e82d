"""Incidents, their history, and who answers for them."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from uuid import UUID

import msgspec

from cloud.store.database import Connection, rows_as
from cloud.store.sql import load_queries

_SQL = load_queries("incidents")


class NewIncident(msgspec.Struct, frozen=True, kw_only=True):
    """What is kept of an incident from the beginning; `reporter` is alarm, guard, grid_worker or resident."""

    estate: int
    kind: str
    priority: str
    building: str
    unit: str
    floor: str
    spot: str
    words: str
    reporter: str
    person: int | None
    who: str
    rung: int
    due_in: timedelta
    id: UUID | None = None


class LockedIncident(msgspec.Struct, frozen=True):
    """An incident that a person or a time limit acts on, locked. `person` is who entered it."""

    id: UUID
    number: int
    estate: int
    kind: str
    priority: str
    state: str
    building: str
    unit: str
    floor: str
    spot: str
    words: str
    person: int | None
    assignee: int | None
    rung: int
    changed_at: datetime
    due_at: datetime | None


class LockedAlarm(msgspec.Struct, frozen=True):
    """The alarm that an incident starts from, locked."""

    id: UUID
    rule: str
    priority: str
    kind: str
    device_name: str
    building: str
    unit: str
    floor: str
    spot: str
    estate: int


class Holder(msgspec.Struct, frozen=True):
    """Somebody who holds a role at an estate or above it, at a node of this `level`; nearer ones are deeper."""

    estate: int
    role: str
    level: str
    depth: int
    person: int
    name: str


class Step(msgspec.Struct, frozen=True, kw_only=True):
    """A line of history that is about to be added; `assignee` has the incident from then on."""

    incident: UUID
    at: datetime
    act: str
    from_state: str
    to_state: str
    who: str
    person: int | None = None
    assignee: int | None = None
    limit_s: int | None = None
    told: tuple[int, ...] = ()
    why: str = ""


class StepRow(msgspec.Struct, frozen=True):
    """A line of history as pages show it, with names. `limit_s` runs from it on, where it changed the state."""

    id: int
    at: datetime
    act: str
    from_state: str
    to_state: str
    who: str
    assignee: str | None
    limit_s: int | None
    why: str
    told: list[str]


class IncidentRow(msgspec.Struct, frozen=True):
    """An incident as pages show it; `changed_at` is when its state was reached, `limit_s` what runs since then."""

    id: UUID
    number: int
    kind: str
    priority: str
    state: str
    building: str
    unit: str
    floor: str
    spot: str
    words: str
    reporter: str
    person: int | None
    who: str
    assignee: int | None
    assignee_name: str | None
    rung: int
    label: str | None
    reported_at: datetime
    changed_at: datetime
    limit_s: int | None
    estate_id: int
    estate: str
    timezone: str
    has_caller: bool
    """Somebody left a telephone number."""


class Caller(msgspec.Struct, frozen=True):
    """Who called: personal."""

    name: str
    phone: str


async def moment(connection: Connection, now: datetime | None) -> datetime:
    """The database's time at this moment, or the one that is given."""
    at: datetime = await connection.fetchval(_SQL["now"], now)
    return at


async def put(connection: Connection, new: NewIncident, now: datetime | None) -> tuple[UUID, int, datetime] | None:
    """A new incident; returns its id, its number and when it was reported, or None where there is one of its id."""
    values = msgspec.structs.astuple(new)
    row = await connection.fetchrow(_SQL["put"], *values[:-2], now, new.due_in, new.id)
    return (row["id"], row["number"], row["reported_at"]) if row else None


async def put_caller(connection: Connection, incident: UUID, caller: Caller, now: datetime | None) -> None:
    """Who called about an incident. Those of incidents long over are forgotten."""
    await connection.execute(_SQL["put_caller"], incident, caller.name, caller.phone, now)


async def caller(connection: Connection, incident: UUID) -> Caller | None:
    """Who called; whoever asks writes the look down."""
    row = await connection.fetchrow(_SQL["caller"], incident)
    return Caller(**dict(row)) if row else None


async def lock(connection: Connection, incident: UUID) -> LockedIncident | None:
    """One incident, locked until the transaction ends."""
    row = await connection.fetchrow(_SQL["lock"], incident)
    return LockedIncident(**dict(row)) if row else None


async def lock_due(connection: Connection, limit: int, now: datetime | None) -> list[LockedIncident]:
    """Incidents whose next step is missing, locked; those that somebody else holds are passed over."""
    return rows_as(LockedIncident, await connection.fetch(_SQL["lock_due"], limit, now))


async def move(
    connection: Connection, incident: UUID, state: str, at: datetime, *, assignee: int | None, rung: int, wants: bool,
    due_at: datetime | None, is_open: bool, label: str | None = None,
) -> None:  # fmt: skip
    """The incident's state from now on, and who has it."""
    await connection.execute(_SQL["move"], incident, state, assignee, rung, wants, at, due_at, label, is_open)


async def escalate(connection: Connection, told: Sequence[tuple[UUID, int, datetime]]) -> None:
    """The rungs to which these incidents went, and when the next one is due."""
    await connection.execute(_SQL["escalate"], *(list(column) for column in zip(*told, strict=True)))


async def add_steps(connection: Connection, steps: Sequence[Step]) -> None:
    """Lines of history, in their order."""
    if not steps:
        return
    columns = (
        [step.incident for step in steps],
        [step.at for step in steps],
        [step.act for step in steps],
        [step.from_state for step in steps],
        [step.to_state for step in steps],
        [step.person for step in steps],
        [step.who for step in steps],
        [step.assignee for step in steps],
        [step.limit_s for step in steps],
        [f"{{{','.join(map(str, step.told))}}}" for step in steps],
        [step.why for step in steps],
    )
    await connection.execute(_SQL["add_steps"], *columns)


async def holders(connection: Connection, estates: Sequence[int], roles: Sequence[str]) -> list[Holder]:
    """Who holds these roles at these estates or above them, the nearest first."""
    return rows_as(Holder, await connection.fetch(_SQL["holders"], list(estates), list(roles)))


async def busy(connection: Connection, people: Sequence[int]) -> dict[int, int]:
    """How many open incidents each of these people has; who has none is missing."""
    return {row["assignee"]: row["count"] for row in await connection.fetch(_SQL["busy"], list(people))}


async def declined(connection: Connection, incident: UUID) -> set[int]:
    """Who was sent to an incident and could not go."""
    return {row["was"] for row in await connection.fetch(_SQL["declined"], incident)}


async def lock_alarm(connection: Connection, alarm: UUID, estates: Sequence[int]) -> LockedAlarm | None:
    """An alarm of these estates, locked until the transaction ends."""
    row = await connection.fetchrow(_SQL["lock_alarm"], alarm, list(estates))
    return LockedAlarm(**dict(row)) if row else None


async def of_alarm(connection: Connection, alarm: UUID) -> UUID | None:
    """The open incident of an alarm."""
    incident: UUID | None = await connection.fetchval(_SQL["of_alarm"], alarm)
    return incident


async def join_alarm(connection: Connection, incident: UUID, alarm: UUID) -> bool:
    """The alarm belongs to the incident; False where it does already, or belongs to another open one."""
    return await connection.fetchval(_SQL["join_alarm"], incident, alarm) is not None


async def taken_alarms(connection: Connection, incident: UUID) -> list[UUID]:
    """Alarms of an incident that belong to another open one meanwhile."""
    return [row["alarm"] for row in await connection.fetch(_SQL["taken_alarms"], incident)]


async def alarms(connection: Connection, incident: UUID) -> list[UUID]:
    """The alarms of an incident."""
    return [row["alarm"] for row in await connection.fetch(_SQL["alarms"], incident)]


async def near_alarms(connection: Connection, incident: UUID) -> list[UUID]:
    """Active alarms of the incident's building that belong to no open incident, the nearest first."""
    return [row["id"] for row in await connection.fetch(_SQL["near_alarms"], incident)]


async def joinable(connection: Connection, alarm: UUID, estates: Sequence[int]) -> list[IncidentRow]:
    """Open incidents that an alarm may belong to, the nearest first."""
    return rows_as(IncidentRow, await connection.fetch(_SQL["joinable"], alarm, list(estates)))


async def list_active(connection: Connection, estates: Sequence[int], limit: int) -> list[IncidentRow]:
    """Incidents that want somebody, the worst first; those that are only to be reviewed last."""
    return rows_as(IncidentRow, await connection.fetch(_SQL["list_active"], list(estates), limit))


async def list_over(connection: Connection, estates: Sequence[int], limit: int) -> list[IncidentRow]:
    """Incidents that are over, the newest first."""
    return rows_as(IncidentRow, await connection.fetch(_SQL["list_over"], list(estates), limit))


async def get(connection: Connection, incident: UUID, estates: Sequence[int]) -> IncidentRow | None:
    """One incident of these estates."""
    rows = rows_as(IncidentRow, await connection.fetch(_SQL["get"], incident, list(estates)))
    return rows[0] if rows else None


async def steps(connection: Connection, incident: UUID, limit: int = 500) -> list[StepRow]:
    """An incident's history, oldest first."""
    return rows_as(StepRow, await connection.fetch(_SQL["steps"], incident, limit))


async def wanted(connection: Connection, incidents: Sequence[UUID]) -> set[UUID]:
    """Those of the incidents that still want somebody, locked so that nobody answers before the transaction ends."""
    return {row["id"] for row in await connection.fetch(_SQL["wanted"], list(incidents))}
