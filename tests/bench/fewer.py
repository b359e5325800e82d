"""What making few alarms of many costs: the figures over 100,000 alarms, a look at 10,000 boxes, a thousand folded.

Each figure is the median of some rounds, on a PostgreSQL of its own with caches as they are then.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from statistics import median

from cloud.alarms.engine import Engine
from cloud.alarms.fewer import Fewer
from cloud.alarms.kpis import kpis_of
from cloud.alarms.rules import RuleBook
from cloud.store import Connection, Database, kpis, people
from tests.bench.figures import Figure
from tests.support.servers import PlainServer, plain_folders

ALARMS, BOXES, BEHIND = 100_000, 10_000, 1000
ROUNDS = 9
SECOND, MONTH = timedelta(seconds=1), timedelta(days=30)
_ALARMS = """
INSERT INTO alarm (rule, source, estate, priority, state, holds, value, raised_at, created_at, changed_at,
                   announced_at, ended_at)
SELECT 'silent', 'series:' || n % 5000, $1, (ARRAY['low', 'low', 'medium', 'high'])[1 + n % 4], 'NORM', false, '', at,
       at, at + INTERVAL '5 minutes', at, at + INTERVAL '5 minutes'
FROM (SELECT n, $3::timestamptz - n * INTERVAL '20 seconds' AS at FROM generate_series(1, $2::int) AS n) AS times"""
_STEP = """
INSERT INTO alarm_transition (alarm, at, from_state, to_state, event, who)
SELECT id, created_at + $1::interval, $2, $3, $4, 'bench' FROM alarm ORDER BY created_at"""
_BOXES = """
INSERT INTO gateway (estate, public_key, hostname, version, seen_at, enrolled_at)
SELECT $1, decode(lpad(to_hex(n), 64, '0'), 'hex'), 'box-' || n, '1', $3, $3 FROM generate_series(1, $2::int) AS n"""
_REPORTS = """
INSERT INTO gateway_report SELECT id, $1, jsonb_build_object('machine_clock_off_ns', 1000, 'buses', (
    SELECT jsonb_agg(jsonb_build_object('id', 'bus-' || n, 'problem', repeat('x', 60)))
    FROM generate_series(1, 12) AS n)) FROM gateway"""
_DEVICES = """
WITH made AS (
    INSERT INTO device (gateway, estate, key, name, kind, profile, bus)
    SELECT id, estate, 'd-' || n, 'd', 'smoke_detector', 'x', 'bus-' || n % 4
    FROM (SELECT id, estate FROM gateway ORDER BY id LIMIT 1) AS box, generate_series(1, $1::int) AS n
    RETURNING id, gateway, estate
), standing AS (
    INSERT INTO alarm (rule, source, device, gateway, estate, priority, state, holds, value, raised_at, created_at,
                       announced_at)
    SELECT 'silent', 'bench:' || id, id, gateway, estate, 'low', 'UNACK', true, '', $2, $2, $2 FROM made
)
INSERT INTO alarm (rule, source, gateway, estate, priority, state, holds, value, raised_at, created_at, announced_at)
SELECT 'gateway_silent', 'gateway:' || id, id, estate, 'high', 'UNACK', true, '', $2, $2, $2
FROM (SELECT id, estate FROM gateway ORDER BY id LIMIT 1) AS box"""


async def fewer(_: Path) -> list[Figure]:
    """KPIs of a month, a sweep of a city's boxes, and a thousand silences that go beneath one alarm."""
    server = PlainServer(plain_folders().take(), settings={"synchronous_commit": "off"})
    await asyncio.to_thread(server.start)
    try:
        with server.database() as database:
            async with Database.open(database.url, 4) as store:
                return await _measure(store, datetime.now(UTC))
    finally:
        await asyncio.to_thread(server.remove)


async def _measure(store: Database, now: datetime) -> list[Figure]:
    async with store.transaction() as connection:
        area = await people.put_area(connection, None, "estate", "西苑小区", "Asia/Shanghai")
        await _load(connection, area, now)
    async with store.connect() as connection:
        await connection.execute("VACUUM ANALYZE", timeout=600)
        facts = await kpis.facts(connection, [area], now - MONTH, now)
        asked = [await _s(lambda: kpis.facts(connection, [area], now - MONTH, now)) for _ in range(ROUNDS)]
    counted = []
    for _ in range(ROUNDS):
        began = time.perf_counter()
        kpis_of(facts, kpis.HoldCounts(), now - MONTH, now)
        counted.append(time.perf_counter() - began)
    stage = Fewer(store, Engine(RuleBook()))
    for _ in range(BOXES // 500 + 1):  # until the rules know all of them
        await stage.sweep.sweep(now)
    swept = [await _s(lambda: stage.sweep.sweep(now)) for _ in range(ROUNDS)]
    async with store.transaction() as connection:
        await connection.execute(_DEVICES, BEHIND, now)
    folded = await _s(lambda: stage.sweep.sweep(now))
    async with store.connect() as connection:
        beneath = await connection.fetchval("SELECT count(*) FROM alarm WHERE state = 'DSUPR'")
    assert beneath == BEHIND
    return [
        Figure(name="alarms.kpi_query_s", value=median(asked), unit="s", most=1,
               note=f"{len(facts):,} alarms with three transitions each; counted in {median(counted):.2f} s then"),
        Figure(name="alarms.sweep_ms", value=median(swept) * 1000, unit="ms", most=100,
               note=f"{BOXES:,} boxes, nothing new; every half second, by one process"),
        Figure(name="alarms.fold_ms", value=folded * 1000, unit="ms", most=1000, note=f"{BEHIND:,} silences at once"),
    ]  # fmt: skip


async def _load(connection: Connection, area: int, now: datetime) -> None:
    await connection.execute(_ALARMS, area, ALARMS, now)
    for event, came_from, to, after in (
        ("raise", "NORM", "UNACK", 0), ("acknowledge", "UNACK", "ACKED", 60), ("clear", "ACKED", "NORM", 300),
    ):  # fmt: skip
        await connection.execute(_STEP, after * SECOND, came_from, to, event)
    await connection.execute(_BOXES, area, BOXES, now)
    await connection.execute(_REPORTS, now)


async def _s(work: Callable[[], Awaitable[object]]) -> float:
    began = time.perf_counter()
    await work()
    return time.perf_counter() - began
