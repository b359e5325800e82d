"""What the ingest needs of the database: cursors, boots, inventories, and the rows of blocks."""

from collections.abc import Iterable, Sequence
from datetime import datetime
from uuid import UUID

import msgspec

from cloud.store import rollups
from cloud.store.database import Connection, rows_as
from cloud.store.errors import storable
from cloud.store.sql import load_queries
from contract.kinds import Lane
from contract.records import ClockRecord, InventoryRecord, LossReceipt
from contract.session import NO_CURSOR, Cursor

_SQL = load_queries("streams")


class Boot(msgspec.Struct, frozen=True):
    """One run of a box's clock: its newest clock record, and the seal time of the last block taken of one stream."""

    boot: bytes
    mono_ns: int | None = None
    utc_ns: int | None = None
    uncertainty_ns: int | None = None
    sealed_ns: int = 0

    def utc_at(self, mono_ns: int) -> int | None:
        """UTC nanoseconds at a monotonic time of this boot, or None before its first clock record."""
        if self.utc_ns is None or self.mono_ns is None:
            return None
        return self.utc_ns + mono_ns - self.mono_ns


class Source(msgspec.Struct, frozen=True):
    """A device of a box, and one of its series where it has any."""

    device: int
    key: str
    kind: str
    estate: int
    series: int | None
    point: str | None


class StateRow(msgspec.Struct, frozen=True):
    """A state that a series took; None: lost."""

    series: int
    at: datetime
    state: str | None
    quality: int


async def lock_cursor(connection: Connection, gateway: UUID, stream: Lane) -> Cursor:
    """How far a stream is, locked until the transaction ends."""
    row = await connection.fetchrow(_SQL["lock_cursor"], gateway, stream)
    if row is None:
        await connection.execute(_SQL["create_cursor"], gateway, stream)
        row = await connection.fetchrow(_SQL["lock_cursor"], gateway, stream)
    return Cursor(**dict(row)) if row else NO_CURSOR


async def cursor_now(connection: Connection, gateway: UUID, stream: Lane) -> Cursor:
    """How far a stream is, not locked: it may have moved on when this returns."""
    return (await cursors(connection, gateway))[stream]


async def move_cursor(connection: Connection, gateway: UUID, stream: Lane, cursor: Cursor) -> None:
    """The stream has come to `cursor` once the transaction commits."""
    await connection.execute(_SQL["move_cursor"], gateway, stream, cursor.epoch, cursor.number, cursor.checksum)


async def cursors(connection: Connection, gateway: UUID) -> dict[Lane, Cursor]:
    """Both cursors of a box; NO_CURSOR where nothing came yet."""
    found = {
        Lane(row["stream"]): Cursor(row["epoch"], row["number"], row["checksum"])
        for row in await connection.fetch(_SQL["cursors"], gateway)
    }
    return {stream: found.get(stream, NO_CURSOR) for stream in Lane}


async def epoch_is_known(connection: Connection, gateway: UUID, stream: Lane, epoch: int) -> bool:
    """Whether the box has used this epoch before."""
    return bool(await connection.fetchval(_SQL["epoch_known"], gateway, stream, epoch))


async def open_epoch(connection: Connection, gateway: UUID, stream: Lane, epoch: int, last_number: int) -> None:
    """A new chain; the one before ended at `last_number`."""
    await connection.execute(_SQL["close_epochs"], gateway, stream, epoch, last_number)
    await connection.execute(_SQL["open_epoch"], gateway, stream, epoch)


async def boots(connection: Connection, gateway: UUID, stream: Lane, ids: Iterable[bytes]) -> dict[bytes, Boot]:
    """What is known of these boots, for one stream; unknown ones are fresh."""
    rows = rows_as(Boot, await connection.fetch(_SQL["boots"], gateway, stream, list(set(ids))))
    return {row.boot: row for row in rows}


async def seal(connection: Connection, gateway: UUID, stream: Lane, boot: bytes, sealed_ns: int) -> None:
    """The last block taken of a boot was sealed at `sealed_ns`."""
    await connection.execute(_SQL["seal"], gateway, stream, boot, sealed_ns)


async def set_clock(connection: Connection, gateway: UUID, record: ClockRecord) -> None:
    """The newest tie between a boot's monotonic time and UTC."""
    await connection.execute(
        _SQL["set_clock"], gateway, record.boot, record.mono_ns, record.utc_ns, record.uncertainty_ns, record.source
    )


