"""Moves alarms along their lifecycle by what is seen, always within the transaction of what caused it.

Judging is pure (rules/), and so is the lifecycle (machine.py); here what is remembered is locked, judged, moved and
written back, a statement a step for however many. Locks are taken in one order: cursor, condition, alarm.
"""

from collections.abc import Collection, Mapping, Sequence
from datetime import UTC, datetime, timedelta, tzinfo
from functools import lru_cache
from typing import Protocol
from uuid import UUID
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import msgspec

from cloud.alarms.acts import Acts, NoSuchAlarmError, NotNowError
from cloud.alarms.machine import Happening, State
from cloud.alarms.moves import CHATTERS_WITHIN, Moves, allowed, words_of
from cloud.alarms.rules import Rule, RuleBook
from cloud.alarms.rules.judge import judge
from cloud.alarms.rules.memory import REST, Memory, Seen, Verdict
from cloud.alarms.watched import Watched, memory_of
from cloud.store import Connection, conditions, lifecycle, subjects
from cloud.store.alarms import Hold, Moved, Raising, Subject
from cloud.store.changes import Change, Happened, Looked, Readings
from cloud.store.conditions import Condition, Key
from cloud.store.lifecycle import Live
from cloud.store.subjects import Lies

__all__ = ["Announce", "Engine", "Holds", "NoSuchAlarmError", "NotNowError", "Observation", "Raised"]
LATE_AFTER = timedelta(minutes=1)
"""A condition that is older than this and already over when it arrives is history: it pages nobody."""
STILL_DUE = timedelta(seconds=1)
"""What was due and is not yet by the rule of now is looked at again so much later."""
_BY_CURSOR = ("series:", "device:")
"""Sources that only who has their box's cursor moves."""


class Observation(msgspec.Struct, frozen=True):
    """Something seen of a subject, for every rule that looks there."""

    subject: Subject
    seen: Seen


class Announce(Protocol):
    """Takes alarms that want a person from now on, in the transaction in which they do."""

    async def __call__(self, connection: Connection, alarms: Sequence[UUID], /) -> None:
        """Takes them by their ids."""


class Holds(Protocol):
    """Says, by position, which alarms that are about to be raised something keeps from people."""

    async def __call__(
        self, connection: Connection, raisings: Sequence[Raising], /, *, now: datetime | None
    ) -> Mapping[int, Hold]:
        """Says which, by their places in `raisings`."""


class Raised(Protocol):
    """Hears of alarms that moved, in the same transaction and before anybody is told; returns topics to wake."""

    async def __call__(
        self, connection: Connection, moved: Sequence[Moved], /, *, now: datetime | None
    ) -> Collection[str]:
        """Hears of them, each as it stands now."""


async def _tell_nobody(_: Connection, __: Sequence[UUID]) -> None:
    pass


async def _hold_nothing(_: Connection, __: Sequence[Raising], *, now: datetime | None) -> Mapping[int, Hold]:  # noqa: ARG001  # named by the seam
    return {}


async def _follow_nothing(_: Connection, __: Sequence[Moved], *, now: datetime | None) -> Collection[str]:  # noqa: ARG001  # named by the seam
    return ()


