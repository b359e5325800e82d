"""`anju-sim load-year` fills a database as the cloud would have: rows of the last days, roll-ups of all of them."""

from datetime import UTC, datetime, timedelta

from cloud.store import Database as Store
from cloud.store import boxes, devices, history
from simulators.year import Load, load_year
from tests.support.servers import Database

LOAD = Load(devices=30, days=5, rows_days=2, every_s=1800, alarms=20)


async def test_a_small_year_is_whole(database_apache: Database) -> None:
    until = datetime(2026, 11, 20, 6, 30, tzinfo=UTC)
    async with Store.open(database_apache.url, 4) as store:
        loaded = await load_year(store, LOAD, until, lambda _: None)
        async with store.connect() as connection:
            rows = [tuple(row) for row in await connection.fetch("SELECT min(at), max(at) FROM readings")]
            hours = await connection.fetchval("SELECT count(DISTINCT at) FROM readings_hour")
            summed = await connection.fetchval("SELECT sum(count + bad) FROM readings_hour")
            days = await connection.fetchval("SELECT count(DISTINCT at) FROM readings_day")
            found = await devices.search(connection, [loaded.estate], [], {}, 100)
            points = await devices.points(connection, [row.id for row in found])
            meter = next(p for some in points.values() for p in some if p.point == "energy")
            used = await history.consumption(
                connection, [meter.series], until - timedelta(days=9), until, "day", "Asia/Shanghai"
            )
            assert await boxes.list_boxes(connection, [loaded.estate])
    assert rows[0][0] >= datetime(2026, 11, 18, tzinfo=UTC)
    assert until - rows[0][1] < timedelta(hours=1)
    # All but the last hour, which was not over yet.
    assert hours == 5 * 24 + 5
    assert loaded.readings * 0.98 < summed < loaded.readings
    assert days == 5  # those of China that are over
    assert len(found) == 30
    assert all(point.at is not None for some in points.values() for point in some)
    of_day = {round(day.used, 1) for day in used[1:4]}
    assert len(of_day) == 1
    assert of_day <= {12.0, 16.8, 21.6, 26.4, 31.2}  # meters of five sizes
