"""Memory of the box with 500 devices on all kinds of buses after ten minutes without its cloud.

The estate is simulated in another process: Modbus TCP, RTU on pseudo-terminals and over TCP, BLE through a BlueZ of its
own, MQTT through Mosquitto; its telemetry lives, so that the outbox fills. The uplink is cut from the start.
"""

import asyncio
import os
import time
from pathlib import Path

from simulators.demo.processes import free_port
from tests.bench.box import enrolled, running_box
from tests.bench.figures import Figure
from tests.bench.processes import cpu_s, rss_mb
from tests.bench.simulated import make_estate, simulated
from tests.support.fake_cloud import FakeCloud

DEVICES = 500
LOOK_S = 10.0
LEAST_ONLINE = 0.98
"""A box that does not hear its devices holds no memory of them either; then there is no figure."""


def _minutes() -> float:
    """Ten; ANJU_BENCH_RSS_MIN says otherwise where somebody only wants a look."""
    return float(os.environ.get("ANJU_BENCH_RSS_MIN", "10"))


async def rss(folder: Path) -> list[Figure]:
    """Resident memory at the end, and at its highest."""
    minutes = _minutes()
    async with FakeCloud() as cloud:
        await enrolled(cloud, folder / "state")
        url = cloud.url
    estate = folder / "estate"
    site = await make_estate(estate, url, DEVICES)
    async with (
        simulated(estate, estate / "day.yaml") as there,
        running_box(folder, site, None, f"127.0.0.1:{free_port(0)}", there.environment) as box,
    ):
        began, cpu = time.monotonic(), cpu_s(box.pid)
        seen = []
        while time.monotonic() - began < 60 * minutes:
            await asyncio.sleep(LOOK_S)
            box.check()
            seen.append(rss_mb(box.pid))
        online = (await box.metrics())['anju_box_devices{link="online"}']
        if online < LEAST_ONLINE * DEVICES:
            raise RuntimeError(f"only {online:.0f} of {DEVICES} devices are on line: {box.log.read_text()[-3000:]}")
        share = 100 * (cpu_s(box.pid) - cpu) / (time.monotonic() - began)
    note = (
        f"{DEVICES} simulated devices ({online:.0f} on line) on Modbus TCP, RTU, RTU over TCP, BLE, MQTT; uplink cut;"
        f" after {minutes:g} min; after the first {seen[min(5, len(seen) - 1)]:.1f}, most {max(seen):.1f};"
        f" {share:.1f} % of a core"
    )
    return [Figure(name="edge.rss_500_devices_mb", value=seen[-1], unit="MB", note=note, most=60)]
