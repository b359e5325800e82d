"""Boxes: claims, keys, sessions, and what is known of each."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from uuid import UUID

import msgspec

from cloud.store.database import Connection, rows_as
from cloud.store.sql import load_queries

_SQL = load_queries("gateways")
MOST_NONCES = 10


class Claim(msgspec.Struct, frozen=True):
    """A claim as it stands."""

    estate: int
    expired: bool
    used: bool
    gateway: UUID | None
    """The box that used it, unless it was revoked since."""
    public_key: bytes | None


class Gateway(msgspec.Struct, frozen=True):
    """A box that has proved itself, and its estate."""

    id: UUID
    estate: int


class Revoked(msgspec.Struct, frozen=True):
    """What ended with a box: the devices of this estate that it spoke for."""

    estate: int
    devices: frozenset[int]


class GatewayRow(msgspec.Struct, frozen=True):
    """A box as the console shows it; `data_at` is when the cloud last committed anything new from it."""

    id: UUID
    estate: str
    hostname: str
    version: str
    enrolled_at: datetime
    seen_at: datetime | None
    revoked_at: datetime | None
    uncertainty_ns: int | None
    clock_source: str | None
    silent: bool
    urgent_backlog: int | None
    bulk_backlog: int | None
    devices: int
    data_at: datetime | None
    lost_items: int
    quarantined: int
    in_session: bool


async def put_claim(connection: Connection, code_hash: bytes, estate: int, created_by: str, lasts: timedelta) -> None:
    """A one-time right to enrol a box in an estate."""
    await connection.execute(_SQL["put_claim"], code_hash, estate, created_by, lasts)


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


async def public_key(connection: Connection, gateway: UUID) -> bytes | None:
    """The key of a box that may open sessions."""
    key = await connection.fetchval(_SQL["gateway_key"], gateway)
    return None if key is None else bytes(key)


async def put_nonce(connection: Connection, nonce: bytes, gateway: UUID) -> bool:
    """Keeps a nonce for a minute, and of a box no more than MOST_NONCES; False when there is no such box."""
    return bool(await connection.fetchval(_SQL["put_nonce"], nonce, gateway, MOST_NONCES))


async def take_nonce(connection: Connection, nonce: bytes, gateway: UUID) -> bool:
    """Whether this nonce was given to this box and not used yet; it is used now."""
    return bool(await connection.fetchval(_SQL["take_nonce"], nonce, gateway))


async def open_session(connection: Connection, token_hash: bytes, gateway: UUID, lasts: timedelta) -> None:
    """A session of a box."""
    await connection.execute(_SQL["open_session"], token_hash, gateway, lasts)


async def session_gateway(connection: Connection, token_hash: bytes) -> Gateway | None:
    """The box of a token that holds."""
    row = await connection.fetchrow(_SQL["session_gateway"], token_hash)
    return Gateway(row["id"], row["estate"]) if row else None


class SilentGateway(msgspec.Struct, frozen=True):
    """A box that says nothing, since when, and how many devices nobody knows of because of it."""

    id: UUID
    estate: str
    hostname: str
    seen_at: datetime | None
    devices: int


async def beat(connection: Connection, gateway: UUID, urgent_blocks: int, bulk_blocks: int) -> bool:
    """The box lives and keeps so many blocks; returns whether it was silent before."""
    return bool(await connection.fetchval(_SQL["beat"], gateway, urgent_blocks, bulk_blocks))


async def silent(connection: Connection, estates: Sequence[int]) -> list[SilentGateway]:
    """The boxes of these estates that say nothing."""
    return rows_as(SilentGateway, await connection.fetch(_SQL["silent"], list(estates)))


async def seen(
    connection: Connection, gateway: UUID, version: str | None = None, site_digest: str | None = None
) -> None:
    """The box was here."""
    await connection.execute(_SQL["seen"], gateway, version, site_digest)


async def revoke(connection: Connection, gateway: UUID, who: str, why: str) -> Revoked | None:
    """Ends a box's sessions and its right to open new ones, its devices and their alarms; None: no such box."""
    estate = await connection.fetchval(_SQL["revoke"], gateway)
    if estate is None:
        return None
    devices = {row["id"] for row in await connection.fetch(_SQL["retire_devices"], gateway)}
    alarmed = {row["device"] for row in await connection.fetch(_SQL["end_alarms"], gateway, who, why)}
    return Revoked(int(estate), frozenset(devices | alarmed))


async def list_gateways(connection: Connection, estates: Sequence[int]) -> list[GatewayRow]:
    """The boxes of these estates."""
    return rows_as(GatewayRow, await connection.fetch(_SQL["list_gateways"], list(estates)))
