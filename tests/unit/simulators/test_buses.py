"""Each Modbus bus of a site file is there where the file says, and can be cut, left without power and broken."""

import asyncio
import os
import socket
import termios
import tty
from collections.abc import AsyncIterator, Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from contract.errors import Permanent
from contract.site import ModbusRtuBus, ModbusRtuTcpBus, ModbusTcpBus
from simulators.bus import Fault
from simulators.estate import BUSES, Estate, bus_class
from simulators.log import Entry, TruthLog, Write
from simulators.modbus.buses import SimulatedRtu, SimulatedRtuTcp
from simulators.modbus.port import TcpPort
from simulators.modbus.rtu import frame
from tests.support.waiting import eventually
from tests.unit.simulators.sites import PROFILES, detector, door, site_of

CONTACTS = bytes.fromhex("02 00 00 00 04")


class Serial:
    """A program with a serial port, as a box has it."""

    def __init__(self, path: Path, speed: int = termios.B9600) -> None:
        self.fd = os.open(path, os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK)
        tty.setraw(self.fd)
        settings = termios.tcgetattr(self.fd)
        settings[4] = settings[5] = speed
        termios.tcsetattr(self.fd, termios.TCSANOW, settings)
        self.heard = b""
        self.is_gone = False

    def read(self) -> bytes:
        try:
            data = os.read(self.fd, 4096)
            self.is_gone |= not data
            self.heard += data
        except BlockingIOError:
            pass
        except OSError:
            self.is_gone = True
        return self.heard

    async def ask(self, pdu: bytes, unit: int, size: int) -> bytes:
        self.heard = b""
        os.write(self.fd, frame(unit, pdu))
        await eventually(lambda: len(self.read()) >= size)
        return self.heard

    def close(self) -> None:
        os.close(self.fd)


@pytest.fixture
def truth() -> list[Entry]:
    return []


@pytest.fixture
async def rtu(tmp_path: Path, truth: list[Entry]) -> AsyncIterator[SimulatedRtu]:
    bus = ModbusRtuBus(
        id="line", protocol="modbus-rtu", port=str(tmp_path / "dev" / "ttyRS485"), devices=[door(1), detector(2, 3)]
    )
    estate = Estate(site_of(bus), PROFILES, TruthLog(also=truth.append))
    async with estate:
        simulated = estate.buses["line"]
        assert isinstance(simulated, SimulatedRtu)
        yield simulated


@pytest.fixture
def port(rtu: SimulatedRtu) -> Iterator[Serial]:
    one = Serial(rtu.port.path)
    yield one
    with suppress(OSError):
        one.close()


async def test_a_box_reads_and_writes_through_the_serial_port(
    rtu: SimulatedRtu, port: Serial, truth: list[Entry]
) -> None:
    rtu.set("door-1", "contact", "open")
    rtu.set("smoke-2-3", "temperature", 21.5)
    assert await port.ask(CONTACTS, 1, 6) == frame(1, bytes.fromhex("02 01 01"))
    assert await port.ask(bytes.fromhex("04 00 13 00 01"), 2, 7) == frame(2, bytes.fromhex("04 02 00 d7"))
    assert await port.ask(bytes.fromhex("06 00 00 00 05"), 1, 8) == frame(1, bytes.fromhex("06 00 00 00 05"))
    assert rtu.get("door-1", "lock") == "unlocked"
    assert [(one.bus, one.unit, one.values) for one in truth if isinstance(one, Write)] == [("line", 1, [5])]
    assert rtu.questions == {1: 2, 2: 1}
    assert str(rtu.port.path) in rtu.where


@pytest.mark.parametrize(("parity", "stop_bits", "bits"), [("none", 1, 10), ("even", 1, 11), ("none", 2, 11)])
def test_a_character_is_as_long_as_the_site_file_says(parity: str, stop_bits: int, bits: int) -> None:
    bus = ModbusRtuBus(
        id="line", protocol="modbus-rtu", port="/nowhere", parity=parity, stop_bits=stop_bits, devices=[door(1)]
    )
    simulated = Estate(site_of(bus), PROFILES, TruthLog()).buses["line"]
    assert isinstance(simulated, SimulatedRtu)
    assert simulated.line.wire_s(1) == pytest.approx(bits / 9600)
    assert simulated.line.turnarounds_s == {1: PROFILES["anju-door-unit"].modbus.answer_ms / 1000}


@pytest.mark.parametrize("speed", [termios.B19200, termios.B38400])
async def test_another_baud_rate_is_not_understood(rtu: SimulatedRtu, speed: int) -> None:
    port = Serial(rtu.port.path, speed)
    os.write(port.fd, frame(1, CONTACTS))
    await asyncio.sleep(0.05)
    assert port.read() == b""
    assert rtu.questions[1] == 0
    port.close()


