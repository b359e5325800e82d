"""What rules remember of sources that are not at rest, with the time at which each is due (table `condition`).

Who moves a series' rows has its box's cursor; rows of boxes, buses and places are claimed. Locks are taken in the order
cursor, condition, alarm, so that a timer and a box's request never wait for each other in a circle.
"""

from collections.abc import Collection, Sequence
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import msgspec

from cloud.store.database import Connection, rows_as
from cloud.store.sql import load_queries
from contract.errors import Retryable

_SQL = load_queries("conditions")

_SENT, _PRESENT = timedelta(minutes=1), timedelta(minutes=10)
"""A box that sent bulk lately is still at it; what a metered link holds back (5 min) is no backlog."""
Key = tuple[str, str]
"""A rule's name and a source."""


class Condition(msgspec.Struct, frozen=True):
    """A row: `memory` is what the rules keep beyond its columns, as JSON has it."""

    rule: str
    source: str
    gateway: UUID | None
    bulk: bool
    stage: int
    pending: int | None
    since: datetime | None
    due_at: datetime | None
    memory: dict[str, Any]

    @property
    def key(self) -> Key:
        """What it is of."""
        return self.rule, self.source


async def lock(connection: Connection, keys: Collection[Key]) -> dict[Key, Condition]:
    """What is remembered of these, locked until the transaction ends."""
    rows = await connection.fetch(_SQL["lock"], [rule for rule, _ in keys], [source for _, source in keys])
    return {row.key: row for row in rows_as(Condition, rows)}


async def claim(connection: Connection, keys: Sequence[tuple[str, str, UUID | None]]) -> dict[Key, Condition]:
    """The same of (rule, source, gateway) that no cursor keeps apart. Each has a row then: put it, or drop it."""
    columns = ([key[n] for key in keys] for n in range(3))
    return {row.key: row for row in rows_as(Condition, await connection.fetch(_SQL["claim"], *columns))}


async def of_boxes(connection: Connection, gateways: Collection[UUID]) -> dict[Key, Condition]:
    """What is remembered of these boxes' readings, locked until the transaction ends."""
    return {row.key: row for row in rows_as(Condition, await connection.fetch(_SQL["of_boxes"], list(gateways)))}


async def due(connection: Connection, limit: int, now: datetime | None) -> dict[Key, Condition]:
    """What is to be looked at again, locked; what another process has is its own."""
    return {row.key: row for row in rows_as(Condition, await connection.fetch(_SQL["due"], now, limit))}


async def catching_up(connection: Connection, gateways: Collection[UUID], now: datetime) -> set[UUID]:
    """Those of the boxes that are sending what they have kept, and have not come to the present yet."""
    rows = await connection.fetch(_SQL["catching_up"], list(gateways), now - _SENT, now - _PRESENT)
    return {row["gateway"] for row in rows}


async def of_rules(
    connection: Connection, known: Collection[str], changed: Collection[str], after: Key, limit: int
) -> list[Condition]:
    """Some of what is remembered, from `after` on, for rules that are not `known` or that have `changed`; locked."""
    return rows_as(Condition, await connection.fetch(_SQL["of_rules"], list(known), list(changed), *after, limit))


async def add(connection: Connection, rows: Sequence[Condition]) -> None:
    """Rows for what was at rest. Raises Retryable where somebody else has just moved one of them."""
    added = await connection.fetch(
        _SQL["add"], [r.rule for r in rows], [r.source for r in rows], [r.gateway for r in rows],
        [r.bulk for r in rows], [r.stage for r in rows], [r.pending for r in rows], [r.since for r in rows],
        [r.due_at for r in rows], [_json(r.memory) for r in rows],
    )  # fmt: skip
    if len(added) != len(rows):
        raise Retryable("a condition of the same source moved at the same moment", after_s=0.1)


async def put(connection: Connection, rows: Sequence[Condition]) -> None:
    """Writes locked rows back as they are now."""
    await connection.execute(
        _SQL["put"], [r.rule for r in rows], [r.source for r in rows], [r.stage for r in rows],
        [r.pending for r in rows], [r.since for r in rows], [r.due_at for r in rows], [_json(r.memory) for r in rows],
    )  # fmt: skip


async def drop(connection: Connection, keys: Collection[Key]) -> None:
    """What came to rest needs no row."""
    await connection.execute(_SQL["drop"], [rule for rule, _ in keys], [source for _, source in keys])


def _json(memory: dict[str, Any]) -> str:
    return msgspec.json.encode(memory).decode()
