"""The box's outbox: durable events a second against the disk's own limit, opening with a large backlog, and wear.

Run in a folder on a disk: on tmpfs an fsync costs nothing and nothing is written.
"""

import asyncio
import json
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

from contract.clock import mono_ns
from contract.columns import Row
from contract.kinds import Lane
from contract.messages import Event, Quality
from contract.records import DeviceEntry, InventoryRecord, Place, SeriesEntry
from contract.site import Storage
from edge.disk import connect
from edge.outbox import Outbox
from edge.outbox.file import StreamFile
from edge.outbox.room import Room
from simulators.demo.processes import free_port
from tests.bench.box import running_box
from tests.bench.estates import write_site
from tests.bench.figures import Figure, spread
from tests.bench.processes import modbus_server
from tests.support.fake_cloud import FakeCloud

ROUNDS = 5
PUTTERS = 400
PUT_S = 2.0
READINGS, ROWS = 1_000_000, 100
RECORDS = 100_000
WARM_UP_S = 60.0
QUIET_S = 180.0
DAY_S = 86_400
INVENTORY = InventoryRecord(
    "Bench",
    (DeviceEntry("meter", "Meter", "electricity_meter", "bench-meter", "bus", Place(), ()),),
    tuple(SeriesEntry("meter", f"point {n}", Lane.BULK, 60.0) for n in range(ROWS)),
)
STORAGE = Storage(seal_s=600, urgent_mb=256, bulk_mb=2048)


async def outbox(folder: Path) -> list[Figure]:
    """All figures of the outbox."""
    return [await _events(folder), *await _opening(folder), await _wear(folder)]


# Durable events a second


async def _events(folder: Path) -> Figure:
    ours: list[float] = []
    bare: list[float] = []
    naive: list[float] = []
    shared = 0.0
    for n in range(ROUNDS):
        rate, events_a_commit, bytes_a_commit = await _put(folder / f"outbox-{n}")
        ours.append(rate)
        shared = events_a_commit
        bare.append(events_a_commit * _bare_commits(folder / f"bare-{n}", round(bytes_a_commit)))
        naive.append(_naive_events(folder / f"naive-{n}.db", round(bytes_a_commit / events_a_commit)))
    note = (
        f"{PUTTERS} putters, each waits until its event is on disk; {shared:.0f} share a commit: {spread(ours)};"
        f" write + fdatasync of the same bytes a commit, and nothing else: {spread(bare)};"
        f" SQLite with a commit an event, as it is set for the outbox: {spread(naive)}"
    )
    return Figure(name="outbox.events_per_s", value=median(ours), unit="events/s", note=note,
                  rival="write + fdatasync", rival_value=median(bare))  # fmt: skip


async def _put(folder: Path) -> tuple[float, float, float]:
    """Events a second, events a commit, bytes of blocks a commit."""
    folder.mkdir()
    boot = bytes(range(16))
    async with Outbox.open(folder, boot=boot, storage=STORAGE, inventory=INVENTORY) as box:
        count = 0
        until = time.perf_counter() + PUT_S

        async def put(putter: int) -> None:
            nonlocal count
            while time.perf_counter() < until:
                event = Event("door-1", "opened", {"card": f"c{putter:06x}{count:08x}", "by": "card"}, mono_ns())
                await box.put([event])
                count += 1

        before, began = box.status(Lane.URGENT), time.perf_counter()
        async with asyncio.TaskGroup() as tasks:
            for n in range(PUTTERS):
                tasks.create_task(put(n))
        took, after = time.perf_counter() - began, box.status(Lane.URGENT)
        commits = after.sealed_blocks - before.sealed_blocks
        return count / took, count / commits, (after.sealed_bytes - before.sealed_bytes) / commits


def _bare_commits(path: Path, size: int) -> float:
    """Commits a second where each is one write and one fdatasync at the end of a file."""
    data = os.urandom(size)
    handle = os.open(path, os.O_CREAT | os.O_WRONLY, 0o600)

    def commit() -> None:
        os.write(handle, data)
        os.fdatasync(handle)

    try:
        return _a_second(commit)
    finally:
        os.close(handle)


def _naive_events(path: Path, size: int) -> float:
    db, data = connect(path), os.urandom(size)
    db.execute("CREATE TABLE events (id INTEGER PRIMARY KEY, event BLOB)")

    def commit() -> None:
        db.execute("INSERT INTO events (event) VALUES (?)", (data,))

    try:
        return _a_second(commit)
    finally:
        db.close()


