"""Simulated Modbus buses with our driver on them, over real TCP and pseudo-terminals, for the driver's tests."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from contract.messages import Sample
from contract.profile import ModbusProfile, load_profiles, shipped_profiles
from contract.site import (
    AnyModbusBus,
    Cloud,
    Estate,
    ModbusDevice,
    ModbusRtuBus,
    ModbusRtuTcpBus,
    ModbusTcpBus,
    ResolvedDevice,
    Site,
    resolve,
)
from edge.drivers.modbus import ModbusDriver
from edge.drivers.modbus.config import Timing
from simulators.estate import Estate as SimulatedEstate
from simulators.log import Entry, TruthLog
from simulators.modbus.buses import SimulatedRtu, SimulatedRtuTcp
from simulators.modbus.line import Line
from simulators.modbus.server import ModbusServer

PROFILES = load_profiles(shipped_profiles())
QUICK = Timing(
    first_s=0.1, probe_s=0.03, backoff_s=0.1, backoff_max_s=0.4, reconnect_s=0.05, reconnect_max_s=0.2,
    confirm_every_s=0.02,
)  # fmt: skip
"""As in production, but backing off for tenths of seconds."""
WAIT_S = 10.0
LATER_NS = 1 << 62
"""A deadline that no command reaches."""


def door(unit: int) -> ModbusDevice:
    """A door unit called door-N."""
    return ModbusDevice(id=f"door-{unit}", name=f"门{unit}", profile="anju-door-unit", unit=unit)


def detector(unit: int, channel: int) -> ModbusDevice:
    """A detector on a panel, called smoke-U-C."""
    return ModbusDevice(
        id=f"smoke-{unit}-{channel}", name=f"烟感{channel}", profile="anju-smoke-panel-16", unit=unit, channel=channel
    )


def site_of(bus: AnyModbusBus) -> Site:
    """A site with one bus."""
    return Site(estate=Estate(name="西苑小区"), cloud=Cloud(url="http://127.0.0.1:8080"), buses=[bus])


@dataclass
class Collected:
    """What a driver handed on, in order, and a way to wait for it."""

    samples: list[Sample] = field(default_factory=list)
    _grown: asyncio.Event = field(default_factory=asyncio.Event)

    async def consume(self, samples: Sequence[Sample]) -> None:
        self.samples.extend(samples)
        self._grown.set()

    def of(self, device: str, point: str) -> list[Sample]:
        """One series."""
        return [sample for sample in self.samples if (sample.device, sample.point) == (device, point)]

    async def until(self, is_there: Callable[[], bool]) -> None:
        """Waits until something is true, looking after each batch."""
        async with asyncio.timeout(WAIT_S):
            while not is_there():
                self._grown.clear()
                await self._grown.wait()

    async def fresh(self, device: str, point: str, want: Callable[[Sample], bool]) -> Sample:
        """The first sample of a series from now on for which `want` holds."""
        start = len(self.samples)

        def found() -> list[Sample]:
            return [s for s in self.samples[start:] if (s.device, s.point) == (device, point) and want(s)]

        await self.until(lambda: bool(found()))
        return found()[0]

    async def value(self, device: str, point: str, raw: float) -> Sample:
        """Waits until a fresh sample has this raw value."""
        return await self.fresh(device, point, lambda s: s.raw == raw)

    async def error(self, device: str, point: str) -> Sample:
        """Waits until a fresh sample says that the read failed."""
        return await self.fresh(device, point, lambda s: s.raw is None)


@dataclass
class ModbusRig:
    """A simulated bus, the driver that owns it and what it handed on."""

    estate: SimulatedEstate
    server: ModbusServer
    driver: ModbusDriver
    collected: Collected
    devices: list[ResolvedDevice]
    truth: list[Entry]


@asynccontextmanager
async def modbus_rig(
    devices: Sequence[ModbusDevice],
    poll_s: float = 0.02,
    timeout_s: float = 0.2,
    timing: Timing = QUICK,
    profiles: Mapping[str, ModbusProfile] = PROFILES,
    port: int = 0,
) -> AsyncIterator[ModbusRig]:
    """Serves the devices on a free port and runs the driver on them while open."""
    bus = ModbusTcpBus(
        id="bus", protocol="modbus-tcp", host="127.0.0.1", port=port or 1, poll_s=poll_s, timeout_s=timeout_s,
        devices=list(devices),
    )  # fmt: skip
    site = site_of(bus)
    truth: list[Entry] = []
    estate = SimulatedEstate(site, profiles, TruthLog(also=truth.append))
    server = estate.buses["bus"].server
    server.port = port
    async with estate:
        bus = ModbusTcpBus(**{name: getattr(bus, name) for name in bus.__struct_fields__} | {"port": server.port})
        resolved = resolve(site_of(bus), profiles)
        async with driving(bus, resolved, timing) as (driver, collected):
            yield ModbusRig(estate, server, driver, collected, resolved, truth)


@asynccontextmanager
async def driving(
    bus: AnyModbusBus, devices: Sequence[ResolvedDevice], timing: Timing = QUICK
) -> AsyncIterator[tuple[ModbusDriver, Collected]]:
    """Runs the driver of a bus while open."""
    collected = Collected()
    driver = ModbusDriver(bus, devices, collected.consume, timing)
    running = asyncio.create_task(driver.run(), name="driver")
    try:
        yield driver, collected
    finally:
        running.cancel()
        with suppress(asyncio.CancelledError):
            await running


@dataclass
class LineRig:
    """A simulated serial line, the driver that is its master, and what it handed on."""

    estate: SimulatedEstate
    bus: SimulatedRtu | SimulatedRtuTcp
    driver: ModbusDriver
    collected: Collected
    truth: list[Entry]

    @property
    def line(self) -> Line:
        """The units' side of it."""
        return self.bus.line


@asynccontextmanager
async def line_rig(
    folder: Path, protocol: str, devices: Sequence[ModbusDevice], poll_s: float = 0.2, timeout_s: float = 0.2,
    baud: int = 115200, timing: Timing = QUICK, profiles: Mapping[str, ModbusProfile] = PROFILES, **more: float,
) -> AsyncIterator[LineRig]:  # fmt: skip
    """A line of a protocol (modbus-rtu, at a pseudo-terminal in a folder, or modbus-rtu-tcp) with its master."""
    common = {"id": "bus", "protocol": protocol, "poll_s": poll_s, "timeout_s": timeout_s, "baud": baud,
              "devices": list(devices)} | more  # fmt: skip

    def made(port: int) -> AnyModbusBus:
        if protocol == "modbus-rtu":
            return ModbusRtuBus(port=str(folder / "line"), **common)
        return ModbusRtuTcpBus(host="127.0.0.1", port=port, **common)

    truth: list[Entry] = []
    estate = SimulatedEstate(site_of(made(1)), profiles, TruthLog(also=truth.append))
    simulated = estate.buses["bus"]
    if isinstance(simulated, SimulatedRtuTcp):
        simulated.port.port = 0
    async with estate:
        bus = made(simulated.port.port if isinstance(simulated, SimulatedRtuTcp) else 1)
        async with driving(bus, resolve(site_of(bus), profiles), timing) as (driver, collected):
            yield LineRig(estate, simulated, driver, collected, truth)
