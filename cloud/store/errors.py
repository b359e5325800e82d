"""What the database's errors mean to the rest of the cloud."""

import asyncpg

from contract.errors import Permanent

LOST = (
    asyncpg.PostgresConnectionError,
    asyncpg.InternalClientError,  # a query on a connection whose server has just said that it ends
    OSError,
    TimeoutError,
)
BUSY = (
    asyncpg.SerializationError,
    asyncpg.DeadlockDetectedError,
    asyncpg.TooManyConnectionsError,
    asyncpg.CannotConnectNowError,
    asyncpg.AdminShutdownError,
    asyncpg.CrashShutdownError,
    asyncpg.InsufficientResourcesError,
    asyncpg.LockNotAvailableError,
    asyncpg.QueryCanceledError,
    asyncpg.IdleInTransactionSessionTimeoutError,
)
UNAVAILABLE = (*LOST, *BUSY)
"""Errors that say nothing about the data: the same may be tried again later."""
REFUSALS = (asyncpg.DataError, asyncpg.IntegrityConstraintViolationError, asyncpg.exceptions._base.DataError)  # noqa: SLF001
"""The database takes these data never: out of range, not text, against a constraint."""


class UnkeepableError(Permanent):
    """The database refuses data that came from outside, and always will."""


def say(error: Exception) -> str:
    """An error in words; some have none but their name."""
    return str(error) or type(error).__name__


def storable(text: str, most: int) -> str:
    """Text from outside as PostgreSQL takes it: without NUL characters, and no longer than `most`."""
    return text.replace("\x00", "")[:most]
