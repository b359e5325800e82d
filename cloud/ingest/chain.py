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

from contract.block import Header, checksum_of, inflate, split_block
from contract.errors import BlockError
from contract.session import Cursor, RefusalReason


class Incoming(msgspec.Struct, frozen=True):
    """A block as it came: sound on the wire, but its body may make no sense (`body` None, `problem` says why)."""

    raw: bytes
    header: Header
    checksum: int
    body: bytes | None
    problem: str = ""

    def sound_body(self) -> bytes:
        """The body. Raises BlockError where it makes no sense."""
        if self.body is None:
            raise BlockError(self.problem)
        return self.body


def read_block(raw: bytes) -> Incoming:
    """A block whose checksum holds. Raises BlockError when it was damaged on the way, so that it is sent again."""
    header, body_bytes, packed = split_block(raw)
    try:
        return Incoming(raw, header, checksum_of(raw), inflate(body_bytes, packed))
    except BlockError as e:
        return Incoming(raw, header, checksum_of(raw), None, str(e))


class Walk(msgspec.Struct, frozen=True):
    """What becomes of a request's blocks: how many lead up to `taken`, what is taken, and why the rest is not."""

    repeats: int
    taken: tuple[Incoming, ...]
    cursor: Cursor
    refused: str | None


def walk(cursor: Cursor, blocks: Sequence[Incoming], known_epochs: frozenset[int]) -> Walk:
    """Goes along the blocks from the cursor as far as they continue it.

    `known_epochs` holds those of the blocks' epochs that the gateway has used before.
    """
    repeats = 0
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
        if refused:
            break
        taken.append(block)
        cursor = Cursor(head.epoch, head.number, block.checksum)
    return Walk(repeats, tuple(taken), cursor, refused)
