"""From an alarm that wants somebody to the messages for those who are to come, step by step until somebody has it."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import msgspec
import structlog
from prometheus_client import Counter

from cloud.notify.oncall import Schedule, on_duty
from cloud.notify.policy import Policy, Target, following, policy_of, targets
from cloud.store import Connection, notify, oncall
from cloud.store.due import Handled
from cloud.store.notices import Notice
from cloud.store.notify import DueStep, NewMessage, NextStep

log = structlog.get_logger()
_STEPS = Counter("anju_escalation_steps", "Steps of escalations that came due", ["outcome"])
GATHER_S = 60.0
"""In a flood what is not urgent waits so long for more of its kind."""
TOPIC = "messages"
"""Woken when messages wait: senders look at once."""
_PATHS = {"alarm": "/alarms", "incident": "/incidents", "mobilisation": "/mobilisations"}

InFlood = Callable[[Connection, Sequence[int]], Awaitable[set[int]]]
"""Which of these estates are in a flood of alarms."""


async def no_flood(_connection: Connection, _estates: Sequence[int]) -> set[int]:
    """Where nobody counts floods."""
    return set()


class Escalations:
    """Begins escalations, does the steps that are due, and takes the notices of other stages."""

    def __init__(self, in_flood: InFlood = no_flood) -> None:
        self._in_flood = in_flood

    async def announce(
        self, connection: Connection, alarms: Sequence[UUID], *, now: datetime | None = None
    ) -> None:  # fmt: skip
        """These alarms want somebody from now on, in the transaction that made them do so.

        Where nobody made a policy, the console alone says it.
        """
        if alarms:
            await notify.announce(connection, alarms, now=now)

    async def tell(self, connection: Connection, notices: Sequence[Notice], *, now: datetime | None = None) -> None:
        """Queues notices in the caller's transaction; who has no channel sees them in the console alone."""
        if notices:
            await notify.put_messages(connection, [_message(notice) for notice in notices], now=now)

    async def due(self, connection: Connection, limit: int, *, now: datetime | None = None) -> Handled:
        """Does up to `limit` steps that are due. Who is on duty is decided now."""
        steps = await notify.take_due(connection, limit, now=now)
        if not steps:
            return Handled(0)
        rows = await oncall.policies(connection, {step.policy for step in steps if step.policy is not None})
        policies: dict[int | None, Policy] = {row.id: policy_of(row) for row in rows}
        going = [step for step in steps if step.wanted and step.policy in policies]
        messages = await self._messages(connection, going, policies)
        reached = await notify.put_messages(connection, messages, now=now) if messages else set()
        await notify.step_on(connection, [_next(step, policies.get(step.policy), reached) for step in steps])
        return Handled(len(steps), frozenset({TOPIC}) if messages else frozenset())

    async def _messages(
        self, connection: Connection, steps: Sequence[DueStep], policies: Mapping[int | None, Policy]
    ) -> list[NewMessage]:
        told = [(step, targets(policies[step.policy], step.step, drill=step.drill)) for step in steps]
        book = await _Book.open(connection, told)
        flooded = await self._in_flood(connection, list({step.estate for step in steps})) if steps else set()
        messages = []
        for step, whom in told:
            people, channels = book.resolve(step, whom)
            gathers = step.estate in flooded and step.priority in {"medium", "low"}
            for person, channel in [(person, None) for person in people] + [(None, channel) for channel in channels]:
                messages.append(
                    NewMessage(
                        subject="alarm", subject_id=step.alarm, step=f"{step.announced}.{step.round}.{step.step}",
                        estate=step.estate, priority=step.priority, person=person, target=channel,
                        path=f"{_PATHS['alarm']}/{step.alarm}", drill=step.drill, wait_s=GATHER_S if gathers else 0.0,
                    )
                )  # fmt: skip
        return messages


class _Book:
    """Who is meant by targets at this moment."""

    def __init__(
        self, schedules: Mapping[str, Schedule], people: Mapping[str, int], channels: Mapping[str, int],
        holders: Mapping[tuple[str, str, int], Sequence[int]],
    ) -> None:  # fmt: skip
        self._schedules, self._people, self._channels, self._holders = schedules, people, channels, holders

    @classmethod
    async def open(cls, connection: Connection, told: Sequence[tuple[DueStep, Sequence[Target]]]) -> "_Book":
        """What these targets need to know."""
        all_targets = [target for _, whom in told for target in whom]
        names = {target.schedule for target in all_targets if target.schedule}
        bodies: Mapping[str, Any] = await oncall.schedules(connection) if names else {}
        schedules = {name: msgspec.convert(bodies[name], Schedule) for name in names if name in bodies}
        logins = {target.person for target in all_targets if target.person}
        for schedule in schedules.values():
            logins |= {login for rotation in schedule.rotations for login in rotation.people}
            logins |= {override.person for override in schedule.overrides}
        wanted = {(target.role, target.level, step.estate) for step, whom in told for target in whom if target.role}
        by_channel = any(target.channel for target in all_targets)
        return cls(
            schedules,
            await oncall.find_people(connection, logins) if logins else {},
            {row.name: row.id for row in await oncall.channels(connection)} if by_channel else {},
            await oncall.holders(connection, wanted) if wanted else {},
        )

    def resolve(self, step: DueStep, whom: Sequence[Target]) -> tuple[list[int], list[int]]:
        """People and channels, each once."""
        people: dict[int, None] = {}
        channels: dict[int, None] = {}
        for target in whom:
            login = target.person
            if target.schedule in self._schedules:
                login = on_duty(self._schedules[target.schedule], step.now) or ""
            if login in self._people:
                people[self._people[login]] = None
            for person in self._holders.get((target.role, target.level, step.estate), ()):
                people[person] = None
            if target.channel in self._channels:
                channels[self._channels[target.channel]] = None
        return list(people), list(channels)


def _next(step: DueStep, policy: Policy | None, reached: set[UUID]) -> NextStep:
    """Where it goes on: at once after a step that could reach nobody, no further once somebody has the alarm."""
    if not step.wanted or policy is None:
        _STEPS.labels("not wanted").inc()
        return NextStep(step.alarm, step.step, step.round, None)
    onward = following(policy, step.step, step.round)
    came_to_nobody = step.alarm not in reached
    _STEPS.labels("nobody" if came_to_nobody else "told").inc()
    if came_to_nobody:
        log.warning("a step of an escalation reaches nobody", alarm=str(step.alarm), policy=policy.name, step=step.step)
    if onward is None:
        return NextStep(step.alarm, step.step + 1, step.round, None)
    wait_s = 0 if came_to_nobody and not onward.is_new_round else onward.after_s
    return NextStep(step.alarm, onward.step, onward.round, step.now + timedelta(seconds=wait_s))


def _message(notice: Notice) -> NewMessage:
    return NewMessage(
        subject=notice.subject, subject_id=notice.id, step=notice.step, estate=notice.estate, priority=notice.priority,
        person=notice.person, text={"zh": notice.text.zh, "en": notice.text.en},
        path=notice.path or f"{_PATHS[notice.subject]}/{notice.id}", drill=notice.drill,
    )  # fmt: skip