async def put_inventory(connection: Connection, gateway: UUID, estate: int, record: InventoryRecord) -> set[int]:
    """The box's devices and series as it says they are; devices it no longer names become inactive.

    Returns those of them whose alarms ended with that.
    """
    d = record.devices
    devices = await connection.fetch(
        _SQL["put_devices"], gateway, estate,
        [x.id for x in d], [x.name for x in d], [x.kind for x in d], [x.profile for x in d], [x.bus for x in d],
        [x.place.building for x in d], [x.place.unit for x in d], [x.place.floor for x in d],
        [x.place.spot for x in d], [" ".join(x.commands) for x in d],
    )  # fmt: skip
    ids = {row["key"]: row["id"] for row in devices}
    s = record.series
    rows = await connection.fetch(
        _SQL["put_series"],
        [ids[x.device] for x in s], [x.point for x in s], [str(x.lane) for x in s], [x.stale_after_s for x in s],
    )  # fmt: skip
    series = {(row["device"], row["point"]): row["id"] for row in rows}
    order = [series[ids[x.device], x.point] if x.lane is Lane.BULK else 0 for x in s]
    await connection.execute(_SQL["put_inventory"], gateway, record.inventory_id, order)
    await connection.execute(_SQL["forget_gone"], gateway)
    return {row["device"] for row in await connection.fetch(_SQL["end_gone"], gateway)}


async def sources(connection: Connection, gateway: UUID) -> list[Source]:
    """The devices and series of a box, by the names its records use."""
    return rows_as(Source, await connection.fetch(_SQL["sources"], gateway))


async def put_states(connection: Connection, rows: Sequence[StateRow]) -> None:
    """Adds state changes to history and marks their hours."""
    await connection.execute(
        _SQL["put_states"],
        [r.series for r in rows],
        [r.at for r in rows],
        [r.state for r in rows],
        [r.quality for r in rows],
    )
    await rollups.mark_rows(connection, ((r.series, r.at) for r in rows))


async def put_events(connection: Connection, rows: Sequence[tuple[int, datetime, str, object]]) -> None:
    """Adds events (device, at, point, fields)."""
    await connection.execute(
        _SQL["put_events"], [r[0] for r in rows], [r[1] for r in rows], [r[2] for r in rows],
        [msgspec.json.encode(r[3]).decode() for r in rows],
    )  # fmt: skip


async def put_latest(connection: Connection, rows: Sequence[StateRow]) -> None:
    """Moves the newest states on, one row a series."""
    await connection.execute(
        _SQL["put_latest"],
        [r.series for r in rows],
        [r.at for r in rows],
        [r.state for r in rows],
        [r.quality for r in rows],
    )


async def latest_at(connection: Connection, series: Iterable[int]) -> dict[int, datetime]:
    """The high-water mark of each series that has one."""
    return {row["series"]: row["at"] for row in await connection.fetch(_SQL["latest_at"], list(series))}


async def put_loss(connection: Connection, gateway: UUID, receipt: LossReceipt, at: datetime) -> None:
    """What the box says it had to give up."""
    await connection.execute(
        _SQL["put_loss"],
        gateway,
        receipt.stream,
        receipt.epoch,
        receipt.first,
        receipt.last,
        receipt.items,
        receipt.reason,
        at,
    )


async def quarantine(
    connection: Connection,
    gateway: UUID,
    stream: Lane,
    epoch: int,
    number: int,
    block: bytes,
    reason: str,
    left_out: Sequence[int] | None = None,
) -> None:
    """Sets a block aside with its reason, so that the stream goes on and people can look at it.

    `left_out` are the places of the records that were not kept where the others were; None: all of it.
    """
    await connection.execute(_SQL["quarantine"], gateway, stream, epoch, number, block, storable(reason, 500), left_out)


class SetAside(msgspec.Struct, frozen=True):
    """A block that was set aside: whose, since when, which of its records were left out (None: all), and if it came
    to be stored after all.
    """

    gateway: UUID
    estate: int
    stream: Lane
    block: bytes
    at: datetime
    left_out: list[int] | None
    replayed: bool
    newer_inventory: bool


async def lock_set_aside(connection: Connection, number: int) -> SetAside | None:
    """A block that was set aside, locked until the transaction ends."""
    row = await connection.fetchrow(_SQL["lock_set_aside"], number)
    return None if row is None else SetAside(**dict(row) | {"stream": Lane(row["stream"])})


async def mark_replayed(connection: Connection, number: int) -> None:
    """The block is stored now."""
    await connection.execute(_SQL["mark_replayed"], number)
