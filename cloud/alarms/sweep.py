"""Looks every half second at what nobody says by itself: that a box or a bus has fallen silent, and that a flood began.

The rules are told of what changed, as observations like any other; so what that means is in the rule pack. One process
at a time does it, by the database's clock; after a pause in which no process could have heard a box, none is silent
before it had its time to be heard.
"""

import asyncio
from collections.abc import Sequence
from datetime import datetime, timedelta

import msgspec
import structlog
from prometheus_client import Histogram

from cloud.alarms import flood
from cloud.alarms.engine import Engine, Observation
from cloud.alarms.folding import Folding, silences_of
from cloud.alarms.rules.memory import Seen
from cloud.alarms.sources import bus_source, gateway_source
from cloud.store import Connection, Database, sweep
from cloud.store.alarms import Subject
from cloud.store.sweep import BoxNews, BusNews
from contract.errors import Retryable

log = structlog.get_logger()
_SECONDS = Histogram("anju_sweep_seconds", "Time of a sweep over boxes, buses and floods that this process did")
EVERY_S = 0.5
DEAF_AFTER = timedelta(seconds=15)
"""A longer pause between sweeps means that nobody was there to hear boxes."""
BOXES_AT_ONCE = 500
LOOKS_AT_ONCE = 2000
BACKLOG_STEP = 10
"""Blocks by which a backlog moves before the rules are told, and a twentieth of it."""
OFFSET_STEP_S = 0.1
BUS_DEVICES, BUS_SILENT, BUS_HEARD = 3, 0.8, 0.6
"""A bus is silent when at least three of its devices are off line, and these are four in five: one may answer on a
repeater or by its own power. It is heard again below three in five: one that hangs at the limit does not flap."""
_AGAIN_S = 2.0
_BROKEN_S = 5.0


def is_bus_silent(devices: int, offline: int, *, was_silent: bool) -> bool:
    """Whether a bus with so many devices, and so many of them off line, counts as silent."""
    least = BUS_HEARD if was_silent else BUS_SILENT
    return offline >= BUS_DEVICES and offline >= least * devices


class Sweep:
    """The look at boxes, buses and floods. A simulation that sweeps seldom says so by `deaf_after`."""

    def __init__(
        self,
        database: Database,
        engine: Engine,
        folding: Folding,
        deaf_after: timedelta = DEAF_AFTER,
    ) -> None:
        self._database = database
        self._engine = engine
        self._folding = folding
        self._deaf_after = deaf_after

    async def run(self) -> None:
        """Sweeps for ever. A database that cannot be had is waited for."""
        is_well = True
        while True:
            try:
                await self.sweep()
            except Retryable as e:
                if is_well:
                    log.warning("cannot look after silent boxes; trying again", problem=str(e))
                is_well, pause_s = False, _AGAIN_S
            except Exception:
                log.exception("a sweep failed; trying again")
                is_well, pause_s = False, _BROKEN_S
            else:
                if not is_well:
                    log.info("looking after silent boxes again")
                is_well, pause_s = True, EVERY_S
            await asyncio.sleep(pause_s)

    async def sweep(self, now: datetime | None = None) -> bool:
        """One sweep; False where another process is at it. Raises Retryable where the database cannot be had."""
        with _SECONDS.time():
            async with self._database.transaction() as connection:
                if not await sweep.take(connection):
                    return False
                topics = await self._sweep(connection, now)
        if topics:
            await self._database.wake(topics)
        return True

    async def _sweep(self, connection: Connection, now: datetime | None) -> set[str]:
        rules = silences_of(self._engine.book).signature
        hearing = await sweep.hear(connection, self._deaf_after, now=now)
        now = hearing.swept_at
        boxes = await sweep.boxes(connection, hearing, rules, BACKLOG_STEP, BOXES_AT_ONCE)
        topics: set[str] = set()
        if boxes:
            told = [_BoxTold(box, now) for box in boxes]
            topics |= await self._engine.observe(connection, [seen for box in told for seen in box.seen], now=now)
            topics |= {f"gateways:{box.estate}" for box in boxes if box.is_silent != bool(box.was_silent)}
            await sweep.told(connection, [box.known for box in told], rules)
        silent, heard = _turned(await sweep.buses(connection, rules, LOOKS_AT_ONCE))
        if silent or heard:
            seen = [Observation(bus_subject(bus), Seen(now, "silent")) for bus in silent]
            seen += [Observation(bus_subject(bus), Seen(now, "heard")) for bus in heard]
            topics |= await self._engine.observe(connection, seen, now=now)
            await sweep.told_buses(connection, silent, heard, rules)
        topics |= await self._folding.fold(connection, now=now)
        return topics | await flood.update(connection, now=now)


class _BoxTold:
    """What the rules are to be told of a box, and what they know of it then."""

    def __init__(self, box: BoxNews, now: datetime) -> None:
        self.seen: list[Observation] = []
        if box.is_unknown or box.is_silent != box.was_silent:
            word, at = ("silent", min(box.silent_at, now)) if box.is_silent else ("heard", now)
            self.seen.append(Observation(box_subject(box, "silent"), Seen(at, word)))
        blocks, told = box.backlog_blocks, box.told_blocks or 0
        if not box.is_gone and (box.is_unknown or abs(blocks - told) >= max(BACKLOG_STEP, told / 20)):
            self.seen.append(Observation(box_subject(box, "backlog_blocks"), Seen(now, float(blocks))))
        else:
            blocks = told
        off, before = box.clock_offset_s, box.told_offset_s
        is_news = off is not None and (box.is_unknown or before is None or abs(off - before) >= OFFSET_STEP_S)
        if is_news and not box.is_gone:
            self.seen.append(Observation(box_subject(box, "clock_offset_s"), Seen(now, off)))
        else:
            off = before
        self.known = msgspec.structs.replace(box, backlog_blocks=blocks, clock_offset_s=off)


def box_subject(box: BoxNews, point: str) -> Subject:
    """A box as rules see it."""
    return Subject(
        gateway_source(box.id), "gateway", point, box.estate, _areas(box.path), box.timezone, gateway=box.id
    )  # fmt: skip


def bus_subject(bus: BusNews) -> Subject:
    """A bus as rules see it."""
    source = bus_source(bus.gateway, bus.bus)
    return Subject(source, "bus", "silent", bus.estate, _areas(bus.path), bus.timezone, gateway=bus.gateway)


def _areas(path: str) -> tuple[int, ...]:
    return tuple(int(part) for part in path.split("/") if part)


def _turned(buses: Sequence[BusNews]) -> tuple[list[BusNews], list[BusNews]]:
    """The buses that fell silent (or of which new rules do not know), and those that are heard again."""
    silent, heard = [], []
    for bus in buses:
        is_silent = not bus.is_gone and is_bus_silent(bus.devices, bus.offline, was_silent=bus.was_silent)
        if is_silent and (not bus.was_silent or bus.is_unknown):
            silent.append(bus)
        elif bus.was_silent and not is_silent:
            heard.append(bus)
    return silent, heard
