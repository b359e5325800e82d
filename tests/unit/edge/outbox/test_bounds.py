"""What is bounded: how long anything waits on disk, for whom, and what is kept beside it."""

import asyncio
import threading

import pytest

from contract.block import decode_block
from contract.clock import mono_ns
from contract.columns import Row, decode_columns
from contract.kinds import Lane
from contract.messages import Quality
from contract.records import InventoryRecord, LossReceipt, StateRecord
from contract.session import Cursor
from contract.site import Storage
from edge.disk import DiskFullError
from edge.outbox import Outbox, beside, sealers
from edge.outbox import stream as stream_module
from edge.outbox.file import DAY_NS, StreamFile
from edge.outbox.room import Room
from edge.seams import Standing
from tests.support.reference_stream import ReferenceStream
from tests.support.waiting import eventually
from tests.unit.edge.outbox.examples import BOOT, INVENTORY, state, telemetry

STORAGE = Storage(seal_s=600, urgent_mb=8, bulk_mb=8)


class Clock:
    now = 1_000_000_000

    def __call__(self) -> int:
        return self.now


@pytest.fixture
def clock():
    return Clock()


def bulk_file(folder, clock, *, boot=BOOT, keep_days=10, inventory=INVENTORY):
    file = StreamFile(
        folder / "bulk.db", Lane.BULK, quota_bytes=1 << 30, boot=boot, inventory=inventory, now_ns=clock,
        room=Room(folder, 1 << 20, lambda _: (1 << 40, 1 << 40)), keep_days=keep_days,
    )  # fmt: skip
    file.open()
    return file


def rows(n, count=1):
    return [Row(2, n + i, float(n), Quality.GOOD) for i in range(count)]


def values(file):
    found = []
    for block in file.peek(1 << 30):
        whole = decode_block(block)
        found += [row.value for row in decode_columns(whole.body, whole.header.items, whole.header.base_ns)]
    return found


def another(n):
    return InventoryRecord(f"estate {n}", INVENTORY.devices, INVENTORY.series)


# Days


def test_telemetry_that_waited_for_more_days_than_it_may_goes_and_its_loss_is_noted_once(tmp_path, clock):
    file = bulk_file(tmp_path, clock)
    for day in range(12):
        clock.now = day * DAY_NS + 1
        file.append_rows(rows(day))
        file.expire()
    # Eleven days old, and with it what would be too old within hours.
    assert values(file) == [float(day) for day in range(2, 12)]
    ((_, loss),) = file.losses()
    assert (loss.first, loss.last, loss.items, loss.reason) == (1, 2, 2, "older than 10 days")
    clock.now += DAY_NS
    file.expire()
    assert len(file.losses()) == 1
    clock.now += 1
    file.expire()
    assert values(file) == [float(day) for day in range(3, 12)]
    assert len(file.losses()) == 2
    file.close()


def test_days_are_those_that_the_box_ran_over_all_its_boots(tmp_path, clock):
    for boot in range(4):  # each of three days
        clock.now = 0
        file = bulk_file(tmp_path, clock, boot=bytes([boot]) * 16)
        for day in range(3):
            clock.now = (day + 1) * DAY_NS
            file.append_rows(rows(10 * boot + day))
        file.expire()
        file.close()
    file = bulk_file(tmp_path, clock, boot=bytes([3]) * 16)
    assert values(file)[:2] == [2.0, 10.0]  # the first two were ten and eleven days old
    assert sum(loss.items for _, loss in file.losses()) == 2
    file.close()


def test_what_waits_is_kept_without_a_limit_of_days(tmp_path, clock):
    file = bulk_file(tmp_path, clock, keep_days=0)
    file.append_rows(rows(1))
    clock.now += 10_000 * DAY_NS
    file.tend()
    assert values(file) == [1.0]
    file.close()


# A disk that hangs


@pytest.fixture
def impatient(monkeypatch):
    monkeypatch.setattr(stream_module, "STALL_S", 0.05)


