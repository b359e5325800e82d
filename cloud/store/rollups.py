"""Roll-ups: what each series did in each hour and day, made again from the rows whenever those change.

Whoever writes rows marks their hours in the same transaction. Each process rolls up marked hours once they are over
(`cloud/upkeep`). An hour is a function of the rows alone, so it may be made as often as one likes, late data of weeks
come out right, and a crash costs nothing but doing it again.

No writer waits for a roll-up and none is missed:
  - A writer adds a mark unless one stands there that it can lock, shared, until it commits. Such a mark cannot be taken
    before the writer's rows are there to be seen.
  - A process takes marks away (those that nobody has locked) and reads the rows by a later statement. READ COMMITTED
    gives each statement a view of its own: whatever a taken mark stands for is seen.
  - One process at a time works on a bucket of series, or the older result could be the last to be written.

Days are made from hours in the same way, once a day is over: rolling up an hour marks its day. Days have buckets of
their own, below zero.
"""

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta

import msgspec
import numpy as np
import numpy.typing as npt

from cloud.store.database import Connection
from cloud.store.sql import load_queries

_SQL = load_queries("rollups")
BUCKET = 256
"""Neighbouring series that are rolled up together: about what a box has."""
HOUR = timedelta(hours=1)
DAY = timedelta(days=1)
_HOUR_US = 3_600_000_000
_LOCK = 0x726F6C6C  # "roll": the class of our advisory locks
_LONGEST_RUN = 24
"""Hours that one statement rolls up."""
MOST_BELIEVED_S = 7 * 86_400.0
"""A state that is not repeated for a week holds no longer, whatever its series says."""
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class _Bucket(msgspec.Struct, frozen=True):
    """A bucket's series, and for how long at most a state of them is believed without being repeated."""

    numbers: list[int]
    states: list[int]
    believed_s: float


async def mark(connection: Connection, series: npt.NDArray[np.integer], at_us: npt.NDArray[np.integer]) -> None:
    """Has the hours of n rows rolled up again; call it in the transaction of the rows, before or after them.

    `series` are ids, `at_us` the rows' times in microseconds since 1970; neither needs to be sorted or unique.
    """
    if not len(series):
        return
    hours = at_us.astype(np.int64) // _HOUR_US
    pairs = np.unique((series.astype(np.int64) // BUCKET << 32) + hours)  # hours since 1970 fit 32 bits for ever
    buckets, at = (pairs >> 32).tolist(), (pairs & 0xFFFFFFFF).tolist()
    await connection.execute(_SQL["mark"], buckets, [_EPOCH + hour * HOUR for hour in at])


async def mark_rows(connection: Connection, rows: Iterable[tuple[int, datetime]]) -> None:
    """The same for a few rows (series, at)."""
    marked = [(series, (at - _EPOCH) // timedelta(microseconds=1)) for series, at in rows]
    await mark(connection, np.array([m[0] for m in marked], np.int64), np.array([m[1] for m in marked], np.int64))


async def hold_dropping(connection: Connection) -> None:
    """Has no readings dropped until this transaction's rows and marks are there to be seen. Call it before both."""
    await connection.execute(_SQL["whole_since"])


async def ripe_buckets(connection: Connection, before: datetime, most: int) -> list[int]:
    """Buckets that have marks of hours begun before that time or of days over by then, the longest waiting first."""
    return [row["bucket"] for row in await connection.fetch(_SQL["ripe_buckets"], before, before - DAY, most)]


async def roll_up(connection: Connection, bucket: int, before: datetime, most: int) -> int:
    """Rolls up a bucket's marked hours that began before that time, at most so many, in the caller's transaction.

    Of a bucket below zero it is days. Returns how many; none when another process is at it.
    """
    if not await connection.fetchval(_SQL["lock_bucket"], _LOCK, bucket):
        return 0
    await connection.execute(_SQL["need_not_wait"])
    ripe = before if bucket >= 0 else before - DAY
    marked = sorted({row["at"] for row in await connection.fetch(_SQL["take_marks"], bucket, ripe, most)})
    if bucket >= 0:
        for start, end in _runs(marked):
            await _roll_up_hours(connection, bucket, start, end)
    else:
        for midnight in marked:
            await _roll_up_day(connection, _days_of(bucket), midnight)
    return len(marked)


def _days_of(bucket: int) -> int:
    """The bucket of the days of a bucket of hours, and back: a hole in the numbers keeps the two apart."""
    return -1 - bucket


async def _series(connection: Connection, bucket: int) -> _Bucket:
    (found,) = await connection.fetch(_SQL["series"], bucket * BUCKET, (bucket + 1) * BUCKET, MOST_BELIEVED_S)
    return _Bucket(**dict(found))


async def _roll_up_hours(connection: Connection, bucket: int, start: datetime, end: datetime) -> None:
    """Makes the hours from `start` to before `end` from the rows, and has their days made from them."""
    series = await _series(connection, bucket)
    whole_since = await connection.fetchval(_SQL["whole_since"])
    for part_start, part_end, whole in _split(start, end, whole_since):
        query = _SQL["roll_up_readings"] if whole else _SQL["sum_up_readings"]
        await connection.execute(query, series.numbers, part_start, part_end)
    # A state goes on into the hours after it until it is no longer believed, so those are made again too.
    end += HOUR * int(-(-series.believed_s // 3600))
    if series.states:
        await connection.execute(_SQL["roll_up_states"], series.states, start, end, series.believed_s)
    ids = (bucket * BUCKET, (bucket + 1) * BUCKET)
    await connection.execute(_SQL["mark_days"], *ids, _days_of(bucket), start, end)


async def _roll_up_day(connection: Connection, bucket: int, midnight: datetime) -> None:
    """Makes the days of the estates' own time that the hour from `midnight` belongs to from their hours."""
    series = await _series(connection, bucket)
    await connection.execute(_SQL["roll_up_reading_days"], series.numbers, midnight, midnight + HOUR)
    await connection.execute(_SQL["roll_up_state_days"], series.states, midnight, midnight + HOUR)


def _runs(hours: Sequence[datetime]) -> list[tuple[datetime, datetime]]:
    """Neighbouring hours together, in stretches of at most _LONGEST_RUN: the beginning, and the end of the last."""
    runs: list[tuple[datetime, datetime]] = []
    for hour in hours:
        if runs and hour == runs[-1][1] and hour - runs[-1][0] < _LONGEST_RUN * HOUR:
            runs[-1] = (runs[-1][0], hour + HOUR)
        else:
            runs.append((hour, hour + HOUR))
    return runs


def _split(start: datetime, end: datetime, whole_since: datetime) -> list[tuple[datetime, datetime, bool]]:
    """A run before and from the time on since when the rows are whole; `whole_since` is the beginning of a day."""
    if whole_since <= start:
        return [(start, end, True)]
    if whole_since >= end:
        return [(start, end, False)]
    return [(start, whole_since, False), (whole_since, end, True)]
