"""A small Modbus TCP server written from the standard, not on the box's library, so that a shared bug cannot hide.

Function codes 1 to 6, 15 and 16; exceptions as the units raise them. Source: Modbus application protocol 1.1b3 and
Modbus messaging on TCP/IP 1.0b.
"""

import asyncio
import random
import struct
from collections.abc import Mapping
from typing import Literal, Protocol, Self

import msgspec

from contract.clock import mono_ns
from contract.profile import Table
from simulators.log import TruthLog

MBAP = struct.Struct(">HHHB")
_PAIR = struct.Struct(">HH")
_MAX_FRAME = 260
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


class Fault(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What is wrong with a unit's answers.

    silent: none. slow: each after `delay_s`. late: each only when the next question has arrived, before its answer
    (the last stays away). exception: refused with `code`. cut: the connection is closed instead. garbage: bytes that
    are no frame; the others are sound frames with one part wrong: `transaction` (the last question's), `transaction_0`,
    `unit`, `function` or `length` (one value short). `times` ends a fault after so many questions.
    """

    kind: Literal[
        "silent", "slow", "late", "exception", "cut", "garbage", "transaction", "transaction_0", "unit", "function",
        "length",
    ]  # fmt: skip
    delay_s: float = 0.0
    code: int = 4
    times: int | None = None


class Unit(Protocol):
    """What a unit's tables do. Values are bits (0 or 1) or registers (0 to 65535). Raises ModbusException."""

    def read(self, table: Table, address: int, count: int) -> list[int]:
        """`count` values from `address`."""

    def write(self, table: Table, address: int, values: list[int]) -> None:
        """Takes values from `address` on."""


class ModbusServer:
    """One endpoint and the units behind it, as an async context manager. Questions are counted by unit.

    A unit that is not there is answered as a gateway does: exception 11.
    """

    def __init__(
        self, host: str, port: int, units: Mapping[int, Unit], log: TruthLog, bus: str = "", seed: int = 1
    ) -> None:
        self.host, self.port, self.units, self.log, self.bus = host, port, units, log, bus
        self.faults: dict[int, Fault] = {}
        self.questions: dict[int, int] = dict.fromkeys(units, 0)
        self.connections = 0
        self.random = random.Random(seed)  # noqa: S311  # reproducible garbage
        self._left: dict[int, int] = {}
        self._open: set[_Connection] = set()
        self._server: asyncio.Server | None = None

    async def __aenter__(self) -> Self:
        await self.listen()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.shut()

    async def listen(self) -> None:
        """Begins to accept connections; port 0 takes a free one and keeps it. Harmless when already listening."""
        if self._server is None:
            loop = asyncio.get_running_loop()
            self._server = await loop.create_server(lambda: _Connection(self), self.host, self.port)
            self.port = self._server.sockets[0].getsockname()[1]

    async def shut(self) -> None:
        """Closes all connections and accepts no more, as an endpoint without power does."""
        if self._server is not None:
            self._server.close()
            self.cut()
            await self._server.wait_closed()
            self._server = None

    def cut(self) -> None:
        """Closes all connections; new ones are accepted."""
        for connection in list(self._open):
            connection.close()

    def fail(self, unit: int, fault: Fault | None) -> None:
        """Gives a unit a fault, or takes it away."""
        self._left.pop(unit, None)
        if fault is None:
            self.faults.pop(unit, None)
            return
        self.faults[unit] = fault
        if fault.times is not None:
            self._left[unit] = fault.times

    def take_fault(self, unit: int) -> Fault | None:
        """The fault that the question at hand meets, counting it."""
        fault = self.faults.get(unit)
        if fault is not None and fault.times is not None:
            self._left[unit] -= 1
            if self._left[unit] <= 0:
                self.fail(unit, None)
        return fault

    def connected(self, connection: "_Connection") -> None:
        """A client came."""
        self.connections += 1
        self._open.add(connection)

    def lost(self, connection: "_Connection") -> None:
        """A client went."""
        self._open.discard(connection)


class _Connection(asyncio.Protocol):
    """One client: cuts the stream into frames and answers each."""

    def __init__(self, server: ModbusServer) -> None:
        self._server = server
        self._buffer = b""
        self._kept: list[_Reply] = []
        self._transaction = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._server.connected(self)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002  # asyncio's signature
        self._server.lost(self)

    def close(self) -> None:
        """Ends the connection."""
        self._transport.close()

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        while len(self._buffer) >= MBAP.size:
            transaction, protocol, length, unit = MBAP.unpack_from(self._buffer)
            end = MBAP.size - 1 + length
            if protocol or length < 2 or end > _MAX_FRAME:  # at least a unit and a function code
                self.close()
                return
            if len(self._buffer) < end:
                return
            pdu, self._buffer = self._buffer[MBAP.size : end], self._buffer[end:]
            self._take(transaction, unit, pdu)

    def _take(self, transaction: int, unit: int, pdu: bytes) -> None:
        server = self._server
        if unit in server.units:
            server.questions[unit] += 1
        fault = server.take_fault(unit)
        kept, self._kept = self._kept, []
        kind = fault.kind if fault else ""
        if kind == "silent":
            return
        if kind == "cut":
            self.close()
            return
        for earlier in kept:
            self._send(earlier)
        reply = _Reply(transaction, unit, *self._answer(unit, pdu, fault))
        previous, self._transaction = self._transaction, transaction
        if kind == "late":  # goes out before the next answer
            self._kept.append(reply)
        elif kind == "slow" and fault is not None:
            asyncio.get_running_loop().call_later(fault.delay_s, self._send, reply)
        elif kind == "garbage":
            self._transport.write(server.random.randbytes(16))
        else:
            self._send(_spoilt(reply, kind, previous))

    def _answer(self, unit: int, pdu: bytes, fault: Fault | None) -> tuple[bytes, Table | None, int, list[int], int]:
        """The answer's PDU, and for the log which values it holds and when they were read."""
        function, now_ns = pdu[0], mono_ns()
        behind = self._server.units.get(unit)
        code = fault.code if fault is not None and fault.kind == "exception" else 0
        if behind is None:
            code = GATEWAY_SILENT
        try:
            if code or behind is None:
                return _exception(function, code), None, 0, [], now_ns
            if function in READS:
                address, values, answer = _read(behind, READS[function], pdu)
                return answer, READS[function], address, values, now_ns
            return _write(behind, pdu), None, 0, [], now_ns
        except ModbusException as e:
            return _exception(function, e.code), None, 0, [], now_ns

    def _send(self, reply: "_Reply") -> None:
        if self._transport.is_closing():
            return
        self._transport.write(MBAP.pack(reply.transaction, 0, len(reply.pdu) + 1, reply.unit) + reply.pdu)
        if reply.table is not None:
            self._server.log.answer(
                self._server.bus, reply.unit, reply.table, reply.address, reply.values, reply.read_ns
            )


class _Reply(msgspec.Struct, frozen=True):
    """An answer ready to go out."""

    transaction: int
    unit: int
    pdu: bytes
    table: Table | None
    address: int
    values: list[int]
    read_ns: int


def _spoilt(reply: _Reply, kind: str, previous: int) -> _Reply:
    """The answer with the part wrong that a fault names; itself for no such fault."""
    if kind == "transaction":
        return msgspec.structs.replace(reply, transaction=previous)
    if kind == "transaction_0":
        return msgspec.structs.replace(reply, transaction=0)
    if kind == "unit":
        return msgspec.structs.replace(reply, unit=reply.unit % 247 + 1)
    if kind == "function":
        return msgspec.structs.replace(reply, pdu=bytes([reply.pdu[0] ^ 1]) + reply.pdu[1:])
    if kind == "length" and reply.table is not None:
        by = 1 if reply.table.is_bits else 2
        return msgspec.structs.replace(reply, pdu=reply.pdu[:1] + bytes([reply.pdu[1] - by]) + reply.pdu[2:-by])
    return reply


def _exception(function: int, code: int) -> bytes:
    return bytes((function | 0x80, code))


def _read(unit: Unit, table: Table, pdu: bytes) -> tuple[int, list[int], bytes]:
    """Address, values and answer of a read."""
    if len(pdu) != 1 + _PAIR.size:
        raise ModbusException(ILLEGAL_VALUE)
    address, count = _PAIR.unpack_from(pdu, 1)
    if not 1 <= count <= (MOST_BITS if table.is_bits else MOST_REGISTERS):
        raise ModbusException(ILLEGAL_VALUE)
    values = unit.read(table, address, count)
    body = _pack_bits(values) if table.is_bits else struct.pack(f">{count}H", *values)
    return address, values, bytes((pdu[0], len(body))) + body


def _write(unit: Unit, pdu: bytes) -> bytes:
    """The answer to a write that was done."""
    function = pdu[0]
    if function not in SINGLE_WRITES and function not in MULTIPLE_WRITES:
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
