"""One stream's SQLite file: sealed blocks in a chain, and what must change together with them.

Rows are counted by `seq`, which never starts anew; a block's number in its chain follows from its distance to the tail.
So opening a new epoch changes one row and no block: blocks that were sealed for another place in a chain are given
their new head when they are handed out (`rechain_block`, which always gives the same bytes).
"""

import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, suppress
from operator import attrgetter
from pathlib import Path
from typing import Final

import msgspec
import structlog

from contract.block import Header, checksum_of, decode_block, encode_block, rechain_block, split_block
from contract.columns import Row, encode_columns
from contract.errors import BlockError
from contract.kinds import Lane
from contract.records import ClockRecord, InventoryRecord, Record, StateRecord, encode_records
from contract.session import Cursor
from edge.disk import DamagedError, DiskFullError
from edge.outbox.beside import (
    MAX_INT,
    as_count,
    keep_boot,
    keep_inventory,
    keep_states,
    load_boots,
    load_inventory,
    load_losses,
    load_states,
)
from edge.outbox.chain import Loss, new_epoch
from edge.outbox.room import Room
from edge.outbox.salvage import Salvage, salvage
from edge.outbox.store import Store
from edge.seams import BootTime

log = structlog.get_logger(__name__)

EVICT_PARTS: Final = 64
"""A full file gives up this fraction of what it may hold at once, so that losses are few and each is declared once."""
SHRINK_PAGES: Final = 64
"""So many free pages at a time are given back to a disk that is full."""
SETTLE_BYTES: Final = 4 << 20
"""Above this, delivered blocks are deleted without waiting for the next commit."""
DAY_NS: Final = 86_400_000_000_000
_MONO_NS: Final = attrgetter("mono_ns")


