"""View of one alarm: its facts, guidance, history, and which curve belongs to it."""

from collections.abc import Sequence
from datetime import datetime, timedelta

import msgspec

from cloud.console.alarm.guidance import GUIDANCE, OTHER
from cloud.console.alarms.view import AlarmLine, alarm_line
from cloud.console.chart import Limit
from cloud.console.command.view import Commanded, commanded
from cloud.console.data import AlarmRow, AlarmState, CommandRow, DeviceRow, Transition
from cloud.console.i18n import N_
from cloud.console.words import Voice
from cloud.console.words.alarms import STATE_WORDS, priority_word
from cloud.console.words.points import is_telemetry, point_name
from cloud.console.words.times import Moment, moment

AROUND = timedelta(minutes=10)
"""How much of the curve stands before and after the alarm."""
EVENT_WORDS = {
    "raise": N_("Raised", "transition"),
    "clear": N_("Returned to normal", "transition"),
    "acknowledge": N_("Acknowledged", "transition"),
    "late": N_("Heard of when it was already over", "transition"),
    "revoked": N_("Ended with its gateway", "transition"),
}
"""Words of the alarm machine's happenings; one that is newer than the console is said by its name."""
WHY_WORDS = {"gateway revoked": N_("the gateway was revoked", "transition")}
"""Reasons that the system gives; a person's are said as they were written."""


class Step(msgspec.Struct, frozen=True):
    """One line of the history."""

    at: Moment
    event: str
    change: str
    who: str
    why: str


class AlarmReport(msgspec.Struct, frozen=True):
    """The page of one alarm. `curve` is the telemetry point drawn, empty without one.

    `doors` are those of the alarm's building, `other_doors` those of others and the grounds.
    """

    line: AlarmLine
    meaning: str
    steps: tuple[str, ...]
    device_url: str
    device_name: str
    doors: tuple[Commanded, ...]
    other_doors: tuple[Commanded, ...]
    curve: str
    curve_name: str
    history: tuple[Step, ...]


def report(
    voice: Voice,
    row: AlarmRow,
    device: DeviceRow | None,
    doors: Sequence[tuple[DeviceRow, Sequence[CommandRow]]],
    history: Sequence[Transition],
) -> AlarmReport:
    """The report of an alarm, its device (None once it was removed), the doors nearby with their last orders."""
    guidance = GUIDANCE.get(row.rule, OTHER)
    curve = curve_point(row, device)
    here = [near for near in doors if near[0].place.building == row.place.building]
    elsewhere = [near for near in doors if near[0].place.building != row.place.building]
    return AlarmReport(
        line=alarm_line(voice, row),
        meaning=voice.t(guidance.meaning),
        steps=tuple(voice.t(step) for step in guidance.steps),
        device_url=f"/devices/{row.device_id}",
        device_name=row.device_name,
        doors=tuple(line for door, orders in here for line in commanded(voice, door, orders)),
        other_doors=tuple(line for door, orders in elsewhere for line in commanded(voice, door, orders)),
        curve=curve,
        curve_name=point_name(voice, row.kind, curve) if curve else "",
        history=tuple(_step(voice, transition) for transition in reversed(history)),
    )


def curve_point(row: AlarmRow, device: DeviceRow | None) -> str:
    """The telemetry point to draw: the alarm's own, else the one its rule names where the device has it."""
    if is_telemetry(row.kind, row.point):
        return row.point
    wish = GUIDANCE.get(row.rule, OTHER).curve
    has = {now.point for now in device.points} if device else set()
    return wish if wish in has else ""


def curve_window(row: AlarmRow, now: datetime) -> tuple[datetime, datetime]:
    """Ten minutes before the alarm to ten after, or to now where that is earlier."""
    return row.raised_at - AROUND, max(min(row.raised_at + AROUND, now), row.raised_at)


def limits(voice: Voice, row: AlarmRow, curve: str) -> tuple[Limit, ...]:
    """The limit to draw, where the curve is the point that was judged."""
    if row.limit is None or curve != row.point:
        return ()
    return (Limit(row.limit, row.priority, priority_word(voice, row.priority)),)


def _step(voice: Voice, transition: Transition) -> Step:
    event = EVENT_WORDS.get(transition.event)
    return Step(
        at=moment(voice, transition.at),
        event=voice.t.p("transition", event) if event else transition.event,
        change=_change(voice, transition.from_state, transition.to_state),
        who=transition.who or voice.t("the system"),
        why=voice.t.p("transition", WHY_WORDS[why]) if (why := transition.why or "") in WHY_WORDS else why,
    )


def _change(voice: Voice, before: AlarmState, after: AlarmState) -> str:
    return "" if before is after else voice.t.p("alarm state", STATE_WORDS[after])
