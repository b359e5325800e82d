"""The two endless tasks of upkeep. One that cannot have the database says so and tries again."""

import asyncio
import random
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import get_args

import structlog
from prometheus_client import Counter, Histogram

from cloud.settings import Keep
from cloud.store import Connection, Database, Tier, people, retention, rollups
from contract.errors import Retryable

log = structlog.get_logger()
_HOURS = Counter("anju_rollup_hours", "Hours and days of 256 series that were rolled up")
_SECONDS = Histogram("anju_rollup_seconds", "Time of a roll-up's transaction")
_DROPPED = Counter("anju_retention_dropped", "What went as too old: rows, chunks where there are any", ["what"])
RIPE_AFTER = timedelta(hours=1, minutes=2)
"""An hour is rolled up once it has been over for two minutes: most that belongs to it is there, so it is done once."""
ROLL_UP_EVERY_S = 10.0
RETAIN_EVERY_S = 3600.0
MOST_QUARANTINE_BYTES = 64 << 20
"""Of one box."""
MOST_LOSSES = 10_000
MOST_BOOTS = 10_000
"""Of one box. A backlog never has so many: one of a month, of a box that starts every five minutes, has fewer."""
_BUCKETS_AT_ONCE = 200
_SIDE_BY_SIDE = 2
"""Buckets that are rolled up at the same time: one waits for the disk, or for us, while the other is summed up."""
_HOURS_AT_ONCE = 24
"""Of a bucket in one transaction: under a second of work, so that a box's late weeks keep nobody waiting."""

_Drop = Callable[[Connection, datetime], Awaitable[tuple[int, bool]]]
"""Drops some of what is older than a time; returns how much, and whether there is more."""


class Upkeep:
    """Rolls up and drops; any number of processes may. `every_s` is shorter in tests."""

    def __init__(self, database: Database, keep: Keep, every_s: float = ROLL_UP_EVERY_S) -> None:
        self._database = database
        self._keep = keep
        self._every_s = every_s

    async def roll_up(self) -> None:
        """Rolls up hours that are over, and those that late data came into, for ever."""
        await _for_ever("roll up", self.roll_up_ripe, self._every_s)

    async def retain(self) -> None:
        """Drops what is older than it is to be kept, for ever."""
        await _for_ever("drop old data", self.drop_old, RETAIN_EVERY_S)

    async def roll_up_ripe(self, now: datetime | None = None) -> int:
        """Rolls up every marked hour and day that is over; returns how many. Bucket by bucket, some of each in turn."""
        before = (now or datetime.now(UTC)) - RIPE_AFTER
        hours = 0
        while True:
            async with self._database.connect() as connection:
                buckets = await rollups.ripe_buckets(connection, before, _BUCKETS_AT_ONCE)
            random.shuffle(buckets)  # so that processes seldom meet at one
            shares = (buckets[n::_SIDE_BY_SIDE] for n in range(_SIDE_BY_SIDE))
            tasks = [asyncio.create_task(self._roll_up_buckets(share, before), name="roll up") for share in shares]
            try:
                done = sum(await asyncio.gather(*tasks))
            finally:
                for task in tasks:
                    task.cancel()
                await asyncio.gather(*tasks, return_exceptions=True)
            hours += done
            if not done:
                return hours

    async def _roll_up_buckets(self, buckets: Sequence[int], before: datetime) -> int:
        return sum([await self._roll_up_bucket(bucket, before) for bucket in buckets])

    async def _roll_up_bucket(self, bucket: int, before: datetime) -> int:
        with _SECONDS.time():
            async with self._database.transaction() as connection:
                done = await rollups.roll_up(connection, bucket, before, _HOURS_AT_ONCE)
        _HOURS.inc(done)
        return done

    async def drop_old(self, now: datetime | None = None) -> dict[str, int]:
        """Drops everything whose time is over, with a line in the audit log; returns how much of what."""
        now = now or datetime.now(UTC)
        keep, tier = self._keep, self._database.tier
        ways: dict[str, tuple[int, _Drop]] = {
            "personal events": (keep.personal_days, retention.count_personal_events),
            "quarantine": (keep.quarantine_days, _drop_quarantine),
            "losses": (keep.events_days, _drop_losses),
            "boots": (0, _drop_boots),
        }
        for rows in get_args(retention.Rows):
            ways[rows] = (keep.days(rows), partial(_drop_rows, tier=tier, rows=rows))
        dropped = {}
        for what, (days, drop) in ways.items():
            if what == "readings":  # or a box that brings late ones all the time would have all of them kept for ever
                await self.roll_up_ripe(now)
            if count := await self._drop(what, now - timedelta(days=days), drop):
                dropped[what] = count
        return dropped

    async def _drop(self, what: str, before: datetime, drop: _Drop) -> int:
        total, more = 0, True
        while more:
            async with self._database.transaction() as connection:
                count, more = await drop(connection, before)
                if count:
                    detail = {"count": count, "before": before.isoformat()}
                    await people.audit(connection, None, "system", "drop what is too old", what, detail)
            total += count
        if total:
            log.info("dropped what is too old", what=what, count=total, before=before.isoformat())
            _DROPPED.labels(what).inc(total)
        return total


async def _drop_rows(connection: Connection, before: datetime, *, tier: Tier, rows: retention.Rows) -> tuple[int, bool]:
    return await retention.drop(connection, tier, rows, before)


async def _drop_quarantine(connection: Connection, before: datetime) -> tuple[int, bool]:
    return await retention.drop_quarantine(connection, before, MOST_QUARANTINE_BYTES)


async def _drop_losses(connection: Connection, before: datetime) -> tuple[int, bool]:
    return await retention.drop_losses(connection, before, MOST_LOSSES)


async def _drop_boots(connection: Connection, _: datetime) -> tuple[int, bool]:
    return await retention.drop_boots(connection, MOST_BOOTS)


async def _for_ever(what: str, work: Callable[[], Awaitable[object]], every_s: float) -> None:
    failing = False
    while True:
        await asyncio.sleep(every_s * random.uniform(0.5, 1.5))  # noqa: S311  # processes that started together part
        try:
            await work()
        except Retryable as e:
            if not failing:
                log.warning("cannot have the database; will try again", what=what, problem=str(e))
            failing = True
        except Exception:
            log.exception("upkeep failed; will try again", what=what)
            failing = True
        else:
            if failing:
                log.info("upkeep goes on", what=what)
            failing = False
