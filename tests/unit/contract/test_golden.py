"""Blocks of every version that ever left a box decode for ever, to what they meant then."""

from pathlib import Path

import pytest

from contract.block import HEADER, decode_block, encode_block
from contract.columns import encode_columns
from contract.kinds import Lane
from contract.records import decode_records, encode_records
from tests.unit.contract.make_golden import FOLDER, RECORDS, ROWS, described, golden_blocks

GOLDEN = sorted(FOLDER.glob("*.block"))
_SIZES_END = HEADER.size - 4  # packed_bytes, the last field, may change with zstd's version


def test_there_is_a_golden_block_of_each_stream_and_each_record() -> None:
    streams = {decode_block(path.read_bytes()).header.stream for path in GOLDEN}
    assert streams == set(Lane)
    urgent = decode_block((FOLDER / "v1-urgent.block").read_bytes())
    assert {type(record) for record in decode_records(urgent.body)} == {type(record) for record in RECORDS}


@pytest.mark.parametrize("path", GOLDEN, ids=lambda path: path.stem)
def test_a_golden_block_means_what_it_meant(path: Path) -> None:
    assert described(decode_block(path.read_bytes())) == path.with_suffix(".json").read_bytes()


@pytest.mark.parametrize("path", GOLDEN, ids=lambda path: path.stem)
def test_today_it_would_be_sealed_the_same(path: Path) -> None:
    kept = path.read_bytes()
    block = decode_block(kept)
    is_urgent = block.header.stream is Lane.URGENT
    body = encode_records(RECORDS) if is_urgent else encode_columns(ROWS, block.header.base_ns)
    assert block.body == body
    for again in (encode_block(block.header, body), golden_blocks()[path.stem]):
        assert again[:_SIZES_END] == kept[:_SIZES_END]
        assert decode_block(again).body == block.body
