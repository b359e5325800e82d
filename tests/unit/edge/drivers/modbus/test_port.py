"""The serial port on pseudo-terminals: what it sets, whom it keeps out, what it does when the far end goes."""

import asyncio
import os
import termios
import tty
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from edge.drivers.modbus.errors import Disconnected
from edge.drivers.modbus.port import SerialPort
from tests.support.waiting import eventually


@pytest.fixture
def ends() -> Iterator[tuple[int, int]]:
    """Both ends of a pseudo-terminal: the far one, and the one whose settings the port makes."""
    far, near = os.openpty()
    tty.setraw(near)
    os.set_blocking(far, False)
    yield far, near
    for end in (far, near):
        with suppress(OSError):  # the test may have pulled it out
            os.close(end)


async def opened(near: int, baud: int = 9600, parity: str = "none") -> tuple[SerialPort, bytearray, list[str]]:
    port, came, lost = SerialPort(os.ttyname(near), baud, parity, 1), bytearray(), []
    await port.open(came.extend, lost.append, 1.0)
    return port, came, lost


@pytest.mark.parametrize(("baud", "speed"), [(1200, termios.B1200), (19200, termios.B19200), (115200, termios.B115200)])
async def test_the_terminal_is_set_as_the_units_are(ends: tuple[int, int], baud: int, speed: int) -> None:
    port, _, _ = await opened(ends[1], baud, "even")
    _, _, control, local, _, out_speed, _ = termios.tcgetattr(ends[1])
    assert out_speed == speed
    assert control & termios.CSIZE == termios.CS8
    assert not control & termios.CSTOPB  # a pseudo-terminal keeps no parity, so that cannot be looked at
    assert not local & (termios.ICANON | termios.ECHO)
    port.close()


async def test_bytes_of_every_value_go_both_ways(ends: tuple[int, int]) -> None:
    port, came, _ = await opened(ends[1])
    every = bytes(range(256))
    port.write(every)
    assert os.read(ends[0], 512) == every
    os.write(ends[0], every)
    await eventually(lambda: came == every)
    port.close()


async def test_what_the_kernel_does_not_take_at_once_goes_when_it_does(ends: tuple[int, int]) -> None:
    port, _, _ = await opened(ends[1])
    sent = os.urandom(50_000)
    port.write(sent)
    got = bytearray()
    async with asyncio.timeout(10):
        while len(got) < len(sent):
            try:
                got += os.read(ends[0], 65536)
            except BlockingIOError:
                await asyncio.sleep(0)
    assert got == sent
    port.close()


async def test_old_bytes_are_flushed(ends: tuple[int, int]) -> None:
    port, came, _ = await opened(ends[1])
    os.write(ends[0], b"old")
    assert port.flush() == 3
    await asyncio.sleep(0.02)
    assert came == b""
    port.close()


async def test_a_port_in_use_is_said_so_and_free_again_after(ends: tuple[int, int]) -> None:
    port, _, _ = await opened(ends[1])
    other = SerialPort(os.ttyname(ends[1]), 9600, "none", 1)
    with pytest.raises(Disconnected, match="another program uses it"):
        await other.open(bytes, str, 1.0)
    port.close()
    await other.open(bytes, str, 1.0)
    other.close()


async def test_a_port_that_is_not_there_or_no_port(tmp_path: Path) -> None:
    for path, why in [(tmp_path / "ttyUSB7", "is the adapter plugged in"), (tmp_path / "file", "cannot be opened")]:
        (tmp_path / "file").touch()
        with pytest.raises(Disconnected, match=why):
            await SerialPort(str(path), 9600, "none", 1).open(bytes, str, 1.0)


async def test_a_far_end_that_goes_is_told_once_and_leaves_no_reader(ends: tuple[int, int]) -> None:
    port, _, lost = await opened(ends[1])
    os.close(ends[0])
    await eventually(lambda: bool(lost))
    assert not port.is_open
    await asyncio.sleep(0.05)
    assert len(lost) == 1
    port.write(b"nobody hears this")
    assert port.flush() == 0


async def test_a_port_that_takes_nothing_any_more_is_given_up(ends: tuple[int, int]) -> None:
    port, _, lost = await opened(ends[1])
    while port.is_open:
        port.write(bytes(4096))
    assert len(lost) == 1
    assert "takes no bytes" in lost[0]
