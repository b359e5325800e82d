"""The outbox as the box uses it: durable before it returns, never blocking, never dying of a bad disk."""

import asyncio
import shutil
import threading

import pytest

from contract.block import decode_block
from contract.columns import decode_columns
from contract.kinds import Lane
from contract.messages import Event, Quality, Reading
from contract.records import (
    ClockRecord,
    ConfigReport,
    InventoryRecord,
    LossReceipt,
    SeriesEntry,
    StateRecord,
    decode_records,
)
from contract.session import Cursor
from contract.site import Storage
from edge.outbox import Outbox, sealers
from edge.outbox import outbox as outbox_module
from edge.seams import Standing
from tests.support.reference_stream import ReferenceStream
from tests.support.waiting import eventually
from tests.unit.edge.outbox.examples import BOOT, INVENTORY, state, telemetry

STORAGE = Storage(seal_s=600, urgent_mb=8, bulk_mb=8)


def opened(folder, *, boot=BOOT, storage=STORAGE, inventory=INVENTORY):
    return Outbox.open(folder, boot=boot, storage=storage, inventory=inventory)


async def pending(outbox, stream=Lane.URGENT):
    """Everything that waits, taken through the reference of the cloud."""
    reference = ReferenceStream(stream, outbox.acked(stream))
    for block in await outbox.peek(stream, 1 << 30):
        reference.take(block)
    return reference


async def deliver(outbox, stream=Lane.URGENT):
    reference = await pending(outbox, stream)
    await outbox.acknowledge(stream, reference.cursor)
    return reference.items


async def test_inventory_comes_first_and_once_per_epoch(tmp_path):
    async with opened(tmp_path) as outbox:
        await outbox.put([state("smoke", 5)])
        first, second = (await pending(outbox)).records
        assert first == INVENTORY
        assert second == StateRecord("smoke-1", "smoke", "smoke", Quality.GOOD, 5)
    async with opened(tmp_path) as outbox:
        assert len(await deliver(outbox)) == 2
        await outbox.open_epoch(Lane.URGENT)
        await outbox.put([state("clear", 6)])
        assert isinstance((await pending(outbox)).records[0], InventoryRecord)


async def test_a_changed_inventory_is_announced_at_start(tmp_path):
    async with opened(tmp_path) as outbox:
        await deliver(outbox)
    changed = InventoryRecord("Another name", INVENTORY.devices, INVENTORY.series)
    async with opened(tmp_path, inventory=changed) as outbox:
        assert await deliver(outbox) == [changed]
        # The old one is still known, for bulk blocks that name it.
        assert await outbox.inventory(INVENTORY.inventory_id) == INVENTORY


async def test_states_are_on_disk_when_put_returns(tmp_path):
    (tmp_path / "live").mkdir()
    async with opened(tmp_path / "live") as outbox:
        await outbox.put([state("smoke", 5), state("online", 6, "link")])
        await outbox.put([state("clear", 7)])
        shutil.copytree(tmp_path / "live", tmp_path / "killed")
    async with opened(tmp_path / "killed") as outbox:
        restored = {(s.point, s.value, s.mono_ns) for s in outbox.restored_states()}
        assert restored == {("smoke", "clear", 7), ("link", "online", 6)}
    async with opened(tmp_path / "killed", boot=b"another boot now") as outbox:
        assert {s.mono_ns for s in outbox.restored_states()} == {0}


async def test_puts_share_a_block_while_an_fsync_is_under_way(tmp_path):
    async with opened(tmp_path) as outbox:
        await deliver(outbox)
        await asyncio.gather(*(outbox.put([state("smoke", n)]) for n in range(500)))
        reference = await pending(outbox)
        assert [record.mono_ns for record in reference.records] == list(range(500))
        assert len(reference.blocks) <= 3


