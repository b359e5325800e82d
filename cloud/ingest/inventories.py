"""Inventories of boxes, kept once they were read: the id is a hash of the content, so its meaning never changes."""

from collections import OrderedDict
from collections.abc import Collection
from uuid import UUID

from cloud.store import Connection, group
from cloud.store.group import Inventory

MOST_SERIES = 8_000_000
"""What is kept of all boxes together: 64 MB."""


class Inventories:
    """Of all boxes of this process, the least asked for forgotten first. Read only what is committed through it."""

    def __init__(self, most_series: int = MOST_SERIES) -> None:
        self._most_series = most_series
        self._kept: OrderedDict[tuple[UUID, int], Inventory] = OrderedDict()
        self._series = 0

    async def get(
        self, connection: Connection, asked: Collection[tuple[UUID, int]]
    ) -> dict[tuple[UUID, int], Inventory]:
        """Those of the inventories (gateway, id) that were ever sent."""
        found = {}
        for key in asked:
            if (inventory := self._kept.get(key)) is not None:
                self._kept.move_to_end(key)
                found[key] = inventory
        missing = [key for key in asked if key not in found]
        if missing:
            read = await group.inventories(connection, missing)
            for key, inventory in read.items():
                self._keep(key, inventory)
            found |= read
        return found

    def _keep(self, key: tuple[UUID, int], inventory: Inventory) -> None:
        if key in self._kept:  # read by two at once
            return
        self._kept[key] = inventory
        self._series += len(inventory.series)
        while self._series > self._most_series and len(self._kept) > 1:
            _, gone = self._kept.popitem(last=False)
            self._series -= len(gone.series)
