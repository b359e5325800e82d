"""Passwords under Argon2id, off the event loop."""

import asyncio
from functools import cache

from pwdlib import PasswordHash

MIN_LENGTH = 10
MAX_LENGTH = 200
_hasher = PasswordHash.recommended()


@cache
def _dummy() -> str:
    return _hasher.hash("nobody has this password")


async def hash_password(password: str) -> str:
    """The Argon2id hash of a password."""
    return await asyncio.to_thread(_hasher.hash, password)


async def verify_password(password: str, password_hash: str | None) -> tuple[bool, str | None]:
    """Whether the password is right, and its new hash where today's cost is higher.

    `password_hash` None (no such person) takes as long, so that the answer's time does not say who exists.
    """
    if password_hash is None:
        await asyncio.to_thread(lambda: _hasher.verify(password, _dummy()))
        return False, None
    return await asyncio.to_thread(_hasher.verify_and_update, password, password_hash)
