"""Devices, what they say now, and their charts."""

import re
from collections.abc import Collection, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import msgspec
import numpy as np

from cloud.store import landing
from cloud.store.database import Connection, rows_as
from cloud.store.sql import load_queries
from contract.messages import Quality

_SQL = load_queries("devices")
MOST_ID = (1 << 31) - 1
_LIKE = re.compile(r"[\\%_]")
_ESCAPED = r"\\\g<0>"


class DeviceRow(msgspec.Struct, frozen=True):
    """A device with its worst news. `link` None: never heard of. It has no `commands` once it or its box is gone."""

    id: int
    gateway: UUID
    name: str
    kind: str
    profile: str
    building: str
    unit: str
    floor: str
    spot: str
    commands: list[str]
    hostname: str
    estate_id: int
    estate: str
    timezone: str
    link: str | None
    link_at: datetime | None
    link_stale: bool
    alarms: int


class PointNow(msgspec.Struct, frozen=True):
    """What a point says now: `value` for telemetry, `state` for states; `at` None: never seen."""

    device: int
    series: int
    point: str
    lane: str
    at: datetime | None
    value: float | None
    state: str | None
    quality: int | None
    stale: bool


class Bucket(msgspec.Struct, frozen=True):
    """Good readings of a series in one stretch of a chart, `t` in seconds since 1970 at its beginning."""

    t: float
    min: float
    max: float
    mean: float
    count: int


class StateChange(msgspec.Struct, frozen=True):
    """A state that a point of a device took."""

    at: datetime
    point: str
    value: str | None
    quality: int


class EventRow(msgspec.Struct, frozen=True):
    """Something that happened at a device."""

    at: datetime
    point: str
    fields: dict[str, Any]


async def search(
    connection: Connection, estates: Sequence[int], words: Sequence[str], kind_words: Mapping[str, str], limit: int
) -> list[DeviceRow]:
    """Devices of these estates whose name, key, place or kind has every word, by place.

    `kind_words` says what kinds are called.
    """
    patterns = [f"%{_LIKE.sub(_ESCAPED, word)}%" for word in words]
    arguments = (list(estates), patterns, list(kind_words), list(kind_words.values()), limit)
    return rows_as(DeviceRow, await connection.fetch(_SQL["search"], *arguments))


async def among(connection: Connection, devices: Sequence[int], estates: Sequence[int]) -> list[int]:
    """Those of the devices that are in one of the estates."""
    return [row["id"] for row in await connection.fetch(_SQL["among"], list(devices), list(estates))]


async def get(connection: Connection, device: int, estates: Sequence[int]) -> DeviceRow | None:
    """One device of these estates."""
    rows = rows_as(DeviceRow, await connection.fetch(_SQL["get"], device, list(estates)))
    return rows[0] if rows else None


async def points(connection: Connection, devices: Sequence[int]) -> dict[int, list[PointNow]]:
    """What each point of these devices says now, by device."""
    found: dict[int, list[PointNow]] = {device: [] for device in devices}
    for point in rows_as(PointNow, await connection.fetch(_SQL["points"], list(devices))):
        found[point.device].append(point)
    return found


async def doors_near(
    connection: Connection, estate: int, building: str, unit: str, estates: Sequence[int]
) -> list[DeviceRow]:
    """Doors and gates of an estate, if it is one of these, that can be opened from afar, those of the place first."""
    return rows_as(DeviceRow, await connection.fetch(_SQL["doors_near"], estate, building, unit, list(estates)))


async def series_of(connection: Connection, device: int, point: str) -> tuple[int, float] | None:
    """The series of a device's point, and after how many seconds of silence it is stale."""
    row = await connection.fetchrow(_SQL["series_of"], device, point)
    return (row["id"], row["stale_after_s"]) if row else None


async def chart(connection: Connection, series: int, start: datetime, end: datetime, bucket: timedelta) -> list[Bucket]:
    """A series from `start` to before `end` in stretches of `bucket`; a stretch without good readings is missing.

    Has what landed and is no row yet. Call it outside a transaction: it needs a view of its own that holds still.
    """
    async with connection.transaction(isolation="repeatable_read", readonly=True):
        rows = rows_as(Bucket, await connection.fetch(_SQL["chart"], series, start, end, bucket))
        landed = await landing.landed(connection, [series], start, end)
    return with_landed(rows, landed, bucket)


def with_landed(rows: list[Bucket], landed: landing.Readings, bucket: timedelta) -> list[Bucket]:
    """Buckets as those of rows, with readings that landed and are no rows yet."""
    good = landed.quality == Quality.GOOD
    if not good.any():
        return rows
    width_us = bucket // timedelta(microseconds=1)
    order = np.argsort(landed.at_us[good], kind="stable")
    value = landed.value[good][order]
    begins, starts, counts = np.unique(
        landed.at_us[good][order] // width_us * width_us, return_index=True, return_counts=True
    )
    least, most = np.minimum.reduceat(value, starts), np.maximum.reduceat(value, starts)
    mean = np.add.reduceat(value, starts) / counts
    by_t = {row.t: row for row in rows}
    for t, *of_landed in zip((begins / 1e6).tolist(), *(c.tolist() for c in (least, most, mean, counts)), strict=True):
        other = Bucket(t, *of_landed)
        by_t[t] = _together(by_t[t], other) if t in by_t else other
    return [by_t[t] for t in sorted(by_t)]


def _together(a: Bucket, b: Bucket) -> Bucket:
    count = a.count + b.count
    return Bucket(a.t, min(a.min, b.min), max(a.max, b.max), (a.mean * a.count + b.mean * b.count) / count, count)


async def recent_states(connection: Connection, device: int, since: datetime, limit: int) -> list[StateChange]:
    """The last state changes of a device, the newest first."""
    return rows_as(StateChange, await connection.fetch(_SQL["recent_states"], device, since, limit))


async def recent_events(connection: Connection, device: int, since: datetime, limit: int) -> list[EventRow]:
    """The last events of a device, the newest first."""
    return rows_as(EventRow, await connection.fetch(_SQL["recent_events"], device, since, limit))


async def names_beside(connection: Connection, device: int, keys: Collection[str]) -> dict[str, str]:
    """What devices of the same box as one are called, by those of `keys`, its own ids for them, that there are."""
    rows = await connection.fetch(_SQL["names_beside"], device, list(keys))
    return {row["key"]: row["name"] for row in rows}
