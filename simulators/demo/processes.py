"""The demo's child processes: started in their order, watched, and ended in reverse so that nothing is left."""

import asyncio
import os
import signal
import socket
import sys
from collections.abc import Mapping
from pathlib import Path

from contract.errors import AnjuError

_STOP_S = 10.0


class Child:
    """One process of ours, its output in a log file, in a session of its own so that Ctrl-C reaches only the demo."""

    def __init__(self, name: str, process: asyncio.subprocess.Process, log: Path) -> None:
        self.name = name
        self.process = process
        self.log = log

    @classmethod
    async def start(cls, name: str, *command: str, log: Path, environment: Mapping[str, str] | None = None) -> "Child":
        """Starts a console script of this environment (`anju`, `anju-cloud`, `anju-sim`)."""
        with log.open("ab") as out:
            process = await asyncio.create_subprocess_exec(
                *script(*command), stdin=asyncio.subprocess.DEVNULL, stdout=out, stderr=out,
                env={**os.environ, **(environment or {})}, start_new_session=True,
            )  # fmt: skip
        return cls(name, process, log)

    async def stop(self) -> None:
        """Asks it to stop, and ends it where it does not within ten seconds."""
        if self.process.returncode is not None:
            return
        self.process.send_signal(signal.SIGTERM)
        try:
            async with asyncio.timeout(_STOP_S):
                await self.process.wait()
        except TimeoutError:
            self.process.kill()
            await self.process.wait()

    async def ended(self) -> None:
        """Waits until it ends, which it should not; raises AnjuError with the end of its log."""
        code = await self.process.wait()
        raise AnjuError(f"{self.name} ended by itself (exit code {code}):\n{tail(self.log)}")


def script(name: str, *arguments: str) -> list[str]:
    """The command line of a console script in this environment."""
    return [str(Path(sys.executable).with_name(name)), *arguments]


async def run_once(*command: str, environment: Mapping[str, str] | None = None, stdin: str = "") -> str:
    """Runs a console script to its end and returns what it printed. Raises AnjuError with what it said on failure."""
    process = await asyncio.create_subprocess_exec(
        *script(*command), stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE, env={**os.environ, **(environment or {})},
    )  # fmt: skip
    out, err = await process.communicate(stdin.encode())
    if process.returncode:
        raise AnjuError(f"{' '.join(command[:3])} failed:\n{err.decode(errors='replace').strip()[-2000:]}")
    return out.decode().strip()


def tail(log: Path, lines: int = 15) -> str:
    """The last lines of a log."""
    return "\n".join(log.read_text(errors="replace").splitlines()[-lines:])


def free_port(wanted: int) -> int:
    """`wanted` where it is free on this machine, else one that is."""
    for port in (wanted, 0):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return int(probe.getsockname()[1])
    raise AnjuError("no port is free on 127.0.0.1")
