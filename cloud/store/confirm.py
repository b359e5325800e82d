"""What it takes to see that several devices of a place agree: where they are, and their names."""

from collections.abc import Collection, Sequence

import msgspec

from cloud.store.conditions import Key
from cloud.store.database import Connection, rows_as
from cloud.store.sql import load_queries

_SQL = load_queries("confirm")


class DevicePlace(msgspec.Struct, frozen=True):
    """Where a device is; empty where nobody said."""

    id: int
    building: str
    unit: str


async def places(connection: Connection, devices: Collection[int]) -> dict[int, DevicePlace]:
    """Where these devices are."""
    rows = rows_as(DevicePlace, await connection.fetch(_SQL["places"], list(devices)))
    return {row.id: row for row in rows}


async def name_members(connection: Connection, keys: Sequence[Key]) -> None:
    """The alarms of these (rule, place) say in their value who agrees, as the rule remembers it."""
    await connection.execute(_SQL["name_members"], [rule for rule, _ in keys], [source for _, source in keys])
