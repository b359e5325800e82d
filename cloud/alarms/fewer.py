"""What makes few alarms of many, joined to the engine: folding, confirmation, windows and drills, the sweep."""

from collections.abc import Sequence
from datetime import datetime, timedelta

from cloud.alarms.confirm import Confirm
from cloud.alarms.engine import Engine
from cloud.alarms.folding import Folding
from cloud.alarms.sweep import DEAF_AFTER, Sweep
from cloud.alarms.windows import EndsSoon, Windows, nobody
from cloud.store import Connection, Database
from cloud.store.alarms import Hold, Moved, Raising
from cloud.store.changes import Change, Happened


class Fewer:
    """Sets itself as the engine's `holds` and `raised`; `evaluate` takes the place of the engine's own.

    Keep `sweep.run()` and, by store/due.py, `windows.due` going.
    """

    def __init__(
        self,
        database: Database,
        engine: Engine,
        ends_soon: EndsSoon = nobody,
        deaf_after: timedelta = DEAF_AFTER,
    ) -> None:
        self._engine = engine
        self.folding = Folding(engine)
        self.windows = Windows(engine, ends_soon)
        self.confirm = Confirm(engine)
        self.sweep = Sweep(database, engine, self.folding, deaf_after)
        engine.holds, engine.raised = self.holds, self.raised

    async def evaluate(
        self, connection: Connection, changes: Sequence[Change | Happened], *, now: datetime | None = None
    ) -> set[str]:
        """What these changes mean to their devices' alarms, to their places and to their buses."""
        topics = await self._engine.evaluate(connection, changes, now=now)
        topics |= await self.confirm.evaluate(connection, changes, now=now)
        await self.folding.evaluate(connection, changes)
        return topics

    async def holds(
        self, connection: Connection, raisings: Sequence[Raising], *, now: datetime | None = None
    ) -> dict[int, Hold]:
        """What keeps these from people: that something else is the cause, before that somebody works there."""
        held = await self.windows.holds(connection, raisings, now=now)
        return held | await self.folding.holds(connection, raisings, now=now)

    async def raised(self, connection: Connection, moved: Sequence[Moved], *, now: datetime | None = None) -> set[str]:
        """Marks what was raised in a drill, and notes where people work."""
        await self.windows.raised(connection, moved, now=now)
        return set()
