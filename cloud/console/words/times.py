"""Times as a person says them, with the exact one behind. The same formats tick on in the browser (ticks.js)."""

from datetime import datetime

import msgspec

from cloud.console.i18n import N_
from cloud.console.words import Voice

TICK_WORDS = {
    "just_now": N_("just now"),
    "seconds_ago": N_("{0} s ago"),
    "minutes_ago": N_("{0} min ago"),
    "hours_ago": N_("{0} h ago"),
    "days_ago": N_("{0} d ago"),
    "seconds": N_("{0} s"),
    "minutes": N_("{0} min {1} s"),
    "hours": N_("{0} h {1} min"),
    "days": N_("{0} d {1} h"),
}
"""Formats that the browser needs too; it gets them translated, under these names."""


class Moment(msgspec.Struct, frozen=True):
    """A time: exact in the estate's zone, how long ago in words, and how long since (`running`)."""

    iso: str
    unix: float
    exact: str
    clock: str
    ago: str
    running: str


def moment(voice: Voice, at: datetime) -> Moment:
    """All that a template needs to show a time."""
    local = at.astimezone(voice.zone)
    seconds = (voice.now - at).total_seconds()
    return Moment(
        iso=local.isoformat(timespec="seconds"),
        unix=at.timestamp(),
        exact=f"{local:%Y-%m-%d %H:%M:%S}",
        clock=f"{local:%H:%M}" if local.date() == voice.now.astimezone(voice.zone).date() else f"{local:%m-%d %H:%M}",
        ago=ago(voice, seconds),
        running=running(voice, seconds),
    )


class Left(msgspec.Struct, frozen=True):
    """How long there still is to do something: ticks down."""

    unix: float
    words: str


SPAN_WORDS = ((86400, N_("%(n)s d", "time")), (3600, N_("%(n)s h", "time")), (60, N_("%(n)s min", "time")))


def span(voice: Voice, seconds: float) -> str:
    """A length of time in the largest unit that it is a whole number of: 90 s, 10 min, 2 h."""
    for unit_s, words in SPAN_WORDS:
        if seconds >= unit_s and seconds % unit_s == 0:
            return voice.t.p("time", words, n=int(seconds // unit_s))
    return voice.t.p("time", "%(n)s s", n=f"{seconds:g}")


def left(voice: Voice, until: datetime) -> Left | None:
    """How many seconds are left until then; None once it has come."""
    seconds = (until - voice.now).total_seconds()
    return Left(until.timestamp(), running(voice, seconds)) if seconds > 0 else None


def ago(voice: Voice, seconds: float) -> str:
    """How long ago, in one unit; a time in the future (a clock that is ahead) reads as now."""
    whole = int(seconds)
    if whole < 5:
        return voice.t("just now")
    for name, unit_s, limit_s in (
        ("seconds_ago", 1, 60), ("minutes_ago", 60, 3600), ("hours_ago", 3600, 86400),
    ):  # fmt: skip
        if whole < limit_s:
            return voice.t(TICK_WORDS[name]).format(whole // unit_s)
    return voice.t(TICK_WORDS["days_ago"]).format(whole // 86400)


def running(voice: Voice, seconds: float) -> str:
    """How long it has lasted, in two units; never below zero."""
    whole = max(0, int(seconds))
    if whole < 60:
        return voice.t(TICK_WORDS["seconds"]).format(whole)
    for name, big_s, small_s, limit_s in (("minutes", 60, 1, 3600), ("hours", 3600, 60, 86400)):
        if whole < limit_s:
            return voice.t(TICK_WORDS[name]).format(whole // big_s, f"{whole % big_s // small_s:02d}")
    return voice.t(TICK_WORDS["days"]).format(whole // 86400, whole % 86400 // 3600)
