"""Damage of every kind is survived: it is said, declared where something was lost, and the box goes on (LESSONS 5)."""

import errno
import sqlite3

import pytest

from contract.block import decode_block
from contract.kinds import Lane
from contract.messages import Quality
from contract.records import ClockRecord, LossReceipt, StateRecord
from contract.session import Cursor
from contract.site import Storage
from edge.outbox import Outbox, store
from edge.outbox import outbox as outbox_module
from edge.outbox.beside import sealed
from tests.support.reference_stream import ReferenceStream
from tests.support.waiting import eventually
from tests.unit.edge.outbox.examples import BOOT, INVENTORY, state, telemetry

NESTED = f"x'{'91' * 20_000}'"
"""Lists within lists, deeper than a decoder goes."""
STORAGE = Storage(seal_s=600, urgent_mb=8, bulk_mb=8)


def opened(folder, boot=BOOT):
    return Outbox.open(folder, boot=boot, storage=STORAGE, inventory=INVENTORY)


async def filled(folder):
    """A state folder that holds something of everything."""
    async with opened(folder) as outbox:
        await outbox.record(ClockRecord(BOOT, 5, 1_800_000_000_000_000_000, 1_000_000, "session"))
        for n in range(3):
            await outbox.put([state("smoke", n), telemetry(float(n), n)])
            await outbox.flush()
    for name in ("urgent", "bulk"):
        sql(folder / f"{name}.db", "INSERT INTO losses (sealed) VALUES (7)")


def sql(path, statement):
    with sqlite3.connect(path) as db:
        db.execute(statement)
    db.close()


async def all_of(outbox, stream):
    """What the cloud takes of a stream, until nothing is pending."""
    items = []
    while outbox.status(stream).pending_blocks:
        blocks = await outbox.peek(stream, 1 << 20)
        if blocks:
            first = decode_block(blocks[0]).header
            cloud = ReferenceStream(stream, Cursor(first.epoch, first.number - 1, first.previous))
            for block in blocks:
                cloud.take(block)
            await outbox.acknowledge(stream, cloud.cursor)
            items += cloud.items
    return items


@pytest.mark.parametrize("wrong", ["7", "NULL", "x'00'", "x'c1ff'", "CAST(x'ff' AS TEXT)", "1e300", "'x'", NESTED])
@pytest.mark.parametrize(
    "column",
    ["boots.boot", "boots.sealed", "losses.sealed", "inventories.record", "inventories.last_seq", "states.sealed",
     "states.boot", "blocks.items", "blocks.checksum", "blocks.bytes", "chain.sealed"],
)  # fmt: skip
async def test_a_row_of_a_wrong_type_does_not_end_the_box(tmp_path, column, wrong):
    await filled(tmp_path)
    table, _, name = column.partition(".")
    for stream in Lane:
        path = tmp_path / f"{stream}.db"
        if wrong == "NULL":  # which the schema forbids, and damage does not ask
            with sqlite3.connect(path) as db:
                db.execute("PRAGMA writable_schema = ON")
                db.execute("UPDATE sqlite_schema SET sql = replace(sql, ' NOT NULL', '')")
            db.close()
        key = {"boots": "rank", "losses": "id", "inventories": "rank", "blocks": "seq"}.get(table, "1")
        sql(path, f"UPDATE {table} SET {name} = {wrong} WHERE {key} = (SELECT max({key}) FROM {table})")
    async with opened(tmp_path, boot=b"another boot now") as outbox:
        assert (await outbox.boots())[-1].boot == b"another boot now"
        await outbox.put([state("clear", 9), telemetry(9.0, 9)])
        await outbox.flush()
        await outbox.inventory(INVENTORY.inventory_id)
        bulk = await all_of(outbox, Lane.BULK)
        await eventually(lambda: not (outbox._urgent.file.undeclared or outbox._bulk.file.undeclared))
        urgent = await all_of(outbox, Lane.URGENT)
    assert StateRecord("smoke-1", "smoke", "clear", Quality.GOOD, 9) in urgent
    assert bulk[-1].value == 9.0
    assert any(isinstance(r, LossReceipt) for r in urgent)
    # Another start finds everything sound; after an urgent block was lost it says every state anew.
    async with opened(tmp_path, boot=b"a third boot now") as outbox:
        assert [s.value for s in outbox.restored_states()] == ([] if column == "blocks.bytes" else ["clear"])


