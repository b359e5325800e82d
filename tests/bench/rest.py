"""What the box costs at rest beside thingsboard-gateway: polls each second, and nothing to say.

25 devices on three endpoints over Modbus TCP; their numbers stay as they are. We report on change with heartbeats, the
rival is told to report on change too (its ON_CHANGE strategy). In turns, on the same server. What the box writes wears
its card (LESSONS 7 and 10).
"""

import asyncio
import time
from contextlib import AsyncExitStack
from pathlib import Path
from statistics import median

from simulators.demo.processes import free_port
from tests.bench.box import running_box
from tests.bench.estates import write_site
from tests.bench.figures import Figure, spread
from tests.bench.processes import cpu_s, modbus_server, rss_mb, written_bytes
from tests.bench.thingsboard import RIVAL, running_thingsboard
from tests.support.fake_cloud import FakeCloud

UNITS = 25
ENDPOINTS = 3
ROUNDS = 3
WARM_UP_S = 10.0
MEASURE_S = 30.0


async def rest(folder: Path) -> list[Figure]:
    """CPU in percent of a core, and memory, of both at rest; bytes that the box writes in an hour."""
    ours: list[float] = []
    theirs: list[float] = []
    written = 0
    async with modbus_server("still") as port, FakeCloud(heartbeat_s=20.0) as cloud:
        for n in range(ROUNDS):
            async with running_thingsboard(
                folder / f"rival-{n}", port, units=UNITS, endpoints=ENDPOINTS, is_on_change=True
            ) as gateway:
                theirs.append((await _spent(gateway.pid))[0])
                their_rss = rss_mb(gateway.pid)
                gateway.check()
            async with AsyncExitStack() as stack:
                (folder / f"box-{n}").mkdir()
                site = write_site(
                    folder / f"box-{n}", cloud.url, port, units=UNITS, endpoints=ENDPOINTS, channels=1, always=False
                )
                box = await stack.enter_async_context(
                    running_box(folder / f"box-{n}", site, cloud, f"127.0.0.1:{free_port(0)}")
                )
                percent, bytes_written = await _spent(box.pid)
                ours.append(percent)
                written += bytes_written
                our_rss = rss_mb(box.pid)
                box.check()
    note = f"{UNITS} devices on {ENDPOINTS} endpoints polled each second, nothing changes: {spread(ours, ' %')}"
    return [
        Figure(name="edge.idle_cpu_percent", value=median(ours), unit="% of a core", most=1, rival=RIVAL,
               rival_value=median(theirs), note=f"{note}; theirs {spread(theirs, ' %')}"),
        Figure(name="edge.idle_rss_mb", value=our_rss, unit="MB", rival=RIVAL, rival_value=their_rss, note=note),
        Figure(name="edge.idle_written_mb_per_hour", value=written / (ROUNDS * MEASURE_S) * 3600 / 1e6, unit="MB/h",
               note=note),
    ]  # fmt: skip


async def _spent(pid: int) -> tuple[float, int]:
    """CPU in percent of a core, and bytes written, over MEASURE_S."""
    await asyncio.sleep(WARM_UP_S)
    cpu, written, began = cpu_s(pid), written_bytes(pid), time.monotonic()
    await asyncio.sleep(MEASURE_S)
    return 100 * (cpu_s(pid) - cpu) / (time.monotonic() - began), written_bytes(pid) - written
