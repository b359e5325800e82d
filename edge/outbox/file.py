"""One stream's SQLite file: sealed blocks in a chain, and what must change together with them.

Rows are counted by `seq`, which never starts anew; a block's number in its chain follows from its distance to the tail.
So opening a new epoch changes one row and no block: blocks that were sealed for another place in a chain are given
their new head when they are handed out (`rechain_block`, which always gives the same bytes).
"""

import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import msgspec
import structlog

from contract.block import (
    Header,
    Row,
    checksum_of,
    decode_block,
    encode_block,
    encode_columns,
    rechain_block,
    split_block,
)
from contract.errors import BlockError
from contract.kinds import Lane
from contract.records import ClockRecord, InventoryRecord, Record, StateRecord, encode_records
from contract.session import Cursor
from edge.disk import connect, move_aside, used_bytes
from edge.outbox.chain import Chain, Loss, new_epoch
from edge.seams import BootTime

log = structlog.get_logger(__name__)

EVICT_PARTS: Final = 64
"""A full file gives up this fraction of its quota at once, so that losses are few and each is declared once."""
KEEP_INVENTORIES: Final = 32
KEEP_BOOTS: Final = 64

_SCHEMA = """
CREATE TABLE IF NOT EXISTS chain (id INTEGER PRIMARY KEY CHECK (id = 0), json BLOB NOT NULL);
CREATE TABLE IF NOT EXISTS blocks (
    seq INTEGER PRIMARY KEY, items INTEGER NOT NULL, checksum BLOB NOT NULL, bytes BLOB NOT NULL
);
CREATE TABLE IF NOT EXISTS losses (id INTEGER PRIMARY KEY, json BLOB NOT NULL);
CREATE TABLE IF NOT EXISTS states (
    device TEXT NOT NULL, point TEXT NOT NULL, boot BLOB NOT NULL, record BLOB NOT NULL, PRIMARY KEY (device, point)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS inventories (rank INTEGER PRIMARY KEY, id INTEGER NOT NULL UNIQUE, record BLOB NOT NULL);
CREATE TABLE IF NOT EXISTS boots (
    rank INTEGER PRIMARY KEY, boot BLOB NOT NULL UNIQUE, last_mono_ns INTEGER NOT NULL, clock BLOB
);
"""


