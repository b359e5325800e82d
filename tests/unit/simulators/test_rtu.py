"""Frames of a serial line, against the standard's own examples and a checksum computed otherwise."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from simulators.modbus.rtu import character_s, crc16, frame, gap_s, question_size, whole_question


def bitwise_crc(data: bytes) -> int:
    """The standard's flow chart (6.2.2), bit by bit."""
    crc = 0xFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            is_set = crc & 1
            crc >>= 1
            if is_set:
                crc ^= 0xA001
    return crc


@pytest.mark.parametrize(
    ("body", "crc"),
    [
        ("02 07", "41 12"),  # Modbus over serial line 1.02, section 6.2.2: the CRC 0x1241 goes out as 41 12
        ("01 03 00 00 00 0a", "c5 cd"),
        ("11 03 00 6b 00 03", "76 87"),
    ],
)
def test_published_checksums(body: str, crc: str) -> None:
    assert crc16(bytes.fromhex(body)).hex(" ") == crc


@given(st.binary(max_size=254))
def test_the_checksum_is_the_standards(data: bytes) -> None:
    assert int.from_bytes(crc16(data), "little") == bitwise_crc(data)


@given(st.integers(1, 247), st.binary(min_size=1, max_size=253), st.data())
def test_one_wrong_bit_is_found(unit: int, pdu: bytes, data: st.DataObject) -> None:
    sound = frame(unit, pdu)
    assert whole_question(sound) == sound
    bit = data.draw(st.integers(0, len(sound) * 8 - 1))
    spoilt = (int.from_bytes(sound, "big") ^ 1 << bit).to_bytes(len(sound), "big")
    assert whole_question(spoilt) is None


@pytest.mark.parametrize(
    ("begun", "size"),
    [("01", None), ("01 03", 8), ("01 05 00", 8), ("01 10 00 00 00 02", None), ("01 10 00 00 00 02 04", 13),
     ("01 0f 00 00 00 0a 02", 11), ("01 2b 0e", None)],
)  # fmt: skip
def test_where_a_question_ends(begun: str, size: int | None) -> None:
    assert question_size(bytes.fromhex(begun)) == size


def test_times_on_the_wire() -> None:
    assert character_s(9600) == pytest.approx(0.0011458, rel=1e-4)
    assert gap_s(9600) == pytest.approx(3.5 * 11 / 9600)
    assert gap_s(19200) == pytest.approx(3.5 * 11 / 19200)
    assert gap_s(115200) == 0.00175
    assert (character_s(0), gap_s(0)) == (0, 0.00175)
