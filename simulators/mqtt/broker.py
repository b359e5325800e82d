"""Mosquitto as a child process, in a folder of its own: on a free port, with passwords and TLS where wanted."""

import asyncio
import os
import pwd
import shutil
import socket
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Final, Self

START_S: Final = 10.0
"""So long it may take until it listens."""
STOP_S: Final = 5.0
_PROGRAMS = ("mosquitto", "/usr/sbin/mosquitto")


class BrokerError(OSError):
    """Mosquitto cannot be started; the text says what it said."""


class Broker:
    """An async context manager: listening on `port` of 127.0.0.1 while open. Keeps nothing on disk.

    `logins` are users and passwords, without which nobody gets in; `certificate` the PEM files of its certificate and
    key, with which it speaks TLS only; `settings` more lines of its configuration.
    """

    def __init__(
        self,
        port: int = 0,
        *,
        logins: Sequence[tuple[str, str]] = (),
        certificate: tuple[Path, Path] | None = None,
        settings: Sequence[str] = (),
    ) -> None:
        self.port = port
        self._logins, self._certificate, self._settings = logins, certificate, settings
        self._folder: Path | None = None
        self._process: asyncio.subprocess.Process | None = None

    async def __aenter__(self) -> Self:
        self._folder = Path(tempfile.mkdtemp(prefix="anju-mosquitto-"))
        self.port = self.port or free_port()
        try:
            await self.start()
        except BaseException:
            shutil.rmtree(self._folder, ignore_errors=True)
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)

    async def start(self) -> None:
        """Starts it, again after `stop`; returns when it listens."""
        assert self._folder is not None
        program = next((found for name in _PROGRAMS if (found := shutil.which(name))), None)
        if program is None:
            raise BrokerError("mosquitto is not installed. Say: apt install mosquitto")
        if self._logins and not (self._folder / "passwords").exists():
            await self._write_passwords(self._folder / "passwords")
        configuration = self._folder / "mosquitto.conf"
        configuration.write_text("\n".join(self._lines()) + "\n")
        self._process = await asyncio.create_subprocess_exec(
            program, "-c", str(configuration),
            stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.DEVNULL,
        )  # fmt: skip
        try:
            async with asyncio.timeout(START_S):
                while not await _answers(self.port):
                    if self._process.returncode is not None:
                        said = (self._folder / "log").read_text(errors="replace")
                        raise BrokerError(f"mosquitto ended at once: {said.strip()[-500:]}")
                    await asyncio.sleep(0.02)
        except TimeoutError as e:
            await self.stop()
            raise BrokerError(f"mosquitto does not listen on port {self.port} after {START_S:g} s") from e

    async def stop(self) -> None:
        """Ends it at once, as a power cut does."""
        process, self._process = self._process, None
        if process is None or process.returncode is not None:
            return
        process.kill()
        async with asyncio.timeout(STOP_S):
            await process.wait()

    def _lines(self) -> list[str]:
        assert self._folder is not None
        lines = [
            f"listener {self.port} 127.0.0.1",
            f"user {pwd.getpwuid(os.geteuid()).pw_name}",
            f"allow_anonymous {'false' if self._logins else 'true'}",
            "persistence false",
            f"log_dest file {self._folder / 'log'}",
            "set_tcp_nodelay true",
        ]
        if self._logins:
            lines.append(f"password_file {self._folder / 'passwords'}")
        if self._certificate is not None:
            lines += [f"certfile {self._certificate[0]}", f"keyfile {self._certificate[1]}"]
        return [*lines, *self._settings]

    async def _write_passwords(self, path: Path) -> None:
        path.touch(mode=0o600)
        for user, password in self._logins:
            process = await asyncio.create_subprocess_exec("mosquitto_passwd", "-b", str(path), user, password)
            if await process.wait() != 0:
                raise BrokerError("mosquitto_passwd failed; it comes with mosquitto")


async def _answers(port: int) -> bool:
    try:
        _, writer = await asyncio.open_connection("127.0.0.1", port)
    except OSError:
        return False
    writer.close()
    return True


def free_port() -> int:
    """A port of 127.0.0.1 that nobody uses now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
