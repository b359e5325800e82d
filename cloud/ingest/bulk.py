"""Bulk blocks checked and made ready to land, and the newest readings they bring. Pure."""

from datetime import UTC, datetime, timedelta
from uuid import UUID

import msgspec
import numpy as np
import numpy.typing as npt

from cloud.ingest.chain import Incoming
from cloud.store.columns import Columns, decode_columns
from cloud.store.group import Inventory
from cloud.store.landing import Arrived, true_quality
from cloud.store.newest import Newest
from cloud.store.streams import Boot
from contract.columns import most_body_bytes
from contract.errors import BlockError
from contract.session import RefusalReason

OLDEST_US = int(timedelta(days=400).total_seconds() * 1e6)
"""No box keeps what is older; and each day of it would be a chunk of its own."""
_AHEAD_US = 3_600_000_000
"""A reading more than an hour ahead of the cloud's clock is not plausible."""
_NO_TIME = np.iinfo(np.int64).min
_ANY_SERIES = 1 << 32


class Bad(msgspec.Struct, frozen=True):
    """A block that cannot be taken, and why."""

    block: Incoming
    reason: str


class Brought(msgspec.Struct, frozen=True):
    """Readings of a request's blocks of one inventory: by place, then time; quality as it counts."""

    inventory_id: int
    inventory: Inventory
    places: npt.NDArray[np.uint32]
    at_us: npt.NDArray[np.int64]
    value: npt.NDArray[np.float64]
    quality: npt.NDArray[np.uint8]


class Checked(msgspec.Struct, frozen=True):
    """What a request's blocks come to: how many were handled, why the next was not, what lands, what is set aside.

    `newest` has the newest reading of each series by each inventory of the blocks, in their order, and `brought` all
    readings by each of them.
    """

    handled: int
    refused: str | None
    missing_inventory: int
    arrived: tuple[Arrived, ...]
    bad: tuple[Bad, ...]
    newest: tuple[tuple[Inventory, Newest], ...]
    readings: int
    brought: tuple[Brought, ...] = ()


def decode(block: Incoming) -> Columns:
    """A block's readings, whatever its inventory. Raises BlockError where they make no sense."""
    head = block.header
    if block.body_bytes > most_body_bytes(head.items):  # before anything is decompressed
        raise BlockError(f"{head.items} readings cannot take {block.body_bytes} bytes")
    return decode_columns(head, block.body(), _ANY_SERIES)


def check(
    gateway: UUID,
    blocks: tuple[tuple[Incoming, Columns | BlockError], ...],
    boots: dict[bytes, Boot],
    inventories: dict[int, Inventory],
    now: datetime,
) -> Checked:
    """Checks consecutive blocks, as far as their boot and inventory are known.

    `boots` has each of the blocks' boots, `inventories` those of the blocks' that were ever sent.
    """
    arrived: list[Arrived] = []
    bad: list[Bad] = []
    heads: dict[int, _Heads] = {}
    handled = missing = readings = 0
    refused: str | None = None
    now_us = int(now.timestamp() * 1e6)
    for block, columns in blocks:
        head = block.header
        boot = boots[head.boot]
        if head.sealed_ns <= boot.sealed_ns:  # known from before a new epoch was opened
            handled += 1
            continue
        if boot.utc_ns is None or boot.mono_ns is None:
            refused = RefusalReason.CLOCK
            break
        inventory = inventories.get(head.inventory)
        if inventory is None:
            refused, missing = RefusalReason.INVENTORY, head.inventory
            break
        handled += 1
        try:
            if isinstance(columns, BlockError):
                raise columns
            offset_ns = boot.utc_ns - boot.mono_ns
            if not len(columns.series):
                continue
            at_us = (columns.mono_ns + offset_ns) // 1000
            first_us, last_us = int(at_us.min()), int(at_us.max())
            _check_times(first_us, last_us, now_us)
            _check_series(columns.series, inventory)
        except BlockError as e:
            bad.append(Bad(block, str(e)))
            continue
        items = len(columns.series)
        arrived.append(Arrived(gateway, head.inventory, offset_ns, first_us, last_us, items, block.raw))
        readings += items
        # A reading ahead of our clock would stay the newest until that has caught up with it.
        heads.setdefault(head.inventory, _Heads(inventory)).take(columns, np.minimum(at_us, now_us))
    newest = tuple((of.inventory, of.newest()) for of in heads.values())
    brought = tuple(of.brought(number) for number, of in heads.items())
    return Checked(handled, refused, missing, tuple(arrived), tuple(bad), newest, readings, brought)