async def test_nobody_waits_for_a_disk_that_hangs_and_states_are_kept_until_it_answers(tmp_path, impatient):
    async with Outbox.open(tmp_path, boot=BOOT, storage=STORAGE, inventory=INVENTORY) as outbox:
        gate = threading.Event()
        hanging = asyncio.create_task(outbox._urgent.worker.run(lambda _: gate.wait(20)))
        for n in range(20):
            await asyncio.wait_for(outbox.put([state("smoke", n)]), 5)
        patient = asyncio.create_task(outbox.record(StateRecord("smoke-1", "link", "online", Quality.GOOD, 99)))
        assert "has not answered" in outbox.status(Lane.URGENT).failing
        assert outbox.status(Lane.URGENT).waiting_items > 0
        assert 0 < outbox.status(Lane.URGENT).stalled_since_ns < mono_ns()
        gate.set()
        await asyncio.gather(hanging, patient)
        assert not outbox.status(Lane.URGENT).failing
        assert not outbox.status(Lane.URGENT).stalled_since_ns
        reference = ReferenceStream(Lane.URGENT)
        for block in await outbox.peek(Lane.URGENT, 1 << 20):
            reference.take(block)
        assert [r.mono_ns for r in reference.records if isinstance(r, StateRecord)] == [*range(20), 99]


async def test_readings_that_a_hanging_disk_does_not_take_are_bounded_and_declared(tmp_path, impatient, monkeypatch):
    monkeypatch.setattr(sealers, "MAX_PENDING_ROWS", 10)
    async with Outbox.open(tmp_path, boot=BOOT, storage=STORAGE, inventory=INVENTORY) as outbox:
        gate = threading.Event()
        hanging = asyncio.create_task(outbox._bulk.worker.run(lambda _: gate.wait(20)))
        for n in range(0, 100, 5):
            await asyncio.wait_for(outbox.put([telemetry(float(n + i), n + i) for i in range(5)]), 5)
            assert outbox.status(Lane.BULK).waiting_items <= 15
        await asyncio.wait_for(outbox.flush(), 5)
        assert "has not answered" in outbox.status(Lane.BULK).failing
        gate.set()
        await hanging
        await eventually(lambda: not outbox.status(Lane.BULK).failing)
        await outbox.flush()
        found = []
        for block in await outbox.peek(Lane.BULK, 1 << 20):
            whole = decode_block(block)
            found += [r.value for r in decode_columns(whole.body, whole.header.items, whole.header.base_ns)]
        assert found == sorted(set(found))
        assert found[-10:] == [float(n) for n in range(90, 100)]
        await eventually(lambda: outbox.status(Lane.BULK).lost_items == 100 - len(found))
        reference = ReferenceStream(Lane.URGENT)
        for block in await outbox.peek(Lane.URGENT, 1 << 20):
            reference.take(block)
        assert sum(r.items for r in reference.records if isinstance(r, LossReceipt)) == 100 - len(found)


# Inventories


def test_what_began_in_memory_goes_to_the_disk_as_soon_as_it_takes_it(tmp_path, clock):
    folder = tmp_path / "not mounted yet"
    file = bulk_file(folder, clock)
    assert file.in_memory
    file.append_rows(rows(1))
    assert not file.return_to_disk()
    folder.mkdir()
    assert file.return_to_disk()
    file.close()
    assert values(bulk_file(folder, clock)) == [1.0]


async def test_a_disk_that_refuses_is_asked_at_each_interval_and_not_at_each_read(tmp_path, monkeypatch):
    monkeypatch.setattr(sealers, "SEAL_ROWS", 10)
    async with Outbox.open(tmp_path, boot=BOOT, storage=STORAGE, inventory=INVENTORY) as outbox:
        asked, bulk = [], outbox._bulk

        def refuse(of):
            asked.append(len(of))
            raise DiskFullError("there is no room")

        monkeypatch.setattr(bulk.file, "append_rows", refuse)
        for n in range(20):
            await outbox.put([telemetry(float(m), m) for m in range(n * 10, n * 10 + 10)])
            await eventually(lambda: bulk.failing)
        await bulk.worker.run(lambda _: None)
        assert len(asked) == 1
        monkeypatch.undo()
        await outbox.flush()
        assert outbox.status(Lane.BULK).sealed_items == 200


