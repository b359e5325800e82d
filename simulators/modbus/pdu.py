"""Questions and answers without their frames, from the standard: one unit's answer to one question.

Function codes 1 to 6, 15 and 16; exceptions as the units raise them. Source: Modbus application protocol 1.1b3.
"""

import random
import struct
from typing import Protocol

import msgspec

from contract.clock import mono_ns
from contract.profile import Table
from simulators.bus import Fault
from simulators.log import TruthLog

_PAIR = struct.Struct(">HH")
ILLEGAL_FUNCTION, ILLEGAL_ADDRESS, ILLEGAL_VALUE, GATEWAY_SILENT = 1, 2, 3, 11
ON, OFF = 0xFF00, 0x0000

READS = {1: Table.COIL, 2: Table.DISCRETE_INPUT, 3: Table.HOLDING_REGISTER, 4: Table.INPUT_REGISTER}
SINGLE_WRITES = {5: Table.COIL, 6: Table.HOLDING_REGISTER}
MULTIPLE_WRITES = {15: Table.COIL, 16: Table.HOLDING_REGISTER}
MOST_BITS, MOST_REGISTERS = 2000, 125
MOST_BITS_WRITTEN, MOST_REGISTERS_WRITTEN = 1968, 123


class ModbusException(Exception):  # noqa: N818  # the standard's word
    """A unit refuses a question with this code."""

    def __init__(self, code: int) -> None:
        super().__init__(f"exception {code}")
        self.code = code


class Unit(Protocol):
    """What a unit's tables do. Values are bits (0 or 1) or registers (0 to 65535). Raises ModbusException."""

    refuses: frozenset[int]
    """Function codes that the model does not know, of those that it might."""

    def read(self, table: Table, address: int, count: int) -> list[int]:
        """`count` values from `address`."""

    def write(self, table: Table, address: int, values: list[int]) -> None:
        """Takes values from `address` on."""


class Reply(msgspec.Struct, frozen=True):
    """An answer ready to go out: its PDU, and for the log which values it holds and when they were read."""

    unit: int
    pdu: bytes
    table: Table | None = None
    address: int = 0
    values: list[int] = []
    read_ns: int = 0

    def note(self, log: TruthLog, bus: str) -> None:
        """Puts a read's answer into the truth log; to be called when it goes out."""
        if self.table is not None:
            log.answer(bus, self.unit, self.table, self.address, self.values, self.read_ns)


def reply_to(number: int, unit: Unit, pdu: bytes, fault: Fault | None, dice: random.Random) -> Reply:
    """What a unit answers to a question, with what a fault does to the answer's content."""
    function, now_ns = pdu[0], mono_ns()
    kind = fault.kind if fault is not None else ""
    try:
        if fault is not None and kind == "exception":
            return refusal(number, function, fault.code)
        if function in READS:
            address, values = _read(unit, table := READS[function], pdu)
            if kind in {"jump", "flood"} and not table.is_bits:
                most = 0xFFFF if kind == "jump" else 63
                values = [value ^ dice.randint(1, most) for value in values]
            return _spoilt(Reply(number, _read_answer(function, table, values), table, address, values, now_ns), kind)
        return _spoilt(Reply(number, write(unit, pdu)), kind)
    except ModbusException as e:
        return refusal(number, function, e.code)


def refusal(number: int, function: int, code: int) -> Reply:
    """An exception as an answer."""
    return Reply(number, bytes((function | 0x80, code)))


def _spoilt(reply: Reply, kind: str) -> Reply:
    """The answer with the part wrong that a fault names; itself for no such fault."""
    if kind == "unit":
        return msgspec.structs.replace(reply, unit=reply.unit % 247 + 1)
    if kind == "function":
        return msgspec.structs.replace(reply, pdu=bytes([reply.pdu[0] ^ 1]) + reply.pdu[1:])
    if kind == "length" and reply.table is not None:
        by = 1 if reply.table.is_bits else 2
        return msgspec.structs.replace(reply, pdu=reply.pdu[:1] + bytes([reply.pdu[1] - by]) + reply.pdu[2:-by])
    return reply


def _read(unit: Unit, table: Table, pdu: bytes) -> tuple[int, list[int]]:
    """Address and values of a read."""
    if len(pdu) != 1 + _PAIR.size:
        raise ModbusException(ILLEGAL_VALUE)
    address, count = _PAIR.unpack_from(pdu, 1)
    if not 1 <= count <= (MOST_BITS if table.is_bits else MOST_REGISTERS):
        raise ModbusException(ILLEGAL_VALUE)
    return address, unit.read(table, address, count)


def _read_answer(function: int, table: Table, values: list[int]) -> bytes:
    body = _pack_bits(values) if table.is_bits else struct.pack(f">{len(values)}H", *values)
    return bytes((function, len(body))) + body


def write(unit: Unit, pdu: bytes) -> bytes:
    """Does what a question to write says and returns the answer. Raises ModbusException where it cannot be done."""
    function = pdu[0]
    if (function not in SINGLE_WRITES and function not in MULTIPLE_WRITES) or function in unit.refuses:
        raise ModbusException(ILLEGAL_FUNCTION)
    if len(pdu) < 1 + _PAIR.size:
        raise ModbusException(ILLEGAL_VALUE)
    address, number = _PAIR.unpack_from(pdu, 1)
    if function in SINGLE_WRITES:
        table = SINGLE_WRITES[function]
        if len(pdu) != 1 + _PAIR.size or (table.is_bits and number not in {ON, OFF}):
            raise ModbusException(ILLEGAL_VALUE)
        values = [int(number == ON)] if table.is_bits else [number]
    else:
        table = MULTIPLE_WRITES[function]
        body = pdu[2 + _PAIR.size :]
        size = -(-number // 8) if table.is_bits else 2 * number
        most = MOST_BITS_WRITTEN if table.is_bits else MOST_REGISTERS_WRITTEN
        if not 1 <= number <= most or len(body) != size or pdu[1 + _PAIR.size] != size:
            raise ModbusException(ILLEGAL_VALUE)
        values = _unpack_bits(body, number) if table.is_bits else list(struct.unpack(f">{number}H", body))
    unit.write(table, address, values)
    return pdu[: 1 + _PAIR.size]


def _pack_bits(bits: list[int]) -> bytes:
    """Bits eight to a byte, the first lowest; the rest of the last byte is 0."""
    number = sum(bit << i for i, bit in enumerate(bits))
    return number.to_bytes(-(-len(bits) // 8), "little")


def _unpack_bits(body: bytes, count: int) -> list[int]:
    number = int.from_bytes(body, "little")
    return [number >> i & 1 for i in range(count)]
