"""The body of a bulk block: readings as columns of whole numbers. Layout and reasons in BLOCK.md.

Written for a box that has no numpy: each step is one pass of a list, and what is done for each series is little.
`cloud/store/columns.py` is the quick counterpart of the decoder here.
"""

import struct
import sys
from array import array
from collections import defaultdict
from collections.abc import Iterable, Sequence
from itertools import accumulate, chain, compress, pairwise, repeat
from math import copysign, gcd
from operator import floordiv, sub
from typing import Final

import msgspec

from contract.errors import BlockError
from contract.messages import Quality

TICK_NS: Final = 1_000_000
"""Resolution of a reading's time within a block: one millisecond."""
TICK_MASK: Final = 0xFFFFFFFF
SERIES: Final = 1 << 32
"""No inventory has more."""
MAX_DECIMALS: Final = 6
RAW: Final = 255
"""In place of a number of decimals: the values of the series are no short decimals and stand as they are."""

_HEAD = struct.Struct("<II")
_MAX_WIDTHS: Final = (4, 4, 1, 5, 8, 8, 8, 1, 8)
"""Most bytes a number of each column, in their order: five of each run, two of each later reading, quality, raw."""
_MOST_ROW_BYTES: Final = max(sum(_MAX_WIDTHS[:5]), sum(_MAX_WIDTHS[5:7])) + sum(_MAX_WIDTHS[7:])
_MILLION: Final = 10**MAX_DECIMALS
_MOST: Final = 2**52 / _MILLION
"""Below it a value's millionths are whole numbers that a float holds exactly."""
_NO_DECIMAL: Final = 2**53 + 1
"""Stands for the millionths of a value that has none; it has no divisor in common with a million."""
_DECIMALS: Final = {
    2**twos * 5**fives: MAX_DECIMALS - min(twos, fives)
    for twos in range(MAX_DECIMALS + 1)
    for fives in range(MAX_DECIMALS + 1)
}
"""How many decimals are left of numbers of millionths, by what of a million divides them all."""
_DIVISORS: Final = {decimals: 10 ** (MAX_DECIMALS - decimals) for decimals in range(MAX_DECIMALS + 1)} | {RAW: 1}
_LAST_QUALITY: Final = int(max(Quality))
_SIGN: Final = 1 << 63
_MASK: Final = (1 << 64) - 1


class Row(msgspec.Struct, frozen=True, gc=False):
    """One reading of a bulk block: position in the inventory, monotonic time, value (NaN for none), quality."""

    series: int
    mono_ns: int
    value: float
    quality: Quality


class Parts(msgspec.Struct, frozen=True):
    """A body cut into its columns, each still as byte planes: `runs` numbers, one for each later reading, or for each.

    A column's width is its length by the number of its numbers; all lengths hold.
    """

    runs: int
    raw_values: int
    gaps: memoryview
    counts: memoryview
    decimals: memoryview
    first_ticks: memoryview
    first_numbers: memoryview
    tick_steps: memoryview
    number_steps: memoryview
    quality: memoryview
    raw: memoryview


