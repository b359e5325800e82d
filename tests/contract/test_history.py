"""What the console reads of the past is the same at every tier, from rows or roll-ups, rolled up or not yet."""

import random
import time
from datetime import UTC, datetime, timedelta

import pytest

from cloud.store import history, landing, rollups, streams
from cloud.store.streams import StateRow
from contract.columns import Row
from contract.kinds import Lane
from contract.messages import Quality
from tests.contract.conftest import Estate
from tests.support.blocks import SECOND, Chain, body, clock, inventory, position
from tests.support.rows import as_readings

HOUR, DAY = timedelta(hours=1), timedelta(days=1)
MIDNIGHT = datetime(2026, 4, 30, 16, tzinfo=UTC)
"""The first of May in China."""
FAR = MIDNIGHT + 400 * DAY


async def series_of(estate: Estate, detectors: int = 2) -> tuple[int, int]:
    """The first series of numbers and the first of states."""
    urgent = Chain(Lane.URGENT)
    await estate.ingest.take(
        estate.gateway, estate.area, Lane.URGENT, body(urgent.urgent(inventory(detectors), clock(0)))
    )
    ((number,),) = await estate.rows("SELECT min(id) FROM series WHERE lane = 'bulk'")
    ((state,),) = await estate.rows("SELECT min(id) FROM series WHERE lane = 'urgent'")
    return number, state


async def put(estate: Estate, series: int, *rows: tuple[datetime, float]) -> None:
    async with estate.store.transaction() as connection:
        await landing.put_readings(connection, as_readings([(series, at, value, 0) for at, value in rows]))


async def roll_up(estate: Estate, before: datetime = FAR) -> None:
    async with estate.store.transaction() as connection:
        while buckets := await rollups.ripe_buckets(connection, before, 100):
            for bucket in buckets:
                await rollups.roll_up(connection, bucket, before, 10_000)


