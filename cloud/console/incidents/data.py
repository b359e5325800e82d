"""Incidents and mobilisations as the console reads them, and what a person does to one: shapes, and the calls behind.

As in cloud/console/data.py, every call takes the person who asks, and what lies outside their areas is not there.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from enum import StrEnum
from typing import Protocol
from uuid import UUID

import msgspec

from cloud.console.alarms.data import Label, Priority
from cloud.console.data import Person, Place
from cloud.incidents.machine import Act, State
from contract.messages import CommandStatus


class Kind(StrEnum):
    """What an incident is about."""

    FIRE = "fire"
    WATER = "water"
    PERSON = "person"
    SECURITY = "security"
    FACILITY = "facility"
    OTHER = "other"


class Reporter(StrEnum):
    """From whom it was heard."""

    ALARM = "alarm"
    GUARD = "guard"
    GRID_WORKER = "grid_worker"
    RESIDENT = "resident"


class IncidentRow(msgspec.Struct, frozen=True):
    """One incident as it stands: `changed_at` is when its state was reached, `limit_s` what runs since then.

    `rung` is how far up people were told that the next step is missing. Of the person who asks: `is_mine` that they
    were sent, `may` what they may do to it.
    """

    id: UUID
    number: int
    kind: Kind
    priority: Priority
    state: State
    place: Place
    words: str
    reporter: Reporter
    reported_by: str
    reported_at: datetime
    changed_at: datetime
    limit_s: int | None
    assignee: str | None = None
    assignee_id: str = ""
    is_mine: bool = False
    label: Label | None = None
    has_caller: bool = False
    may: frozenset[Act] = frozenset()


class Step(msgspec.Struct, frozen=True):
    """A line of history. `limit_s` runs from it on, where it changed the state; `who` is None for the system."""

    at: datetime
    act: str
    from_state: State
    to_state: State
    who: str | None
    assignee: str | None = None
    limit_s: int | None = None
    told: tuple[str, ...] = ()
    why: str = ""


class Candidate(msgspec.Struct, frozen=True):
    """Somebody who can be sent, the first choice first; `busy` open incidents are theirs."""

    id: str
    name: str
    role: str
    busy: int


class Incident(msgspec.Struct, frozen=True):
    """One incident with its history, its alarms, those that may belong to it, and who can be sent."""

    row: IncidentRow
    steps: tuple[Step, ...]
    alarms: tuple[UUID, ...] = ()
    near: tuple[UUID, ...] = ()
    candidates: tuple[Candidate, ...] = ()


class Caller(msgspec.Struct, frozen=True):
    """Who called: personal, and each look is in the audit log."""

    name: str
    phone: str


class Estate(msgspec.Struct, frozen=True):
    """An estate where a person may report."""

    id: int
    name: str


class NewReport(msgspec.Struct, frozen=True, kw_only=True):
    """What somebody reports. `id` is of the form: sent twice, it is one incident."""

    id: UUID
    estate: int
    kind: Kind
    priority: Priority
    words: str
    building: str = ""
    unit: str = ""
    floor: str = ""
    spot: str = ""
    caller: Caller | None = None


class Outcome(StrEnum):
    """What came of it."""

    DONE = "done"
    ALREADY = "already"
    """Somebody was quicker; nothing was changed."""
    REFUSED = "refused"
    """Something is missing: `why` names it."""
    MISSING = "missing"


class Came(msgspec.Struct, frozen=True):
    """What came of it, and the incident or mobilisation that there is now."""

    outcome: Outcome
    id: UUID | None = None
    why: str = ""


class RollAnswer(StrEnum):
    """What somebody who was called answers."""

    COMING = "coming"
    THERE = "there"
    CANNOT = "cannot"


class PlanRow(msgspec.Struct, frozen=True):
    """A plan: whom it calls, how many devices it asks what, whether residents are told, how long it lasts."""

    estate_id: int
    estate: str
    name: str
    title: Mapping[str, str]
    roles: tuple[str, ...]
    people: int
    doors: int
    says: int
    residents: int
    lasts_h: float
    running: UUID | None = None
    """The mobilisation of this plan that runs now, a drill aside."""


class Called(msgspec.Struct, frozen=True):
    """Somebody who was called. `by` is who entered the answer, where they did not themselves."""

    id: str
    name: str
    answer: RollAnswer | None = None
    at: datetime | None = None
    by: str = ""


class Asked(msgspec.Struct, frozen=True):
    """What was asked of a device. `status` is None where it could not be ordered: `reason` says why."""

    device_id: int
    name: str
    kind: str
    place: Place
    point: str
    status: CommandStatus | None
    reason: str = ""


class MobilisationRow(msgspec.Struct, frozen=True):
    """A mobilisation. `ended_by` is empty where it ended by itself."""

    id: UUID
    estate: str
    title: Mapping[str, str]
    drill: bool
    who: str
    started_at: datetime
    ends_at: datetime
    ended_at: datetime | None = None
    ended_by: str = ""
    incident: UUID | None = None
    may_lead: bool = False
    """The person who asks may end it, and enter answers of others."""


class Mobilisation(msgspec.Struct, frozen=True):
    """One mobilisation with its roll-call and what its devices answered."""

    row: MobilisationRow
    roll: tuple[Called, ...]
    asked: tuple[Asked, ...] = ()


class IncidentsData(Protocol):
    """Incidents and mobilisations, as the person may see them."""

    async def active_incidents(self, person: Person, limit: int) -> Sequence[IncidentRow]:
        """Those that want somebody, the worst first; those that are only to be reviewed last."""

    async def ended_incidents(self, person: Person, limit: int) -> Sequence[IncidentRow]:
        """Those that are over, the newest first."""

    async def incident(self, person: Person, incident_id: UUID) -> Incident | None:
        """One incident."""

    async def report_estates(self, person: Person) -> Sequence[Estate]:
        """Where the person may report, by name."""

    async def report(self, person: Person, report: NewReport) -> Came:
        """A new incident of what the person says."""

    async def follow_up(self, person: Person, alarm_id: UUID) -> Came:
        """The incident of an alarm: the one that is open, or a new one."""

    async def do(
        self, person: Person, incident_id: UUID, act: Act, *, why: str = "", to: str = "", label: str = ""
    ) -> Came:
        """The next step, with its row in the audit log; wakes the topic `incidents` after the commit."""

    async def comment(self, person: Person, incident_id: UUID, words: str) -> Came:
        """A line in its history."""

    async def join(self, person: Person, incident_id: UUID, alarm_id: UUID) -> Came:
        """One more alarm of it."""

    async def caller(self, person: Person, incident_id: UUID) -> Caller | None:
        """Who called; the look is written down."""

    async def plans(self, person: Person) -> Sequence[PlanRow]:
        """The plans that the person may start."""

    async def mobilisations(self, person: Person, limit: int) -> Sequence[MobilisationRow]:
        """The newest, those that run first."""

    async def mobilisation(self, person: Person, mobilisation_id: UUID) -> Mobilisation | None:
        """One of the person's estates, or one to which they were called."""

    async def mobilise(
        self, person: Person, estate: int, plan: str, *, drill: bool, incident_id: UUID | None = None
    ) -> Came:
        """Starts a plan; ALREADY with the one that runs."""

    async def answer(self, person: Person, mobilisation_id: UUID, called: str, answer: RollAnswer) -> Came:
        """What somebody who was called says: the person themselves, or through whoever leads."""

    async def end(self, person: Person, mobilisation_id: UUID) -> Came:
        """Ends it."""
