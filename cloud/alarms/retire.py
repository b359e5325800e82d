"""The rules in force in this process, and the end of what rules left behind that are gone or look elsewhere now."""

import asyncio
from collections.abc import Collection
from datetime import datetime
from uuid import UUID

import structlog

from cloud.alarms.engine import Engine
from cloud.alarms.machine import Happening
from cloud.alarms.moves import Moves
from cloud.alarms.rules import Rule, RuleBook
from cloud.alarms.rules.model import KOfN, silent
from cloud.alarms.rules.stored import EVERY_S, InForce, follow, in_force
from cloud.store import Connection, Database, conditions, lifecycle, rules, subjects
from cloud.store.alarms import Subject
from cloud.store.conditions import Key
from contract.errors import Retryable

log = structlog.get_logger()
AT_ONCE = 200
_AGAIN_S = 2.0
_FIRST = UUID(int=0)
_WHY = "the rule was switched off or looks there no more"


class RulesInForce:
    """Keeps an engine's rules those of the database, and ends what they left behind."""

    def __init__(self, database: Database, engine: Engine) -> None:
        self._database = database
        self._engine = engine
        self._taken: InForce | None = None
        self._changed: set[str] = set()
        self._news = asyncio.Event()

    async def run(self, every_s: float = EVERY_S) -> None:
        """Takes up rules as they change, for ever. Any number of processes may."""
        async with asyncio.TaskGroup() as group:
            group.create_task(follow(self._database, self._take, every_s=every_s), name="follow rules")
            group.create_task(self._retire(), name="retire rules")

    async def take_up(self) -> None:
        """Takes up the rules as they are now, once."""
        async with self._database.connect() as connection:
            self._take(await in_force(connection))

    def _take(self, now: InForce) -> None:
        if not now.count:  # nobody has put any there yet: those of the pack count
            return
        before = self._taken.versions if self._taken is not None else {}
        self._changed |= {name for name, version in now.versions.items() if before.get(name) != version}
        self._taken = now
        self._engine.take(now.book, now.versions)
        log.info("rules in force", rules=len(now.book.rules), versions=now.count)
        self._news.set()

    async def _retire(self) -> None:
        while True:
            await self._news.wait()
            self._news.clear()
            taken, changed = self._taken, frozenset(self._changed)
            if taken is None:
                continue
            try:
                await self.end_removed(taken, changed)
            except Retryable as e:
                log.info("cannot end what is left of rules yet", problem=str(e))
                self._news.set()
                await asyncio.sleep(_AGAIN_S)
            else:
                if self._taken is taken:
                    self._changed -= changed

    async def end_removed(self, taken: InForce, changed: Collection[str], now: datetime | None = None) -> int:
        """Ends alarms and forgets conditions of rules that are gone, or that have changed and look there no more.

        Returns how many alarms. Raises Retryable where the rules have changed again: then others are to be left alone.
        """
        ended, after = 0, _FIRST
        key: Key = ("", "")
        while True:
            async with self._database.transaction() as connection:
                last = await self._forget(connection, taken, changed, key)
            if last is None:
                break
            key = last
        while True:
            async with self._database.transaction() as connection:
                found = await self._end(connection, taken, changed, after, now)
            if found is None:
                return ended
            after, count, topics = found
            ended += count
            await self._database.wake(topics)

    async def _forget(self, connection: Connection, taken: InForce, changed: Collection[str], after: Key) -> Key | None:
        rows = await conditions.of_rules(connection, taken.versions.keys(), changed, after, AT_ONCE)
        if not rows:
            return None
        await _check(connection, taken)
        about = await subjects.of_sources(connection, {row.source for row in rows})
        gone = [row.key for row in rows if not _looks(taken.book, row.rule, about.get(row.source))]
        if gone:
            await conditions.drop(connection, gone)
        return rows[-1].key

    async def _end(
        self, connection: Connection, taken: InForce, changed: Collection[str], after: UUID, now: datetime | None
    ) -> tuple[UUID, int, set[str]] | None:
        found = await lifecycle.lock_of_rules(connection, taken.versions.keys(), changed, after, AT_ONCE)
        if not found:
            return None
        await _check(connection, taken)
        about = await subjects.of_sources(connection, {alarm.source for alarm in found})
        moves = Moves(await lifecycle.time(connection, now))
        ended = [
            moves.happen(alarm, Happening.REMOVE, moves.now, why=_WHY)
            for alarm in found
            if not _looks(taken.book, alarm.rule, about.get(alarm.source))
        ]
        return found[-1].id, len(ended), await self._engine.finish(connection, moves) if ended else set()


async def _check(connection: Connection, taken: InForce) -> None:
    """Asked after the rows were read: of a rule that is newer than what is known here nothing may be ended."""
    if await rules.count(connection) != taken.count:
        raise Retryable("the rules have changed again", after_s=_AGAIN_S)


def _looks(book: RuleBook, name: str, subject: Subject | None) -> bool:
    """Whether a rule is in force and looks at a source."""
    rule = book.get(name)
    if rule is None or subject is None:
        return False
    if rule.devices and subject.device not in rule.devices:
        return False
    if rule.areas and set(rule.areas).isdisjoint(subject.areas):
        return False
    return any(_is_of(rule, subject, point) for point in rule.points)


def _is_of(rule: Rule, subject: Subject, point: str) -> bool:
    if subject.kind == "place":
        return isinstance(rule.form, KOfN)
    is_point = not subject.point or point in {subject.point, silent(subject.point)}
    return is_point and rule.looks_at(subject.kind, point)
