"""View of one alarm: its facts, what to do, what can be done with it, and which curve belongs to it."""

from collections.abc import Sequence
from datetime import datetime, timedelta

import msgspec

from cloud.console.alarm.history import Entry, entries, why_words
from cloud.console.alarm.holding import Choice, outages, shelves
from cloud.console.alarm.telling import ToldLine, told_lines
from cloud.console.alarms.data import (
    HELD_STATES,
    AlarmRow,
    AlarmState,
    Colleague,
    Comment,
    Label,
    Told,
    Transition,
)
from cloud.console.alarms.view import AlarmLine, alarm_line
from cloud.console.chart import Limit
from cloud.console.command.view import Commanded, commanded
from cloud.console.data import Action, CommandRow, DeviceRow, PointNow
from cloud.console.frame.view import role_word
from cloud.console.i18n import N_
from cloud.console.words import Voice
from cloud.console.words.alarms import label_word, priority_word, state_word, text_of, title
from cloud.console.words.points import is_telemetry, kind_name, point_name, value_words
from cloud.console.words.times import Moment, moment
from contract.messages import Quality

AROUND = timedelta(minutes=10)
"""How much of the curve stands before and after the alarm."""
UNKNOWN_MEANING = N_("The device reports a state that wants a person.")
UNKNOWN_STEPS = (
    N_("Send somebody there, or call the household."),
    N_("Acknowledge once somebody is on it."),
)
"""What is said of an alarm whose rule is not known any more."""


class Hold(msgspec.Struct, frozen=True):
    """What keeps the alarm from people: in words, through whom, why, and how to end it (empty: not by this person)."""

    words: str
    who: str
    why: str
    meaning: str
    ends: Moment | None
    end_url: str
    end_word: str


class Option(msgspec.Struct, frozen=True):
    """A colleague, or a label, to choose."""

    value: str
    words: str
    chosen: bool = False


class Offered(msgspec.Struct, frozen=True):
    """What the person who looks can do with the alarm now; empty where it is not for them, or not now."""

    acknowledge: bool
    take: bool
    assign: tuple[Option, ...]
    may_assign: bool
    comment: bool
    shelve: tuple[Choice, ...]
    shelve_note: str
    outage: tuple[Choice, ...]
    labels: tuple[Option, ...]


class Related(msgspec.Struct, frozen=True):
    """Another alarm that belongs to this one."""

    url: str
    title: str
    state: str
    priority: str
    icon: str


class AlarmReport(msgspec.Struct, frozen=True):
    """The page of one alarm. `curve` is the telemetry point drawn, empty without one.

    `now` is how it stands there by the device itself, else by the alarm, `at_alarm` the number that made it one.
    `doors` are those of the alarm's building, `other_doors` those of others and the grounds. `cause` is the alarm that
    suppresses this one, `beneath` are those that this one suppresses, and `more_beneath` says how many are not listed.
    """

    line: AlarmLine
    now: str
    is_known: bool
    at_alarm: str
    meaning: str
    steps: tuple[str, ...]
    who: str
    rule: str
    is_drill: bool
    repeats: str
    hold: Hold | None
    cause: Related | None
    beneath: tuple[Related, ...]
    beneath_count: str
    more_beneath: str
    offered: Offered
    thing: str
    thing_url: str
    thing_name: str
    doors: tuple[Commanded, ...]
    other_doors: tuple[Commanded, ...]
    curve: str
    curve_name: str
    told: tuple[ToldLine, ...]
    history: tuple[Entry, ...]


def report(
    voice: Voice,
    row: AlarmRow,
    device: DeviceRow | None,
    doors: Sequence[tuple[DeviceRow, Sequence[CommandRow]]],
    history: Sequence[Transition],
    comments: Sequence[Comment] = (),
    *,
    cause: AlarmRow | None = None,
    beneath: Sequence[AlarmRow] = (),
    colleagues: Sequence[Colleague] = (),
    told: Sequence[Told] = (),
) -> AlarmReport:
    """The report of an alarm, its device (None once it was removed), the doors nearby with their last orders."""
    curve = curve_point(row, device)
    here = [near for near in doors if near[0].place.building == row.place.building]
    elsewhere = [near for near in doors if near[0].place.building != row.place.building]
    text = text_of(voice, row.texts) if row.texts else None
    kind = kind_name(voice, row.kind)
    thing, thing_url = _thing(voice, row)
    line, known = alarm_line(voice, row), _known_now(row, device)
    more = row.beneath - len(beneath)
    return AlarmReport(
        line=line,
        now=line.value if known is None else value_words(voice, row.kind, row.point, known.value),
        is_known=known is not None or not line.stale,
        at_alarm=value_words(voice, row.kind, row.point, row.value) if isinstance(row.value, float) else "",
        meaning=text.meaning.replace("{kind}", kind) if text else voice.t(UNKNOWN_MEANING),
        steps=tuple(text.do) if text else tuple(voice.t(step) for step in UNKNOWN_STEPS),
        who=text.who if text else "",
        rule=row.rule if text else "",
        is_drill=row.drill,
        repeats=voice.t.n("came again %(n)s time", "came again %(n)s times", row.repeats) if row.repeats else "",
        hold=_hold(voice, row),
        cause=_related(voice, cause) if cause else None,
        beneath=tuple(_related(voice, one) for one in beneath),
        beneath_count=voice.t.n("%(n)s alarm beneath it", "%(n)s alarms beneath it", row.beneath),
        more_beneath=voice.t.n("%(n)s more", "%(n)s more", more) if more > 0 else "",
        offered=_offered(voice, row, colleagues),
        thing=thing,
        thing_url=thing_url,
        thing_name=row.device_name,
        doors=tuple(line for door, orders in here for line in commanded(voice, door, orders)),
        other_doors=tuple(line for door, orders in elsewhere for line in commanded(voice, door, orders)),
        curve=curve,
        curve_name=point_name(voice, row.kind, curve) if curve else "",
        told=told_lines(voice, row, told),
        history=entries(voice, history, comments),
    )


