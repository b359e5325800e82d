"""Bulk bodies straight into numpy: the quick counterpart of contract.columns.decode_columns."""

from typing import Final

import msgspec
import numpy as np
import numpy.typing as npt

from contract.block import Header
from contract.columns import (
    MAX_DECIMALS,
    RAW,
    SERIES,
    TICK_MASK,
    TICK_NS,
    check_decimals,
    check_quality,
    check_runs,
    check_series,
    split_columns,
)

_TENS: Final = np.array([10.0**decimals for decimals in range(MAX_DECIMALS + 1)])
_UNSIGNED: Final = np.int64(2**63 - 1)


class Columns(msgspec.Struct, frozen=True):
    """n readings: position in the inventory, monotonic nanoseconds, value, quality; ordered by series, then time."""

    series: npt.NDArray[np.uint32]
    mono_ns: npt.NDArray[np.int64]
    value: npt.NDArray[np.float64]
    quality: npt.NDArray[np.uint8]


def decode_columns(header: Header, data: bytes, inventory_size: int) -> Columns:
    """The readings of a bulk block's body. Raises BlockError where lengths, series or qualities make no sense."""
    items = header.items
    parts = split_columns(data, items)
    runs = parts.runs
    counts = _whole(parts.counts, runs) + 1
    decimals = np.frombuffer(parts.decimals, np.uint8) if len(parts.decimals) else np.zeros(runs, np.uint8)
    is_raw = decimals == RAW
    check_runs(int(counts.sum()), items, int(counts[is_raw].sum()), parts.raw_values)
    decimals = np.where(is_raw, np.uint8(0), decimals)
    check_decimals(int(decimals.max(initial=0)))
    quality = np.frombuffer(parts.quality, np.uint8) if len(parts.quality) else np.zeros(items, np.uint8)
    check_quality(int(quality.max(initial=0)))
    series = np.cumsum(_whole(parts.gaps, runs) + 1) - 1  # cannot overflow: 100,000 numbers of 32 bits at most
    check_series(int(series[-1]) if runs else -1, min(inventory_size, SERIES))

    run = np.repeat(np.arange(runs), counts)
    starts = np.cumsum(counts) - counts
    is_later = np.ones(items, np.bool_)
    is_later[starts] = False
    first_tick = np.cumsum(_signed(_whole(parts.first_ticks, runs)))
    first_number = _signed(_whole(parts.first_numbers, runs))
    tick = _summed(_whole(parts.tick_steps, items - runs), is_later, starts, first_tick, run)
    number = _summed(_signed(_whole(parts.number_steps, items - runs)), is_later, starts, first_number, run)
    value = number / _TENS[decimals][run]
    if parts.raw_values:
        value[is_raw[run]] = _whole(parts.raw, parts.raw_values).view(np.float64)
    return Columns(series[run].astype(np.uint32), header.base_ns + (tick & TICK_MASK) * TICK_NS, value, quality)


def _whole(planes: memoryview, size: int) -> npt.NDArray[np.int64]:
    """A column's numbers; those of 64 bits wrap."""
    shuffled = np.zeros((size, 8), np.uint8)
    if len(planes):
        shuffled[:, : len(planes) // size] = np.frombuffer(planes, np.uint8).reshape(-1, size).T
    return shuffled.view("<i8").reshape(size).astype(np.int64, copy=False)


def _signed(zigzag: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """0, 1, 2, 3 … as 0, -1, 1, -2 …"""
    return (zigzag >> 1 & _UNSIGNED) ^ -(zigzag & 1)


def _summed(
    steps: npt.NDArray[np.int64],
    is_later: npt.NDArray[np.bool_],
    starts: npt.NDArray[np.int64],
    firsts: npt.NDArray[np.int64],
    run: npt.NDArray[np.int64],
) -> npt.NDArray[np.int64]:
    """Each run's first number and its steps as numbers (mod 2^64)."""
    numbers = np.zeros(len(is_later), np.int64)
    numbers[is_later] = steps
    np.cumsum(numbers, out=numbers)
    numbers += (firsts - numbers[starts])[run]
    return numbers