async def test_a_state_that_came_under_another_name_does_not_hide_the_true_one(tmp_path):
    await filled(tmp_path)
    sql(tmp_path / "urgent.db", "UPDATE states SET point = 'a'")
    async with opened(tmp_path) as outbox:
        assert outbox.restored_states() == []
        await outbox.put([state("clear", 9)])
    async with opened(tmp_path) as outbox:
        assert [s.value for s in outbox.restored_states()] == ["clear"]


async def test_a_file_with_other_tables_is_moved_aside(tmp_path):
    """Also one of an older version, or where damage hit the name of a column."""
    await filled(tmp_path)
    sql(tmp_path / "urgent.db", "ALTER TABLE blocks RENAME COLUMN items TO itemz")
    async with opened(tmp_path) as outbox:
        await outbox.put([state("clear", 9)])
        await eventually(lambda: not outbox._urgent.file.undeclared)
        assert any("moved aside" in r.reason for r in await all_of(outbox, Lane.URGENT) if isinstance(r, LossReceipt))


async def test_a_name_that_is_no_text_any_more_is_damage_too(tmp_path):
    """SQLite names it in its error, and Python cannot say that."""
    await filled(tmp_path)
    path = tmp_path / "urgent.db"
    path.write_bytes(
        path.read_bytes().replace(b"tablelosses", b"table\xecosses").replace(b"TABLE losses", b"TABLF losses")
    )
    async with opened(tmp_path) as outbox:
        await outbox.put([state("clear", 9)])
        await eventually(lambda: not outbox._urgent.file.undeclared)
        assert any("moved aside" in r.reason for r in await all_of(outbox, Lane.URGENT) if isinstance(r, LossReceipt))


@pytest.mark.parametrize(
    "change",
    ["'$.epoch', 0", "'$.epoch', 1e300", "'$.head_seq', -1", "'$.head_seq', 1000", "'$.tail_seq', 1",
     "'$.tail_number', -1", "'$.sealed_ns', -5", "'$.boot', 'AAAA'", "'$.tail_checksum', 18446744073709551616"],
)  # fmt: skip
async def test_a_chain_that_cannot_be_is_moved_aside_and_declared(tmp_path, change):
    await filled(tmp_path)
    for stream in Lane:
        with sqlite3.connect(tmp_path / f"{stream}.db") as db:
            ((row,),) = db.execute("SELECT sealed FROM chain").fetchall()
            ((text,),) = db.execute(f"SELECT json_set(?, {change})", (row[8:].decode(),)).fetchall()
            db.execute("UPDATE chain SET sealed = ?", (sealed(text.encode()),))
        db.close()
    async with opened(tmp_path) as outbox:
        await outbox.put([state("clear", 9)])
        await eventually(lambda: not (outbox._urgent.file.undeclared or outbox._bulk.file.undeclared))
        receipts = [r for r in await all_of(outbox, Lane.URGENT) if isinstance(r, LossReceipt)]
    assert {r.stream for r in receipts if "moved aside" in r.reason} == {Lane.URGENT, Lane.BULK}
    assert len(list(tmp_path.glob("*.damaged-*"))) == 2


async def test_only_the_newest_damaged_files_are_kept(tmp_path):
    for _ in range(4):
        (tmp_path / "bulk.db").write_bytes(b"no database" * 100)
        async with opened(tmp_path):
            pass
    assert len(list(tmp_path.glob("bulk.db.damaged-*"))) == 2


async def test_where_a_damaged_file_cannot_be_replaced_the_box_goes_on_in_memory(tmp_path, monkeypatch):
    """A dying card becomes read-only: it can neither be read nor written."""

    def refuses(path):
        raise OSError(errno.EROFS, "Read-only file system")

    async with opened(tmp_path) as outbox:
        await outbox.put([state("smoke", 1)])
        monkeypatch.setattr(store, "move_aside", refuses)

        def damaged(_):
            if not outbox._urgent.file.in_memory:
                error = sqlite3.DatabaseError("database disk image is malformed")
                error.sqlite_errorcode = sqlite3.SQLITE_CORRUPT
                raise error
            return "done"

        assert await outbox._urgent.worker.run(damaged) == "done"
        await outbox.put([state("clear", 2)])
        await eventually(lambda: not outbox._urgent.file.undeclared)
        records = await all_of(outbox, Lane.URGENT)
        assert records[0] == INVENTORY
        assert StateRecord("smoke-1", "smoke", "clear", Quality.GOOD, 2) in records
        assert any(isinstance(r, LossReceipt) for r in records)
        assert "memory only" in outbox.status(Lane.URGENT).failing