async def test_a_pulled_adapter_comes_back_under_the_same_path(rtu: SimulatedRtu, port: Serial) -> None:
    rtu.cut()
    await eventually(lambda: port.read() == b"" and port.is_gone)
    again = Serial(rtu.port.path)
    assert await again.ask(CONTACTS, 1, 6) == frame(1, bytes.fromhex("02 01 00"))
    again.close()
    await rtu.plug(is_in=False)
    assert not rtu.port.path.is_symlink()
    await rtu.plug(is_in=True)
    again = Serial(rtu.port.path)
    assert len(await again.ask(CONTACTS, 1, 6)) == 6
    again.close()


async def test_units_without_power_are_silent_and_the_port_stays(rtu: SimulatedRtu, port: Serial) -> None:
    await rtu.power(is_on=False)
    os.write(port.fd, frame(1, CONTACTS))
    await asyncio.sleep(0.05)
    assert port.read() == b""
    assert not port.is_gone
    await rtu.power(is_on=True)
    assert len(await port.ask(CONTACTS, 1, 6)) == 6


async def test_the_link_is_taken_away_and_a_file_is_left(tmp_path: Path) -> None:
    path = tmp_path / "line"
    bus = ModbusRtuBus(id="line", protocol="modbus-rtu", port=str(path), devices=[door(1)])
    path.symlink_to("/dev/pts/left-over")
    async with Estate(site_of(bus), PROFILES, TruthLog()):
        assert path.exists()
    assert not path.is_symlink()
    path.write_text("mine")
    with pytest.raises(FileExistsError, match="in the way"):
        async with Estate(site_of(bus), PROFILES, TruthLog()):
            pass
    assert path.read_text() == "mine"


async def test_rtu_frames_over_tcp(truth: list[Entry]) -> None:
    bus = ModbusRtuTcpBus(
        id="line", protocol="modbus-rtu-tcp", host="127.0.0.1", port=1, baud=115200, devices=[door(1)]
    )
    estate = Estate(site_of(bus), PROFILES, TruthLog(also=truth.append))
    simulated = estate.buses["line"]
    assert isinstance(simulated, SimulatedRtuTcp)
    simulated.port.port = 0
    async with estate:
        reader, writer = await asyncio.open_connection("127.0.0.1", simulated.port.port)
        writer.write(frame(1, CONTACTS))
        async with asyncio.timeout(5):
            assert await reader.readexactly(6) == frame(1, bytes.fromhex("02 01 00"))
            await simulated.power(is_on=False)
            assert await reader.read() == b""
            writer.close()
            with pytest.raises(ConnectionRefusedError):
                await asyncio.open_connection("127.0.0.1", simulated.port.port)
            await simulated.power(is_on=True)
            reader, writer = await asyncio.open_connection("127.0.0.1", simulated.port.port)
            simulated.fail("door-1", Fault(kind="cut"))
            writer.write(frame(1, CONTACTS))
            assert await reader.read() == b""
            writer.close()


async def test_who_does_not_listen_to_a_converter_is_dropped() -> None:
    port = TcpPort("127.0.0.1", 0, lambda _: None)
    await port.open()
    with socket.create_connection(("127.0.0.1", port.port)):
        await eventually(lambda: port.connections == 1)
        for _ in range(2000):
            port.out(b"x" * 8192)
            await asyncio.sleep(0)
        await eventually(lambda: not port.clients)
    await port.close()


def test_each_bus_says_what_it_cannot_do() -> None:
    devices = [door(1)]
    tcp = ModbusTcpBus(id="tcp", protocol="modbus-tcp", host="127.0.0.1", port=1, devices=devices)
    serial = ModbusRtuBus(id="rtu", protocol="modbus-rtu", port="/nowhere", devices=[door(2)])
    estate = Estate(site_of(tcp, serial), PROFILES, TruthLog())
    with pytest.raises(Permanent, match=r"modbus-tcp bus cannot do 'crc'; it can do: .*silent"):
        estate.fail("door-1", Fault(kind="crc"))
    with pytest.raises(Permanent, match="modbus-rtu bus cannot do 'transaction'"):
        estate.fail("door-2", Fault(kind="transaction"))
    with pytest.raises(Permanent, match="needs delay_s"):
        estate.fail("door-1", Fault(kind="slow"))
    with pytest.raises(Permanent, match="no point 'unlock'"):
        estate.get("door-1", "unlock")


@pytest.mark.parametrize("protocol", BUSES)
def test_the_class_of_each_protocol_is_there(protocol: str) -> None:
    assert bus_class(protocol)


def test_a_protocol_that_nobody_simulates_is_named() -> None:
    with pytest.raises(Permanent, match="nothing simulates zigbee"):
        bus_class("zigbee")
