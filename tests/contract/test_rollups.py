"""Roll-ups at every tier are what a plain count of the rows says, whatever order rows and roll-ups come in."""

import asyncio
import random
from collections import defaultdict
from datetime import UTC, datetime, timedelta

import pytest

from cloud.store import Database as Store
from cloud.store import landing, rollups, streams
from cloud.store.streams import StateRow
from contract.kinds import Lane
from tests.contract.conftest import Estate, make_estate
from tests.support.blocks import Chain, body, clock, inventory
from tests.support.rows import as_readings
from tests.support.servers import Database

HOUR = timedelta(hours=1)
START = datetime(2026, 3, 1, tzinfo=UTC)
HOURS = 60
FAR = START + timedelta(days=30)
EAST_8 = timedelta(hours=8)
WORDS = ("closed", "open", None)


class Numbers:
    """What was put into the store, and the roll-ups that follow from it: counted one by one."""

    def __init__(self, numbers: list[int], states: list[int], believed_s: dict[int, float]) -> None:
        self.numbers, self.states, self.believed_s = numbers, states, believed_s
        self.readings: list[tuple[int, datetime, float, int]] = []
        self.said: dict[int, dict[datetime, str | None]] = defaultdict(dict)

    def reading_rows(self, start_of: object) -> list[tuple]:
        """(series, at, count, bad, min, max, mean, first, last) of each stretch, `start_of` a time."""
        parts: dict[tuple[int, datetime], list[tuple[datetime, float, int]]] = defaultdict(list)
        for series, at, value, quality in self.readings:
            parts[series, start_of(at)].append((at, value, quality))
        rows = []
        for (series, start), found in parts.items():
            good = [value for _, value, quality in sorted(found) if quality == 0]
            figures = (min(good), max(good), sum(good) / len(good), good[0], good[-1]) if good else (None,) * 5
            rows.append((series, start, len(good), len(found) - len(good), *figures))
        return sorted(rows, key=lambda row: row[:2])

    def state_rows(self, start_of: object) -> dict[tuple, float]:
        """Seconds by (series, quality, at, value), second by second."""
        seconds: dict[tuple, float] = defaultdict(float)
        for series, said in self.said.items():
            times = sorted(said)
            for at, following in zip(times, [*times[1:], FAR], strict=True):
                until = min(following, at + timedelta(seconds=self.believed_s[series]))
                word = said[at]
                for second in range(round((until - at).total_seconds())):
                    key = (series, 0 if word else 3, start_of(at + timedelta(seconds=second)), word or "")
                    seconds[key] += 1
        return dict(seconds)


def hour_of(at: datetime) -> datetime:
    return at.replace(minute=0, second=0, microsecond=0)


def day_of(at: datetime) -> datetime:
    """The beginning of the day in China."""
    return (at + EAST_8).replace(hour=0, minute=0, second=0, microsecond=0) - EAST_8


async def put(store: Store, known: Numbers, readings: list[tuple], states: list[tuple]) -> None:
    """Rows as the ingest puts them: in one transaction with their marks."""
    async with store.transaction() as connection:
        if readings:
            await landing.put_readings(connection, as_readings(readings))
        if states:
            rows = [StateRow(series, at, word, 0 if word else 3) for series, at, word in states]
            await streams.put_states(connection, rows)
    known.readings += readings
    for series, at, word in states:
        known.said[series][at] = word


async def roll_up_all(store: Store, before: datetime = FAR) -> None:
    async with store.connect() as connection:
        buckets = await rollups.ripe_buckets(connection, before, 100)
    for bucket in buckets:
        async with store.transaction() as connection:
            await rollups.roll_up(connection, bucket, before, 7)


async def estate_series(estate: Estate) -> Numbers:
    """Two series of numbers and three of states, believed for 20 minutes, 2.5 hours and 30 hours."""
    urgent = Chain(Lane.URGENT)
    block = urgent.urgent(inventory(), clock(0))
    await estate.ingest.take(estate.gateway, estate.area, Lane.URGENT, body(block))
    numbers = [row[0] for row in await estate.rows("SELECT id FROM series WHERE lane = 'bulk' ORDER BY id LIMIT 2")]
    states = [row[0] for row in await estate.rows("SELECT id FROM series WHERE lane = 'urgent' ORDER BY id LIMIT 3")]
    believed = dict(zip(states, (1200.0, 9000.0, 108_000.0), strict=True))
    for series, seconds in believed.items():
        await estate.rows("UPDATE series SET stale_after_s = $2 WHERE id = $1 RETURNING id", series, seconds)
    return Numbers(numbers, states, believed)