async def test_where_even_the_new_file_fails_it_is_an_error_of_the_disk(tmp_path):
    async with opened(tmp_path) as outbox:
        calls = []

        def fails(_):
            calls.append(len(calls))
            error = sqlite3.OperationalError("disk I/O error")
            error.sqlite_errorcode = sqlite3.SQLITE_IOERR if len(calls) > 1 else sqlite3.SQLITE_CORRUPT
            raise error

        with pytest.raises(outbox_module.DiskError, match="disk I/O error"):
            await outbox._bulk.worker.run(fails)
        assert calls == [0, 1]


async def test_a_block_that_stays_unreadable_is_given_up_and_what_comes_before_it_is_delivered(tmp_path, monkeypatch):
    monkeypatch.setattr(outbox_module, "UNREADABLE_TRIES", 3)
    async with opened(tmp_path) as outbox:
        for n in range(3):
            await outbox.put([telemetry(float(n), n)])
            await outbox.flush()
        file, walk, bad = outbox._bulk.file, outbox._bulk.file._walk, outbox._bulk.file.chain.tail_seq + 2

        def walk_over_bad_sector():
            for seq, block in enumerate(walk(), file.chain.tail_seq + 1):
                if seq == bad:
                    raise sqlite3.OperationalError("disk I/O error")
                yield block

        monkeypatch.setattr(file, "_walk", walk_over_bad_sector)
        cloud = ReferenceStream(Lane.BULK)
        for block in await outbox.peek(Lane.BULK, 1 << 20):
            cloud.take(block)
        assert [row.value for row in cloud.items] == [0.0]
        await outbox.acknowledge(Lane.BULK, cloud.cursor)
        for _ in range(2):
            with pytest.raises(outbox_module.DiskError):
                await outbox.peek(Lane.BULK, 1 << 20)
        assert await outbox.peek(Lane.BULK, 1 << 20) == []
        (last,) = await outbox.peek(Lane.BULK, 1 << 20)
        await eventually(lambda: not outbox._bulk.file.undeclared)
        receipts = [r for r in await all_of(outbox, Lane.URGENT) if isinstance(r, LossReceipt)]
        assert [(r.stream, r.first, r.last, r.items) for r in receipts] == [(Lane.BULK, 2, 2, 1)]
        cloud.pass_over(receipts[0])
        cloud.take(last)
        assert [row.value for row in cloud.items] == [0.0, 2.0]


@pytest.mark.parametrize("stream", list(Lane))
async def test_what_can_be_read_of_a_damaged_file_is_delivered(tmp_path, stream):
    """Its blocks are each whole or not: one page that is not takes nothing with it but what lay on it."""
    async with opened(tmp_path) as outbox:
        await outbox.record(ClockRecord(BOOT, 5, 1_800_000_000_000_000_000, 1_000_000, "session"))
        for n in range(60):
            await outbox.put([state(str(n), n), telemetry(float(n), n)])
            await outbox.flush()
    path = tmp_path / f"{stream}.db"
    with sqlite3.connect(path) as db:
        page_bytes = db.execute("PRAGMA page_size").fetchone()[0]
        leaves = db.execute(
            "SELECT pageno FROM dbstat WHERE name = 'blocks' AND pagetype = 'leaf' ORDER BY path"
        ).fetchall()
    db.close()
    assert len(leaves) > 4
    with path.open("r+b") as file:
        file.seek((leaves[len(leaves) // 2][0] - 1) * page_bytes)
        file.write(b"\xa5" * page_bytes)
    async with opened(tmp_path, boot=b"another boot now") as outbox:
        await outbox.put([state("clear", 99), telemetry(99.0, 99)])
        await outbox.flush()
        items = await all_of(outbox, stream)
        await eventually(lambda: not (outbox._urgent.file.undeclared or outbox._bulk.file.undeclared))
        urgent = items if stream is Lane.URGENT else []
        urgent += await all_of(outbox, Lane.URGENT)
        known = {boot.boot: boot.clock for boot in await outbox.boots()}
    found = (
        [i.value for i in items if isinstance(i, StateRecord)] if stream is Lane.URGENT else [i.value for i in items]
    )
    numbers = [int(value) for value in found if value not in {"clear", 99.0}]
    assert numbers == sorted(set(numbers))
    assert numbers[0] == 0
    assert numbers[-1] == 59
    assert 40 < len(numbers) < 60
    assert [(r.stream, "moved aside" in r.reason) for r in urgent if isinstance(r, LossReceipt)] == [(stream, True)]
    assert known[BOOT] is not None
