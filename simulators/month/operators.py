"""Simulated operators: they acknowledge, shelve what chatters, and say what an alarm was when it is over."""

import math
import random
from collections.abc import Mapping
from datetime import datetime, timedelta
from uuid import UUID

from cloud.alarms.acts import Label, NoSuchAlarmError, NotNowError
from cloud.alarms.engine import Engine
from cloud.store import Connection, lifecycle
from cloud.store.lifecycle import Live
from simulators.month.story import Story

_TAKES_S: Mapping[str, tuple[float, float]] = {
    "critical": (45, 0.6), "high": (150, 0.8), "medium": (400, 1.0), "low": (900, 1.1),
}  # fmt: skip
"""Until somebody acknowledges: median in seconds and the spread of its logarithm. Assumption."""
_ERRS = 0.05
_CLOSES = timedelta(hours=2)
_SHELF, _SHELF_OF_LIFE = timedelta(hours=12), timedelta(minutes=15)


class Operators:
    """The people of all estates; `truths` tells by device what was so, which they find out mostly."""

    def __init__(self, engine: Engine, person: int, seed: int) -> None:
        self._engine, self._person = engine, person
        self._dice = random.Random(f"operators {seed}")  # noqa: S311  # a simulation's
        self._stories: dict[int, tuple[Story, Mapping[int, str]]] = {}

    def know(self, estate: int, story: Story, devices: Mapping[int, str]) -> None:
        """An estate's story, and the keys of its devices by their ids."""
        self._stories[estate] = story, devices

    def sees(self, alarm: Live, now: datetime) -> datetime:
        """When somebody will take an alarm that is told now."""
        middle, spread = _TAKES_S[alarm.priority]
        return now + timedelta(seconds=middle * math.exp(self._dice.gauss(0, spread)))

    async def take(self, connection: Connection, alarm: UUID, now: datetime) -> datetime | None:
        """Somebody takes an alarm, or shelves it; returns when they will look whether it is over."""
        found = (await lifecycle.lock(connection, [alarm]))[0]
        asked = (connection, alarm, [found.estate], self._person, "值班员")
        if found.state in {"UNACK", "ACKED"} and (found.chattering or found.repeats >= 4):
            rule = self._engine.book.get(found.rule)
            shelf = _SHELF_OF_LIFE if rule is not None and rule.life_safety else _SHELF
            try:
                await self._engine.shelve(*asked, until=now + shelf, why="接点抖动 chattering contact", now=now)
            except NotNowError:
                return now + _CLOSES
        else:
            try:
                await self._engine.acknowledge(*asked, now=now)
            except NoSuchAlarmError:
                return None
        return now + _CLOSES

    async def close(self, connection: Connection, alarm: UUID, now: datetime) -> datetime | None:
        """Somebody says what an alarm was, if it is over; returns when to look again if it is not."""
        found = (await lifecycle.lock(connection, [alarm]))[0]
        if found.state != "NORM":
            return now + _CLOSES
        word = self._word(found)
        if word is not None:
            await self._engine.label(
                connection, alarm, [found.estate], self._person, "值班员", word, now=now
            )  # fmt: skip
        return None

    def _word(self, alarm: Live) -> Label | None:
        story, devices = self._stories[alarm.estate]
        if alarm.device is None:
            return "real"
        truth = story.truth_of(devices[alarm.device], alarm.raised_at)
        what: Label = truth.what if truth is not None else "unknown"
        return self._dice.choice(("real", "false", "unknown")) if self._dice.random() < _ERRS else what
