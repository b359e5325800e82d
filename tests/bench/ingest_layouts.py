"""Ways to keep readings, each measured end to end with cursor and latest values: what the design was chosen by.

`rows_block`   rows of `readings` at once, a transaction a block
`rows_group`   rows at once, twenty boxes' blocks a transaction
`landing`      blocks as they came, settled into sorted rows (what we do); one block a request
`segments`     blocks as they came, settled into one row a series and batch, arrays behind a view

For each: readings a second until plain SQL has them, bytes of disk a reading, and how long a chart of one series takes.
"""

import asyncio
import struct
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import numpy.typing as npt

from cloud.ingest.settle import BATCH_READINGS, Settler
from cloud.store import Connection, Database, devices, group, landing, newest
from cloud.store.copy import EPOCH_US, rows_as_copy
from cloud.store.landing import Readings, joined, readings_of
from cloud.store.newest import Newest
from contract.block import checksum_of
from contract.kinds import Lane
from contract.session import Cursor
from tests.bench.figures import Figure, spread
from tests.bench.ingest import all_settled, left, send
from tests.bench.ingest_load import READINGS, BoxLoad, Minute, in_order, introduce, make_load, ruled
from tests.bench.ingest_server import bench_server

TURNS = 3
WORKERS = 2
GROUP = 20
CHARTS = 200
_SEGMENTS = """
CREATE TABLE segment (series int NOT NULL, first_at timestamptz NOT NULL, at timestamptz[] NOT NULL,
                      value float8[] NOT NULL, quality smallint[] NOT NULL);
ALTER TABLE segment ALTER at SET STORAGE EXTERNAL, ALTER value SET STORAGE EXTERNAL, ALTER quality SET STORAGE EXTERNAL;
CREATE INDEX segment_series ON segment (series, first_at);
CREATE VIEW segment_readings AS SELECT series, r.* FROM segment, unnest(at, value, quality) AS r (at, value, quality);
"""
_SEGMENT_CHART = """
SELECT extract(epoch FROM date_bin('1 minute', r.at, 'epoch')), min(r.value), max(r.value), avg(r.value), count(*)
FROM segment, unnest(at, value, quality) AS r (at, value, quality)
WHERE series = $1 AND first_at < $3 AND r.at >= $2 AND r.at < $3 AND r.quality = 0 GROUP BY 1
"""


async def ingest_layouts(_: Path) -> list[Figure]:
    """Figures of each layout over TURNS turns, in turns."""
    load = make_load()
    layouts: dict[str, Callable[[Database, Sequence[BoxLoad]], Awaitable[None]]] = {
        "rows_block": lambda store, boxes: rows_at_once(store, boxes, 1),
        "rows_group": lambda store, boxes: rows_at_once(store, boxes, GROUP),
        "landing": landed_and_settled,
        "segments": segmented,
    }
    rates: dict[str, list[float]] = {name: [] for name in layouts}
    bytes_each: dict[str, float] = {}
    charts: dict[str, float] = {}
    async with bench_server() as server:
        for _turn in range(TURNS):
            for name, store_all in layouts.items():
                async with server.database() as url, Database.open(url, 12) as store:
                    await introduce(store, ruled(store), load)
                    began = time.perf_counter()
                    await store_all(store, load)
                    rates[name].append(READINGS / (time.perf_counter() - began))
                    table = "segment" if name == "segments" else "readings"
                    bytes_each[name] = await _disk(store, table) / READINGS
                    charts[name] = await _chart_ms(store, load, segments=name == "segments")
        async with server.database() as url, Database.open(url, 12) as store:
            ingest = ruled(store)
            await introduce(store, ingest, load)
            await send(ingest, load, 10)
            waiting_ms = await _chart_ms(store, load, segments=False)
    figures = [
        Figure(
            name=f"ingest.layout_{name}", value=median(rates[name]), unit="rows/s",
            note=f"{spread(rates[name])}; {bytes_each[name]:.0f} B of disk a reading; chart p95 {charts[name]:.2f} ms",
        )
        for name in layouts
    ]  # fmt: skip
    note = f"p95 of {CHARTS} charts of 40 min while {READINGS:,} readings of 100 boxes have landed and are no rows"
    return [*figures, Figure(name="ingest.chart_in_backlog_p95", value=waiting_ms, unit="ms", most=100, note=note)]


async def rows_at_once(store: Database, load: Sequence[BoxLoad], size: int) -> None:
    """Rows in the transaction of their blocks, `size` boxes' at a time, WORKERS transactions at once."""
    work = _groups(load, size)
    numbers: dict[int, int] = {id(box): 0 for box in load}
    busy: dict[int, asyncio.Lock] = {id(box): asyncio.Lock() for box in load}

    async def worker() -> None:
        for part in work:
            for box, _ in sorted(part, key=lambda item: item[0].gateway):
                await busy[id(box)].acquire()
            async with store.transaction() as connection:
                await _move(connection, part, numbers)
                readings = joined([_decoded(box, minute) for box, minute in part])
                order = np.lexsort((readings.at_us, readings.series))
                await landing.put_readings(connection, Readings(*(c[order] for c in _columns(readings))))
            for box, _ in part:
                busy[id(box)].release()

    await asyncio.gather(*(worker() for _ in range(WORKERS)))


