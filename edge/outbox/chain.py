"""Where a stream stands, and what the box remembers beside it. Plain data."""

import secrets
from typing import Annotated, Final

import msgspec

from contract.kinds import Lane
from contract.session import Cursor

_MAX: Final = 2**63 - 1
Number = Annotated[int, msgspec.Meta(ge=0, le=_MAX)]
Seq = Annotated[int, msgspec.Meta(ge=-(2**62), le=2**62)]
"""A row's place in the file; an inventory that is put before all others may bring it below 0."""


class Chain(msgspec.Struct, frozen=True):
    """Where a stream stands: its epoch; the tail (all up to it was delivered or given up); the head (sealed last).

    `announced` is the inventory that this epoch has carried (urgent only).
    """

    epoch: Annotated[int, msgspec.Meta(ge=1, le=_MAX)]
    tail_seq: Seq = 0
    tail_number: Number = 0
    tail_checksum: Number = 0
    head_seq: Seq = 0
    head_checksum: Number = 0
    boot: bytes = b""
    sealed_ns: Number = 0
    announced: Number = 0

    @property
    def tail(self) -> Cursor:
        """The last block that is no longer here."""
        return Cursor(self.epoch, self.tail_number, self.tail_checksum)

    @property
    def pending(self) -> int:
        """How many blocks wait to be delivered."""
        return self.head_seq - self.tail_seq

    @property
    def head_number(self) -> int:
        """The number of the block sealed last."""
        return self.tail_number + self.pending


class Loss(msgspec.Struct, frozen=True):
    """Blocks `first`..`last` of an epoch that were given up, not yet declared on the urgent stream.

    Numbers are 0 where what was lost had not become a block, or can no longer be read.
    """

    stream: Lane
    epoch: Number
    first: Number
    last: Number
    checksum: Number
    items: Number
    reason: str


def new_epoch() -> int:
    """A random epoch of 63 bits, never 0."""
    return secrets.randbits(63) | 1
