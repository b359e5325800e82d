"""`anju-sim` as a newcomer uses it: an estate made by the command, served by a process, changed and broken."""

import asyncio
import os
import subprocess
import sys
import termios
import time
import tty
from collections.abc import Iterator
from pathlib import Path

import pytest

from contract.errors import Permanent, Retryable
from contract.profile import load_profiles, shipped_profiles
from contract.site import load_site
from simulators.bus import Fault
from simulators.control import Answered, FailOrder, GetOrder, Order, PowerOrder, SetOrder, tell
from simulators.log import Answer, Change, read_log
from simulators.modbus.rtu import crc16, frame

SIM = [sys.executable, "-m", "simulators.cli"]
PRESSURE = bytes.fromhex("04 00 00 00 01")
"""The hydrant's question: its one input register."""
METER = "hydrant-0001"
UNIT = 5
"""The fifth device of a line is a hydrant."""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "estate"
    command = [
        *SIM,
        "estate",
        "--devices",
        "48",
        "--seed",
        "3",
        "--protocols",
        "modbus-rtu",
        "--ports",
        str(tmp_path / "dev"),
    ]
    subprocess.run([*command, str(made)], check=True, capture_output=True)
    return made


@pytest.fixture
def running(folder: Path, tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    command = [
        *SIM,
        "run",
        str(folder / "day.yaml"),
        "--log",
        str(tmp_path / "truth"),
        "--control",
        str(tmp_path / "sock"),
    ]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=os.environ | {"PYTHONUNBUFFERED": "1"})
    yield process
    process.kill()
    process.wait()
    assert process.stdout
    process.stdout.close()


class Line:
    """The box's end of the first line."""

    def __init__(self, path: Path) -> None:
        self._fd = os.open(path, os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK)
        tty.setraw(self._fd)
        settings = termios.tcgetattr(self._fd)
        settings[4] = settings[5] = termios.B9600
        termios.tcsetattr(self._fd, termios.TCSANOW, settings)

    async def ask(self, wait_s: float = 0.5) -> bytes:
        """What comes back of a question for the pressure: at once when it is whole, else after a while."""
        os.write(self._fd, frame(UNIT, PRESSURE))
        heard, until = b"", time.monotonic() + wait_s
        while time.monotonic() < until and not (len(heard) >= 7 and crc16(heard[:-2]) == heard[-2:]):
            await asyncio.sleep(0.002)
            try:
                heard += os.read(self._fd, 256)
            except BlockingIOError:
                continue
        return heard

    def close(self) -> None:
        os.close(self._fd)


async def told(socket: Path, order: Order) -> Answered:
    async with asyncio.timeout(20):
        while True:
            try:
                return await tell(socket, order)
            except Retryable:
                await asyncio.sleep(0.05)


async def test_a_line_of_a_made_estate_is_read_changed_and_broken(
    running: subprocess.Popen[str], folder: Path, tmp_path: Path
) -> None:
    site = load_site(folder / "site.yaml", load_profiles(shipped_profiles()))
    assert [len(bus.devices) for bus in site.buses] == [16, 16, 16]
    socket = tmp_path / "sock"
    await told(socket, SetOrder(METER, "pressure", 0.777))
    line = Line(tmp_path / "dev" / "line-1")
    began = time.monotonic()
    answer = await line.ask(5)
    assert answer[:3] == bytes((UNIT, 4, 2))
    assert abs(int.from_bytes(answer[3:5], "big") - 777) < 60, "it lives on around what it was set to"
    assert time.monotonic() - began > (8 + 3.5 + 7) * 10 / 9600, "no faster than the wire"

    await told(socket, FailOrder(METER, Fault(kind="crc")))
    spoilt = await line.ask()
    assert len(spoilt) == 7
    assert crc16(spoilt[:-2]) != spoilt[-2:]
    await told(socket, FailOrder(METER, Fault(kind="silent")))
    assert await line.ask() == b""
    await told(socket, FailOrder(METER))
    await told(socket, PowerOrder("line-1", on=False))
    assert await line.ask() == b""
    await told(socket, PowerOrder("line-1", on=True))
    assert len(await line.ask(5)) == 7
    with pytest.raises(Permanent, match="cannot do 'transaction'"):
        await told(socket, FailOrder(METER, Fault(kind="transaction")))
    assert (await told(socket, GetOrder(METER, "pressure"))).ok
    line.close()

    entries = read_log(tmp_path / "truth")
    assert any(isinstance(entry, Change) and entry.device == METER and entry.value == 0.777 for entry in entries)
    assert sum(isinstance(entry, Answer) and entry.bus == "line-1" for entry in entries) >= 2
    running.terminate()
    assert running.wait(10) == 0
    assert list((tmp_path / "dev").iterdir()) == [], "it takes its links with it"


async def test_a_second_simulator_says_that_the_first_is_there_and_leaves_it_alone(
    running: subprocess.Popen[str], folder: Path, tmp_path: Path
) -> None:
    await told(tmp_path / "sock", GetOrder(METER, "pressure"))
    command = [*SIM, "run", str(folder / "day.yaml")]
    second = await asyncio.to_thread(subprocess.run, command, capture_output=True, text=True, timeout=30)
    assert second.returncode == 1
    assert f"another simulator has {tmp_path}/dev/line-1" in second.stderr
    assert "Traceback" not in second.stderr
    line = Line(tmp_path / "dev" / "line-1")
    assert len(await line.ask(5)) == 7
    line.close()
