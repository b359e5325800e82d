"""What was: curves of telemetry, what counters counted, how long states lasted; from rows or roll-ups, as suffices."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from math import ceil
from typing import Literal

import msgspec

from cloud.store import devices, landing
from cloud.store.database import Connection, rows_as
from cloud.store.devices import Bucket, with_landed
from cloud.store.sql import load_queries

_SQL = load_queries("history")
_FINEST_S = 1
_HOUR_S = 3600
_DAYS_FROM_S = 12 * _HOUR_S
"""Buckets of half a day and more are drawn as days."""
_MOST_ROWS = 100_000
"""A chart reads no more rows than about these: a series with more of them is drawn by the hour."""
_FRESH_HOURS = 48
"""How many hours that are not rolled up yet are read from their rows; of older ones what is known is good enough."""


class Curve(msgspec.Struct, frozen=True):
    """A series over a time, in stretches of `bucket_s` seconds; those without good readings are missing."""

    bucket_s: int
    buckets: list[Bucket]


class Used(msgspec.Struct, frozen=True):
    """What counters went up by in the day or month that begins at `at`."""

    at: datetime
    used: float


class TimeInState(msgspec.Struct, frozen=True):
    """For how many seconds a series said `value` with this quality; `value` is empty where it was lost."""

    series: int
    quality: int
    value: str
    seconds: float


async def chart(connection: Connection, series: int, start: datetime, end: datetime, most: int) -> Curve:
    """A series from `start` to before `end` in at most about `most` stretches, with all that has been read so far.

    Shorter ones than an hour come from the rows where those are not too many, longer ones from the hours or days.
    Call it outside a transaction: it needs views of its own that hold still.
    """
    bucket_s = max(_FINEST_S, ceil((end - start).total_seconds() / most))
    if bucket_s < _HOUR_S and await _how_many(connection, series, start, end) <= _MOST_ROWS:
        return Curve(bucket_s, await devices.chart(connection, series, start, end, timedelta(seconds=bucket_s)))
    if bucket_s < _DAYS_FROM_S:
        bucket_s = ceil(bucket_s / _HOUR_S) * _HOUR_S
        width = timedelta(seconds=bucket_s)
        return Curve(bucket_s, await _hours(connection, series, start, end, width))
    fresh = await connection.fetchval(_SQL["first_fresh_day"], series, start, end, _FRESH_HOURS)
    days = rows_as(Bucket, await connection.fetch(_SQL["days"], series, start - timedelta(days=1), fresh))
    hours = await _hours(connection, series, fresh, end, timedelta(hours=1))
    return Curve(86_400, days + _as_days(hours, fresh))


async def _how_many(connection: Connection, series: int, start: datetime, end: datetime) -> int:
    return int(await connection.fetchval(_SQL["how_many"], series, start, end))


async def _hours(connection: Connection, series: int, start: datetime, end: datetime, width: timedelta) -> list[Bucket]:
    async with connection.transaction(isolation="repeatable_read", readonly=True):
        hours = rows_as(Bucket, await connection.fetch(_SQL["hours"], series, start, end, width, _FRESH_HOURS))
        landed = await landing.landed(connection, [series], start, end)
    return with_landed(hours, landed, width)


def _as_days(hours: Sequence[Bucket], midnight: datetime) -> list[Bucket]:
    """Hours by days, of which one begins at `midnight`; a change of summer time between them is not looked at."""
    days: dict[float, list[Bucket]] = {}
    began = midnight.timestamp()
    for hour in hours:
        days.setdefault(began + (hour.t - began) // 86_400 * 86_400, []).append(hour)
    return [
        Bucket(
            t=t,
            min=min(part.min for part in parts),
            max=max(part.max for part in parts),
            mean=sum(part.mean * part.count for part in parts) / sum(part.count for part in parts),
            count=sum(part.count for part in parts),
        )
        for t, parts in days.items()
    ]


async def consumption(
    connection: Connection,
    series: Sequence[int],
    start: datetime,
    end: datetime,
    per: Literal["day", "month"],
    timezone: str,
) -> list[Used]:
    """What counters of one estate counted together in each day or month of its time zone; `start` begins one."""
    return rows_as(Used, await connection.fetch(_SQL["consumption"], list(series), start, end, per, timezone))


async def time_in_state(
    connection: Connection, series: Sequence[int], start: datetime, end: datetime, per: Literal["hour", "day"]
) -> list[TimeInState]:
    """For how long each series said what in whole hours or days that are over; what lacks is not known.

    `start` and `end` begin an hour in UTC, or a day of the estate's time zone.
    """
    query, lasts = (
        (_SQL["time_in_state_hours"], timedelta(hours=1))
        if per == "hour"
        else (_SQL["time_in_state_days"], timedelta(days=1))
    )
    over = datetime.now(UTC) - lasts  # what is not over says already how it will be, if nothing more is heard
    return rows_as(TimeInState, await connection.fetch(query, list(series), start, min(end, over)))
