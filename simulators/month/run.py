"""Plays a month of many estates through the real alarm engine in simulated time, on a real PostgreSQL.

What boxes would say is put in as the ingest does, and judged by the cloud's own engine, folding, confirmation, windows,
sweep and timers, which all take the time from here. Between what is told, what comes due is handled at its own time.
"""

import heapq
import itertools
from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import UTC, datetime, time, timedelta
from typing import Literal, NamedTuple
from uuid import UUID
from zoneinfo import ZoneInfo

import msgspec

from cloud.alarms.engine import Engine
from cloud.alarms.fewer import Fewer
from cloud.alarms.rules import RuleBook
from cloud.alarms.timers import Timers
from cloud.alarms.windows import By, WindowRefusedError
from cloud.store import Connection, Database, due, lifecycle, people
from cloud.store.windows import Scope
from simulators.month.boxes import Box, beat, enrol, keep_latest
from simulators.month.estate import make_estate
from simulators.month.operators import Operators
from simulators.month.story import A_MONTH, Cut, Said, Story, Window, make_story, make_weather

_TOGETHER = timedelta(seconds=1)
"""What is told within so long goes into one transaction."""
_SWEEP = timedelta(seconds=0.5)
_SILENT = timedelta(seconds=66)
_AT_ONCE = 500
_ZONE = ZoneInfo("Asia/Shanghai")


class Wish(msgspec.Struct, frozen=True, kw_only=True):
    """What to play. The same seed and size, the same story; `least` and `most`: devices of an estate."""

    estates: int = 50
    days: int = 30
    seed: int = 1
    fires: float = A_MONTH["fire"]
    """Real ones of an estate in 30 days, on average."""
    least: int = 100
    most: int = 300


class Played(msgspec.Struct):
    """What was played: the stories by the ids of their estates, and which alarms were told to people."""

    since: datetime
    until: datetime
    stories: dict[int, Story]
    devices: dict[int, tuple[int, str]]
    """Estate and key of each device."""
    told: set[UUID]
    said: int = 0


class _Due(NamedTuple):
    at: datetime
    number: int
    what: Literal["said", "cut", "back", "window", "sweep", "take", "close"]
    box: Box | None
    of: Said | Cut | tuple[Window, int] | UUID | None


async def play(database: Database, wish: Wish, say: Callable[[str], None]) -> Played:
    """Plays the month, from the next midnight on: what was is the database's own, and it lies ahead of its clock."""
    tomorrow = datetime.now(_ZONE).date() + timedelta(days=1)
    start = datetime.combine(tomorrow, time(), _ZONE).astimezone(UTC)
    return await _Player(database, wish, start, say).run()


