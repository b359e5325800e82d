"""Boxes: claims, keys, sessions, and the end of their rights. What they say of themselves is in boxes.py."""

from collections.abc import Collection
from datetime import datetime, timedelta
from uuid import UUID

import msgspec

from cloud.store.database import Connection
from cloud.store.sql import load_queries

_SQL = load_queries("gateways")
MOST_NONCES = 10


class Claim(msgspec.Struct, frozen=True):
    """A claim as it stands."""

    estate: int
    expired: bool
    used: bool
    replaces: UUID | None
    """The box whose place the new one takes."""
    gateway: UUID | None
    """The box that used it, unless it was revoked since."""
    public_key: bytes | None


class Gateway(msgspec.Struct, frozen=True):
    """A box that has proved itself, its estate, and the session that it speaks in: since when, and its token's hash."""

    id: UUID
    estate: int
    session_at: datetime
    session: bytes


class Revoked(msgspec.Struct, frozen=True):
    """What a box was revoked from: the devices of this estate that it spoke for."""

    estate: int
    devices: frozenset[int]


async def put_claim(
    connection: Connection,
    code_hash: bytes,
    estate: int,
    created_by: str,
    lasts: timedelta,
    replaces: UUID | None = None,
) -> None:
    """A one-time right to enrol a box in an estate, perhaps in place of another."""
    await connection.execute(_SQL["put_claim"], code_hash, estate, created_by, lasts, replaces)


async def lock_claim(connection: Connection, code_hash: bytes) -> Claim | None:
    """The claim of a code, locked until the transaction ends."""
    row = await connection.fetchrow(_SQL["lock_claim"], code_hash)
    return Claim(**dict(row)) if row else None


async def use_claim(connection: Connection, code_hash: bytes, gateway: UUID) -> None:
    """The claim is spent on this box."""
    await connection.execute(_SQL["use_claim"], code_hash, gateway)


async def count_enrol_failures(connection: Connection, address: str) -> int:
    """Wrong claims from an address in the last quarter of an hour."""
    return int(await connection.fetchval(_SQL["count_enrol_failures"], address))


async def put_enrol_failure(connection: Connection, address: str) -> None:
    """One more wrong claim from an address."""
    await connection.execute(_SQL["put_enrol_failure"], address)


async def put_gateway(connection: Connection, estate: int, public_key: bytes, hostname: str, version: str) -> UUID:
    """A new box; returns its id."""
    return UUID(str(await connection.fetchval(_SQL["put_gateway"], estate, public_key, hostname, version)))


async def put_nonce(connection: Connection, nonce: bytes, gateway: UUID) -> bool:
    """Keeps a nonce for a minute, and of a box no more than MOST_NONCES; False when there is no such box."""
    return bool(await connection.fetchval(_SQL["put_nonce"], nonce, gateway, MOST_NONCES))


async def take_nonce(connection: Connection, nonce: bytes, gateway: UUID) -> bytes | None:
    """The key of a box that was given this nonce and has not used it yet; it is used now."""
    key = await connection.fetchval(_SQL["take_nonce"], nonce, gateway)
    return None if key is None else bytes(key)


async def open_session(connection: Connection, token_hash: bytes, gateway: UUID, lasts: timedelta) -> None:
    """A session of a box."""
    await connection.execute(_SQL["open_session"], token_hash, gateway, lasts)


async def session_gateways(connection: Connection, token_hashes: Collection[bytes]) -> dict[bytes, Gateway]:
    """The boxes of those of these tokens that hold, by token."""
    rows = await connection.fetch(_SQL["session_gateways"], list(token_hashes))
    return {row["token_hash"]: Gateway(row["id"], row["estate"], row["session_at"], row["token_hash"]) for row in rows}


async def seen(
    connection: Connection,
    gateway: UUID,
    version: str | None = None,
    site_digest: str | None = None,
    beat_s: float | None = None,
) -> None:
    """The box was here, and from now on beats so often."""
    await connection.execute(_SQL["seen"], gateway, version, site_digest, beat_s)


async def lock_active(connection: Connection, gateways: Collection[UUID]) -> set[UUID]:
    """Those of these boxes that are not revoked, and will not be before the transaction ends.

    Call it in a transaction that holds a cursor of each: who revokes a box waits for its cursors first. So the rows of
    the boxes themselves, which each beat writes, are not locked for it.
    """
    return {row["id"] for row in await connection.fetch(_SQL["active"], list(gateways))}


async def stop_storing(connection: Connection, *boxes: UUID) -> None:
    """Waits for what is being stored of these; what comes after this transaction finds them as that leaves them."""
    for gateway in sorted(boxes):  # whoever stops two of them does so in the same order
        await connection.execute(_SQL["create_cursors"], gateway)
        await connection.execute(_SQL["lock_cursors"], gateway)


async def revoke(connection: Connection, gateway: UUID, who: str, why: str) -> Revoked | None:
    """Ends a box's sessions and its right to open new ones, its devices and their alarms; None: no such box."""
    await stop_storing(connection, gateway)
    estate = await connection.fetchval(_SQL["revoke"], gateway)
    if estate is None:
        return None
    devices = {row["id"] for row in await connection.fetch(_SQL["retire_devices"], gateway)}
    await connection.execute(_SQL["end_conditions"], gateway)
    alarmed = {row["device"] for row in await connection.fetch(_SQL["end_alarms"], gateway, who, why)}
    return Revoked(int(estate), frozenset(devices | alarmed))


class Standing(msgspec.Struct, frozen=True):
    """A box that is not revoked: its estate, and whether it has ever reported devices."""

    estate: int
    has_devices: bool


async def standing(connection: Connection, gateway: UUID) -> Standing | None:
    """How a box stands; None where there is none, or it was revoked."""
    row = await connection.fetchrow(_SQL["estate"], gateway)
    return Standing(row["estate"], row["has_devices"]) if row else None


async def replace(connection: Connection, old: UUID, new: UUID) -> Revoked | None:
    """Revokes a box and gives its devices, with their ids, history and alarms, to one that has none yet.

    None where the old one is none, or was revoked already.
    """
    await stop_storing(connection, old, new)
    estate = await connection.fetchval(_SQL["replace"], old, new)
    if estate is None:
        return None
    devices = {row["id"] for row in await connection.fetch(_SQL["pass_devices_on"], old, new)}
    await connection.execute(_SQL["pass_latest_on"], old, new)
    await connection.execute(_SQL["pass_alarms_on"], old, new)
    await connection.execute(_SQL["pass_conditions_on"], old, new)
    return Revoked(int(estate), frozenset(devices))