def _a_second(commit: Callable[[], None]) -> float:
    count, began = 0, time.perf_counter()
    while (took := time.perf_counter() - began) < PUT_S:
        commit()
        count += 1
    return count / took


# Opening


async def _opening(folder: Path) -> list[Figure]:
    """A process that opens the backlog, with no page of it in memory."""
    state = folder / "backlog"
    state.mkdir()
    await asyncio.to_thread(_fill, state)
    took: list[float] = []
    grew: list[float] = []
    for _ in range(ROUNDS):
        for path in state.iterdir():
            with path.open("rb") as file:
                os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "tests.bench.outbox", str(state), stdout=asyncio.subprocess.PIPE
        )
        out, _ = await process.communicate()
        open_s, grew_mb = json.loads(out)
        took.append(open_s)
        grew.append(grew_mb)
    size = sum(path.stat().st_size for path in state.iterdir()) / 1e6
    note = (
        f"{READINGS:,} unsent readings in blocks of {ROWS} and {RECORDS:,} unsent urgent records of a block each"
        f" ({size:.0f} MB), not in the page cache; until the first blocks of both can be sent: {spread(took, ' s')}"
    )
    return [
        Figure(name="outbox.open_s", value=median(took), unit="s", most=1, note=note),
        Figure(name="outbox.open_mb", value=median(grew), unit="MB", most=8,
               note=f"what the process grows by in that: {spread(grew, ' MB')}"),
    ]  # fmt: skip


def _fill(state: Path) -> None:
    """The backlog, sealed as the box does, only that the disk is not waited for."""
    for lane in Lane:
        file = StreamFile(
            state / f"{lane}.db", lane, quota_bytes=1 << 30, boot=bytes(range(16)), inventory=INVENTORY,
            now_ns=mono_ns, room=Room(state, 256 << 20),
        )  # fmt: skip
        file.open()
        file.db.execute("PRAGMA synchronous = OFF")
        if lane is Lane.URGENT:
            for n in range(RECORDS):
                file.append_records([Event("door-1", "opened", {"n": n, "by": "card"}, n)])
        else:
            for n in range(READINGS // ROWS):
                file.append_rows([Row(i, n * 1_000_000_000, n * 0.1 + i, Quality.GOOD) for i in range(ROWS)])
        file.db.execute("PRAGMA synchronous = FULL")
        file.close()
    os.sync()


async def _open(state: Path) -> None:
    """Opens a backlog and says how long it took and how much memory, to the parent."""
    before, began = _rss_mb(), time.perf_counter()
    async with Outbox.open(state, boot=bytes(range(16)), storage=STORAGE, inventory=INVENTORY) as box:
        for lane in Lane:
            assert await box.peek(lane, 1 << 20)
        print(json.dumps([time.perf_counter() - began, _rss_mb() - before]))


def _rss_mb() -> float:
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6


# Wear


async def _wear(folder: Path) -> Figure:
    """What a box writes that has little to say: 25 devices whose numbers stay, reported each half minute."""
    where = folder / "quiet"
    where.mkdir()
    async with modbus_server("still") as port, FakeCloud(heartbeat_s=20.0) as cloud:
        site = write_site(where, cloud.url, port, units=25, endpoints=3, channels=1, always=False)
        async with running_box(where, site, cloud, f"127.0.0.1:{free_port(0)}") as box:
            await box.ready()
            await asyncio.sleep(WARM_UP_S)
            before, arrived, began = _written_bytes(box.pid), box.arrived(), time.monotonic()
            await asyncio.sleep(QUIET_S)
            took = time.monotonic() - began
            written, readings = _written_bytes(box.pid) - before, box.arrived() - arrived
            box.check()
    a_day = written / 1e6 * DAY_S / took
    note = (
        f"extrapolated from {took:.0f} s: 25 devices, nothing changes, each of 250 numbers reported each half minute"
        f" ({readings / took:.1f} readings/s), delivered at once; by the kernel, without the disk's journal"
    )
    return Figure(name="outbox.wear_mb_a_day", value=a_day, unit="MB a day", note=note)


def _written_bytes(pid: int) -> int:
    lines = Path(f"/proc/{pid}/io").read_text().splitlines()
    return next(int(line.partition(":")[2]) for line in lines if line.startswith("write_bytes:"))


if __name__ == "__main__":
    asyncio.run(_open(Path(sys.argv[1])))
