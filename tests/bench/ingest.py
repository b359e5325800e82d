"""The ingest, sustained: from blocks to rows that plain SQL reads, beside bare COPY of the same readings.

Ours takes requests as boxes send them (each a box's next blocks), checks, decodes, lands, moves latest values and
cursors, acknowledges, settles, marks roll-ups; the clock stops when landing is empty. The rival copies the same
readings, in numpy-built binary COPY, into a plain table with a btree (series, time), 5,000 or 50,000 a transaction,
whichever is faster in its turn. Both with everything durable.
"""

import asyncio
import time
from collections.abc import Sequence
from pathlib import Path
from statistics import median

import asyncpg
import numpy as np

from cloud.alarms.engine import Engine
from cloud.alarms.rules import RuleBook
from cloud.commands.commands import Commands
from cloud.ingest.ingest import Ingest
from cloud.ingest.settle import ENOUGH_READINGS, Settler
from cloud.store import Database, landing
from cloud.store.copy import COLUMNS, readings_as_copy
from contract.kinds import Lane
from contract.session import join_blocks
from tests.bench.figures import Figure, spread
from tests.bench.ingest_load import BOXES, READINGS, SERIES, BoxLoad, in_order, introduce, make_load
from tests.bench.ingest_server import bench_server

TURNS = 5
BLOCKS_A_REQUEST = (10, 1)
"""5,000 readings a request, as many as the rival's smaller batch; and one block, as from boxes without a backlog."""
RIVAL_BATCHES = (5_000, 50_000)
PLAIN = """
CREATE TABLE plain (series int NOT NULL, at timestamptz NOT NULL, value float8 NOT NULL, quality smallint NOT NULL);
CREATE INDEX plain_series_at ON plain (series, at);
"""


async def ingest(_: Path) -> list[Figure]:
    """`ingest.vs_copy` over TURNS turns each, in turns."""
    load = make_load()
    rates: dict[int, list[float]] = {blocks: [] for blocks in BLOCKS_A_REQUEST}
    rival: dict[int, list[float]] = {batch: [] for batch in RIVAL_BATCHES}
    async with bench_server() as server:
        for _turn in range(TURNS):
            async with server.database() as url:
                for batch in RIVAL_BATCHES:
                    rival[batch].append(await copied(url, load, batch))
                    await server.quiet()
            for blocks in BLOCKS_A_REQUEST:
                async with server.database() as url:
                    rates[blocks].append(await settled(url, load, blocks))
    best = [max(turn) for turn in zip(*rival.values(), strict=True)]
    many, single = (rates[blocks] for blocks in BLOCKS_A_REQUEST)
    ratios = {blocks: median(o / r for o, r in zip(rates[blocks], best, strict=True)) for blocks in BLOCKS_A_REQUEST}
    note = (
        f"{READINGS:,} readings, {BOXES} boxes of {SERIES} series, {server.kind}; to empty landing; "
        f"{BLOCKS_A_REQUEST[0]} one-minute blocks a request {spread(many)}/s, one block a request {spread(single)}/s "
        f"(ratio {ratios[1]:.2f}); rival " + ", ".join(f"{b:,} a batch {spread(r)}/s" for b, r in rival.items())
    )
    return [
        Figure(
            name="ingest.vs_copy", value=ratios[BLOCKS_A_REQUEST[0]], unit="× rows/s", note=note, least=0.8,
            rival="asyncpg binary COPY, btree (series, time)", rival_value=1.0,
        ),
        Figure(name="ingest.rows_per_s", value=median(many), unit="rows/s", note="settled, durable, all rules on",
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


async def settled(url: str, load: Sequence[BoxLoad], blocks: int) -> float:
    """Rows a second of ours, `blocks` a request, from the first request to the last row."""
    async with Database.open(url, 12) as store:
        settler = Settler(store)
        ingest = Ingest(store, Engine(RuleBook()).evaluate, Commands(store).answer, settler.landed)
        await introduce(store, ingest, load)
        began = time.perf_counter()
        settling = asyncio.create_task(settler.run())
        await send(ingest, load, blocks)
        await all_settled(store, settler)
        took_s = time.perf_counter() - began
        settling.cancel()
        await asyncio.wait([settling])
        async with store.connect() as connection:
            _check(await connection.fetchval("SELECT count(*) FROM readings"), load)
    return _readings(load) / took_s


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
