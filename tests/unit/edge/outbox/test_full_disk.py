"""A full disk: bulk never takes urgent's room, everything can still be delivered, and the box starts (LESSONS 4)."""

import asyncio
import random
import sqlite3

import pytest

from contract.block import decode_block
from contract.columns import decode_columns
from contract.kinds import Lane
from contract.messages import Event
from contract.records import ConfigReport, LossReceipt, StateRecord
from contract.session import Cursor
from contract.site import Storage
from edge.outbox import Outbox, sealers
from edge.outbox import outbox as outbox_module
from edge.outbox import stream as stream_module
from tests.support.reference_stream import ReferenceStream
from tests.support.waiting import eventually
from tests.unit.edge.outbox.examples import BOOT, INVENTORY, state, telemetry
from tests.unit.edge.outbox.small_disk import saying_disk, small_disk  # noqa: F401  # fixtures

STORAGE = Storage(seal_s=600, urgent_mb=256, bulk_mb=2048)
_random = random.Random(1)
NOISE = [telemetry(_random.random(), n * 1_000_003) for n in range(19_000)]
"""Some 170 kB that do not compress."""


@pytest.fixture
def disk(small_disk, monkeypatch):  # noqa: F811
    monkeypatch.setattr(outbox_module, "TEND_S", 0.05)
    monkeypatch.setattr(sealers, "RETRY_S", 0.02)
    monkeypatch.setattr(stream_module, "MEMORY_AFTER_NS", 200_000_000)
    return small_disk


def opened(disk, boot=BOOT):
    return Outbox.open(disk.state, boot=boot, storage=STORAGE, inventory=INVENTORY, measure=disk.measure)


async def fill_with_bulk(outbox):
    """Puts more than the disk holds; how many readings."""
    sent = 0
    while not outbox.status(Lane.BULK).lost_items:
        await outbox.put(NOISE)
        await outbox.flush()
        sent += len(NOISE)
    return sent


async def deliver(outbox, stream):
    """All that is pending, and what is said of losses, acknowledged as it comes."""
    items = []
    await eventually(lambda: not outbox._bulk.file.undeclared)
    while outbox.status(stream).pending_blocks:
        blocks = await outbox.peek(stream, 1 << 30)
        first = decode_block(blocks[0]).header
        reference = ReferenceStream(stream, Cursor(first.epoch, first.number - 1, first.previous))
        for block in blocks:
            reference.take(block)
        assert await outbox.acknowledge(stream, reference.cursor)
        items += reference.items
    return items


def states(items):
    return [item.value for item in items if isinstance(item, StateRecord)]


async def settled(outbox):
    for stream in (outbox._urgent, outbox._bulk):
        await stream.worker.run(lambda file: file.settle())


async def test_bulk_fills_the_disk_and_leaves_urgent_its_room(disk):
    async with opened(disk) as outbox:
        sent = await fill_with_bulk(outbox)
        await outbox.put([telemetry(0.5, 20_000_000_000)])
        await outbox.flush()
        for n in range(50):
            await outbox.put([state("smoke" if n % 2 else "clear", n)])
        assert not outbox.status(Lane.URGENT).failing
        assert not outbox.status(Lane.BULK).failing
        assert disk.measure(disk.folder)[1] >= 1 << 20
        urgent = await deliver(outbox, Lane.URGENT)
        assert len(states(urgent)) == 50
        receipts = [r for r in urgent if isinstance(r, LossReceipt)]
        rows = await deliver(outbox, Lane.BULK)
        await settled(outbox)
        # The oldest went and are declared; the newest is here.
        assert receipts[0].first == 1
        assert sum(r.items for r in receipts) + len(rows) == sent + 1
        assert rows[-1].value == 0.5


