"""What the console reads and asks for: the shapes it is given and the few calls behind them.

The store and identity fulfil these protocols; the console holds no SQL. Every call takes the person who asks: what
lies outside that person's areas is not there (None, or missing from the list), so that a page cannot forget to ask.
Times are aware datetimes in UTC.
"""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from enum import StrEnum
from typing import Protocol
from uuid import UUID

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from contract.block import Header
from contract.messages import CommandStatus, Quality
from contract.session import GatewayReport

Value = float | str | None
"""A telemetry number, a state's code, or nothing known."""


class Action(StrEnum):
    """What a role may allow besides looking."""

    ACKNOWLEDGE = "acknowledge"
    COMMAND = "command"
    DISPATCH = "dispatch"
    """Send somebody, call an incident off, mobilise."""
    RESPOND = "respond"
    """Report an incident, go there, say what was found."""
    SHELVE = "shelve"
    """Keep an alarm from people for a while, with a reason."""
    RULES = "rules"
    """Switch rules, and take alarms out of service."""
    MANAGE = "manage"
    """Decide what becomes of data that could not be stored."""


class Person(msgspec.Struct, frozen=True):
    """Who is signed in. `role` is the vocabulary's name (operator); `language` their own setting, if they made one.

    `session` tells one session of a person from another; it is not the session's token. `session_ends` is when they
    have to sign in again.
    """

    id: str
    name: str
    role: str
    actions: frozenset[Action] = frozenset()
    language: str | None = None
    session: str = ""
    session_ends: datetime | None = None

    def may(self, action: Action) -> bool:
        """Whether this person's role allows the action somewhere; where is the store's check."""
        return action in self.actions


class Place(msgspec.Struct, frozen=True):
    """Where a thing is. Each part is free text and may be missing; a bare number gets its noun when said."""

    estate: str
    building: str | None = None
    unit: str | None = None
    floor: str | None = None
    spot: str | None = None


class PointNow(msgspec.Struct, frozen=True):
    """A point's latest value and how far to trust it. `at` is None where nothing was ever heard."""

    point: str
    value: Value
    quality: Quality
    at: datetime | None


class DeviceRow(msgspec.Struct, frozen=True):
    """A device with what is known of it now. `commands` are the command points its profile has."""

    id: int
    name: str
    kind: str
    profile: str
    gateway_name: str
    place: Place
    points: tuple[PointNow, ...] = ()
    commands: tuple[str, ...] = ()


class EventRow(msgspec.Struct, frozen=True):
    """Something that happened at a device: an event with its fields, or a state's change with its new `value`.

    `names` says what devices are called that the fields name by the id that their box has for them.
    """

    at: datetime
    point: str
    value: Value = None
    fields: Mapping[str, str | int | float | bool] = {}
    names: Mapping[str, str] = {}


class CommandRow(msgspec.Struct, frozen=True):
    """An order and what became of it. `reason` is the box's sentence where it was not executed."""

    id: str
    device_id: int
    point: str
    args: Mapping[str, str | int | float | bool]
    status: CommandStatus
    by: str
    at: datetime
    answered_at: datetime | None = None
    reason: str = ""


class Series(msgspec.Struct, frozen=True):
    """A telemetry point over time, in its unit, oldest first: buckets, or raw readings where `low` is `high`.

    `t` is Unix time in seconds at a bucket's start. Two neighbours further apart than `gap_s` have a gap between them.
    """

    t: Sequence[float]
    low: Sequence[float]
    high: Sequence[float]
    mean: Sequence[float]
    gap_s: float


class SessionState(StrEnum):
    """How a gateway stands to the cloud."""

    ONLINE = "online"
    OFFLINE = "offline"
    NEVER = "never"
    """Enrolled, or only claimed, and never seen."""
    REVOKED = "revoked"


class GatewayRow(msgspec.Struct, frozen=True):
    """A box and how it does. `backlog` is blocks on its disk not yet acknowledged, None where it has not said.

    `clock_error_s` bounds how wrong its time may be, None while its clock is not trusted.
    """

    id: str
    name: str
    estate: str
    session: SessionState
    last_seen_at: datetime | None = None
    version: str = ""
    backlog: int | None = None
    clock_error_s: float | None = None
    devices: int = 0
    shared: bool = False
    lost: int = 0
    quarantined: int = 0


class StreamNow(msgspec.Struct, frozen=True):
    """A stream of a box: blocks that wait on it (None: it has not said), the last one stored, and when that was."""

    stream: str
    waiting: int | None
    number: int | None = None
    stored_at: datetime | None = None


class Run(msgspec.Struct, frozen=True):
    """A run of a box's machine, when the cloud first heard of it, and how well its time is known, if at all."""

    at: datetime
    error_s: float | None
    source: str


class Chain(msgspec.Struct, frozen=True):
    """A chain of a box's blocks. One that is not the first of its stream had a reason."""

    stream: str
    opened_at: datetime
    closed_at: datetime | None
    last_number: int | None
    is_first: bool


class Loss(msgspec.Struct, frozen=True):
    """What a box had to give up, and who has looked at that."""

    id: int
    stream: str
    items: int
    reason: str
    at: datetime
    seen_at: datetime | None = None
    seen_by: str | None = None


class Unseen(msgspec.Struct, frozen=True):
    """What a box gave up that nobody has looked at: receipts, what they held, the newest of them."""

    count: int = 0
    items: int = 0
    last: int = 0


