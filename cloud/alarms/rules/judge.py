"""Judges one rule at one source: by what is seen, or because a time has come. Pure.

Everything that delays is in here: hysteresis, stages, on-delay, off-delay, schedules, counts, how long an event stands,
and the wait of old news for its own end. Time is that of the readings: a delay that ran out between two of them ran out
then. So the order in which blocks come and whether a timer or the next reading was first makes no difference.
"""

from datetime import UTC, datetime, tzinfo
from math import isfinite

import msgspec

from cloud.alarms.rules.levels import level_of
from cloud.alarms.rules.memory import REST, Judged, Kept, Memory, Seen, Verdict, time_of, us_of
from cloud.alarms.rules.model import Count, Event, Rate, Rule, Schedule, Threshold
from cloud.alarms.rules.schedule import WEEKENDS, Calendar, counts, next_change

LATE_US = 60_000_000
"""What came to hold longer ago than this is old news."""
WAITS_US = 30_000_000
"""For so long old news waits for its own end: what is over pages nobody (ARCHITECTURE.md, decision 9)."""


def judge(
    rule: Rule, memory: Memory, seen: Seen | None, now: datetime, zone: tzinfo = UTC, calendar: Calendar = WEEKENDS
) -> Judged:
    """What a rule makes of one thing seen of a source, in their order; of None because `memory.due_at` has come.

    A value of None changes nothing, nor does what is older than what was judged before it.
    """
    work = _Judgement(rule, memory, us_of(now), zone, calendar)
    if seen is None:
        work.pass_time(us_of(now))
        return work.outcome()
    at_us = min(us_of(seen.at), us_of(now))  # what is ahead of our clock is of now
    if not _is_known(seen.value) or (at_us < memory.kept.heard_us and not work.happens):
        return Judged(memory)
    work.pass_time(at_us)
    work.take(seen, at_us)
    return work.outcome()


def _is_known(value: float | str | None) -> bool:
    return isinstance(value, str) or (value is not None and isfinite(value))