async def test_something_else_fills_the_disk_and_bulk_gives_way(disk):
    async with opened(disk) as outbox:
        for _ in range(40):
            await outbox.put(NOISE)
            await outbox.flush()
        await deliver(outbox, Lane.URGENT)
        disk.fill()
        await asyncio.wait_for(outbox.put([state("smoke", 5)]), 5)
        assert not outbox.status(Lane.URGENT).failing
        assert (outbox.restored_states(), states(await deliver(outbox, Lane.URGENT))) == ([], ["smoke"])
        await eventually(lambda: outbox.status(Lane.BULK).pending_blocks < 40)
        assert outbox.status(Lane.BULK).pending_blocks > 0
        # Urgent has its whole share, though nothing was free.
        for n in range(40):
            event = Event("smoke-1", "pressed", {"n": n, "text": _random.randbytes(32_000).hex()}, 1)
            await asyncio.wait_for(outbox.record(event), 5)
            assert not outbox.status(Lane.URGENT).failing
            assert not outbox._urgent.file.in_memory
        events = [r for r in await deliver(outbox, Lane.URGENT) if isinstance(r, Event)]
        assert [r.fields["n"] for r in events] == list(range(40))
        await deliver(outbox, Lane.BULK)
        await settled(outbox)
        disk.free()
        await eventually((disk.state / "ballast").exists)
        await outbox.put(NOISE)
        await outbox.flush()
        assert not outbox.status(Lane.BULK).failing


async def test_on_a_full_disk_delivering_needs_no_room_but_the_ballast(disk):
    async with opened(disk) as outbox:
        await eventually((disk.state / "ballast").exists)
        await outbox.put([*NOISE, state("smoke", 1)])
        await outbox.flush()
        for stream in (outbox._urgent, outbox._bulk):  # nobody looks after the disk meanwhile
            stream.file.room.reserve_bytes = 0
        disk.fill()
        for stream in Lane:
            await deliver(outbox, stream)
        await settled(outbox)
        assert outbox._urgent.file.unsettled_bytes == outbox._bulk.file.unsettled_bytes == 0


async def test_a_box_starts_on_a_full_disk_by_its_ballast(disk):
    async with opened(disk) as outbox:
        await outbox.put([state("smoke", 1), *NOISE])
        await eventually((disk.state / "ballast").exists)
    disk.fill()
    async with opened(disk, boot=b"another boot now") as outbox:
        assert [s.value for s in outbox.restored_states()] == ["smoke"]
        assert not outbox.status(Lane.URGENT).failing
        await outbox.put([state("clear", 2)])
        assert states(await deliver(outbox, Lane.URGENT)) == ["smoke", "clear"]


async def test_without_ballast_it_starts_in_memory_and_returns_to_disk_when_there_is_room(disk):
    async with opened(disk) as outbox:
        await outbox.put([state("smoke", 1)])
        await eventually((disk.state / "ballast").exists)
    (disk.state / "ballast").unlink()
    disk.fill()
    async with opened(disk, boot=b"another boot now") as outbox:
        assert [s.value for s in outbox.restored_states()] == ["smoke"]
        assert "memory only" in outbox.status(Lane.URGENT).failing
        await outbox.put([state("clear", 2), telemetry(1.0, 2)])
        await outbox.flush()
        assert states(await deliver(outbox, Lane.URGENT)) == ["smoke", "clear"]
        assert len(await deliver(outbox, Lane.BULK)) == 1
        await outbox.put([state("smoke", 3)])
        epoch = outbox.head(Lane.URGENT).epoch
        disk.free()
        await eventually(lambda: not outbox.status(Lane.URGENT).failing)
        await outbox.put([state("clear", 4)])
    async with opened(disk, boot=b"another boot now") as outbox:
        assert [(s.value, s.mono_ns) for s in outbox.restored_states()] == [("clear", 4)]
        assert outbox.head(Lane.URGENT).epoch == epoch
        assert states(await deliver(outbox, Lane.URGENT)) == ["smoke", "clear"]


async def test_the_first_start_of_a_box_may_be_on_a_full_disk(disk):
    disk.fill()
    async with opened(disk) as outbox:
        await outbox.put([state("smoke", 1)])
        assert states(await deliver(outbox, Lane.URGENT)) == ["smoke"]
        assert outbox.status(Lane.URGENT).lost_items == 0