def curve_point(row: AlarmRow, device: DeviceRow | None) -> str:
    """The telemetry point to draw: the alarm's own, else the one its rule names where the device has it."""
    if row.device_id is None:
        return ""
    if is_telemetry(row.kind, row.point):
        return row.point
    has = {now.point for now in device.points} if device else set()
    return row.curve if row.curve in has else ""


def curve_window(row: AlarmRow, now: datetime) -> tuple[datetime, datetime]:
    """Ten minutes before the alarm to ten after, or to now where that is earlier."""
    return row.raised_at - AROUND, max(min(row.raised_at + AROUND, now), row.raised_at)


def limits(voice: Voice, row: AlarmRow, curve: str) -> tuple[Limit, ...]:
    """The limit to draw, where the curve is the point that was judged."""
    if row.limit is None or curve != row.point:
        return ()
    return (Limit(row.limit, row.priority, priority_word(voice, row.priority)),)


def _known_now(row: AlarmRow, device: DeviceRow | None) -> PointNow | None:
    """What the device says of the alarm's point, where that can be believed."""
    points = device.points if device and not row.stale else ()
    return next((now for now in points if now.point == row.point and now.quality is Quality.GOOD), None)


def _thing(voice: Voice, row: AlarmRow) -> tuple[str, str]:
    """What the alarm is about, as a word and as a page; a bus has that of its box."""
    if row.device_id is not None:
        return voice.t("Device"), f"/devices/{row.device_id}"
    if row.gateway_id is not None:
        return voice.t("Gateway"), f"/gateways/{row.gateway_id}"
    return "", ""


def _hold(voice: Voice, row: AlarmRow) -> Hold | None:
    t = voice.t
    url, why = f"/alarms/{row.id}", row.hold_why
    match row.state:
        case AlarmState.SHLVD:
            meaning = t("It calls nobody until then, and comes back by itself.")
            end = (f"{url}/unshelve", t("End shelving")) if Action.SHELVE in row.allowed else ("", "")
        case AlarmState.OOSRV:
            meaning = t("It calls nobody until then, and comes back by itself. Somebody has to keep watch there.")
            end = (f"{url}/return", t("Return to service")) if Action.RULES in row.allowed else ("", "")
        case AlarmState.DSUPR:
            meaning = t("Another alarm says why. It comes back by itself if it still stands once that one is over.")
            end = ("", "")
            why = "" if row.cause else why_words(voice, why)
        case _:
            return None
    return Hold(
        words=state_word(voice, row),
        who=row.held_by or t("the system"),
        why=why,
        meaning=meaning,
        ends=moment(voice, row.hold_until) if row.hold_until else None,
        end_url=end[0],
        end_word=end[1],
    )


def _offered(voice: Voice, row: AlarmRow, colleagues: Sequence[Colleague]) -> Offered:
    t = voice.t
    is_held, has_ended = row.state in HELD_STATES, row.state is AlarmState.NORM
    may = Action.ACKNOWLEDGE in row.allowed
    may_hold = Action.SHELVE in row.allowed and not is_held and not has_ended
    may_out = Action.RULES in row.allowed and row.state is not AlarmState.OOSRV and not (has_ended or row.life_safety)
    is_over = has_ended or not row.holds
    note = t("It is about life: no longer than 15 minutes, and never out of service.") if row.life_safety else ""
    return Offered(
        acknowledge=may and row.state in {AlarmState.UNACK, AlarmState.RTNUN},
        take=may and not has_ended and not is_held and not row.is_mine,
        may_assign=may and not has_ended and bool(colleagues),
        assign=tuple(
            Option(one.id, f"{one.name} · {role_word(voice, one.role)}", one.name == row.assignee) for one in colleagues
        ),
        comment=may,
        shelve=shelves(voice, row) if may_hold else (),
        shelve_note=note,
        outage=outages(voice) if may_out else (),
        labels=tuple(Option(label, label_word(voice, label), label is row.label) for label in Label)
        if may and is_over
        else (),
    )


def _related(voice: Voice, row: AlarmRow) -> Related:
    line = alarm_line(voice, row)
    return Related(line.url, title(voice, row), line.state_word, line.priority, line.icon)
