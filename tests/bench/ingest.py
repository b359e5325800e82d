"""The ingest, sustained: from blocks to rows that plain SQL reads, beside bare COPY of the same readings.

Ours takes requests as boxes send them (each a box's next blocks), checks, decodes, lands, moves latest values and
cursors, acknowledges, settles and marks roll-ups, while as many readings of the hours before are rolled up; the clock
stops when landing is empty and those hours are done: all work that a reading makes is counted. The rival copies the
same readings, in numpy-built binary COPY, into a plain table with a btree (series, time), 5,000 or 50,000 a
transaction, whichever is faster in its turn. Both with everything durable.
"""

import asyncio
import time
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from statistics import median

import asyncpg
import numpy as np

from cloud.alarms.engine import Engine
from cloud.alarms.rules import RuleBook
from cloud.commands.commands import Commands
from cloud.ingest.ingest import Ingest
from cloud.ingest.settle import ENOUGH_READINGS, Settler
from cloud.settings import Keep
from cloud.store import Database, landing
from cloud.store.copy import COLUMNS, readings_as_copy
from cloud.store.landing import Readings
from cloud.upkeep.upkeep import Upkeep
from contract.kinds import Lane
from contract.session import join_blocks
from tests.bench.figures import Figure, spread
from tests.bench.ingest_load import BOXES, READINGS, SERIES, BoxLoad, in_order, introduce, make_load
from tests.bench.ingest_server import bench_server

TURNS = 3
ALL = "all work"
WAYS = {ALL: (10, True), "without roll-ups": (10, False), "one block a request, without roll-ups": (1, False)}
"""Blocks a request and whether roll-ups are counted. Ten blocks are as many readings as the rival's smaller batch has;
one comes from boxes without a backlog.
"""
RIVAL_BATCHES = (5_000, 50_000)
EARLIER = timedelta(hours=3)
PLAIN = """
CREATE TABLE plain (series int NOT NULL, at timestamptz NOT NULL, value float8 NOT NULL, quality smallint NOT NULL);
CREATE INDEX plain_series_at ON plain (series, at);
"""


async def ingest(_: Path) -> list[Figure]:
    """`ingest.vs_copy` over TURNS turns each, in turns."""
    load = make_load()
    rates: dict[str, list[float]] = {way: [] for way in WAYS}
    rival: dict[int, list[float]] = {batch: [] for batch in RIVAL_BATCHES}
    async with bench_server() as server:
        for _turn in range(TURNS):
            async with server.database() as url:
                for batch in RIVAL_BATCHES:
                    rival[batch].append(await copied(url, load, batch))
                    await server.quiet()
            for way, (blocks, rolling) in WAYS.items():
                async with server.database() as url:
                    rates[way].append(await settled(url, load, blocks, rolling=rolling))
    best = [max(turn) for turn in zip(*rival.values(), strict=True)]
    ratios = {way: median(o / r for o, r in zip(rates[way], best, strict=True)) for way in WAYS}
    told = ", ".join(f"{way} {ratios[way]:.2f}, {spread(rates[way])}/s" for way in WAYS)
    note = (
        f"{READINGS:,} readings, {BOXES} boxes of {SERIES} series in one-minute blocks, {server.kind}; until landing "
        f"is empty and as many readings of earlier hours are rolled up: {told}; rival "
        + ", ".join(f"{b:,} a batch {spread(r)}/s" for b, r in rival.items())
    )
    return [
        Figure(
            name="ingest.vs_copy", value=ratios[ALL], unit="× rows/s", note=note, least=0.8,
            rival="asyncpg binary COPY, btree (series, time)", rival_value=1.0,
        ),
        Figure(name="ingest.rows_per_s", value=median(rates[ALL]), unit="rows/s",
               note="settled and rolled up, durable, all rules on",
               rival="asyncpg binary COPY, btree (series, time)", rival_value=median(best)),
    ]  # fmt: skip


