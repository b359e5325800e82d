"""The cloud's numpy decoder reads what contract.columns reads, to the bit."""

import tracemalloc
from contextlib import suppress

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloud.store import columns
from contract import columns as plain
from contract.block import MAX_ITEMS
from contract.columns import Row
from contract.errors import BlockError
from contract.messages import Quality
from tests.unit.contract.test_block import HEADER_EXAMPLE
from tests.unit.contract.test_columns import BASE_NS, bits, rows


def decode(body: bytes, items: int, inventory_size: int = 2**32) -> columns.Columns:
    header = msgspec.structs.replace(HEADER_EXAMPLE, items=items, base_ns=BASE_NS)
    return columns.decode_columns(header, body, inventory_size)


def rows_of(found: columns.Columns) -> list[Row]:
    return [
        Row(int(series), int(mono_ns), float(value), Quality(int(quality)))
        for series, mono_ns, value, quality in zip(found.series, found.mono_ns, found.value, found.quality, strict=True)
    ]


@given(st.lists(rows, max_size=40))
def test_both_decoders_agree(given_rows: list[Row]) -> None:
    body = plain.encode_columns(given_rows, BASE_NS)
    by_series = sorted(given_rows, key=lambda row: row.series)
    found = decode(body, len(given_rows))
    assert [bits(row) for row in rows_of(found)] == [bits(row) for row in by_series]
    assert [bits(row) for row in plain.decode_columns(body, len(given_rows), BASE_NS)] == [bits(r) for r in by_series]
    assert [part.dtype for part in (found.series, found.mono_ns, found.value, found.quality)] == [
        np.uint32, np.int64, np.float64, np.uint8,
    ]  # fmt: skip


bodies = st.one_of(
    st.tuples(st.integers(0, 5), st.binary(max_size=100)),
    st.lists(rows, max_size=6).map(lambda some: (len(some), plain.encode_columns(some, BASE_NS))),
)
changes = st.lists(st.tuples(st.integers(0, 200), st.integers(0, 255)), max_size=3)


@given(bodies, changes)
def test_both_refuse_the_same_bytes(sealed: tuple[int, bytes], changed: list[tuple[int, int]]) -> None:
    items, body = sealed[0], bytearray(sealed[1])
    for at, byte in changed:
        if at < len(body):
            body[at] = byte
    slow: list[Row] | BlockError
    quick: list[Row] | BlockError
    try:
        slow = plain.decode_columns(bytes(body), items, BASE_NS)
    except BlockError as e:
        slow = e
    try:
        quick = rows_of(decode(bytes(body), items))
    except BlockError as e:
        quick = e
    if isinstance(slow, BlockError) or isinstance(quick, BlockError):
        assert isinstance(slow, BlockError), quick
        assert isinstance(quick, BlockError), slow
    else:
        assert [bits(row) for row in slow] == [bits(row) for row in quick]


@given(bodies, changes, st.sets(st.integers(0, 6), max_size=3))
def test_series_alone_are_what_they_are_among_all(
    sealed: tuple[int, bytes], changed: list[tuple[int, int]], others: set[int]
) -> None:
    items, body = sealed[0], bytearray(sealed[1])
    for at, byte in changed:
        if at < len(body):
            body[at] = byte
    header = msgspec.structs.replace(HEADER_EXAMPLE, items=items, base_ns=BASE_NS)
    try:
        whole = rows_of(decode(bytes(body), items))
    except BlockError:
        with suppress(BlockError):  # unless what is wrong is with other series
            columns.decode_series(header, bytes(body), sorted(others))
        return
    for places in ([], sorted({row.series for row in whole} | others), sorted(others)):
        parts = columns.decode_series(header, bytes(body), places)
        assert [bits(row) for part in parts for row in rows_of(part)] == [
            bits(row) for row in whole if row.series in places
        ]


def test_a_series_alone_is_refused_for_what_it_cannot_have() -> None:
    header = msgspec.structs.replace(HEADER_EXAMPLE, items=2, base_ns=BASE_NS)
    body = plain.encode_columns([Row(0, BASE_NS, 1.5, Quality.GOOD), Row(1, BASE_NS, 2.5, Quality.FAULT)], BASE_NS)
    quality_at = len(body) - 3
    assert body[quality_at : quality_at + 2] == bytes((Quality.GOOD, Quality.FAULT))
    bad = body[: quality_at + 1] + b"\x09" + body[quality_at + 2 :]
    assert [rows_of(part)[0].value for part in columns.decode_series(header, bad, [0])] == [1.5]
    with pytest.raises(BlockError, match="quality 9"):
        columns.decode_series(header, bad, [1])


def test_a_series_beyond_the_inventory_is_refused() -> None:
    body = plain.encode_columns([Row(3, BASE_NS, 1.0, Quality.GOOD)], BASE_NS)
    assert decode(body, 1, 4).series.tolist() == [3]
    for size in (3, 0):
        with pytest.raises(BlockError, match="series 3 is not in the inventory"):
            decode(body, 1, size)


def test_no_readings_are_empty_columns() -> None:
    found = decode(plain.encode_columns([], BASE_NS), 0, 0)
    assert [len(part) for part in (found.series, found.mono_ns, found.value, found.quality)] == [0] * 4
    assert found.mono_ns.dtype == np.int64


@pytest.mark.parametrize("series", [1, MAX_ITEMS])
def test_what_a_few_bytes_become_is_bounded(series: int) -> None:
    alike = [Row(n % series, BASE_NS, 0.0, Quality.GOOD) for n in range(MAX_ITEMS)]
    body = plain.encode_columns(alike, BASE_NS)
    assert len(body) < 32
    tracemalloc.start()
    try:
        assert len(decode(body, MAX_ITEMS).value) == MAX_ITEMS
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 12 << 20