class StreamFile:
    """The blocks of one stream on disk. Every method is one transaction; call from one thread only.

    Raises sqlite3.OperationalError when the disk is full or fails (nothing was changed then), and
    sqlite3.DatabaseError when the file is damaged (see `replace`).
    """

    def __init__(
        self,
        path: Path,
        stream: Lane,
        *,
        quota_bytes: int,
        boot: bytes,
        inventory: InventoryRecord,
        now_ns: Callable[[], int],
    ) -> None:
        self.path, self.stream, self.quota_bytes = path, stream, quota_bytes
        self.chain = Chain(0)
        self.undeclared = False
        self._inventory, self._inventory_id = inventory, inventory.inventory_id
        self._boot, self._now_ns = boot, now_ns
        self._db: sqlite3.Connection

    def open(self) -> None:
        """Opens the file, or begins a new one. A damaged one is moved aside and its loss noted."""
        try:
            self._open()
        except sqlite3.OperationalError:
            raise
        except (sqlite3.DatabaseError, msgspec.DecodeError) as e:
            self.replace(f"{e}")

    def _open(self) -> None:
        self._db = connect(self.path)
        try:
            for statement in filter(str.strip, _SCHEMA.split(";\n")):
                self._db.execute(statement)
            row = self._db.execute("SELECT json FROM chain").fetchone()
            chain = msgspec.json.decode(row[0], type=Chain) if row else Chain(new_epoch())
            self.chain = chain
            if chain.boot != self._boot:  # a restart within one boot writes nothing: it must work on a full disk
                self._enter_boot()
            self.used_bytes = used_bytes(self._db)
            self.undeclared = self._db.execute("SELECT EXISTS (SELECT 1 FROM losses)").fetchone()[0] == 1
        except BaseException:
            self._db.close()
            raise

    def _enter_boot(self) -> None:
        """Notes how far the boot before came, and begins to count this one's times."""
        chain = self.chain
        with self._transaction():
            if chain.boot:
                self._db.execute("UPDATE boots SET last_mono_ns = ? WHERE boot = ?", (chain.sealed_ns, chain.boot))
            self._db.execute("INSERT OR IGNORE INTO boots (boot, last_mono_ns) VALUES (?, 0)", (self._boot,))
            self._db.execute("DELETE FROM boots WHERE rank <= (SELECT max(rank) FROM boots) - ?", (KEEP_BOOTS,))
            self._move(msgspec.structs.replace(chain, boot=self._boot, sealed_ns=0))

    def replace(self, problem: str) -> None:
        """Moves this file aside as damaged and begins an empty one in a new epoch; what it held is noted as lost."""
        if hasattr(self, "_db"):
            self._db.close()
        aside = move_aside(self.path)
        log.error("outbox file was damaged and moved aside; the box goes on with a new one",
                  file=str(self.path), moved_to=aside.name, problem=problem)  # fmt: skip
        self._open()
        with self._transaction():
            self._note(Loss(self.stream, 0, 0, 0, 0, 0, f"{self.path.name} was damaged, moved aside as {aside.name}"))

    def close(self) -> None:
        """Closes the file; all that was committed is in it."""
        self._db.close()

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        before = self.chain
        self._db.execute("BEGIN IMMEDIATE")
        try:
            yield
            self._db.execute("COMMIT")
        except BaseException:
            self.chain = before
            if self._db.in_transaction:
                self._db.execute("ROLLBACK")
            raise
        self.used_bytes = used_bytes(self._db)

    def _move(self, chain: Chain) -> None:
        """The chain's new state, as part of the transaction."""
        self._db.execute("INSERT OR REPLACE INTO chain VALUES (0, ?)", (msgspec.json.encode(chain),))
        self.chain = chain

    # Sealing

    def append_records(self, records: Sequence[Record]) -> None:
        """Seals records as one urgent block, together with the last state of each series among them.

        The inventory goes first where this epoch has not carried it yet; without it and without records nothing is
        sealed. Raises BlockError when they do not fit into one block.
        """
        self.make_room()
        if self.chain.announced != self._inventory_id:
            records = [self._inventory, *records]
        if not records:
            return
        body = encode_records(records)
        with self._transaction():
            self._seal(body, len(records), inventory=0, base_ns=0)
            self._db.executemany(
                "INSERT OR REPLACE INTO states VALUES (?, ?, ?, ?)",
                [
                    (record.device, record.point, self._boot, msgspec.msgpack.encode(record))
                    for record in records
                    if isinstance(record, StateRecord)
                ],
            )
            for record in records:
                if isinstance(record, ClockRecord):
                    self._db.execute(
                        "UPDATE boots SET clock = ? WHERE boot = ?", (msgspec.msgpack.encode(record), record.boot)
                    )
            self._move(msgspec.structs.replace(self.chain, announced=self._inventory_id))

    def append_rows(self, rows: Sequence[Row]) -> None:
        """Seals readings, counted by this run's inventory, as one block. Raises BlockError above a block's size."""
        base_ns = min(row.mono_ns for row in rows)
        body = encode_columns(rows, base_ns)
        self.make_room()
        with self._transaction():
            self._seal(body, len(rows), inventory=self._inventory_id, base_ns=base_ns)

    def _seal(self, body: bytes, items: int, *, inventory: int, base_ns: int) -> None:
        chain = self.chain
        sealed_ns = max(self._now_ns(), chain.sealed_ns + 1)
        header = Header(
            stream=self.stream,
            epoch=chain.epoch,
            number=chain.head_number + 1,
            previous=chain.head_checksum if chain.pending else chain.tail_checksum,
            boot=self._boot,
            inventory=inventory,
            base_ns=base_ns,
            sealed_ns=sealed_ns,
            items=items,
        )
        block = encode_block(header, body)
        self._insert(chain.head_seq + 1, items, block)
        self._move(
            msgspec.structs.replace(
                chain, head_seq=chain.head_seq + 1, head_checksum=checksum_of(block), sealed_ns=sealed_ns
            )
        )

    def _insert(self, seq: int, items: int, block: bytes) -> None:
        checksum = checksum_of(block).to_bytes(8, "little")
        self._db.execute("INSERT INTO blocks VALUES (?, ?, ?, ?)", (seq, items, checksum, block))

    # Delivering

    def peek(self, max_bytes: int) -> list[bytes]:
        """The oldest blocks in the order of their chain, at least one if there is any, else up to `max_bytes`.

        A damaged block is given up, and its loss noted.
        """
        while True:
            blocks: list[bytes] = []
            size = 0
            try:
                for _, block in self._walk():
                    size += len(block)
                    if blocks and size > max_bytes:
                        break
                    blocks.append(block)
            except BlockError as e:
                if not blocks:
                    seq = self.chain.tail_seq + 1
                    log.exception("a stored block is damaged and given up", stream=self.stream)
                    self.give_up(seq, f"block was damaged on disk: {e}")
                    continue
            return blocks

    def _walk(self) -> Iterator[tuple[Cursor, bytes]]:
        """Pending blocks in their place of the chain, oldest first. Raises BlockError at a damaged one."""
        at = self.chain.tail
        expected = self.chain.tail_seq
        rows = self._db.execute("SELECT seq, CAST(bytes AS BLOB) FROM blocks WHERE seq > ? ORDER BY seq", (expected,))
        for seq, data in rows:
            expected += 1
            if seq != expected:
                raise BlockError("block is missing")
            header, _, _ = split_block(data)
            if (header.epoch, header.number, header.previous) != (at.epoch, at.number + 1, at.checksum):
                data = rechain_block(data, at.epoch, at.number + 1, at.checksum)
            at = Cursor(at.epoch, at.number + 1, checksum_of(data))
            yield at, data
        if expected != self.chain.head_seq:
            raise BlockError("block is missing")

    def checksum_at(self, number: int) -> int | None:
        """The checksum of a block of this epoch by its number; None when it is not (or no longer) here."""
        if number == self.chain.tail_number:
            return self.chain.tail_checksum
        if not self.chain.tail_number < number <= self.chain.head_number:
            return None
        try:
            return next((at.checksum for at, _ in self._walk() if at.number == number), None)
        except BlockError:
            return None

    def acknowledge(self, cursor: Cursor) -> int:
        """Deletes what was delivered and moves the tail; how many items that were.

        0 when the cursor says nothing new, or nothing of this chain.
        """
        chain = self.chain
        if cursor.epoch != chain.epoch or not chain.tail_number < cursor.number <= chain.head_number:
            return 0
        seq = chain.tail_seq + cursor.number - chain.tail_number
        with self._transaction():
            (items,) = self._db.execute("SELECT coalesce(sum(items), 0) FROM blocks WHERE seq <= ?", (seq,)).fetchone()
            self._db.execute("DELETE FROM blocks WHERE seq <= ?", (seq,))
            self._move(
                msgspec.structs.replace(chain, tail_seq=seq, tail_number=cursor.number, tail_checksum=cursor.checksum)
            )
        return int(items)

    def open_epoch(self) -> None:
        """A new chain for all that is pending; on the urgent stream it begins with the inventory."""
        with self._transaction():
            self._begin_epoch()

    def _begin_epoch(self) -> None:
        self._move(msgspec.structs.replace(self.chain, epoch=new_epoch(), tail_number=0, tail_checksum=0, announced=0))
        if self.stream is Lane.URGENT:
            self._announce_first()

    def _announce_first(self) -> None:
        """The inventory before all that is pending, so that a cloud that knows nothing can make sense of the rest."""
        chain, body = self.chain, encode_records([self._inventory])
        oldest = self._db.execute(
            "SELECT CAST(bytes AS BLOB) FROM blocks WHERE seq = ?", (chain.tail_seq + 1,)
        ).fetchone()
        try:
            found = decode_block(oldest[0]) if oldest else None
        except BlockError:
            found = None
        if found is None:
            return  # nothing pending (or nothing sound): the next block that is sealed begins with it
        if found.body != body:
            # Sealed just before the oldest, as far as anyone can tell: the cloud knows repeats by their order.
            header = msgspec.structs.replace(
                found.header, epoch=chain.epoch, number=1, previous=0, sealed_ns=found.header.sealed_ns - 1, items=1
            )
            self._insert(chain.tail_seq, 1, encode_block(header, body))
            chain = msgspec.structs.replace(chain, tail_seq=chain.tail_seq - 1)
        self._move(msgspec.structs.replace(chain, announced=self._inventory_id))

    # Giving up

    def make_room(self) -> None:
        """While the file is above its quota, gives up its oldest blocks, a part of the quota at a time."""
        while self.used_bytes > self.quota_bytes and self.chain.pending:
            size, last = 0, 0
            rows = self._db.execute("SELECT seq, length(bytes) FROM blocks ORDER BY seq")
            for seq, length in rows:
                size, last = size + length, seq
                if size >= self.quota_bytes // EVICT_PARTS:
                    break
            rows.close()
            if not last:
                return
            log.warning("outbox is full: its oldest blocks were given up", stream=self.stream, bytes=size)
            self.give_up(last, "storage was full")

    def give_up(self, last_seq: int, reason: str) -> None:
        """Gives up all blocks up to a row and notes the loss.

        Bulk's chain goes on after it. Urgent begins a new one: the cloud learns of losses from the urgent stream, which
        cannot bring it past a gap of its own.
        """
        chain = self.chain
        with self._transaction():
            items, checksum = self._db.execute(
                "SELECT coalesce(sum(items), 0), (SELECT CAST(checksum AS BLOB) FROM blocks WHERE seq = :last)"
                " FROM blocks WHERE seq <= :last",
                {"last": last_seq},
            ).fetchone()
            after = int.from_bytes(checksum or b"", "little")
            last_number = chain.tail_number + last_seq - chain.tail_seq
            self._db.execute("DELETE FROM blocks WHERE seq <= ?", (last_seq,))
            self._note(Loss(self.stream, chain.epoch, chain.tail_number + 1, last_number, after, items, reason))
            self._move(msgspec.structs.replace(chain, tail_seq=last_seq, tail_number=last_number, tail_checksum=after))
            if self.stream is Lane.URGENT:
                self._begin_epoch()

    def _note(self, loss: Loss) -> None:
        self._db.execute("INSERT INTO losses (json) VALUES (?)", (msgspec.json.encode(loss),))
        self.undeclared = True

    def losses(self) -> list[tuple[int, Loss]]:
        """Losses not yet declared, by their id."""
        rows = self._db.execute("SELECT id, json FROM losses ORDER BY id").fetchall()
        return [(number, msgspec.json.decode(text, type=Loss)) for number, text in rows]

    def declared(self, loss_id: int) -> None:
        """Forgets a loss that is now a record on the urgent stream."""
        with self._transaction():
            self._db.execute("DELETE FROM losses WHERE id = ?", (loss_id,))
        self.undeclared = bool(self.losses())

    # What is kept beside the blocks

    def states(self) -> list[StateRecord]:
        """The last state of each series. Times of another boot mean nothing in this one and are 0."""
        decoder, states = msgspec.msgpack.Decoder(StateRecord), []
        for boot, data in self._db.execute("SELECT boot, record FROM states"):
            try:
                state = decoder.decode(data)
            except msgspec.DecodeError:
                continue  # damaged on disk: as if never seen, so it will be reported anew
            states.append(state if boot == self._boot else msgspec.structs.replace(state, mono_ns=0))
        return states

    def keep_inventory(self) -> None:
        """Keeps this run's inventory beside the bulk blocks that name it, so that it can be sent again."""
        if self.inventory(self._inventory_id) is not None:
            return
        with self._transaction():
            self._db.execute(
                "INSERT OR REPLACE INTO inventories (id, record) VALUES (?, ?)",
                (self._inventory_id, msgspec.msgpack.encode(self._inventory)),
            )
            self._db.execute(
                "DELETE FROM inventories WHERE rank <= (SELECT max(rank) FROM inventories) - ?", (KEEP_INVENTORIES,)
            )

    def inventory(self, inventory_id: int) -> InventoryRecord | None:
        """A kept inventory, or None."""
        row = self._db.execute("SELECT record FROM inventories WHERE id = ?", (inventory_id,)).fetchone()
        return msgspec.msgpack.decode(row[0], type=InventoryRecord) if row else None

    def boots(self) -> list[BootTime]:
        """The boots this box remembers, in their order; the last is this one."""
        return [
            BootTime(boot, last, msgspec.msgpack.decode(clock, type=ClockRecord) if clock else None)
            for boot, last, clock in self._db.execute("SELECT boot, last_mono_ns, clock FROM boots ORDER BY rank")
        ]
