"""A small Modbus TCP server written from the standard, not on the box's library, so that a shared bug cannot hide.

Source: Modbus messaging on TCP/IP 1.0b. What is in a frame: pdu.py.
"""

import asyncio
import random
import struct
from collections.abc import Mapping
from typing import Self

from simulators.bus import Fault
from simulators.log import TruthLog
from simulators.modbus.endpoint import Client, Endpoint
from simulators.modbus.faults import Faults
from simulators.modbus.pdu import (
    GATEWAY_SILENT,
    Reply,
    Unit,
    refusal,
    reply_to,
)

MBAP = struct.Struct(">HHHB")
_MAX_FRAME = 260


class ModbusServer(Endpoint):
    """One endpoint and the units behind it, as an async context manager. Questions are counted by unit.

    A unit that is not there is answered as a gateway does: exception 11.
    """

    def __init__(
        self, host: str, port: int, units: Mapping[int, Unit], log: TruthLog, bus: str = "", seed: int = 1
    ) -> None:
        super().__init__(host, port, lambda: _Connection(self))
        self.units, self.log, self.bus = units, log, bus
        self.questions: dict[int, int] = dict.fromkeys(units, 0)
        self.random = random.Random(f"{seed}/{bus}")  # noqa: S311  # reproducible garbage
        self._faults = Faults(self.random)

    async def __aenter__(self) -> Self:
        await self.open()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    @property
    def faults(self) -> dict[int, Fault]:
        """What is wrong now, by unit."""
        return self._faults.by_unit

    def fail(self, unit: int, fault: Fault | None) -> None:
        """Gives a unit a fault, or takes it away."""
        self._faults.fail(unit, fault)

    def take_fault(self, unit: int) -> Fault | None:
        """The fault that the question at hand meets, counting it."""
        return self._faults.take(unit)


class _Connection(Client):
    """One client: cuts the stream into frames and answers each."""

    def __init__(self, server: ModbusServer) -> None:
        super().__init__(server)
        self._server = server
        self._buffer = b""
        self._kept: list[tuple[int, Reply]] = []
        self._transaction = 0

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        while len(self._buffer) >= MBAP.size:
            transaction, protocol, length, unit = MBAP.unpack_from(self._buffer)
            end = MBAP.size - 1 + length
            if protocol or length < 2 or end > _MAX_FRAME:  # at least a unit and a function code
                self.transport.close()
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
            self.transport.close()
            return
        for earlier in kept:
            self._send(*earlier)
        behind = server.units.get(unit)
        if behind is None:
            reply = refusal(unit, pdu[0], GATEWAY_SILENT)
        else:
            reply = reply_to(unit, behind, pdu, fault, server.random)
        previous, self._transaction = self._transaction, transaction
        if kind == "transaction":
            transaction = previous
        elif kind == "transaction_0":
            transaction = 0
        if kind == "late":  # goes out before the next answer
            self._kept.append((transaction, reply))
        elif kind == "slow" and fault is not None:
            asyncio.get_running_loop().call_later(fault.delay_s, self._send, transaction, reply)
        elif kind == "garbage":
            self.transport.write(server.random.randbytes(16))
        elif kind == "truncated":
            frame = _frame(transaction, reply)
            self.transport.write(frame[: len(frame) // 2])
        else:
            self._send(transaction, reply)

    def _send(self, transaction: int, reply: Reply) -> None:
        if self.transport.is_closing():
            return
        self.transport.write(_frame(transaction, reply))
        reply.note(self._server.log, self._server.bus)


def _frame(transaction: int, reply: Reply) -> bytes:
    return MBAP.pack(transaction, 0, len(reply.pdu) + 1, reply.unit) + reply.pdu
