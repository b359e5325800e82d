"""Values out of bytes by a profile's table, against an encoder of other hands, and against any bytes at all."""

import math
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contract.errors import Permanent
from contract.profile.ble import BleFormat, BleMatch, BleRead, BleType, BleWrite
from edge.drivers.ble.decode import (
    MOST_TEXT,
    Pattern,
    Unreadable,
    decode_all,
    decode_value,
    encode_write,
    full_uuid,
    on_air_patterns,
)
from simulators.ble.encode import bytes_of, put

WHOLE = [kind for kind in BleType if kind.is_whole]
READS = st.builds(
    BleRead, format=st.just("f"), at=st.integers(0, 40), type=st.sampled_from([t for t in BleType if t != "none"]),
    order=st.sampled_from(["little", "big"]), missing=st.lists(st.integers(-5, 300), max_size=2).map(tuple),
)  # fmt: skip


@given(st.data())
def test_what_a_sensor_encodes_is_decoded_as_it_was(data: st.DataObject) -> None:
    read = data.draw(READS)
    bits, sign = 8 * read.type.size, read.type.value.startswith("int")
    if read.type is BleType.TEXT:
        raw = data.draw(st.text(st.characters(categories=["L", "N"]), max_size=20))
    elif read.type is BleType.FLOAT32:
        raw = data.draw(st.floats(width=32, allow_nan=False, allow_infinity=False))
    else:
        raw = data.draw(st.integers(-(2 ** (bits - 1)), 2 ** (bits - 1) - 1) if sign else st.integers(0, 2**bits - 1))
    sent = bytearray(data.draw(st.binary(max_size=60)))
    put(sent, read, raw)
    if raw in read.missing and read.type.is_whole:
        with pytest.raises(Unreadable):
            decode_value(read, bytes(sent))
    else:
        assert decode_value(read, bytes(sent)) == raw


@given(st.data())
def test_bits_are_picked_and_their_neighbours_left(data: st.DataObject) -> None:
    shift = data.draw(st.integers(0, 15))
    mask = (1 << data.draw(st.integers(1, 16 - shift))) - 1
    read = BleRead(format="f", at=1, type=BleType.UINT16, shift=shift, mask=mask)
    raw = data.draw(st.integers(0, mask))
    sent = bytearray(data.draw(st.binary(min_size=4, max_size=4)))
    before = int.from_bytes(sent[1:3], "little")
    put(sent, read, raw)
    assert decode_value(read, bytes(sent)) == raw
    assert (int.from_bytes(sent[1:3], "little") ^ before) & ~(mask << shift) == 0


@given(READS, st.binary(max_size=64))
def test_any_bytes_are_a_finite_value_or_unreadable(read: BleRead, data: bytes) -> None:
    try:
        raw = decode_value(read, data)
    except Unreadable:
        pass
    else:
        assert isinstance(raw, str) or math.isfinite(raw)
        if isinstance(raw, str):
            assert len(raw) <= MOST_TEXT
            assert raw.isprintable()


def test_worked_examples() -> None:
    # Ruuvi's "Data format 5" example: 0512FC5394C37C0004FFFC040CAC364200CDCBB8334C884F, 24.3 °C, 53.49 %, 2.977 V.
    # Source: https://docs.ruuvi.com/communication/bluetooth-advertisements/data-format-5-rawv2
    data = bytes.fromhex("0512FC5394C37C0004FFFC040CAC364200CDCBB8334C884F")

    def big(at: int, kind: str, **more: int) -> BleRead:
        return BleRead(format="f", at=at, type=BleType(kind), order="big", **more)

    assert decode_value(big(1, "int16"), data) * 0.005 == pytest.approx(24.3)
    assert decode_value(big(3, "uint16"), data) * 0.0025 == pytest.approx(53.49)
    assert decode_value(big(13, "uint16", shift=5, mask=0x7FF), data) + 1600 == 2977
    assert decode_value(big(5, "uint16"), data) + 50000 == 100044


def test_one_unreadable_point_takes_nothing_from_the_others() -> None:
    reads = {"a": BleRead(format="f", at=0), "b": BleRead(format="f", at=9), "c": BleRead(format="f", missing=(7,))}
    values, errors = decode_all(reads, b"\x07")
    assert values == {"a": 7}
    assert set(errors) == {"b", "c"}


@given(st.binary(max_size=40), st.binary(max_size=4), st.integers(0, 8))
def test_a_pattern_fits_what_it_says(data: bytes, wanted: bytes, at: int) -> None:
    format_ = BleFormat(company=1, min_length=at + len(wanted), match=(BleMatch(at=at, bytes=wanted.hex()),))
    expected = len(data) >= at + len(wanted) and data[at : at + len(wanted)] == wanted
    assert Pattern(format_).fits(data) is expected


def test_a_pattern_looks_at_the_bits_of_its_mask_only() -> None:
    pattern = Pattern(BleFormat(company=1, length=2, match=(BleMatch(at=1, bytes="80", mask="c0"),)))
    assert pattern.fits(b"\x00\xbf")
    assert not pattern.fits(b"\x00\xc0")
    assert not pattern.fits(b"\x00\x80\x00")
    assert not pattern.fits(b"")


@given(st.sampled_from(WHOLE), st.sampled_from(["little", "big"]), st.integers(-(2**33), 2**33))
def test_a_write_is_its_prefix_and_the_value_or_refused(kind: BleType, order: str, value: int) -> None:
    write = BleWrite(characteristic="ff01", type=kind, order=order, prefix="a55a", argument="seconds")
    try:
        expected = b"\xa5\x5a" + bytes_of(write, value)
    except Permanent:
        with pytest.raises(Permanent):
            encode_write(write, value)
    else:
        assert encode_write(write, value) == expected


def test_writes_of_other_kinds() -> None:
    def write(**more: object) -> BleWrite:
        return BleWrite(characteristic="ff01", **more)

    assert encode_write(write(type=BleType.NONE, prefix="0102"), 0) == b"\x01\x02"
    assert encode_write(write(type=BleType.TEXT, value="开"), "开") == "开".encode()
    assert encode_write(write(type=BleType.FLOAT32), 1.5) == struct.pack("<f", 1.5)
    for value in ("5", 1.5):
        with pytest.raises(Permanent):
            encode_write(write(), value)


def test_what_a_passive_scan_lets_through() -> None:
    own = "0000ff01-0000-1000-8000-00805f9b34fb"
    formats = [BleFormat(company=0x0499), BleFormat(service="181a"), BleFormat(company=0x0499), BleFormat(service=own)]
    assert on_air_patterns(formats, is_bthome=True) == [
        (0, 0x16, b"\x1a\x18"),
        (0, 0x16, b"\xd2\xfc"),
        (0, 0x21, bytes.fromhex("fb349b5f8000008000100000 01ff0000")),
        (0, 0xFF, b"\x99\x04"),
    ]
    assert full_uuid("ff01") == own
