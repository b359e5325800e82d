"""Alarms that move in one transaction: what happens to each, then what is to be written and told of it all at once."""

from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from uuid import UUID, uuid4

from prometheus_client import Counter

from cloud.alarms.machine import NORM, Happening, Standing, State, step, wants_somebody
from cloud.alarms.rules.memory import Verdict
from cloud.alarms.rules.model import Rule
from cloud.store import Connection, lifecycle, subjects
from cloud.store.alarms import Hold, Moved, Subject
from cloud.store.lifecycle import Live, Step

_TRANSITIONS = Counter("anju_alarm_transitions", "Transitions of alarms by rule and new state", ["rule", "state"])
_CHATTERING = Counter("anju_alarm_chattering", "Alarms that began to chatter, by rule", ["rule"])
SYSTEM = "system"
CHATTERS_AT = 3
CHATTERS_WITHIN = timedelta(minutes=1)
"""An alarm that comes so often in this time is chattering (EEMUA 191): it ends only after as long without coming."""
LONGEST_SHELF_OF_LIFE = timedelta(minutes=15)
"""What is about life is kept from people no longer, and is never taken out of service."""
WARNED_BEFORE = timedelta(minutes=5)
"""A shelf says so long before it ends that it does; one that is shorter than twice this, when half of it is over."""
_HOLDING = {State.SHLVD: Happening.SHELVE, State.DSUPR: Happening.SUPPRESS, State.OOSRV: Happening.TAKE_OUT}
_UNSEEN = frozenset({State.UNACK, State.RTNUN})
"""What nobody has seen is told, also if it was over within the same request."""
_FOLLOWED = frozenset(Happening) - {Happening.SUPPRESS, Happening.RELEASE, Happening.ACKNOWLEDGE, Happening.UNDO}
"""What is told to those who fold and confirm: the condition's own steps, and an alarm's coming back or going."""