def some_rows(chance: random.Random, known: Numbers) -> tuple[list[tuple], list[tuple]]:
    """Rows of some stretch of the time, not in order; no second of a series twice."""
    start = START + timedelta(seconds=chance.randrange((HOURS - 12) * 3600))
    reach = chance.choice((600, 3600, 12 * 3600))
    readings, states = [], []
    for _ in range(chance.randrange(12)):
        at = start + timedelta(seconds=chance.randrange(reach))
        row = (chance.choice(known.numbers), at, chance.randrange(1000) / 8, chance.choice((0, 0, 0, 2)))
        if all(row[:2] != other[:2] for other in (*known.readings, *readings)):
            readings.append(row)
    for _ in range(chance.randrange(4)):
        at, series = start + timedelta(seconds=chance.randrange(reach)), chance.choice(known.states)
        if at not in known.said[series] and (series, at) not in {other[:2] for other in states}:
            states.append((series, at, chance.choice(WORDS)))
    return readings, states


async def assert_right(estate: Estate, known: Numbers) -> None:
    columns = "series, at, count, bad, min, max, mean, first, last"
    for table, start_of in (("hour", hour_of), ("day", day_of)):
        found = await estate.rows(f"SELECT {columns} FROM readings_{table} ORDER BY series, at")
        expected = known.reading_rows(start_of)
        assert [row[:6] + row[7:] for row in found] == [row[:6] + row[7:] for row in expected]
        assert [row[6] for row in found] == pytest.approx([row[6] for row in expected])
        seconds = await estate.rows(f"SELECT series, quality, at, value, seconds FROM states_{table}")
        assert {row[:4]: row[4] for row in seconds} == pytest.approx(known.state_rows(start_of))


@pytest.mark.parametrize("seed", range(2))
async def test_late_rows_out_of_order_between_roll_ups_end_as_a_count_of_all_rows(estate: Estate, seed: int) -> None:
    chance, known = random.Random(seed), await estate_series(estate)
    await estate.rows("DELETE FROM states RETURNING series")
    for _ in range(25):
        await put(estate.store, known, *some_rows(chance, known))
        if chance.random() < 0.5:
            await roll_up_all(estate.store, START + chance.randrange(HOURS) * HOUR)
    while await estate.rows("SELECT FROM rollup_mark LIMIT 1"):
        await roll_up_all(estate.store)
    assert known.readings
    await assert_right(estate, known)


@pytest.mark.parametrize("tier", ["plain", "apache"])
async def test_rows_that_are_written_while_others_are_rolled_up_are_not_missed(
    request: pytest.FixtureRequest, tier: str
) -> None:
    database = request.getfixturevalue(f"database_{tier}")
    async with Store.open(database.url, 8) as store:
        estate = await make_estate(store)
        known, chance = await estate_series(estate), random.Random(1)
        await estate.rows("DELETE FROM states RETURNING series")
        batches = []
        for _ in range(120):
            readings, states = some_rows(chance, known)
            known.readings += readings
            for series, at, word in states:
                known.said[series][at] = word
            batches.append((readings, states))
        left = iter(batches)
        scrap = Numbers([], [], {})
        writing = True

        async def write() -> None:
            for readings, states in left:
                await put(store, scrap, readings, states)

        async def roll() -> None:
            while writing or await estate.rows("SELECT FROM rollup_mark LIMIT 1"):
                await roll_up_all(store)

        async with asyncio.TaskGroup() as group:
            rolling = [group.create_task(roll()) for _ in range(3)]
            await asyncio.gather(*(write() for _ in range(3)))
            writing = False
        assert all(task.done() for task in rolling)
        await assert_right(estate, known)


async def test_late_data_of_weeks_land_in_chunks_that_are_columns_already(database_community: Database) -> None:
    async with Store.open(database_community.url, 1) as store:
        estate = await make_estate(store)
        known = await estate_series(estate)
        await estate.rows("DELETE FROM states RETURNING series")
        chance = random.Random(3)
        for _ in range(20):
            await put(store, known, *some_rows(chance, known))
        await roll_up_all(store)
        for table in ("readings", "readings_hour", "states"):
            assert await estate.rows("SELECT compress_chunk(show_chunks($1::text::regclass))", table)
        columns = "SELECT count(*) FILTER (WHERE is_compressed), count(*) FROM timescaledb_information.chunks"
        of_these = "WHERE hypertable_name IN ('readings', 'readings_hour', 'states')"
        ((compressed, of_all),) = await estate.rows(f"{columns} {of_these}")
        assert compressed == of_all > 0
        for _ in range(20):
            await put(store, known, *some_rows(chance, known))
        while await estate.rows("SELECT FROM rollup_mark LIMIT 1"):
            await roll_up_all(store)
        await assert_right(estate, known)
        assert await estate.rows("SELECT count(*) FROM readings") == [(len(known.readings),)]
