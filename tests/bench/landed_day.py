"""A chart of a day of which nothing is a row yet: a box's whole day lies in landed blocks when somebody looks.

So it is after a day offline, for as long as the settler takes, or while that stands still.
"""

import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cloud.store import Database, history
from tests.bench.figures import Figure, spread
from tests.bench.ingest import send
from tests.bench.ingest_load import SERIES, introduce, make_load, ruled
from tests.bench.ingest_server import bench_server
from tests.bench.queries import MOST_MS

MINUTES = 1439
CHARTS = 30
BLOCKS_A_REQUEST = 10


async def landed_day(_: Path) -> list[Figure]:
    """`queries.landed_day_ms`: the median of CHARTS charts, of one series each."""
    load = make_load(1, MINUTES)
    (box,) = load
    took = []
    async with bench_server() as server, server.database() as url, Database.open(url, 4) as store:
        ingest = ruled(store)
        await introduce(store, ingest, load)
        await send(ingest, load, BLOCKS_A_REQUEST)
        end = datetime.now(UTC)
        async with store.connect() as connection:
            for n in range(CHARTS):
                began = time.perf_counter()
                curve = await history.chart(connection, int(box.series[n * 17]), end - timedelta(days=1), end, 600)
                took.append(1000 * (time.perf_counter() - began))
                if (counted := sum(bucket.count for bucket in curve.buckets)) != MINUTES:
                    raise RuntimeError(f"the chart has {counted} readings of {MINUTES}")
    note = (
        f"a chart of 24 h from {MINUTES} landed blocks of {SERIES} readings, of which it shows one each: "
        f"{spread(took, ' ms')}; {server.kind}"
    )
    return [Figure(name="queries.landed_day_ms", value=sorted(took)[CHARTS // 2], unit="ms", most=MOST_MS, note=note)]
