"""What the stages of the box hand each other besides contract's messages.

No stage imports another: what one needs of its neighbours, or tells of itself, is said here; edge/main.py joins them.
"""

from enum import StrEnum
from typing import Protocol

import msgspec

from contract.kinds import Lane
from contract.records import ClockRecord, InventoryRecord, Record
from contract.session import Cursor


class Standing(StrEnum):
    """How a stream stands against the cloud's cursor."""

    AGREES = "agrees"
    """What is pending continues the cloud's chain (what the cloud had already was acknowledged)."""
    BEHIND = "behind"
    """The cloud is before our tail, or in an older epoch: receipts on the urgent stream may still bring it there."""
    DIVERGED = "diverged"
    """The cloud goes on elsewhere: a restored disk, a restored cloud, or a second box. A new epoch must be opened."""


class StreamStatus(msgspec.Struct, frozen=True):
    """A stream in numbers, since this run began; `used_bytes` as of the last block sealed or acknowledged.

    `stalled_since_ns`: since when its disk has not answered (monotonic), 0 where it does.
    """

    pending_blocks: int
    waiting_items: int
    used_bytes: int
    quota_bytes: int
    sealed_blocks: int
    sealed_items: int
    sealed_bytes: int
    delivered_blocks: int
    delivered_items: int
    lost_items: int
    failing: str
    stalled_since_ns: int = 0


class BootTime(msgspec.Struct, frozen=True):
    """A boot this box remembers: the last monotonic time seen in it, and its clock record if it ever got one."""

    boot: bytes
    last_mono_ns: int
    clock: ClockRecord | None


class UplinkStatus(msgspec.Struct, frozen=True):
    """How the uplink is: connected or not, since when (monotonic), and what was in the way last.

    `is_bulk_held`: telemetry waits, because the rest of the month's data budget is kept for what is urgent. Bytes of
    the wire have all headers in them, and count since this run began; those of the month both ways; a budget of 0 is
    none.
    """

    connected: bool
    since_ns: int
    problem: str = ""
    sent_blocks: int = 0
    sent_bytes: int = 0
    quarantined: int = 0
    sessions: int = 0
    is_bulk_held: bool = False
    wire_sent_bytes: int = 0
    wire_received_bytes: int = 0
    month_bytes: int = 0
    budget_bytes: int = 0


class CounterState(msgspec.Struct, frozen=True):
    """What a counter must keep over a restart: the raw count seen last, and what is added for all that came before."""

    last: int | float
    carried: int | float


class Backlog(Protocol):
    """What the uplink needs of the outbox: blocks to send, and what the cloud's answers do to them.

    Every coroutine raises DiskError (edge/disk.py) where the disk is full or fails: trouble of that stream alone.
    """

    async def peek(self, stream: Lane, max_bytes: int) -> list[bytes]:
        """The oldest blocks not yet acknowledged, consecutive, up to `max_bytes`, at least one if there is any."""

    async def acknowledge(self, stream: Lane, cursor: Cursor) -> bool:
        """Lets delivered blocks go; False when the cursor says nothing new of this epoch."""

    async def reconcile(self, stream: Lane, cursor: Cursor) -> Standing:
        """Compares the cloud's cursor with our chain, and acknowledges what the cloud turns out to have."""

    async def open_epoch(self, stream: Lane) -> None:
        """A new chain for all that is pending."""

    async def give_up_first(self, stream: Lane, reason: str) -> None:
        """Gives up the oldest pending block and declares it."""

    async def record(self, record: Record) -> None:
        """Puts a record on the urgent stream; returns once it is on disk."""

    async def inventory(self, inventory_id: int) -> InventoryRecord | None:
        """The inventory that pending bulk blocks name, or None when it is not known any more."""

    async def boots(self) -> list[BootTime]:
        """The boots this box remembers, oldest first; the last is this one."""

    async def wait_for_blocks(self, stream: Lane) -> None:
        """Returns when at least one block is pending."""

    async def wait_for_more(self, stream: Lane, sealed_blocks: int) -> None:
        """Returns when more blocks were sealed in this run than `sealed_blocks`."""

    async def wait_until_delivered(self, stream: Lane) -> None:
        """Returns when no block is pending."""

    def acked(self, stream: Lane) -> Cursor:
        """The last block that is no longer here."""

    def status(self, stream: Lane) -> StreamStatus:
        """The stream in numbers."""


class Signer(Protocol):
    """What the uplink needs of the box's identity."""

    @property
    def gateway(self) -> str:
        """The gateway's id in the cloud."""

    def sign(self, nonce: bytes, audience: str) -> bytes:
        """The signature that opens a session with the cloud at `audience`."""
