"""The Modbus buses of a site file: units behind a TCP endpoint, on a serial port, on a line behind a converter."""

from collections.abc import Iterator, Sequence
from itertools import groupby
from pathlib import Path
from types import TracebackType
from typing import ClassVar, Self

from contract.errors import Permanent
from contract.site import ModbusRtuBus, ModbusRtuTcpBus, ModbusTcpBus, ResolvedModbus
from simulators.bus import Fault, Value, check_fault
from simulators.log import TruthLog
from simulators.modbus.device import SimulatedUnit
from simulators.modbus.faults import SERIAL_KINDS, TCP_KINDS
from simulators.modbus.line import Line
from simulators.modbus.port import Pty, TcpPort
from simulators.modbus.rtu import CHARACTER_BITS
from simulators.modbus.server import ModbusServer


class _Units:
    """The units of a bus, and which device is on which."""

    protocol: ClassVar[str]
    kinds: ClassVar[frozenset[str]]

    def __init__(self, devices: Sequence[ResolvedModbus], log: TruthLog, speed: float) -> None:
        self.devices = {device.device.id: device for device in devices}
        by_unit = sorted(devices, key=_unit_of)
        self.units = {unit: SimulatedUnit(list(group), log, speed) for unit, group in groupby(by_unit, key=_unit_of)}

    def set(self, device: str, point: str, value: Value) -> None:
        """Sets a point in the profile's words or units. Raises Permanent when it cannot be."""
        self._unit(device).set(device, point, value)

    def get(self, device: str, point: str) -> Value:
        """What a point is now. Raises Permanent for one there is not."""
        try:
            return self._unit(device).get(device, point)
        except KeyError:
            raise Permanent(f"{device} has no point {point!r} to read") from None

    def points(self) -> Iterator[tuple[ResolvedModbus, str]]:
        """Every point of every device that is read."""
        for device in self.devices.values():
            for name, mapped in device.profile.points.items():
                if mapped.read:
                    yield device, name

    def _number(self, device: str, fault: Fault | None) -> int:
        """The unit a fault is for. All channels of a panel share it."""
        if fault is not None:
            check_fault(fault, self.kinds, self.protocol)
        return _unit_of(self._found(device))

    def _found(self, device: str) -> ResolvedModbus:
        if device not in self.devices:
            raise Permanent(f"there is no device {device!r} on this bus")
        return self.devices[device]

    def _unit(self, device: str) -> SimulatedUnit:
        return self.units[_unit_of(self._found(device))]

    def _close(self) -> None:
        for unit in self.units.values():
            unit.close()

    def _who(self) -> str:
        return f"units {', '.join(map(str, self.units))}"


def _bits(bus: ModbusRtuBus | ModbusRtuTcpBus) -> int:
    """How many bits a character has; a converter is taken to have parity."""
    return 9 + (bus.parity != "none") + bus.stop_bits if isinstance(bus, ModbusRtuBus) else CHARACTER_BITS


def _unit_of(device: ResolvedModbus) -> int:
    return device.device.unit


class SimulatedTcp(_Units):
    """Units behind a Modbus TCP endpoint."""

    protocol = "modbus-tcp"
    kinds = TCP_KINDS

    def __init__(
        self, bus: ModbusTcpBus, devices: Sequence[ResolvedModbus], log: TruthLog, speed: float = 1.0, seed: int = 1
    ) -> None:
        super().__init__(devices, log, speed)
        self.server = ModbusServer(bus.host, bus.port, self.units, log, bus.id, seed)

    async def __aenter__(self) -> Self:
        await self.server.open()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.server.close()
        self._close()

    @property
    def where(self) -> str:
        """Host, port and units."""
        return f"{self.server.host}:{self.server.port}, {self._who()}"

    @property
    def questions(self) -> dict[int, int]:
        """How many came to each unit."""
        return self.server.questions

    def fail(self, device: str, fault: Fault | None) -> None:
        """Gives the unit a device is on a fault, or takes it away."""
        self.server.fail(self._number(device, fault), fault)

    def cut(self) -> None:
        """Closes the connections."""
        self.server.cut()

    async def power(self, is_on: bool) -> None:
        """Takes the endpoint off the network, or brings it back."""
        await (self.server.open() if is_on else self.server.close())


class _Serial(_Units):
    """Units on a line, whatever carries its bytes to the box."""

    kinds = SERIAL_KINDS

    def __init__(
        self, bus: ModbusRtuBus | ModbusRtuTcpBus, devices: Sequence[ResolvedModbus], log: TruthLog, speed: float,
        seed: int, port: Pty | TcpPort,
    ) -> None:  # fmt: skip
        super().__init__(devices, log, speed)
        turnarounds_s = {_unit_of(device): device.profile.modbus.answer_ms / 1000 for device in devices}
        self.line = Line(
            self.units, log, bus.id, bus.baud, seed, out=port.out, on_cut=port.cut, bits=_bits(bus),
            turnarounds_s=turnarounds_s,
        )  # fmt: skip
        self._port = port

    async def __aenter__(self) -> Self:
        await self._port.open()
        self.line.power(is_on=True)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.line.power(is_on=False)
        await self._port.close()
        self._close()

    @property
    def questions(self) -> dict[int, int]:
        """How many each unit understood."""
        return self.line.questions

    def fail(self, device: str, fault: Fault | None) -> None:
        """Gives the unit a device is on a fault, or takes it away."""
        self.line.faults.fail(self._number(device, fault), fault)

    def cut(self) -> None:
        """The box loses its port, or its connection to the converter, and can have it again at once."""
        self._port.cut()

    def heard(self, data: bytes) -> None:
        """Bytes from the box."""
        self.line.received(data)


class SimulatedRtu(_Serial):
    """Units on a serial port of the box: a pseudo-terminal at the path that the site file names."""

    protocol = "modbus-rtu"

    def __init__(
        self, bus: ModbusRtuBus, devices: Sequence[ResolvedModbus], log: TruthLog, speed: float = 1.0, seed: int = 1
    ) -> None:
        self.port = Pty(Path(bus.port), bus.baud, self.heard)
        self._baud = bus.baud
        super().__init__(bus, devices, log, speed, seed, self.port)

    @property
    def where(self) -> str:
        """Port, baud rate and units."""
        return f"{self.port.path}, {self._baud} baud, {self._who()}"

    async def power(self, is_on: bool) -> None:
        """The units have no power, or have it again; the port is the box's own and stays."""
        self.line.power(is_on)

    async def plug(self, is_in: bool) -> None:
        """Pulls the port's adapter out of the box, or plugs it in again."""
        await (self.port.open() if is_in else self.port.close())


class SimulatedRtuTcp(_Serial):
    """Units on a line behind a converter that passes bytes on and knows no Modbus."""

    protocol = "modbus-rtu-tcp"

    def __init__(
        self, bus: ModbusRtuTcpBus, devices: Sequence[ResolvedModbus], log: TruthLog, speed: float = 1.0, seed: int = 1
    ) -> None:
        self.port = TcpPort(bus.host, bus.port, self.heard)
        super().__init__(bus, devices, log, speed, seed, self.port)

    @property
    def where(self) -> str:
        """Host, port and units."""
        return f"{self.port.host}:{self.port.port}, RTU frames, {self._who()}"

    async def power(self, is_on: bool) -> None:
        """Converter and units have no power, or have it again."""
        self.line.power(is_on)
        await (self.port.open() if is_on else self.port.close())
