"""Blocks survive the trip or are refused; nothing in between."""

import random
import struct
import tracemalloc

import msgspec
import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from contract.block import (
    CHECKSUM_BYTES,
    HEADER,
    MAX_BODY_BYTES,
    MAX_ITEMS,
    Header,
    checksum_bytes,
    checksum_of,
    decode_block,
    encode_block,
    rechain_block,
    split_block,
)
from contract.errors import BlockError
from contract.kinds import Lane

HEADER_EXAMPLE = Header(Lane.BULK, 7, 3, 5, bytes(range(16)), 9, 1_000_000, 2_000_000, 1)
numbers = st.integers(0, 2**63 - 1)
headers = st.builds(
    Header,
    st.sampled_from(Lane), st.integers(1, 2**63 - 1), st.integers(1, 2**63 - 1), numbers, st.binary(min_size=16,
    max_size=16), numbers, st.integers(0, 2**62 - 1), numbers, st.integers(0, MAX_ITEMS),
)  # fmt: skip


def sealed(head: bytes, packed: bytes) -> bytes:
    """A block of any header and body, under a checksum that holds."""
    return head + packed + checksum_bytes(head + packed)


def claiming(body_bytes: int, packed: bytes, items: int = 1) -> bytes:
    """A block whose header says what it likes of its body."""
    head = HEADER.pack(b"ANJB", 1, 1, 0, 7, 1, 0, bytes(16), 9, 0, 0, items, body_bytes, len(packed))
    return sealed(head, packed)


@given(headers, st.binary(max_size=2000))
def test_a_block_comes_back_as_it_was(header: Header, body: bytes) -> None:
    data = encode_block(header, body)
    block = decode_block(data)
    assert (block.header, block.body, block.checksum) == (header, body, checksum_of(data))
    assert 0 <= block.checksum < 2**63


def test_every_bit_that_flips_is_found() -> None:
    data = encode_block(HEADER_EXAMPLE, b"body" * 5)
    for position in range(len(data)):
        for bit in range(8):
            damaged = bytearray(data)
            damaged[position] ^= 1 << bit
            with pytest.raises(BlockError):
                split_block(bytes(damaged))


@given(st.data(), st.integers(1, 255))
def test_a_byte_that_changes_is_found(data: st.DataObject, mask: int) -> None:
    block = bytearray(encode_block(HEADER_EXAMPLE, b"body" * 50))
    block[data.draw(st.integers(0, len(block) - 1))] ^= mask
    with pytest.raises(BlockError):
        decode_block(bytes(block))


def test_a_block_cut_short_or_with_more_behind_it_is_refused() -> None:
    data = encode_block(HEADER_EXAMPLE, b"body" * 5)
    for length in range(len(data)):
        with pytest.raises(BlockError):
            decode_block(data[:length])
    with pytest.raises(BlockError, match="its header says"):
        decode_block(data + b"\x00")


@given(st.binary(max_size=300))
def test_any_other_bytes_are_refused(data: bytes) -> None:
    with pytest.raises(BlockError):
        decode_block(data)


@given(st.integers(0, 2**32 - 1), st.binary(max_size=100))
def test_a_body_that_is_no_frame_is_refused(body_bytes: int, packed: bytes) -> None:
    with pytest.raises(BlockError):
        decode_block(claiming(body_bytes, packed))


BOMB = zstandard.ZstdCompressor().compress(bytes(64 << 20))


def frame_claiming(size: int) -> bytes:
    """The bomb's frame, its content size changed (RFC 8878: 4 bytes behind magic, descriptor and window)."""
    content_size = zstandard.get_frame_parameters(BOMB).content_size
    at = BOMB.index(struct.pack("<I", content_size), 4)
    return BOMB[:at] + struct.pack("<I", size) + BOMB[at + 4 :]


