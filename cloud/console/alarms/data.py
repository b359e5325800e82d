"""Alarms as the console reads them, and what a person does to one: shapes, and the calls behind them.

As in cloud/console/data.py, every call takes the person who asks, and what lies outside their areas is not there.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Protocol
from uuid import UUID

import msgspec

from cloud.alarms.rules.model import Texts
from cloud.console.data import Action, DeviceRow, Person, Place, Value


class Priority(StrEnum):
    """How bad an alarm is, worst first."""

    CRITICAL = "critical"
    HIGH = "high"
    MEDIUM = "medium"
    LOW = "low"


class AlarmState(StrEnum):
    """The lifecycle of ISA-18.2, as far as a person sees it."""

    UNACK = "UNACK"
    ACKED = "ACKED"
    RTNUN = "RTNUN"
    NORM = "NORM"
    SHLVD = "SHLVD"
    DSUPR = "DSUPR"
    OOSRV = "OOSRV"


HELD_STATES = frozenset({AlarmState.SHLVD, AlarmState.DSUPR, AlarmState.OOSRV})
"""In which an alarm is kept from people."""


class Label(StrEnum):
    """What an alarm turned out to be."""

    REAL = "real"
    FALSE = "false"
    TEST = "test"
    UNKNOWN = "unknown"


class AlarmRow(msgspec.Struct, frozen=True):
    """One alarm as it stands. `value` is the point's value when last judged, `limit` what it was held against.

    `texts` are its rule's, None where that is not known any more; `curve` the telemetry point that the rule wants
    drawn. `device_id` is None for what is about a box, a bus or a place. `late` means that it was over before the cloud
    heard of it; `stale` that its device, or the box behind it, says nothing, so that nobody knows how it stands there
    now; `holds` whether its condition does, whatever the state says.

    What keeps it from people has `hold_until` (it ends by itself then), `hold_why` and `held_by`; a suppressed one has
    its `cause`. `beneath` counts those that it suppresses. `drill` says that it was raised in a fire drill, `repeats`
    how often it came again while it stood, `chattering` that it does so in short order and is told once.

    Of the person who asks: `allowed` is what they may do with it, `undo_until` until when they may take their
    acknowledgement back, `is_mine` that it was given to them.
    """

    id: UUID
    rule: str
    priority: Priority
    state: AlarmState
    device_id: int | None
    device_name: str
    kind: str
    point: str
    place: Place
    raised_at: datetime
    changed_at: datetime
    value: Value = None
    limit: float | None = None
    texts: Texts | None = None
    curve: str = ""
    life_safety: bool = False
    gateway_id: UUID | None = None
    holds: bool = True
    acked_by: str | None = None
    acked_at: datetime | None = None
    assignee: str | None = None
    is_mine: bool = False
    hold_until: datetime | None = None
    hold_why: str = ""
    held_by: str | None = None
    cause: UUID | None = None
    beneath: int = 0
    label: Label | None = None
    drill: bool = False
    repeats: int = 0
    chattering: bool = False
    late: bool = False
    stale: bool = False
    allowed: frozenset[Action] = frozenset()
    undo_until: datetime | None = None


class Transition(msgspec.Struct, frozen=True):
    """One step of an alarm's life. `who` is None where the system itself took it."""

    at: datetime
    from_state: AlarmState
    to_state: AlarmState
    event: str
    who: str | None = None
    why: str | None = None


class Comment(msgspec.Struct, frozen=True):
    """What somebody wrote about an alarm. `who` is None where the system did."""

    at: datetime
    who: str | None
    text: str


class ToldState(StrEnum):
    """What became of telling somebody, as far as is known."""

    WAITS = "waits"
    SENDING = "sending"
    ACCEPTED = "accepted"
    """The service has taken it; whether it was read, nobody knows."""
    REFUSED = "refused"
    UNCERTAIN = "uncertain"
    """It may have arrived: no answer came."""
    DROPPED = "dropped"
    """Somebody had the alarm before it was sent."""


class Told(msgspec.Struct, frozen=True):
    """A try to tell somebody of an alarm: whom, through what, when, and what became of it.

    `who` is empty for whoever reads the channel. `repeat` says that it may have arrived before; `code` and `reason` are
    the service's, where it refused.
    """

    who: str
    channel: str
    state: ToldState
    at: datetime | None = None
    repeat: bool = False
    code: str = ""
    reason: str = ""


class Colleague(msgspec.Struct, frozen=True):
    """Somebody an alarm can be given to."""

    id: str
    name: str
    role: str


class Acknowledge(msgspec.Struct, frozen=True):
    """Somebody has seen it."""


