"""Decoding against struct, which knows nothing of our tables; and against the simulator's own encoder."""

import math
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contract.messages import Sample
from contract.modbus_plan import Item, Read, plan_unit
from contract.profile import DataType, ModbusLimits, ModbusPoint, ModbusProfile, ModbusRead, Table
from contract.profile.modbus import Order
from edge.drivers.modbus.decode import FORMATS, decoder_of
from edge.drivers.modbus.frame import pack_bits
from simulators.modbus.encode import registers_of

ORDERS = st.sampled_from(list(Order))
NUMBERS = st.sampled_from([t for t in FORMATS if t is not DataType.BIT and not t.startswith("bcd")])


def register(data_type: DataType, **more: object) -> ModbusRead:
    return ModbusRead(table=Table.HOLDING_REGISTER, address=0, type=data_type, **more)


def decoded(data: bytes, *items: tuple[int, ModbusRead]) -> list[Sample]:
    read = Read(1, Table.HOLDING_REGISTER, 0, len(data) // 2,
                tuple(Item("d", f"p{n}", offset, read) for n, (offset, read) in enumerate(items)))  # fmt: skip
    return sorted(decoder_of(read)(data, 42), key=lambda sample: int(sample.point[1:]))


def packed(words: list[int]) -> bytes:
    return struct.pack(f">{len(words)}H", *words)


def test_there_is_a_decoder_for_every_type() -> None:
    assert FORMATS.keys() | {DataType.STRING} == set(DataType)


@given(data=st.binary(min_size=16, max_size=16), at=st.integers(0, 4), data_type=NUMBERS)
def test_numbers_are_what_struct_says(data: bytes, at: int, data_type: DataType) -> None:
    (expected,) = struct.unpack_from(">" + FORMATS[data_type], data, at * 2)
    (sample,) = decoded(data, (at, register(data_type)))
    assert sample.raw == expected or (math.isnan(sample.raw) and math.isnan(expected))


@given(
    number=st.integers(0, 2**64 - 1), words=ORDERS, order=ORDERS,
    data_type=st.sampled_from([t for t in FORMATS if t.bounds and t is not DataType.BIT]),
)  # fmt: skip
def test_what_the_simulator_puts_into_registers_in_any_order_comes_out(
    number: int, words: Order, order: Order, data_type: DataType
) -> None:
    low, high = data_type.bounds
    raw, read = low + number % (high - low + 1), register(data_type, words=words, bytes=order)
    assert [s.raw for s in decoded(packed(registers_of(read, raw)), (0, read))] == [raw]


@given(raw=st.floats(width=32, allow_nan=False), words=ORDERS, order=ORDERS, wide=st.booleans())
def test_floats_in_any_order(raw: float, words: Order, order: Order, wide: bool) -> None:
    read = register(DataType.FLOAT64 if wide else DataType.FLOAT32, words=words, bytes=order)
    assert decoded(packed(registers_of(read, raw)), (0, read))[0].raw == raw


@pytest.mark.parametrize(
    ("words", "order", "lying"),
    [
        (Order.HIGH_FIRST, Order.HIGH_FIRST, "12345678"), (Order.LOW_FIRST, Order.HIGH_FIRST, "56781234"),
        (Order.HIGH_FIRST, Order.LOW_FIRST, "34127856"), (Order.LOW_FIRST, Order.LOW_FIRST, "78563412"),
    ],
)  # fmt: skip
def test_the_four_orders_that_manuals_call_abcd_cdab_badc_and_dcba(words: Order, order: Order, lying: str) -> None:
    read = register(DataType.UINT32, words=words, bytes=order)
    assert decoded(bytes.fromhex(lying), (0, read))[0].raw == 0x12345678


@given(word=st.integers(0, 65535), bit=st.integers(0, 15), data=st.data())
def test_bits_of_a_register_count_from_the_lowest(word: int, bit: int, data: st.DataObject) -> None:
    bits = data.draw(st.integers(1, 16 - bit))
    (sample,) = decoded(packed([0, word]), (1, register(DataType.BIT, bit=bit, bits=bits)))
    assert f"{sample.raw:016b}"[-bits:] == f"{word:016b}"[16 - bit - bits : 16 - bit]


