"""A rival: floats and times packed bit by bit as in Gorilla (Pelkonen et al., VLDB 2015), series by series.

Times are milliseconds, as deltas of deltas in the paper's four sizes; values XOR the one before, with its window of
leading and trailing zeros kept where it fits. To its favour it knows the period of the polls, so that the first delta
is small, and nothing is spent on a block's header. Qualities, which Gorilla does not have, take a bit while they stay.
"""

import struct
from collections.abc import Iterator, Sequence
from itertools import groupby
from operator import attrgetter

from contract.columns import TICK_NS, Row
from contract.messages import Quality

PERIOD_MS = 10_000
_SIZES = ((7, "10"), (9, "110"), (12, "1110"))
_WORD = 64


def gorilla_encode(rows: Sequence[Row], base_ns: int) -> bytes:
    """Readings in bits: for each series its position (16), how many (16), the first time (32) and value (64), then the
    others."""
    bits: list[str] = []
    for series, run in groupby(sorted(rows, key=attrgetter("series")), attrgetter("series")):
        of = list(run)
        bits.append(f"{series:016b}{len(of):016b}")
        tick, delta, word, quality, window = 0, PERIOD_MS, 0, Quality.GOOD, (_WORD, 0)
        for n, row in enumerate(of):
            now, bits_of = (row.mono_ns - base_ns) // TICK_NS, _word(row.value)
            if n:
                bits.append(_dod(now - tick - delta))
                delta = now - tick
                text, window = _xor(bits_of ^ word, window)
                bits.append(text)
            else:
                bits.append(f"{now:032b}{bits_of:064b}")
            bits.append("0" if row.quality is quality else f"1{row.quality:02b}")
            tick, word, quality = now, bits_of, row.quality
    text = "".join(bits)
    return int("1" + text, 2).to_bytes((len(text) + 8) // 8, "big")


def _word(value: float) -> int:
    return int.from_bytes(struct.pack(">d", value), "big")


def _dod(dod: int) -> str:
    if dod == 0:
        return "0"
    for size, prefix in _SIZES:
        half = 1 << (size - 1)
        if -half <= dod < half:
            return f"{prefix}{dod + half:0{size}b}"
    return f"1111{dod & 0xFFFFFFFF:032b}"


def _xor(difference: int, window: tuple[int, int]) -> tuple[str, tuple[int, int]]:
    """A value's bits, and the window (leading and trailing zeros) for the next."""
    if difference == 0:
        return "0", window
    leading = min(31, _WORD - difference.bit_length())
    trailing = (difference & -difference).bit_length() - 1
    if leading >= window[0] and trailing >= window[1]:
        return f"10{difference >> window[1]:0{_WORD - sum(window)}b}", window
    size = _WORD - leading - trailing
    return f"11{leading:05b}{size - 1:06b}{difference >> trailing:0{size}b}", (leading, trailing)


def gorilla_decode(data: bytes, base_ns: int) -> list[Row]:
    """The readings, by series."""
    text = f"{int.from_bytes(data, 'big'):b}"[1:]
    return list(_rows(_Bits(text), base_ns))


class _Bits:
    def __init__(self, text: str) -> None:
        self._text, self._at = text, 0

    def __bool__(self) -> bool:
        return self._at < len(self._text)

    def take(self, size: int) -> int:
        self._at += size
        return int(self._text[self._at - size : self._at] or "0", 2)


def _rows(bits: _Bits, base_ns: int) -> Iterator[Row]:
    while bits:
        series, count = bits.take(16), bits.take(16)
        tick, word = bits.take(32), bits.take(64)
        delta, quality, window = PERIOD_MS, Quality.GOOD, (_WORD, 0)
        for n in range(count):
            if n:
                delta += _read_dod(bits)
                tick += delta
                if bits.take(1):
                    if bits.take(1):
                        leading, size = bits.take(5), bits.take(6) + 1
                        window = (leading, _WORD - leading - size)
                    word ^= bits.take(_WORD - sum(window)) << window[1]
            if bits.take(1):
                quality = Quality(bits.take(2))
            (value,) = struct.unpack(">d", word.to_bytes(8, "big"))
            yield Row(series, base_ns + tick * TICK_NS, value, quality)


def _read_dod(bits: _Bits) -> int:
    if not bits.take(1):
        return 0
    for size, _ in _SIZES:
        if not bits.take(1):
            return bits.take(size) - (1 << (size - 1))
    dod = bits.take(32)
    return dod - (1 << 32) if dod >> 31 else dod