class UndoAcknowledge(msgspec.Struct, frozen=True):
    """The acknowledgement was an accident: possible for a minute, by the same person."""


class Shelve(msgspec.Struct, frozen=True):
    """It is not to be heard of for a time from now, or until then, for a reason."""

    ends: timedelta | datetime
    why: str


class Unshelve(msgspec.Struct, frozen=True):
    """It is to be heard of again."""


class TakeOutOfService(msgspec.Struct, frozen=True):
    """What it comes from is worked on: nobody is to be told of it for a time from now, or until then."""

    ends: timedelta | datetime
    why: str


class ReturnToService(msgspec.Struct, frozen=True):
    """The work is done."""


class Assign(msgspec.Struct, frozen=True):
    """Somebody is on it: a colleague, or whoever asks."""

    to: str | None = None
    """A Colleague's id; None: the person who asks."""


class Say(msgspec.Struct, frozen=True):
    """A comment, for whoever reads the history."""

    text: str


class PutLabel(msgspec.Struct, frozen=True):
    """What it turned out to be."""

    label: Label


Act = (
    Acknowledge | UndoAcknowledge | Shelve | Unshelve | TakeOutOfService | ReturnToService | Assign | Say | PutLabel
)  # fmt: skip
"""What a person does to an alarm."""


class Outcome(StrEnum):
    """What came of an act."""

    DONE = "done"
    ALREADY = "already"
    """It was so already, or the alarm has ended; nothing was changed."""
    REFUSED = "refused"
    """It cannot be done now."""
    MISSING = "missing"
    """There is no such thing for this person."""


class Came(msgspec.Struct, frozen=True):
    """What came of an act, and the sentence why it cannot be done now."""

    outcome: Outcome
    why: str = ""


class Crowd(msgspec.Struct, frozen=True):
    """A building of which many alarms of a flood are."""

    place: Place
    alarms: int


class Flood(msgspec.Struct, frozen=True):
    """More alarms come since `since` than a person can read: how many it has brought, and where, the most first."""

    since: datetime
    alarms: int
    crowds: tuple[Crowd, ...] = ()


class WindowKind(StrEnum):
    """Why alarms of a place are not taken as usual for a while."""

    DRILL = "drill"
    MAINTENANCE = "maintenance"


class Window(msgspec.Struct, frozen=True):
    """A drill or maintenance that is under way."""

    id: str
    kind: WindowKind
    place: Place
    until: datetime
    why: str = ""
    who: str = ""
    devices: int = 0
    """To how many devices of the place it is limited; 0: to none."""
    bus: str = ""
    """To which bus or gateway of the place."""


class Situation(msgspec.Struct, frozen=True):
    """What is unusual now about all alarms that a person sees."""

    flood: Flood | None = None
    windows: tuple[Window, ...] = ()


class AlarmsData(Protocol):
    """Alarms, as the person may see them."""

    async def active_alarms(self, person: Person) -> Sequence[AlarmRow]:
        """All alarms that are neither NORM nor held, in any order."""

    async def held_alarms(self, person: Person, limit: int) -> tuple[Sequence[AlarmRow], int]:
        """What is shelved, out of service or suppressed, and how many there are."""

    async def ended_alarms(self, person: Person, limit: int) -> Sequence[AlarmRow]:
        """The alarms that ended last (NORM), newest first."""

    async def alarm(self, person: Person, alarm_id: UUID) -> AlarmRow | None:
        """One alarm, active or ended."""

    async def alarm_history(self, person: Person, alarm_id: UUID) -> Sequence[Transition]:
        """Its transitions, oldest first."""

    async def alarm_comments(self, person: Person, alarm_id: UUID) -> Sequence[Comment]:
        """What was written about it, oldest first."""

    async def told(self, person: Person, alarm_id: UUID) -> Sequence[Told]:
        """Whom it was brought to, every try, oldest first."""

    async def beneath(self, person: Person, alarm_id: UUID, limit: int) -> Sequence[AlarmRow]:
        """Those that are suppressed because of it, by place."""

    async def colleagues(self, person: Person, alarm_id: UUID) -> Sequence[Colleague]:
        """Whom it can be given to: who may acknowledge it, by name, without the person who asks."""

    async def act(self, person: Person, alarm_id: UUID, act: Act) -> Came:
        """Do it, with its row in the audit log, and wake the topic `alarms` after the commit.

        It is asked here whether the person has the right at the alarm's estate.
        """

    async def situation(self, person: Person) -> Situation:
        """Floods, drills and maintenance under way."""

    async def doors_near(self, person: Person, alarm: AlarmRow) -> Sequence[DeviceRow]:
        """Doors and vehicle gates that help with this alarm, nearest first, at most six."""
