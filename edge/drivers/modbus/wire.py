"""One Modbus TCP connection, one question at a time, on pymodbus's client; every answer is checked before it counts.

pymodbus drops frames of another transaction or unit, but takes transaction 0 and any function code, and does not look
at lengths. All of that is checked here, so that a late answer to an older question is never taken for a newer one.
"""

import asyncio
import logging
from collections.abc import Sequence

from pymodbus.client import AsyncModbusTcpClient
from pymodbus.exceptions import ModbusException
from pymodbus.pdu import ModbusPDU
from pymodbus.pdu.bit_message import ReadCoilsRequest, ReadDiscreteInputsRequest, WriteSingleCoilRequest
from pymodbus.pdu.register_message import (
    ReadHoldingRegistersRequest,
    ReadInputRegistersRequest,
    WriteSingleRegisterRequest,
)

from contract.clock import mono_ns
from contract.errors import Permanent, Retryable
from contract.profile import Table
from edge.drivers.modbus.plan import Read, Write

_NEVER_S = 86400.0
"""pymodbus's own time-out. Ours are shorter and differ by unit; after a few of its own it would drop the connection."""
_NO_TRANSACTION = -1

READ_REQUESTS: dict[Table, type[ModbusPDU]] = {
    Table.COIL: ReadCoilsRequest,
    Table.DISCRETE_INPUT: ReadDiscreteInputsRequest,
    Table.HOLDING_REGISTER: ReadHoldingRegistersRequest,
    Table.INPUT_REGISTER: ReadInputRegistersRequest,
}

EXCEPTIONS = {
    1: "illegal function",
    2: "illegal address",
    3: "illegal value",
    4: "device failure",
    5: "acknowledged, still working",
    6: "device busy",
    8: "memory parity error",
    10: "gateway has no path",
    11: "gateway got no answer from the unit",
}
"""What a unit or gateway says when it refuses. Source: Modbus application protocol 1.1b3, section 7."""
ILLEGAL_ADDRESS = 2
GATEWAY_SILENCE = frozenset({10, 11})
"""The gateway speaks, the unit behind it does not."""

# pymodbus writes a line for each dropped frame and failed connect; those are counted, and losses are logged once.
logging.getLogger("pymodbus.logging").setLevel(logging.CRITICAL)


class Silent(Retryable):
    """No answer within the time-out, or the gateway says that the unit gives none."""


class BadAnswer(Retryable):
    """An answer that does not fit the question."""


class Disconnected(Retryable):
    """There is no connection. `sent` says whether the question may have reached the other side."""

    def __init__(self, problem: str, sent: bool) -> None:
        super().__init__(problem)
        self.sent = sent


class TooLate(Permanent):
    """A write whose time had passed; nothing was sent."""


class Refused(Permanent):
    """The unit answered with a Modbus exception."""

    def __init__(self, code: int) -> None:
        super().__init__(f"exception {code}: {EXCEPTIONS.get(code, 'not in the standard')}")
        self.code = code


