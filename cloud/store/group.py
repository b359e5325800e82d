"""Cursors, boots and inventories of many boxes at once: what a group commit needs of the database.

Each statement handles all boxes, in order of gateway, so that two groups never wait for each other in a circle.
"""

from collections.abc import Collection, Mapping, Sequence
from functools import cached_property
from uuid import UUID

import msgspec
import numpy as np
import numpy.typing as npt

from cloud.store.database import Connection
from cloud.store.sql import load_queries
from cloud.store.streams import Boot
from contract.kinds import Lane
from contract.session import Cursor

_SQL = load_queries("group")


class Inventory(msgspec.Struct, frozen=True, dict=True):
    """How a box counted its series: by place the series and its device; both 0 where the series' lane is urgent."""

    series: npt.NDArray[np.int32]
    devices: npt.NDArray[np.int32]

    def topics_of(self, series: npt.NDArray[np.int32]) -> frozenset[str]:
        """The topics of the devices that some of these series belong to."""
        return self._topics if len(series) == self._counted else self._topics_of(np.isin(self.series, series))

    @cached_property
    def _counted(self) -> int:
        return int(np.count_nonzero(self.series))

    @cached_property
    def _topics(self) -> frozenset[str]:
        return self._topics_of(self.series > 0)

    def _topics_of(self, places: npt.NDArray[np.bool_]) -> frozenset[str]:
        return frozenset(f"device:{device}" for device in np.unique(self.devices[places]).tolist())


async def create_cursors(connection: Connection, gateways: Collection[UUID], stream: Lane) -> None:
    """Makes the cursors that there are not yet. Call it before the transaction that locks them."""
    await connection.execute(_SQL["create_cursors"], list(gateways), stream)


async def lock_cursors(
    connection: Connection, gateways: Collection[UUID], stream: Lane, *, wait: bool
) -> dict[UUID, Cursor]:
    """How far streams are, locked until the transaction ends; without `wait` only those that nobody has locked."""
    query = _SQL["wait_for_cursors"] if wait else _SQL["lock_cursors"]
    rows = await connection.fetch(query, list(gateways), stream)
    return {row["gateway"]: Cursor(row["epoch"], row["number"], row["checksum"]) for row in rows}


async def known_epochs(
    connection: Connection, asked: Sequence[tuple[UUID, int]], stream: Lane
) -> set[tuple[UUID, int]]:
    """Those of (gateway, epoch) that the boxes have used before."""
    rows = await connection.fetch(_SQL["known_epochs"], [g for g, _ in asked], [e for _, e in asked], stream)
    return {(row["gateway"], row["epoch"]) for row in rows}


async def boots(
    connection: Connection, asked: Sequence[tuple[UUID, bytes]], stream: Lane
) -> dict[tuple[UUID, bytes], Boot]:
    """What is known of these boots of boxes; unknown ones are fresh."""
    rows = await connection.fetch(_SQL["boots"], [g for g, _ in asked], [b for _, b in asked], stream)
    return {
        (row["gateway"], row["boot"]): Boot(
            row["boot"], row["mono_ns"], row["utc_ns"], row["uncertainty_ns"], row["sealed_ns"]
        )
        for row in rows
    }


async def inventories(connection: Connection, asked: Collection[tuple[UUID, int]]) -> dict[tuple[UUID, int], Inventory]:
    """Those of the inventories (gateway, id) that were ever sent."""
    rows = await connection.fetch(_SQL["inventories"], [g for g, _ in asked], [i for _, i in asked])
    return {
        (row["gateway"], row["inventory_id"]): Inventory(
            np.asarray(row["series"], np.int32), np.asarray(row["devices"], np.int32)
        )
        for row in rows
    }


async def open_epochs(connection: Connection, opened: Sequence[tuple[UUID, int, int]], stream: Lane) -> None:
    """New chains (gateway, epoch, number that the one before ended at)."""
    if not opened:
        return
    gateways, epochs, last = ([part[i] for part in opened] for i in range(3))
    await connection.execute(_SQL["close_epochs"], gateways, epochs, last, stream)
    await connection.execute(_SQL["open_epochs"], gateways, epochs, stream)


async def seal(connection: Connection, sealed: Mapping[tuple[UUID, bytes], int], stream: Lane) -> None:
    """Seal times of the last blocks taken, by (gateway, boot)."""
    gateways, boots_, at = [g for g, _ in sealed], [b for _, b in sealed], list(sealed.values())
    await connection.execute(_SQL["seal"], gateways, boots_, at, stream)


async def move_cursors(connection: Connection, cursors: Mapping[UUID, Cursor], stream: Lane) -> None:
    """The streams have come this far once the transaction commits."""
    moved = cursors.values()
    await connection.execute(
        _SQL["move_cursors"], list(cursors), [c.epoch for c in moved], [c.number for c in moved],
        [c.checksum for c in moved], stream,
    )  # fmt: skip
