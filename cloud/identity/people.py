"""Logging in, and what a person may do where."""

import asyncio
from datetime import datetime, timedelta
from enum import StrEnum

import msgspec
import structlog

from cloud.identity.areas import estate_id
from cloud.identity.passwords import hash_password, verify_password
from cloud.identity.tokens import new_token, token_hash
from cloud.identity.tries import WAIT_S, Try, count, login_hash
from cloud.store import Connection, Database, people, storable
from contract.errors import AnjuError

log = structlog.get_logger()
SESSION_LASTS = timedelta(hours=12)
"""A night shift."""
_MOST_CHECKING = 8
"""Passwords that wait to be checked: half a second of work. Who comes beyond them comes again."""
_MOST_TRYING = 50
_BUSY_S = 5


class Right(StrEnum):
    """What a route asks for."""

    VIEW = "view"
    ACKNOWLEDGE = "acknowledge"
    COMMAND = "command"
    SHELVE = "shelve"
    """Take an alarm from sight for a time, with a reason."""
    DISPATCH = "dispatch"
    """Send somebody, call an incident off, mobilise."""
    RESPOND = "respond"
    """Report an incident, go there, say what was found."""
    RULES = "rules"
    AUDIT = "audit"
    MANAGE = "manage"


_ON_DUTY = frozenset({Right.VIEW, Right.ACKNOWLEDGE, Right.COMMAND, Right.SHELVE, Right.DISPATCH, Right.RESPOND})
ROLES: dict[str, frozenset[Right]] = {
    "admin": frozenset(Right),
    "supervisor": frozenset({Right.VIEW}),
    "manager": frozenset({*_ON_DUTY, Right.RULES, Right.MANAGE}),
    "operator": _ON_DUTY,
    "grid_worker": frozenset({Right.VIEW, Right.RESPOND}),
    "installer": frozenset({Right.VIEW}),
    "auditor": frozenset({Right.VIEW, Right.AUDIT}),
}
"""Which role has which rights at the estates beneath its node."""


def roles_with(right: Right) -> tuple[str, ...]:
    """The roles that have a right."""
    return tuple(role for role, rights in ROLES.items() if right in rights)


class Person(msgspec.Struct, frozen=True):
    """Somebody who is logged in until `session_ends`, with the estates where they have each right."""

    id: int
    login: str
    name: str
    language: str | None
    roles: tuple[str, ...]
    session_ends: datetime
    rights: dict[Right, tuple[int, ...]]

    def estates(self, right: Right) -> tuple[int, ...]:
        """The estates where this person has a right."""
        return self.rights.get(right, ())


class LoginRefusedError(AnjuError):
    """Wrong name or password (`after_s` 0), or too many tries. Does not say which of the two was wrong."""

    def __init__(self, *, after_s: int) -> None:
        super().__init__(f"too many tries; wait {after_s} s" if after_s else "wrong name or password")
        self.after_s = after_s


class NoSuchPersonError(AnjuError):
    """There is no person of this login."""

    def __init__(self, login: str) -> None:
        super().__init__(f"there is no person {login!r}; `anju-cloud user list` shows who there is")


class Session(msgspec.Struct, frozen=True):
    """A new session: its token, and that of the browser, each for its cookie."""

    token: str
    lasts: timedelta
    browser: str


def normal_login(login: str) -> str:
    """A login as it is kept and looked up."""
    return storable(login.strip(), 200)