class _Judgement:
    """A memory being moved on."""

    def __init__(self, rule: Rule, memory: Memory, now_us: int, zone: tzinfo, calendar: Calendar) -> None:
        kept = memory.kept
        self._rule, self._memory, self._now_us = rule, memory, now_us
        self._zone, self._calendar = zone, calendar
        self._level = level_of(rule.form, kept)
        self._stage = memory.stage
        self._heard_us, self._value, self._value_before = kept.heard_us, kept.value, kept.value
        self._holds_us, self._edge_us = kept.holds_us, kept.edge_us
        self._waits_us = us_of(memory.due_at) if kept.holds_us and memory.due_at else 0
        self._steps: list[int] = []
        """Since when each stage on the way from the one that holds to the one seen last is on its way."""
        if memory.pending is not None and memory.since is not None:
            self._steps = [us_of(memory.since)] * abs(memory.pending - memory.stage) + list(kept.beyond_us)
        self._is_rising = memory.pending is not None and memory.pending > memory.stage
        self._verdicts: list[Verdict] = []
        self._is_news = False
        self.happens = isinstance(rule.form, Event | Count)
        """What happens counts when it happens; a condition while it holds."""

    def take(self, seen: Seen, at_us: int) -> None:
        """Something was seen."""
        when = self._rule.when
        if self.happens and when is not None and not self._counts(when, at_us):
            return
        was = self._level.raw
        if not self._level.take(seen, at_us):
            return
        self._is_news = True
        self._heard_us = at_us = max(self._heard_us, at_us)  # what happens may be told out of order
        self._value_before, self._value = self._value, seen.value
        if was and self._level.raw and self._stage and isinstance(self._rule.form, Event):
            self._verdicts.append(Verdict(self._stage, time_of(at_us), seen.value))  # once more
        self._move(at_us)
        self.pass_time(at_us)

    def pass_time(self, until_us: int) -> None:
        """What comes to pass by itself until then, in its order."""
        while (at_us := min(self._times(), default=until_us + 1)) <= until_us:
            self._is_news = True
            if self._holds_us and at_us == self._waits_us:
                self._turn(self._holds_us)
            elif self._steps and not self._holds_us and at_us == self._ripe_us():
                self._ripen(at_us)
            else:
                self._level.pass_time(at_us)
                self._move(at_us)

    def outcome(self) -> Judged:
        """The memory as it is now, and what was found."""
        if not self._is_news:
            return Judged(self._memory)
        kept = self._level.keep()
        if not self._stage and not self._steps and kept == _NOTHING:
            return Judged(REST, tuple(self._verdicts))
        at_once = self._at_once()
        kept = msgspec.structs.replace(
            kept, heard_us=self._heard_us, value=self._value, holds_us=self._holds_us, edge_us=self._edge_us,
            beyond_us=tuple(self._steps[at_once:]),
        )  # fmt: skip
        due_us = self._waits_us if self._holds_us else min(self._times(), default=None)
        memory = Memory(
            self._stage,
            self._stage + (at_once if self._is_rising else -at_once) if self._steps else None,
            time_of(self._steps[0]) if self._steps else None,
            None if due_us is None else time_of(due_us),
            kept,
        )
        return Judged(memory, tuple(self._verdicts))

    def _times(self) -> list[int]:
        """When something comes to pass by itself."""
        times = []
        if self._holds_us:
            times.append(self._waits_us)
        elif self._steps:
            times.append(self._ripe_us())
        if (own := self._level.next_us()) is not None:
            times.append(own)
        if self._edge_us:
            times.append(self._edge_us)
        return times

    def _ripe_us(self) -> int:
        delay_s = self._rule.on_delay_s if self._is_rising else self._rule.off_delay_s
        return self._steps[0] + round(delay_s * 1e6)

    def _at_once(self) -> int:
        """How many stages are on their way since the same time."""
        return sum(step == self._steps[0] for step in self._steps)

    def _counts(self, when: Schedule, at_us: int) -> bool:
        return counts(when, time_of(at_us), self._zone, self._calendar)

    def _move(self, at_us: int) -> None:
        """Heads for the stage that the form is in, if the schedule lets it count."""
        level, when = self._level.raw, None if self.happens else self._rule.when
        if when is None or not level:
            self._edge_us = 0
        else:
            if self._edge_us <= at_us:
                self._edge_us = us_of(next_change(when, time_of(at_us), self._zone, self._calendar))
            level = level if self._counts(when, at_us) else 0
        if self._holds_us and level <= self._stage:
            if at_us > self._holds_us:
                stage, at, until = self._stage + self._at_once(), time_of(self._holds_us), time_of(at_us)
                self._verdicts.append(Verdict(stage, at, self._value_before, until))
            self._holds_us = 0
        away = level - self._stage
        if away and self._is_rising is not (away > 0):
            self._steps = []
        self._is_rising = away > 0
        del self._steps[abs(away) :]
        self._steps += [at_us] * (abs(away) - len(self._steps))

    def _ripen(self, at_us: int) -> None:
        """A delay has run out. What is old news waits a little for its own end before it is raised."""
        if self._is_rising and not self._stage and self._is_old(at_us):
            self._holds_us, self._waits_us = at_us, self._now_us + WAITS_US
        else:
            self._turn(at_us)

    def _is_old(self, at_us: int) -> bool:
        """Whether what holds since then may well be over: numbers come in blocks, and what happens ends by itself."""
        oldest_us = self._now_us - LATE_US
        if self.happens:
            own = self._level.next_us()
            return own is not None and own < oldest_us
        return isinstance(self._rule.form, Threshold | Rate) and at_us < oldest_us

    def _turn(self, at_us: int) -> None:
        """From now on the next stage holds."""
        at_once = self._at_once()
        self._stage += at_once if self._is_rising else -at_once
        del self._steps[:at_once]
        self._holds_us = 0
        self._verdicts.append(Verdict(self._stage, time_of(at_us), self._value))


_NOTHING = Kept()
