"""A simulated estate: the servers and units that a site file names, so that box and simulator agree by construction."""

from collections.abc import Iterator, Mapping
from contextlib import AsyncExitStack
from itertools import groupby
from typing import Self

from contract.errors import Permanent
from contract.profile import Profile
from contract.site import ResolvedDevice, Site, resolve
from simulators.log import TruthLog
from simulators.modbus.device import SimulatedUnit, Value
from simulators.modbus.server import Fault, ModbusServer


class Estate:
    """Every bus of a site as a server on its own host and port. An async context manager: serving while open."""

    def __init__(
        self, site: Site, profiles: Mapping[str, Profile], log: TruthLog, speed: float = 1.0, seed: int = 1
    ) -> None:
        self.devices = {device.device.id: device for device in resolve(site, profiles)}
        self.servers: dict[str, ModbusServer] = {}
        self.units: dict[tuple[str, int], SimulatedUnit] = {}
        for bus in site.buses:
            here = sorted((d for d in self.devices.values() if d.bus.id == bus.id), key=_unit_of)
            units = {unit: SimulatedUnit(list(group), log, speed) for unit, group in groupby(here, key=_unit_of)}
            self.units |= {(bus.id, unit): simulated for unit, simulated in units.items()}
            self.servers[bus.id] = ModbusServer(bus.host, bus.port, units, log, bus.id, seed)
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> Self:
        async with AsyncExitStack() as stack:
            for unit in self.units.values():
                stack.callback(unit.close)
            for server in self.servers.values():
                await stack.enter_async_context(server)
            self._stack = stack.pop_all()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._stack.aclose()

    def set(self, device: str, point: str, value: Value) -> None:
        """Sets a point of a device in the profile's words or units. Raises Permanent when it cannot be."""
        self._unit(device).set(device, point, value)

    def get(self, device: str, point: str) -> Value:
        """What a point of a device is now. Raises Permanent for one there is not."""
        try:
            return self._unit(device).get(device, point)
        except KeyError:
            raise Permanent(f"{device} has no point {point!r} to read") from None

    def fail(self, device: str, fault: Fault | None) -> None:
        """Gives the unit a device is on a fault, or takes it away. All channels of a panel share it."""
        found = self._device(device)
        self.servers[found.bus.id].fail(found.device.unit, fault)

    def cut(self, bus: str) -> None:
        """Closes the connections to a bus; it can be reached again at once."""
        self._server(bus).cut()

    async def power(self, bus: str, is_on: bool) -> None:
        """Takes a bus off the network, or brings it back."""
        server = self._server(bus)
        await (server.listen() if is_on else server.shut())

    def points(self) -> Iterator[tuple[ResolvedDevice, str]]:
        """Every point of every device that is read."""
        for device in self.devices.values():
            for name, mapped in device.profile.points.items():
                if mapped.read:
                    yield device, name

    def _device(self, device: str) -> ResolvedDevice:
        if device not in self.devices:
            raise Permanent(f"there is no device {device!r} in the site")
        return self.devices[device]

    def _unit(self, device: str) -> SimulatedUnit:
        found = self._device(device)
        return self.units[found.bus.id, found.device.unit]

    def _server(self, bus: str) -> ModbusServer:
        if bus not in self.servers:
            raise Permanent(f"there is no bus {bus!r} in the site; there are: {', '.join(self.servers)}")
        return self.servers[bus]


def _unit_of(device: ResolvedDevice) -> int:
    return device.device.unit
