"""The alarms of an estate in a database, at a time of the test's own, and whom they told."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from uuid import UUID

from cloud.alarms.engine import Engine
from cloud.alarms.rules import Rule
from cloud.alarms.timers import Timers
from cloud.ingest.ingest import Ingest
from cloud.store import Connection, alarms
from cloud.store.alarms import AlarmRow, Hold, Moved, Raising
from cloud.store.changes import Change, Happened, Looked, Readings
from contract.columns import Row
from contract.kinds import Lane
from contract.messages import Quality
from contract.records import Record, StateRecord
from tests.contract.conftest import Estate
from tests.support.alarm_rules import book_of
from tests.support.blocks import SECOND, Chain, body, clock, inventory, position, smoke

BOOTED_S = 1000
LI = "李强"


class Cloud:
    """The alarms of an estate at a time of the test's own, and whom they told."""

    def __init__(self, estate: Estate, *rules: Rule) -> None:
        self.estate = estate
        self.start = datetime.now(UTC).replace(microsecond=0) - timedelta(hours=6)
        self.now = self.start
        self.told: list[UUID] = []
        self.ending: list[UUID] = []
        self.moved: list[Moved] = []
        self.holds: Mapping[str, Hold] = {}
        self.engine = Engine(
            book_of(*rules), announce=self._announce, holds=self._holds, raised=self._raised, ending=self._ending
        )
        self.timers = Timers(self.engine)
        self.urgent, self.bulk = Chain(Lane.URGENT), Chain(Lane.BULK, inventory_id=inventory().inventory_id)
        self.ingest = Ingest(estate.store, self._evaluate, estate.commands.answer, evaluate_bulk=self._evaluate_bulk)

    async def begin(self) -> "Cloud":
        await self.send(inventory(), clock(int(self.start.timestamp()) * SECOND))
        return self

    async def _evaluate(self, connection: Connection, changes: Sequence[Change | Happened]) -> set[str]:
        return await self.engine.evaluate(connection, changes, now=self.now)

    async def _evaluate_bulk(self, connection: Connection, boxes: Sequence[Readings]) -> Looked:
        return await self.engine.evaluate_bulk(connection, boxes, now=self.now)

    async def _announce(self, _: Connection, ids: Sequence[UUID]) -> None:
        self.told += ids

    async def _ending(self, _: Connection, ids: Sequence[UUID]) -> None:
        self.ending += ids

    async def _holds(self, _: Connection, raisings: Sequence[Raising], *, now: datetime | None) -> Mapping[int, Hold]:
        assert now == self.now
        return {n: self.holds[one.rule] for n, one in enumerate(raisings) if one.rule in self.holds}

    async def _raised(self, _: Connection, moved: Sequence[Moved], *, now: datetime | None) -> set[str]:
        assert now == self.now
        self.moved += moved
        return {"raised"}

    async def send(self, *records: Record) -> None:
        await self.ingest.take(self.estate.gateway, self.estate.area, Lane.URGENT, body(self.urgent.urgent(*records)))

    async def read(self, *values: float, at_s: float = 0.0, device: str = "smoke-0") -> None:
        """Readings of a temperature, a second apart."""
        index = position(inventory(), device, "temperature")
        rows = [Row(index, mono(at_s + n), value, Quality.GOOD) for n, value in enumerate(values)]
        await self.ingest.take(self.estate.gateway, self.estate.area, Lane.BULK, body(self.bulk.bulk(rows)))

    async def wait(self, seconds: float) -> None:
        """Time goes on, and what comes due is seen to."""
        self.now += timedelta(seconds=seconds)
        async with self.estate.store.transaction() as connection:
            for due in (self.timers.due_conditions, self.timers.due_alarms):
                for _ in range(100):
                    if not (await due(connection, 10, self.now)).rows:
                        break
                else:
                    raise AssertionError("what was due is still due")

    def after(self, seconds: float) -> datetime:
        return self.now + timedelta(seconds=seconds)

    async def act(self, name: str, alarm: UUID, *args: object, person: int | None = None, **more: object) -> set[str]:
        who = (self.estate.person, "王芳") if person is None else (person, LI)
        async with self.estate.store.transaction() as connection:
            act = getattr(self.engine, name)
            topics: set[str] = await act(connection, alarm, [self.estate.area], *who, *args, now=self.now, **more)
        return topics

    async def active(self) -> list[AlarmRow]:
        async with self.estate.store.connect() as connection:
            return await alarms.list_active(connection, [self.estate.area])

    async def the(self) -> AlarmRow:
        (alarm,) = await self.active()
        return alarm

    async def history(self, alarm: UUID) -> list[tuple[str, str]]:
        async with self.estate.store.connect() as connection:
            return [(step.event, step.to_state) for step in await alarms.history(connection, alarm)]

    async def remembered(self) -> int:
        ((rows,),) = await self.estate.rows("SELECT count(*) FROM condition")
        return int(rows)


def mono(seconds: float) -> int:
    return round((BOOTED_S + seconds) * SECOND)


def lock(word: str, at_s: float = 0.0) -> StateRecord:
    return StateRecord("door-0", "lock", word, Quality.GOOD, mono(at_s))


def smoky(word: str | None, at_s: float = 0.0, device: str = "smoke-0") -> StateRecord:
    return smoke(word, mono(at_s), device)
