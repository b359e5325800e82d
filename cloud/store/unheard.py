"""Points of which nothing was heard for long, and that a rule is to be told of."""

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

import msgspec

from cloud.store.database import Connection, rows_as
from cloud.store.sql import load_queries

_SQL = load_queries("unheard")
_LOCK = 0x756E6865617264  # "unheard"


class Asked(msgspec.Struct, frozen=True, kw_only=True):
    """A rule's name, its point, after how many intervals it counts as silent, and where it looks; empty: everywhere."""

    rule: str
    point: str
    intervals: float
    kinds: Sequence[str] = ()
    except_kinds: Sequence[str] = ()
    areas: Sequence[int] = ()
    devices: Sequence[int] = ()
    except_devices: Sequence[int] = ()


class Unheard(msgspec.Struct, frozen=True):
    """A series, for how many of its intervals nothing was heard of it, and when that was looked at."""

    series: int
    device: int
    kind: str
    gateway: UUID
    estate: int
    path: str
    zone: str
    heard_at: datetime
    stale_after_s: float
    intervals: float
    now: datetime


async def lock(connection: Connection) -> bool:
    """Whether this process is the one that looks, until its transaction ends."""
    return bool(await connection.fetchval(_SQL["lock"], _LOCK))


async def news(connection: Connection, asked: Asked, limit: int, now: datetime | None = None) -> list[Unheard]:
    """Series that have fallen silent or were heard again, and that the rule does not know as such yet."""
    rows = await connection.fetch(
        _SQL["news"], asked.rule, asked.point, asked.intervals, list(asked.kinds), list(asked.except_kinds),
        list(asked.areas), list(asked.devices), list(asked.except_devices), now, limit,
    )  # fmt: skip
    return rows_as(Unheard, rows)
