"""What the box costs while nothing happens: CPU, memory, bytes written (LESSONS 7 and 10).

The estate is the demo's: 25 devices on 3 buses, polled every 250 ms, delivering to a cloud on the same machine.
"""

import asyncio
import time
from pathlib import Path

import psutil

from tests.bench.figures import Figure
from tests.support.system import quiet_system

WARM_UP_S = 15.0
MEASURE_S = 60.0


async def box_at_rest(folder: Path) -> list[Figure]:
    """CPU share of a core, resident memory, and bytes written an hour of `anju run` over a minute."""
    async with quiet_system(folder) as demo:
        child = next(child for child in demo.children if child.name == "box")
        box = psutil.Process(child.process.pid)
        await asyncio.sleep(WARM_UP_S)
        began, cpu, written = time.monotonic(), sum(box.cpu_times()[:2]), box.io_counters().write_bytes
        await asyncio.sleep(MEASURE_S)
        took = time.monotonic() - began
        cpu, written = sum(box.cpu_times()[:2]) - cpu, box.io_counters().write_bytes - written
        resident = box.memory_info().rss
    note = "25 devices on 3 buses, 250 ms polls, sealing every second"
    return [
        Figure(name="box_at_rest.cpu", value=100 * cpu / took, unit="% of a core", note=note),
        Figure(name="box_at_rest.rss", value=resident / 2**20, unit="MiB", note=note),
        Figure(name="box_at_rest.written", value=written / took * 3600 / 1e6, unit="MB/h", note=note),
    ]
