"""Drivers: each owns one bus, polls its devices and carries out commands. One folder a protocol; see README.md there.

A driver knows nothing of words, reports or the outbox: it hands samples to `consume` and answers commands.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from contract.messages import Outcome, Sample
from edge.counts import BusCounts

Consume = Callable[[Sequence[Sample]], Awaitable[None]]
"""Takes the samples of one poll of one device or unit, oldest first. Awaited before the bus goes on: back-pressure."""
Args = Mapping[str, str | int | float | bool]


class Driver(Protocol):
    """What every driver does.

    A read that failed is a Sample with raw None and `error` for each point concerned, and all those of one poll carry
    one time, so that whoever counts failures can count polls.
    """

    async def run(self) -> None:
        """Polls for ever and hands samples to consume; cancelled to stop. Never ends because a device is silent."""

    async def execute(self, device: str, point: str, args: Args, deadline_ns: int) -> Outcome:
        """Writes a command and reads its effect back. Raises nothing for what a device does or fails to do.

        After `deadline_ns` (monotonic) nothing is written any more, however long it waited for the bus: refused.
        """


@runtime_checkable
class Counted(Protocol):
    """Optional: what a driver counts since it started, for the page and the metrics."""

    def counts(self) -> BusCounts:
        """The numbers of this moment."""


def _modbus(bus: Any, devices: Sequence[Any], consume: Consume, _: Path) -> Driver:
    from edge.drivers.modbus import ModbusDriver

    return ModbusDriver(bus, devices, consume)


def _ble(bus: Any, devices: Sequence[Any], consume: Consume, state_dir: Path) -> Driver:
    from edge.drivers.ble import BleDriver

    return BleDriver(bus, devices, consume, state_dir=state_dir)


def _mqtt(bus: Any, devices: Sequence[Any], consume: Consume, _: Path) -> Driver:
    from edge.drivers.mqtt import MqttDriver

    return MqttDriver(bus, devices, consume)


DRIVERS: dict[str, Callable[[Any, Sequence[Any], Consume, Path], Driver]] = {
    "modbus-tcp": _modbus,
    "modbus-rtu": _modbus,
    "modbus-rtu-tcp": _modbus,
    "ble": _ble,
    "mqtt": _mqtt,
}
"""Makes the driver of each protocol a site file can name, with the folder for what it must remember.

What a driver needs is imported when the first bus wants it: a box without a radio pays nothing for Bluetooth."""
