"""One-time links that acknowledge an alarm in a person's name. Of a token only its hash is kept."""

from collections.abc import Collection, Sequence
from datetime import timedelta
from uuid import UUID

import msgspec

from cloud.store.database import Connection
from cloud.store.sql import load_queries

_SQL = load_queries("links")


class NewLink(msgspec.Struct, frozen=True):
    """A link that is about to be sent."""

    token_hash: bytes
    alarm: UUID
    person: int


class LinkRow(msgspec.Struct, frozen=True):
    """A link: whose it is, for which alarm, and whether it still holds."""

    alarm: UUID
    person: int
    name: str
    language: str | None
    disabled: bool
    estate: int
    used: bool
    expired: bool


async def may_acknowledge(
    connection: Connection, asked: Collection[tuple[int, int]], roles: Collection[str]
) -> set[tuple[int, int]]:
    """Which of these (person, estate) have one of these roles there at this moment."""
    pairs = list(asked)
    rows = await connection.fetch(
        _SQL["may_acknowledge"], [person for person, _ in pairs], [estate for _, estate in pairs], list(roles)
    )
    return {(row["person"], row["estate"]) for row in rows}


async def put(connection: Connection, links: Sequence[NewLink], lasts: timedelta) -> None:
    """Keeps links, with their hashes only."""
    await connection.execute(
        _SQL["put"], [n.token_hash for n in links], [n.alarm for n in links], [n.person for n in links], lasts
    )


async def find(connection: Connection, token_hash: bytes, *, lock: bool = False) -> LinkRow | None:
    """The link of a token; `lock`: nobody else uses it until the transaction ends."""
    if lock:
        await connection.execute(_SQL["lock"], token_hash)
    row = await connection.fetchrow(_SQL["find"], token_hash)
    if row is None:
        return None
    known = {field: row[field] for field in ("alarm", "person", "name", "language", "disabled", "estate", "expired")}
    return LinkRow(**known, used=row["used_at"] is not None)


async def use(connection: Connection, token_hash: bytes) -> None:
    """The link is spent."""
    await connection.execute(_SQL["use"], token_hash)


async def count_failures(connection: Connection, address: str) -> int:
    """Links that were none, from one address in the last quarter of an hour."""
    return int(await connection.fetchval(_SQL["count_failures"], address))


async def put_failure(connection: Connection, address: str) -> None:
    """One more."""
    await connection.execute(_SQL["put_failure"], address)
