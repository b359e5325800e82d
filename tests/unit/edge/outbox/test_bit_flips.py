"""Bits flip anywhere in the outbox's files: it opens, hands out nothing that was not put in, and declares what it lost.

The last commit in a write-ahead log is the exception, with the one before where its mark is hit too: such damage looks
like a write that the power cut off.
"""

import asyncio
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from contract.columns import Row
from contract.kinds import Lane
from contract.messages import Event
from contract.records import ClockRecord, InventoryRecord, LossReceipt, StateRecord
from contract.session import Cursor
from contract.site import Storage
from edge.outbox import Outbox
from edge.seams import BootTime
from tests.support.reference_stream import ReferenceStream, Refused
from tests.support.waiting import eventually
from tests.unit.edge.outbox.examples import BOOT, INVENTORY, state, telemetry

STORAGE = Storage(seal_s=600, urgent_mb=8, bulk_mb=8)
CLOCK = ClockRecord(BOOT, 5, 1_800_000_000_000_000_000, 1_000_000, "session")
NEXT_BOOT = b"another boot now"
EVENTS, READINGS = 60, 3_000
FILES = ("urgent.db", "urgent.db-wal", "bulk.db", "bulk.db-wal")


@dataclass
class Original:
    """Two state folders as SIGKILL left them: one with most in the write-ahead logs, one with most in the files."""

    folders: list[Path]
    sizes: dict[tuple[int, str], int]


@pytest.fixture(scope="module")
def original(tmp_path_factory):
    folders = [tmp_path_factory.mktemp(name) / "state" for name in ("logs", "files")]
    for n, folder in enumerate(folders):
        asyncio.run(fill(folder.with_name("live"), folder, is_in_files=bool(n)))
    sizes = {(n, name): (folder / name).stat().st_size for n, folder in enumerate(folders) for name in FILES}
    return Original(folders, {key: size for key, size in sizes.items() if size})


async def fill(live, folder, *, is_in_files):
    live.mkdir()
    async with Outbox.open(live, boot=BOOT, storage=STORAGE, inventory=INVENTORY) as outbox:
        await outbox.record(CLOCK)
        for n in range(EVENTS):
            await outbox.put([Event("smoke-1", "pressed", {"n": n}, n), state(str(n), n)])
            if n % 10 == 0:
                count = READINGS * 10 // EVENTS
                await outbox.put([telemetry(float(n * 1_000 + i), n * 1_000 + i) for i in range(count)])
                await outbox.flush()
            if is_in_files and n == EVENTS * 3 // 4:
                for stream in (outbox._urgent, outbox._bulk):
                    await stream.worker.run(lambda file: file.empty_log())
        shutil.copytree(live, folder)


@dataclass
class Found:
    """What comes out of a folder."""

    restored: list[StateRecord]
    boots: list[BootTime]
    inventory: InventoryRecord | None
    urgent: list[object]
    bulk: list[Row]


async def read(folder) -> Found:
    other = InventoryRecord("Another estate", INVENTORY.devices, INVENTORY.series)
    async with Outbox.open(folder, boot=NEXT_BOOT, storage=STORAGE, inventory=other) as outbox:
        restored, boots = outbox.restored_states(), await outbox.boots()
        inventory = await outbox.inventory(INVENTORY.inventory_id)
        await asyncio.wait_for(outbox.put([state("new", 1, "link"), telemetry(-1.0, 1)]), 10)
        await outbox.flush()
        bulk = await drain(outbox, Lane.BULK)
        await eventually(lambda: not (outbox._urgent.file.undeclared or outbox._bulk.file.undeclared))
        return Found(restored, boots, inventory, await drain(outbox, Lane.URGENT), bulk)