@pytest.mark.parametrize(
    ("body_bytes", "packed", "said"),
    [
        (64 << 20, BOMB, "more than is allowed"),
        (MAX_BODY_BYTES + 1, BOMB, "more than is allowed"),
        (100, BOMB, "another size"),
        (100_000, frame_claiming(100_000), "does not decompress"),
        (100, zstandard.ZstdCompressor(write_content_size=False).compress(bytes(100)), "another size"),
        (100, zstandard.ZstdCompressor().compress(bytes(100)) + b"more", "does not decompress"),
    ],
    ids=["claims-all", "claims-one-too-many", "header-hides-it", "frame-hides-it", "frame-says-nothing", "two-frames"],
)
def test_a_small_body_cannot_become_a_large_one(body_bytes: int, packed: bytes, said: str) -> None:
    data = claiming(body_bytes, packed)
    tracemalloc.start()
    try:
        with pytest.raises(BlockError, match=said):
            decode_block(data)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 1 << 20


def test_a_block_holds_so_much_and_no_more() -> None:
    most = msgspec.structs.replace(HEADER_EXAMPLE, items=MAX_ITEMS)
    body = random.Random(1).randbytes(MAX_BODY_BYTES)  # which does not compress
    assert decode_block(encode_block(most, body)).body == body
    with pytest.raises(BlockError, match="seal earlier"):
        encode_block(most, body + b"\x00")
    with pytest.raises(BlockError, match="seal earlier"):
        encode_block(msgspec.structs.replace(most, items=MAX_ITEMS + 1), b"")
    with pytest.raises(BlockError, match="more than is allowed"):
        decode_block(claiming(1, zstandard.ZstdCompressor().compress(b"x"), items=MAX_ITEMS + 1))


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"magic": b"ANJA"}, "magic"),
        ({"version": 2}, "version 2"),
        ({"flags": 1}, "flags 1"),
        ({"stream": 2}, "stream 2"),
        ({"epoch": 2**63}, "out of range"),
        ({"base_ns": 2**62}, "out of range"),
        ({"checksum": 2**64 - 1}, "out of range"),
        ({"epoch": 0}, "count from 1"),
        ({"number": 0}, "count from 1"),
    ],
    ids=str,
)
def test_a_header_that_makes_no_sense_is_refused(changed: dict[str, object], said: str) -> None:
    fields = {
        "magic": b"ANJB", "version": 1, "stream": 0, "flags": 0, "epoch": 7, "number": 1, "checksum": 0,
        "boot": bytes(16), "inventory": 0, "base_ns": 0,
    } | changed  # fmt: skip
    packed = zstandard.ZstdCompressor().compress(b"x")
    head = HEADER.pack(*fields.values(), 0, 1, 1, len(packed))
    with pytest.raises(BlockError, match=said):
        decode_block(sealed(head, packed))


@given(st.lists(st.binary(max_size=50), min_size=1, max_size=8))
def test_each_block_names_the_one_before(bodies: list[bytes]) -> None:
    previous, chain = 0, []
    for number, body in enumerate(bodies, 1):
        chain.append(encode_block(Header(Lane.URGENT, 7, number, previous, bytes(16), 0, 0, number, 1), body))
        previous = checksum_of(chain[-1])
    found = [decode_block(data) for data in chain]
    assert [block.header.previous for block in found] == [0, *(block.checksum for block in found[:-1])]


@given(st.binary(max_size=200))
def test_a_block_moves_to_another_chain_with_its_body_untouched(body: bytes) -> None:
    data = encode_block(HEADER_EXAMPLE, body)
    moved = rechain_block(data, 11, 1, 0)
    assert moved[HEADER.size : -CHECKSUM_BYTES] == data[HEADER.size : -CHECKSUM_BYTES]
    block = decode_block(moved)
    assert block.body == body
    assert block.header == msgspec.structs.replace(HEADER_EXAMPLE, epoch=11, number=1, previous=0)
    assert block.checksum != checksum_of(data)


def test_a_damaged_block_is_not_moved() -> None:
    data = bytearray(encode_block(HEADER_EXAMPLE, b"body"))
    data[100] ^= 1
    with pytest.raises(BlockError, match="checksum"):
        rechain_block(bytes(data), 11, 1, 0)