async def test_a_chart_has_all_that_was_read_whether_it_is_rolled_up_or_not(estate: Estate) -> None:
    first, _ = await series_of(estate, detectors=3)
    numbers = [row[0] for row in await estate.rows("SELECT id FROM series WHERE lane = 'bulk' ORDER BY id")]
    assert numbers[0] == first
    for series, (days, most, bucket_s) in zip(
        numbers, [(2, 600, 288), (30, 600, 7200), (60, 120, 86_400)], strict=True
    ):
        chance = random.Random(days)
        start, end = MIDNIGHT, MIDNIGHT + days * DAY
        rows = [(start + chance.random() * (end - start), chance.random()) for _ in range(230)]
        await put(estate, series, *rows[:200])
        await roll_up(estate, end - DAY)
        await put(estate, series, *rows[200:])  # late ones, most of them within hours that are rolled up
        parts: dict[float, list[float]] = {}
        for at, value in rows:
            began = start.timestamp() if bucket_s == 86_400 else 0.0
            parts.setdefault(began + (at.timestamp() - began) // bucket_s * bucket_s, []).append(value)
        expected = [(t, min(v), max(v), pytest.approx(sum(v) / len(v)), len(v)) for t, v in sorted(parts.items())]
        for _ in range(2):
            async with estate.store.connect() as connection:
                curve = await history.chart(connection, series, start, end, most)
            assert curve.bucket_s == bucket_s
            assert [(b.t, b.min, b.max, b.mean, b.count) for b in curve.buckets] == expected
            await roll_up(estate)


async def test_a_series_of_very_many_readings_is_drawn_by_the_hour(
    estate: Estate, monkeypatch: pytest.MonkeyPatch
) -> None:
    series, _ = await series_of(estate)
    await put(estate, series, *((MIDNIGHT + n * HOUR / 4, float(n)) for n in range(96)))
    await roll_up(estate)
    monkeypatch.setattr(history, "_MOST_ROWS", 95)
    async with estate.store.connect() as connection:
        curve = await history.chart(connection, series, MIDNIGHT, MIDNIGHT + DAY, 600)
    assert curve.bucket_s == 3600
    assert [(b.min, b.max) for b in curve.buckets] == [(4.0 * n, 4.0 * n + 3) for n in range(24)]


async def test_what_counters_counted_by_day_and_month(estate: Estate) -> None:
    series, _ = await series_of(estate)
    counted = [0.0, 10.0, 12.0, 12.0, 30.0]
    await put(estate, series, *((MIDNIGHT + (29 + n) * DAY - HOUR, value) for n, value in enumerate(counted)))
    exchanged = MIDNIGHT + 33 * DAY
    await put(estate, series, (exchanged + HOUR, 31.0), (exchanged + 2 * HOUR, 0.0), (exchanged + 3 * HOUR, 4.0))
    await roll_up(estate)
    async with estate.store.connect() as connection:
        ask = (connection, [series], MIDNIGHT, MIDNIGHT + 60 * DAY)
        days = await history.consumption(*ask, "day", "Asia/Shanghai")
        months = await history.consumption(*ask, "month", "Asia/Shanghai")
    assert [day.used for day in days] == [0.0, 10.0, 2.0, 0.0, 18.0, 1.0 + 4.0]
    assert days[0].at == MIDNIGHT + 28 * DAY
    assert [(month.at, month.used) for month in months] == [(MIDNIGHT, 12.0), (MIDNIGHT + 31 * DAY, 18.0 + 5.0)]


async def test_how_long_a_state_lasted_and_how_long_nobody_knows(estate: Estate) -> None:
    _, series = await series_of(estate)  # believed for 750 s
    changes = [(0, "online"), (600, "online"), (1200, "offline"), (1500, None), (1800, "online")]
    async with estate.store.transaction() as connection:
        await streams.put_states(
            connection,
            [StateRow(series, MIDNIGHT + timedelta(seconds=s), word, 0 if word else 3) for s, word in changes],
        )
    await roll_up(estate)
    async with estate.store.connect() as connection:
        for per, end in (("hour", MIDNIGHT + HOUR), ("day", MIDNIGHT + DAY)):
            found = await history.time_in_state(connection, [series], MIDNIGHT, end, per)
            said = {(time.quality, time.value): time.seconds for time in found}
            assert said == {(0, "online"): 1200 + 750, (0, "offline"): 300, (3, ""): 300}


async def test_what_is_not_over_is_not_counted(estate: Estate) -> None:
    _, series = await series_of(estate)
    now = datetime.now(UTC)
    async with estate.store.transaction() as connection:
        await streams.put_states(connection, [StateRow(series, now, "online", 0)])
    await roll_up(estate, now + DAY)
    assert await estate.rows("SELECT count(*) > 0 FROM states_hour") == [(True,)]
    async with estate.store.connect() as connection:
        ask = (connection, [series], now - 2 * DAY, now + DAY)
        assert await history.time_in_state(*ask, "hour") == []
        assert await history.time_in_state(*ask, "day") == []


async def test_a_chart_has_what_landed_and_is_no_row_yet(estate: Estate) -> None:
    began_ns = time.time_ns() // 1_000_000 * 1_000_000
    urgent, record = Chain(Lane.URGENT), inventory()
    bulk = Chain(Lane.BULK, inventory_id=record.inventory_id)
    await estate.ingest.take(estate.gateway, estate.area, Lane.URGENT, body(urgent.urgent(record, clock(began_ns))))
    row = Row(position(record, "smoke-0", "temperature"), 1000 * SECOND, 20.5, Quality.GOOD)
    await estate.ingest.take(estate.gateway, estate.area, Lane.BULK, body(bulk.bulk([row])))
    assert await estate.rows("SELECT (SELECT count(*) FROM landing), (SELECT count(*) FROM readings)") == [(1, 0)]
    of_smoke_0 = "FROM series JOIN device ON device.id = series.device WHERE key = 'smoke-0' AND point = 'temperature'"
    ((series,),) = await estate.rows(f"SELECT series.id {of_smoke_0}")
    end = datetime.now(UTC) + timedelta(minutes=1)
    for days, most in ((1, 600), (30, 600), (300, 120)):
        async with estate.store.connect() as connection:
            curve = await history.chart(connection, series, end - days * DAY, end, most)
        (bucket,) = curve.buckets
        assert (bucket.min, bucket.max, bucket.mean, bucket.count) == (20.5, 20.5, 20.5, 1)
