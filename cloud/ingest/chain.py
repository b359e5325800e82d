"""Decides what of a request's blocks continues a stream (ARCHITECTURE.md, decision 4). Pure.

The rules, for a cursor (epoch, number, checksum) and the next block:
  same epoch, number at or before the cursor   a repeat: ignored (at the cursor its checksum must match, else a fork)
  same epoch, the next number                  taken when its predecessor is the cursor's checksum, else a fork
  same epoch, a later number                   a gap
  an epoch never seen, number 1                taken; the old epoch is closed
  an epoch seen before                         closed: another box, or an earlier life of the disk, went on
  any other                                    a gap
"""

from collections.abc import Sequence

import msgspec

from contract.block import CHECKSUM_BYTES, HEADER, Header, checksum_of, inflate, split_block
from contract.kinds import Lane
from contract.session import Cursor, RefusalReason

MAX_TAKEN_BYTES = 12 << 20
"""What a request's blocks may become in memory; what is beyond waits for the next request."""
READING_BYTES = 4 + 8 + 8 + 1
"""A reading in memory. A few bytes of body may be 100,000 readings that are all alike."""
RECORD_BYTES = 2 << 10
BLOCK_BYTES = 4 << 10
"""What a record and a block count for at least: each may be a statement of its own, for which others wait."""


class Incoming(msgspec.Struct, frozen=True):
    """A block as it came: sound on the wire. Its body is decompressed only when it is taken, and may make no sense."""

    raw: bytes
    header: Header
    checksum: int
    body_bytes: int

    @property
    def size(self) -> int:
        """Bytes that it becomes in memory, about; or as many as take that long."""
        item_bytes = READING_BYTES if self.header.stream is Lane.BULK else RECORD_BYTES
        return max(BLOCK_BYTES, self.body_bytes, self.header.items * item_bytes)

    def body(self) -> bytes:
        """The decompressed body. Raises BlockError where it makes no sense."""
        return inflate(self.body_bytes, self.raw[HEADER.size : -CHECKSUM_BYTES])


def read_block(raw: bytes) -> Incoming:
    """A block whose checksum holds. Raises BlockError when it was damaged on the way, so that it is sent again."""
    header, body_bytes, _ = split_block(raw)
    return Incoming(raw, header, checksum_of(raw), body_bytes)


class Walk(msgspec.Struct, frozen=True):
    """What becomes of a request's blocks: how many lead up to `taken`, what is taken, and why the next is not."""

    repeats: int
    taken: tuple[Incoming, ...]
    cursor: Cursor
    refused: str | None


def walk(cursor: Cursor, blocks: Sequence[Incoming], known_epochs: frozenset[int]) -> Walk:
    """Goes along the blocks from the cursor as far as they continue it, up to MAX_TAKEN_BYTES.

    `known_epochs` holds those of the blocks' epochs that the gateway has used before.
    """
    repeats = size = 0
    taken: list[Incoming] = []
    opens_epoch = False
    refused = None
    for block in blocks:
        head = block.header
        if head.epoch == cursor.epoch and head.number <= cursor.number:
            if head.number == cursor.number and block.checksum != cursor.checksum:
                refused = RefusalReason.FORK
                break
            repeats += 1
            continue
        if head.epoch == cursor.epoch:
            if head.number != cursor.number + 1:
                refused = RefusalReason.GAP
            elif head.previous != cursor.checksum:
                refused = RefusalReason.FORK
        elif head.epoch in known_epochs:
            refused = RefusalReason.CLOSED_EPOCH
        elif opens_epoch or head.number != 1 or head.previous != 0:
            refused = RefusalReason.GAP
        else:
            opens_epoch = True
        size += block.size
        if refused or (taken and size > MAX_TAKEN_BYTES):
            break
        taken.append(block)
        cursor = Cursor(head.epoch, head.number, block.checksum)
    return Walk(repeats, tuple(taken), cursor, refused)
