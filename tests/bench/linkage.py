"""Fire with the network cut: from the answer that shows the confirming detector's smoke to the door's coil written.

Box and devices are in a network namespace of their own from which no cloud can be reached. Both moments are in the
simulator's truth log: when its answer to the box's poll went out, and when the box's write came in. Modbus TCP, all on
one bus, which is polled every 100 ms: the write has to wait for the transaction in progress.
"""

import asyncio
import random
from pathlib import Path

from edge.provision.enrol import enrol
from simulators.control import SetOrder, tell
from simulators.demo.processes import free_port
from simulators.log import Answer
from tests.bench.figures import Figure, percentile
from tests.integration.test_linkage_cut import (
    BOX,
    CHANNELS,
    DOOR,
    FIRES,
    MS,
    SIMULATOR,
    TruthFile,
    latency_ns,
    process,
    site_of,
)
from tests.support.cut_off import cut_off_place
from tests.support.fake_cloud import FakeCloud
from tests.support.waiting import eventually

HOUSES = 10
"""Each of FIRES stairwells, with a box that was just started."""
SEED = 20261124


async def linkage(folder: Path) -> list[Figure]:
    """p99 and median over all fires."""
    dice = random.Random(SEED)
    took: list[float] = []
    for house in range(HOUSES):
        fires, place = await _burn(folder / f"house-{house}", dice)
        took += fires
    note = (
        f"{len(took)} fires, {place}, 2-of-2 detectors; ms from the confirming answer to the door's coil:"
        f" median {percentile(took, 50):.1f}, worst {max(took):.1f}"
    )
    return [Figure(name="edge.linkage_p99_ms", value=percentile(took, 99), unit="ms", note=note, most=50)]


async def _burn(folder: Path, dice: random.Random) -> tuple[list[float], str]:
    """One house, all its stairwells in turn: ms for each, and what was cut."""
    folder.mkdir()
    async with FakeCloud() as cloud, cut_off_place(cloud) as place:
        site, state, control = folder / "site.yaml", folder / "state", folder / "sim.sock"
        site.write_text(site_of(place.url, free_port(0)), encoding="utf-8")
        (folder / "quiet.yaml").write_text("name: a night\nsite: site.yaml\nsteps: []\n", encoding="utf-8")
        cloud.claims["CLAIM"] = "gw-1"
        await place.heal()
        await enrol(cloud.url, "CLAIM", state, version="0")
        cloud.public_url = place.url
        await place.cut()
        truth = TruthFile(folder / "truth.jsonl")
        arguments = ("run", str(folder / "quiet.yaml"), "--log", str(folder / "truth.jsonl"), "--control", str(control))
        where = {"ANJU_SITE": str(site), "ANJU_STATE": str(state), "ANJU_HEALTH_LISTEN": "127.0.0.1:0"}
        async with (
            process(place, SIMULATOR, *arguments, log=folder / "sim.log"),
            process(place, BOX, "run", log=folder / "box.log", **where),
        ):
            last = 1 + (2 * FIRES - 1) // CHANNELS
            await eventually(lambda: any(isinstance(e, Answer) and e.unit == last for e in truth.look()), 20)
            for fire in range(FIRES):
                await asyncio.sleep(dice.uniform(0.0, 0.2))  # at any moment of the poll
                await tell(control, SetOrder(f"smoke-{fire}-a", "smoke", "smoke"))
                await eventually(lambda: len(truth.written(99)) > 0)
                await asyncio.sleep(dice.uniform(0.0, 0.2))
                await tell(control, SetOrder(f"smoke-{fire}-b", "smoke", "smoke"))
                await eventually(lambda fire=fire: bool(truth.written(DOOR + fire)))
            cut = "network namespace cut" if place.is_namespace else "no rights to a namespace here: the cloud stopped"
            return [latency_ns(truth, fire) / MS for fire in range(FIRES)], cut
