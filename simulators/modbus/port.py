"""What carries the bytes of a serial line to the box: a pseudo-terminal, or a TCP connection of a converter."""

import asyncio
import errno
import fcntl
import os
import termios
import tty
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Protocol

from simulators.modbus.endpoint import Client, Endpoint

Heard = Callable[[bytes], None]
_CHUNK = 4096
_MOST_UNREAD = 65536
_SPEEDS = {getattr(termios, f"B{baud}"): baud for baud in (1200, 2400, 4800, 9600, 19200, 38400, 57600, 115200)}
_USUAL = termios.B9600
_INPUT_SPEED, _OUTPUT_SPEED = 4, 5
"""Places in what termios.tcgetattr returns."""


_MISTUNED = 0x5A


class Port(Protocol):
    """The box's end of a line. `out` gives the box bytes; what it says goes to the callable given when made."""

    async def open(self) -> None:
        """Can be reached from now on. Raises OSError where the machine does not let it; harmless when open."""

    async def close(self) -> None:
        """Cannot be reached any more."""

    def cut(self) -> None:
        """Whoever is connected is no more; it can be reached again at once."""

    def out(self, data: bytes) -> None:
        """Bytes from the line, for whoever listens."""


class Pty:
    """A pseudo-terminal whose other end is found at `path`, a symbolic link that stays when the terminal changes.

    A box that has set another baud rate than the line's hears, and says, garbage.
    """

    def __init__(self, path: Path, baud: int, heard: Heard) -> None:
        self.path = path
        self._baud, self._heard = baud, heard
        self._master = self._slave = self._held = -1

    async def open(self) -> None:
        """Makes the terminal and its link; an older link is replaced, a file is not."""
        if self._master >= 0:
            return
        if self.path.exists() and not self.path.is_symlink():
            raise FileExistsError(errno.EEXIST, f"{self.path} is in the way: it is no link of a simulator")
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self._hold()
        try:
            self._plug_in()
        except OSError:
            self._let_go()
            raise

    def _hold(self) -> None:
        """Keeps other simulators off this path. The terminal itself is the box's to lock."""
        held = os.open(self._lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(held)
            raise OSError(errno.EADDRINUSE, f"another simulator has {self.path}") from None
        self._held = held

    def _let_go(self) -> None:
        self._lock.unlink(missing_ok=True)
        os.close(self._held)
        self._held = -1

    @property
    def _lock(self) -> Path:
        return self.path.with_name(f".{self.path.name}.lock")

    def _plug_in(self) -> None:
        self._master, self._slave = os.openpty()  # our own hold on the far end keeps its settings between clients
        tty.setraw(self._slave)
        settings = termios.tcgetattr(self._slave)
        settings[_INPUT_SPEED] = settings[_OUTPUT_SPEED] = _USUAL
        termios.tcsetattr(self._slave, termios.TCSANOW, settings)
        os.set_blocking(self._master, False)
        link = self.path.with_name(f".{self.path.name}.{os.getpid()}")
        link.unlink(missing_ok=True)
        link.symlink_to(os.ttyname(self._slave))
        link.replace(self.path)
        asyncio.get_running_loop().add_reader(self._master, self._read)

    async def close(self) -> None:
        """Pulls the adapter out."""
        if self._master < 0:
            return
        with suppress(OSError):
            if str(self.path.readlink()) == os.ttyname(self._slave):
                self.path.unlink()
        self._pull_out()
        self._let_go()

    def _pull_out(self) -> None:
        asyncio.get_running_loop().remove_reader(self._master)
        os.close(self._master)
        os.close(self._slave)
        self._master = self._slave = -1

    def cut(self) -> None:
        """Pulls the adapter out and plugs it in again: another terminal, the same path."""
        if self._master >= 0:
            self._pull_out()
            self._plug_in()

    def out(self, data: bytes) -> None:
        """Gives the box bytes; what nobody takes for long is lost, as in a UART."""
        if self._master >= 0:
            with suppress(BlockingIOError):
                os.write(self._master, data if self._is_tuned() else _mistuned(data))

    def _read(self) -> None:
        with suppress(BlockingIOError):
            data = os.read(self._master, _CHUNK)
            self._heard(data if self._is_tuned() else _mistuned(data))

    def _is_tuned(self) -> bool:
        return _SPEEDS.get(termios.tcgetattr(self._slave)[_OUTPUT_SPEED]) == self._baud


def _mistuned(data: bytes) -> bytes:
    """What is heard of bytes at another baud rate than theirs."""
    return bytes(byte ^ _MISTUNED for byte in data)


class TcpPort(Endpoint):
    """A transparent converter: what anyone connected says goes to the line, what the line says to all of them."""

    def __init__(self, host: str, port: int, heard: Heard) -> None:
        super().__init__(host, port, lambda: _Connection(self, heard))

    def out(self, data: bytes) -> None:
        """Gives all who are connected bytes."""
        for client in list(self.clients):
            if client.transport.get_write_buffer_size() > _MOST_UNREAD:
                client.transport.abort()  # it does not listen
            elif not client.transport.is_closing():
                client.transport.write(data)


class _Connection(Client):
    """One client of a converter."""

    def __init__(self, port: TcpPort, heard: Heard) -> None:
        super().__init__(port)
        self._heard = heard

    def data_received(self, data: bytes) -> None:
        self._heard(data)
