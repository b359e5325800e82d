"""How values lie in registers: worked by hand, and there and back for every type and order."""

import math
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contract.errors import Permanent
from contract.profile import DataType, ModbusPoint, ModbusRead, ModbusWrite, Table
from contract.profile.modbus import Order
from simulators.modbus.encode import fitting, raw_from, raw_of, registers_of, value_of

LOW, HIGH = Order.LOW_FIRST, Order.HIGH_FIRST


def read(data_type: DataType, **more: object) -> ModbusRead:
    return ModbusRead(table=Table.HOLDING_REGISTER, address=0, type=data_type, **more)


@pytest.mark.parametrize(
    ("where", "raw", "registers"),
    [
        (read(DataType.INT16), -40, "ffd8"),
        (read(DataType.UINT32), 0x12345678, "1234 5678"),
        (read(DataType.UINT32, words=LOW), 0x12345678, "5678 1234"),
        (read(DataType.UINT32, bytes=LOW), 0x12345678, "3412 7856"),
        (read(DataType.UINT32, words=LOW, bytes=LOW), 0x12345678, "7856 3412"),
        (read(DataType.INT64), -2, "ffff ffff ffff fffe"),
        (read(DataType.UINT64, words=LOW), 0x0001000200030004, "0004 0003 0002 0001"),
        (read(DataType.FLOAT32), 5.0, "40a0 0000"),
        (read(DataType.FLOAT64), -2.5, "c004 0000 0000 0000"),
        (read(DataType.BCD16), 1234, "1234"),
        (read(DataType.BCD32), 90210, "0009 0210"),
        (read(DataType.BCD64, words=LOW), 12345678, "5678 1234 0000 0000"),
        (read(DataType.STRING, length=3), "Anju", "416e 6a75 0000"),
        (read(DataType.STRING, length=2, bytes=LOW), "Anju", "6e41 756a"),
        (read(DataType.STRING, length=2, encoding="gb18030"), "安居", "b0b2 bed3"),
    ],
)
def test_by_hand(where: ModbusRead, raw: float | str, registers: str) -> None:
    assert " ".join(f"{word:04x}" for word in registers_of(where, raw)) == registers
    assert raw_from(where, registers_of(where, raw)) == raw


NUMBERS = [kind for kind in DataType if kind.bounds and kind is not DataType.BIT]


@given(st.data(), st.sampled_from(NUMBERS), st.sampled_from(Order), st.sampled_from(Order))
def test_whole_numbers_go_there_and_back(data: st.DataObject, kind: DataType, words: Order, order: Order) -> None:
    where = read(kind, words=words, bytes=order)
    assert kind.bounds
    raw = data.draw(st.integers(*kind.bounds))
    registers = registers_of(where, raw)
    assert len(registers) == where.count
    assert all(0 <= word <= 0xFFFF for word in registers)
    assert raw_from(where, registers) == raw


@given(st.floats(width=32, allow_nan=False), st.sampled_from(Order), st.sampled_from(Order))
def test_floats_go_there_and_back(raw: float, words: Order, order: Order) -> None:
    for kind in (DataType.FLOAT32, DataType.FLOAT64):
        where = read(kind, words=words, bytes=order)
        assert raw_from(where, registers_of(where, raw)) == raw


@given(st.floats(-1e6, 1e6), st.sampled_from([0.001, 0.1, 1.0, 10.0]))
def test_a_number_is_rounded_to_what_the_register_can_say(value: float, scale: float) -> None:
    mapped = ModbusPoint(scale=scale, offset=-40.0, read=read(DataType.INT64))
    shown = value_of(mapped, raw_of(mapped, value))
    assert isinstance(shown, float)
    assert abs(shown - value) <= scale / 2 + 1e-6
    assert value_of(mapped, raw_of(mapped, shown)) == shown


def test_a_float_is_rounded_as_its_registers_are() -> None:
    mapped = ModbusPoint(read=read(DataType.FLOAT32))
    assert value_of(mapped, raw_of(mapped, 0.1)) == round(struct.unpack(">f", struct.pack(">f", 0.1))[0], 9)


@pytest.mark.parametrize(
    ("where", "exact"),
    [
        (read(DataType.UINT16), -1), (read(DataType.UINT16), 65536), (read(DataType.BCD16), 10_000),
        (read(DataType.INT32), 2.0**31), (read(DataType.FLOAT32), 1e39), (read(DataType.UINT64), math.inf),
        (read(DataType.BIT, bit=4, bits=3), 8), (read(DataType.UINT32), math.nan),
        (ModbusWrite(table=Table.HOLDING_REGISTER, address=0, argument="x"), 70_000),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_said(where: ModbusRead, exact: float) -> None:
    with pytest.raises(Permanent, match="does not fit"):
        fitting(where, exact, exact)


def test_a_text_that_is_too_long_is_said() -> None:
    with pytest.raises(Permanent, match="longer than 4 bytes"):
        registers_of(read(DataType.STRING, length=2), "Anju!")


def test_states_may_be_texts() -> None:
    mapped = ModbusPoint(states={"ON": "running", "OFF": "stopped"}, read=read(DataType.STRING, length=2))
    assert raw_of(mapped, "running") == "ON"
    assert value_of(mapped, "OFF") == "stopped"