class _Player:
    def __init__(self, database: Database, wish: Wish, start: datetime, say: Callable[[str], None]) -> None:
        self._database, self._wish, self._say = database, wish, say
        self._start, self._until = start, start + timedelta(days=wish.days)
        self._engine = Engine(RuleBook(), announce=self._announce)
        self._fewer = Fewer(database, self._engine, deaf_after=timedelta(days=400))
        self._timers = Timers(self._engine)
        self._queue: list[_Due] = []
        self._numbers = itertools.count()
        self._boxes: dict[UUID, Box] = {}
        self._down: dict[UUID, Cut] = {}
        self._waiting: dict[UUID, list[Said]] = {}
        self._sweep_at: datetime | None = None
        self._news: list[UUID] = []
        self._played = Played(start, self._until, {}, {}, set())

    async def run(self) -> Played:
        await self._begin()
        day = 0
        while (now := await self._next()) is not None and now < self._until:
            await self._step(now)
            if (now - self._start).days >= day:
                day = (now - self._start).days + 1
                self._say(
                    f"day {day} of {self._wish.days}: {self._played.said:,} told, {len(self._played.told):,} alarms"
                )
        return self._played

    async def _announce(self, _: Connection, alarms: Sequence[UUID]) -> None:
        self._news += alarms

    def _put(self, at: datetime, what: str, box: Box | None, of: object) -> None:
        heapq.heappush(self._queue, _Due(at, next(self._numbers), what, box, of))  # type: ignore[arg-type]

    async def _begin(self) -> None:
        wish = self._wish
        weather = make_weather(wish.estates, self._start, wish.days, wish.seed)
        async with self._database.transaction() as connection:
            person = await people.put(connection, "month", "值班员", "-", None)
        assert person is not None
        self._person = person
        self._operators = Operators(self._engine, person, wish.seed)
        for number in range(wish.estates):
            estate = make_estate(number, wish.seed, wish.least, wish.most)
            story = make_story(estate, weather, self._start, wish.days, wish.seed, wish.fires)
            async with self._database.transaction() as connection:
                boxes = await enrol(connection, estate)
            area = boxes[0].estate
            self._played.stories[area] = story
            keys = {device: key for box in boxes for key, device in box.ids.items()}
            self._played.devices |= {device: (area, key) for device, key in keys.items()}
            self._operators.know(area, story, keys)
            of = {key: box for box in boxes for key in box.ids}
            for box in boxes:
                self._boxes[box.id] = box
                for said in box.all_states(self._start):
                    self._put(said.at, "said", box, said)
            for said in story.said:
                self._put(said.at, "said", of[said.device], said)
            for cut in story.cuts:
                self._put(cut.at, "cut", boxes[cut.box], cut)
            for window in story.windows:
                self._put(window.at, "window", None, (window, area))
        self._sweep(self._start)

    def _sweep(self, at: datetime) -> None:
        """Looks at boxes and buses soon after `at`, once."""
        if self._sweep_at is None or self._sweep_at > at + _SWEEP:
            self._sweep_at = at + _SWEEP
            self._put(self._sweep_at, "sweep", None, None)

    async def _next(self) -> datetime | None:
        async with self._database.connect() as connection:
            at = await due.next_alarms(connection)
        times = [one for one in (at, self._queue[0].at if self._queue else None) if one is not None]
        return min(times, default=None)

    async def _step(self, now: datetime) -> None:
        """All that is told within a second, then what is due; what people do comes one by one."""
        await self._see_to_due(now)
        said: dict[UUID, list[Said]] = {}
        at = now
        while self._queue and self._queue[0].at <= now + _TOGETHER and self._queue[0].what == "said":
            one = heapq.heappop(self._queue)
            assert one.box is not None
            assert isinstance(one.of, Said)
            at = one.at
            said.setdefault(one.box.id, []).append(one.of)
        if said:
            await self._tell(said, at)
        elif self._queue and self._queue[0].at <= now:
            await self._do(heapq.heappop(self._queue))
        await self._hear(at)

    async def _tell(self, said: dict[UUID, list[Said]], now: datetime) -> None:
        for number, of_box in list(said.items()):
            box = self._boxes[number]
            box.words.update({(one.device, one.point): one.value for one in of_box if isinstance(one.value, str)})
            if number in self._down:
                if self._down[number].has_power:
                    self._waiting.setdefault(number, []).extend(of_box)
                del said[number]
        if not said:
            return
        self._played.said += sum(map(len, said.values()))
        async with self._database.transaction() as connection:
            await beat(connection, said, now)
            changes = [change for number, of_box in said.items() for change in self._boxes[number].changes(of_box)]
            await keep_latest(connection, changes)
            if changes:
                await self._fewer.evaluate(connection, changes, now=now)
            readings = [
                found for number, of_box in said.items() if (found := self._boxes[number].readings(of_box)) is not None
            ]
            looked = await self._engine.evaluate_bulk(connection, readings, now=now) if readings else None
        if looked is not None:
            looked.committed()
        if any(one.point == "link" for of_box in said.values() for one in of_box):
            self._sweep(now)

    async def _do(self, one: _Due) -> None:
        now, box = one.at, one.box
        match one.what, one.of:
            case "cut", Cut() as cut:
                assert box is not None
                if box.id not in self._down:
                    async with self._database.transaction() as connection:
                        await beat(connection, [box.id], now)
                    self._down[box.id] = cut
                    self._put(cut.until, "back", box, cut)
                    self._put(now + _SILENT, "sweep", None, None)
            case "back", Cut() as cut:
                assert box is not None
                del self._down[box.id]
                # Without power nothing was seen: all is told anew. With power it tells what it kept.
                await self._tell({box.id: self._waiting.pop(box.id, []) if cut.has_power else box.all_states(now)}, now)
                self._sweep(now)
            case "window", (Window() as window, int(estate)):
                await self._open(window, estate)
            case "sweep", _:
                if one.at == self._sweep_at:
                    self._sweep_at = None
                async with self._database.transaction() as connection:
                    await beat(connection, self._boxes.keys() - self._down.keys(), now)
                await self._fewer.sweep.sweep(now)
            case (("take" | "close"), UUID() as alarm):
                async with self._database.transaction() as connection:
                    act = self._operators.take if one.what == "take" else self._operators.close
                    again = await act(connection, alarm, now)
                if again is not None:
                    self._put(again, "close", None, alarm)

    async def _open(self, window: Window, estate: int) -> None:
        scope = Scope(estate=estate, building=window.building, unit=window.unit)
        async with self._database.transaction() as connection:
            with suppress(WindowRefusedError):  # a story's own windows end before they are too many
                await self._fewer.windows.open(
                    connection, window.kind, scope, [estate], By(self._person, "值班员"), "月度 monthly", window.until,
                    now=window.at,
                )  # fmt: skip

    async def _see_to_due(self, now: datetime) -> None:
        for what in (self._timers.due_conditions, self._timers.due_alarms, self._fewer.windows.due):
            while True:
                async with self._database.transaction() as connection:
                    handled = (await what(connection, _AT_ONCE, now)).rows
                if not handled:
                    break
                self._sweep(now)

    async def _hear(self, now: datetime) -> None:
        """Operators hear of what was announced since the last step."""
        if not self._news:
            return
        news, self._news = set(self._news), []
        async with self._database.transaction() as connection:
            for alarm in await lifecycle.lock(connection, news):
                self._put(self._operators.sees(alarm, now), "take", None, alarm.id)
        self._played.told |= news
        self._sweep(now)
