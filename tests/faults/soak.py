"""The box for half an hour in an estate where something is always broken: `make soak`; nothing may grow.

A hundred and fifty devices on every kind of bus. Every kind of fault that their buses know comes to one device or
another, buses lose their power, the cloud goes away and comes back, orders are given. Each few seconds the box's
memory, threads, file handles, tasks and queues are looked at. What is still growing after it has warmed up is a leak:
by the slope of a line through the rest that outliers do not move (Theil and Sen). Writes build/soak.json.
"""

import argparse
import asyncio
import json
import random
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from itertools import combinations
from pathlib import Path
from statistics import median

from contract.kinds import Lane
from contract.messages import Command
from contract.profile import load_profiles, shipped_profiles
from contract.site import ResolvedDevice, load_site, resolve
from simulators.demo.processes import free_port
from simulators.estate import bus_class
from tests.bench.box import Box, enrolled, running_box
from tests.bench.processes import rss_mb
from tests.bench.simulated import make_estate, simulated
from tests.support.fake_cloud import FakeCloud

OUT = Path("build/soak.json")
DEVICES = 150
LOOK_S = 5.0
SEED = 20261124
ROUND_S = 240.0
"""After so long the faults begin anew; the warm-up is at least one such round."""
FAULT_S = 20.0
CLOUD_AWAY_S = (30.0, 60.0)
WARM_UP = 1 / 3
"""Share of the time that does not count: pools fill, heaps find their size."""
MOST_POINTS = 120
"""Of a line through many looks; the pairs of all would take long and say no more."""


@dataclass(frozen=True)
class Bound:
    """How much a number may grow over the time that counts, by its slope, and what it may be at most at any time."""

    growth: float
    most: float


BOUNDS = {
    "rss_mb": Bound(2.0, 80.0),
    "tasks": Bound(1.0, 120.0),
    "files": Bound(1.0, 120.0),
    "threads": Bound(0.5, 20.0),
    "waiting_urgent": Bound(10.0, 20_000.0),
    "waiting_bulk": Bound(200.0, 100_000.0),
    "pending_urgent": Bound(30.0, 5_000.0),
    "pending_bulk": Bound(10.0, 500.0),
}


async def soak(folder: Path, minutes: float) -> dict[str, object]:
    """Runs it and returns what is to be written; `grown` names what grew or was too much."""
    estate = folder / "estate"
    async with FakeCloud(heartbeat_s=5.0) as cloud:
        await enrolled(cloud, folder / "state")
        site = await make_estate(estate, cloud.url, DEVICES, seed=SEED)
        devices = resolve(load_site(site, profiles := load_profiles(shipped_profiles())), profiles)
        (estate / "story.yaml").write_text(story(estate / "day.yaml", devices), encoding="utf-8")
        async with (
            simulated(estate, estate / "story.yaml") as there,
            running_box(folder, site, cloud, f"127.0.0.1:{free_port(0)}", there.environment) as box,
        ):
            trouble = asyncio.create_task(_trouble(cloud, devices, random.Random(SEED)))
            try:
                looks = await _watch(box, cloud, minutes)
            finally:
                trouble.cancel()
                await asyncio.wait([trouble])
            if not trouble.cancelled():
                trouble.result()
    return judge(looks, minutes)


def story(day: Path, devices: Sequence[ResolvedDevice]) -> str:
    """The estate's ordinary life, and every fault that its buses know, over and over."""
    dice = random.Random(SEED)
    living = day.read_text(encoding="utf-8").partition("living:")[2].partition("steps:")[0]
    steps: list[tuple[float, str]] = []
    buses = {item.bus.id: item.bus for item in devices}
    for bus in buses.values():
        here = [item.device.id for item in devices if item.bus.id == bus.id]
        kinds = sorted(bus_class(bus.protocol).kinds)  # type: ignore[attr-defined]
        pause_s = (ROUND_S - 2 * FAULT_S) / len(kinds)
        for n, kind in enumerate(kinds):
            at_s = 1.0 + n * pause_s + dice.uniform(0, pause_s / 2)
            device, share = dice.choice(here), dice.choice((1.0, 0.5))
            steps.append((at_s, f"fault: {{device: {device}, kind: {kind}, delay_s: 0.7, share: {share}, rate: 50}}"))
            steps.append((at_s + min(FAULT_S, 0.9 * pause_s), f"mend: {device}"))
        at_s = dice.uniform(0.2, 0.8) * ROUND_S
        steps += [(at_s, f"power_off: {bus.id}"), (at_s + 15.0, f"power_on: {bus.id}")]
        steps.append((dice.uniform(0.1, 0.9) * ROUND_S, f"cut: {bus.id}"))
    lines = [f"  - {{at: {at_s:.1f}s, {what}}}" for at_s, what in sorted(steps)]
    head = f"name: always something\nsite: site.yaml\nseed: {SEED}\nagain: {ROUND_S:.0f}s\nliving:{living}"
    return head + "steps:\n" + "\n".join(lines) + "\n"


