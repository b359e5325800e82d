"""Turns landed blocks into rows of `readings`, many at a time and sorted: rows next to each other in their index.

A batch is one transaction: its blocks are taken out of landing, their rows added, their hours marked. Killed at any
point, either all of it happened or nothing. Processes share the work: each goes round the boxes from a place of its
own and passes over blocks that another has.
"""

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from uuid import UUID, uuid4

import numpy as np
import numpy.typing as npt
import structlog
from prometheus_client import Counter, Gauge, Histogram

from cloud.ingest.inventories import Inventories
from cloud.store import Database, UnkeepableError, landing, streams
from cloud.store.database import Connection
from cloud.store.group import Inventory
from cloud.store.landing import FIRST, LandedBlock, Place, Readings, joined, readings_of
from contract.block import split_block
from contract.errors import BlockError, Retryable
from contract.kinds import Lane

log = structlog.get_logger()
_SETTLED = Counter("anju_settled_readings", "Landed readings that became rows")
_BATCH = Histogram(
    "anju_settle_batch_readings", "Readings of a batch", buckets=(100, 1_000, 10_000, 50_000, 100_000, 200_000, 400_000)
)
_SECONDS = Histogram("anju_settle_seconds", "Time of a batch's transaction, its commit included")
_DEPTH = Gauge("anju_landing_readings", "Landed readings that are no rows yet, of all processes")
_AGE_S = Gauge("anju_landing_age_seconds", "How long the oldest of them has waited")

BATCH_READINGS = 200_000
"""More at once brings little and takes memory: 10 MB of columns each."""
_LEAST_READINGS = 1_000
BATCH_BLOCKS = 4_000
AT_ONCE = 2
"""One batch's rows are made while the other's are written."""
ROUND_S = 5.0
"""A round over all boxes begins so often: what lands meanwhile is sorted together."""
ENOUGH_READINGS = 1_000_000
"""It begins earlier where so much has landed. Waiting for it is worth it: rows of a series that come to lie next to
each other, forty rather than four, cost the index a third less.
"""
MOST_AGE_S = 900.0
"""Where readings have waited for longer, bulk is sent away: the boxes are the buffer, not the database's disk."""
MOST_OF_A_BOX = 5_000_000
"""Readings of a box that may wait; who has more waits alone, long before everybody has to."""
_KEY_BITS = 63
_AGAIN_S = 2.0
_DEPTH_S = 10.0


