"""Which stage a form is in by what was seen, without delays and schedule; and when that changes by itself. Pure.

Each form has one class with three questions: `take` what was seen, when it changes by itself (`next_us`), and what it
is then (`pass_time`). All work on a copy of what is kept.
"""

from typing import Protocol

from cloud.alarms.rules.memory import Kept, Part, Seen, us_of
from cloud.alarms.rules.model import Count, Event, Fields, Form, KOfN, Rate, Silence, Stage, State, Threshold
from contract.site.linkage import strength

MAX_WINDOW = 64
"""Readings of a window of change that are kept."""
MAX_PARTS = 64
SILENT_WORDS = frozenset({"silent", "offline"})


class Level(Protocol):
    """A form at work on one source."""

    raw: int
    """The stage it is in."""

    def take(self, seen: Seen, at_us: int, /) -> bool:
        """Something was seen; returns whether it is news to this form."""

    def next_us(self) -> int | None:
        """When it changes by itself; None: not before something is seen."""

    def pass_time(self, at_us: int, /) -> None:
        """It is this late now."""

    def keep(self) -> Kept:
        """What to remember of it."""


def level_of(form: Form, kept: Kept) -> Level:
    """The form at work, as it was left."""
    match form:
        case State():
            return _Word(frozenset(form.words), kept)
        case Silence():
            return _Silence(form.intervals, kept)
        case Threshold():
            return _Number(form, kept)
        case Event():
            return _Happenings(form.fields, 1, form.stands_s, frozenset(), kept)
        case Count():
            return _Happenings(form.fields, form.times, form.within_s, frozenset(form.words), kept)
        case Rate():
            return _Change(form, kept)
        case KOfN():
            return _Agreement(form, kept)


def reached(stages: list[Stage], value: float, before: int, hysteresis: float, *, above: bool = True) -> int:
    """The worst stage that a value has reached, or that it holds because it has not come back far enough."""
    sign = 1 if above else -1
    for number in range(len(stages), 0, -1):
        slack = hysteresis if number <= before else 0.0
        if sign * value >= sign * stages[number - 1].at - slack:
            return number
    return 0


class _Word:
    """A state in some words."""

    def __init__(self, words: frozenset[str], kept: Kept) -> None:
        self._words = words
        self.raw = kept.raw

    def take(self, seen: Seen, _at_us: int) -> bool:
        raw = int(seen.value in self._words)
        is_news, self.raw = raw != self.raw, raw
        return is_news

    def next_us(self) -> int | None:
        return None

    def pass_time(self, _at_us: int) -> None:
        pass

    def keep(self) -> Kept:
        return Kept(raw=self.raw)


class _Silence(_Word):
    """A number of intervals without news, or a word that says so."""

    def __init__(self, intervals: float, kept: Kept) -> None:
        super().__init__(SILENT_WORDS, kept)
        self._intervals = intervals

    def take(self, seen: Seen, _at_us: int) -> bool:
        if isinstance(seen.value, str):
            return super().take(seen, _at_us)
        raw = int(seen.value is not None and seen.value >= self._intervals)
        is_news, self.raw = raw != self.raw, raw
        return is_news


class _Number(_Word):
    """A number against limits."""

    def __init__(self, form: Threshold, kept: Kept) -> None:
        super().__init__(frozenset(), kept)
        self._form = form
        self.raw = min(self.raw, len(form.stages))  # the rule may have had more of them

    def take(self, seen: Seen, _at_us: int) -> bool:
        if not isinstance(seen.value, int | float):  # no box of ours says so
            return False
        form = self._form
        value = abs(seen.value) if form.side == "either" else seen.value
        raw = reached(form.stages, value, self.raw, form.hysteresis, above=form.side != "below")
        is_news, self.raw = raw != self.raw, raw
        return is_news


