"""The measured box: the installed `anju run` as a process, delivering to a cloud that decodes and counts."""

import asyncio
import os
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp

from contract.kinds import Lane
from simulators.demo.processes import run_once
from tests.bench.processes import ended
from tests.support.fake_cloud import FakeCloud

READY_S = 60.0
ANJU = Path(sys.executable).with_name("anju")


class Box:
    """A running box and the cloud it delivers to, if there is one."""

    def __init__(self, process: asyncio.subprocess.Process, cloud: FakeCloud | None, log: Path, listen: str) -> None:
        self.process, self.cloud, self.log, self.listen = process, cloud, log, listen

    @property
    def pid(self) -> int:
        """Of the box alone."""
        return self.process.pid

    def arrived(self) -> int:
        """Readings of the bulk stream that the cloud has decoded."""
        assert self.cloud is not None
        return len(self.cloud.gateways["gw-bench"].stream(Lane.BULK).items)

    async def metrics(self) -> dict[str, float]:
        """What it says of itself, by name with labels: anju_box_devices{link="online"}."""
        async with aiohttp.ClientSession() as http, http.get(f"http://{self.listen}/metrics") as answer:
            lines = (await answer.text()).splitlines()
        pairs = (line.rpartition(" ") for line in lines if line and not line.startswith("#"))
        return {name: float(value) for name, _, value in pairs}

    async def ready(self) -> None:
        """Returns when it answers. Raises TimeoutError after READY_S, RuntimeError where it ended."""
        async with asyncio.timeout(READY_S):
            while True:
                self.check()
                try:
                    await self.metrics()
                except aiohttp.ClientError:
                    await asyncio.sleep(0.1)
                else:
                    return

    def check(self) -> None:
        """Raises RuntimeError where the box ended by itself."""
        if self.process.returncode is not None:
            said = self.log.read_text(errors="replace")[-2000:]
            raise RuntimeError(f"the box ended by itself ({self.process.returncode}):\n{said}")


async def enrolled(cloud: FakeCloud, state: Path) -> None:
    """Makes a new state folder the cloud's gateway `gw-bench`, which then begins anew."""
    cloud.gateways.pop("gw-bench", None)
    cloud.claims["BENCH"] = "gw-bench"
    await run_once("anju", "enrol", "--cloud", cloud.url, "--claim", "BENCH", "--state", str(state))


@asynccontextmanager
async def running_box(
    folder: Path, site: Path, cloud: FakeCloud | None, listen: str, environment: Mapping[str, str] | None = None
) -> AsyncIterator[Box]:
    """`anju run` with a site file, enrolled with the cloud where its state folder is new."""
    state = folder / "state"
    if cloud is not None and not state.exists():
        await enrolled(cloud, state)
    log = folder / "box.log"
    with log.open("ab") as out:
        process = await asyncio.create_subprocess_exec(
            str(ANJU), "run", "--site", str(site), "--state", str(state),
            stdin=asyncio.subprocess.DEVNULL, stdout=out, stderr=out,
            env={**os.environ, "ANJU_HEALTH_LISTEN": listen, **(environment or {})},
        )  # fmt: skip
    try:
        yield Box(process, cloud, log, listen)
    finally:
        await ended(process)
