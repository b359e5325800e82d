"""The BLE buses of a site file: radios of one simulated BlueZ, and the sensors that they hear."""

import asyncio
import hashlib
import os
import random
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, ClassVar, Self

from contract.errors import Permanent
from contract.site import BleBus, ResolvedBle
from simulators.ble.adapter import Adapter
from simulators.ble.bluez import BlueZ
from simulators.ble.sensor import SimulatedSensor
from simulators.bus import Fault, Value, check_fault
from simulators.log import TruthLog

SOCKET_VARIABLE = "ANJU_SIM_DBUS"
"""The path of the socket where the simulated system bus listens; without it in a new folder."""
INTERVAL_S = 2.0
"""How often a sensor sends its state when nothing happens."""
REPEATS, REPEAT_S = 3, 0.03
"""What is new is sent so often, at this distance, for a radio misses some. The packet stays the same."""


def bindkey_of(secret: str) -> str:
    """The key that a simulated sensor has whose key the site file calls so: 32 hex digits, to put into that secret."""
    return hashlib.sha256(f"simulated sensor's key {secret}".encode()).hexdigest()[:32]


class SimulatedBle:
    """One radio and its sensors. All radios of a process are on one BlueZ, as on a box; `bluez` is there while open."""

    kinds: ClassVar[frozenset[str]] = frozenset(
        {"silent", "slow", "exception", "cut", "garbage", "truncated", "jump", "flood"}
    )
    _shared: ClassVar[dict[asyncio.AbstractEventLoop, tuple[BlueZ, set["SimulatedBle"]]]] = {}

    def __init__(
        self, bus: BleBus, devices: Sequence[ResolvedBle], log: TruthLog, speed: float = 1.0, seed: int = 1
    ) -> None:
        self.interval_s = INTERVAL_S
        self.is_experimental = True
        """Whether the simulated BlueZ can listen passively."""
        self.bluez: BlueZ
        self._name = bus.adapter
        self._log = log
        dice = random.Random(seed)  # noqa: S311  # the same seed, the same dice
        self.sensors: dict[str, SimulatedSensor] = {}
        for device in devices:
            key = device.device.bindkey
            self.sensors[device.device.id] = SimulatedSensor(
                device, log, speed, bytes.fromhex(bindkey_of(key.secret)) if key else None, dice, self._speak
            )
        self._tasks: set[asyncio.Task[Any]] = set()

    @property
    def adapter(self) -> Adapter | None:
        """The radio, while it is there."""
        return self.bluez.adapters.get(self._name)

    async def __aenter__(self) -> Self:
        loop = asyncio.get_running_loop()
        if loop not in self._shared:
            socket = os.environ.get(SOCKET_VARIABLE)
            bluez = BlueZ(Path(socket) if socket else None)
            self._shared[loop] = (bluez, set())
            try:
                await bluez.__aenter__()
            except BaseException:
                del self._shared[loop]
                raise
        self.bluez, users = self._shared[loop]
        users.add(self)
        self._plug()
        for i, sensor in enumerate(self.sensors.values()):
            self._run(self._send_now_and_then(sensor, i / len(self.sensors)))
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for sensor in self.sensors.values():
            sensor.close()
        loop = asyncio.get_running_loop()
        bluez, users = self._shared[loop]
        users.discard(self)
        if not users:
            del self._shared[loop]
            await bluez.__aexit__()
        elif self.adapter is not None:
            bluez.remove_adapter(self._name)

    @property
    def where(self) -> str:
        """The radio, how many sensors, and what the box must be told."""
        return f"{self._name}, {len(self.sensors)} sensors, DBUS_SYSTEM_BUS_ADDRESS={self.bluez.address}"

    def set(self, device: str, point: str, value: Value) -> None:
        """A point takes a value now; the sensor says so at once."""
        self._sensor(device).set(point, value)

    def get(self, device: str, point: str) -> Value:
        """What a point is now."""
        return self._sensor(device).get(point)

    def fail(self, device: str, fault: Fault | None) -> None:
        """Gives a sensor a fault, or takes it away. One that falls silent loses its link, as without a battery."""
        if fault is not None:
            check_fault(fault, self.kinds, "ble")
        sensor = self._sensor(device)
        sensor.fault = fault
        if fault is not None and fault.kind == "silent":
            sensor.drop()

    def cut(self) -> None:
        """The radio is reset: it goes, with all its links, and is back at once."""
        if self.adapter is not None:
            self.bluez.remove_adapter(self._name)
            self._plug()

    async def power(self, is_on: bool) -> None:
        """The radio is pulled out, or plugged in again."""
        if is_on and self.adapter is None:
            self._plug()
        elif not is_on and self.adapter is not None:
            self.bluez.remove_adapter(self._name)

    def points(self) -> Iterator[tuple[ResolvedBle, str]]:
        """Every point of its sensors that is read."""
        for sensor in self.sensors.values():
            for name, mapped in sensor.device.profile.points.items():
                if mapped.read:
                    yield sensor.device, name

    def _plug(self) -> None:
        self.meet(self.bluez.add_adapter(self._name, is_experimental=self.is_experimental))

    def meet(self, adapter: Adapter) -> None:
        """The sensors can be connected through this radio from now on."""
        for sensor in self.sensors.values():
            adapter.peripherals[sensor.address] = sensor
            sensor.drop = lambda address=sensor.address: self._drop(address)  # type: ignore[misc]

    def _drop(self, address: str) -> None:
        if self.adapter is not None:
            self.adapter.drop(address)

    def _sensor(self, device: str) -> SimulatedSensor:
        if device not in self.sensors:
            raise Permanent(f"there is no device {device!r} on this bus")
        return self.sensors[device]

    def _speak(self, sensor: SimulatedSensor) -> None:
        """A sensor has something to say: now, if the bus is there."""
        if self._tasks:
            self._run(self._send(sensor, REPEATS))

    def _run(self, work: Any) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _send(self, sensor: SimulatedSensor, times: int = 1) -> None:
        heard = sensor.advertisement()
        for i in range(times if heard is not None else 0):
            if self.adapter is not None and heard is not None:
                await self.adapter.advertise(sensor.address, heard)
            if i + 1 < times:
                await asyncio.sleep(REPEAT_S)

    async def _send_now_and_then(self, sensor: SimulatedSensor, phase: float) -> None:
        await asyncio.sleep(phase * self.interval_s)
        while True:
            await self._send(sensor)
            flood = sensor.fault if sensor.fault is not None and sensor.fault.kind == "flood" else None
            await asyncio.sleep(1 / flood.rate if flood else self.interval_s)
