"""A city's backlog, all at once: how fast readings are acknowledged over HTTP, durable, beside InfluxDB 1.x.

Both get the same readings over four connections of the same client and answer once they are safe: ours as requests of
a box's blocks, at most a megabyte, into one process of the cloud with its rules on and settling under way; InfluxDB
as line protocol, 5,000 lines a batch, its defaults (it syncs each write), its series known to it before, as ours are.
"""

import asyncio
import os
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from statistics import median

import aiohttp
import numpy as np

from cloud.alarms.rules.stored import body_of
from cloud.identity.tokens import new_token, token_hash
from cloud.store import Database, gateways, rules
from contract.errors import AnjuError
from contract.kinds import Lane
from contract.session import blocks_path, join_blocks
from simulators.demo.processes import free_port
from tests.bench.figures import Figure, spread
from tests.bench.influxdb import RIVAL, Influx, lines_of, running_influxdb
from tests.bench.ingest_load import BOXES, READINGS, SERIES, WATCHING, BoxLoad, in_order, introduce, make_load, ruled
from tests.bench.ingest_server import bench_server
from tests.bench.processes import cpu_s, ended, until_open

TURNS = 5
CONNECTIONS = 4
LINES = 5_000
MOST_BYTES = 1_000_000


async def burst(folder: Path) -> list[Figure]:
    """`ingest.vs_influxdb` over TURNS turns each, in turns."""
    load = make_load()
    batches = list(_line_batches(load))
    warm = [lines_of(box.series.tolist(), [0] * SERIES, [0.0] * SERIES) for box in load]
    ours: list[float] = []
    theirs: list[float] = []
    used: list[tuple[float, float]] = []
    async with bench_server() as server:
        for turn in range(TURNS):
            home = folder / f"influxdb-{turn}"
            home.mkdir()
            async with running_influxdb(home) as influx:
                await _all(influx_writer(influx), warm)
                before_s = cpu_s(influx.pid)
                theirs.append(READINGS / await _all(influx_writer(influx), batches))
                influx_cpu_s = cpu_s(influx.pid) - before_s
                async with aiohttp.ClientSession() as client:
                    _check(await influx.count(client) - BOXES * SERIES)
            async with server.database() as url, serving(url) as cloud:
                requests = await _requests(url, load)
                before_s = cpu_s(cloud.pid)
                ours.append(READINGS / await _all(cloud.writer(), requests))
                used.append((cpu_s(cloud.pid) - before_s, influx_cpu_s))
                async with Database.open(url, 2) as store, store.connect() as connection:
                    sql = "SELECT (SELECT count(*) FROM readings) + (SELECT coalesce(sum(items), 0) FROM landing)"
                    _check(await connection.fetchval(sql))
    ratios = [o / t for o, t in zip(ours, theirs, strict=True)]
    per_m = [median(pair[i] for pair in used) / READINGS * 1e6 for i in (0, 1)]
    note = (
        f"{READINGS:,} readings, {CONNECTIONS} connections; ours {spread(ours)}/s acknowledged, {per_m[0]:.2f} s CPU "
        f"of the cloud's process per M; InfluxDB {spread(theirs)}/s, {per_m[1]:.2f} s; ratio {spread(ratios)}"
    )
    return [
        Figure(
            name="ingest.vs_influxdb", value=median(ratios), unit="× readings/s", note=note, least=1.0,
            rival=RIVAL, rival_value=1.0,
        ),
        Figure(
            name="ingest.burst_per_s", value=median(ours), unit="readings/s", note="acknowledged over HTTP",
            rival=RIVAL, rival_value=median(theirs),
        ),
    ]  # fmt: skip


Write = Callable[[aiohttp.ClientSession, object], Awaitable[None]]


def influx_writer(influx: Influx) -> Write:
    """Writes one batch of lines."""

    async def write(client: aiohttp.ClientSession, lines: object) -> None:
        assert isinstance(lines, bytes)
        await influx.write(client, lines)

    return write


class Served:
    """A process of the cloud."""

    def __init__(self, url: str, pid: int) -> None:
        self.url = url
        self.pid = pid

    def writer(self) -> Write:
        """Posts one box's request (token, body); what was not taken is sent again."""

        async def write(client: aiohttp.ClientSession, request: object) -> None:
            assert isinstance(request, tuple)
            token, body = request
            headers = {"Authorization": f"Bearer {token}"}
            async with client.post(self.url + blocks_path(Lane.BULK), data=body, headers=headers) as answer:
                if answer.status != 200:
                    raise AnjuError(f"the cloud says {answer.status}: {await answer.text()}")

        return write


@asynccontextmanager
async def serving(database_url: str) -> AsyncIterator[Served]:
    """The cloud as it is installed: one process of `anju-cloud serve`."""
    port = free_port(0)
    environment = {"DATABASE_URL": database_url, "ANJU_LISTEN": f"127.0.0.1:{port}", "PATH": os.environ["PATH"]}
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", "from cloud.cli import main; main()", "serve", env=environment,
        stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.DEVNULL,
    )  # fmt: skip
    try:
        await until_open(port, within_s=30)
        url = f"http://127.0.0.1:{port}"
        async with asyncio.timeout(30), aiohttp.ClientSession() as client:
            while True:
                async with client.get(f"{url}/readyz") as answer:
                    if answer.status == 200:
                        break
                await asyncio.sleep(0.05)
        yield Served(url, process.pid)
    finally:
        await ended(process)


async def _requests(url: str, load: Sequence[BoxLoad]) -> list[object]:
    """Each box's backlog as requests, with the token of a session of its own."""
    made: list[object] = []
    async with Database.open(url, 4) as store:
        async with store.transaction() as connection:
            for rule in WATCHING:
                await rules.put(connection, rule.name, body_of(rule), "bench", "every reading is judged")
        await store.wake({"rules"})
        await introduce(store, ruled(store), load)
        for box in load:
            token = new_token()
            async with store.transaction() as connection:
                await gateways.open_session(connection, token_hash(token), box.gateway, timedelta(minutes=15))
            blocks = [minute.block for minute in box.minutes]
            if len(join_blocks(blocks)) > MOST_BYTES:
                raise RuntimeError("a box's backlog is more than one request")
            made.append((token, join_blocks(blocks)))
    return made


def _line_batches(load: Sequence[BoxLoad]) -> Iterator[bytes]:
    minutes = list(in_order(load))
    step = LINES // SERIES
    for i in range(0, len(minutes), step):
        part = minutes[i : i + step]
        columns = (
            np.concatenate(c).tolist() for c in zip(*((b.series, m.at_us, m.value) for b, m in part), strict=True)
        )
        yield lines_of(*columns)


async def _all(write: Write, work: Sequence[object]) -> float:
    """Seconds until all of the work was written over CONNECTIONS connections."""
    left = iter(work)

    async def connection() -> None:
        async with aiohttp.ClientSession() as client:
            for one in left:
                await write(client, one)

    began = time.perf_counter()
    await asyncio.gather(*(connection() for _ in range(CONNECTIONS)))
    return time.perf_counter() - began


def _check(stored: int) -> None:
    if stored != READINGS:
        raise RuntimeError(f"{stored} readings are stored, {READINGS} were sent")
