"""The cloud's numpy decoder reads what contract.block reads, to the bit."""

from contextlib import suppress

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloud.ingest import columns
from contract import block
from contract.block import Row
from contract.errors import BlockError
from contract.messages import Quality
from tests.unit.contract.test_block import BASE_NS, HEADER_EXAMPLE, bits, rows


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
    body = block.encode_columns(given_rows, BASE_NS)
    plain = block.decode_columns(body, len(given_rows), BASE_NS)
    assert [bits(row) for row in rows_of(decode(body, len(given_rows)))] == [bits(row) for row in plain]


@given(st.integers(0, 5), st.binary(max_size=100))
def test_both_refuse_the_same_bytes(items: int, body: bytes) -> None:
    plain: list[Row] | None = None
    quick: list[Row] | None = None
    with suppress(BlockError):
        plain = block.decode_columns(body, items, BASE_NS)
    with suppress(BlockError):
        quick = rows_of(decode(body, items))
    assert (plain is None) is (quick is None)
    if plain is not None and quick is not None:
        assert [bits(row) for row in plain] == [bits(row) for row in quick]


def test_a_series_beyond_the_inventory_is_refused() -> None:
    body = block.encode_columns([Row(3, BASE_NS, 1.0, Quality.GOOD)], BASE_NS)
    assert decode(body, 1, 4).series.tolist() == [3]
    for size in (3, 0):
        with pytest.raises(BlockError, match="series 3 is not in the inventory"):
            decode(body, 1, size)


def test_no_readings_are_empty_columns() -> None:
    found = decode(b"", 0, 0)
    assert [len(part) for part in (found.series, found.mono_ns, found.value, found.quality)] == [0] * 4
    assert found.mono_ns.dtype == np.int64
