"""What the console asks of a year of an estate's data, at the tiers that a database of this size can be loaded into.

300 devices with a thousand series: readings of the last days as rows, hours and days of the whole year, all of it put
in by the store's own functions (`anju-sim load-year`). Each question is asked several times on one connection, with
the caches as they are then; a figure is the median.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from statistics import median

from cloud.alarms.flood import flood_now
from cloud.store import Connection, Database, alarm_pages, boxes, commands, devices, history, windows
from simulators.year import Load, Loaded, load_year
from tests.bench.figures import Figure
from tests.support.servers import ApacheServer, PlainServer, apache_folders, plain_folders

LOAD = Load(every_s=900, alarms=2000)
ROUNDS = 15
MOST_MS = 100.0
DAY = timedelta(days=1)
Question = Callable[[Connection], Awaitable[object]]
_TABLES = ("readings", "readings_hour", "readings_day", "states", "states_hour", "states_day", "events")


async def queries(_: Path) -> list[Figure]:
    """The slowest question at each tier, and how much disk a year takes."""
    figures = []
    for server in (
        ApacheServer(apache_folders().take(), settings={"synchronous_commit": "off"}),
        PlainServer(plain_folders().take(), settings={"synchronous_commit": "off"}),
    ):
        await asyncio.to_thread(server.start)
        try:
            with server.database() as database:
                async with Database.open(database.url, 4) as store:
                    figures += await _measure(store)
        finally:
            await asyncio.to_thread(server.remove)
    worst = max((figure for figure in figures if figure.name.endswith("_ms")), key=lambda figure: figure.value)
    return [Figure(name="queries.worst_ms", value=worst.value, unit="ms", most=MOST_MS, note=worst.note), *figures]


async def _measure(store: Database) -> list[Figure]:
    until = datetime.now(UTC)
    began = time.monotonic()
    loaded = await load_year(store, LOAD, until, print)
    took_s = time.monotonic() - began
    async with store.connect() as connection:
        for _ in range(2):  # autovacuum's own work, which it may be at: then the first does not see all
            await connection.execute("VACUUM ANALYZE", timeout=600)
        asked = await _questions(connection, loaded, until)
        times = {name: [await _ms(connection, question) for _ in range(ROUNDS)] for name, question in asked.items()}
        sizes = {table: await _bytes(connection, store, table) for table in _TABLES}
    told = ", ".join(f"{name} {median(ms):.1f} (most {max(ms):.0f})" for name, ms in times.items())
    of_disk = ", ".join(f"{table} {size / 1e6:.0f}" for table, size in sizes.items())
    slowest = max(times, key=lambda name: median(times[name]))
    rows = f"{loaded.readings:,} readings and {loaded.states:,} states, loaded and rolled up in {took_s:.0f} s"
    return [
        Figure(name=f"queries.{store.tier}_ms", value=median(times[slowest]), unit="ms", most=MOST_MS,
               note=f"slowest: {slowest}. {told}; {rows}"),
        Figure(name=f"queries.{store.tier}_gb", value=sum(sizes.values()) / 1e9, unit="GB", note=f"MB: {of_disk}"),
    ]  # fmt: skip


async def _questions(connection: Connection, loaded: Loaded, until: datetime) -> dict[str, Question]:
    estates = [loaded.estate]
    found = await connection.fetch(
        "SELECT series.id, device, point, kind FROM series JOIN device ON device.id = series.device ORDER BY 1"
    )
    meters = [row["id"] for row in found if row["point"] == "energy"]
    links = [row["id"] for row in found if row["point"] == "link"]
    door = next(row["device"] for row in found if row["kind"] == "door")
    fast = await _densest(connection, [row["id"] for row in found if row["point"] == "power"], until)

    async def strip(c: Connection) -> None:
        await alarm_pages.active(c, estates)
        await boxes.silent(c, estates)

    async def alarm_list(c: Connection) -> None:
        await alarm_pages.active(c, estates)
        await alarm_pages.count_held(c, estates)
        await alarm_pages.ended(c, estates, 10)
        await flood_now(c, estates)
        await windows.standing(c, estates)

    async def device_list(c: Connection) -> None:
        rows = await devices.search(c, estates, ["3"], {}, 301)
        await devices.points(c, [row.id for row in rows])

    async def device_list_whole(c: Connection) -> None:
        rows = await devices.search(c, estates, [], {}, 301)
        await devices.points(c, [row.id for row in rows])

    async def device_page(c: Connection) -> None:
        row = await devices.get(c, door, estates)
        assert row is not None
        await devices.points(c, [row.id])
        await devices.recent_states(c, row.id, until - 7 * DAY, 400)
        await devices.recent_events(c, row.id, until - 7 * DAY, 400)
        await commands.list_recent(c, row.id, 5)

    async def year_of_events(c: Connection) -> None:
        await devices.recent_states(c, door, until - 365 * DAY, 400)
        await devices.recent_events(c, door, until - 365 * DAY, 400)

    def chart(days: float) -> Question:
        return lambda c: history.chart(c, fast, until - days * DAY, until, 600)

    midnight = until.replace(hour=16, minute=0, second=0, microsecond=0) - 2 * DAY
    month, year = midnight - 31 * DAY, midnight - 364 * DAY
    return {
        "state strip": strip,
        "alarm list": alarm_list,
        "device list, searched": device_list,
        "device list, whole": device_list_whole,
        "device page": device_page,
        "a year of a device's events": year_of_events,
        "boxes": lambda c: boxes.list_boxes(c, estates),
        "chart of an hour": chart(1 / 24),
        "of a day": chart(1),
        "of a week": chart(7),
        "of a month": chart(30),
        "of a year": chart(365),
        "used by day, one meter, a month": lambda c: history.consumption(
            c, meters[:1], month, midnight, "day", "Asia/Shanghai"
        ),
        "used by month, all meters, a year": lambda c: history.consumption(
            c, meters, year, midnight, "month", "Asia/Shanghai"
        ),
        "availability of all devices, a month": lambda c: history.time_in_state(c, links, month, midnight, "day"),
        "of all devices, a year": lambda c: history.time_in_state(c, links, year, midnight, "day"),
    }


async def _densest(connection: Connection, series: list[int], until: datetime) -> int:
    """Of these series the one with most readings of the last day."""
    sql = "SELECT series FROM readings WHERE series = ANY($1) AND at >= $2 GROUP BY 1 ORDER BY count(*) DESC LIMIT 1"
    return int(await connection.fetchval(sql, series, until - DAY))


async def _ms(connection: Connection, question: Question) -> float:
    began = time.perf_counter()
    await question(connection)
    return 1000 * (time.perf_counter() - began)


async def _bytes(connection: Connection, store: Database, table: str) -> int:
    size = "pg_total_relation_size" if store.tier == "plain" else "hypertable_size"
    return int(await connection.fetchval(f"SELECT {size}($1::text::regclass)", table))
