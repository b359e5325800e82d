"""The measured box: the installed `anju run` as a process, delivering to a cloud that decodes and counts."""

import asyncio
import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from contract.kinds import Lane
from simulators.demo.processes import run_once
from tests.bench.processes import ended
from tests.support.fake_cloud import FakeCloud

ANJU = Path(sys.executable).with_name("anju")


class Box:
    """A running box and the cloud it delivers to."""

    def __init__(self, process: asyncio.subprocess.Process, cloud: FakeCloud, log: Path) -> None:
        self.process, self.cloud, self.log = process, cloud, log

    @property
    def pid(self) -> int:
        """Of the box alone."""
        return self.process.pid

    def arrived(self) -> int:
        """Readings of the bulk stream that the cloud has decoded."""
        return len(self.cloud.gateways["gw-bench"].stream(Lane.BULK).items)

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
async def running_box(folder: Path, site: Path, cloud: FakeCloud, listen: str = "127.0.0.1:0") -> AsyncIterator[Box]:
    """`anju run` with a site file, enrolled with the cloud where its state folder is new."""
    state = folder / "state"
    if not state.exists():
        await enrolled(cloud, state)
    log = folder / "box.log"
    with log.open("ab") as out:
        process = await asyncio.create_subprocess_exec(
            str(ANJU), "run", "--site", str(site), "--state", str(state),
            stdin=asyncio.subprocess.DEVNULL, stdout=out, stderr=out,
            env={**os.environ, "ANJU_HEALTH_LISTEN": listen},
        )  # fmt: skip
    try:
        yield Box(process, cloud, log)
    finally:
        await ended(process)