async def test_bulk_is_sealed_by_time_by_number_and_at_the_end(tmp_path, monkeypatch):
    monkeypatch.setattr(sealers, "SEAL_ROWS", 10)
    async with opened(tmp_path) as outbox:
        await outbox.put([telemetry(float(n), n * 1_000_000) for n in range(10)])
        await asyncio.wait_for(outbox.wait_for_blocks(Lane.BULK), 5)
        await outbox.put([telemetry(99.0, 99_000_000)])
    async with opened(tmp_path, storage=Storage(seal_s=0.1)) as outbox:
        await deliver(outbox, Lane.BULK)
        await outbox.put([telemetry(5.0, 5_000_000)])
        await asyncio.wait_for(outbox.wait_for_blocks(Lane.BULK), 5)
        (block,) = await outbox.peek(Lane.BULK, 1 << 20)
        header = decode_block(block).header
        assert header.inventory == INVENTORY.inventory_id
        (row,) = decode_columns(decode_block(block).body, header.items, header.base_ns)
        assert (row.series, row.value, row.mono_ns) == (2, 5.0, 5_000_000)


async def test_what_waited_long_becomes_several_blocks_in_order(tmp_path, monkeypatch):
    monkeypatch.setattr(sealers, "BLOCK_ROWS", 10)
    async with opened(tmp_path) as outbox:
        await outbox.put([telemetry(float(n), n * 1_000_000) for n in range(25)])
        await outbox.flush()
        blocks = [decode_block(block) for block in await outbox.peek(Lane.BULK, 1 << 20)]
        assert [block.header.items for block in blocks] == [10, 10, 5]
        of = [row for b in blocks for row in decode_columns(b.body, b.header.items, b.header.base_ns)]
        assert [row.value for row in of] == list(range(25))


async def test_a_full_bulk_gives_up_its_oldest_and_says_so_on_urgent(tmp_path):
    async with opened(tmp_path) as outbox:
        await deliver(outbox)
        sent = 0
        cloud = ReferenceStream(Lane.BULK)
        while not outbox.status(Lane.BULK).lost_items:
            # Values that do not compress.
            await outbox.put([telemetry(hash((n, 0.1)) * 1.1e-3, n * 1_000_003) for n in range(sent, sent + 19_000)])
            await outbox.flush()
            sent += 19_000
            await asyncio.sleep(0)
        await eventually(lambda: not outbox._bulk.file.undeclared)
        receipts = [r for r in (await pending(outbox)).records if isinstance(r, LossReceipt)]
        assert receipts[0].first == 1
        for receipt in receipts:
            cloud.cursor = cloud.cursor if cloud.cursor.epoch else Cursor(receipt.epoch, 0, 0)
            cloud.pass_over(receipt)
        for block in await outbox.peek(Lane.BULK, 1 << 30):
            cloud.take(block)
        assert len(cloud.items) + sum(receipt.items for receipt in receipts) == sent


@pytest.mark.parametrize("damage", [b"this is no database", b"SQLite format 3\0" + b"\xff" * 200])
async def test_a_damaged_file_is_moved_aside_and_declared(tmp_path, damage):
    """LESSONS 5: a damaged buffer file never stops the box."""
    async with opened(tmp_path) as outbox:
        await outbox.put([state("smoke", 5), telemetry(1.0, 5)])
    for name in ("urgent.db", "bulk.db"):
        (tmp_path / name).write_bytes(damage * 100)
    async with opened(tmp_path) as outbox:
        assert outbox.restored_states() == []
        receipts: list[LossReceipt] = []
        while len(receipts) < 2:
            await asyncio.sleep(0.01)
            receipts = [r for r in (await pending(outbox)).records if isinstance(r, LossReceipt)]
        assert {receipt.stream for receipt in receipts} == {Lane.URGENT, Lane.BULK}
        assert "moved aside" in receipts[0].reason
    assert len(list(tmp_path.glob("*.db.damaged-*"))) == 2


async def test_damage_found_while_running_is_survived(tmp_path):
    async with opened(tmp_path) as outbox:
        for n in range(200):
            await outbox.put([state("smoke", n)])
        worker = outbox._urgent.worker
        await worker.run(lambda file: file.db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall())
        await worker.run(lambda file: file.db.execute("PRAGMA shrink_memory"))
        data = bytearray((tmp_path / "urgent.db").read_bytes())
        with (tmp_path / "urgent.db").open("r+b") as file:
            file.seek(4096)
            file.write(b"\xa5" * (len(data) - 4096))
        await outbox.put([state("clear", 999)])
        await outbox.record(ConfigReport("1", "d", 1))
        records = (await pending(outbox)).records
        assert records[0] == INVENTORY
        assert any(isinstance(r, LossReceipt) for r in records)
    assert list(tmp_path.glob("urgent.db.damaged-*"))


