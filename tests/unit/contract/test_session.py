"""A request of blocks is taken apart as it was put together, or refused; a signature is for one cloud and nonce."""

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contract.block import MAX_BLOCK_BYTES
from contract.errors import BlockError
from contract.session import MAX_REQUEST_BYTES, iter_blocks, join_blocks, signed_text


@given(st.lists(st.binary(max_size=40), max_size=6))
def test_blocks_come_back_as_they_were(blocks: list[bytes]) -> None:
    assert list(iter_blocks(join_blocks(blocks))) == blocks


@given(st.lists(st.binary(min_size=1, max_size=20), min_size=1, max_size=4), st.data())
def test_a_request_that_was_cut_is_refused_unless_it_ends_with_a_block(
    blocks: list[bytes], data: st.DataObject
) -> None:
    body = join_blocks(blocks)
    ends = {len(join_blocks(blocks[:n])) for n in range(len(blocks) + 1)}
    cut = data.draw(st.integers(0, len(body)))
    if cut in ends:
        assert join_blocks(iter_blocks(body[:cut])) == body[:cut]
    else:
        with pytest.raises(BlockError):
            list(iter_blocks(body[:cut]))


@pytest.mark.parametrize(
    "body",
    [b"\x01", b"\x00\x00\x00", struct.pack("<I", 5) + b"1234", b"\xff\xff\xff\xff" + b"x" * 10],
    ids=["one-byte", "three-bytes", "one-too-few", "four-gigabytes"],
)
def test_a_length_over_the_end_is_refused(body: bytes) -> None:
    with pytest.raises(BlockError, match="request"):
        list(iter_blocks(body))


def test_a_block_over_the_limit_is_refused() -> None:
    with pytest.raises(BlockError, match=str(MAX_BLOCK_BYTES + 1)):
        list(iter_blocks(join_blocks([bytes(MAX_BLOCK_BYTES + 1)])))
    assert len(join_blocks([bytes(MAX_BLOCK_BYTES)])) <= MAX_REQUEST_BYTES


def test_what_is_signed_differs_by_box_nonce_and_cloud() -> None:
    texts = {
        signed_text("box-1", b"n" * 32, "https://a.example"),
        signed_text("box-2", b"n" * 32, "https://a.example"),
        signed_text("box-1", b"m" * 32, "https://a.example"),
        signed_text("box-1", b"n" * 32, "https://b.example"),
    }
    assert len(texts) == 4
    assert signed_text("box-1", b"n" * 32, "https://a.example/") in texts  # a slash at the end says nothing
