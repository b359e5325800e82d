"""Rules for tests, and a play of what is seen, with timers where they come due."""

import math
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta, tzinfo
from typing import Any

import msgspec

from cloud.alarms.rules.judge import judge
from cloud.alarms.rules.memory import REST, Kept, Memory, Seen, Verdict
from cloud.alarms.rules.model import Event, Form, Rate, Rule, Stage, State, Text, Texts, Threshold
from cloud.alarms.rules.schedule import WEEKENDS, Calendar

T0 = datetime(2026, 11, 24, 3, 0, tzinfo=UTC)
TEXT = Text(title="t", meaning="m", do=["d"], who="w")
TEXTS = Texts(zh=TEXT, en=TEXT)


def t(seconds: float) -> datetime:
    return T0 + timedelta(seconds=seconds)


def s(at: datetime) -> float:
    return (at - T0).total_seconds()


def rule_with(form: Form, **fields: Any) -> Rule:
    return Rule(name="rule", form=form, text=TEXTS, **fields)


def smoke(**fields: Any) -> Rule:
    return rule_with(State(form="state", point="smoke", words=["smoke"]), **fields)


def pressed(stands_s: float = 100.0, **fields: Any) -> Rule:
    return rule_with(Event(form="event", point="pressed", stands_s=stands_s), **fields)


def level(*limits: float, side: Any = "above", hysteresis: float = 0.0, **fields: Any) -> Rule:
    stages = [Stage(at=limit, priority="low") for limit in limits]
    form = Threshold(form="threshold", points=["level"], side=side, stages=stages, hysteresis=hysteresis)
    return rule_with(form, **fields)


def rise(*limits: float, over_s: float = 60.0, direction: Any = "rises", **fields: Any) -> Rule:
    stages = [Stage(at=limit, priority="low") for limit in limits]
    return rule_with(Rate(form="rate", points=["level"], direction=direction, over_s=over_s, stages=stages), **fields)


def kept_as_rows(memory: Memory) -> Memory:
    """The memory as it comes back from its row."""
    kept = msgspec.json.decode(msgspec.json.encode(memory.kept), type=Kept)
    return msgspec.structs.replace(memory, kept=kept)


class Play:
    """One source in the hands of a rule. Live unless `now` says otherwise; timers fire as they come due."""

    def __init__(self, rule: Rule, *, zone: tzinfo = UTC, calendar: Calendar = WEEKENDS, timers: bool = True) -> None:
        self.rule, self.zone, self.calendar, self.timers = rule, zone, calendar, timers
        self.memory = REST
        self.verdicts: list[Verdict] = []
        self.before: tuple[datetime, float] | None = None

    def see(self, seconds: float, value: float | str | None, *, now: float | None = None, **more: Any) -> "Play":
        at = t(seconds)
        if self.timers and now is None:
            self.run_timers(seconds, until_before=True)
        self._judge(Seen(at, value, before=self.before, **more), t(seconds if now is None else now))
        if isinstance(value, int | float) and not math.isnan(value):
            step = self.rule.form.step if isinstance(self.rule.form, Rate) else 0.0
            has_moved = self.before is None or abs(value - self.before[1]) >= step
            self.before = (at, float(value) if has_moved or self.before is None else self.before[1])
        return self

    def run_timers(self, seconds: float, *, until_before: bool = False) -> "Play":
        """Timers until then, each exactly at its time."""
        while (due := self.memory.due_at) is not None and (
            due < t(seconds) or (due == t(seconds) and not until_before)
        ):
            self._judge(None, due)
            assert self.memory.due_at is None or self.memory.due_at > due, "a timer that came due stays due"
        return self

    def fire(self, seconds: float) -> "Play":
        """The timer, no earlier than this."""
        self._judge(None, t(seconds))
        return self

    def _judge(self, seen: Seen | None, now: datetime) -> None:
        judged = judge(self.rule, kept_as_rows(self.memory), seen, now, self.zone, self.calendar)
        self.memory = judged.memory
        self.verdicts += judged.verdicts

    @property
    def told(self) -> list[tuple[int, float]]:
        """Stage and when; None of them late."""
        assert all(verdict.until is None for verdict in self.verdicts)
        return [(verdict.stage, s(verdict.at)) for verdict in self.verdicts]


def told(
    rule: Rule, samples: Iterable[tuple[float, Any]], end: float | None = None, **play: Any
) -> list[tuple[int, float]]:
    at_work = Play(rule, **play)
    for seconds, value in samples:
        at_work.see(seconds, value)
    if end is not None:
        at_work.run_timers(end)
    return at_work.told
