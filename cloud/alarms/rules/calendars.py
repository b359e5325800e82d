"""Calendars of holidays from YAML files, checked whole."""

from collections.abc import Iterator
from datetime import date, timedelta
from pathlib import Path
from typing import Annotated

import msgspec

from cloud.alarms.rules.schedule import Calendar
from contract.config import Problem, is_bad, load_file

CALENDARS = Path(__file__).resolve().parent.parent / "calendar"
DEFAULT = CALENDARS / "CN.yaml"
_Date = Annotated[str, msgspec.Meta(pattern=r"^\d{4}-\d\d-\d\d$", description='a day in quotes: "2026-10-01"')]
_LONGEST = timedelta(days=31)


class Holiday(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True, rename={"from_": "from"}):
    """Days that people have off together."""

    name: str
    from_: _Date
    to: _Date
    """The last day of it."""


class Year(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What is known of one year."""

    year: Annotated[int, msgspec.Meta(ge=2000, le=2100)]
    source: str
    """Who said so, and where."""
    off: list[Holiday]
    worked: list[_Date] = []
    """Weekend days that are worked in exchange."""


class CalendarFile(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A country's holidays, as far as they are known."""

    years: list[Year]


def load_calendar(path: Path) -> Calendar:
    """The calendar in a file. Raises ConfigError with every mistake."""
    years = load_file(path, CalendarFile, check=lambda file: list(_check(file))).value.years
    off, worked = set(), set()
    for year in years:
        for holiday in year.off:
            first, last = date.fromisoformat(holiday.from_), date.fromisoformat(holiday.to)
            off |= {first + timedelta(days=n) for n in range((last - first).days + 1)}
        worked |= {date.fromisoformat(day) for day in year.worked}
    return Calendar(frozenset(off), frozenset(worked))


def _check(file: CalendarFile) -> Iterator[Problem]:
    for y, year in enumerate(file.years):
        if is_bad(year, year.year, year.off, year.worked):
            continue
        for h, holiday in enumerate(year.off):
            if is_bad(holiday, holiday.from_, holiday.to):
                continue
            first, last = _date(holiday.from_), _date(holiday.to)
            where = ("years", y, "off", h)
            if first is None or last is None or year.year not in {first.year, last.year}:
                yield Problem(where, f"{holiday.from_} to {holiday.to} are no days of {year.year}")
            elif not timedelta(0) <= last - first < _LONGEST:
                yield Problem(
                    where, f"{holiday.from_} to {holiday.to} is no holiday", "from: the first day, to: the last"
                )
        for d, text in enumerate(year.worked):
            day = None if is_bad(text) else _date(text)
            if not is_bad(text) and (day is None or day.year != year.year or day.weekday() < 5):
                hint = "only weekend days are worked in exchange"
                yield Problem(("years", y, "worked", d), f"{text} is no weekend day of {year.year}", hint)


def _date(text: str) -> date | None:
    try:
        return date.fromisoformat(text)
    except ValueError:
        return None