class Engine(Acts):
    """Looks at what is seen by the rules, and takes what people do to alarms.

    `announce` is told which alarms want a person, `holds` says what keeps one from people, `raised` hears of what
    moved, `ending` which shelved alarms come back soon. Each runs in the transaction.
    """

    def __init__(
        self,
        rules: RuleBook,
        *,
        announce: Announce = _tell_nobody,
        holds: Holds = _hold_nothing,
        raised: Raised = _follow_nothing,
        ending: Announce = _tell_nobody,
    ) -> None:
        self.book = rules
        self.versions: Mapping[str, int] = {}
        """The rules' versions in the database, by name; 0 where there is none."""
        self.announce, self.holds, self.raised, self.ending = announce, holds, raised, ending
        self._lies: dict[int, Lies] = {}
        self._watched = Watched()

    def take(self, book: RuleBook, versions: Mapping[str, int]) -> None:
        """Goes by these rules from now on."""
        self.book, self.versions = book, versions
        self._lies = {}  # estates may have moved, too

    async def evaluate(
        self, connection: Connection, changes: Sequence[Change | Happened], *, now: datetime | None = None
    ) -> set[str]:
        """Moves the alarms that these changes concern; returns the topics to wake after the commit."""
        if not changes:
            return set()
        await self._learn(connection, {change.estate for change in changes})
        book = self.book
        news = [
            change
            for change in changes
            if book.for_point(change.kind, change.point, areas=self._lying(change).areas, device=change.device)
        ]
        return await self.observe(connection, [self._observation(change) for change in news], now=now)

    async def evaluate_bulk(
        self, connection: Connection, boxes: Sequence[Readings], *, now: datetime | None = None
    ) -> Looked:
        """Moves the alarms that these readings concern, within the transaction that stores them.

        Whoever calls it has the boxes' bulk cursors. What stays in its band costs a few comparisons of columns.
        """
        book = self.book
        watched = await self._watched.of(connection, book, boxes)
        if not watched:
            return Looked()
        known = await conditions.of_boxes(connection, {readings.gateway for readings, _ in watched})
        crossings = [(bands, bands.crossing(readings, known)) for readings, bands in watched]
        asked = [(bands, place, seen) for bands, crossing in crossings for place, seen in crossing.news]
        topics: set[str] = set()
        if asked:
            about = await subjects.of_sources(connection, {bands.source(place) for bands, place, _ in asked})
            judging = [
                (rule, about[source], seen)
                for bands, place, seen in asked
                if (source := bands.source(place)) in about
                for rule in bands.rules(place)
            ]
            at = await lifecycle.time(connection, now)
            topics = await self.judge_all(connection, book, judging, known, at, bulk=True)

        def committed() -> None:
            for _, crossing in crossings:
                crossing.keep()

        return Looked(frozenset(topics), committed)

    async def observe(
        self, connection: Connection, observations: Sequence[Observation], *, now: datetime | None = None
    ) -> set[str]:
        """Judges what was seen by every rule that looks there; returns the topics to wake after the commit.

        Whoever calls it has the cursor of the boxes whose points these are. Raises Retryable where somebody else moved
        the same condition at the same moment.
        """
        book = self.book
        asked = [
            (rule, one.subject, one.seen)
            for one in observations
            for rule in book.for_point(
                one.subject.kind, one.subject.point, areas=one.subject.areas, device=one.subject.device
            )
        ]
        if not asked:
            return set()
        at = await lifecycle.time(connection, now)
        keys = {(rule.name, subject.source): subject.gateway for rule, subject, _ in asked}
        known = await self._lock(connection, keys)
        return await self.judge_all(connection, book, asked, known, at)

    async def judge_all(
        self, connection: Connection, book: RuleBook, asked: Sequence[tuple[Rule, Subject, Seen | None]],
        known: Mapping[Key, Condition], at: datetime, *, bulk: bool = False,
    ) -> set[str]:  # fmt: skip
        """Judges these by rule, subject and what was seen (None: its time has come); writes what comes of it.

        `known` are the locked conditions. Returns the topics to wake.
        """
        memories = {key: memory_of(row) for key, row in known.items()}
        found: dict[Key, tuple[Rule, Subject, list[Verdict]]] = {}
        touched: dict[Key, tuple[Rule, Subject]] = {}
        for rule, subject, seen in asked:
            key = rule.name, subject.source
            touched[key] = rule, subject
            before = memories.get(key, REST)
            judged = judge(rule, before, seen, at, zone_of(subject.zone), book.calendar)
            if judged.memory is before and not judged.verdicts:
                continue
            memories[key] = judged.memory
            if judged.verdicts:
                found.setdefault(key, (rule, subject, []))[2].extend(judged.verdicts)
        for key, (rule, subject) in touched.items():  # what is due by now needs no timer
            memory = memories.get(key, REST)
            if memory.due_at is None or memory.due_at > at:
                continue
            judged = judge(rule, memory, None, at, zone_of(subject.zone), book.calendar)
            memories[key] = judged.memory
            found.setdefault(key, (rule, subject, []))[2].extend(judged.verdicts)
            if judged.memory.due_at is not None and judged.memory.due_at <= at:  # by a rule that was changed meanwhile
                memories[key] = msgspec.structs.replace(judged.memory, due_at=at + STILL_DUE)
        await self._remember(connection, known, memories, touched, bulk=bulk)
        if not any(verdicts for _, _, verdicts in found.values()):
            return set()
        moves = Moves(at)
        moves.know(subject for _, subject, _ in found.values())
        await self._move(connection, moves, [one for one in found.values() if one[2]])
        return await self.finish(connection, moves)

    async def finish(self, connection: Connection, moves: Moves) -> set[str]:
        """Writes what moved and tells whoever is to know; returns the topics to wake."""
        await moves.store(connection)
        topics = set(moves.topics)
        if moved := await moves.moved(connection):
            topics |= set(await self.raised(connection, moved, now=moves.now))
        # What was folded beneath a cause by now wants nobody.
        if moves.wanting and (wanting := await lifecycle.announce(connection, moves.wanting, moves.now)):
            await self.announce(connection, wanting)
        if moves.ending_soon:
            await self.ending(connection, moves.ending_soon)
        return topics

    async def hold(
        self, connection: Connection, holds: Mapping[UUID, Hold], *, now: datetime | None = None
    ) -> set[str]:
        """Something keeps these alarms from people from now on: their cause was found, or a window begins.

        Those that are held already, or that are over, stay as they are.
        """
        moves = Moves(await lifecycle.time(connection, now))
        for alarm in await lifecycle.lock(connection, holds.keys()):
            if (hold := allowed(self.book.get(alarm.rule), holds[alarm.id], moves.now)) is not None:
                moves.hold(alarm, hold)
        return await self.finish(connection, moves)

    async def release(
        self, connection: Connection, alarms: Collection[UUID], why: str = "", *, now: datetime | None = None
    ) -> set[str]:
        """What suppressed these is no reason any more: they come back and are told."""
        moves = Moves(await lifecycle.time(connection, now))
        for alarm in await lifecycle.lock(connection, alarms):
            moves.happen(alarm, Happening.RELEASE, moves.now, why=why)
        return await self.finish(connection, moves)

    async def hold_anew(
        self, connection: Connection, moves: Moves, alarms: Sequence[Live], states: Collection[State]
    ) -> None:
        """What came back from a hold just now goes beneath its cause, or into the next window, if there is one."""
        back = [alarm for alarm in alarms if alarm.state == State.UNACK]
        if not back:
            return
        about = await subjects.of_sources(connection, {alarm.source for alarm in back})
        back = [alarm for alarm in back if alarm.source in about]
        raisings = [self._raising(alarm, about[alarm.source], moves.now) for alarm in back]
        for place, hold in (await self.holds(connection, raisings, now=moves.now)).items():
            if hold.state in states and (kept := allowed(self.book.get(back[place].rule), hold, moves.now)) is not None:
                moves.hold(back[place], kept)

    async def _learn(self, connection: Connection, estates: Collection[int]) -> None:
        if missing := [estate for estate in estates if estate not in self._lies]:
            self._lies |= await subjects.estates(connection, missing)

    def _lying(self, change: Change | Happened) -> Lies:
        return self._lies.get(change.estate, _NOWHERE)

    def _observation(self, change: Change | Happened) -> Observation:
        areas, zone = self._lying(change)
        if isinstance(change, Change):
            source, series, seen = f"series:{change.series}", change.series, Seen(change.at, change.state)
        else:  # what an event says of somebody is compared and goes no further: an alarm's value is kept for ever
            source, series = f"device:{change.device}/{change.point}", None
            seen = Seen(change.at, "", dict(change.fields))
        subject = Subject(
            source=source, kind=change.kind, point=change.point, estate=change.estate, areas=areas, zone=zone,
            gateway=change.gateway, device=change.device, series=series,
        )  # fmt: skip
        return Observation(subject, seen)

    async def _lock(self, connection: Connection, keys: Mapping[Key, UUID | None]) -> dict[Key, Condition]:
        of_boxes = [key for key in keys if key[1].startswith(_BY_CURSOR)]
        others = [(*key, gateway) for key, gateway in keys.items() if not key[1].startswith(_BY_CURSOR)]
        known = await conditions.lock(connection, of_boxes) if of_boxes else {}
        return known | await conditions.claim(connection, others) if others else known

    async def _remember(
        self, connection: Connection, known: Mapping[Key, Condition], memories: Mapping[Key, Memory],
        touched: Mapping[Key, tuple[Rule, Subject]], *, bulk: bool,
    ) -> None:  # fmt: skip
        new: list[Condition] = []
        moved: list[Condition] = []
        rested: list[Key] = []
        for key, (_, subject) in touched.items():
            memory, before = memories.get(key, REST), known.get(key)
            if before is None:
                if not memory.is_at_rest:
                    new.append(_row(key, subject.gateway, bulk, memory))
            elif memory.is_at_rest:
                rested.append(key)
            elif memory != memory_of(before):
                moved.append(_row(key, before.gateway, before.bulk, memory))
        if new:
            await conditions.add(connection, new)
        if moved:
            await conditions.put(connection, moved)
        if rested:
            await conditions.drop(connection, rested)

    async def _move(
        self, connection: Connection, moves: Moves, found: Sequence[tuple[Rule, Subject, Sequence[Verdict]]]
    ) -> None:
        active = await lifecycle.lock_active(connection, [(rule.name, about.source) for rule, about, _ in found])
        came_again = [alarm.id for alarm in active.values()]
        recent = await self._recent(connection, came_again, found)
        raised: list[tuple[Rule, Subject, Live]] = []
        for rule, subject, verdicts in found:
            alarm = active.get((rule.name, subject.source))
            was_unack = alarm is not None and alarm.state == State.UNACK
            alarm = self._follow(moves, rule, subject, verdicts, alarm, recent)
            if alarm is not None and alarm.state == State.UNACK and not was_unack:
                raised.append((rule, subject, alarm))
        if not raised:
            return
        raisings = [self._raising(alarm, subject, alarm.raised_at) for _, subject, alarm in raised]
        for place, hold in (await self.holds(connection, raisings, now=moves.now)).items():
            rule, _, alarm = raised[place]
            if (kept := allowed(rule, hold, moves.now)) is not None:
                moves.hold(alarm, kept)

    async def _recent(
        self, connection: Connection, alarms: Sequence[UUID], found: Sequence[tuple[Rule, Subject, Sequence[Verdict]]]
    ) -> dict[UUID, list[datetime]]:
        """When alarms that stand were raised lately, if any of them comes again."""
        times = [verdict.at for _, _, verdicts in found for verdict in verdicts if verdict.stage]
        if not alarms or not times:
            return {}
        return await lifecycle.raises(connection, alarms, min(times) - CHATTERS_WITHIN)

    def _follow(
        self, moves: Moves, rule: Rule, subject: Subject, verdicts: Sequence[Verdict], alarm: Live | None,
        recent: dict[UUID, list[datetime]],
    ) -> Live | None:  # fmt: skip
        """Takes an alarm through verdicts in their order; returns the one that is active then."""
        version = self.versions.get(rule.name, 0)
        place = 0
        while place < len(verdicts):
            verdict = verdicts[place]
            place += 1
            if verdict.until is not None:
                moves.keep_late(rule, version, subject, verdict)
            elif alarm is None:
                over = next((n for n in range(place, len(verdicts)) if not verdicts[n].stage), None)
                if not verdict.stage:
                    continue
                if over is not None and moves.now - verdict.at > LATE_AFTER:
                    worst = max(verdicts[place - 1 : over], key=lambda one: one.stage)
                    moves.keep_late(rule, version, subject, msgspec.structs.replace(worst, at=verdict.at))
                    place = over + 1
                else:
                    alarm = moves.raise_new(rule, version, subject, verdict)
                    recent[alarm.id] = [verdict.at]
            else:
                self._apply(moves, rule, version, subject, verdict, alarm, recent)
                if alarm.state == State.NORM:
                    alarm = None
        return alarm

    def _apply(
        self, moves: Moves, rule: Rule, version: int, subject: Subject, verdict: Verdict, alarm: Live,
        recent: dict[UUID, list[datetime]],
    ) -> None:  # fmt: skip
        """What a verdict means to an alarm that is active."""
        if not verdict.stage:
            if alarm.holds:
                moves.clear(alarm, verdict.at)
            return
        was, alarm.clears_at = alarm.clears_at, None
        stage, alarm.stage = alarm.stage, verdict.stage
        alarm.value, alarm.rule_version = words_of(verdict.value), version
        alarm.priority = rule.priority_at(subject.kind, verdict.stage)
        moves.change(alarm)
        if alarm.holds and was is None and verdict.stage != stage:
            moves.happen(alarm, Happening.WORSEN if verdict.stage > stage else Happening.LESSEN, verdict.at)
            return
        moves.come_again(alarm, verdict.at, recent.setdefault(alarm.id, []))
        if not alarm.holds:
            is_worse = alarm.state == State.SHLVD and verdict.stage > stage
            moves.happen(alarm, Happening.WORSEN if is_worse else Happening.RAISE, verdict.at)
        elif verdict.stage > stage:  # chattering, and worse than before
            moves.happen(alarm, Happening.WORSEN, verdict.at)
        elif not alarm.chattering:
            moves.happen(alarm, Happening.AGAIN, verdict.at)

    def _raising(self, alarm: Live, subject: Subject, at: datetime) -> Raising:
        rule = self.book.get(alarm.rule)
        is_life = rule is not None and rule.life_safety
        return Raising(alarm.rule, subject, alarm.priority, at, alarm.value, alarm.stage, is_life)


_NOWHERE = Lies((), "UTC")


def _row(key: Key, gateway: UUID | None, bulk: bool, memory: Memory) -> Condition:
    kept = msgspec.to_builtins(memory.kept)
    return Condition(*key, gateway, bulk, memory.stage, memory.pending, memory.since, memory.due_at, kept)


@lru_cache(maxsize=64)
def zone_of(name: str) -> tzinfo:
    """A time zone; UTC for one that this machine does not know."""
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError):
        return UTC