_Part = tuple[npt.NDArray[np.uint32], npt.NDArray[np.int64], npt.NDArray[np.float64], npt.NDArray[np.uint8]]


class _Heads:
    """The newest reading of each place of an inventory, block after block."""

    def __init__(self, inventory: Inventory) -> None:
        size = len(inventory.series)
        self.inventory = inventory
        self._at_us = np.full(size, _NO_TIME, np.int64)
        self._value = np.empty(size, np.float64)
        self._quality = np.empty(size, np.uint8)
        self._parts: list[_Part] = []

    def take(self, columns: Columns, at_us: npt.NDArray[np.int64]) -> None:
        """Moves on to what a block brings that is as new or newer."""
        places, value, quality = columns.series, columns.value, columns.quality
        last = np.ones(len(places), np.bool_)
        np.not_equal(places[1:], places[:-1], out=last[:-1])
        if not last.all() and (np.diff(at_us)[~last[:-1]] < 0).any():  # a box reads in turn; but so says a box
            order = np.lexsort((at_us, places))  # the places are in order already, and stay where they are
            at_us, value, quality = at_us[order], value[order], quality[order]
        self._parts.append((places, at_us, value, quality))
        last[last] = at_us[last] >= self._at_us[places[last]]
        places = places[last]
        self._at_us[places] = at_us[last]
        self._value[places] = value[last]
        self._quality[places] = quality[last]

    def brought(self, inventory_id: int) -> Brought:
        """All that came, by place and time."""
        places, at_us, value, quality = self._parts[0]
        if len(self._parts) > 1:
            places, at_us, value, quality = (np.concatenate(column) for column in zip(*self._parts, strict=True))
            order = np.lexsort((at_us, places))
            places, at_us, value, quality = places[order], at_us[order], value[order], quality[order]
        return Brought(inventory_id, self.inventory, places, at_us, value, true_quality(value, quality))

    def newest(self) -> Newest:
        """What came, by ascending series."""
        (places,) = np.nonzero(self._at_us != _NO_TIME)
        series = self.inventory.series[places]
        if not (series[1:] > series[:-1]).all():
            order = np.lexsort((self._at_us[places], series))
            places, series = places[order], series[order]
            last = np.append(series[1:] != series[:-1], True)  # were a series counted twice, it still is one
            places, series = places[last], series[last]
        value, quality = self._value[places], self._quality[places]
        quality = true_quality(value, quality)
        return Newest(series, self._at_us[places], np.where(np.isfinite(value), value, np.nan), quality)


def _check_series(places: npt.NDArray[np.uint32], inventory: Inventory) -> None:
    if int(places.max()) >= len(inventory.series):
        raise BlockError(f"series {int(places.max())} is not in the inventory of {len(inventory.series)}")
    if not inventory.series[places].all():
        raise BlockError("a reading of a series whose lane is urgent")


def _check_times(first_us: int, last_us: int, now_us: int) -> None:
    if first_us < now_us - OLDEST_US or last_us > now_us + _AHEAD_US:
        first, last = (_say(us) for us in (first_us, last_us))
        raise BlockError(f"times from {first} to {last} are not plausible")


def _say(us: int) -> str:
    try:
        return f"{datetime.fromtimestamp(us / 1e6, UTC):%Y-%m-%d %H:%M} UTC"
    except (OverflowError, ValueError, OSError):
        return f"{us / 1e6:.0f} s since 1970"
