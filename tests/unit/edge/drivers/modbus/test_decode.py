"""Decoding against struct, which knows nothing of our tables; and against the simulator's own encoder."""

import math
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contract.profile import DataType, ModbusRead, Table
from edge.drivers.modbus.decode import DECODERS, decode_item, decode_read
from edge.drivers.modbus.plan import Item, Read
from simulators.modbus.encode import registers_of

WORDS = st.lists(st.integers(0, 65535), min_size=4, max_size=8)
FORMATS = {
    DataType.UINT16: ">H", DataType.INT16: ">h", DataType.UINT32: ">I", DataType.INT32: ">i", DataType.FLOAT32: ">f",
}  # fmt: skip


def test_there_is_a_decoder_for_every_type() -> None:
    assert DECODERS.keys() == set(DataType)


@given(words=WORDS, at=st.integers(0, 2), data_type=st.sampled_from(list(FORMATS)))
def test_numbers_are_what_struct_says(words: list[int], at: int, data_type: DataType) -> None:
    packed = struct.pack(f">{len(words)}H", *words)
    (expected,) = struct.unpack_from(FORMATS[data_type], packed, at * 2)
    value = decode_item(Item("d", "p", at, data_type), words)
    assert value == expected or (math.isnan(value) and math.isnan(expected))


@given(word=st.integers(0, 65535), bit=st.integers(0, 15))
def test_a_bit_of_a_register_counts_from_the_lowest(word: int, bit: int) -> None:
    assert decode_item(Item("d", "p", 1, DataType.BIT, bit), [0, word]) == int(f"{word:016b}"[15 - bit])


@pytest.mark.parametrize(
    ("data_type", "raw"),
    [(DataType.INT16, -40), (DataType.UINT32, 4_000_000_000), (DataType.INT32, -5), (DataType.FLOAT32, -2.5)],
)
def test_the_simulator_encodes_what_the_driver_decodes(data_type: DataType, raw: float) -> None:
    read = ModbusRead(table=Table.INPUT_REGISTER, address=0, type=data_type)
    assert decode_item(Item("d", "p", 0, data_type), registers_of(read, raw)) == raw


def test_all_samples_of_an_answer_carry_its_time() -> None:
    read = Read(1, Table.COIL, 0, 2, (Item("a", "x", 0, DataType.BIT), Item("b", "y", 1, DataType.BIT)))
    samples = decode_read(read, [True, False, False, False, False, False, False, False], 42)
    assert [(s.device, s.point, s.raw, type(s.raw), s.mono_ns) for s in samples] == [
        ("a", "x", 1, int, 42),
        ("b", "y", 0, int, 42),
    ]
