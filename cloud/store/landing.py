"""Where bulk blocks land as they came, until they are settled into rows of `readings`."""

import asyncio
import time
from collections.abc import Callable, Sequence
from datetime import datetime
from uuid import UUID

import asyncpg
import msgspec
import numpy as np
import numpy.typing as npt

from cloud.store import rollups
from cloud.store.columns import decode_columns, decode_series
from cloud.store.copy import COLUMNS, LANDING_COLUMNS, landing_row, readings_as_copy, rows_as_copy
from cloud.store.database import Connection, rows_as
from cloud.store.sql import load_queries
from contract.block import inflate, split_block
from contract.messages import Quality

_SQL = load_queries("landing")
FIRST = (UUID(int=0), 0)
"""The place before every landed block."""
LAST = (1 << 63) - 1
"""Above the number of every landed block."""
_LATE_S = 3 * 86_400.0
"""Rows that are older may be about to be dropped: readings are kept for a week at least."""
_IN_THREAD = 16
"""So many blocks are read beside the event loop, which they would hold up otherwise."""


class Readings(msgspec.Struct, frozen=True):
    """n readings: series, microseconds since 1970, value (NaN for none), quality."""

    series: npt.NDArray[np.int32]
    at_us: npt.NDArray[np.int64]
    value: npt.NDArray[np.float64]
    quality: npt.NDArray[np.uint8]

    def __len__(self) -> int:
        return len(self.series)


class Arrived(msgspec.Struct, frozen=True):
    """A block to be landed: its box, how that counted its series, UTC less its monotonic time, its time from and to."""

    gateway: UUID
    inventory: int
    offset_ns: int
    first_us: int
    last_us: int
    items: int
    block: bytes


class Place(msgspec.Struct, frozen=True):
    """A landed block that may be taken, and how many readings it has."""

    gateway: UUID
    id: int
    items: int


class LandedBlock(msgspec.Struct, frozen=True):
    """A block that landed, taken out to be settled."""

    gateway: UUID
    id: int
    inventory: int
    offset_ns: int
    block: bytes


class Depth(msgspec.Struct, frozen=True):
    """How much waits to be settled, and how many seconds the oldest has waited."""

    blocks: int
    readings: int
    age_s: float


def readings_of(block: bytes, offset_ns: int, series: npt.NDArray[np.int32]) -> Readings:
    """The readings of a block, by the series that its places stand for. Raises BlockError where it makes no sense.

    A value that is no number is never good.
    """
    header, body_bytes, packed = split_block(block)
    columns = decode_columns(header, inflate(body_bytes, packed), len(series))
    at_us = (columns.mono_ns + offset_ns) // 1000
    return Readings(series[columns.series], at_us, columns.value, true_quality(columns.value, columns.quality))


def true_quality(value: npt.NDArray[np.float64], quality: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    """Qualities as they count: a value that is no number is a fault, whatever the box says of it."""
    return np.where((quality == Quality.GOOD) & ~np.isfinite(value), np.uint8(Quality.FAULT), quality)


async def land(connection: Connection, blocks: Sequence[Arrived]) -> None:
    """Adds blocks as they came."""
    rows = [landing_row(b.gateway, b.inventory, b.offset_ns, b.first_us, b.last_us, b.items, b.block) for b in blocks]
    await connection.copy_to_table("landing", source=rows_as_copy(rows), columns=LANDING_COLUMNS, format="binary")


async def last_id(connection: Connection) -> int:
    """The number of the newest block that has landed; what lands later has higher ones."""
    return int(await connection.fetchval(_SQL["last_id"]))


async def following(connection: Connection, place: tuple[UUID, int], most: int, last: int = LAST) -> list[Place]:
    """Up to `most` landed blocks after a place, box by box; none that landed after block `last`."""
    return rows_as(Place, await connection.fetch(_SQL["next"], *place, most, last))


async def take(connection: Connection, places: Sequence[Place]) -> list[LandedBlock]:
    """Takes blocks out of landing in this transaction, by box and number, but for those that another process has."""
    rows = await connection.fetch(_SQL["take"], [p.gateway for p in places], [p.id for p in places])
    return sorted(rows_as(LandedBlock, rows), key=lambda block: (block.gateway, block.id))


async def put_readings(connection: Connection, readings: Readings) -> None:
    """Adds readings as rows, best in order of series and time, and marks their hours to be rolled up."""
    r = readings
    if len(r) and r.at_us.min() < (time.time() - _LATE_S) * 1e6:
        await rollups.hold_dropping(connection)
    source = readings_as_copy(r.series, r.at_us, r.value, r.quality)
    await connection.copy_to_table("readings", source=source, columns=COLUMNS, format="binary")
    await rollups.mark(connection, r.series, r.at_us)


async def landed(connection: Connection, series: Sequence[int], since: datetime, until: datetime) -> Readings:
    """Readings of these series from `since` to before `until` that have landed and are no rows yet, in no order.

    Rows and landed blocks together are a series' history. Read both in one REPEATABLE READ transaction, or a block
    that is settled between the two statements is missed or counted twice.
    """
    rows = await connection.fetch(_SQL["landed"], list(series), since, until)
    job: Callable[[], Readings] = lambda: _picked(rows, series, _us(since), _us(until))  # noqa: E731
    return job() if len(rows) < _IN_THREAD else await asyncio.to_thread(job)


def _picked(rows: Sequence[asyncpg.Record], wanted: Sequence[int], start: int, end: int) -> Readings:
    parts = []
    for row in rows:
        asked = {place - 1: series for place, series in zip(row["places"], wanted, strict=True) if place}
        header, body_bytes, packed = split_block(row["block"])
        for found in decode_series(header, inflate(body_bytes, packed), sorted(asked)):
            series = np.full(len(found.series), asked[int(found.series[0])], np.int32)
            at_us = (found.mono_ns + row["offset_ns"]) // 1000
            parts.append(Readings(series, at_us, found.value, found.quality))
    r = joined(parts)
    which = (r.at_us >= start) & (r.at_us < end)
    value = r.value[which]
    return Readings(r.series[which], r.at_us[which], value, true_quality(value, r.quality[which]))


async def depth(connection: Connection) -> Depth:
    """How much waits to be settled."""
    (found,) = rows_as(Depth, await connection.fetch(_SQL["depth"]))
    return found


async def boxes_above(connection: Connection, readings: int) -> frozenset[UUID]:
    """Boxes of which more readings than that wait to be settled."""
    return frozenset(row["gateway"] for row in await connection.fetch(_SQL["boxes_above"], readings))


def joined(parts: Sequence[Readings]) -> Readings:
    """Readings one after the other."""
    if not parts:
        return _NOTHING
    return Readings(
        np.concatenate([part.series for part in parts]),
        np.concatenate([part.at_us for part in parts]),
        np.concatenate([part.value for part in parts]),
        np.concatenate([part.quality for part in parts]),
    )


def _us(at: datetime) -> int:
    return round(at.timestamp() * 1e6)


_NOTHING = Readings(np.zeros(0, np.int32), np.zeros(0, np.int64), np.zeros(0, np.float64), np.zeros(0, np.uint8))