def encode_columns(rows: Sequence[Row], base_ns: int) -> bytes:
    """Readings as the body of a bulk block, ordered by series; rows of one series keep their order.

    Every value comes back to the bit, every time in whole milliseconds since `base_ns`, rounded down. Raises BlockError
    for a time before `base_ns` or 49 days after it.
    """
    runs: defaultdict[int, list[Row]] = defaultdict(list)  # quicker than to sort the rows
    for row in rows:
        runs[row.series].append(row)
    series = sorted(runs)
    ordered = list(chain.from_iterable(map(runs.__getitem__, series)))
    counts = [len(runs[position]) for position in series]
    starts = [0, *accumulate(counts)][:-1]
    ticks = [(row.mono_ns - base_ns) // TICK_NS for row in ordered]
    try:
        array("I", ticks)
    except OverflowError:
        problem = f"times from tick {min(ticks)} to {max(ticks)} do not fit in one block; seal earlier"
        raise BlockError(problem) from None
    values = [row.value for row in ordered]
    decimals, numbers, raw = _numbers(values, starts, counts)
    is_later = bytearray(b"\1") * len(ordered)
    for start in starts:
        is_later[start] = 0
    del is_later[:1]
    number_steps = compress(map(sub, numbers[1:], numbers), is_later)
    first_ticks = [ticks[start] for start in starts]
    return _HEAD.pack(len(runs), len(raw)) + b"".join(
        (
            _planes("q", [b - a - 1 for a, b in pairwise([-1, *series])]),
            _planes("q", [count - 1 for count in counts]),
            _planes("B", decimals),
            _planes("q", _zigzag(map(sub, first_ticks, [0, *first_ticks]))),
            _planes("q", _zigzag(numbers[start] for start in starts)),
            _planes("q", list(compress(map(sub, ticks[1:], ticks), is_later))),
            _planes("q", _zigzag(number_steps)),
            _planes("B", bytes([row.quality for row in ordered])),
            _planes("d", raw),
        )
    )


def _numbers(values: list[float], starts: Sequence[int], counts: Sequence[int]) -> tuple[bytes, list[int], list[float]]:
    """Values as whole numbers: decimals for each run, numbers for each value (0 where raw), and those that stay raw."""
    # A short decimal read as a float is its millionths divided by a million, to the bit. -0.0 is like 0, but not so.
    millionths = [
        number
        if -_MOST < value < _MOST
        and (number := round(value * 1e6)) / 1e6 == value
        and (number or copysign(1.0, value) > 0)
        else _NO_DECIMAL
        for value in values
    ]
    decimals, raw = bytearray(), []
    for start, count in zip(starts, counts, strict=True):
        run = millionths[start : start + count]
        places = _DECIMALS[gcd(_MILLION, *run)]
        if places == MAX_DECIMALS and _NO_DECIMAL in run:
            places = RAW
            raw += values[start : start + count]
            millionths[start : start + count] = repeat(0, count)
        decimals.append(places)
    divisors = chain.from_iterable(map(repeat, map(_DIVISORS.__getitem__, decimals), counts))
    return bytes(decimals), list(map(floordiv, millionths, divisors)), raw


def _zigzag(numbers: Iterable[int]) -> list[int]:
    """Small numbers of either sign as small ones: 0, -1, 1, -2 … as 0, 1, 2, 3 …"""
    return [number << 1 if number >= 0 else ~(number << 1) for number in numbers]


def _planes(typecode: str, numbers: Sequence[float]) -> bytes:
    """A column: its width, then all lowest bytes, all second bytes, and so on, without the highest that are all 0."""
    packed = array(typecode, numbers)
    if sys.byteorder == "big":
        packed.byteswap()
    data = packed.tobytes()
    planes = [data[i :: packed.itemsize] for i in range(packed.itemsize)]
    zero = bytes(len(packed))
    while planes and planes[-1] == zero:
        planes.pop()
    return bytes((len(planes),)) + b"".join(planes)


def split_columns(body: bytes, items: int) -> Parts:
    """A body's columns, nothing of them copied. Raises BlockError where its lengths do not fit so many readings."""
    if len(body) < _HEAD.size:
        raise BlockError(f"body has {len(body)} bytes, too few for columns")
    runs, raw = _HEAD.unpack_from(body)
    if runs > items or raw > items or (items and not runs):
        raise BlockError(f"body claims {runs} series and {raw} raw values in {items} readings")
    view, at = memoryview(body), _HEAD.size
    columns = []
    sizes = (runs, runs, runs, runs, runs, items - runs, items - runs, items, raw)
    for size, most in zip(sizes, _MAX_WIDTHS, strict=True):
        width = body[at] if at < len(body) else -1
        end = at + 1 + width * size
        if not 0 <= width <= most or end > len(body):
            raise BlockError(f"body of {len(body)} bytes: a column of {size} numbers does not fit at byte {at}")
        columns.append(view[at + 1 : end])
        at = end
    if at != len(body):
        raise BlockError(f"body has {len(body)} bytes, its columns take {at}")
    return Parts(runs, raw, *columns)


def decode_columns(body: bytes, items: int, base_ns: int) -> list[Row]:
    """The readings of a bulk block's body, ordered by series, then as they came. Raises BlockError on any other body.

    The plain counterpart of the cloud's numpy decoder, for tools and tests.
    """
    parts = split_columns(body, items)
    runs = parts.runs
    counts = [count + 1 for count in _whole(parts.counts, runs)]
    decimals = _whole(parts.decimals, runs)
    raw_values = sum(count for count, places in zip(counts, decimals, strict=True) if places == RAW)
    check_runs(sum(counts), items, raw_values, parts.raw_values)
    gaps = _whole(parts.gaps, runs)
    first_ticks, first_numbers = _whole(parts.first_ticks, runs), _whole(parts.first_numbers, runs)
    tick_steps = iter(_whole(parts.tick_steps, items - runs))
    number_steps = iter(_whole(parts.number_steps, items - runs))
    qualities = iter(_whole(parts.quality, items))
    raw = iter(struct.unpack(f"<{raw_values}d", struct.pack(f"<{raw_values}Q", *_whole(parts.raw, raw_values))))
    rows, series, first_tick = [], -1, 0
    for gap, count, places, tick, number in zip(gaps, counts, decimals, first_ticks, first_numbers, strict=True):
        check_decimals(places)
        series += gap + 1
        check_series(series, SERIES)
        first_tick += _signed(tick)
        tick, number = first_tick, _signed(number)
        for n in range(count):
            if n:
                tick += next(tick_steps)
                number = (number + _signed(next(number_steps)) + _SIGN & _MASK) - _SIGN
            value = next(raw) if places == RAW else number / 10.0**places
            quality = next(qualities)
            check_quality(quality)
            rows.append(Row(series, base_ns + (tick & TICK_MASK) * TICK_NS, value, Quality(quality)))
    return rows


def most_body_bytes(items: int) -> int:
    """What so many readings can take before compression: each may be the only one of its series, and raw."""
    return _HEAD.size + len(_MAX_WIDTHS) + items * _MOST_ROW_BYTES


def check_runs(readings: int, items: int, raw_values: int, claimed_raw: int) -> None:
    """Raises BlockError unless the runs of a body are as many readings as its header says, and as many of them raw."""
    if (readings, raw_values) != (items, claimed_raw):
        raise BlockError(f"runs of {readings} readings, {raw_values} raw, in a body of {items}, {claimed_raw} raw")


def check_series(series: int, inventory_size: int) -> None:
    """Raises BlockError for a position that an inventory of so many series has not."""
    if series >= inventory_size:
        raise BlockError(f"series {series} is not in the inventory of {inventory_size}")


def check_decimals(decimals: int) -> None:
    """Raises BlockError for a number of decimals that no series can have."""
    if decimals > MAX_DECIMALS and decimals != RAW:
        raise BlockError(f"{decimals} decimals are more than {MAX_DECIMALS}")


def check_quality(quality: int) -> None:
    """Raises BlockError for a quality that does not exist."""
    if quality > _LAST_QUALITY:
        raise BlockError(f"quality {quality} does not exist")


def _signed(number: int) -> int:
    """What `_zigzag` was given."""
    return number >> 1 ^ -(number & 1)


def _whole(planes: memoryview, size: int) -> "array[int]":
    """A column's numbers, u64."""
    shuffled = bytearray(size * 8)
    for i in range(len(planes) // size if size else 0):
        shuffled[i::8] = planes[i * size : (i + 1) * size]
    packed = array("Q")
    packed.frombytes(bytes(shuffled))
    if sys.byteorder == "big":
        packed.byteswap()
    return packed
