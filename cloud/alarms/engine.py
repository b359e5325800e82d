"""Moves alarms along their lifecycle, always within the transaction of what caused it."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from uuid import UUID

from prometheus_client import Counter

from cloud.alarms.machine import Happening, State, step
from cloud.alarms.rules import Rule, RuleBook
from cloud.store import Connection, alarms, people
from cloud.store.changes import Change
from contract.errors import AnjuError

_TRANSITIONS = Counter("anju_alarm_transitions", "Transitions of alarms by rule and new state", ["rule", "state"])
LATE_AFTER = timedelta(minutes=1)
"""A condition that is older than this and already over when it arrives is history: it pages nobody."""
SYSTEM = "system"


class NoSuchAlarmError(AnjuError):
    """There is no such alarm, or it is not for this person to see."""


class Engine:
    """Looks at changes by the rules, and takes what people do to alarms."""

    def __init__(self, rules: RuleBook) -> None:
        self._rules = rules

    async def evaluate(self, connection: Connection, changes: Sequence[Change]) -> set[str]:
        """Moves the alarms that these changes concern; returns the topics to wake after the commit."""
        concerned = [
            (rule, change, happening)
            for change in changes
            for rule in self._rules.for_point(change.kind, change.point)
            if (happening := rule.happening(change.state)) is not None
        ]
        if not concerned:
            return set()
        active = await alarms.lock_active(
            connection, [(rule.name, f"series:{change.series}") for rule, change, _ in concerned]
        )
        over = _over(concerned)
        now = datetime.now(UTC)
        topics: set[str] = set()
        current: dict[tuple[str, str], tuple[UUID, State]] = {
            key: (alarm.id, State(alarm.state)) for key, alarm in active.items()
        }
        for i, (rule, change, happening) in enumerate(concerned):
            key = (rule.name, f"series:{change.series}")
            known = current.get(key)
            state = known[1] if known else State.NORM
            new = step(state, happening)
            if new is None:
                continue
            late = known is None and i in over and now - change.at > LATE_AFTER
            if known is None:
                new = State.NORM if late else new
                alarm = await self._raise(connection, rule, change, new, late=late)
            else:
                alarm = known[0]
                await alarms.move(connection, alarm, new, change.state)
            event = "late" if late else happening
            await alarms.add_transition(connection, alarm, change.at, state, new, event, SYSTEM)
            _TRANSITIONS.labels(rule.name, new).inc()
            if new is State.NORM:
                current.pop(key, None)
            else:
                current[key] = (alarm, new)
            topics |= {f"alarms:{change.estate}", f"device:{change.device}"}
        return topics

    async def _raise(self, connection: Connection, rule: Rule, change: Change, state: State, *, late: bool) -> UUID:
        return await alarms.raise_alarm(
            connection, rule.name, change.series, change.device, change.estate, rule.priority_of(change.kind), state,
            change.state or "", change.at, late,
        )  # fmt: skip

    async def acknowledge(
        self,
        connection: Connection,
        alarm: UUID,
        estates: Sequence[int],
        person: int,
        who: str,
        why: str = "",
        address: str = "",
    ) -> set[str]:
        """A person takes an alarm of one of their estates; a second acknowledgement changes nothing.

        Raises NoSuchAlarmError where it is none of theirs.
        """
        found = await alarms.lock_alarm(connection, alarm)
        if found is None or found.estate not in estates:
            raise NoSuchAlarmError(f"there is no alarm {alarm}")
        state = State(found.state)
        new = step(state, Happening.ACKNOWLEDGE)
        if new is None:
            return set()
        now = datetime.now(UTC)
        await alarms.move(connection, alarm, new, acknowledged=True, person=person)
        await alarms.add_transition(connection, alarm, now, state, new, Happening.ACKNOWLEDGE, who, person, why)
        await people.audit(connection, person, who, "acknowledge", f"alarm {alarm}", {"why": why}, address)
        _TRANSITIONS.labels(found.rule, new).inc()
        return {f"alarms:{found.estate}", f"device:{found.device}"}


def _over(concerned: Sequence[tuple[Rule, Change, Happening]]) -> set[int]:
    """Which of these have their condition cleared again by a later one of the same request."""
    cleared: set[tuple[str, int]] = set()
    over = set()
    for i in reversed(range(len(concerned))):
        rule, change, happening = concerned[i]
        key = (rule.name, change.series)
        if key in cleared:
            over.add(i)
        if happening is Happening.CLEAR:
            cleared.add(key)
    return over