async def test_an_alarm_may_have_the_ballast_where_bulk_has_nothing_to_give(disk, monkeypatch):
    monkeypatch.setattr(stream_module, "MEMORY_AFTER_NS", 1 << 62)
    async with opened(disk) as outbox:
        await deliver(outbox, Lane.URGENT)
        await eventually((disk.state / "ballast").exists)
        disk.fill()
        for n in range(200):
            await asyncio.wait_for(outbox.put([state("smoke", n)]), 1)
        assert not outbox.status(Lane.URGENT).failing
        assert not outbox._urgent.file.in_memory
        assert len(states(await deliver(outbox, Lane.URGENT))) == 200


async def test_a_disk_that_stays_full_lets_alarms_leave_from_memory(disk):
    async with opened(disk) as outbox:
        await deliver(outbox, Lane.URGENT)
        await eventually((disk.state / "ballast").exists)
        outbox._urgent.file.room.release()
        disk.fill()
        for _ in range(5):
            outbox._urgent.file.room.release()
            disk.fill()
            await outbox.put([state("smoke", 5), state("online", 6, "link")])
        await asyncio.wait_for(outbox.wait_for_blocks(Lane.URGENT), 5)
        found = states(await deliver(outbox, Lane.URGENT))
        assert {"smoke", "online"} <= set(found)


async def test_while_nothing_can_be_written_the_box_polls_on_and_nothing_is_lost(saying_disk, monkeypatch):  # noqa: F811
    monkeypatch.setattr(sealers, "RETRY_S", 0.02)
    async with opened(saying_disk) as outbox:
        await deliver(outbox, Lane.URGENT)
        saying_disk.refuses = sqlite3.SQLITE_FULL
        for n in range(3):
            await asyncio.wait_for(outbox.put([state("smoke", n)]), 1)
        assert outbox.status(Lane.URGENT).failing
        waiting = asyncio.create_task(outbox.record(ConfigReport("1", "d", 1)))
        await asyncio.sleep(0.1)
        assert not waiting.done()
        saying_disk.refuses = 0
        await asyncio.wait_for(waiting, 5)
        assert not outbox.status(Lane.URGENT).failing
        records = await deliver(outbox, Lane.URGENT)
        assert [r.mono_ns for r in records if isinstance(r, StateRecord)] == [0, 1, 2]


async def test_a_disk_that_became_read_only_lets_the_box_start_in_memory(small_disk):  # noqa: F811
    async with opened(small_disk) as outbox:
        await outbox.put([state("smoke", 1)])
    with small_disk.read_only():
        async with opened(small_disk, boot=b"another boot now") as outbox:
            assert [s.value for s in outbox.restored_states()] == ["smoke"]
            assert "memory only" in outbox.status(Lane.URGENT).failing
            await outbox.put([state("clear", 2)])
            assert states(await deliver(outbox, Lane.URGENT)) == ["smoke", "clear"]


async def test_readings_dropped_for_want_of_disk_are_declared_while_it_lasts(disk, monkeypatch):
    monkeypatch.setattr(sealers, "MAX_PENDING_ROWS", 100)
    monkeypatch.setattr(stream_module, "MEMORY_AFTER_NS", 1 << 62)
    async with opened(disk) as outbox:
        await deliver(outbox, Lane.URGENT)
        outbox._bulk.file.room.reserve_bytes = 1 << 40  # no room for bulk at all
        for n in range(5):
            await outbox.put([telemetry(float(m), m) for m in range(n * 90, n * 90 + 90)])
            await outbox.flush()
        await eventually(lambda: outbox.status(Lane.BULK).lost_items == 350)
        assert outbox.status(Lane.BULK).failing
        receipts = [r for r in await deliver(outbox, Lane.URGENT) if isinstance(r, LossReceipt)]
        assert sum(r.items for r in receipts) == 350
        assert {(r.stream, r.epoch, r.first, r.last) for r in receipts} == {(Lane.BULK, 0, 0, 0)}
        outbox._bulk.file.room.reserve_bytes = 0
        await outbox.flush()
        blocks = [decode_block(block) for block in await outbox.peek(Lane.BULK, 1 << 20)]
        rows = [row for b in blocks for row in decode_columns(b.body, b.header.items, b.header.base_ns)]
        assert [row.value for row in rows] == [float(n) for n in range(350, 450)]
