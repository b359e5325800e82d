"""When a rule counts: times of the day, days of the week and days off, in an estate's local time. Pure.

Seconds that a change of summer time leaves out, or has twice, belong to the time that a clock on the wall shows.
"""

from datetime import UTC, date, datetime, time, timedelta, tzinfo

import msgspec

from cloud.alarms.rules.model import DAYS, Schedule

_DAY = timedelta(days=1)
LOOKS_AHEAD = timedelta(days=8)
"""A schedule that does not change within this time is looked at again then."""


class Calendar(msgspec.Struct, frozen=True):
    """Holidays, and weekend days that are worked in exchange for them. Of a year it does not know: weekends only."""

    off: frozenset[date] = frozenset()
    worked: frozenset[date] = frozenset()

    def is_day_off(self, day: date) -> bool:
        """Whether people are free on this day."""
        return day in self.off or (day.weekday() >= 5 and day not in self.worked)


WEEKENDS = Calendar()
"""Knows no holidays."""


def counts(schedule: Schedule, at: datetime, zone: tzinfo, calendar: Calendar) -> bool:
    """Whether a rule of this schedule counts at a time."""
    local = at.astimezone(zone)
    begin, end, now = _time(schedule.from_), _time(schedule.to), local.time().replace(tzinfo=None)
    today = local.date()
    if begin < end:
        return begin <= now < end and _is_day(schedule, today, calendar)
    if begin <= now and _is_day(schedule, today, calendar):
        return True
    return now < end and _is_day(schedule, today - _DAY, calendar)


def next_change(schedule: Schedule, at: datetime, zone: tzinfo, calendar: Calendar) -> datetime:
    """The first time after `at` at which it begins or ends to count; or when to look again, if that is far."""
    is_counting = counts(schedule, at, zone, calendar)
    first = at.astimezone(zone).date() - _DAY
    instants = {
        datetime.combine(first + n * _DAY, edge, zone).replace(fold=fold).astimezone(UTC)
        for n in range(LOOKS_AHEAD.days + 2)
        for edge in {_time(schedule.from_), _time(schedule.to)}
        for fold in (0, 1)
    }
    instants |= {jump for n in range(LOOKS_AHEAD.days) if (jump := _jump(at + n * _DAY, zone)) is not None}
    limit = at + LOOKS_AHEAD
    changes = (i for i in sorted(instants) if at < i < limit and counts(schedule, i, zone, calendar) is not is_counting)
    return next(changes, limit)


def _jump(at: datetime, zone: tzinfo) -> datetime | None:
    """When the clocks on the walls are changed within the day after `at`; None: they are not."""
    before, after = at, at + _DAY
    offset = before.astimezone(zone).utcoffset()
    if after.astimezone(zone).utcoffset() == offset:
        return None
    while after - before > timedelta(seconds=1):
        middle = before + (after - before) / 2
        before, after = (middle, after) if middle.astimezone(zone).utcoffset() == offset else (before, middle)
    return after.replace(microsecond=0)


def _is_day(schedule: Schedule, day: date, calendar: Calendar) -> bool:
    if schedule.days and DAYS[day.weekday()] not in schedule.days:
        return False
    if schedule.days_off == "any":
        return True
    return calendar.is_day_off(day) is (schedule.days_off == "only")


def _time(text: str) -> time:
    return time(int(text[:2]), int(text[3:]))
