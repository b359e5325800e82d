"""From the start of the process to its first reading: ours when it is sealed in the outbox file, on disk.

The rival keeps nothing on disk, so its moment is that of its first value at the broker's subscriber. In turns.
"""

import asyncio
import sqlite3
import time
from contextlib import closing, suppress
from pathlib import Path
from statistics import median

from contract.block import decode_block
from contract.errors import BlockError
from contract.kinds import Lane
from contract.records import StateRecord, decode_records
from simulators.demo.processes import free_port
from tests.bench.box import enrolled, running_box
from tests.bench.estates import write_site
from tests.bench.figures import Figure, spread
from tests.bench.processes import modbus_server
from tests.bench.thingsboard import RIVAL, running_thingsboard
from tests.support.fake_cloud import FakeCloud

UNITS = 50
ROUNDS = 5
LOOK_S = 0.002


async def start(folder: Path) -> list[Figure]:
    """Seconds to the first reading, with 50 units of 40 points (200 devices in the site file), and the rival's."""
    ours: list[float] = []
    theirs: list[float] = []
    async with modbus_server() as port, FakeCloud(heartbeat_s=10.0) as cloud:
        for n in range(ROUNDS):
            theirs.append(await _their_start_s(folder / f"rival-{n}", port))
            ours.append(await _our_start_s(folder / f"box-{n}", port, cloud))
    note = (
        f"process start to the first reading sealed in the outbox file, 200 devices: {spread(ours, ' s')};"
        f" the rival to its first value at the broker's subscriber: {spread(theirs, ' s')}"
    )
    return [Figure(name="edge.start_to_first_reading_s", value=median(ours), unit="s", note=note, most=1, rival=RIVAL,
                   rival_value=median(theirs))]  # fmt: skip


async def _our_start_s(folder: Path, port: int, cloud: FakeCloud) -> float:
    folder.mkdir()
    site = write_site(folder, cloud.url, port, units=UNITS)
    await enrolled(cloud, folder / "state")
    began = time.monotonic()
    async with running_box(folder, site, cloud, f"127.0.0.1:{free_port(0)}") as box:
        while not _has_reading(folder / "state"):
            box.check()
            if time.monotonic() - began > 30:
                raise RuntimeError(f"no reading was sealed in 30 s: {box.log.read_text(errors='replace')[-2000:]}")
            await asyncio.sleep(LOOK_S)
        return time.monotonic() - began


def _has_reading(state: Path) -> bool:
    """Whether the outbox files hold a reading: a state of a device on the urgent stream, or any block of bulk."""
    return any(_holds_reading(state / f"{lane}.db", lane) for lane in Lane)


def _holds_reading(file: Path, lane: Lane) -> bool:
    if not file.exists():
        return False
    with suppress(sqlite3.Error, BlockError), closing(sqlite3.connect(f"file:{file}?mode=ro", uri=True)) as db:
        for (data,) in db.execute("SELECT bytes FROM blocks"):
            if lane is Lane.BULK or any(isinstance(r, StateRecord) for r in decode_records(decode_block(data).body)):
                return True
    return False


async def _their_start_s(folder: Path, port: int) -> float:
    async with running_thingsboard(folder, port, units=UNITS) as gateway, asyncio.timeout(30):
        await gateway.first.wait()
        return time.monotonic() - gateway.began