class Settler:
    """One process's share of settling, by AT_ONCE rounds side by side."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._inventories = Inventories()
        self._rounds = [_Round(database, self._inventories) for _ in range(AT_ONCE)]
        self._landed = 0
        self._age_s = 0.0
        self._crowding: frozenset[UUID] = frozenset()
        self._enough = asyncio.Event()

    def landed(self, readings: int) -> bool:
        """So many more have landed; where they are many the next round begins at once.

        Returns whether settling keeps up: what lies here for long must not fill the disk.
        """
        self._landed += readings
        if self._landed >= ENOUGH_READINGS:
            self._enough.set()
        return self._age_s < MOST_AGE_S

    def crowds(self, gateway: UUID) -> bool:
        """Whether more than MOST_OF_A_BOX readings of this box waited when it was last looked at."""
        return gateway in self._crowding

    async def run(self) -> None:
        """Settles for ever: a round every ROUND_S, or as soon as ENOUGH_READINGS have landed."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._measure(), name="measure what has landed")
            await self._settle()

    async def _measure(self) -> None:
        """Beside the rounds: one over a city's backlog takes long, and boxes must be told meanwhile."""
        while True:
            try:
                await self.measure()
            except Retryable as e:
                log.warning("cannot see how many readings wait to become rows", problem=str(e))
            await asyncio.sleep(_DEPTH_S)

    async def _settle(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            began = loop.time()
            self._landed = 0
            self._enough.clear()
            try:
                await self.settle_all()
            except Retryable as e:
                log.warning("cannot settle readings; trying again", problem=str(e))
                await asyncio.sleep(_AGAIN_S)
                continue
            with suppress(TimeoutError):
                async with asyncio.timeout(max(0.0, ROUND_S - (loop.time() - began))):
                    await self._enough.wait()

    async def settle_all(self) -> int:
        """One round over all boxes. Returns how many readings became rows."""
        rounds = [asyncio.create_task(one.run(), name="settle a round") for one in self._rounds]
        try:
            return sum(await asyncio.gather(*rounds))
        finally:
            for task in rounds:
                task.cancel()
            await asyncio.gather(*rounds, return_exceptions=True)

    async def measure(self) -> None:
        """Looks how much waits, and for how long."""
        async with self._database.connect() as connection:
            depth = await landing.depth(connection)
            self._crowding = await landing.boxes_above(connection, MOST_OF_A_BOX)
        _DEPTH.set(depth.readings)
        _AGE_S.set(depth.age_s)
        self._age_s = depth.age_s


class _Round:
    """Goes round the boxes, batch by batch, each time on from where it was."""

    def __init__(self, database: Database, inventories: Inventories) -> None:
        self._database = database
        self._inventories = inventories
        self._place = (uuid4(), 0)
        self._most = BATCH_READINGS

    async def run(self) -> int:
        """Once over all boxes. Returns how many readings became rows."""
        settled, start = 0, self._place
        is_over = False
        async with self._database.connect() as connection:
            last = await landing.last_id(connection)  # a box that sends without end keeps the others waiting no longer
        while True:
            places = await self._next(last)
            if not places:
                if is_over or start == FIRST:
                    return settled
                is_over, self._place = True, FIRST  # the boxes before the place where this round began
                continue
            try:
                settled += await self._settle(places)
            except Retryable:
                self._most = max(_LEAST_READINGS, self._most // 4)  # a slow disk may manage less in time
                raise
            self._most = min(BATCH_READINGS, self._most * 2)
            self._place = (places[-1].gateway, places[-1].id)
            if is_over and self._place >= start:
                return settled

    async def _next(self, last: int) -> list[Place]:
        """The next batch: neighbouring blocks up to `last` of as many readings as one takes."""
        async with self._database.connect() as connection:
            found = await landing.following(connection, self._place, BATCH_BLOCKS, last)
        items = np.cumsum([place.items for place in found])
        return found[: max(1, int(np.searchsorted(items, self._most, side="right")))]

    async def _settle(self, places: Sequence[Place]) -> int:
        """Settles blocks; where the database refuses something of them, block by block."""
        began = asyncio.get_running_loop().time()
        try:
            async with self._database.storing() as connection:
                settled = await self._store(connection, places)
        except UnkeepableError as e:
            if len(places) > 1:
                log.warning("the database refuses landed readings; settling block by block", problem=str(e))
                return sum([await self._settle([place]) for place in places])
            async with self._database.transaction() as connection:
                for block in await landing.take(connection, places):
                    await _set_aside(connection, block, str(e))
            return 0
        _SECONDS.observe(asyncio.get_running_loop().time() - began)
        _BATCH.observe(settled)
        _SETTLED.inc(settled)
        return settled

    async def _store(self, connection: Connection, places: Sequence[Place]) -> int:
        blocks = await landing.take(connection, places)
        if not blocks:
            return 0
        inventories = await self._inventories.get(connection, {(block.gateway, block.inventory) for block in blocks})
        readings, bad = await asyncio.to_thread(_read, blocks, inventories)
        for block, reason in bad:
            await _set_aside(connection, block, reason)
        if len(readings):
            await landing.put_readings(connection, readings)
        return len(readings)


async def _set_aside(connection: Connection, block: LandedBlock, reason: str) -> None:
    """What was sound when it landed and is no more: after a change of ours, say."""
    log.warning("a landed block cannot be settled", gateway=str(block.gateway), problem=reason)
    try:
        head, _, _ = split_block(block.block)
        epoch, number = head.epoch, head.number
    except BlockError:
        epoch = number = 0
    await streams.quarantine(connection, block.gateway, Lane.BULK, epoch, number, block.block, reason)


def _read(
    blocks: Sequence[LandedBlock], inventories: dict[tuple[UUID, int], Inventory]
) -> tuple[Readings, list[tuple[LandedBlock, str]]]:
    """The blocks' readings in order of series and time, and which blocks have none and why."""
    parts: list[Readings] = []
    bad = []
    for block in blocks:
        inventory = inventories.get((block.gateway, block.inventory))
        if inventory is None:
            bad.append((block, f"there is no inventory {block.inventory}"))
            continue
        try:
            parts.append(readings_of(block.block, block.offset_ns, inventory.series))
        except BlockError as e:
            bad.append((block, str(e)))
    found = joined(parts)
    order = _order(found.series, found.at_us)
    return Readings(found.series[order], found.at_us[order], found.value[order], found.quality[order]), bad


def _order(series: npt.NDArray[np.int32], at_us: npt.NDArray[np.int64]) -> npt.NDArray[np.intp]:
    """By series and time, those alike as they came. One key is sorted in half the time of two, if both fit in it."""
    if not len(series):
        return np.zeros(0, np.intp)
    since_us = at_us - at_us.min()
    bits = int(since_us.max()).bit_length()
    if bits + int(series.max()).bit_length() > _KEY_BITS:
        return np.lexsort((at_us, series))
    return np.argsort((series.astype(np.int64) << bits) + since_us, kind="stable")
