"""A D-Bus of our own: a dbus-daemon with its own configuration, and a thin connection to it.

dbus-fast puts messages into bytes and back, but its own connection gives up when the socket is full for a moment; a
radio sends bursts. Here everything goes through an asyncio stream, which waits.
"""

import asyncio
import os
import tempfile
from collections.abc import Callable
from contextlib import suppress
from io import BytesIO
from pathlib import Path
from typing import Any, Self

from dbus_fast import Message, MessageType
from dbus_fast._private.unmarshaller import Unmarshaller

from contract.errors import AnjuError

DAEMON = "dbus-daemon"
_CONFIG = """\
<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN"
 "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
<busconfig>
  <listen>unix:path={socket}</listen>
  <auth>EXTERNAL</auth>
  <policy context="default">
    <allow user="*"/>
    <allow own="*"/>
    <allow send_destination="*" eavesdrop="false"/>
    <allow receive_sender="*"/>
  </policy>
</busconfig>
"""
_STOP_S = 3.0
_FIXED = 16
"""Bytes of a message's header before its fields. Source: D-Bus specification, "Message Format"."""


class PrivateBus:
    """A dbus-daemon on a socket in a folder of its own, there while open. `address` is for DBUS_SYSTEM_BUS_ADDRESS."""

    def __init__(self, socket: Path | None = None) -> None:
        """`socket` is where it listens; without one in a new folder that goes with it."""
        self._folder = tempfile.TemporaryDirectory(prefix="anju-dbus-") if socket is None else None
        self._socket = socket or Path(self._folder.name if self._folder else "") / "system_bus_socket"
        self._process: asyncio.subprocess.Process | None = None

    @property
    def address(self) -> str:
        """The bus's address, as D-Bus writes it."""
        return f"unix:path={self._socket}"

    async def __aenter__(self) -> Self:
        self._socket.parent.mkdir(parents=True, exist_ok=True)
        self._socket.unlink(missing_ok=True)
        config = self._socket.with_name(self._socket.name + ".conf")
        config.write_text(_CONFIG.format(socket=self._socket), encoding="utf-8")
        try:
            self._process = await asyncio.create_subprocess_exec(
                "setpriv", "--pdeathsig=TERM", DAEMON, f"--config-file={config}", "--nofork", "--nopidfile",
                "--print-address=1", stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL,
            )  # fmt: skip
        except FileNotFoundError as e:
            raise AnjuError("setpriv is not there; simulated Bluetooth needs Debian's package util-linux") from e
        assert self._process.stdout is not None
        if not await self._process.stdout.readline():
            raise AnjuError(
                f"dbus-daemon did not start on {self._socket}; it needs Debian's package dbus-daemon.\n"
                f"    Look what it says: {DAEMON} --config-file={config} --nofork"
            )
        return self

    async def __aexit__(self, *_: object) -> None:
        process, self._process = self._process, None
        if process is not None and process.returncode is None:
            process.terminate()
            try:
                async with asyncio.timeout(_STOP_S):
                    await process.wait()
            except TimeoutError:
                process.kill()
                await process.wait()
        if self._folder is not None:
            self._folder.cleanup()
        else:
            self._socket.unlink(missing_ok=True)
            self._socket.with_name(self._socket.name + ".conf").unlink(missing_ok=True)


class Connection:
    """One connection to a bus. What arrives and answers no call of ours goes to `take`."""

    def __init__(self, take: Callable[[Message], None]) -> None:
        self.name = ""
        self._take = take
        self._serial = 0
        self._calls: dict[int, asyncio.Future[Message]] = {}
        self._reader: asyncio.StreamReader
        self._writer: asyncio.StreamWriter
        self._task: asyncio.Task[None] | None = None

    async def open(self, address: str) -> None:
        """Connects, proves who we are (EXTERNAL: our user id, which the socket tells anyway) and says hello."""
        self._reader, self._writer = await asyncio.open_unix_connection(address.removeprefix("unix:path="))
        self._writer.write(b"\0AUTH EXTERNAL " + str(os.getuid()).encode().hex().encode() + b"\r\n")
        if not (await self._reader.readline()).startswith(b"OK"):
            raise AnjuError(f"the bus at {address} does not take us")
        self._writer.write(b"BEGIN\r\n")
        self._task = asyncio.create_task(self._read(), name="dbus")
        self.name = str((await self.call(_to_bus("Hello"))).body[0])

    async def close(self) -> None:
        """Leaves the bus."""
        if self._task is not None:
            self._task.cancel()
            with suppress(asyncio.CancelledError):
                await self._task
            self._task = None
            self._writer.close()
            with suppress(OSError):
                await self._writer.wait_closed()

    def send(self, message: Message) -> int:
        """Puts a message on its way; its serial number. `drain` waits until there is room again."""
        self._serial += 1
        message.serial = self._serial
        self._writer.write(message._marshall(False))  # noqa: SLF001  # there is no other way to its bytes
        return self._serial

    async def drain(self) -> None:
        """Returns once the other side has taken enough of what was sent. Raises OSError where the bus is gone."""
        await self._writer.drain()

    async def call(self, message: Message) -> Message:
        """The answer to a call, be it an error."""
        serial = self.send(message)
        answer: asyncio.Future[Message] = asyncio.get_running_loop().create_future()
        self._calls[serial] = answer
        try:
            return await answer
        finally:
            self._calls.pop(serial, None)

    async def own(self, name: str) -> None:
        """Takes a well-known name."""
        await self.call(_to_bus("RequestName", "su", [name, 4]))  # 4: do not queue behind another owner

    async def disown(self, name: str) -> None:
        """Gives it back."""
        await self.call(_to_bus("ReleaseName", "s", [name]))

    async def listen(self, rule: str) -> None:
        """Asks for signals that match a rule."""
        await self.call(_to_bus("AddMatch", "s", [rule]))

    async def _read(self) -> None:
        try:
            while True:
                fixed = await self._reader.readexactly(_FIXED)
                order = "little" if fixed[:1] == b"l" else "big"
                fields = int.from_bytes(fixed[12:16], order)  # type: ignore[arg-type]
                rest = -(-fields // 8) * 8 + int.from_bytes(fixed[4:8], order)  # type: ignore[arg-type]
                stream: Any = BytesIO(fixed + await self._reader.readexactly(rest))
                message = Unmarshaller(stream).unmarshall()
                if message is None:
                    continue
                waiting = self._calls.get(message.reply_serial or 0)
                if message.message_type in {MessageType.METHOD_RETURN, MessageType.ERROR} and waiting is not None:
                    if not waiting.done():
                        waiting.set_result(message)
                else:
                    self._take(message)
        except (OSError, EOFError):
            for waiting in self._calls.values():
                if not waiting.done():
                    waiting.set_exception(ConnectionError("the bus is gone"))


def _to_bus(member: str, signature: str = "", body: list[Any] | None = None) -> Message:
    return Message(
        destination="org.freedesktop.DBus", path="/org/freedesktop/DBus", interface="org.freedesktop.DBus",
        member=member, signature=signature, body=body or [],
    )  # fmt: skip
