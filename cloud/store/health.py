"""Whether the database keeps what it is told, and the cloud's work gets done: what no process knows by itself."""

import msgspec

from cloud.store.database import Connection
from cloud.store.sql import load_queries

_SQL = load_queries("health")


class Work(msgspec.Struct, frozen=True):
    """How far behind the work of all processes together is, in seconds.

    `landed_s` is how long the oldest readings have waited to become rows, `overdue_s` how long an order has waited to
    be given up on (negative: its time is not up), `stored_s` how long ago anything of any box was stored, while
    `waiting_boxes` live and have something to deliver.
    """

    landed_s: float
    overdue_s: float
    waiting_boxes: int
    stored_s: float


async def beat(connection: Connection) -> None:
    """A write like any other; it has proved something once it is committed."""
    await connection.execute(_SQL["beat"])


async def work(connection: Connection) -> Work:
    """How far behind the work is."""
    row = await connection.fetchrow(_SQL["work"])
    assert row is not None
    return Work(**dict(row))
