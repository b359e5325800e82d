"""What comes due by itself: delays of conditions, ends of holds and their warnings, ends that chattering held back.

On the database's clock, by any number of processes (cloud/store/due.py): a row is handled in the transaction that moves
it on, so whichever dies, another finds it as it was.
"""

from datetime import datetime, timedelta

import msgspec

from cloud.alarms.engine import Engine
from cloud.alarms.machine import Happening, State
from cloud.alarms.moves import Moves
from cloud.store import Connection, Database, conditions, lifecycle, subjects
from cloud.store.conditions import Condition
from cloud.store.due import Handled, keep_up
from cloud.store.lifecycle import Live

_WAITS = timedelta(seconds=30)
"""Old news of a box that is still catching up is looked at again so much later: what ends it is on its way."""
_UNKNOWN_RULE = timedelta(seconds=10)
"""A rule that this process does not know is new, or is being removed: whoever knows it is given so much time."""
_ENDS = {State.SHLVD: Happening.UNSHELVE, State.OOSRV: Happening.RETURN, State.DSUPR: Happening.RELEASE}
ENDS_SOON = "shelf ends soon"
"""The event of history by which a shelf says so."""


class Timers:
    """This process's share of what comes due."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    async def keep_conditions(self, database: Database) -> None:
        """Judges what rules wait for when its time has come, for ever."""
        await keep_up(self.due_conditions, database, "conditions")

    async def keep_alarms(self, database: Database) -> None:
        """Ends shelves and other holds when their time has come, for ever."""
        await keep_up(self.due_alarms, database, "alarms")

    async def due_conditions(self, connection: Connection, limit: int, now: datetime | None = None) -> Handled:
        """Judges up to `limit` conditions whose time has come."""
        known = await conditions.due(connection, limit, now)
        if not known:
            return Handled(0)
        at = await lifecycle.time(connection, now)
        book = self._engine.book
        about = await subjects.of_sources(connection, {source for _, source in known})
        waiting = {row.gateway for row in known.values() if _is_old_news(row) and row.gateway is not None}
        behind = await conditions.catching_up(connection, waiting, at) if waiting else set()
        asked, later, gone = [], [], []
        for key, row in known.items():
            rule, subject = book.get(row.rule), about.get(row.source)
            if subject is None:
                gone.append(key)
            elif rule is None:
                later.append(_later(row, at + _UNKNOWN_RULE))
            elif row.gateway in behind and _is_old_news(row):
                later.append(_later(row, at + _WAITS))
            else:
                asked.append((rule, subject, None))
        if later:
            await conditions.put(connection, later)
        if gone:
            await conditions.drop(connection, gone)
        topics = await self._engine.judge_all(connection, book, asked, known, at)
        return Handled(len(known), frozenset(topics))

    async def due_alarms(self, connection: Connection, limit: int, now: datetime | None = None) -> Handled:
        """Moves up to `limit` alarms of which a hold, its warning or a held-back end is due."""
        due = await lifecycle.lock_due(connection, limit, now)
        if not due:
            return Handled(0)
        moves = Moves(await lifecycle.time(connection, now))
        back = [alarm for alarm in due if self._see_to(moves, alarm)]
        await self._engine.hold_anew(connection, moves, back, {State.DSUPR, State.OOSRV})
        return Handled(len(due), frozenset(await self._engine.finish(connection, moves)))

    def _see_to(self, moves: Moves, alarm: Live) -> bool:
        """Does what is due of an alarm; returns whether a hold has ended."""
        now = moves.now
        if alarm.clears_at is not None and alarm.clears_at <= now:
            at, alarm.clears_at, alarm.chattering = alarm.clears_at, None, False
            moves.change(alarm)
            moves.happen(alarm, Happening.CLEAR, at)
        if alarm.hold_until is not None and alarm.hold_until <= now:
            ends = _ENDS.get(State(alarm.state))
            alarm.hold_until = alarm.warn_at = None
            moves.change(alarm)
            return ends is not None and moves.happen(alarm, ends, now)
        if alarm.warn_at is not None and alarm.warn_at <= now:
            alarm.warn_at = None
            moves.note(alarm, now, ENDS_SOON)
            moves.ending_soon.append(alarm.id)
        return False


def _is_old_news(row: Condition) -> bool:
    return row.bulk and bool(row.memory.get("holds_us"))


def _later(row: Condition, due_at: datetime) -> Condition:
    return msgspec.structs.replace(row, due_at=due_at)