async def test_states_do_not_wait_for_a_bulk_that_is_behind(tmp_path, monkeypatch):
    monkeypatch.setattr(sealers, "MAX_PENDING_ROWS", 10)
    async with opened(tmp_path) as outbox:
        await deliver(outbox)
        gate = threading.Event()
        stuck = asyncio.create_task(outbox._bulk.worker.run(lambda _: gate.wait(10)))
        put = asyncio.create_task(outbox.put([*(telemetry(1.0, n) for n in range(20)), state("smoke", 5)]))
        await asyncio.wait_for(outbox.wait_for_blocks(Lane.URGENT), 5)
        assert (await pending(outbox)).records == [StateRecord("smoke-1", "smoke", "smoke", Quality.GOOD, 5)]
        assert not put.done()
        gate.set()
        await asyncio.gather(stuck, put)


async def test_the_tail_is_on_disk_with_the_next_block_and_a_crash_before_repeats_what_the_cloud_knows(tmp_path):
    (tmp_path / "live").mkdir()
    async with opened(tmp_path / "live") as outbox:
        await outbox.put([state("smoke", 1)])
        cloud = await pending(outbox)
        assert await outbox.acknowledge(Lane.URGENT, cloud.cursor)
        assert outbox.status(Lane.URGENT).pending_blocks == 0
        shutil.copytree(tmp_path / "live", tmp_path / "before")
        await outbox.put([state("clear", 2)])
        shutil.copytree(tmp_path / "live", tmp_path / "after")
    for name, blocks in (("before", 2), ("after", 1)):
        async with opened(tmp_path / name) as outbox:
            assert outbox.status(Lane.URGENT).pending_blocks == blocks
            known = len(cloud.items)
            for block in await outbox.peek(Lane.URGENT, 1 << 20):
                cloud.take(block)
            assert [r.mono_ns for r in cloud.items[known:]] == ([] if name == "before" else [2])


async def test_the_tail_is_on_disk_in_time_without_a_block(tmp_path, monkeypatch):
    monkeypatch.setattr(outbox_module, "TEND_S", 0.02)
    (tmp_path / "live").mkdir()
    async with opened(tmp_path / "live") as outbox:
        await deliver(outbox)
        await eventually(lambda: not outbox._urgent.file.unsettled_bytes)
        shutil.copytree(tmp_path / "live", tmp_path / "killed")
    async with opened(tmp_path / "killed") as outbox:
        assert outbox.status(Lane.URGENT).pending_blocks == 0


async def test_a_backlog_that_is_delivered_leaves_the_disk_as_it_goes(tmp_path, monkeypatch):
    monkeypatch.setattr(outbox_module, "SETTLE_BYTES", 1000)
    async with opened(tmp_path) as outbox:
        await outbox.put([telemetry(hash((n, 0.1)) * 1.1e-3, n * 1_000_003) for n in range(5_000)])
        await outbox.flush()
        before = outbox.status(Lane.BULK).used_bytes
        await deliver(outbox, Lane.BULK)
        assert outbox.status(Lane.BULK).used_bytes < before - 20_000


