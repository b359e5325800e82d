"""Bulk bodies straight into numpy: the quick counterpart of contract.columns.decode_columns."""

from collections.abc import Sequence
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
    Parts,
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

    if runs == items:  # one reading of each series, as of a minute mostly: nothing to sum up
        return _singles(header, parts, series, decimals, is_raw, quality)
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


def _singles(
    header: Header,
    parts: Parts,
    series: npt.NDArray[np.int64],
    decimals: npt.NDArray[np.uint8],
    is_raw: npt.NDArray[np.bool_],
    quality: npt.NDArray[np.uint8],
) -> Columns:
    """The readings where each run is one."""
    tick = np.cumsum(_signed(_whole(parts.first_ticks, parts.runs)))
    value = _signed(_whole(parts.first_numbers, parts.runs)) / _TENS[decimals]
    if parts.raw_values:
        value[is_raw] = _whole(parts.raw, parts.raw_values).view(np.float64)
    return Columns(series.astype(np.uint32), header.base_ns + (tick & TICK_MASK) * TICK_NS, value, quality)


def decode_series(header: Header, data: bytes, places: Sequence[int]) -> list[Columns]:
    """The readings of some places of an inventory, a part for each that has any; the others' are only counted.

    A column without planes is all zeros. So of the commonest block, one reading of each series, hardly more than the
    lengths is looked at. Raises BlockError where those, or what is asked for, make no sense.
    """
    parts, items = split_columns(data, header.items), header.items
    runs = parts.runs
    counts = _whole(parts.counts, runs) + 1 if len(parts.counts) else None
    is_raw = np.frombuffer(parts.decimals, np.uint8) == RAW if len(parts.decimals) else None
    check_runs(_before(runs, counts), items, _raw_before(runs, counts, is_raw), parts.raw_values)
    series = np.cumsum(_whole(parts.gaps, runs) + 1) - 1 if len(parts.gaps) else None
    found = []
    for place in places:
        run = place if series is None else int(np.searchsorted(series, place))
        if run >= runs or (series is not None and series[run] != place):
            continue
        start, end = _before(run, counts), _before(run + 1, counts)
        later, steps = slice(start - run, end - run - 1), items - runs
        first_ticks = _signed(_whole(parts.first_ticks, runs, slice(run + 1)))
        tick = _summed_up(int(first_ticks.sum()), _whole(parts.tick_steps, steps, later))
        decimals = parts.decimals[run] if len(parts.decimals) else 0
        check_decimals(decimals)
        if decimals == RAW:
            raw = _raw_before(run, counts, is_raw)
            value = _whole(parts.raw, parts.raw_values, slice(raw, raw + end - start)).view(np.float64)
        else:
            zigzag = int.from_bytes(parts.first_numbers[run::runs], "little")
            number = _summed_up(zigzag >> 1 ^ -(zigzag & 1), _signed(_whole(parts.number_steps, steps, later)))
            value = number / _TENS[decimals]
        quality = bytes(parts.quality[start:end]) or bytes(end - start)
        check_quality(max(quality))
        mono_ns = header.base_ns + (tick & TICK_MASK) * TICK_NS
        series_of = np.full(end - start, place, np.uint32)
        found.append(Columns(series_of, mono_ns, value, np.frombuffer(quality, np.uint8)))
    return found


def _before(run: int, counts: npt.NDArray[np.int64] | None) -> int:
    """How many readings the runs before this one have; without counts each has one."""
    return run if counts is None else int(counts[:run].sum())


def _raw_before(run: int, counts: npt.NDArray[np.int64] | None, is_raw: npt.NDArray[np.bool_] | None) -> int:
    """How many of them are raw."""
    if is_raw is None:
        return 0
    return int(np.count_nonzero(is_raw[:run]) if counts is None else counts[:run][is_raw[:run]].sum())


_ALL: Final = slice(None)


def _whole(planes: memoryview, size: int, which: slice = _ALL) -> npt.NDArray[np.int64]:
    """A column's numbers, or some of them; those of 64 bits wrap."""
    if not len(planes):
        return np.zeros(len(range(size)[which]), np.int64)
    packed = np.frombuffer(planes, np.uint8).reshape(-1, size)[:, which].T
    shuffled = np.zeros((len(packed), 8), np.uint8)
    shuffled[:, : packed.shape[1]] = packed
    return shuffled.view("<i8").reshape(len(packed)).astype(np.int64, copy=False)


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


def _summed_up(first: int, steps: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """One run's first number and its steps as numbers (mod 2^64)."""
    numbers = np.full(len(steps) + 1, first, np.int64)
    numbers[1:] = steps
    return numbers.cumsum()