class _Happenings:
    """Events, or changes into some words: enough of them within a time."""

    def __init__(self, fields: Fields, times: int, lasts_s: float, words: frozenset[str], kept: Kept) -> None:
        self._fields, self._times, self._lasts_us, self._words = fields, times, round(lasts_s * 1e6), words
        self._at = list(kept.times_us)
        self._inside = kept.inside
        self.raw = kept.raw

    def take(self, seen: Seen, at_us: int) -> bool:
        if self._words:
            was_inside, self._inside = self._inside, seen.value in self._words
            if was_inside or not self._inside:
                return was_inside is not self._inside
        elif any(seen.fields.get(name) != wanted for name, wanted in self._fields.items()):
            return False
        if at_us in self._at:  # the same once more
            return False
        at = sorted((*self._at, at_us))[-self._times :]
        is_news, self._at = at != self._at, at
        self.pass_time(at[-1])
        return is_news

    def next_us(self) -> int | None:
        if not self._at:
            return None
        # What is too old is forgotten also where it never was enough.
        return (self._at[0] if self.raw else self._at[-1]) + self._lasts_us

    def pass_time(self, at_us: int) -> None:
        self._at = [at for at in self._at if at + self._lasts_us > at_us]
        self.raw = int(len(self._at) >= self._times)

    def keep(self) -> Kept:
        return Kept(raw=self.raw, times_us=tuple(self._at), inside=self._inside)


class _Change:
    """How much a number rose (fell) from the least (the most) that it was within a time."""

    def __init__(self, form: Rate, kept: Kept) -> None:
        self._form = form
        self._sign = 1.0 if form.direction == "rises" else -1.0
        self._over_us = round(form.over_s * 1e6)
        self._gap_us = round((form.over_s + form.gap_s) * 1e6)
        self._last = kept.last
        self._window = list(kept.window)
        self.raw = min(kept.raw, len(form.stages))

    def take(self, seen: Seen, at_us: int) -> bool:
        if not isinstance(seen.value, int | float):
            return False
        if self._last is None and seen.before is not None:
            self._last = us_of(seen.before[0]), seen.before[1]
        last = self._last
        if last is not None and at_us - last[0] > self._gap_us:
            last = None
            self._window = []
        if last is not None:
            if abs(seen.value - last[1]) < self._form.step:
                return False
            while self._window and self._sign * self._window[-1][1] >= self._sign * last[1]:
                self._window.pop()
            self._window.append((at_us, last[1]))
            if len(self._window) > MAX_WINDOW:  # the oldest is the one that counts
                del self._window[1]
        self._last = at_us, float(seen.value)
        self._settle()
        return True

    def next_us(self) -> int | None:
        return self._window[0][0] + self._over_us + 1 if self._window else None

    def pass_time(self, at_us: int) -> None:
        self._window = [part for part in self._window if part[0] >= at_us - self._over_us]
        self._settle()

    def _settle(self) -> None:
        if not self._window or self._last is None:
            self.raw = 0
            return
        change = self._sign * (self._last[1] - self._window[0][1])
        self.raw = reached(self._form.stages, change, self.raw, self._form.hysteresis)

    def keep(self) -> Kept:
        # What has not moved within the time is known by Seen.before.
        return Kept(raw=self.raw, last=self._last if self._window else None, window=tuple(self._window))


class _Agreement:
    """Several of one place."""

    def __init__(self, form: KOfN, kept: Kept) -> None:
        self._form = form
        self._within_us = round(form.within_s * 1e6)
        self._words = {member.kind: frozenset(member.words) for member in form.of}
        self._parts = dict(kept.parts)
        self.raw = kept.raw

    def take(self, seen: Seen, at_us: int) -> bool:
        words = self._words.get(seen.kind)
        if words is None:
            return False
        if words and seen.value not in words:
            is_news = self._parts.pop(seen.member, None) is not None
            self._settle()
            return is_news
        known = self._parts.get(seen.member)
        if words:
            if known is not None:
                return False
            part = Part(at_us, 0, seen.kind)
        else:
            part = Part(at_us, at_us + self._within_us, seen.kind)
        if known is None and len(self._parts) >= MAX_PARTS:  # far more than it takes to agree
            return False
        self._parts[seen.member] = part
        self._settle()
        return True

    def next_us(self) -> int | None:
        return min((part.until_us for part in self._parts.values() if part.until_us), default=None)

    def pass_time(self, at_us: int) -> None:
        self._parts = {name: part for name, part in self._parts.items() if not 0 < part.until_us <= at_us}
        self._settle()

    def _settle(self) -> None:
        """Once they have agreed they do so for as long as enough of them hold, whenever each began."""
        parts = sorted(self._parts.values(), key=lambda part: part.since_us)
        if self.raw:
            self.raw = int(strength(part.kind for part in parts) >= self._form.k)
            return
        for first in parts:
            close = [part.kind for part in parts if 0 <= part.since_us - first.since_us <= self._within_us]
            if strength(close) >= self._form.k:
                self.raw = 1
                return

    def keep(self) -> Kept:
        return Kept(raw=self.raw, parts=self._parts)