async def test_reconcile_tells_agreement_from_a_restored_disk(tmp_path):
    async with opened(tmp_path) as outbox:
        for n in range(3):
            await outbox.put([state("smoke", n)])
        cloud = await pending(outbox)
        assert await outbox.reconcile(Lane.URGENT, Cursor(0, 0, 0)) is Standing.AGREES
        beyond = Cursor(cloud.cursor.epoch, cloud.cursor.number + 1, 7)
        assert await outbox.reconcile(Lane.URGENT, beyond) is Standing.DIVERGED
        other = Cursor(cloud.cursor.epoch, cloud.cursor.number, 7)
        assert await outbox.reconcile(Lane.URGENT, other) is Standing.DIVERGED
        assert await outbox.reconcile(Lane.URGENT, cloud.cursor) is Standing.AGREES
        assert outbox.acked(Lane.URGENT) == cloud.cursor
        # A cloud that lost what it had acknowledged cannot be brought there again.
        assert await outbox.reconcile(Lane.URGENT, Cursor(cloud.cursor.epoch, 1, 7)) is Standing.DIVERGED
        await outbox.open_epoch(Lane.URGENT)
        assert await outbox.reconcile(Lane.URGENT, cloud.cursor) is Standing.AGREES


async def test_boots_are_remembered_with_their_clocks(tmp_path):
    async with opened(tmp_path) as outbox:
        clock = ClockRecord(BOOT, 5, 1_700_000_000_000_000_000, 1_000_000, "session")
        await outbox.record(clock)
        sealed_ns = decode_block((await outbox.peek(Lane.URGENT, 1 << 20))[-1]).header.sealed_ns
    async with opened(tmp_path, boot=b"another boot now") as outbox:
        first, second = await outbox.boots()
        assert (first.boot, first.last_mono_ns, first.clock) == (BOOT, sealed_ns, clock)
        assert second.boot == b"another boot now"


async def test_an_oversized_batch_is_split_in_blocks(tmp_path):
    async with opened(tmp_path) as outbox:
        await deliver(outbox)
        text = "x" * 9_000
        records = [Event("smoke-1", "pressed", {"n": n, "text": text}, 1) for n in range(900)]
        await asyncio.gather(*(outbox.record(record) for record in records))
        blocks = await outbox.peek(Lane.URGENT, 1 << 30)
        assert [r.fields["n"] for b in blocks for r in decode_records(decode_block(b).body)] == list(range(900))


async def test_another_inventory_is_taken_up_while_running(tmp_path):
    """Each reading is counted by the inventory that its block names, also those that waited during the change."""
    (first,) = [s for s in INVENTORY.series if s.lane is Lane.BULK][:1]
    other = SeriesEntry("aaa-new", "temperature", Lane.BULK, 600.0)
    changed = InventoryRecord(INVENTORY.estate, INVENTORY.devices, (other, *INVENTORY.series))
    async with opened(tmp_path) as outbox:
        await outbox.put([telemetry(1.0, 5)])
        changing = asyncio.create_task(outbox.adopt(changed))
        await asyncio.sleep(0)
        await outbox.put([telemetry(2.0, 6)])
        await changing
        await outbox.put([telemetry(3.0, 7), Reading("aaa-new", "temperature", 4.0, Quality.GOOD, 8, Lane.BULK)])
        await outbox.flush()
        found = []
        for block in await outbox.peek(Lane.BULK, 1 << 30):
            whole = decode_block(block)
            series = {INVENTORY.inventory_id: INVENTORY, changed.inventory_id: changed}[whole.header.inventory].series
            found += [
                (series[row.series].device, row.value)
                for row in decode_columns(whole.body, whole.header.items, whole.header.base_ns)
            ]
        assert sorted(found, key=lambda row: row[1]) == [
            (first.device, 1.0), (first.device, 2.0), (first.device, 3.0), ("aaa-new", 4.0),
        ]  # fmt: skip
        announced = [r for r in (await pending(outbox)).records if isinstance(r, InventoryRecord)]
        assert announced == [INVENTORY, changed]
        assert await outbox.inventory(INVENTORY.inventory_id) == INVENTORY


async def test_telemetry_nobody_announced_takes_nothing_else_with_it(tmp_path):
    async with opened(tmp_path) as outbox:
        unknown = Reading("smoke-9", "temperature", 20.0, Quality.GOOD, 5, Lane.BULK)
        await outbox.put([unknown, state("smoke", 5), telemetry(21.0, 5)])
        await outbox.flush()
        assert [r.value for r in (await pending(outbox)).records if isinstance(r, StateRecord)] == ["smoke"]
        assert outbox.status(Lane.BULK).sealed_items == 1