async def landed_and_settled(store: Database, load: Sequence[BoxLoad]) -> None:
    """What the cloud does."""
    settler = Settler(store)
    ingest = ruled(store, settler.landed)
    settling = asyncio.create_task(settler.run())
    await send(ingest, load, 1)
    await all_settled(store, settler)
    settling.cancel()
    await asyncio.wait([settling])


async def segmented(store: Database, load: Sequence[BoxLoad]) -> None:
    """Landed as ours, then a row a series and batch."""
    async with store.connect() as connection:
        await connection.execute(_SEGMENTS)
    ingest = ruled(store)
    series = {box.gateway: box.series for box in load}
    sending = asyncio.create_task(send(ingest, load, 1))
    while not sending.done() or await left(store):
        async with store.connect() as connection:
            places = await landing.following(connection, landing.FIRST, 4000)
        items = np.cumsum([place.items for place in places])
        places = places[: max(1, int(np.searchsorted(items, BATCH_READINGS, side="right")))]
        if len(places) < GROUP and not sending.done():
            await asyncio.sleep(0.02)
            continue
        async with store.transaction() as connection:
            blocks = await landing.take(connection, places)
            parts = [readings_of(block.block, block.offset_ns, series[block.gateway]) for block in blocks]
            readings = joined(parts)
            order = np.lexsort((readings.at_us, readings.series))
            rows = _segments(Readings(*(c[order] for c in _columns(readings))))
            await connection.copy_to_table("segment", source=rows_as_copy(rows), format="binary")
    await sending


def _segments(readings: Readings) -> Iterator[bytes]:
    """A row a series, in COPY's form."""
    starts = np.flatnonzero(np.append(True, readings.series[1:] != readings.series[:-1]))
    ends = np.append(starts[1:], len(readings))
    arrays: list[tuple[int, str, npt.NDArray[Any]]] = [
        (1184, ">i8", readings.at_us - EPOCH_US),
        (701, ">f8", readings.value),
        (21, ">i2", readings.quality),
    ]
    elements = []
    for _, dtype, column in arrays:
        made = np.empty(len(column), [("bytes", ">i4"), ("element", dtype)])
        made["bytes"], made["element"] = np.dtype(dtype).itemsize, column
        elements.append((made.tobytes(), made.itemsize))
    for start, end in zip(starts.tolist(), ends.tolist(), strict=True):
        row = [struct.pack(">hiiiq", 5, 4, readings.series[start], 8, int(readings.at_us[start]) - EPOCH_US)]
        for (oid, _, _), (packed, width) in zip(arrays, elements, strict=True):
            row.append(struct.pack(">iiiiii", 20 + (end - start) * width, 1, 0, oid, end - start, 1))
            row.append(packed[start * width : end * width])
        yield b"".join(row)


async def _move(connection: Connection, part: Sequence[tuple[BoxLoad, Minute]], numbers: dict[int, int]) -> None:
    """Cursors and latest values of these boxes, as the ingest moves them."""
    gateways = [box.gateway for box, _ in part]
    await group.lock_cursors(connection, gateways, Lane.BULK, wait=True)
    known = await newest.of_boxes(connection, gateways)
    moved, cursors = {}, {}
    for box, minute in part:
        numbers[id(box)] += 1
        cursors[box.gateway] = Cursor(7, numbers[id(box)], checksum_of(minute.block))
        brought = Newest(box.series, minute.at_us, minute.value, np.zeros(len(minute.value), np.uint8))
        moved[box.gateway], _ = known.get(box.gateway, newest.NONE).moved_by(brought)
    await newest.put(connection, moved)
    await group.move_cursors(connection, cursors, Lane.BULK)


def _groups(load: Sequence[BoxLoad], size: int) -> Iterator[list[tuple[BoxLoad, Minute]]]:
    minutes = list(in_order(load))
    for i in range(0, len(minutes), size):
        yield minutes[i : i + size]


def _decoded(box: BoxLoad, minute: Minute) -> Readings:
    return readings_of(minute.block, box.began_ns - 1000 * 1_000_000_000, box.series)


def _columns(r: Readings) -> tuple[Any, ...]:
    return r.series, r.at_us, r.value, r.quality


async def _disk(store: Database, table: str) -> float:
    async with store.connect() as connection:
        if table == "readings" and store.tier != "plain":
            return float(await connection.fetchval("SELECT hypertable_size('readings')"))
        return float(await connection.fetchval("SELECT pg_total_relation_size($1::regclass)", table))


async def _chart_ms(store: Database, load: Sequence[BoxLoad], *, segments: bool) -> float:
    """The 95th percentile of CHARTS charts of one series each, all its 40 minutes."""
    took = []
    end = datetime.now(UTC)
    start = end - timedelta(hours=1)
    async with store.connect() as connection:
        for n in range(CHARTS):
            box = load[n % len(load)]
            series = int(box.series[n * 7 % len(box.series)])
            began = time.perf_counter()
            if segments:
                await connection.fetch(_SEGMENT_CHART, series, start, end)
            else:
                await devices.chart(connection, series, start, end, timedelta(minutes=1))
            took.append((time.perf_counter() - began) * 1000)
    return sorted(took)[int(0.95 * len(took))]