async def _trouble(cloud: FakeCloud, devices: Sequence[ResolvedDevice], dice: random.Random) -> None:
    """Takes the cloud away now and then, and gives orders in between, for ever."""
    able = [(item.device.id, name) for item in devices for name, point in item.profile.points.items() if point.write]
    n = 0
    while True:
        for _ in range(12):
            await asyncio.sleep(5.0)
            device, point = dice.choice(able)
            n += 1
            order = Command(f"soak-{n}", device, point, {}, time.time_ns() + 30_000_000_000)
            cloud.gateways["gw-bench"].commands.put_nowait(order)
        await cloud.stop()
        await asyncio.sleep(dice.uniform(*CLOUD_AWAY_S))
        await cloud.start()


async def _watch(box: Box, cloud: FakeCloud, minutes: float) -> list[dict[str, float]]:
    """The numbers of each look."""
    looks: list[dict[str, float]] = []
    await box.ready()
    began = time.monotonic()
    while (at_s := time.monotonic() - began) < 60 * minutes:
        await asyncio.sleep(LOOK_S)
        box.check()
        looks.append({"at_s": round(at_s, 1), **await look(box)})
        for lane in Lane:  # what has arrived is not the matter here
            stream = cloud.gateways["gw-bench"].stream(lane)
            stream.items.clear()
            stream.blocks.clear()
        if len(looks) % 12 == 0:
            print(" ".join(f"{name} {value:g}" for name, value in looks[-1].items()), flush=True)
    return looks


async def look(box: Box) -> dict[str, float]:
    """The box's numbers of this moment."""
    process = Path(f"/proc/{box.pid}")
    said = await box.metrics()
    return {
        "rss_mb": rss_mb(box.pid),
        "files": len(list((process / "fd").iterdir())),
        "threads": len(list((process / "task").iterdir())),
        "tasks": said["anju_box_tasks"],
        "online": said['anju_box_devices{link="online"}'],
        "readings": sum(value for name, value in said.items() if name.startswith("anju_box_readings_total")),
        **{f"waiting_{lane}": said[f'anju_box_outbox_waiting_items{{stream="{lane}"}}'] for lane in Lane},
        **{f"pending_{lane}": said[f'anju_box_outbox_pending_blocks{{stream="{lane}"}}'] for lane in Lane},
    }


def judge(looks: list[dict[str, float]], minutes: float) -> dict[str, object]:
    """What grew after the warm-up, and by how much."""
    counted = [one for one in looks if one["at_s"] >= 60 * minutes * WARM_UP]
    lasted_s = counted[-1]["at_s"] - counted[0]["at_s"]
    growth = {name: lasted_s * slope([(one["at_s"], one[name]) for one in counted]) for name in BOUNDS}
    most = {name: max(one[name] for one in looks) for name in BOUNDS}
    grown = [
        f"{name}: {growth[name]:+.2f} in {lasted_s / 60:.0f} min (bound {bound.growth:g}), most {most[name]:g}"
        f" (bound {bound.most:g})"
        for name, bound in BOUNDS.items()
        if growth[name] > bound.growth or most[name] > bound.most
    ]
    if counted[-1]["readings"] <= counted[0]["readings"]:
        grown.append("nothing was read any more")
    return {
        "minutes": minutes,
        "devices": DEVICES,
        "looks": len(looks),
        "growth": {name: round(value, 3) for name, value in growth.items()},
        "most": most,
        "bounds": {name: asdict(bound) for name, bound in BOUNDS.items()},
        "grown": grown,
        "samples": looks,
    }


def slope(points: Sequence[tuple[float, float]]) -> float:
    """The median of the slopes between all pairs: the trend, whatever single looks say (Theil and Sen)."""
    some = points[:: max(1, len(points) // MOST_POINTS)]
    slopes = [(b[1] - a[1]) / (b[0] - a[0]) for a, b in combinations(some, 2) if b[0] > a[0]]
    return median(slopes) if slopes else 0.0


def main() -> int:
    """1 when something grew."""
    parser = argparse.ArgumentParser(prog="make soak ARGS=…", description=__doc__.partition("\n")[0])
    parser.add_argument("--minutes", type=float, default=30.0)
    minutes = parser.parse_args().minutes
    with tempfile.TemporaryDirectory(prefix="anju-soak-") as folder:
        found = asyncio.run(soak(Path(folder), minutes))
        if found["grown"]:
            kept = Path("build/soak.log")
            kept.parent.mkdir(exist_ok=True)
            kept.write_bytes((Path(folder) / "box.log").read_bytes())
    OUT.parent.mkdir(exist_ok=True)
    OUT.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    print("growth after the warm-up:", found["growth"])
    for what in found["grown"]:  # type: ignore[attr-defined]
        print("GREW", what)
    return int(bool(found["grown"]))


if __name__ == "__main__":
    sys.exit(main())
