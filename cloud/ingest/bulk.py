"""Bulk blocks into rows: decode, convert time, copy, move the latest values."""

from datetime import UTC, datetime, timedelta
from uuid import UUID

import msgspec
import numpy as np
import numpy.typing as npt

from cloud.ingest.chain import Incoming
from cloud.ingest.columns import Columns, decode_columns
from cloud.store import Connection, streams
from cloud.store.streams import Boot, Latest
from contract.columns import most_body_bytes
from contract.errors import BlockError
from contract.kinds import Lane
from contract.messages import Quality
from contract.session import RefusalReason

OLDEST_US = int(timedelta(days=400).total_seconds() * 1e6)
"""No box keeps what is older; and each day of it would be a chunk of its own."""
_AHEAD_US = 3_600_000_000
"""A reading more than an hour ahead of the cloud's clock is not plausible."""


class Stored(msgspec.Struct, frozen=True):
    """What became of bulk blocks: how many were handled, why the next was not, which devices have news."""

    handled: int
    refused: str | None
    missing_inventory: int
    moved: frozenset[int]
    quarantined: int
    rows: int


async def store_bulk(
    connection: Connection, gateway: UUID, blocks: tuple[Incoming, ...], boots: dict[bytes, Boot], now: datetime
) -> Stored:
    """Stores the readings of consecutive blocks, as far as their boot and inventory are known."""
    parts: list[tuple[npt.NDArray[np.int32], npt.NDArray[np.int64], Columns]] = []
    inventories: dict[int, npt.NDArray[np.int32] | None] = {}
    handled = quarantined = missing = 0
    refused: str | None = None
    for block in blocks:
        head = block.header
        boot = boots[head.boot]
        if head.sealed_ns <= boot.sealed_ns(Lane.BULK):  # known from before a new epoch was opened
            handled += 1
            continue
        if head.inventory not in inventories:
            inventories[head.inventory] = await streams.series_of_inventory(connection, gateway, head.inventory)
        series = inventories[head.inventory]
        if boot.utc_ns is None or boot.mono_ns is None:
            refused = RefusalReason.CLOCK
            break
        if series is None:
            refused, missing = RefusalReason.INVENTORY, head.inventory
            break
        try:
            columns = _columns(block, series)
            at_us = (columns.mono_ns + (boot.utc_ns - boot.mono_ns)) // 1000
            _check_times(at_us, now)
            parts.append((series[columns.series], at_us, columns))
        except BlockError as e:
            await streams.quarantine(connection, gateway, Lane.BULK, head.epoch, head.number, block.raw, str(e))
            quarantined += 1
        handled += 1
    moved, rows = await _copy(connection, parts, now)
    return Stored(handled, refused, missing, frozenset(moved), quarantined, rows)


def _columns(block: Incoming, series: npt.NDArray[np.int32]) -> Columns:
    if block.body_bytes > most_body_bytes(block.header.items):  # before anything is decompressed
        raise BlockError(f"{block.header.items} readings cannot take {block.body_bytes} bytes")
    columns = decode_columns(block.header, block.body(), len(series))
    if len(columns.series) and not series[columns.series].all():
        raise BlockError("a reading of a series whose lane is urgent")
    return columns


def _check_times(at_us: npt.NDArray[np.int64], now: datetime) -> None:
    if not len(at_us):
        return
    now_us = int(now.timestamp() * 1e6)
    latest_us = now_us + _AHEAD_US
    if int(at_us.min()) < now_us - OLDEST_US or int(at_us.max()) > latest_us:
        first, last = (datetime.fromtimestamp(int(us) / 1e6, UTC) for us in (at_us.min(), at_us.max()))
        raise BlockError(f"times from {first:%Y-%m-%d %H:%M} to {last:%Y-%m-%d %H:%M} UTC are not plausible")


async def _copy(
    connection: Connection, parts: list[tuple[npt.NDArray[np.int32], npt.NDArray[np.int64], Columns]], now: datetime
) -> tuple[set[int], int]:
    if not parts:
        return set(), 0
    series = np.concatenate([part[0] for part in parts])
    at_us = np.concatenate([part[1] for part in parts])
    value = np.concatenate([part[2].value for part in parts])
    quality = np.concatenate([part[2].quality for part in parts])
    quality = np.where((quality == Quality.GOOD) & ~np.isfinite(value), np.uint8(Quality.FAULT), quality)
    if not len(series):
        return set(), 0
    # Sorted rows are runs in the index (series, at), and the last of each run is the series' newest value.
    order = np.lexsort((at_us, series))
    series, at_us, value, quality = series[order], at_us[order], value[order], quality[order]
    await streams.put_readings(connection, series, at_us, value, quality)
    ends = np.flatnonzero(np.append(series[1:] != series[:-1], True))
    newest = [
        Latest(
            int(series[i]),
            min(datetime.fromtimestamp(int(at_us[i]) / 1e6, UTC), now),  # else it would stay the newest for an hour
            float(value[i]) if np.isfinite(value[i]) else None,
            None,
            int(quality[i]),
        )
        for i in ends
    ]
    return await streams.put_latest(connection, newest), len(series)