class Wire:
    """A connection to one endpoint. `late` counts arrivals that began with another transaction's frame."""

    def __init__(self, host: str, port: int) -> None:
        self.late = 0
        self._host, self._port = host, port
        self._client: AsyncModbusTcpClient | None = None
        self._transaction = _NO_TRANSACTION
        self._limit: asyncio.Timeout | None = None

    @property
    def connected(self) -> bool:
        """Whether the connection stands, as far as is known."""
        return self._client is not None and self._client.connected

    async def connect(self, timeout_s: float) -> None:
        """Opens the connection anew. Raises Disconnected."""
        self.close()
        client = AsyncModbusTcpClient(
            self._host, port=self._port, timeout=_NEVER_S, retries=0, reconnect_delay=0,
            trace_packet=self._saw_packet, trace_pdu=self._saw_pdu, trace_connect=self._saw_connection,
        )  # fmt: skip
        why = ""
        try:
            async with asyncio.timeout(timeout_s):
                is_open = await client.connect()
        except TimeoutError:
            is_open = False
        except (OSError, ValueError) as e:  # a name that is none is a UnicodeError, which is a ValueError
            is_open, why = False, f": {e}"
        if not is_open:
            client.close()
            raise Disconnected(f"no connection to {self._host}:{self._port}{why}", sent=False)
        self._client = client

    def close(self) -> None:
        """Closes the connection; harmless when there is none."""
        if self._client is not None:
            self._client.close()
            self._client = None

    async def read(self, read: Read, timeout_s: float) -> Sequence[int]:
        """The words a question asks for: registers as unsigned numbers, or bits. Raises as `_ask` does."""
        request = READ_REQUESTS[read.table](address=read.address, count=read.count, dev_id=read.unit)
        answer = await self._ask(request, timeout_s)
        words = answer.bits if read.table.is_bits else answer.registers
        expected = -(-read.count // 8) * 8 if read.table.is_bits else read.count
        if len(words) != expected:
            raise BadAnswer(f"answer holds {len(words)} values, {expected} were expected")
        return words

    async def write(self, write: Write, timeout_s: float) -> None:
        """Writes one coil or register and checks the echo. Raises TooLate before anything is sent, or as `_ask`."""
        request: ModbusPDU
        if write.table.is_bits:
            request = WriteSingleCoilRequest(address=write.address, bits=[bool(write.value)], dev_id=write.unit)
        else:
            request = WriteSingleRegisterRequest(address=write.address, registers=[write.value], dev_id=write.unit)
        if mono_ns() > write.deadline_ns:
            raise TooLate("its time to be done passed while it waited for the bus; nothing was written")
        answer = await self._ask(request, timeout_s)
        if (answer.address, list(answer.bits), list(answer.registers)) != (
            request.address, list(request.bits), list(request.registers),
        ):  # fmt: skip
            raise BadAnswer("the echo of the write differs from what was written")

    async def _ask(self, request: ModbusPDU, timeout_s: float) -> ModbusPDU:
        """The checked answer to a question. Raises Silent, BadAnswer, Refused or Disconnected."""
        client = self._client
        if client is None or not client.connected:
            raise Disconnected(f"no connection to {self._host}:{self._port}", sent=False)
        try:
            async with asyncio.timeout(timeout_s) as self._limit:
                answer: ModbusPDU = await client.execute(False, request)
        except TimeoutError:
            if not client.connected:
                raise Disconnected(f"{self._host}:{self._port} closed the connection", sent=True) from None
            raise Silent(f"no answer within {timeout_s:.3g} s") from None
        except ModbusException as e:
            raise Disconnected(f"{self._host}:{self._port}: {e}", sent=True) from e
        finally:
            self._limit = None
        # wait_for of Python 3.11 gives the answer when it arrives at the moment of cancelling; do not lose the cancel.
        task = asyncio.current_task()
        if task is not None and task.cancelling():
            raise asyncio.CancelledError
        if answer.transaction_id != request.transaction_id or answer.dev_id != request.dev_id:
            self.late += 1
            raise BadAnswer(f"answer belongs to transaction {answer.transaction_id} of unit {answer.dev_id}")
        if answer.function_code & 0x7F != request.function_code:
            raise BadAnswer(f"answer is for function {answer.function_code & 0x7F}, not {request.function_code}")
        if answer.isError():
            if answer.exception_code in GATEWAY_SILENCE:
                raise Silent(EXCEPTIONS[answer.exception_code])
            raise Refused(answer.exception_code)
        return answer

    def _saw_pdu(self, sending: bool, pdu: ModbusPDU) -> ModbusPDU:
        if sending:
            self._transaction = pdu.transaction_id
        return pdu

    def _saw_packet(self, sending: bool, data: bytes) -> bytes:
        """Counts what arrives for another transaction, for pymodbus drops it without telling."""
        if not sending and len(data) >= 2 and int.from_bytes(data[:2]) not in {0, self._transaction}:
            self.late += 1
        return data

    def _saw_connection(self, is_open: bool) -> None:
        """Wakes the open question when the connection goes, which pymodbus leaves to its time-out."""
        if not is_open and self._limit is not None and not self._limit.expired():
            self._limit.reschedule(asyncio.get_running_loop().time())
