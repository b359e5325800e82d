"""People, their rights, their sessions, areas, and the audit log."""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

import msgspec

from cloud.store.database import Connection, rows_as
from cloud.store.sql import load_queries

_SQL = load_queries("people")
_LOGINS = 0x4C4F47494E  # "LOGIN"


class PersonRow(msgspec.Struct, frozen=True):
    """A person who may log in."""

    id: int
    login: str
    name: str
    password_hash: str
    language: str | None
    disabled: bool


class ListedPerson(msgspec.Struct, frozen=True):
    """A person with their `roles` as 'role area', and when the newest session that still holds was opened."""

    login: str
    name: str
    disabled: bool
    roles: list[str]
    logged_in_at: datetime | None


class LoginFailures(msgspec.Struct, frozen=True):
    """Wrong passwords of the last quarter of an hour: of a login `here`, from this `source` at all, by `strangers`."""

    here: int
    source: int
    strangers: int


class SessionRow(msgspec.Struct, frozen=True):
    """A session that holds: who, and `rights` as 'role estate-id' for each role and estate beneath its node."""

    id: int
    login: str
    name: str
    language: str | None
    expires_at: datetime
    rights: list[str]


class AreaRow(msgspec.Struct, frozen=True):
    """A node of the area tree."""

    id: int
    level: str
    name: str


class AuditRow(msgspec.Struct, frozen=True):
    """One line of the audit log."""

    id: int
    at: datetime
    who: str
    action: str
    object: str
    detail: dict[str, Any]
    address: str


async def by_login(connection: Connection, login: str) -> PersonRow | None:
    """The person of a login."""
    row = await connection.fetchrow(_SQL["by_login"], login)
    return PersonRow(**dict(row)) if row else None


async def put(connection: Connection, login: str, name: str, password_hash: str, language: str | None) -> int | None:
    """A new person; returns their id, or None where the login is taken."""
    person = await connection.fetchval(_SQL["put"], login, name, password_hash, language)
    return None if person is None else int(person)


async def set_password(connection: Connection, login: str, password_hash: str) -> bool:
    """A new password, ending all sessions of the person; False when there is no such login."""
    return await connection.fetchval(_SQL["set_password"], login, password_hash) is not None


async def set_disabled(connection: Connection, login: str, *, disabled: bool) -> bool:
    """Whether a person may log in, ending all sessions where not; False when there is no such login."""
    return await connection.fetchval(_SQL["set_disabled"], login, disabled) is not None


async def list_people(connection: Connection) -> list[ListedPerson]:
    """Everybody, by login."""
    return rows_as(ListedPerson, await connection.fetch(_SQL["list_people"]))


async def rehash(connection: Connection, person: int, password_hash: str) -> None:
    """The same password under today's cost."""
    await connection.execute(_SQL["rehash"], person, password_hash)


async def grant(connection: Connection, person: int, role: str, area: int) -> None:
    """A role at a node of the area tree."""
    await connection.execute(_SQL["grant"], person, role, area)


async def count(connection: Connection) -> int:
    """How many people there are."""
    return int(await connection.fetchval(_SQL["count"]))


async def open_session(connection: Connection, token_hash: bytes, person: int, lasts: timedelta) -> None:
    """A person's session."""
    await connection.execute(_SQL["open_session"], token_hash, person, lasts)


async def session(connection: Connection, token_hash: bytes) -> SessionRow | None:
    """Who a token is and what they may do where, or None."""
    rows = rows_as(SessionRow, await connection.fetch(_SQL["session"], token_hash))
    return rows[0] if rows else None


async def close_session(connection: Connection, token_hash: bytes) -> None:
    """Logged out."""
    await connection.execute(_SQL["close_session"], token_hash)


async def lock_logins(connection: Connection) -> None:
    """Nobody else counts tries until the transaction ends."""
    await connection.execute(_SQL["lock_logins"], _LOGINS)


async def put_login_failure(connection: Connection, login_hash: bytes, source: str, *, known: bool) -> None:
    """One more wrong password; `known` where the source is a browser in which this person logged in before."""
    await connection.execute(_SQL["put_login_failure"], login_hash, source, known)


async def count_login_failures(connection: Connection, login_hash: bytes, source: str) -> LoginFailures:
    """What has gone wrong of late."""
    row = await connection.fetchrow(_SQL["count_login_failures"], login_hash, source)
    assert row is not None
    return LoginFailures(**dict(row))


async def forget_login_failures(connection: Connection, login_hash: bytes, source: str | None = None) -> None:
    """The right password was given at this source, or a new one was set."""
    await connection.execute(_SQL["forget_login_failures"], login_hash, source)


async def known_browser(connection: Connection, token_hash: bytes, person: int | None) -> tuple[bool, bool]:
    """Whether anybody has logged in with this browser, and whether this person has."""
    row = await connection.fetchrow(_SQL["known_browser"], token_hash, person)
    assert row is not None
    return row["known"], row["person"]


async def know_browser(connection: Connection, token_hash: bytes, person: int) -> None:
    """A person has logged in with this browser."""
    await connection.execute(_SQL["know_browser"], token_hash, person)


async def set_language(connection: Connection, person: int, language: str) -> None:
    """The language a person chose."""
    await connection.execute(_SQL["set_language"], person, language)


async def put_area(connection: Connection, parent: int | None, level: str, name: str, timezone: str) -> int:
    """A node of the area tree by its name, made when it is not there; returns its id.

    Of several that make one node at once, one makes it, and the others find it once that one has committed.
    """
    made = await make_area(connection, parent, level, name, timezone)
    return int(await connection.fetchval(_SQL["find_area"], parent, name)) if made is None else made


async def make_area(connection: Connection, parent: int | None, level: str, name: str, timezone: str) -> int | None:
    """A new node of the area tree; None where there is one of that name."""
    made = await connection.fetchval(_SQL["put_area"], parent, level, name, timezone)
    if made is not None:
        await connection.execute(_SQL["settle_path"], made)
    return None if made is None else int(made)


async def areas_named(connection: Connection, name: str) -> list[AreaRow]:
    """The nodes of this name, or the one of this number; at most ten."""
    return rows_as(AreaRow, await connection.fetch(_SQL["areas_named"], name))


async def area_names(connection: Connection, areas: Sequence[int]) -> list[tuple[int, str]]:
    """What these areas are called, by name."""
    return [(row["id"], row["name"]) for row in await connection.fetch(_SQL["area_names"], list(areas))]


async def audit(
    connection: Connection, person: int | None, who: str, action: str, obj: str,
    detail: Mapping[str, object] | None = None, address: str = "",
) -> None:  # fmt: skip
    """One line of the audit log: who did what to which thing, in the transaction of the deed."""
    await connection.execute(_SQL["audit"], person, who, action, obj, dict(detail or {}), address)


async def audit_all(
    connection: Connection, person: int | None, who: str, deeds: Sequence[tuple[str, str, Mapping[str, object]]],
    address: str = "",
) -> None:  # fmt: skip
    """Lines of the audit log for many deeds (action, object, detail) of one person."""
    columns = ([action for action, _, _ in deeds], [obj for _, obj, _ in deeds], [dict(said) for _, _, said in deeds])
    await connection.execute(_SQL["audit_all"], person, who, *columns, address)


async def list_audit(connection: Connection, limit: int = 100) -> list[AuditRow]:
    """The newest lines of the audit log."""
    return rows_as(AuditRow, await connection.fetch(_SQL["list_audit"], limit))
