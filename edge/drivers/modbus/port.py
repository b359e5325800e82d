"""What carries RTU frames: a serial port of this box, or a TCP connection to a converter. Bytes only, no Modbus."""

import asyncio
import os
from collections.abc import Callable
from contextlib import suppress
from typing import Protocol, cast

import serial

from edge.drivers.modbus.errors import Disconnected
from edge.drivers.modbus.tcp import open_tcp

_CHUNK = 4096
_MOST_UNSENT = 65536
_PARITY = {"none": serial.PARITY_NONE, "even": serial.PARITY_EVEN, "odd": serial.PARITY_ODD}


class Port(Protocol):
    """What a line needs of its port. `pause_s` is how long the bytes of one frame may be parted on the way."""

    pause_s: float
    where: str

    @property
    def is_open(self) -> bool:
        """Whether it is open, as far as is known."""

    async def open(self, came: Callable[[bytes], None], lost: Callable[[str], None], timeout_s: float) -> None:
        """Opens it; `came` takes what arrives, `lost` why it went by itself. Raises Disconnected."""

    def flush(self) -> int:
        """Throws away what has arrived and was not handed on yet; how many bytes that was."""

    def write(self, data: bytes) -> None:
        """Sends; what cannot go at once goes when it can."""

    def close(self) -> None:
        """Closes it; harmless when it is not open. Nothing is called any more."""


class SerialPort:
    """A tty: an UART, an USB adapter or a pseudo-terminal, for this process alone."""

    pause_s = 0.05
    """USB adapters hand on what they have every 16 ms at the latest, a busy box looks a little later."""

    def __init__(self, path: str, baud: int, parity: str, stop_bits: int) -> None:
        self.where = path
        self._baud, self._parity, self._stop_bits = baud, _PARITY[parity], stop_bits
        self._tty: serial.Serial | None = None
        self._fd = -1
        self._unsent = bytearray()

    @property
    def is_open(self) -> bool:
        """Whether it is open, as far as is known."""
        return self._tty is not None

    async def open(self, came: Callable[[bytes], None], lost: Callable[[str], None], timeout_s: float) -> None:  # noqa: ARG002  # a tty opens at once or not at all
        """Opens and sets it up. Raises Disconnected where it is not there, not ours or in use."""
        self.close()
        try:
            # O_NONBLOCK within: neither a missing carrier nor a full buffer can hold up the loop.
            tty = serial.Serial(
                self.where, self._baud, parity=self._parity, stopbits=self._stop_bits, timeout=0, exclusive=True
            )
        except (OSError, ValueError) as e:  # SerialException is an OSError
            raise Disconnected(f"{self.where} cannot be opened: {_reason(e)}", sent=False) from e
        with suppress(OSError, ValueError, NotImplementedError):  # not every driver can; it costs milliseconds only
            tty.set_low_latency_mode(True)
        self._tty, self._fd, self._came, self._lost = tty, tty.fileno(), came, lost
        asyncio.get_running_loop().add_reader(self._fd, self._readable)

    def flush(self) -> int:
        """Throws away what is in the kernel's buffer."""
        return len(self._read())

    def write(self, data: bytes) -> None:
        """Sends as much as goes at once, and the rest when the kernel takes it."""
        if self._tty is None:
            return
        self._unsent += data
        self._writable()

    def close(self) -> None:
        """Gives the tty back."""
        tty, self._tty = self._tty, None
        self._unsent.clear()
        if tty is None:
            return
        loop = asyncio.get_running_loop()
        loop.remove_reader(self._fd)
        loop.remove_writer(self._fd)
        with suppress(OSError):  # the adapter may be gone
            tty.close()

    def _readable(self) -> None:
        data = self._read()
        if data:
            self._came(data)

    def _read(self) -> bytes:
        if self._tty is None:
            return b""
        try:
            data = os.read(self._fd, _CHUNK)
        except BlockingIOError:
            return b""
        except OSError as e:
            self._gone(_reason(e))
            return b""
        if not data and not self._is_there():
            self._gone("the adapter was unplugged")
        return data

    def _is_there(self) -> bool:
        """Whether an empty read was only an empty buffer: a tty that hung up is readable and empty for ever."""
        try:
            return self._tty is not None and self._tty.in_waiting >= 0 and os.path.exists(self.where)  # noqa: PTH110
        except OSError:
            return False

    def _writable(self) -> None:
        try:
            sent = os.write(self._fd, self._unsent)
        except BlockingIOError:
            sent = 0
        except OSError as e:
            self._gone(_reason(e))
            return
        del self._unsent[:sent]
        loop = asyncio.get_running_loop()
        if len(self._unsent) > _MOST_UNSENT:
            self._gone("it takes no bytes any more")
        elif self._unsent:
            loop.add_writer(self._fd, self._writable)
        else:
            loop.remove_writer(self._fd)

    def _gone(self, why: str) -> None:
        self.close()
        self._lost(f"{self.where}: {why}")


class TcpPort:
    """A TCP connection to a converter that hands on bytes as they are."""

    pause_s = 0.2
    """A network may part what the line said together."""

    def __init__(self, host: str, port: int) -> None:
        self.where = f"{host}:{port}"
        self._host, self._port = host, port
        self._link: _Link | None = None

    @property
    def is_open(self) -> bool:
        """Whether the connection stands, as far as is known."""
        return self._link is not None

    async def open(self, came: Callable[[bytes], None], lost: Callable[[str], None], timeout_s: float) -> None:
        """Connects. Raises Disconnected."""
        self.close()

        def gone(link: _Link) -> None:
            if link is self._link:
                self._link = None
                lost(f"{self.where} closed the connection")

        self._link = await open_tcp(lambda: _Link(came, gone), self._host, self._port, timeout_s)

    def flush(self) -> int:
        """Nothing: the loop hands on what arrives before anything else is done."""
        return 0

    def write(self, data: bytes) -> None:
        """Sends."""
        if self._link is not None:
            self._link.transport.write(data)

    def close(self) -> None:
        """Ends the connection."""
        link, self._link = self._link, None
        if link is not None:
            link.transport.abort()


class _Link(asyncio.Protocol):
    """One connection's bytes."""

    transport: asyncio.Transport

    def __init__(self, came: Callable[[bytes], None], gone: Callable[["_Link"], None]) -> None:
        self._came, self._gone = came, gone

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)  # uvloop's is one, and does not say so

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002  # asyncio's signature
        self._gone(self)

    def data_received(self, data: bytes) -> None:
        self._came(data)


def _reason(error: Exception) -> str:
    """What the system says, with what to do where that is known."""
    number = getattr(error, "errno", None)
    hints = {
        2: "there is no such port; is the adapter plugged in?",
        11: "another program uses it",
        13: "no right to use it; the box's user must be in the group dialout",
        16: "another program uses it",
    }
    return hints.get(number or 0) or (os.strerror(number) if number else str(error))