async def copied(url: str, load: Sequence[BoxLoad], batch: int) -> float:
    """Rows a second of bare COPY, `batch` rows a transaction, in the order in which they come."""
    minutes = list(in_order(load))
    step = batch // SERIES
    connection = await asyncpg.connect(url)
    try:
        await connection.execute("DROP TABLE IF EXISTS plain")
        await connection.execute(PLAIN)
        began = time.perf_counter()
        for i in range(0, len(minutes), step):
            part = minutes[i : i + step]
            series = np.concatenate([box.series for box, _ in part])
            at_us = np.concatenate([minute.at_us for _, minute in part])
            value = np.concatenate([minute.value for _, minute in part])
            source = readings_as_copy(series, at_us, value, np.zeros(len(series), np.uint8))
            await connection.copy_to_table("plain", source=source, columns=COLUMNS, format="binary")
        took_s = time.perf_counter() - began
        _check(await connection.fetchval("SELECT count(*) FROM plain"), load)
    finally:
        await connection.close()
    return _readings(load) / took_s


async def settled(url: str, load: Sequence[BoxLoad], blocks: int, *, rolling: bool = False) -> float:
    """Rows a second of ours, `blocks` a request, from the first request to the last row.

    With `rolling` as many readings as are sent lie there from some hours ago, and the time runs until those are rolled
    up as well: what a cloud does in the long run, each reading received once, settled once, rolled up once.
    """
    async with Database.open(url, 12) as store:
        settler = Settler(store)
        engine = Engine(RuleBook())
        ingest = Ingest(
            store, engine.evaluate, Commands(store).answer, settler.landed, evaluate_bulk=engine.evaluate_bulk
        )
        await introduce(store, ingest, load)
        now = datetime.fromtimestamp(load[0].began_ns / 1e9, UTC)  # what is sent is of hours that are not over then
        if rolling:
            await _before(store, load)
        began = time.perf_counter()
        settling = asyncio.create_task(settler.run())
        rolled_up = asyncio.create_task(Upkeep(store, Keep()).roll_up_ripe(now))
        await send(ingest, load, blocks)
        await all_settled(store, settler)
        hours = await rolled_up
        took_s = time.perf_counter() - began
        settling.cancel()
        await asyncio.wait([settling])
        async with store.connect() as connection:
            _check(await connection.fetchval("SELECT count(*) FROM readings WHERE at >= $1", now), load)
            counted = await connection.fetchval("SELECT coalesce(sum(count), 0) FROM readings_hour")
            if bool(hours) != rolling or counted != rolling * _readings(load):
                raise RuntimeError(f"{counted} readings are rolled up, in {hours} hours of series")
    return _readings(load) / took_s


async def _before(store: Database, load: Sequence[BoxLoad]) -> None:
    """The same readings some hours earlier, as rows, of hours that are over and marked."""
    earlier_us = EARLIER // timedelta(microseconds=1)
    for box in load:
        size = len(box.minutes)
        series, value = np.tile(box.series, size), np.concatenate([minute.value for minute in box.minutes])
        at_us = np.concatenate([minute.at_us for minute in box.minutes]) - earlier_us
        async with store.transaction() as connection:
            await landing.put_readings(connection, Readings(series, at_us, value, np.zeros(len(value), np.uint8)))


async def send(ingest: Ingest, load: Sequence[BoxLoad], blocks: int) -> None:
    """All boxes send their blocks at the same time, each in requests of `blocks`, one after the other."""

    async def box(one: BoxLoad) -> None:
        for i in range(0, len(one.minutes), blocks):
            body = join_blocks(minute.block for minute in one.minutes[i : i + blocks])
            await ingest.take(one.gateway, one.estate, Lane.BULK, body)

    await asyncio.gather(*map(box, load))


async def all_settled(store: Database, settler: Settler) -> None:
    """Waits for the last row, without the pause that a settler makes for more to come."""
    settler.landed(ENOUGH_READINGS)
    while await left(store):  # noqa: ASYNC110  # the database tells nobody
        await asyncio.sleep(0.02)


async def left(store: Database) -> bool:
    """Whether something landed is no rows yet."""
    async with store.connect() as connection:
        return bool(await landing.following(connection, landing.FIRST, 1))


def _readings(load: Sequence[BoxLoad]) -> int:
    return sum(len(minute.value) for box in load for minute in box.minutes)


def _check(rows: int, load: Sequence[BoxLoad]) -> None:
    if rows != _readings(load):
        raise RuntimeError(f"{rows} rows are in the database, {_readings(load)} were sent")
