"""View of one device."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Literal

import msgspec

from cloud.console.alarms.data import AlarmRow
from cloud.console.command.view import Answer, Commanded, answers, commanded
from cloud.console.data import CommandRow, DeviceRow, EventRow, PointNow, Value
from cloud.console.devices.view import DeviceLine, device_line
from cloud.console.i18n import N_
from cloud.console.words import Voice
from cloud.console.words.events import event_words
from cloud.console.words.points import (
    QUALITY_WORDS,
    is_normal,
    is_state,
    is_telemetry,
    point_name,
    quality_word,
    unit_of,
    value_words,
    vocabulary,
)
from cloud.console.words.times import Moment, moment
from contract.messages import Quality

RANGES = {
    "1h": (timedelta(hours=1), N_("1 hour")),
    "24h": (timedelta(hours=24), N_("24 hours")),
    "7d": (timedelta(days=7), N_("7 days")),
    "30d": (timedelta(days=30), N_("30 days")),
    "1y": (timedelta(days=365), N_("1 year")),
}
EVERY_S = {"1h": 5, "24h": 60, "7d": 60, "30d": 600, "1y": 3600}
"""How often at most a page reads its curve again: what is new in it must be worth reading all of it."""
Range = Literal["1h", "24h", "7d", "30d", "1y"]
DEFAULT_RANGE: Range = "1h"


class PointLine(msgspec.Struct, frozen=True):
    """One point now. `tone` is normal, odd, stale, fault or unknown; telemetry that is good is normal.

    `priority` is that of the alarm about it, empty without one.
    """

    point: str
    name: str
    value: str
    quality: str
    tone: str
    priority: str
    at: Moment | None
    chart_url: str


class EventLine(msgspec.Struct, frozen=True):
    """Something that happened."""

    at: Moment
    name: str
    words: str


class Choice(msgspec.Struct, frozen=True):
    """A point or a range to draw."""

    url: str
    word: str
    chosen: bool


class Curve(msgspec.Struct, frozen=True):
    """What is drawn, its address and that of its table, and how often at most they are asked for."""

    url: str
    figures_url: str
    every_s: int
    name: str
    unit: str
    points: tuple[Choice, ...]
    ranges: tuple[Choice, ...]
    range_word: str
    query: str


class DevicePage(msgspec.Struct, frozen=True):
    """The page of a device. `curve` is None where it has no telemetry."""

    line: DeviceLine
    profile: str
    points: tuple[PointLine, ...]
    offers: tuple[Commanded, ...]
    orders: tuple[Answer, ...]
    events: tuple[EventLine, ...]
    curve: Curve | None


def device_page(
    voice: Voice,
    row: DeviceRow,
    orders: Sequence[CommandRow],
    events: Sequence[EventRow],
    curve: Curve | None,
    active: Sequence[AlarmRow] = (),
) -> DevicePage:
    """One device in words; of the `active` alarms those that are its own. `events` are those to show."""
    line = device_line(voice, row, active)
    worst = {alarm.point: alarm.priority for alarm in reversed(line.alarms)}
    return DevicePage(
        line=line,
        profile=row.profile,
        points=tuple(_point(voice, row, now, worst.get(now.point, "")) for now in row.points),
        offers=tuple(commanded(voice, row, orders)),
        orders=answers(voice, row, orders),
        events=tuple(_event(voice, row.kind, event) for event in events),
        curve=curve,
    )


def drawn_point(row: DeviceRow, wish: str) -> str:
    """The telemetry point to draw: the one asked for, else the device's first; empty without any."""
    telemetry = [now.point for now in row.points if is_telemetry(row.kind, now.point)]
    return wish if wish in telemetry else telemetry[0] if telemetry else ""


def curve(voice: Voice, row: DeviceRow, point: str, span: str) -> Curve:
    """A curve and the choices around it."""
    base = f"/devices/{row.id}"
    query = f"point={point}&range={span}"
    telemetry = [now.point for now in row.points if is_telemetry(row.kind, now.point)]
    return Curve(
        url=f"{base}/curve?{query}",
        figures_url=f"{base}/figures?{query}",
        every_s=EVERY_S[span],
        name=point_name(voice, row.kind, point),
        unit=unit_of(row.kind, point),
        points=tuple(
            Choice(f"{base}?point={name}&range={span}#curve", point_name(voice, row.kind, name), name == point)
            for name in telemetry
        ),
        ranges=tuple(
            Choice(f"{base}?point={point}&range={name}#curve", voice.t(word), name == span)
            for name, (_, word) in RANGES.items()
        ),
        range_word=voice.t(RANGES[span][1]),
        query=query,
    )


def window(now: datetime, span: str) -> tuple[datetime, datetime]:
    """From when to when a range reaches."""
    return now - RANGES[span][0], now


def changes(kind: str, events: Sequence[EventRow], most: int) -> list[EventRow]:
    """What happened, of `events` (newest first): states only where they became another; they are also repeated.

    What a state was before the first of them is not known; it is taken for normal.
    """
    before: dict[str, Value] = {}
    happened = []
    for event in reversed(events):
        if not is_state(kind, event.point):
            happened.append(event)
            continue
        known = vocabulary(kind, event.point)
        normal = known.words[0].code if known and known.words else None
        if event.value != before.get(event.point, normal):
            happened.append(event)
        before[event.point] = event.value
    return happened[::-1][:most]


def _point(voice: Voice, row: DeviceRow, now: PointNow, priority: str) -> PointLine:
    good = now.quality is Quality.GOOD
    tone = "normal" if is_normal(row.kind, now) else "odd" if good else now.quality.name.lower()
    return PointLine(
        point=now.point,
        name=point_name(voice, row.kind, now.point),
        value=value_words(voice, row.kind, now.point, now.value),
        quality=quality_word(voice, row, now),
        tone=tone,
        priority=priority,
        at=moment(voice, now.at) if now.at else None,
        chart_url=f"/devices/{row.id}?point={now.point}#curve" if is_telemetry(row.kind, now.point) else "",
    )


def _event(voice: Voice, kind: str, event: EventRow) -> EventLine:
    if is_state(kind, event.point):
        unknown = voice.t.p("quality", QUALITY_WORDS[Quality.UNKNOWN])
        words = unknown if event.value is None else value_words(voice, kind, event.point, event.value)
    else:
        words = event_words(voice, kind, event.point, event.fields, event.names)
    return EventLine(moment(voice, event.at), point_name(voice, kind, event.point), words)
