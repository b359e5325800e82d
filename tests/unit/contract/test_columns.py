"""Readings survive the trip to the bit; a body that makes no sense is refused before it costs anything."""

import math
import struct
import tracemalloc
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contract.block import MAX_BODY_BYTES, MAX_ITEMS
from contract.columns import MAX_DECIMALS, TICK_NS, Row, decode_columns, encode_columns, most_body_bytes
from contract.errors import BlockError
from contract.messages import Quality

BASE_NS = 10**15
decimals = st.builds(
    lambda number, places: number / 10**places, st.integers(-(10**11), 10**11), st.integers(0, MAX_DECIMALS + 1)
)
"""What profiles make of a device's whole numbers, and what has one place too many to be kept as such."""
edges = st.sampled_from([0.0, -0.0, 2**52 / 10**6, 9e9, 1e15, 2.0**53, 2.0**63, -(2.0**63), 1e300, 5e-324, 0.1 + 0.2])
values = st.one_of(decimals, edges, st.floats(width=32), st.floats())  # NaN, infinities and signed zeros too
rows = st.builds(
    Row,
    st.one_of(st.integers(0, 3), st.integers(0, 2**32 - 1)),
    st.one_of(st.integers(0, 3), st.integers(2**32 - 4, 2**32 - 1), st.integers(0, 2**32 - 1)).map(
        lambda tick: BASE_NS + tick * TICK_NS
    ),
    values,
    st.sampled_from(Quality),
)


def bits(row: Row) -> tuple[int, int, bytes, Quality]:
    """A row that can be compared where its value is NaN."""
    return row.series, row.mono_ns, struct.pack("<d", row.value), row.quality


def there_and_back(*given_values: float) -> list[bytes]:
    """The values of one series after the trip, as bits."""
    of = [Row(0, BASE_NS, value, Quality.GOOD) for value in given_values]
    return [struct.pack("<d", row.value) for row in decode_columns(encode_columns(of, BASE_NS), len(of), BASE_NS)]


@given(st.lists(rows, max_size=50))
def test_readings_come_back_by_series_in_the_order_they_were_in(given_rows: list[Row]) -> None:
    body = encode_columns(given_rows, BASE_NS)
    assert len(body) <= most_body_bytes(len(given_rows))
    back = decode_columns(body, len(given_rows), BASE_NS)
    assert [bits(row) for row in back] == [bits(row) for row in sorted(given_rows, key=lambda row: row.series)]


@given(st.lists(values, min_size=1, max_size=8))
def test_a_value_comes_back_to_the_bit_whatever_stands_beside_it(given_values: list[float]) -> None:
    assert there_and_back(*given_values) == [struct.pack("<d", value) for value in given_values]


@given(st.lists(st.decimals(-9999, 9999, places=3), min_size=4, max_size=8))
def test_short_decimals_take_less_room_than_floats(given_values: list[Decimal]) -> None:
    body = encode_columns([Row(0, BASE_NS, float(value), Quality.GOOD) for value in given_values], BASE_NS)
    assert len(body) <= 8 + 9 + 2 + 4 * len(given_values)  # no more than 4 bytes of a number


def test_a_payload_of_nan_comes_back() -> None:
    (odd,) = struct.unpack("<d", bytes.fromhex("0123456789abf87f"))
    assert there_and_back(odd, math.nan, -math.nan) == [struct.pack("<d", v) for v in (odd, math.nan, -math.nan)]


@given(st.integers(0, TICK_NS - 1))
def test_a_time_is_rounded_down_to_its_millisecond(within_ns: int) -> None:
    (row,) = decode_columns(encode_columns([Row(0, BASE_NS + within_ns, 1.0, Quality.GOOD)], BASE_NS), 1, BASE_NS)
    assert row.mono_ns == BASE_NS


def test_many_series_are_told_apart() -> None:
    many = [
        Row(series, BASE_NS + t * TICK_NS, series + t / 10, Quality.GOOD) for t in range(10) for series in range(1000)
    ]
    assert decode_columns(encode_columns(many, BASE_NS), len(many), BASE_NS) == sorted(
        many, key=lambda row: (row.series, row.mono_ns)
    )


@pytest.mark.parametrize("offset_ns", [-1, -TICK_NS, 2**32 * TICK_NS])
def test_a_time_that_does_not_fit_is_refused_and_not_wrapped(offset_ns: int) -> None:
    with pytest.raises(BlockError, match="do not fit"):
        encode_columns([Row(0, BASE_NS + offset_ns, 1.0, Quality.GOOD)], BASE_NS)


ONE = bytes.fromhex("01000000 00000000 00 00 00 00 010a 00 00 00 00")
"""One reading of series 0 at once: no decimals, number 5, good."""
TWO = bytes.fromhex("02000000 00000000 04ff00ff00ff00ff00 00 00 00 00 00 00 00 00")
"""One reading of the last series that there can be, one of that behind it."""
EMPTY = bytes(8 + 9)


def test_bodies_made_by_hand_are_read() -> None:
    assert decode_columns(ONE, 1, BASE_NS) == [Row(0, BASE_NS, 5.0, Quality.GOOD)]
    assert decode_columns(EMPTY, 0, BASE_NS) == []
    assert encode_columns([], BASE_NS) == EMPTY


@pytest.mark.parametrize(
    ("body", "items", "said"),
    [
        (b"", 0, "too few"),
        (ONE[:7], 1, "too few"),
        (ONE[:-1], 1, "does not fit at byte 17"),
        (ONE + b"\0", 1, "its columns take 18"),
        (ONE, 0, "claims 1 series"),
        (ONE, 2, "runs of 1 readings"),
        (EMPTY, 1, "claims 0 series"),
        (b"\xff\xff\xff\xff" + ONE[4:], MAX_ITEMS, "claims 4294967295 series"),
        (ONE[:4] + b"\2" + ONE[5:], 1, "2 raw values in 1"),
        (ONE[:4] + b"\1" + ONE[5:-1] + b"\1A", 1, "0 raw, in a body of 1, 1 raw"),
        (ONE[:8] + b"\5" + bytes(5) + ONE[9:], 1, "does not fit at byte 8"),
        (ONE[:8] + b"\4" + ONE[9:], 1, "does not fit"),
        (ONE[:10] + b"\1\7" + ONE[11:], 1, "7 decimals"),
        (ONE[:10] + b"\1\xff" + ONE[11:], 1, "1 raw, in a body of 1, 0 raw"),
        (ONE[:-2] + b"\1\4\0", 1, "quality 4"),
        (TWO, 2, "series 4294967296"),
    ],
    ids=str,
)
def test_a_body_that_makes_no_sense_is_refused(body: bytes, items: int, said: str) -> None:
    with pytest.raises(BlockError, match=said):
        decode_columns(body, items, BASE_NS)


def test_a_claim_of_many_costs_nothing_where_the_body_has_them_not() -> None:
    body = (MAX_ITEMS).to_bytes(4, "little") + bytes(4) + b"\1"
    tracemalloc.start()
    try:
        with pytest.raises(BlockError, match="does not fit"):
            decode_columns(body, MAX_ITEMS, BASE_NS)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 1 << 16


def test_the_largest_body_fits_a_block() -> None:
    assert most_body_bytes(MAX_ITEMS) <= MAX_BODY_BYTES