def test_bits_and_numbers_may_lie_over_each_other() -> None:
    samples = decoded(
        packed([0x8001, 0x0005]), (0, register(DataType.BIT, bit=15)), (0, register(DataType.BIT, bit=0)),
        (0, register(DataType.UINT32)), (1, register(DataType.UINT16)), (0, register(DataType.INT16)),
    )  # fmt: skip
    assert [s.raw for s in samples] == [1, 1, 0x80010005, 5, -0x7FFF]


def test_what_is_no_decimal_is_an_error_of_that_point_alone() -> None:
    samples = decoded(bytes.fromhex("123A 1234"), (0, register(DataType.BCD16)), (1, register(DataType.BCD16)))
    assert [(s.raw, s.error) for s in samples] == [(None, "0x123a is no binary-coded decimal"), (1234, "")]


@pytest.mark.parametrize(
    ("data", "encoding", "text"),
    [
        (b"SN-12 \0\0", "ascii", "SN-12"), (b"AB\0CD\xff\xff\xff", "ascii", "AB"), (b"\xff\xff", "ascii", ""),
        ("烟感".encode() + b"\0\0", "utf-8", "烟感"), ("烟感".encode("gb18030"), "gb18030", "烟感"),
        (b"a\xe7\x83", "utf-8", "a�"), (b"\x1b[2Jx\n", "ascii", "[2Jx"),
    ],
)  # fmt: skip
def test_text_is_safe_to_show(data: bytes, encoding: str, text: str) -> None:
    data += b"\0" * (len(data) % 2)
    assert decoded(data, (0, register(DataType.STRING, length=len(data) // 2, encoding=encoding)))[0].raw == text


def test_text_with_its_bytes_swapped() -> None:
    assert decoded(b"BADC", (0, register(DataType.STRING, length=2, bytes=Order.LOW_FIRST)))[0].raw == "ABCD"


@given(bits=st.lists(st.integers(0, 1), min_size=1, max_size=40))
def test_bits_of_a_table_lie_lowest_first(bits: list[int]) -> None:
    bit = ModbusRead(table=Table.COIL, address=0, type=DataType.BIT)
    read = Read(1, Table.COIL, 0, len(bits), tuple(Item("d", f"p{n}", n, bit) for n in range(len(bits))))
    samples = decoder_of(read)(pack_bits(bits), 42)
    assert [(s.raw, s.mono_ns, s.error, s.fields) for s in samples] == [(bit, 42, "", None) for bit in bits]


any_read = st.builds(
    ModbusRead,
    table=st.just(Table.HOLDING_REGISTER),
    address=st.integers(0, 30),
    type=NUMBERS,
    words=ORDERS,
    bytes=ORDERS,
)


@given(reads=st.lists(any_read, min_size=1, max_size=20), gap=st.integers(0, 9), seed=st.randoms())
def test_a_merged_question_says_of_each_point_what_its_own_would(
    reads: list[ModbusRead], gap: int, seed: object
) -> None:
    memory = bytes(seed.randrange(256) for _ in range(2 * 40))
    points = {f"p{n}": ModbusPoint(read=read) for n, read in enumerate(reads)}
    profile = ModbusProfile(
        protocol="modbus", id="m", vendor="v", model="m", kind="environment", source="s", points=points
    )
    merged = {}
    for read in plan_unit(1, profile, [("d", 0)], ModbusLimits(max_gap=gap)):
        for sample in decoder_of(read)(memory[2 * read.address : 2 * (read.address + read.count)], 1):
            merged[sample.point] = repr(sample.raw)  # a NaN is not itself
    alone = {
        name: repr(decoded(memory[2 * p.read.address : 2 * (p.read.address + p.read.count)], (0, p.read))[0].raw)
        for name, p in points.items()
    }
    assert merged == alone