class Moves:
    """Locked alarms being moved. `now` is the transaction's time, `at` of a step that of the condition."""

    def __init__(self, now: datetime) -> None:
        self.now = now
        self.topics: set[str] = set()
        self.wanting: dict[UUID, None] = {}
        """Alarms that people are to be told of."""
        self.ending_soon: list[UUID] = []
        """Shelved alarms whose end is said ahead."""
        self._alarms: dict[UUID, Live] = {}
        self._new: set[UUID] = set()
        self._steps: list[Step] = []
        self._followed: dict[UUID, tuple[str, str, datetime]] = {}
        self._subjects: dict[str, Subject] = {}

    def know(self, known: Iterable[Subject]) -> None:
        """What sources are about, where that is known already."""
        self._subjects.update({subject.source: subject for subject in known})

    def raise_new(self, rule: Rule, version: int, subject: Subject, verdict: Verdict) -> Live:
        """A new alarm, that nobody has seen."""
        alarm = self._make(rule, version, subject, verdict)
        self.happen(alarm, Happening.RAISE, verdict.at)
        return alarm

    def keep_late(self, rule: Rule, version: int, subject: Subject, verdict: Verdict) -> None:
        """An alarm that was over when it was heard of: history, which pages nobody (decision 9)."""
        alarm = self._make(rule, version, subject, verdict)
        alarm.late = True
        self._write(alarm, verdict.at, NORM, "late")

    def happen(
        self,
        alarm: Live,
        happening: Happening,
        at: datetime,
        who: str = SYSTEM,
        person: int | None = None,
        why: str = "",
    ) -> bool:
        """One step of a locked alarm; False where the table has none."""
        before = Standing(State(alarm.state), alarm.holds)
        after = step(before, happening)
        if after is None:
            return False
        alarm.state, alarm.holds = after.state, after.holds
        if after.state is State.UNACK or happening is Happening.UNDO:
            alarm.acked_at = alarm.acked_by = None
        elif happening is Happening.ACKNOWLEDGE:
            alarm.acked_at, alarm.acked_by = self.now, person
        if before.is_held and after.state is not before.state:
            alarm.hold_until = alarm.warn_at = alarm.held_by = alarm.cause = None
            alarm.hold_why = ""
        if not after.holds:
            alarm.clears_at, alarm.chattering = None, False
        if wants_somebody(before, happening, after):
            self.wanting[alarm.id] = None
        elif after.state not in _UNSEEN:
            self.wanting.pop(alarm.id, None)
        if happening in _FOLLOWED:
            first = self._followed.get(alarm.id, (before.state, "", at))[0]
            self._followed[alarm.id] = (first, happening, at)
        self._write(alarm, at, before, happening, who, person, why)
        _TRANSITIONS.labels(alarm.rule, after.state).inc()
        return True

    def hold(self, alarm: Live, hold: Hold, who: str = SYSTEM, person: int | None = None) -> bool:
        """Something keeps an alarm from people from now on; False where the table does not let it."""
        if not self.happen(alarm, _HOLDING[State(hold.state)], self.now, who, person, hold.why):
            return False
        alarm.hold_until, alarm.hold_why, alarm.held_by, alarm.cause = hold.until, hold.why, person, hold.cause
        if hold.state == State.SHLVD and hold.until is not None:
            alarm.warn_at = max(hold.until - WARNED_BEFORE, self.now + (hold.until - self.now) / 2)
        return True

    def come_again(self, alarm: Live, at: datetime, recent: list[datetime]) -> None:
        """Counts that an alarm came again while it stood; `recent` is when it came before, and has this time after."""
        alarm.repeats += 1
        self._alarms[alarm.id] = alarm
        recent.append(at)
        if alarm.chattering or sum(at - CHATTERS_WITHIN < other <= at for other in recent) < CHATTERS_AT:
            return
        alarm.chattering = True
        why = f"{CHATTERS_AT} times in {CHATTERS_WITHIN.total_seconds():.0f} s: it ends only after as long without"
        self.note(alarm, at, "chattering", why=why)
        _CHATTERING.labels(alarm.rule).inc()

    def clear(self, alarm: Live, at: datetime) -> None:
        """The condition is over. One that chatters waits whether it comes again."""
        if not alarm.chattering:
            self.happen(alarm, Happening.CLEAR, at)
        elif alarm.clears_at is None:
            alarm.clears_at = at + CHATTERS_WITHIN
            self._alarms[alarm.id] = alarm

    def change(self, alarm: Live) -> None:
        """Something of an alarm was changed that is no step of its life."""
        self._alarms[alarm.id] = alarm

    def note(
        self, alarm: Live, at: datetime, event: str, who: str = SYSTEM, person: int | None = None, why: str = ""
    ) -> None:
        """A line of history without a step."""
        self._write(alarm, at, Standing(State(alarm.state), alarm.holds), event, who, person, why)

    async def store(self, connection: Connection) -> None:
        """Writes all of it."""
        new = [alarm for alarm in self._alarms.values() if alarm.id in self._new]
        changed = [alarm for alarm in self._alarms.values() if alarm.id not in self._new]
        if new:
            await lifecycle.add(connection, new, self.now)
        if changed:
            await lifecycle.put(connection, changed, self.now)
        if self._steps:
            await lifecycle.add_steps(connection, self._steps)

    async def moved(self, connection: Connection) -> list[Moved]:
        """Alarms whose condition moved, that came back or that went, each as it stands now."""
        missing = {self._alarms[alarm].source for alarm in self._followed} - self._subjects.keys()
        if missing:
            self._subjects |= await subjects.of_sources(connection, missing)
        return [
            Moved(
                alarm=alarm.id,
                rule=alarm.rule,
                subject=self._subjects[alarm.source],
                from_state=first,
                to_state=alarm.state,
                at=at,
                event=event,
                priority=alarm.priority,
                holds=alarm.holds,
            )
            for key, (first, event, at) in self._followed.items()
            if (alarm := self._alarms[key]).source in self._subjects
        ]

    def _make(self, rule: Rule, version: int, subject: Subject, verdict: Verdict) -> Live:
        stage = max(verdict.stage, 1)
        alarm = Live(
            id=uuid4(), rule=rule.name, rule_version=version, source=subject.source, series=subject.series,
            device=subject.device, gateway=subject.gateway, estate=subject.estate,
            priority=rule.priority_at(subject.kind, stage), state=State.NORM, holds=False, stage=stage,
            value=words_of(verdict.value), raised_at=verdict.at,
        )  # fmt: skip
        self._new.add(alarm.id)
        self._subjects.setdefault(subject.source, subject)
        return alarm

    def _write(
        self, alarm: Live, at: datetime, before: Standing, event: str, who: str = SYSTEM, person: int | None = None,
        why: str = "",
    ) -> None:  # fmt: skip
        self._alarms[alarm.id] = alarm
        self._steps.append(Step(alarm.id, at, before.state, alarm.state, event, who, person, why))
        self.topics |= topics_of(alarm)


def topics_of(alarm: Live) -> set[str]:
    """Who looks at this alarm's estate, and at its device."""
    topics = {f"alarms:{alarm.estate}"}
    return topics if alarm.device is None else topics | {f"device:{alarm.device}"}


def words_of(value: float | str | None) -> str:
    """A value as an alarm keeps it."""
    return f"{value:.10g}" if isinstance(value, int | float) else value or ""


def allowed(rule: Rule | None, hold: Hold, now: datetime) -> Hold | None:
    """A hold as far as the rule bears it: what is about life is held for a short time only, or beneath its cause."""
    if rule is None or not rule.life_safety or hold.state == State.DSUPR:
        return hold
    if hold.state == State.OOSRV:
        return None
    latest = now + LONGEST_SHELF_OF_LIFE
    return Hold(hold.state, min(hold.until or latest, latest), hold.why, hold.cause)


Recent = Mapping[UUID, list[datetime]]
"""When alarms were raised lately."""
