"""Passwords under Argon2id, off the event loop and on a thread of their own.

One thread: a check takes 64 MiB and all the processor it can get, and must not stand in the way of what boxes send.
"""

import asyncio
from concurrent.futures import ThreadPoolExecutor
from functools import cache

from pwdlib import PasswordHash

from contract.errors import AnjuError

MIN_LENGTH = 10
MAX_LENGTH = 200
_hasher = PasswordHash.recommended()
_thread = ThreadPoolExecutor(1, "passwords")


class PasswordRefusedError(AnjuError):
    """A new password that cannot be taken, and why."""


@cache
def _dummy() -> str:
    return _hasher.hash("nobody has this password")


async def hash_password(password: str) -> str:
    """The Argon2id hash of a new password. Raises PasswordRefusedError for one that is too short or too long."""
    if not MIN_LENGTH <= len(password) <= MAX_LENGTH:
        raise PasswordRefusedError(
            f"the password has {len(password)} characters; take at least {MIN_LENGTH}, and at most {MAX_LENGTH}"
        )
    return await asyncio.get_running_loop().run_in_executor(_thread, _hasher.hash, password)


async def verify_password(password: str, password_hash: str | None) -> tuple[bool, str | None]:
    """Whether the password is right, and its new hash where today's cost is higher.

    `password_hash` None (no such person) takes as long, so that the answer's time does not say who exists.
    """
    return await asyncio.get_running_loop().run_in_executor(_thread, _verify, password, password_hash)


def _verify(password: str, password_hash: str | None) -> tuple[bool, str | None]:
    tried = password[:MAX_LENGTH]
    if password_hash is None:
        _hasher.verify(tried, _dummy())
        return False, None
    right, new_hash = _hasher.verify_and_update(tried, password_hash)
    return right and tried == password, new_hash