class Gateway(msgspec.Struct, frozen=True):
    """One box with all that is known of it. `report` is its own newest, None where it never sent one."""

    row: GatewayRow
    enrolled_at: datetime
    site_digest: str = ""
    shared_at: datetime | None = None
    replaced_by: str = ""
    replaced: tuple[str, ...] = ()
    streams: tuple[StreamNow, ...] = ()
    runs: tuple[Run, ...] = ()
    chains: tuple[Chain, ...] = ()
    losses: tuple[Loss, ...] = ()
    unseen: Unseen = Unseen()
    reported_at: datetime | None = None
    report: GatewayReport | None = None


class SetAside(msgspec.Struct, frozen=True):
    """A block that could not be stored, why, and when it was after all, if it was."""

    id: int
    gateway_id: str
    gateway_name: str
    estate: str
    stream: str
    epoch: int
    number: int
    bytes: int
    reason: str
    at: datetime
    replayed_at: datetime | None = None


class Readable(msgspec.Struct, frozen=True):
    """What can still be read of such a block: its header, and its body's size or why that cannot be read.

    `problem` is why not even the header can be; then there is nothing else.
    """

    header: Header | None = None
    body_bytes: int | None = None
    problem: str = ""


class ReplayOutcome(StrEnum):
    """Whether a block that was set aside is stored now."""

    STORED = "stored"
    ALREADY = "already"
    REFUSED = "refused"
    MISSING = "missing"


class Replay(msgspec.Struct, frozen=True):
    """What came of storing a block once more. `reason` says why it was refused again."""

    outcome: ReplayOutcome
    reason: str = ""


class SilentGateway(msgspec.Struct, frozen=True):
    """A box that says nothing, since when, and how many devices nobody knows of because of it."""

    id: str
    name: str
    estate: str
    seen_at: datetime | None
    devices: int


class SignedOut(StrEnum):
    """Why a browser that was signed in is so no more."""

    EXPIRED = "expired"
    ENDED = "ended"
    """By somebody: the account was disabled, its password changed, or the session ended elsewhere."""
    LEFT = "left"
    """By the person, with the button."""


class SignIn(msgspec.Struct, frozen=True):
    """What came of a login. `retry_after_s` is above 0 where there were too many tries."""

    ok: bool
    retry_after_s: int = 0


class DevicesData(Protocol):
    """Devices, as the person may see them."""

    async def devices(self, person: Person, search: str, limit: int) -> Sequence[DeviceRow]:
        """Devices by building, unit, floor and name whose name or place has every word of `search`."""

    async def device(self, person: Person, device_id: int) -> DeviceRow | None:
        """One device with all its points."""

    async def events(
        self, person: Person, device_id: int, since: datetime, limit: int, *, opened: bool = False
    ) -> Sequence[EventRow]:
        """Events and state changes, newest first.

        A look at access events goes to the audit log: once a page that is `opened`, not at each of its live updates.
        """

    async def commands(self, person: Person, device_id: int, limit: int) -> Sequence[CommandRow]:
        """Orders to the device, newest first."""

    async def series(
        self, person: Person, device_id: int, point: str, since: datetime, until: datetime, most: int
    ) -> Series:
        """A telemetry point between two times, in at most `most` buckets, from the roll-ups where those suffice."""

    async def send_command(
        self, person: Person, device_id: int, point: str, args: Mapping[str, str | int | float | bool]
    ) -> CommandRow | None:
        """Queue an order with its row in the audit log; None where there is no such device for this person."""

    async def topics(self, person: Person, wanted: Collection[str]) -> Mapping[str, str]:
        """The wake-ups that this person may hear, each with the page's name for it.

        Pages ask for `alarms`, `devices`, `gateways` and `device:<id>`; what is beyond the person's areas is missing.
        """


class GatewaysData(Protocol):
    """Gateways, as the person may see them."""

    async def gateways(self, person: Person) -> Sequence[GatewayRow]:
        """All boxes, by estate and name. Boxes of one name carry the beginning of their ids."""

    async def silent(self, person: Person) -> Sequence[SilentGateway]:
        """Those that say nothing, named in the same way."""

    async def gateway(self, person: Person, gateway_id: UUID) -> Gateway | None:
        """One box, also one that was revoked."""

    async def see_losses(self, person: Person, gateway_id: UUID, last: int) -> bool:
        """Mark what a box gave up as looked at, up to receipt `last`, with a line in the audit log; False: no such box.

        Wakes the topic `gateways` after the commit.
        """


class QuarantineData(Protocol):
    """Blocks that could not be stored, as the person may see them."""

    @property
    def can_replay(self) -> bool:
        """Whether storing them once more can be asked for here."""

    async def set_aside(self, person: Person, gateway_id: UUID | None, limit: int) -> tuple[Sequence[SetAside], int]:
        """Those of one box or of all, newest first, and how many there are. What was stored since is left out."""

    async def block(self, person: Person, block_id: int) -> tuple[SetAside, Readable] | None:
        """One of them, with what can be read of it."""

    async def replay(self, person: Person, block_id: int) -> Replay:
        """Try to store it once more, with a line in the audit log."""

    async def drop(self, person: Person, block_id: int) -> bool:
        """Let it go for good, with a line in the audit log; False: no such block."""


class Identity(Protocol):
    """Who is asking. The session cookie is identity's alone."""

    async def person(self, request: Request) -> Person | None:
        """Who the request's session says, or None; also None once the session was ended or the rights taken away."""

    def signed_out(self, request: Request) -> SignedOut | None:
        """Why a request without a person has none; None for a browser in which nobody was signed in before."""

    async def sign_in(self, request: Request, response: Response, login: str, password: str) -> SignIn:
        """Check a login; on success set the session cookie on the response."""

    async def sign_out(self, request: Request, response: Response) -> None:
        """End the session and clear its cookie."""
