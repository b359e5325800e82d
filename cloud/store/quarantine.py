"""Blocks that could not be taken as they are, for people to look at. What sets them aside is in streams.py."""

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

import msgspec

from cloud.store.database import Connection, rows_as
from cloud.store.sql import load_queries

_SQL = load_queries("quarantine")
MOST_ID = (1 << 63) - 1


class BlockRow(msgspec.Struct, frozen=True):
    """A block that was set aside: whose it is, why, and when it was taken after all, if it was."""

    id: int
    gateway: UUID
    hostname: str
    estate: str
    stream: str
    epoch: int
    number: int
    bytes: int
    reason: str
    at: datetime
    replayed_at: datetime | None


class WholeBlock(BlockRow, frozen=True):
    """The same with what came."""

    estate_id: int
    block: bytes


class Dropped(msgspec.Struct, frozen=True):
    """What is left of a block that was let go: whose it was, and what."""

    gateway: UUID
    estate_id: int
    stream: str
    epoch: int
    number: int
    bytes: int
    reason: str

    @property
    def detail(self) -> dict[str, object]:
        """What the audit log keeps."""
        names = ("stream", "epoch", "number", "bytes", "reason")
        return {name: getattr(self, name) for name in names}


async def list_blocks(
    connection: Connection, estates: Sequence[int] | None, gateway: UUID | None, limit: int, *, replayed: bool = False
) -> list[BlockRow]:
    """What was set aside, newest first; of these estates and this box, or of all. `replayed`: also what was taken."""
    rows = await connection.fetch(_SQL["list_blocks"], _list(estates), gateway, limit, replayed)
    return rows_as(BlockRow, rows)


async def count_blocks(
    connection: Connection, estates: Sequence[int] | None, gateway: UUID | None, *, replayed: bool = False
) -> int:
    """How many of those there are."""
    return int(await connection.fetchval(_SQL["count_blocks"], _list(estates), gateway, replayed))


async def get_block(connection: Connection, block: int, estates: Sequence[int] | None) -> WholeBlock | None:
    """One block with what came; None where there is none in these estates."""
    if not 0 < block <= MOST_ID:
        return None
    row = await connection.fetchrow(_SQL["get_block"], block, _list(estates))
    return WholeBlock(**dict(row)) if row else None


async def drop_block(connection: Connection, block: int, estates: Sequence[int] | None) -> Dropped | None:
    """Lets a block go for good; None where there is none in these estates."""
    if not 0 < block <= MOST_ID:
        return None
    row = await connection.fetchrow(_SQL["drop_block"], block, _list(estates))
    return Dropped(**dict(row)) if row else None


def _list(estates: Sequence[int] | None) -> list[int] | None:
    return None if estates is None else list(estates)
