"""Modbus TCP: frames with a transaction of their own over one connection."""

import asyncio
import socket
import struct
from collections.abc import Callable
from contextlib import suppress
from typing import TypeVar, cast

from contract.clock import mono_ns
from edge.drivers.modbus.errors import BadAnswer, Disconnected, Silent, TooLate
from edge.drivers.modbus.frame import MAX_PDU, MBAP, MBAP_BEFORE_UNIT, Question, check_answer, tcp_frame
from edge.drivers.modbus.wire import NEVER_NS, Wait

UNHEARD_MS = 10_000
"""A peer that has not confirmed for so long what was sent is gone: a cable was pulled, a gateway lost its power."""
P = TypeVar("P", bound=asyncio.Protocol)
_BEGINNING = struct.Struct(">HH")


class TcpWire:
    """One connection to one endpoint. `late` counts frames of other transactions, and bytes that are no frame."""

    def __init__(self, host: str, port: int) -> None:
        self.late = 0
        self._host, self._port = host, port
        self._transaction = self._unit = 0
        self._wait = Wait()
        self._link: _Link | None = None

    @property
    def connected(self) -> bool:
        """Whether the connection stands, as far as is known."""
        return self._link is not None

    async def connect(self, timeout_s: float) -> None:
        """Opens the connection. Raises Disconnected when that fails or takes longer."""
        self.close()
        self._link = await open_tcp(lambda: _Link(self), self._host, self._port, timeout_s)

    def close(self) -> None:
        """Closes the connection; a question under way fails."""
        link, self._link = self._link, None
        if link is not None:
            link.close()
        self._wait.stop()
        self._wait.fail(Disconnected("the connection was closed", sent=True))

    def hurry(self, timeout_s: float) -> None:
        """Gives the question under way no more than this."""
        self._wait.hurry(timeout_s)

    async def ask(self, question: Question, timeout_s: float, not_after_ns: int = NEVER_NS) -> bytes:
        """The data of the answer; see Wire."""
        link = self._link
        if link is None:
            raise Disconnected(f"no connection to {self._host}:{self._port}", sent=False)
        if not_after_ns != NEVER_NS and mono_ns() > not_after_ns:
            raise TooLate("its time to be done passed while it waited for the bus; nothing was written")
        self._unit = question.unit
        self._transaction = transaction = self._transaction % 0xFFFF + 1  # never 0, which some take for any
        link.write(tcp_frame(transaction, question.unit, question.pdu))
        try:
            pdu = await self._wait.answer(timeout_s)
        except TimeoutError:
            raise Silent(f"no answer within {timeout_s:.3g} s") from None
        return check_answer(question, pdu)

    def is_awaited(self, transaction: int) -> bool:
        """Whether this is the transaction of the open question."""
        return transaction == self._transaction and self._wait.is_open

    def came(self, transaction: int, unit: int, pdu: bytes) -> None:
        """Takes a whole frame: the answer, or one of another time."""
        if not self.is_awaited(transaction):
            self.late += 1
        elif unit != self._unit:
            self._wait.fail(BadAnswer(f"the answer is of unit {unit}, unit {self._unit} was asked"))
        else:
            self._wait.give(pdu)

    def came_broken(self) -> None:
        """Takes note of bytes that are no frame, for which the open question cannot be answered."""
        self.late += 1
        self._wait.fail(BadAnswer("bytes came that are no Modbus frame"))

    def lost(self, link: "_Link") -> None:
        """The connection is gone."""
        if link is self._link:
            self._link = None
            self._wait.fail(Disconnected(f"{self._host}:{self._port} closed the connection", sent=True))


class _Link(asyncio.Protocol):
    """The bytes of one connection, cut into frames."""

    def __init__(self, wire: TcpWire) -> None:
        self._wire = wire
        self._begun = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop's is one, and does not say so
        self.write, self.close = self._transport.write, self._transport.abort

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002  # asyncio's signature
        self._wire.lost(self)

    def data_received(self, data: bytes) -> None:
        if self._begun:
            data = data if self._is_new_answer(data) else self._begun + data
            self._begun = b""
        while len(data) > MBAP_BEFORE_UNIT:
            transaction, protocol, length, unit = MBAP.unpack_from(data)
            end = MBAP_BEFORE_UNIT + length
            if protocol or not 1 < length <= MAX_PDU + 1:
                # Where the next frame begins cannot be known; it will begin with the answer to the next question.
                self._wire.came_broken()
                return
            if end > len(data):
                break
            self._wire.came(transaction, unit, data[MBAP.size : end])
            data = data[end:]
        self._begun = data

    def _is_new_answer(self, data: bytes) -> bool:
        """Whether the open question's answer begins here, so that what is held is the rest of a broken frame."""
        if len(data) < MBAP.size or self._wire.is_awaited(int.from_bytes(self._begun[:2])):
            return False
        transaction, protocol = _BEGINNING.unpack_from(data)
        return protocol == 0 and self._wire.is_awaited(transaction)


async def open_tcp(factory: Callable[[], P], host: str, port: int, timeout_s: float) -> P:
    """A connection, with the protocol that serves it. Raises Disconnected when that fails or takes longer."""
    loop = asyncio.get_running_loop()
    why = f" within {timeout_s:g} s"
    try:
        async with asyncio.timeout(timeout_s):
            transport, protocol = await loop.create_connection(factory, host, port)
    except TimeoutError:
        raise Disconnected(f"no connection to {host}:{port}{why}", sent=False) from None
    except (OSError, ValueError) as e:  # a name that is none is a UnicodeError, which is a ValueError
        raise Disconnected(f"no connection to {host}:{port}: {e}", sent=False) from e
    with suppress(OSError, AttributeError):  # not every system has them; then a peer that is gone is noticed later
        connection = transport.get_extra_info("socket")
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, UNHEARD_MS)
    return protocol
