"""Drivers: each owns one bus, polls its devices and carries out commands. One folder a protocol; see README.md there.

A driver knows nothing of words, reports or the outbox: it hands samples to `consume` and answers commands.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Protocol

from contract.messages import Outcome, Sample
from contract.site import ModbusBus, ResolvedDevice
from edge.drivers.modbus import ModbusDriver

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

    async def execute(self, device: str, point: str, args: Args) -> Outcome:
        """Writes a command and reads its effect back. Raises nothing for what a device does or fails to do."""


class Counted(Protocol):
    """Optional: what a driver counts since it started, for edge/health. All grow only, save the last three.

    `polls`: questions a unit answered in full or not; `failures`: those not answered in full; `skipped`: polls that
    were due and not made because the bus was busy; `samples`: values handed on; `late`: answers thrown away because
    they belonged to no open question; `latency_sum_s` over `answers` questions answered.
    """

    bus_id: str
    polls: int
    failures: int
    skipped: int
    samples: int
    answers: int
    late: int
    reconnects: int
    latency_sum_s: float
    last_poll_ns: int
    connected: bool
    silent_units: int


DRIVERS: dict[str, Callable[[ModbusBus, Sequence[ResolvedDevice], Consume], Driver]] = {"modbus": ModbusDriver}
"""The driver of each protocol a site file can name."""
