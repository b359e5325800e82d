"""The cloud's side of a stream, as BLOCK.md and the uplink's rules say it, for tests to judge by. In memory."""

from dataclasses import dataclass, field

from contract.block import Block, checksum_of, decode_block
from contract.columns import decode_columns
from contract.kinds import Lane
from contract.records import LossReceipt, Record, decode_records
from contract.session import NO_CURSOR, Cursor, RefusalReason


class Refused(Exception):  # noqa: N818  # the protocol's word
    """The block was refused, for one of RefusalReason."""


@dataclass
class ReferenceStream:
    """What the cloud keeps of one stream of one gateway: a cursor, closed epochs, sealed_ns by boot, and the items."""

    stream: Lane
    cursor: Cursor = NO_CURSOR
    closed: set[int] = field(default_factory=set)
    sealed: dict[bytes, int] = field(default_factory=dict)
    items: list[object] = field(default_factory=list)
    blocks: list[Block] = field(default_factory=list)

    def take(self, data: bytes) -> None:
        """Commits one block, or ignores a repeat. Raises Refused and BlockError."""
        block = decode_block(data)
        header, at = block.header, self.cursor
        assert header.stream is self.stream
        if header.epoch == at.epoch:
            if header.number <= at.number:
                if header.number == at.number and block.checksum != at.checksum:
                    raise Refused(RefusalReason.FORK)
                return
            if header.number > at.number + 1:
                raise Refused(RefusalReason.GAP)
            if header.previous != at.checksum:
                raise Refused(RefusalReason.FORK)
        elif header.epoch in self.closed:
            raise Refused(RefusalReason.CLOSED_EPOCH)
        elif header.number != 1 or header.previous != 0:
            raise Refused(RefusalReason.GAP)
        else:
            self.closed.add(at.epoch)
        self.cursor = Cursor(header.epoch, header.number, checksum_of(data))
        if header.sealed_ns <= self.sealed.get(header.boot, -1):
            return  # known from an earlier epoch
        self.sealed[header.boot] = header.sealed_ns
        self.blocks.append(block)
        self.items.extend(self.decode(block))

    def decode(self, block: Block) -> list[object]:
        if self.stream is Lane.URGENT:
            return list(decode_records(block.body))
        return list(decode_columns(block.body, block.header.items, block.header.base_ns))

    def pass_over(self, receipt: LossReceipt) -> None:
        """Moves the cursor over what a receipt gives up."""
        at = self.cursor
        if receipt.epoch != at.epoch and receipt.epoch not in self.closed and receipt.first == 1:
            self.closed.add(at.epoch)
            at = self.cursor = Cursor(receipt.epoch, 0, 0)
        if receipt.epoch == at.epoch and receipt.first <= at.number + 1 <= receipt.last:
            self.cursor = Cursor(receipt.epoch, receipt.last, receipt.checksum)

    @property
    def records(self) -> list[Record]:
        return self.items  # type: ignore[return-value]
