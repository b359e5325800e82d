"""The processes a benchmark measures and measures against: a Modbus server in C, a broker, and their CPU and memory."""

import asyncio
import os
import shutil
import subprocess
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Literal

from contract.errors import AnjuError
from simulators.demo.processes import free_port

HERE = Path(__file__).parent
BUILT = Path("build/bench").absolute()
_CPUCLOCK_SCHED = 2
"""Source: linux/posix-timers.h; a clock id is (~pid << 3) | kind."""


def cpu_s(pid: int) -> float:
    """CPU seconds a process has used with all its threads, also those that ended; to the nanosecond."""
    return time.clock_gettime(~pid << 3 | _CPUCLOCK_SCHED)


def rss_mb(pid: int) -> float:
    """Resident memory of a process in MB (10^6 bytes). Source: proc(5), statm."""
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


def written_bytes(pid: int) -> int:
    """Bytes that a process has had written to disks, metadata and all. Source: proc(5), io."""
    lines = Path(f"/proc/{pid}/io").read_text().splitlines()
    return next(int(line.partition(":")[2]) for line in lines if line.startswith("write_bytes"))


def compiled_server() -> Path:
    """modbus_server.c, compiled anew where it changed. Raises AnjuError where there is no C compiler."""
    source, binary = HERE / "modbus_server.c", BUILT / "modbus_server"
    if not binary.exists() or binary.stat().st_mtime < source.stat().st_mtime:
        compiler = shutil.which("cc") or shutil.which("gcc")
        if compiler is None:
            raise AnjuError("the benchmarks' Modbus server needs a C compiler: apt-get install gcc libc6-dev")
        BUILT.mkdir(parents=True, exist_ok=True)
        subprocess.run([compiler, "-O2", "-o", str(binary), str(source)], check=True)
    return binary


@asynccontextmanager
async def modbus_server(kind: Literal["lively", "still"] = "lively") -> AsyncIterator[int]:
    """A Modbus server in a process of its own, on every address of 127/8; gives its port.

    Its numbers are others at each read, or stay as they are.
    """
    process = await asyncio.create_subprocess_exec(str(compiled_server()), "0", kind, stdout=asyncio.subprocess.PIPE)
    assert process.stdout is not None
    try:
        yield int(await process.stdout.readline())
    finally:
        await ended(process)


@asynccontextmanager
async def broker(folder: Path, acl: str) -> AsyncIterator[int]:
    """A Mosquitto of its own, for any client of this machine, with rules on who may what; gives its port."""
    binary = shutil.which("mosquitto") or shutil.which("/usr/sbin/mosquitto")
    if binary is None:
        raise AnjuError("thingsboard-gateway is measured with Mosquitto: apt-get install mosquitto")
    port = free_port(0)
    settings = folder / "mosquitto.conf"
    rules = folder / "mosquitto.acl"
    rules.write_text(acl)
    rules.chmod(0o644)
    settings.write_text(
        f"listener {port} 127.0.0.1\nallow_anonymous true\nmax_queued_messages 0\nacl_file {rules}\nuser root\n"
    )
    process = await asyncio.create_subprocess_exec(binary, "-c", str(settings), stderr=asyncio.subprocess.DEVNULL)
    try:
        await until_open(port)
        yield port
    finally:
        await ended(process)


async def until_open(port: int, within_s: float = 10.0, host: str = "127.0.0.1") -> None:
    """Waits until something listens on a port of this machine. Raises TimeoutError."""
    async with asyncio.timeout(within_s):
        while True:
            try:
                _, writer = await asyncio.open_connection(host, port)
            except OSError:
                await asyncio.sleep(0.02)
            else:
                writer.close()
                return


async def ended(process: asyncio.subprocess.Process) -> None:
    """Ends a process and waits for it."""
    with suppress(ProcessLookupError):
        process.terminate()
    try:
        async with asyncio.timeout(10):
            await process.wait()
    except TimeoutError:
        process.kill()
        await process.wait()
