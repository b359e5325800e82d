"""What there was to see of an estate in the past, for trying a rule on it."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta

import msgspec
import numpy as np
import numpy.typing as npt

from cloud.store import landing
from cloud.store.database import Connection, rows_as
from cloud.store.sql import load_queries
from contract.messages import Quality

_SQL = load_queries("trials")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_US = timedelta(microseconds=1)
MOST = 200_000
"""States or events of one source that are looked at."""


class TrialEstate(msgspec.Struct, frozen=True):
    """An estate, with the ids of the areas from the root down to it."""

    id: int
    areas: tuple[int, ...]
    zone: str


class TrialSource(msgspec.Struct, frozen=True):
    """A device's point; `series` is None where nothing was ever said of it, and for events."""

    device: int
    name: str
    kind: str
    building: str
    unit: str
    floor: str
    point: str
    series: int | None


class Past(msgspec.Struct, frozen=True):
    """Something seen: `value` is a state's word or None, and for events empty."""

    at: datetime
    value: str | None
    fields: Mapping[str, str | int | float | bool] = {}


async def estate(connection: Connection, name: str) -> TrialEstate | None:
    """The estate of a name."""
    row = await connection.fetchrow(_SQL["estate"], name)
    if row is None:
        return None
    return TrialEstate(row["id"], tuple(int(part) for part in row["path"].split("/") if part), row["zone"])


async def sources(connection: Connection, estate_id: int, points: Sequence[str]) -> list[TrialSource]:
    """Every device of an estate with each of these points, by place."""
    return rows_as(TrialSource, await connection.fetch(_SQL["devices"], estate_id, list(points)))


async def readings(
    connection: Connection, series: int, start: datetime, end: datetime
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float64]]:
    """The good readings of a series from `start` to before `end`, rows and landed blocks: microseconds and values.

    Call it outside a transaction: it needs a view of its own that holds still.
    """
    async with connection.transaction(isolation="repeatable_read", readonly=True):
        rows = await connection.fetch(_SQL["readings"], series, start, end)
        landed = await landing.landed(connection, [series], start, end)
    good = landed.quality == Quality.GOOD
    at_us = np.concatenate([[(row["at"] - _EPOCH) // _US for row in rows], landed.at_us[good]]).astype(np.int64)
    value = np.concatenate([[row["value"] for row in rows], landed.value[good]]).astype(np.float64)
    order = np.argsort(at_us, kind="stable")
    return at_us[order], value[order]


async def states(connection: Connection, series: int, start: datetime, end: datetime) -> list[Past]:
    """What a series said when the time began, and each of its words since."""
    rows = await connection.fetch(_SQL["states"], series, start, end, MOST)
    return [Past(max(row["at"], start), row["value"] if row["quality"] == Quality.GOOD else None) for row in rows]


async def events(connection: Connection, device: int, point: str, start: datetime, end: datetime) -> list[Past]:
    """Events of a device."""
    rows = await connection.fetch(_SQL["events"], device, point, start, end, MOST)
    return [Past(row["at"], "", row["fields"]) for row in rows]
