"""Where a stream's rows are: in a SQLite file, or in memory while the disk cannot be written."""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import msgspec
import structlog

from contract.kinds import Lane
from edge.disk import (
    PAGE_BYTES,
    connect,
    copy_into_memory,
    damage_said,
    into_memory,
    is_damaged,
    is_full,
    move_aside,
    used_bytes,
)
from edge.outbox.beside import SCHEMA, check_tables, keep_boot, keep_chain, keep_loss, load_chain, load_losses
from edge.outbox.chain import Chain, Loss, new_epoch
from edge.outbox.room import Room
from edge.outbox.wal import frames_found, proven_frames

log = structlog.get_logger(__name__)

MEMORY_BYTES: Final = 32 << 20
"""Most that a stream holds in memory."""
MAX_COPY_BYTES: Final = 2 * MEMORY_BYTES
"""A file above this is not taken into memory."""


class Store:
    """One stream's rows, its chain, and what changes together with it. Call from one thread only.

    `chain` may be ahead of the disk by what was acknowledged: the next commit brings that along (`settle`). A crash
    before it loses nothing: the blocks are sent again, and the cloud knows them (decision 4).
    """

    def __init__(self, path: Path, stream: Lane, *, quota_bytes: int, boot: bytes, room: Room) -> None:
        self.path, self.stream, self.room = path, stream, room
        self.chain = Chain(new_epoch())
        self.undeclared = False
        self.used_bytes = 0
        self.unsettled_bytes = 0
        """Of blocks that were delivered and are still on disk."""
        self.in_memory = ""
        """Why the stream is in memory; empty where it is on disk."""
        self._left_behind = False
        """While in memory: the file holds blocks that the memory does not."""
        self._disk_quota_bytes, self._boot = quota_bytes, boot
        self._connection: sqlite3.Connection | None = None

    @property
    def db(self) -> sqlite3.Connection:
        """The connection. Raises sqlite3.ProgrammingError, as SQLite does, where there is none."""
        if self._connection is None:
            raise sqlite3.ProgrammingError("the outbox file is not open")
        return self._connection

    @property
    def quota_bytes(self) -> int:
        """Most that this stream may hold where it is now."""
        return min(self._disk_quota_bytes, MEMORY_BYTES) if self.in_memory else self._disk_quota_bytes

    # Opening

    def open(self) -> None:
        """Opens the file, or begins a new one; a damaged one is moved aside and its loss noted.

        Where the disk lets none of that be written, what is on it is taken into memory: the box must poll and act.
        """
        try:
            try:
                self._open()
            except sqlite3.Error as e:
                if not (is_full(e) and self.room.release()):
                    raise
                self._open()
        except (sqlite3.Error, OSError) as e:
            self._say_memory(str(e))
            try:
                self._load(copy_into_memory(self.path, MAX_COPY_BYTES))
            except FileNotFoundError:  # the first start of this box
                self._load(into_memory(None))
            except (sqlite3.Error, OSError) as unreadable:
                self._begin_in_memory(str(unreadable))

    def _open(self) -> None:
        proven = proven_frames(self.path, PAGE_BYTES)
        try:
            db = connect(self.path)
            try:
                found = frames_found(db) if proven else None
            except BaseException:
                db.close()
                raise
            self._load(db)
        except sqlite3.Error as e:
            if not is_damaged(e):
                raise
            self.replace(str(e))
            return
        if found is not None and found < proven:
            log.error(
                "the write-ahead log was damaged: what was sealed last is lost",
                stream=self.stream,
                frames=proven - found,
            )
            self._note_unknown(f"{self.path.name}-wal was damaged: what was sealed last is lost")

    def _load(self, db: sqlite3.Connection) -> None:
        """Goes on with another database; on an error with the one before. Raises sqlite3.Error."""
        before = self._connection, self.chain, self.unsettled_bytes
        db.text_factory = bytes  # a damaged row may say that it is text, and be none
        try:
            with damage_said():
                for statement in filter(str.strip, SCHEMA.split(";\n")):
                    db.execute(statement)
                check_tables(db)
                chain = load_chain(db)
            self._connection, self.chain, self.unsettled_bytes = db, chain, 0
            if self.chain.boot != self._boot:  # a restart within one boot writes nothing: it must work on a full disk
                self._enter_boot()
            self.used_bytes = used_bytes(db)
            self.undeclared = bool(load_losses(db, self.stream))
        except BaseException:
            self._connection, self.chain, self.unsettled_bytes = before
            db.close()
            raise
        if before[0] is not None:
            before[0].close()

    def _enter_boot(self) -> None:
        """Notes how far the boot before came, and begins to count this one's times."""
        chain, db = self.chain, self.db
        with self.transaction():
            if chain.boot:
                keep_boot(db, chain.boot, last_mono_ns=chain.sealed_ns)
            keep_boot(db, self._boot)
            self.move(msgspec.structs.replace(chain, boot=self._boot, sealed_ns=0))

    def replace(self, problem: str) -> Path | None:
        """Moves this file aside as damaged and begins an empty one in a new epoch; what it held is noted as lost.

        Where it is now. Raises sqlite3.Error and OSError where the disk does not let it (see `leave_disk`).
        """
        self.close()
        if self.in_memory:
            self._begin_in_memory(problem)
            return None
        aside = move_aside(self.path)
        log.error("outbox file was damaged and moved aside; the box goes on with a new one",
                  file=str(self.path), moved_to=aside.name, problem=problem)  # fmt: skip
        self._load(connect(self.path))
        self._note_unknown(f"{self.path.name} was damaged, moved aside as {aside.name}")
        return aside

    def close(self) -> None:
        """Closes the file, if it is open; all that was committed is in it."""
        if self._connection is not None:
            db, self._connection = self._connection, None
            db.close()

    # In memory

    def leave_disk(self, problem: str) -> bool:
        """Goes on in memory, with all that can be read, until the disk can be written again (see `return_to_disk`).

        What is on disk is then old. When it is opened after a crash it is as a restored disk: a new epoch, and the
        cloud knows what it has. False where more waits on disk than the memory may hold.
        """
        if self.in_memory:
            return True
        chain, unsettled, large = self.chain, self.unsettled_bytes, self._is_large()
        if large and chain.pending and self._connection is not None:
            return False
        self._say_memory(problem)
        try:
            self._load(into_memory(None if large else self.db))
        except sqlite3.Error as e:
            self._begin_in_memory(str(e))
            return True
        if not large:
            self.chain, self.unsettled_bytes = chain, unsettled
        return True

    def return_to_disk(self) -> bool:
        """Puts everything back on disk, in one commit, once there is room; True when that is done."""
        if not self.in_memory:
            return False
        spare = self.room.spare_bytes()
        if spare is not None and spare < 2 * self.used_bytes:  # once in the log, once in the file
            return False
        if self._left_behind and (self.chain.pending or self.undeclared):
            return False  # what is in memory goes first; then the file is opened again
        chain, unsettled = self.chain, self.unsettled_bytes
        try:
            self._load(connect(self.path) if self._left_behind else self._written_back())
        except (sqlite3.Error, OSError) as e:
            log.info("the outbox stays in memory", stream=self.stream, problem=str(e))
            return False
        if not self._left_behind:
            self.chain, self.unsettled_bytes = chain, unsettled
        self.in_memory, self._left_behind = "", False
        log.info("the outbox is on disk again", stream=self.stream)
        return True

    def _written_back(self) -> sqlite3.Connection:
        """A connection to the file, which now holds what is in memory. A damaged one is moved aside first."""
        try:
            return self._write_back()
        except sqlite3.Error as e:
            if not is_damaged(e):
                raise
            move_aside(self.path)
            return self._write_back()

    def _write_back(self) -> sqlite3.Connection:
        disk = connect(self.path)
        try:
            self.db.backup(disk)
        except BaseException:
            disk.close()
            raise
        return disk

    def _is_large(self) -> bool:
        try:
            return self.path.stat().st_size > MAX_COPY_BYTES
        except OSError:
            return False

    def _say_memory(self, problem: str) -> None:
        self.in_memory = problem
        log.error(
            "the disk cannot be written: the outbox goes on in memory, and a power cut now loses what is not delivered",
            stream=self.stream, file=str(self.path), problem=problem, hint="make room on the disk, or replace it",
        )  # fmt: skip

    def _begin_in_memory(self, problem: str) -> None:
        """An empty stream in memory; what is on disk may be lost."""
        self._left_behind = True
        self._load(into_memory(None))
        self._note_unknown(f"{self.path.name} could not be used: {problem}")

    # Commits

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """One commit, on disk when it ends. What was delivered before is deleted with it."""
        before, db = self.chain, self.db
        db.execute("BEGIN IMMEDIATE")
        try:
            if self.unsettled_bytes:
                db.execute("DELETE FROM blocks WHERE seq <= ?", (self.chain.tail_seq,))
                self.move(self.chain)
            yield
            db.execute("COMMIT")
        except BaseException:
            self.chain = before
            if db.in_transaction:
                db.execute("ROLLBACK")
            raise
        self.unsettled_bytes = 0
        self.used_bytes = used_bytes(db)

    def settle(self) -> None:
        """Brings the disk to where the chain is."""
        if self.unsettled_bytes:
            with self.transaction():
                pass

    def empty_log(self) -> bool:
        """Puts the write-ahead log into the file and gives its room back; False where not even that is possible."""
        try:
            self.db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
        except sqlite3.Error:
            return False
        return True

    def move(self, chain: Chain) -> None:
        """The chain's new state, as part of the transaction."""
        keep_chain(self.db, chain)
        self.chain = chain

    def note(self, loss: Loss) -> None:
        """A loss that is to be declared, as part of the transaction."""
        keep_loss(self.db, loss)
        if self.stream is Lane.URGENT:
            self.forget_states()
        self.undeclared = True

    def forget_states(self) -> None:
        """Nobody knows what the cloud knows: the next start says every state anew. As part of the transaction."""
        self.db.execute("DELETE FROM states")

    def _note_unknown(self, reason: str) -> None:
        with self.transaction():
            self.note(Loss(self.stream, 0, 0, 0, 0, 0, reason))
