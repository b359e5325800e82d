"""A simulated estate: the buses and devices that a site file names, so that box and simulator agree by construction."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import AsyncExitStack
from importlib import import_module
from typing import Any, Self

from contract.errors import Permanent
from contract.profile import AnyProfile
from contract.site import ResolvedDevice, Site, resolve
from simulators.bus import Fault, SimulatedBus, Value
from simulators.log import TruthLog

BUSES: dict[str, str] = {
    "modbus-tcp": "simulators.modbus.buses:SimulatedTcp",
    "modbus-rtu": "simulators.modbus.buses:SimulatedRtu",
    "modbus-rtu-tcp": "simulators.modbus.buses:SimulatedRtuTcp",
    "ble": "simulators.ble.buses:SimulatedBle",
    "mqtt": "simulators.mqtt.buses:SimulatedMqtt",
}
"""By protocol of a bus: the class that simulates it, as module:name, imported when a site has such a bus."""


def bus_class(protocol: str) -> Callable[..., SimulatedBus]:
    """The class that simulates buses of a protocol; see SimulatedBus for how it is made. Raises Permanent for none."""
    module, _, name = BUSES.get(protocol, "").partition(":")
    if not name:
        raise Permanent(f"nothing simulates {protocol} buses; there are: {', '.join(BUSES)}")
    found: Any = getattr(import_module(module), name)
    return found  # type: ignore[no-any-return]


class Estate:
    """Every bus of a site, simulated where the site file says. An async context manager: there while open."""

    def __init__(
        self, site: Site, profiles: Mapping[str, AnyProfile], log: TruthLog, speed: float = 1.0, seed: int = 1
    ) -> None:
        self.devices = {device.device.id: device for device in resolve(site, profiles)}
        self.buses: dict[str, SimulatedBus] = {}
        for bus in site.buses:
            here = [device for device in self.devices.values() if device.bus.id == bus.id]
            self.buses[bus.id] = bus_class(bus.protocol)(bus, here, log, speed, seed)
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> Self:
        async with AsyncExitStack() as stack:
            for bus in self.buses.values():
                await stack.enter_async_context(bus)
            self._stack = stack.pop_all()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._stack.aclose()

    def set(self, device: str, point: str, value: Value) -> None:
        """Sets a point of a device in the profile's words or units. Raises Permanent when it cannot be."""
        self._bus_of(device).set(device, point, value)

    def get(self, device: str, point: str) -> Value:
        """What a point of a device is now. Raises Permanent for one there is not."""
        return self._bus_of(device).get(device, point)

    def fail(self, device: str, fault: Fault | None) -> None:
        """Gives a device (all on its unit) a fault, or takes it away. Raises Permanent for what its bus cannot do."""
        self._bus_of(device).fail(device, fault)

    def cut(self, bus: str) -> None:
        """Breaks the connections to a bus; it can be reached again at once."""
        self._bus(bus).cut()

    async def power(self, bus: str, is_on: bool) -> None:
        """Takes a bus's power, or gives it back."""
        await self._bus(bus).power(is_on)

    def points(self) -> Iterator[tuple[ResolvedDevice, str]]:
        """Every point of every device that can be set."""
        for bus in self.buses.values():
            yield from bus.points()

    def _bus_of(self, device: str) -> SimulatedBus:
        if device not in self.devices:
            raise Permanent(f"there is no device {device!r} in the site")
        return self.buses[self.devices[device].bus.id]

    def _bus(self, bus: str) -> SimulatedBus:
        if bus not in self.buses:
            raise Permanent(f"there is no bus {bus!r} in the site; there are: {', '.join(self.buses)}")
        return self.buses[bus]
