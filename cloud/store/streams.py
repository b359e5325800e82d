"""What the ingest needs of the database: cursors, boots, inventories, and the rows of blocks."""

from collections.abc import Iterable, Sequence
from datetime import datetime
from uuid import UUID

import msgspec
import numpy as np
import numpy.typing as npt

from cloud.store import rollups
from cloud.store.copy import COLUMNS, readings_as_copy
from cloud.store.database import Connection, rows_as
from cloud.store.errors import storable
from cloud.store.sql import load_queries
from contract.kinds import Lane
from contract.records import ClockRecord, InventoryRecord, LossReceipt
from contract.session import NO_CURSOR, Cursor

_SQL = load_queries("streams")


class Boot(msgspec.Struct, frozen=True):
    """One run of a box's clock: its newest clock record, and the seal time of the last block taken of each stream."""

    boot: bytes
    mono_ns: int | None = None
    utc_ns: int | None = None
    uncertainty_ns: int | None = None
    urgent_sealed_ns: int = 0
    bulk_sealed_ns: int = 0

    def sealed_ns(self, stream: Lane) -> int:
        """Seal time of the last block taken of a stream in this boot."""
        return self.urgent_sealed_ns if stream is Lane.URGENT else self.bulk_sealed_ns

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


class Latest(msgspec.Struct, frozen=True):
    """The newest value of a series: a number in `value` or a word in `state`."""

    series: int
    at: datetime
    value: float | None
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


async def boots(connection: Connection, gateway: UUID, ids: Iterable[bytes]) -> dict[bytes, Boot]:
    """What is known of these boots; unknown ones are fresh."""
    wanted = set(ids)
    rows = rows_as(Boot, await connection.fetch(_SQL["boots"], gateway, list(wanted)))
    return {boot: Boot(boot) for boot in wanted} | {row.boot: row for row in rows}


async def seal(connection: Connection, gateway: UUID, stream: Lane, boot: bytes, sealed_ns: int) -> None:
    """The last block taken of a boot was sealed at `sealed_ns`."""
    await connection.execute(_SQL[f"seal_{stream}"], gateway, boot, sealed_ns)


async def set_clock(connection: Connection, gateway: UUID, record: ClockRecord) -> None:
    """The newest tie between a boot's monotonic time and UTC."""
    await connection.execute(
        _SQL["set_clock"], gateway, record.boot, record.mono_ns, record.utc_ns, record.uncertainty_ns, record.source
    )


async def series_of_inventory(connection: Connection, gateway: UUID, inventory_id: int) -> npt.NDArray[np.int32] | None:
    """Series ids by their position in an inventory, 0 for those whose lane is urgent; None when it was never sent."""
    series = await connection.fetchval(_SQL["inventory"], gateway, inventory_id)
    return None if series is None else np.asarray(series, np.int32)


async def put_inventory(connection: Connection, gateway: UUID, estate: int, record: InventoryRecord) -> None:
    """The box's devices and series as it says they are; devices it no longer names become inactive."""
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


async def sources(connection: Connection, gateway: UUID) -> list[Source]:
    """The devices and series of a box, by the names its records use."""
    return rows_as(Source, await connection.fetch(_SQL["sources"], gateway))


async def put_readings(
    connection: Connection,
    series: npt.NDArray[np.int32],
    at_us: npt.NDArray[np.int64],
    value: npt.NDArray[np.float64],
    quality: npt.NDArray[np.uint8],
) -> None:
    """Copies n readings and marks their hours; `at_us` in microseconds since 1970."""
    source = readings_as_copy(series, at_us, value, quality)
    await connection.copy_to_table("readings", source=source, columns=COLUMNS, format="binary")
    await rollups.mark(connection, series, at_us)


async def put_states(connection: Connection, rows: Sequence[Latest]) -> None:
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


async def put_latest(connection: Connection, rows: Sequence[Latest]) -> set[int]:
    """Moves the newest values on, one row a series; returns the devices of those that moved."""
    moved = await connection.fetch(
        _SQL["put_latest"], [r.series for r in rows], [r.at for r in rows], [r.value for r in rows],
        [r.state for r in rows], [r.quality for r in rows],
    )  # fmt: skip
    return {row["device"] for row in moved}


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
    connection: Connection, gateway: UUID, stream: Lane, epoch: int, number: int, block: bytes, reason: str
) -> None:
    """Sets a block aside with its reason, so that the stream goes on and people can look at it."""
    await connection.execute(_SQL["quarantine"], gateway, stream, epoch, number, block, storable(reason, 500))
