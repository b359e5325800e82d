"""What a rule is, as it stands in a file of the pack and in the database: when it holds, how bad that is, what to say.

A rule looks at points of kinds (contract/kinds.py), never at registers. What it takes to judge one is in judge.py.
"""

from typing import Annotated, Any, Literal

import msgspec

from contract.kinds import KINDS, Kind, Point, PointType, Word
from contract.profile import Name

Priority = Literal["critical", "high", "medium", "low"]
"""How fast somebody has to act: critical is about life."""
PRIORITIES: tuple[Priority, ...] = ("critical", "high", "medium", "low")
Seconds = Annotated[float, msgspec.Meta(ge=0, le=86_400 * 7, description="seconds, a week at most")]
Window = Annotated[float, msgspec.Meta(gt=0, le=86_400 * 7, description="seconds, above 0, a week at most")]
LocalTime = Annotated[str, msgspec.Meta(pattern=r"^([01]\d|2[0-3]):[0-5]\d$", description="hours and minutes: 23:00")]
Day = Literal["mon", "tue", "wed", "thu", "fri", "sat", "sun"]
DAYS: tuple[Day, ...] = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
Fields = dict[str, str | int | float | bool]
"""What an event carries."""

_SILENT = Point(
    "silent",
    PointType.STATE,
    "通信",
    "contact",
    words=(Word("heard", "正常", "heard"), Word("silent", "失联", "silent")),
)
WATCHED: dict[str, Kind] = {
    "gateway": Kind(
        "gateway",
        "网关",
        "gateway",
        {
            point.name: point
            for point in (
                _SILENT,
                Point("clock_offset_s", PointType.TELEMETRY, "时钟偏差", "clock offset", unit="s"),
                Point("backlog_blocks", PointType.TELEMETRY, "积压块数", "backlog in blocks"),
            )
        },
    ),
    "bus": Kind("bus", "总线", "bus", {_SILENT.name: _SILENT}),
}
"""What is no device but that the cloud watches by itself, in the words of the vocabulary."""
RULE_KINDS = KINDS | WATCHED
"""Every kind that a rule may look at."""


