"""How often a password may be guessed, and how nobody can lock out the guard by guessing.

Failures are counted by where they come from. Whoever guesses from an address is soon refused there; the guard at
another address is not. Against many addresses there is a limit by login too, which would lock the guard out, were it
not that a browser in which the person logged in before counts for itself (OWASP: device cookies).
"""

import hashlib
from ipaddress import IPv6Address, IPv6Network, ip_address

import msgspec

from cloud.store import Connection, people

WAIT_S = 900
"""Failures count for a quarter of an hour (`count_login_failures`)."""
MOST_HERE = 10
"""Of one login from one source."""
MOST_SOURCE = 50
"""From one source, whichever login."""
MOST_STRANGERS = 100
"""Of one login from browsers that are not known."""


class Try(msgspec.Struct, frozen=True):
    """A guess that is counted as a failure until it succeeds."""

    login_hash: bytes
    source: str
    known: bool


async def count(
    connection: Connection, login: str, address: str, browser_hash: bytes, person: int | None
) -> Try | None:
    """Counts a try before its password is looked at, so that many at once are counted too; None: too many."""
    _, known = await people.known_browser(connection, browser_hash, person)
    source = f"browser {browser_hash.hex()}" if known else source_of(address)
    made = Try(login_hash(login), source, known)
    await people.lock_logins(connection)
    failures = await people.count_login_failures(connection, made.login_hash, source)
    if (
        failures.here >= MOST_HERE
        or failures.source >= MOST_SOURCE
        or (failures.strangers >= MOST_STRANGERS and not known)
    ):
        return None
    await people.put_login_failure(connection, made.login_hash, source, known=known)
    return made


def login_hash(login: str) -> bytes:
    """What is kept of what was typed as a name."""
    return hashlib.sha256(login.encode()).digest()


def source_of(address: str) -> str:
    """An address as it is counted: of IPv6 the /64, all of which one household or server has."""
    try:
        ip = ip_address(address)
    except ValueError:
        return address
    if not isinstance(ip, IPv6Address):
        return address
    return str(ip.ipv4_mapped or IPv6Network((int(ip), 64), strict=False))
