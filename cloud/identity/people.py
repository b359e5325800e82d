"""Logging in, and what a person may do where."""

from datetime import timedelta
from enum import StrEnum

import msgspec
import structlog

from cloud.identity.passwords import MAX_LENGTH, hash_password, verify_password
from cloud.identity.tokens import new_token, token_hash
from cloud.store import Database, people, storable
from contract.errors import AnjuError

log = structlog.get_logger()
SESSION_LASTS = timedelta(hours=12)
"""A night shift."""
_MAX_FAILURES_LOGIN = 10
_MAX_FAILURES_ADDRESS = 50


class Right(StrEnum):
    """What a route asks for."""

    VIEW = "view"
    ACKNOWLEDGE = "acknowledge"
    COMMAND = "command"
    AUDIT = "audit"
    MANAGE = "manage"


ROLES: dict[str, frozenset[Right]] = {
    "admin": frozenset(Right),
    "supervisor": frozenset({Right.VIEW}),
    "manager": frozenset({Right.VIEW, Right.ACKNOWLEDGE, Right.COMMAND, Right.MANAGE}),
    "operator": frozenset({Right.VIEW, Right.ACKNOWLEDGE, Right.COMMAND}),
    "auditor": frozenset({Right.VIEW, Right.AUDIT}),
}
"""Which role has which rights at the estates beneath its node."""


class Person(msgspec.Struct, frozen=True):
    """Somebody who is logged in, with the estates where they have each right."""

    id: int
    login: str
    name: str
    language: str | None
    roles: tuple[str, ...]
    rights: dict[Right, tuple[int, ...]]

    def estates(self, right: Right) -> tuple[int, ...]:
        """The estates where this person has a right."""
        return self.rights.get(right, ())


class LoginRefusedError(AnjuError):
    """Wrong name or password, or too many tries. Does not say which of the two was wrong."""

    def __init__(self, *, too_many: bool) -> None:
        super().__init__("too many tries; wait a quarter of an hour" if too_many else "wrong name or password")
        self.too_many = too_many


class Session(msgspec.Struct, frozen=True):
    """A new session: the token for the cookie."""

    token: str
    lasts: timedelta


class People:
    """Opens, resolves and closes people's sessions."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def log_in(self, login: str, password: str, address: str) -> Session:
        """A session for the right password. Raises LoginRefusedError, after counting the failure."""
        login = storable(login.strip(), 200)
        async with self._database.connect() as connection:
            by_login, by_address = await people.count_login_failures(connection, login, address)
            person = await people.by_login(connection, login)
        if by_login >= _MAX_FAILURES_LOGIN or by_address >= _MAX_FAILURES_ADDRESS:
            log.warning("login refused: too many failures", login=login, address=address)
            raise LoginRefusedError(too_many=True)
        known = person.password_hash if person and not person.disabled else None
        right, new_hash = await verify_password(password[:MAX_LENGTH], known)
        if not right or person is None:
            async with self._database.transaction() as connection:
                await people.put_login_failure(connection, login, address)
                await people.audit(connection, None, login, "login refused", f"person {login}", {}, address)
            raise LoginRefusedError(too_many=False)
        token = new_token()
        async with self._database.transaction() as connection:
            if new_hash:
                await people.rehash(connection, person.id, new_hash)
            await people.forget_login_failures(connection, login, address)
            await people.open_session(connection, token_hash(token), person.id, SESSION_LASTS)
            await people.audit(connection, person.id, person.name, "login", f"person {login}", {}, address)
        return Session(token, SESSION_LASTS)

    async def person(self, token: str) -> Person | None:
        """Who a token is, with the rights they have at this moment; None for one that does not hold."""
        async with self._database.connect() as connection:
            row = await people.session(connection, token_hash(token))
        if row is None:
            return None
        rights: dict[Right, set[int]] = {}
        for entry in row.rights:
            role, _, estate = entry.partition(" ")
            for right in ROLES.get(role, frozenset()):
                rights.setdefault(right, set()).add(int(estate))
        ordered = {right: tuple(sorted(estates)) for right, estates in rights.items()}
        held = {entry.partition(" ")[0] for entry in row.rights}
        roles = tuple(role for role in ROLES if role in held)
        return Person(row.id, row.login, row.name, row.language, roles, ordered)

    async def log_out(self, token: str, person: Person, address: str) -> None:
        """Ends the session."""
        async with self._database.transaction() as connection:
            await people.close_session(connection, token_hash(token))
            await people.audit(connection, person.id, person.name, "logout", f"person {person.login}", {}, address)

    async def set_language(self, person: Person, language: str) -> None:
        """Keeps the language a person chose."""
        async with self._database.transaction() as connection:
            await people.set_language(connection, person.id, language)

    async def add(self, login: str, name: str, password: str, role: str, area: int, by: str) -> int:
        """A new person with a role at a node; returns their id. The password's length is the caller's to check."""
        password_hash = await hash_password(password)
        async with self._database.transaction() as connection:
            person = await people.put(connection, login, name, password_hash, None)
            await people.grant(connection, person, role, area)
            await people.audit(connection, None, by, "add person", f"person {login}", {"role": role, "area": area})
        return person