def test_an_inventory_stays_while_a_pending_block_names_it(tmp_path, clock):
    file = bulk_file(tmp_path, clock)
    cloud = ReferenceStream(Lane.BULK)
    for n in range(60):
        file.adopt(another(n))
        file.append_rows(rows(n))
        clock.now += 1
    assert file.inventory(another(0).inventory_id) == another(0)
    for block in file.peek(1 << 30):
        cloud.take(block)
    assert file.acknowledge(cloud.cursor) == 60
    file.adopt(another(60))
    file.append_rows(rows(60))
    assert file.inventory(another(0).inventory_id) is None
    assert file.inventory(another(59).inventory_id) == another(59)
    assert file.db.execute("SELECT count(*) FROM inventories").fetchone()[0] == beside.KEEP_INVENTORIES
    file.close()


def test_an_inventory_that_came_back_counts_again(tmp_path, clock):
    file = bulk_file(tmp_path, clock)
    for n in (1, 2, 1):
        file.adopt(another(n))
        file.append_rows(rows(n))
    file.close()
    file = bulk_file(tmp_path, clock, inventory=another(3))
    file.append_rows(rows(3))
    kept = dict(file.db.execute("SELECT id, last_seq FROM inventories"))
    assert {another(1).inventory_id: 3, another(2).inventory_id: 2}.items() <= kept.items()
    assert kept[another(3).inventory_id] is None
    file.close()


def test_too_many_inventories_that_blocks_name_cost_the_oldest_blocks(tmp_path, clock, monkeypatch):
    monkeypatch.setattr(beside, "KEEP_INVENTORIES", 3)
    monkeypatch.setattr(beside, "MAX_INVENTORIES", 8)
    file = bulk_file(tmp_path, clock)
    for n in range(30):
        file.adopt(another(n))
        file.append_rows(rows(n))
    assert file.db.execute("SELECT count(*) FROM inventories").fetchone()[0] <= 8 + 3
    left = values(file)
    assert left == [float(n) for n in range(30 - len(left), 30)]
    assert len(left) >= 7
    assert sum(loss.items for _, loss in file.losses()) == 30 - len(left)
    for block in file.peek(1 << 30):
        named = decode_block(block).header.inventory
        assert file.inventory(named) is not None
    file.close()


def test_a_new_file_in_place_of_a_damaged_one_keeps_the_inventory_too(tmp_path, clock):
    file = bulk_file(tmp_path, clock)
    file.append_rows(rows(1))
    file.replace("damaged")
    file.append_rows(rows(2))
    file.close()
    file = bulk_file(tmp_path, clock, inventory=another(1))
    assert file.inventory(INVENTORY.inventory_id) == INVENTORY
    file.close()


# What the cloud acknowledges


async def test_an_acknowledged_block_that_is_not_ours_is_a_fork(tmp_path):
    """Another box under the same identity brought the cloud there: nothing of this one may be let go for that."""
    async with Outbox.open(tmp_path, boot=BOOT, storage=STORAGE, inventory=INVENTORY) as outbox:
        for n in range(3):
            await outbox.put([state("smoke", n)])
        cloud = ReferenceStream(Lane.URGENT)
        for block in await outbox.peek(Lane.URGENT, 1 << 20):
            cloud.take(block)
        right = cloud.cursor
        wrong = Cursor(right.epoch, right.number, right.checksum ^ 1)
        assert not await outbox.acknowledge(Lane.URGENT, wrong)
        assert outbox.status(Lane.URGENT).pending_blocks == right.number
        assert await outbox.reconcile(Lane.URGENT, wrong) is Standing.DIVERGED
        # In another session, and by a cursor in the midst of what was handed out:
        assert await outbox.peek(Lane.URGENT, 1)
        assert await outbox.acknowledge(Lane.URGENT, right)
        assert outbox.status(Lane.URGENT).pending_blocks == 0
