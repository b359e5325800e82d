"""Acknowledging from a message: a link that does it once, for one alarm, in one person's name.

Only looking at a link never acknowledges: chat robots and mail scanners look at each link they see. It holds for half
an hour, and for as long as the alarm wants somebody; what its person may do is asked when it is used.
"""

import hashlib
import secrets
from collections.abc import Awaitable, Callable, Collection, Sequence
from datetime import timedelta
from enum import StrEnum
from uuid import UUID

import msgspec

from cloud.store import Connection, Database, links, notify, people
from cloud.store.alarms import AlarmRow

LASTS = timedelta(minutes=30)
MOST_FAILURES = 20
"""Of links that are none, from one address in a quarter of an hour."""
_LONGEST = 100

Acknowledge = Callable[[Connection, UUID, Sequence[int], int, str, str, str], Awaitable[set[str]]]
"""Takes an alarm (id, estates, person, who, why, address); returns topics to wake, none where it was taken already."""


class Standing(StrEnum):
    """Whether a link can be used."""

    OPEN = "open"
    USED = "used"
    EXPIRED = "expired"
    OVER = "over"
    """Somebody has acknowledged the alarm, or it wants nobody any more."""
    NOT_ALLOWED = "not allowed"
    """Its person may not acknowledge there now."""
    UNKNOWN = "unknown"
    TOO_MANY = "too many"
    """Tries from this address, with links that are none."""
    DONE = "done"
    """It was used just now: the alarm is acknowledged."""


class Look(msgspec.Struct, frozen=True):
    """What a link shows. Nothing of the alarm where there is no such link."""

    standing: Standing
    alarm: AlarmRow | None = None
    name: str = ""
    """Of the person in whose name it would acknowledge."""
    language: str | None = None


class Links:
    """Makes links for messages, shows what they are about, and uses them."""

    def __init__(self, database: Database, acknowledge: Acknowledge, roles: Collection[str]) -> None:
        """`roles` are those that may acknowledge."""
        self._database = database
        self._acknowledge = acknowledge
        self._roles = tuple(roles)

    async def look(self, token: str, source: str) -> Look:
        """What a link is about; changes nothing, but counts a link that is none, by where the request came from."""
        async with self._database.transaction() as connection:
            return await self._look(connection, token, source)

    async def use(self, token: str, address: str, source: str) -> Look:
        """Acknowledges in the name of the link's person, if it can be used; the link is spent.

        `address` is for the audit log; `source` is what is counted of it.
        """
        topics: set[str] = set()
        async with self._database.transaction() as connection:
            look = await self._look(connection, token, source, lock=True)
            if look.standing is Standing.OPEN:
                link = await links.find(connection, token_hash(token))
                assert link is not None
                await links.use(connection, token_hash(token))
                topics = await self._acknowledge(
                    connection, link.alarm, (link.estate,), link.person, link.name, "by the link of a message", address
                )
                await people.audit(connection, link.person, link.name, "use link", f"alarm {link.alarm}", {}, address)
                look = msgspec.structs.replace(look, standing=Standing.DONE if topics else Standing.OVER)
        if topics:
            await self._database.wake(topics)
        return look

    async def _look(self, connection: Connection, token: str, source: str, *, lock: bool = False) -> Look:
        if await links.count_failures(connection, source) >= MOST_FAILURES:
            return Look(Standing.TOO_MANY)
        found = await links.find(connection, token_hash(token), lock=lock) if len(token) <= _LONGEST else None
        if found is None:
            await links.put_failure(connection, source)
            return Look(Standing.UNKNOWN)
        alarm = (await notify.alarms(connection, [found.alarm])).get(found.alarm)
        return Look(await self._standing(connection, found), alarm, found.name, found.language)

    async def _standing(self, connection: Connection, link: links.LinkRow) -> Standing:
        if link.used:
            return Standing.USED
        if not await notify.wanting(connection, [link.alarm]):
            return Standing.OVER
        if link.expired:
            return Standing.EXPIRED
        allowed = await links.may_acknowledge(connection, [(link.person, link.estate)], self._roles)
        return Standing.OPEN if allowed else Standing.NOT_ALLOWED


async def make_links(
    connection: Connection, wanted: Collection[tuple[UUID, int, int]], roles: Collection[str], origin: str
) -> dict[UUID, str]:
    """Links for one person's message, by alarm: of those (alarm, person, estate) where they may acknowledge."""
    allowed = await links.may_acknowledge(connection, {(person, estate) for _, person, estate in wanted}, roles)
    made, new = {}, []
    for alarm, person, estate in wanted:
        if (person, estate) in allowed:
            token = secrets.token_urlsafe(24)
            made[alarm] = f"{origin}/a/{token}"
            new.append(links.NewLink(token_hash(token), alarm, person))
    if new:
        await links.put(connection, new, LASTS)
    return made


def token_hash(token: str) -> bytes:
    """What the database keeps of a token."""
    return hashlib.sha256(token.encode()).digest()
