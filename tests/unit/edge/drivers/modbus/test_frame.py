"""Frames against the standard's worked examples, against pymodbus, and against what must never be taken for one."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pymodbus.framer import FramerRTU, FramerSocket
from pymodbus.pdu import DecodePDU
from pymodbus.pdu.bit_message import (
    ReadCoilsRequest,
    ReadDiscreteInputsRequest,
    WriteMultipleCoilsRequest,
    WriteSingleCoilRequest,
)
from pymodbus.pdu.register_message import (
    ReadHoldingRegistersRequest,
    ReadInputRegistersRequest,
    WriteMultipleRegistersRequest,
    WriteSingleRegisterRequest,
)

from contract.profile import Table
from edge.drivers.modbus.errors import BadAnswer, Busy, Refused, Silent, Unreachable
from edge.drivers.modbus.frame import (
    EXCEPTION_BIT,
    Question,
    check_answer,
    crc16,
    other_shapes,
    pack_bits,
    read_question,
    rtu_frame,
    tcp_frame,
    write_question,
)

TABLES = st.sampled_from(list(Table))
WRITABLE = st.sampled_from([Table.COIL, Table.HOLDING_REGISTER])
UNITS, ADDRESSES = st.integers(1, 247), st.integers(0, 60000)
READ_OF = {
    Table.COIL: ReadCoilsRequest, Table.DISCRETE_INPUT: ReadDiscreteInputsRequest,
    Table.HOLDING_REGISTER: ReadHoldingRegistersRequest, Table.INPUT_REGISTER: ReadInputRegistersRequest,
}  # fmt: skip

# Source: Modbus application protocol 1.1b3, sections 6.1 to 6.4: question, answer, and what the standard says of it.
READ_EXAMPLES = [
    (Table.COIL, 0x13, 19, "01 0013 0013", "01 03 CD6B05", "CD6B05"),
    (Table.DISCRETE_INPUT, 0xC4, 22, "02 00C4 0016", "02 03 ACDB35", "ACDB35"),
    (Table.HOLDING_REGISTER, 0x6B, 3, "03 006B 0003", "03 06 022B 0000 0064", "022B00000064"),
    (Table.INPUT_REGISTER, 0x08, 1, "04 0008 0001", "04 02 000A", "000A"),
]
# Sections 6.5, 6.6, 6.11, 6.12.
WRITE_EXAMPLES = [
    (Table.COIL, 0xAC, [1], False, "05 00AC FF00", "05 00AC FF00"),
    (Table.HOLDING_REGISTER, 1, [3], False, "06 0001 0003", "06 0001 0003"),
    (Table.COIL, 0x13, [1, 0, 1, 1, 0, 0, 1, 1, 1, 0], True, "0F 0013 000A 02 CD01", "0F 0013 000A"),
    (Table.HOLDING_REGISTER, 1, [0x0A, 0x0102], True, "10 0001 0002 04 000A 0102", "10 0001 0002"),
]


@pytest.mark.parametrize(("table", "address", "count", "asked", "answer", "data"), READ_EXAMPLES)
def test_the_standards_reads(table: Table, address: int, count: int, asked: str, answer: str, data: str) -> None:
    question = read_question(1, table, address, count)
    assert question.pdu == bytes.fromhex(asked)
    assert check_answer(question, bytes.fromhex(answer)) == bytes.fromhex(data)


@pytest.mark.parametrize(("table", "address", "values", "many", "asked", "answer"), WRITE_EXAMPLES)
def test_the_standards_writes(
    table: Table, address: int, values: list[int], many: bool, asked: str, answer: str
) -> None:
    question = write_question(1, table, address, values, many)
    assert question.pdu == bytes.fromhex(asked)
    assert check_answer(question, bytes.fromhex(answer)) == b""


def test_the_crc_of_the_serial_line_standard_and_a_well_known_frame() -> None:
    assert crc16(bytes.fromhex("0207")) == 0x1241  # serial line 1.02, appendix B
    assert rtu_frame(1, bytes.fromhex("03 0000 000A")).hex() == "01030000000ac5cd"


@given(data=st.binary(max_size=256))
def test_the_crc_is_pymodbus_and_of_a_whole_frame_0(data: bytes) -> None:
    crc = crc16(data)
    assert crc.to_bytes(2, "little") == FramerRTU.compute_CRC(data).to_bytes(2, "big")
    assert crc16(data + crc.to_bytes(2, "little")) == 0


def as_pymodbus(question: Question, pdu: object) -> None:
    rtu, tcp = FramerRTU(DecodePDU(True)), FramerSocket(DecodePDU(True))
    pdu.transaction_id = 7
    assert rtu.buildFrame(pdu) == rtu_frame(question.unit, question.pdu)
    assert tcp.buildFrame(pdu) == tcp_frame(7, question.unit, question.pdu)


@given(table=TABLES, unit=UNITS, address=ADDRESSES, count=st.integers(1, 125))
def test_reads_are_byte_for_byte_what_pymodbus_builds(table: Table, unit: int, address: int, count: int) -> None:
    question = read_question(unit, table, address, count)
    as_pymodbus(question, READ_OF[table](address=address, count=count, dev_id=unit))


@given(table=WRITABLE, unit=UNITS, address=ADDRESSES, data=st.data(), many=st.booleans())
def test_writes_are_byte_for_byte_what_pymodbus_builds(
    table: Table, unit: int, address: int, data: st.DataObject, many: bool
) -> None:
    cells = st.integers(0, 1) if table.is_bits else st.integers(0, 65535)
    values = data.draw(st.lists(cells, min_size=1, max_size=123))
    question = write_question(unit, table, address, values, many)
    is_many = many or len(values) > 1
    if table.is_bits:
        kind = WriteMultipleCoilsRequest if is_many else WriteSingleCoilRequest
        theirs = kind(address=address, bits=[bool(v) for v in values], dev_id=unit)
    else:
        theirs = (WriteMultipleRegistersRequest if is_many else WriteSingleRegisterRequest)(
            address=address, registers=values, dev_id=unit
        )
    as_pymodbus(question, theirs)


questions = st.one_of(
    st.builds(read_question, UNITS, TABLES, ADDRESSES, st.integers(1, 125)),
    st.builds(write_question, UNITS, st.just(Table.COIL), ADDRESSES, st.lists(st.integers(0, 1), min_size=1)),
)


@given(question=questions, pdu=st.binary(max_size=260))
def test_of_any_bytes_only_what_fits_is_an_answer(question: Question, pdu: bytes) -> None:
    try:
        data = check_answer(question, pdu)
    except (BadAnswer, Refused, Busy, Silent):
        return
    assert pdu == question.start + data
    assert len(pdu) == question.size


@given(question=questions, spoil=st.sampled_from(["function", "count", "short", "long"]))
def test_an_answer_with_one_part_wrong_is_none(question: Question, spoil: str) -> None:
    pdu = question.start + bytes(question.size - len(question.start))
    assert check_answer(question, pdu) == pdu[len(question.start) :]
    wrong = {
        "function": bytes([pdu[0] ^ 1]) + pdu[1:], "count": pdu[:1] + bytes([pdu[1] ^ 2]) + pdu[2:],
        "short": pdu[:-1], "long": pdu + b"\0",
    }[spoil]  # fmt: skip
    with pytest.raises(BadAnswer):
        check_answer(question, wrong)


@pytest.mark.parametrize(
    ("code", "kind", "said"),
    [
        (1, Refused, "illegal function"), (2, Refused, "illegal address"), (3, Refused, "illegal value"),
        (4, Refused, "device failure"), (5, Busy, "still working"), (6, Busy, "busy"), (8, Refused, "parity"),
        (10, Unreachable, "gateway has no path"), (11, Unreachable, "gateway got no answer"),
        (99, Refused, "not in the standard"),
    ],
)  # fmt: skip
def test_exceptions_are_told_apart(code: int, kind: type[Exception], said: str) -> None:
    with pytest.raises(kind, match=f"exception {code}: .*{said}") as e:
        check_answer(read_question(1, Table.COIL, 0, 1), bytes((1 | EXCEPTION_BIT, code)))
    if isinstance(e.value, Busy):
        assert e.value.is_taken is (code == 5)


@given(table=TABLES, address=st.integers(0, 65535), count=st.integers(1, 125))
def test_other_shapes_have_answers_of_another_size_and_stay_in_the_table(
    table: Table, address: int, count: int
) -> None:
    question = read_question(1, table, min(address, 65536 - count), count)
    others = list(other_shapes(question))
    assert others or address + count > 65000
    for other in others:
        assert other.start != question.start
        assert other.start[0] == question.start[0]
        asked = int.from_bytes(other.pdu[1:3]) + int.from_bytes(other.pdu[3:5])
        assert asked <= 65536


@given(bits=st.lists(st.booleans(), max_size=40))
def test_bits_are_packed_lowest_first(bits: list[bool]) -> None:
    packed = pack_bits(bits)
    assert [bool(packed[i // 8] >> i % 8 & 1) for i in range(len(bits))] == bits
