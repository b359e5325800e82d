"""From the start of the process to its first reading: ours when its sealed block is in the outbox file.

The rival keeps nothing on disk, so its moment is that of its first value at the broker's subscriber. In turns.
"""

import asyncio
import struct
import time
from pathlib import Path
from statistics import median

import msgspec

from contract.block import HEADER, MAGIC, inflate
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
MAX_LOOK = 4096
"""A block that fits a page of SQLite lies in one piece."""


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
        files = _Files(folder / "state")
        while not files.hold_reading():
            box.check()
            if time.monotonic() - began > 30:
                raise RuntimeError(f"no reading was sealed in 30 s: {box.log.read_text(errors='replace')[-2000:]}")
            await asyncio.sleep(LOOK_S)
        return time.monotonic() - began


class _Files:
    """The outbox files' write-ahead logs, looked into from outside: SQLite itself lets nobody else read them."""

    def __init__(self, state: Path) -> None:
        self._logs = {lane: state / f"{lane}.db-wal" for lane in Lane}
        self._sizes = dict.fromkeys(Lane, 0)

    def hold_reading(self) -> bool:
        """Whether a block with a reading is written: a device's state on the urgent stream, or any block of bulk."""
        return any(self._holds_reading(lane, log) for lane, log in self._logs.items())

    def _holds_reading(self, lane: Lane, log: Path) -> bool:
        try:
            data = log.read_bytes()
        except FileNotFoundError:
            return False
        if len(data) == self._sizes[lane]:
            return False
        self._sizes[lane] = len(data)
        at = data.find(MAGIC)
        while at >= 0:
            if lane is Lane.BULK or _is_of_states(data[at : at + MAX_LOOK]):
                return True
            at = data.find(MAGIC, at + 1)
        return False


def _is_of_states(data: bytes) -> bool:
    """Whether a block of records begins here and holds a state; one that lies over several pages does not count."""
    body_bytes, packed_bytes = struct.unpack_from("<II", data, HEADER.size - 8)
    try:
        body = inflate(body_bytes, data[HEADER.size : HEADER.size + packed_bytes])
        return any(isinstance(record, StateRecord) for record in decode_records(body))
    except (BlockError, msgspec.MsgspecError):
        return False


async def _their_start_s(folder: Path, port: int) -> float:
    async with running_thingsboard(folder, port, units=UNITS) as gateway, asyncio.timeout(30):
        await gateway.first.wait()
        return time.monotonic() - gateway.began
