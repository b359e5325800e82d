"""Modbus questions and answers as bytes, from the standard; what an answer must be to count. Pure.

Sources: Modbus application protocol 1.1b3 (PDUs), Modbus messaging on TCP/IP 1.0b (MBAP), Modbus over serial line 1.02
(RTU frames, CRC).
"""

import struct
from collections.abc import Iterator, Sequence

import msgspec

from contract.profile import Table
from edge.drivers.modbus.errors import BadAnswer, refusal

MBAP = struct.Struct(">HHHB")
"""Transaction, protocol (0), length of what follows from the unit id on, unit id."""
MBAP_BEFORE_UNIT = MBAP.size - 1
MAX_PDU = 253
MOST_BITS, MOST_REGISTERS = 2000, 125
"""Of one read. Source: application protocol 1.1b3, sections 6.1 and 6.3."""
CRC_SIZE = 2
RTU_AROUND = 1 + CRC_SIZE
"""Bytes that an RTU frame has around its PDU: unit id before, CRC after."""
EXCEPTION_PDU = 2
EXCEPTION_BIT = 0x80

_PAIR = struct.Struct(">BHH")
_MANY = struct.Struct(">BHHB")
_ON = 0xFF00
_BITS_A_BYTE = 8
_ADDRESSES = 65536
_MORE = 3
READS = {Table.COIL: 1, Table.DISCRETE_INPUT: 2, Table.HOLDING_REGISTER: 3, Table.INPUT_REGISTER: 4}
SINGLE_WRITES = {Table.COIL: 5, Table.HOLDING_REGISTER: 6}
MULTIPLE_WRITES = {Table.COIL: 15, Table.HOLDING_REGISTER: 16}


class Question(msgspec.Struct, frozen=True):
    """What is asked of a unit: the PDU, and the beginning and size that the PDU of its good answer must have.

    A read's answer begins with its function code and byte count; a write's is given whole.
    """

    unit: int
    pdu: bytes
    start: bytes
    size: int

    @property
    def function(self) -> int:
        """The function code."""
        return self.pdu[0]

    @property
    def is_write(self) -> bool:
        """Whether it changes anything; its answer is then known whole."""
        return self.size == len(self.start)


def read_question(unit: int, table: Table, address: int, count: int) -> Question:
    """Function 1 to 4: `count` bits or registers of a table from `address`."""
    function = READS[table]
    data = -(-count // 8) if table.is_bits else 2 * count
    return Question(unit, _PAIR.pack(function, address, count), bytes((function, data)), 2 + data)


def other_shapes(question: Question) -> Iterator[Question]:
    """Reads at the same place whose answers have another size: of fewer values, or of a few more."""
    function, address, count = _PAIR.unpack(question.pdu)
    table = next(table for table, code in READS.items() if code == function)
    step, most = (_BITS_A_BYTE, MOST_BITS) if table.is_bits else (1, MOST_REGISTERS)
    most = min(most, _ADDRESSES - address)
    fewer, more = range(1, count, step), range(count + step, count + (_MORE + 1) * step, step)
    for other in (*fewer, *more):
        if other <= most and (shaped := read_question(question.unit, table, address, other)).size != question.size:
            yield shaped


def write_question(unit: int, table: Table, address: int, values: Sequence[int], is_multiple: bool = False) -> Question:
    """Function 5 or 6 for one value (0 or 1; 0 to 65535), 15 or 16 for more, or for one where `is_multiple`."""
    if len(values) == 1 and not is_multiple:
        value = (_ON if values[0] else 0) if table.is_bits else values[0]
        pdu = _PAIR.pack(SINGLE_WRITES[table], address, value)
        return Question(unit, pdu, pdu, len(pdu))
    data = pack_bits(values) if table.is_bits else struct.pack(f">{len(values)}H", *values)
    pdu = _MANY.pack(MULTIPLE_WRITES[table], address, len(values), len(data)) + data
    return Question(unit, pdu, pdu[: _PAIR.size], _PAIR.size)


def check_answer(question: Question, pdu: bytes) -> bytes:
    """What an answer holds: the bytes of the bits or registers read, or of a write nothing.

    Raises BadAnswer where function, byte count, size or echo differ from what was asked, and what the unit's
    exception means (errors.refusal).
    """
    if len(pdu) == question.size and pdu.startswith(question.start):
        return pdu[len(question.start) :]
    if len(pdu) == EXCEPTION_PDU and pdu[0] == question.function | EXCEPTION_BIT:
        raise refusal(pdu[1])
    if not pdu or pdu[0] & ~EXCEPTION_BIT != question.function:
        said = f"function {pdu[0] & ~EXCEPTION_BIT}" if pdu else "nothing"
        raise BadAnswer(f"the answer is for {said}, not for function {question.function}")
    if question.is_write:
        raise BadAnswer("the echo of the write differs from what was written")
    raise BadAnswer(f"the answer holds {len(pdu) - 2} bytes of data, {question.size - 2} were expected")


def pack_bits(bits: Sequence[int]) -> bytes:
    """Bits eight to a byte, the first lowest; the rest of the last byte is 0."""
    number = sum(1 << i for i, bit in enumerate(bits) if bit)
    return number.to_bytes(-(-len(bits) // 8), "little")


def _crc_table() -> tuple[int, ...]:
    table = []
    for value in range(256):
        for _ in range(8):
            value = value >> 1 ^ (0xA001 if value & 1 else 0)
        table.append(value)
    return tuple(table)


_CRC = _crc_table()


def crc16(data: bytes | bytearray | memoryview) -> int:
    """The check sum of an RTU frame. Over a frame with its CRC it is 0. Source: serial line 1.02, appendix B."""
    crc = 0xFFFF
    table = _CRC
    for byte in data:
        crc = crc >> 8 ^ table[(crc ^ byte) & 0xFF]
    return crc


def rtu_frame(unit: int, pdu: bytes) -> bytes:
    """A PDU as it goes over a serial line, the CRC low byte first."""
    body = bytes((unit,)) + pdu
    return body + crc16(body).to_bytes(CRC_SIZE, "little")


def tcp_frame(transaction: int, unit: int, pdu: bytes) -> bytes:
    """A PDU as it goes over TCP."""
    return MBAP.pack(transaction, 0, len(pdu) + 1, unit) + pdu