class State(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A point says one of some words."""

    form: Literal["state"]
    """`state`: judged at each change."""
    point: str
    """The state's name in the vocabulary."""
    words: list[str]
    """Its words that are an alarm."""


class Event(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Something happened. It stands for a while, from the newest time on at which it happened."""

    form: Literal["event"]
    """`event`: judged each time it happens."""
    point: str
    """The event's name in the vocabulary."""
    fields: Fields = {}
    """Only events that carry all of these."""
    stands_s: Window
    """For how long it counts as still being so: nothing tells when it is over."""


class Stage(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A limit, and how bad it is to reach it."""

    at: float
    """The value, or the change, at which the stage begins."""
    priority: Priority
    """`critical`, `high`, `medium` or `low`."""


class Threshold(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A number reaches a limit."""

    form: Literal["threshold"]
    """`threshold`: judged at each good reading."""
    points: list[str]
    """Telemetry, each judged by itself: voltage_a, voltage_b, voltage_c."""
    side: Literal["above", "below", "either"]
    """On which side of the limits it is bad, the limit itself included; `either`: whatever its sign is."""
    stages: list[Stage]
    """From the mildest to the worst."""
    hysteresis: Annotated[float, msgspec.Meta(ge=0)] = 0.0
    """By so much it has to come back beyond a limit before the stage is over."""


class Rate(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A number changes fast: by so much from the least (the most) that it was within a time.

    A number that nothing new is said of counts as unchanged; what is less than a sixteenth of the first stage as well.
    """

    form: Literal["rate"]
    """`rate`: judged at each good reading."""
    points: list[str]
    """Telemetry, each judged by itself."""
    direction: Literal["rises", "falls"]
    """Which way is bad."""
    over_s: Window
    """The time within which the change counts."""
    stages: list[Stage]
    """Changes, from the mildest to the worst."""
    hysteresis: Annotated[float, msgspec.Meta(ge=0)] = 0.0
    """By so much the change has to come back below a stage before that is over."""
    gap_s: Window = 3600.0
    """After so much more than `over_s` without a reading the comparison begins anew: nobody knows what was between."""

    @property
    def step(self) -> float:
        """A change that is less than this counts as none."""
        return self.stages[0].at / 16


class Count(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Something happens again and again: an event, or that a state becomes one of some words."""

    form: Literal["count"]
    """`count`: judged each time it happens, and when the time is over."""
    point: str
    """An event or a state."""
    words: list[str] = []
    """For a state: its words that count."""
    fields: Fields = {}
    """For an event: only those that carry all of these."""
    times: Annotated[int, msgspec.Meta(ge=2, le=100)]
    """So often."""
    within_s: Window
    """Within this time."""


class Silence(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Nothing is heard of somebody for a number of intervals."""

    form: Literal["silence"]
    """`silence`: judged when somebody falls silent, and when they are heard again."""
    subject: Literal["device", "gateway", "bus", "point"]
    """Who is silent. Of devices the box says so, and of boxes and buses the cloud after three intervals."""
    point: str = ""
    """For subject `point`: which one."""
    intervals: Annotated[float, msgspec.Meta(ge=1, le=1000)] = 3.0
    """For subject `point`: how many times its usual interval; else 3, as boxes judge."""


class Member(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What counts as one of k: a kind's state in some words, or an event."""

    kind: str
    """Of which kind it is."""
    point: str
    """Its state, or its event."""
    words: list[str] = []
    """For a state: its words that count."""


class KOfN(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Several devices of one place agree. All manual call points together count as one (GB 50116 4.1.6)."""

    form: Literal["k_of_n"]
    """`k_of_n`: judged whenever one of them changes."""
    k: Annotated[int, msgspec.Meta(ge=2, le=16)]
    """So many independent ones."""
    of: list[Member]
    """What counts."""
    within: Literal["unit", "building", "estate"]
    """The place in which they have to be."""
    within_s: Window
    """Only those that began within this time of each other; an event counts for so long."""


Form = State | Event | Threshold | Rate | Count | Silence | KOfN
FORMS: dict[str, type[Form]] = {
    "state": State, "event": Event, "threshold": Threshold, "rate": Rate, "count": Count, "silence": Silence,
    "k_of_n": KOfN,
}  # fmt: skip


class Schedule(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True, rename={"from_": "from"}):
    """When a rule counts, in the estate's local time. A night belongs to the day on which it began."""

    from_: LocalTime = "00:00"
    """When it begins to count."""
    to: LocalTime = "00:00"
    """When it ends; the same as `from`, or earlier: on the next day."""
    days: list[Day] = []
    """Only on these days of the week; all without any."""
    days_off: Literal["any", "only", "never"] = "any"
    """Whether it counts on days off: weekends and holidays, without weekend days worked in exchange for a holiday."""


class Text(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What people are told, in one language. It is read aloud to somebody who was asleep a minute ago."""

    title: Annotated[str, msgspec.Meta(min_length=1, max_length=60)]
    """What is wrong, in a few words; {kind} stands for the kind of device."""
    meaning: Annotated[str, msgspec.Meta(min_length=1, max_length=300)]
    """What that means, in a sentence or two."""
    do: Annotated[list[Annotated[str, msgspec.Meta(min_length=1, max_length=200)]], msgspec.Meta(min_length=1, max_length=5)]  # fmt: skip  # noqa: E501
    """What to do first, in order."""
    who: Annotated[str, msgspec.Meta(min_length=1, max_length=100)]
    """Who does it."""


class Texts(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What people are told, by language."""

    zh: Text
    """In Chinese."""
    en: Text
    """In English."""


class Rule(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One rule: what it looks at, when that is an alarm, how bad it is, and what people are told."""

    name: Name
    """Names it in the database; the file's name."""
    kinds: list[str] = []
    """Kinds of devices; all that have the point without any."""
    except_kinds: list[str] = []
    """Kinds that other rules look after."""
    areas: list[int] = []
    """Ids of areas whose devices it looks at, with all beneath; everywhere without any."""
    devices: list[int] = []
    """Ids of devices; all without any."""
    except_devices: list[int] = []
    """Ids of devices that other rules look after."""
    form: Form
    """When the condition holds."""
    priority: Priority = "medium"
    """How bad it is; stages have their own."""
    priorities: dict[str, Priority] = {}
    """Kinds for which it is worse, or less bad."""
    on_delay_s: Seconds = 0.0
    """For so long the condition has to hold without interruption before it counts."""
    off_delay_s: Seconds = 0.0
    """For so long it has to be over before it counts as over."""
    when: Schedule | None = None
    """When the rule counts; always without it."""
    life_safety: bool = False
    """It is about life: it cannot be shelved for longer than 15 minutes and is never silent."""
    curve: str = ""
    """The telemetry point of the device that shows it best."""
    text: Texts
    """What people are told."""

    @property
    def points(self) -> tuple[str, ...]:
        """The points that it looks at, each of which it judges by itself; all of a place for k of n."""
        form = self.form
        match form:
            case Threshold() | Rate():
                return tuple(form.points)
            case KOfN():
                return tuple({member.point: None for member in form.of})
            case Silence():
                return (
                    {"device": "link", "gateway": "silent", "bus": "silent"}.get(form.subject) or silent(form.point),
                )
            case State() | Event() | Count():
                return (form.point,)

    @property
    def stages(self) -> int:
        """How many stages it has."""
        return len(self.form.stages) if isinstance(self.form, Threshold | Rate) else 1

    def priority_at(self, kind: str, stage: int = 1) -> Priority:
        """How bad a stage is at a source of this kind."""
        if isinstance(self.form, Threshold | Rate):
            return self.form.stages[min(stage, self.stages) - 1].priority
        return self.priorities.get(kind, self.priority)

    def looks_at(self, kind: str, point: str) -> bool:
        """Whether it looks at a point of a kind, wherever that is."""
        form = self.form
        if isinstance(form, KOfN):
            return any(member.kind == kind and member.point == point for member in form.of)
        if isinstance(form, Silence) and form.subject in WATCHED and kind != form.subject:
            return False
        return point in self.points and (not self.kinds or kind in self.kinds) and kind not in self.except_kinds


def silent(point: str) -> str:
    """The name of the watched point that says for how many of its intervals nothing was heard of a point."""
    return f"{point}.silent"


def rule_of(body: dict[str, Any]) -> Rule:
    """The rule that a body of the database holds. Raises msgspec.ValidationError, or KeyError for an unknown form."""
    form: Form = msgspec.convert(body["form"], FORMS[body["form"]["form"]])
    values = {
        field.name: msgspec.convert(body[field.encode_name], field.type)
        for field in msgspec.structs.fields(Rule)
        if field.encode_name in body and field.name != "form"
    }
    return Rule(**values, form=form)


def body_of(rule: Rule) -> dict[str, Any]:
    """The rule as the database holds it."""
    body: dict[str, Any] = msgspec.to_builtins(rule)
    return body