class People:
    """Opens, resolves and closes people's sessions."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._counting = asyncio.Lock()  # tries take one connection of the process, however many come at once
        self._trying = 0
        self._checking = 0

    async def log_in(self, login: str, password: str, address: str, browser: str = "") -> Session:
        """A session for the right password. `browser` is the token that an earlier session gave to this browser.

        Raises LoginRefusedError, after counting the failure.
        """
        login = normal_login(login)
        if self._trying >= _MOST_TRYING:
            raise LoginRefusedError(after_s=_BUSY_S)
        self._trying += 1
        try:
            async with self._counting:
                if self._checking >= _MOST_CHECKING:
                    raise LoginRefusedError(after_s=_BUSY_S)
                person, tried = await self._count(login, address, browser)
                self._checking += 1
            try:
                known = person.password_hash if person and not person.disabled else None
                right, new_hash = await verify_password(password, known)
            finally:
                self._checking -= 1
        finally:
            self._trying -= 1
        async with self._database.transaction() as connection:
            if right and person:
                return await self._open(connection, person, tried, new_hash, address, browser)
            # What was typed as a name may be a password: it is kept only where it is a name.
            who, whom = (login, f"person {login}") if person else ("stranger", "person ?")
            await people.audit(connection, None, who, "login refused", whom, {}, address)
        raise LoginRefusedError(after_s=0)

    async def _count(self, login: str, address: str, browser: str) -> tuple[people.PersonRow | None, Try]:
        async with self._database.transaction() as connection:
            person = await people.by_login(connection, login)
            tried = await count(connection, login, address, token_hash(browser), person.id if person else None)
        if tried is None:
            log.warning("login refused: too many failures", login=login if person else "?", address=address)
            raise LoginRefusedError(after_s=WAIT_S)
        return person, tried

    async def _open(
        self, connection: Connection, person: people.PersonRow, tried: Try, new_hash: str | None,
        address: str, browser: str,
    ) -> Session:  # fmt: skip
        """A session, in a browser that is known from now on: by its token if we gave it that, else by a new one."""
        if new_hash:
            await people.rehash(connection, person.id, new_hash)
        await people.forget_login_failures(connection, tried.login_hash, tried.source)
        ours, _ = await people.known_browser(connection, token_hash(browser), person.id)
        session = Session(new_token(), SESSION_LASTS, browser if ours else new_token())
        await people.know_browser(connection, token_hash(session.browser), person.id)
        await people.open_session(connection, token_hash(session.token), person.id, session.lasts)
        await people.audit(connection, person.id, person.name, "login", f"person {person.login}", {}, address)
        return session

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
        return Person(row.id, row.login, row.name, row.language, roles, row.expires_at, ordered)

    async def log_out(self, token: str, person: Person, address: str) -> None:
        """Ends the session."""
        async with self._database.transaction() as connection:
            await people.close_session(connection, token_hash(token))
            await people.audit(connection, person.id, person.name, "logout", f"person {person.login}", {}, address)

    async def set_language(self, person: Person, language: str) -> None:
        """Keeps the language a person chose."""
        async with self._database.transaction() as connection:
            await people.set_language(connection, person.id, language)

    async def add(self, login: str, name: str, password: str, role: str, estate: int | str, by: str) -> int:
        """A new person with a role at an estate, which is made where there is none of that name; returns their id.

        Raises AnjuError for a login that is taken or none, a role that is none, a password that cannot be taken.
        """
        login = normal_login(login)
        if not login:
            raise AnjuError("a login has at least one character that is no space")
        if role not in ROLES:
            raise AnjuError(f"role {role!r} does not exist; one of {', '.join(ROLES)}")
        password_hash = await hash_password(password)
        async with self._database.transaction() as connection:
            area = await estate_id(connection, estate, by)
            person = await people.put(connection, login, storable(name, 200) or login, password_hash, None)
            if person is None:
                raise AnjuError(f"there is a person {login!r} already")
            await people.grant(connection, person, role, area)
            await people.audit(connection, None, by, "add person", f"person {login}", {"role": role, "area": area})
        return person

    async def grant(self, login: str, role: str, area: str, by: str) -> None:
        """One more role of a person at a node of the area tree, by its name or id.

        Raises AnjuError for a role or an area that is none, and where several areas have the name.
        """
        login = normal_login(login)
        if role not in ROLES:
            raise AnjuError(f"role {role!r} does not exist; one of {', '.join(ROLES)}")
        async with self._database.transaction() as connection:
            person = await people.by_login(connection, login)
            if person is None:
                raise NoSuchPersonError(login)
            found = await people.areas_named(connection, storable(area.strip(), 200))
            if len(found) != 1:
                known = ", ".join(f"{row.id} ({row.level} {row.name})" for row in found)
                raise AnjuError(f"say which by its number: {known}" if found else f"there is no area {area!r}")
            await people.grant(connection, person.id, role, found[0].id)
            detail = {"role": role, "area": found[0].id}
            await people.audit(connection, None, by, "grant role", f"person {login}", detail)

    async def set_password(self, login: str, password: str, by: str) -> None:
        """A new password; the person's sessions end, and no browser is known any more. Raises AnjuError."""
        login = normal_login(login)
        password_hash = await hash_password(password)
        async with self._database.transaction() as connection:
            if not await people.set_password(connection, login, password_hash):
                raise NoSuchPersonError(login)
            await people.forget_login_failures(connection, login_hash(login))
            await people.audit(connection, None, by, "set password", f"person {login}")

    async def set_disabled(self, login: str, *, disabled: bool, by: str) -> None:
        """Takes or gives back the right to log in; the sessions of a disabled person end. Raises NoSuchPersonError."""
        login = normal_login(login)
        async with self._database.transaction() as connection:
            if not await people.set_disabled(connection, login, disabled=disabled):
                raise NoSuchPersonError(login)
            action = "disable person" if disabled else "enable person"
            await people.audit(connection, None, by, action, f"person {login}")
