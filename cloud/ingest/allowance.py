"""How much a box may send over time: what is taken of it fills a measure of its own, which time empties. Pure.

A request of a kilobyte may hold half a million readings that are all alike, fifty of them a second: one box that is
mad, or in wrong hands, would fill the disk that all share. What is refused counts nothing, so who waits as told is
served. Each process of the cloud counts for itself.
"""

from collections.abc import Sequence
from typing import Final
from uuid import UUID

import msgspec

from cloud.ingest.chain import Incoming
from contract.kinds import Lane

_FORGET_EVERY_S = 60.0
ASIDE_COUNTS = 10
"""A byte that is set aside counts for so many: upkeep drops what is too much of those once an hour only."""


class Rate(msgspec.Struct, frozen=True):
    """So many items (readings, records) and bytes as they come at once, and so many a second ever after."""

    items: float
    items_per_s: float
    bytes: float
    bytes_per_s: float


RATES: Final = {
    Lane.BULK: Rate(10_000_000, 5_000, 256 << 20, 250_000),
    Lane.URGENT: Rate(2_000_000, 500, 256 << 20, 250_000),
}
"""A box of 500 series every 10 s that was cut off for 30 days has 130 million readings: they are here in 7 hours."""


class _Taken(msgspec.Struct):
    """What was taken of a box and is not forgotten yet, as of a time."""

    at_s: float
    items: float = 0.0
    bytes: float = 0.0

    def forget(self, rate: Rate, now_s: float) -> bool:
        """Goes on to a time; True where nothing is left."""
        passed_s, self.at_s = max(0.0, now_s - self.at_s), now_s
        self.items = max(0.0, self.items - rate.items_per_s * passed_s)
        self.bytes = max(0.0, self.bytes - rate.bytes_per_s * passed_s)
        return not (self.items or self.bytes)


class Allowance:
    """What each box may still send of a stream, in one process. Times are of any clock that only goes forward."""

    def __init__(self, rate: Rate) -> None:
        self._rate = rate
        self._taken: dict[UUID, _Taken] = {}
        self._forgot_s = 0.0

    def __len__(self) -> int:
        return len(self._taken)

    def wait_s(self, gateway: UUID, now_s: float) -> float:
        """How long a box has to wait until more is taken of it; 0 for not at all."""
        rate, taken = self._rate, self._taken.get(gateway)
        if taken is None:
            return 0.0
        taken.forget(rate, now_s)
        return max(0.0, (taken.items - rate.items) / rate.items_per_s, (taken.bytes - rate.bytes) / rate.bytes_per_s)

    def take(self, gateway: UUID, blocks: Sequence[Incoming], aside: Sequence[Incoming], now_s: float) -> None:
        """These blocks of a box were taken, and some of them set aside. Boxes that may send all that any may are
        forgotten by and by.
        """
        taken = self._taken.setdefault(gateway, _Taken(now_s))
        taken.forget(self._rate, now_s)
        taken.items += sum(block.header.items for block in blocks)
        taken.bytes += sum(len(block.raw) for block in blocks)
        taken.bytes += (ASIDE_COUNTS - 1) * sum(len(block.raw) for block in aside)
        if now_s - self._forgot_s >= _FORGET_EVERY_S:
            self._forgot_s = now_s
            self._taken = {box: kept for box, kept in self._taken.items() if not kept.forget(self._rate, now_s)}
