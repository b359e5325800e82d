"""Who is on duty at a moment. Pure.

A schedule is a list of rotations; the first that covers a moment says who it is, so a night shift stands before what
holds at all times. Overrides (leave, swaps) come before all of them. People are named by their logins.

All times of a schedule are the local ones of its zone. They are turned into instants first and compared as such: a
local hour that comes twice changes nobody's turn twice, and one that does not come leaves no gap.
"""

from datetime import UTC, date, datetime, time, timedelta
from functools import lru_cache
from typing import Annotated, Literal
from zoneinfo import ZoneInfo

import msgspec

Login = Annotated[str, msgspec.Meta(min_length=1, max_length=200)]
LocalTime = Annotated[
    str,
    msgspec.Meta(
        pattern=r"^\d{4}-\d\d-\d\d \d\d:\d\d$", description='a local date and time in quotes: "2026-11-01 08:00"'
    ),
]
Clock = Annotated[
    str, msgspec.Meta(pattern=r"^([01]\d|2[0-3]):[0-5]\d$", description='a time of day in quotes: "22:00"')
]
Day = Annotated[str, msgspec.Meta(pattern=r"^\d{4}-\d\d-\d\d$", description='a date in quotes: "2026-10-01"')]
Weekday = Literal["mon", "tue", "wed", "thu", "fri", "sat", "sun"]
_WEEKDAYS: tuple[Weekday, ...] = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_HOUR = timedelta(hours=1)
_DAY = timedelta(days=1)
_MOST_HOURS = 31 * 24
_MOST_ROTATIONS = 50


class Rotation(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """People who take turns."""

    people: Annotated[list[Login], msgspec.Meta(min_length=1, max_length=100)]
    """In their order; one name may stand several times."""
    start: LocalTime
    """When the first of them begins, and so at what time of day turns change. Before it nobody is on duty here."""
    turn: Literal["daily", "weekly"] | Annotated[int, msgspec.Meta(ge=1, le=_MOST_HOURS)] = "daily"
    """How long a turn lasts: daily, weekly, or so many hours."""
    between: Annotated[list[Clock], msgspec.Meta(min_length=2, max_length=2)] | None = None
    """Only from one time of day to another, which may be of the next day. Who begins a shift ends it."""
    days: list[Weekday] = []
    """Only on these days of the week; a shift belongs to the day on which it begins. Empty: all."""
    holidays: Literal["too", "only", "never"] = "too"
    """Whether it also holds on the schedule's holidays."""


class Override(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Somebody else for a while."""

    person: Login
    start: LocalTime
    end: LocalTime


class Schedule(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """An on-call schedule."""

    name: Annotated[str, msgspec.Meta(min_length=1, max_length=100)]
    zone: str = "Asia/Shanghai"
    rotations: list[Rotation]
    overrides: list[Override] = []
    """The last that covers a moment counts."""
    holidays: list[Day] = []


def on_duty(schedule: Schedule, at: datetime) -> str | None:
    """The login of who is on duty at this instant, or None where the schedule has nobody."""
    zone = ZoneInfo(schedule.zone)
    for override in reversed(schedule.overrides):
        if _instant(_local(override.start), zone) <= at < _instant(_local(override.end), zone):
            return override.person
    holidays = frozenset(schedule.holidays)
    for rotation in schedule.rotations:
        began = _shift_start(rotation, at, zone, holidays)
        if began is not None and (turn := _turn(rotation, began, zone)) >= 0:
            return rotation.people[turn % len(rotation.people)]
    return None


def problems(schedule: Schedule) -> list[str]:
    """What is wrong with a schedule beyond the form of its fields, as sentences."""
    found = []
    if not 1 <= len(schedule.rotations) <= _MOST_ROTATIONS:
        found.append(f"it has {len(schedule.rotations)} rotations: give it at least one, and {_MOST_ROTATIONS} at most")
    try:
        ZoneInfo(schedule.zone)
    except (KeyError, ValueError, OSError):
        found.append(f"zone {schedule.zone!r} is not a time zone; for example Asia/Shanghai")
    moments = [r.start for r in schedule.rotations]
    moments += [text for o in schedule.overrides for text in (o.start, o.end)]
    found += [f"{text!r} is no date and time that there is" for text in moments if not _is_local(text)]
    found += [f"{day!r} is no date that there is" for day in schedule.holidays if not _is_local(f"{day} 00:00")]
    found += [
        f"an override of {o.person} ends before it begins"
        for o in schedule.overrides
        if _is_local(o.start) and _is_local(o.end) and _local(o.start) >= _local(o.end)
    ]
    return found


def _shift_start(rotation: Rotation, at: datetime, zone: ZoneInfo, holidays: frozenset[str]) -> datetime | None:
    """The moment whose turn counts if the rotation covers `at`: `at` itself, or the beginning of its shift."""
    today = at.astimezone(zone).date()
    begins, ends = (_clock(text) for text in rotation.between or ("00:00", "00:00"))
    for day in (today, today - _DAY):
        began = _instant(datetime.combine(day, begins), zone)
        over = _instant(datetime.combine(day if begins < ends else day + _DAY, ends), zone)
        if began <= at < over and _on_day(rotation, day, holidays):
            return began if rotation.between and not isinstance(rotation.turn, int) else at
    return None


def _on_day(rotation: Rotation, day: date, holidays: frozenset[str]) -> bool:
    if rotation.days and _WEEKDAYS[day.weekday()] not in rotation.days:
        return False
    return rotation.holidays == "too" or (day.isoformat() in holidays) == (rotation.holidays == "only")


def _turn(rotation: Rotation, at: datetime, zone: ZoneInfo) -> int:
    """How many turns have changed by this instant; below 0 before the start."""
    hours = {"daily": 24, "weekly": 168}[rotation.turn] if isinstance(rotation.turn, str) else rotation.turn
    start, lasts = _local(rotation.start), hours * _HOUR
    turn = (at.astimezone(zone).replace(tzinfo=None) - start) // lasts
    while _instant(start + turn * lasts, zone) > at:
        turn -= 1
    while _instant(start + (turn + 1) * lasts, zone) <= at:
        turn += 1
    return turn


def _instant(local: datetime, zone: ZoneInfo) -> datetime:
    """A local time as an instant: the first of two, and as if the clock had not been put forward for one of none."""
    return local.replace(tzinfo=zone, fold=0).astimezone(UTC)


@lru_cache(maxsize=4096)
def _local(text: str) -> datetime:
    return datetime.strptime(text, "%Y-%m-%d %H:%M")  # noqa: DTZ007  # local by its schedule's zone


def _is_local(text: str) -> bool:
    try:
        return _local(text).year >= 2000
    except ValueError:
        return False


def _clock(text: str) -> time:
    return time.fromisoformat(text)