class StreamFile(Store):
    """The blocks of one stream on disk. Every method is one transaction; call from one thread only.

    Raises sqlite3.OperationalError when the disk is full or fails (nothing was changed then), DiskFullError where
    there is room, but not for this, and sqlite3.DatabaseError when the file is damaged (see `replace`).
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
        room: Room,
        keep_days: int = 0,
    ) -> None:
        """`keep_days`: blocks that are older go; 0 for never."""
        super().__init__(path, stream, quota_bytes=quota_bytes, boot=boot, room=room)
        self._inventory, self._inventory_id = inventory, inventory.inventory_id
        self._now_ns, self._keep_days = now_ns, keep_days
        self.sealed_bytes = 0
        """Of the blocks sealed in this run: what would be written if nothing had to be written beside them."""
        self._handed: dict[Cursor, None] = {}
        """The places of the blocks handed out last."""
        self._is_inventory_kept = False

    def _load(self, db: sqlite3.Connection) -> None:
        self._is_inventory_kept = False
        self._handed = {}
        super()._load(db)

    def replace(self, problem: str) -> Path | None:
        """As Store does it; what can still be read of the damaged file goes on in the new one."""
        aside = super().replace(problem)
        saved = salvage(aside, self.stream) if aside else Salvage()
        if saved.blocks or saved.boots:
            try:
                with self.transaction():
                    self._take_back(saved)
            except sqlite3.Error as e:
                log.warning("what was saved of the damaged file cannot be kept", stream=self.stream, problem=str(e))
        return aside

    def _take_back(self, saved: Salvage) -> None:
        chain, db = self.chain, self.db
        if saved.boots:
            db.execute("DELETE FROM boots")  # this one comes after them
            for known in saved.boots:
                keep_boot(db, known.boot, last_mono_ns=known.last_mono_ns)
                if known.clock is not None:
                    keep_boot(db, known.boot, clock=known.clock)
            keep_boot(db, self._boot)
        if not saved.blocks:
            return
        for seq, (header, block) in enumerate(saved.blocks, chain.head_seq + 1):
            self._insert(seq, header.items, block)
        sealed = max((header.sealed_ns for header, _ in saved.blocks if header.boot == self._boot), default=0)
        head = chain.head_seq + len(saved.blocks)
        self.move(
            msgspec.structs.replace(
                chain,
                head_seq=head,
                head_checksum=checksum_of(saved.blocks[-1][1]),
                sealed_ns=max(sealed, chain.sealed_ns),
            )
        )
        for inventory in saved.inventories:
            keep_inventory(db, inventory, self.chain)
        self._is_inventory_kept = False
        if self.stream is Lane.URGENT:
            self._announce_first()
        log.warning("blocks of the damaged file were saved", stream=self.stream, blocks=len(saved.blocks))

    # Sealing

    def append_records(self, records: Sequence[Record]) -> None:
        """Seals records as one urgent block, together with the last state of each series among them.

        The inventory goes first where this epoch has not carried it yet; without it and without records nothing is
        sealed. Raises BlockError when they do not fit into one block.
        """
        if self.chain.announced != self._inventory_id:
            records = [self._inventory, *records]
        if not records:
            return
        body = encode_records(records)
        self.make_room()
        with self.transaction():
            self._seal(body, len(records), inventory=0, base_ns=0)
            keep_states(self.db, self._boot, (record for record in records if isinstance(record, StateRecord)))
            for record in records:
                if isinstance(record, ClockRecord):
                    keep_boot(self.db, record.boot, clock=record)
            self.move(msgspec.structs.replace(self.chain, announced=self._inventory_id))

    def append_rows(self, rows: Sequence[Row]) -> None:
        """Seals readings, counted by this run's inventory, as one block.

        Raises BlockError above a block's size, and DiskFullError where bulk would take urgent's room.
        """
        base_ns = min(map(_MONO_NS, rows))
        body = encode_columns(rows, base_ns)
        self.make_room(len(body))
        if not self._is_inventory_kept:
            self.keep_inventory()
        with self.transaction():
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
        self.sealed_bytes += len(block)
        self.move(
            msgspec.structs.replace(
                chain, head_seq=chain.head_seq + 1, head_checksum=checksum_of(block), sealed_ns=sealed_ns
            )
        )

    def _insert(self, seq: int, items: int, block: bytes) -> None:
        checksum = checksum_of(block).to_bytes(8, "little")
        self.db.execute("INSERT INTO blocks VALUES (?, ?, ?, ?)", (seq, items, checksum, block))

    # Delivering

    def peek(self, max_bytes: int) -> list[bytes]:
        """The oldest blocks in the order of their chain, at least one if there is any, else up to `max_bytes`.

        A damaged block is given up, and its loss noted. What comes before a block that the disk does not read is
        handed out first.
        """
        while True:
            blocks: list[bytes] = []
            size = 0
            self._handed = {}
            try:
                for at, block in self._walk():
                    size += len(block)
                    if blocks and size > max_bytes:
                        break
                    blocks.append(block)
                    self._handed[at] = None
            except BlockError as e:
                if not blocks:
                    seq = self.chain.tail_seq + 1
                    log.error("a stored block is damaged and given up", stream=self.stream, problem=str(e))  # noqa: TRY400
                    self.give_up(seq, f"block was damaged on disk: {e}")
                    continue
            except sqlite3.Error:
                if not blocks:
                    raise
            return blocks

    def _walk(self) -> Iterator[tuple[Cursor, bytes]]:
        """Pending blocks in their place of the chain, oldest first. Raises BlockError at a damaged one."""
        at = self.chain.tail
        expected = self.chain.tail_seq
        rows = self.db.execute(
            "SELECT seq, CAST(bytes AS BLOB) FROM blocks WHERE seq > ? AND seq <= ? ORDER BY seq",
            (expected, self.chain.head_seq),
        )
        for seq, data in rows:
            expected += 1
            if seq != expected:
                raise BlockError("block is missing")
            data = data or b""  # damage may have made it NULL
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

    def acknowledge(self, cursor: Cursor) -> int | None:
        """Moves the tail over what was delivered; how many items that were.

        On disk with the next commit, which may be that of a seal, or with `settle`: of a crash in between comes a
        repeat, which the cloud knows. None when the cursor says nothing new, or nothing of this chain: also where the
        cloud has another block at that place, which another box brought it.
        """
        chain = self.chain
        if cursor.epoch != chain.epoch or not chain.tail_number < cursor.number <= chain.head_number:
            return None
        if cursor not in self._handed and self.checksum_at(cursor.number) != cursor.checksum:
            log.error("the cloud acknowledged a block that is not this box's", stream=self.stream, number=cursor.number)
            return None
        seq = chain.tail_seq + cursor.number - chain.tail_number
        items, size = self.db.execute(
            "SELECT total(items), total(length(bytes)) FROM blocks WHERE seq > ? AND seq <= ?", (chain.tail_seq, seq)
        ).fetchone()
        self.chain = msgspec.structs.replace(
            chain, tail_seq=seq, tail_number=cursor.number, tail_checksum=cursor.checksum
        )
        self.unsettled_bytes += max(1, as_count(size))
        return as_count(items)

    def open_epoch(self) -> None:
        """A new chain for all that is pending; on the urgent stream it begins with the inventory."""
        with self.transaction():
            self._begin_epoch()

    def _begin_epoch(self) -> None:
        self._handed = {}
        self.move(msgspec.structs.replace(self.chain, epoch=new_epoch(), tail_number=0, tail_checksum=0, announced=0))
        if self.stream is Lane.URGENT:
            self.forget_states()
            self._announce_first()

    def _announce_first(self) -> None:
        """The inventory before all that is pending, so that a cloud that knows nothing can make sense of the rest."""
        chain, body = self.chain, encode_records([self._inventory])
        oldest = self.db.execute(
            "SELECT CAST(bytes AS BLOB) FROM blocks WHERE seq = ?", (chain.tail_seq + 1,)
        ).fetchone()
        try:
            found = decode_block(oldest[0] or b"") if oldest else None
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
        self.move(msgspec.structs.replace(chain, announced=self._inventory_id))

    # Giving up

    def make_room(self, body_bytes: int = 0) -> None:
        """Gives up the oldest blocks until a body of so many bytes fits the quota, and the room that urgent leaves.

        Bulk alone gives way to the disk. Raises DiskFullError where that is in vain.
        """
        # A block is written twice: to the write-ahead log, and from there to its place.
        need = 2 * body_bytes
        if self.used_bytes + need > self._limit_bytes():
            self.settle()
        while self.used_bytes + need > (limit := self._limit_bytes()):
            if not self.chain.pending:
                break
            self.give_up_oldest(max(limit // EVICT_PARTS, self.used_bytes + need - limit), "storage was full")
        if self.stream is Lane.BULK:
            self._shrink()
            if self.used_bytes + need > self._limit_bytes():
                raise DiskFullError("the disk has no room for bulk: what is left is kept for urgent")

    def _limit_bytes(self) -> int:
        """Most that the file may hold now: its quota, and for bulk no more than leaves urgent's room free."""
        spare = self.room.spare_bytes() if self.stream is Lane.BULK and not self.in_memory else None
        if spare is None:
            return self.quota_bytes
        return max(0, min(self.quota_bytes, self.path.stat().st_size + spare))

    def _shrink(self) -> None:
        """Gives free pages back to the disk while urgent's room is not all there."""
        while not self.in_memory and (self.room.spare_bytes() or 0) < 0:
            if not self.db.execute("PRAGMA freelist_count").fetchone()[0]:
                return
            size = self.path.stat().st_size
            checkpoint = "PRAGMA wal_checkpoint(TRUNCATE);"
            # As a script: that runs each statement to its end, which `execute` does not do where no rows come.
            self.db.executescript(f"{checkpoint} PRAGMA incremental_vacuum({SHRINK_PAGES}); {checkpoint}")
            if self.path.stat().st_size >= size:
                return

    def give_way(self) -> None:
        """Frees room on a full disk, at the cost of the oldest blocks where it must be."""
        if self.in_memory:
            return
        if self.stream is Lane.BULK:
            with suppress(DiskFullError):
                self.make_room()
        elif self.chain.pending:
            self.give_up_oldest(self.used_bytes // EVICT_PARTS, "the disk was full")

    def tend(self) -> None:
        """What is done from time to time: the tail goes to disk, bulk makes room, the stream leaves the memory."""
        self.return_to_disk()
        self.settle()
        if self.stream is Lane.BULK:
            self.expire()
            self.give_way()
        self.room.restore()

    def expire(self) -> None:
        """Gives up what waited for more days than it may, while the box ran: a clock that was set wrong costs nothing.

        Somewhat more goes at once, so that losses are few and each is declared once.
        """
        limit_ns = self._keep_days * DAY_NS
        if not limit_ns or not self.chain.pending:
            return
        ran_ns = self._now_ns()
        since = {self._boot: ran_ns}
        for known in reversed(self.boots()[:-1]):
            ran_ns += known.last_mono_ns
            since[known.boot] = ran_ns
        last = None
        for seq, header in self._headers():
            age_ns = since.get(header.boot, ran_ns + header.sealed_ns) - header.sealed_ns
            if age_ns <= (limit_ns if last is None else limit_ns - limit_ns // EVICT_PARTS):
                break
            last = seq
        if last is not None:
            reason = f"older than {self._keep_days} days"
            log.warning("the oldest blocks were given up", stream=self.stream, reason=reason)
            self.give_up(last, reason)

    def _headers(self) -> Iterator[tuple[int, Header]]:
        """Pending rows up to the first that is damaged."""
        rows = self.db.execute(
            "SELECT seq, CAST(bytes AS BLOB) FROM blocks WHERE seq > ? ORDER BY seq", (self.chain.tail_seq,)
        )
        with suppress(BlockError), closing(rows):
            for seq, data in rows:
                yield seq, split_block(data or b"")[0]

    def give_up_oldest(self, size: int, reason: str) -> None:
        """Gives up the oldest blocks, of so many bytes or a little more."""
        freed, last = 0, None
        rows = self.db.execute(
            "SELECT seq, length(bytes) FROM blocks WHERE seq > ? ORDER BY seq", (self.chain.tail_seq,)
        )
        for seq, length in rows:
            freed, last = freed + (length or 0), seq
            if freed >= size:
                break
        rows.close()
        if last is None:
            raise DamagedError("blocks that should be there are not")
        log.warning("the oldest blocks were given up", stream=self.stream, bytes=freed, reason=reason)
        self.give_up(last, reason)

    def give_up_unreadable(self, problem: str) -> None:
        """Gives up the oldest block, which the disk does not read; where that fails too, the whole file."""
        if not self.chain.pending:
            return
        try:
            self.give_up(self.chain.tail_seq + 1, problem)
        except sqlite3.Error as e:
            raise DamagedError(f"a block cannot be read nor deleted: {e}") from e

    def give_up(self, last_seq: int, reason: str) -> None:
        """Gives up all blocks up to a row and notes the loss.

        Bulk's chain goes on after it. Urgent begins a new one: the cloud learns of losses from the urgent stream, which
        cannot bring it past a gap of its own.
        """
        chain = self.chain
        self._handed = {}
        with self.transaction():
            items, checksum = self.db.execute(
                "SELECT total(items), (SELECT CAST(checksum AS BLOB) FROM blocks WHERE seq = :last)"
                " FROM blocks WHERE seq <= :last",
                {"last": last_seq},
            ).fetchone()
            after = int.from_bytes((checksum or b"")[:8], "little") & MAX_INT
            last_number = chain.tail_number + last_seq - chain.tail_seq
            self.db.execute("DELETE FROM blocks WHERE seq <= ?", (last_seq,))
            first, lost = chain.tail_number + 1, as_count(items)
            self.note(Loss(self.stream, chain.epoch, first, last_number, after, lost, reason))
            self.move(msgspec.structs.replace(chain, tail_seq=last_seq, tail_number=last_number, tail_checksum=after))
            if self.stream is Lane.URGENT:
                self._begin_epoch()

    def losses(self) -> list[tuple[int, Loss]]:
        """Losses not yet declared, by their id."""
        return load_losses(self.db, self.stream)

    def declared(self, loss_id: int) -> None:
        """Forgets a loss that is now a record on the urgent stream."""
        with self.transaction():
            self.db.execute("DELETE FROM losses WHERE id = ?", (loss_id,))
        self.undeclared = bool(self.losses())

    # What is kept beside the blocks

    def states(self) -> list[StateRecord]:
        """The last state of each series. Times of another boot mean nothing in this one and are 0."""
        return load_states(self.db, self._boot, self._now_ns())

    def keep_inventory(self) -> None:
        """Keeps this run's inventory beside the bulk blocks that name it, so that it can be sent again.

        One that pending blocks name stays; where those would be too many, the oldest blocks go.
        """
        self._is_inventory_kept = True
        counts_now = self.db.execute("SELECT id FROM inventories WHERE last_seq IS NULL").fetchone()
        if counts_now == (self._inventory_id,) and load_inventory(self.db, self._inventory_id) is not None:
            return
        self._is_inventory_kept = False
        with self.transaction():
            last = keep_inventory(self.db, self._inventory, self.chain)
        self._is_inventory_kept = True
        if last is not None:
            self.give_up(last, "the site file was changed too often for what waits")

    def adopt(self, inventory: InventoryRecord) -> None:
        """From the next block on, readings are counted by this inventory."""
        self._inventory, self._inventory_id = inventory, inventory.inventory_id
        self._is_inventory_kept = False

    def inventory(self, inventory_id: int) -> InventoryRecord | None:
        """A kept inventory, or None."""
        if inventory_id == self._inventory_id:
            return self._inventory
        return load_inventory(self.db, inventory_id)

    def boots(self) -> list[BootTime]:
        """The boots this box remembers, in their order; the last is this one."""
        return load_boots(self.db, self._boot)
