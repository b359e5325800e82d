"""What the cloud knows by itself of boxes and their buses, and what of that the rules have not been told yet."""

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from uuid import UUID

import msgspec

from cloud.store.database import Connection, rows_as
from cloud.store.sql import load_queries

_SQL = load_queries("sweep")
_LOCK = 0x7377656570  # "sweep"


class Hearing(msgspec.Struct, frozen=True):
    """The time of a sweep, by the database's clock, and since when boxes could have been heard without a pause."""

    swept_at: datetime
    hears_since: datetime


class BoxNews(msgspec.Struct, frozen=True):
    """A box as it is, beside what the rules were told of it (None: nothing yet).

    `silent_at`: when it has said nothing for too long. `is_unknown`: to these rules, which are others than before.
    """

    id: UUID
    estate: int
    path: str
    """The areas from the root down: '/1/7/'."""
    timezone: str
    is_new: bool
    is_gone: bool
    is_silent: bool
    silent_at: datetime
    was_silent: bool | None
    backlog_blocks: int
    told_blocks: int | None
    reported_at: datetime | None
    told_offset_s: float | None
    clock_offset_s: float | None
    """How far its machine's clock is ahead; None: nobody knows."""
    is_unknown: bool
    is_reported: bool


class BusNews(msgspec.Struct, frozen=True):
    """How many devices of a bus there are, how many of them are off line, and whether the rules know it as silent."""

    gateway: UUID
    bus: str
    estate: int
    path: str
    timezone: str
    devices: int
    offline: int
    was_silent: bool
    is_unknown: bool
    is_gone: bool


async def take(connection: Connection) -> bool:
    """Whether this transaction is the one that sweeps; the others leave it."""
    return bool(await connection.fetchval(_SQL["take"], _LOCK))


async def hear(connection: Connection, deaf_after: timedelta, *, now: datetime | None = None) -> Hearing:
    """Notes that a sweep takes place; a longer pause of them than `deaf_after` is one in which nobody could hear."""
    return rows_as(Hearing, await connection.fetch(_SQL["hear"], now, deaf_after))[0]


async def boxes(connection: Connection, hearing: Hearing, rules: str, blocks: int, limit: int) -> list[BoxNews]:
    """Boxes of which `rules` have to be told something; of a backlog if it moved by so many `blocks`, and by 5 %."""
    rows = await connection.fetch(_SQL["boxes"], hearing.swept_at, hearing.hears_since, rules, blocks, limit)
    return rows_as(BoxNews, rows)


async def told(connection: Connection, news: Sequence[BoxNews], rules: str) -> None:
    """The rules know these boxes as `news` says, whose backlog and clock are what they were told last."""
    gone = [box.id for box in news if box.is_gone]
    stay = [box for box in news if not box.is_gone]
    if stay:
        await connection.execute(
            _SQL["told"], [box.id for box in stay], [rules] * len(stay), [box.is_silent for box in stay],
            [box.backlog_blocks for box in stay], [box.reported_at for box in stay],
            [box.clock_offset_s for box in stay],
        )  # fmt: skip
    if gone:
        await connection.execute(_SQL["forget"], gone)
    back = [box.id for box in stay if box.was_silent and not box.is_silent]
    if back:
        await connection.execute(_SQL["look_at_boxes"], back)


async def look_at(connection: Connection, devices: Iterable[int]) -> None:
    """The links of these devices changed: the next sweep looks at their buses."""
    await connection.execute(_SQL["look_at"], list(devices))


async def buses(connection: Connection, rules: str, limit: int) -> list[BusNews]:
    """The buses of boxes that are heard on which a link changed since the last sweep, and those known as silent."""
    return rows_as(BusNews, await connection.fetch(_SQL["buses"], limit, rules))


async def told_buses(connection: Connection, silent: Sequence[BusNews], heard: Sequence[BusNews], rules: str) -> None:
    """The rules know these buses as silent now, and those as heard."""
    if silent:
        await connection.execute(
            _SQL["told_buses"], [bus.gateway for bus in silent], [bus.bus for bus in silent], [rules] * len(silent)
        )
    if heard:
        await connection.execute(_SQL["forget_buses"], [bus.gateway for bus in heard], [bus.bus for bus in heard])
