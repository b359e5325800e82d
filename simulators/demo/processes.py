"""The demo's child processes: started in their order, watched, and ended in reverse so that nothing is left.

Nothing is left either when the demo itself is killed or its terminal closed: each child ends with it (launch.py).
"""

import asyncio
import os
import signal
import socket
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

import psutil  # type: ignore[import-untyped]

from contract.errors import AnjuError

_STOP_S = 10.0
READY_S = 60.0
_TELL_S = 0.5
POLL_S = 0.05
_LAUNCH = Path(__file__).with_name("launch.py")


class PortTakenError(AnjuError):
    """A child ended because another program has taken its port in the meantime; another port is worth a try."""


class Child:
    """One process of ours, its output in a log file, in a session of its own so that Ctrl-C reaches only the demo."""

    def __init__(self, name: str, process: asyncio.subprocess.Process, log: Path) -> None:
        self.name = name
        self.process = process
        self.log = log

    @classmethod
    async def start(cls, name: str, *command: str, log: Path, environment: Mapping[str, str] | None = None) -> "Child":
        """Starts a console script of this environment (`anju`, `anju-cloud`, `anju-sim`).

        Call it in the main thread: the child ends with the thread that started it.
        """
        return await cls.launch(name, script(*command), log=log, environment=environment)

    @classmethod
    async def launch(
        cls, name: str, command: Sequence[str], *, log: Path, environment: Mapping[str, str] | None = None
    ) -> "Child":
        """Starts any command; it ends with us where it is a `launched` one."""
        with log.open("ab") as out:
            process = await asyncio.create_subprocess_exec(
                *command, stdin=asyncio.subprocess.DEVNULL, stdout=out, stderr=out,
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
        said = tail(self.log)
        _, why, more = said.partition("cannot listen")
        if why:
            raise PortTakenError(f"{self.name}: {why}{more}")
        how = f"exit code {code}" if code >= 0 else f"killed by {signal.Signals(-code).name}"
        last = next((line.strip() for line in reversed(said.splitlines()) if line.strip()), "nothing")
        raise AnjuError(
            f"{self.name} ended by itself:\n{said}\n\n{self.name} ended by itself ({how}), which ends the demo."
            f" Its last words: {last[:200]} (all: {self.log})"
        )

    def ports(self) -> set[int]:
        """The TCP ports that it listens on now: this very process, and no other one of the machine."""
        try:
            own = psutil.Process(self.process.pid).net_connections(kind="tcp")
        except psutil.Error:  # it just ended
            return set()
        return {one.laddr.port for one in own if one.status == psutil.CONN_LISTEN}

    async def until_listening(self, ports: set[int]) -> None:
        """Waits until it listens on all of these ports; raises as `until` does."""
        await self.until(lambda: ports <= self.ports())

    async def until(self, is_ready: Callable[[], bool]) -> None:
        """Waits until it is ready. Raises PortTakenError where another program has its port, else AnjuError."""
        deadline = time.monotonic() + READY_S
        while not is_ready():
            if self.process.returncode is not None:
                await self.ended()
            if time.monotonic() > deadline:
                raise AnjuError(f"{self.name} is not ready after {READY_S:.0f} s:\n{tail(self.log)}")
            await asyncio.sleep(POLL_S)

    async def tell_waiting(self, say: Callable[[str, str], None]) -> None:
        """Tells what it complains of in its log, for ever; cancelled when it is ready."""
        told = 0
        while True:
            lines = self.log.read_text(errors="replace").splitlines()
            for line in lines[told:]:
                if "warning" in line or "error" in line:
                    say(self.name, line)
            told = len(lines)
            await asyncio.sleep(_TELL_S)


def script(name: str, *arguments: str) -> list[str]:
    """The command line of a console script in this environment, which ends when this process does."""
    return launched(str(Path(sys.executable).with_name(name)), *arguments)


def launched(*command: str) -> list[str]:
    """A command line that becomes this command, which ends when this process does."""
    return [sys.executable, "-I", "-S", str(_LAUNCH), str(os.getpid()), *command]


async def run_once(*command: str, environment: Mapping[str, str] | None = None, stdin: str = "") -> str:
    """Runs a console script to its end and returns what it printed. Raises AnjuError with what it said on failure."""
    return await run_to_end(script(*command), " ".join(command[:3]), environment=environment, stdin=stdin)


async def run_to_end(
    command: Sequence[str], name: str, *, environment: Mapping[str, str] | None = None, stdin: str = ""
) -> str:
    """Runs any command as `run_once` does; `name` is what an error calls it."""
    process = await asyncio.create_subprocess_exec(
        *command, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE, env={**os.environ, **(environment or {})},
    )  # fmt: skip
    try:
        out, err = await process.communicate(stdin.encode())
    except asyncio.CancelledError:
        with suppress(ProcessLookupError):  # it ended in this moment
            process.kill()
        await process.wait()
        raise
    if process.returncode:
        raise AnjuError(f"{name} failed:\n{err.decode(errors='replace').strip()[-2000:]}")
    return out.decode().strip()


def tail(log: Path, lines: int = 15) -> str:
    """The last lines of a log."""
    return "\n".join(log.read_text(errors="replace").splitlines()[-lines:])


def free_port(wanted: int) -> int:
    """`wanted` where it is free on this machine, else one that is. Another program may take it before it is used."""
    for port in (wanted, 0):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return int(probe.getsockname()[1])
    raise AnjuError("no port is free on 127.0.0.1")