async def drain(outbox, lane):
    """All that the cloud takes of a stream; it does what the uplink does where it is refused."""
    cloud = ReferenceStream(lane)
    while outbox.status(lane).pending_blocks:
        blocks = await outbox.peek(lane, 1 << 20)
        try:
            for block in blocks:
                cloud.take(block)
        except Refused:
            # What was given up before it is passed over, as the receipt on the urgent stream says.
            tail = outbox.acked(lane)
            cloud.cursor = Cursor(tail.epoch, tail.number, tail.checksum)
            continue
        await outbox.acknowledge(lane, cloud.cursor)
    return cloud.items


def check(found: Found) -> None:
    events = [r.fields["n"] for r in found.urgent if isinstance(r, Event)]
    states = [r.value for r in found.urgent if isinstance(r, StateRecord)]
    readings = [row.value for row in found.bulk]
    assert events == sorted(set(events))
    assert set(events) <= set(range(EVENTS))
    assert set(states) <= {*map(str, range(EVENTS)), "new"}
    receipts = [r for r in found.urgent if isinstance(r, LossReceipt)]
    moved = {r.stream for r in receipts if "moved aside" in r.reason}
    assert states[-1:] == ["new"] or Lane.URGENT in moved  # where damage was found after it was put
    per_seal = READINGS * 10 // EVENTS
    all_readings = [float(n * 1_000 + i) for n in range(0, EVENTS, 10) for i in range(per_seal)]
    assert readings[-1:] == [-1.0] or Lane.BULK in moved
    readings = [value for value in readings if value >= 0]
    assert readings == sorted(set(readings))
    assert set(readings) <= set(all_readings)
    assert {r for r in found.urgent if isinstance(r, ClockRecord)} <= {CLOCK}
    assert found.inventory in {None, INVENTORY}
    for known in found.boots:
        assert known.boot in {BOOT, NEXT_BOOT}
        assert known.clock in {None, CLOCK}
    assert all(r.point == "smoke" and int(r.value or -1) in range(EVENTS) for r in found.restored)
    if set(events) < set(range(EVENTS - 2)):
        assert any(r.stream is Lane.URGENT for r in receipts)
    if set(readings) < set(all_readings[: -2 * per_seal]):
        assert any(r.stream is Lane.BULK for r in receipts)
    if not receipts:
        assert [r.value for r in found.restored] in ([], *([str(EVENTS - 1 - n)] for n in range(3)))


def test_without_damage_all_is_there(original):
    for folder in original.folders:
        with tempfile.TemporaryDirectory() as copy:
            shutil.copytree(folder, copy, dirs_exist_ok=True)
            found = asyncio.run(read(Path(copy)))
        check(found)
        assert not [r for r in found.urgent if isinstance(r, LossReceipt)]
        assert [r.value for r in found.restored] == [str(EVENTS - 1)]
        assert found.boots[0].clock == CLOCK


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_flipped_bits_are_survived_and_what_they_cost_is_declared(original, data):
    n, name = data.draw(st.sampled_from(sorted(original.sizes)))
    size = original.sizes[n, name]
    flips = data.draw(st.lists(st.tuples(st.integers(0, size - 1), st.integers(0, 7)), min_size=1, max_size=3))
    with tempfile.TemporaryDirectory() as copy:
        shutil.copytree(original.folders[n], copy, dirs_exist_ok=True)
        path = Path(copy) / name
        content = bytearray(path.read_bytes())
        for at, bit in flips:
            content[at] ^= 1 << bit
        path.write_bytes(content)
        check(asyncio.run(read(Path(copy))))


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_a_sector_that_reads_as_zeros_is_survived(original, data):
    n, name = data.draw(st.sampled_from(sorted(original.sizes)))
    sector = data.draw(st.integers(0, (original.sizes[n, name] - 1) // 512))
    with tempfile.TemporaryDirectory() as copy:
        shutil.copytree(original.folders[n], copy, dirs_exist_ok=True)
        with (Path(copy) / name).open("r+b") as file:
            file.seek(512 * sector)
            file.write(bytes(512))
        check(asyncio.run(read(Path(copy))))
