"""One rig a driver for the contract suite: a simulated device of its protocol, its faults, and what the driver read."""

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from contract.messages import CommandStatus
from edge.drivers import Counted, Driver
from simulators.bus import Fault
from simulators.log import Write
from tests.support.drivers_ble import LOCK, ble_rig, sensor
from tests.support.drivers_mqtt import door as mqtt_door
from tests.support.drivers_mqtt import mqtt_rig
from tests.support.modbus import Collected, LineRig, ModbusRig, door, line_rig, modbus_rig


@dataclass
class DriverRig:
    """What the suite needs of a protocol: two devices of their own, A and B, each with a state point.

    `low` and `high` are the raw values of the two words given to `put`. `command` has its effect on A's state `effect`.
    """

    driver: Driver
    counted: Counted
    collected: Collected
    a: str
    b: str
    point: str
    put: Callable[[str, str], None]
    low: tuple[str, int]
    high: tuple[str, int]
    silence: Callable[[str, int | None], None]
    """Device, and how many questions go unanswered (None: until mended)."""
    refuse: Callable[[str], None]
    slow: Callable[[str], None]
    garbage: list[Callable[[str], None]]
    mend: Callable[[str], None]
    cut: Callable[[], None]
    power: Callable[[bool], Awaitable[None]]
    command: tuple[str, dict[str, int]]
    written: Callable[[], int]
    """How many writes have reached the devices."""
    refused: str = "exception 4: device failure"
    """What a sample says of a read that was refused."""
    unanswered: tuple[str, ...] = ("no answer",)
    """What it says, one of these, of a read that nothing answered."""
    silent_command: CommandStatus = CommandStatus.SENT_NOT_CONFIRMED
    """What becomes of a command to a silent device: a protocol that connects first knows that nothing was sent."""


def _modbus_rig(rig: ModbusRig | LineRig, wrong: Sequence[str]) -> DriverRig:
    def fault(kind: str, **more: float) -> Callable[[str], None]:
        return lambda device: rig.estate.fail(device, Fault(kind=kind, **more))

    return DriverRig(
        driver=rig.driver, counted=rig.driver, collected=rig.collected, a="door-1", b="door-2", point="contact",
        put=lambda device, word: rig.estate.set(device, "contact", word), low=("closed", 0), high=("open", 1),
        silence=lambda device, times: rig.estate.fail(device, Fault(kind="silent", times=times)),
        refuse=fault("exception", code=4), slow=fault("slow", delay_s=0.08),
        garbage=[fault(kind) for kind in wrong], mend=lambda device: rig.estate.fail(device, None),
        cut=lambda: rig.estate.cut("bus"), power=lambda on: rig.estate.power("bus", on),
        command=("unlock", {"seconds": 1}), written=lambda: sum(isinstance(entry, Write) for entry in rig.truth),
    )  # fmt: skip


@asynccontextmanager
async def _modbus_tcp() -> AsyncIterator[DriverRig]:
    async with modbus_rig([door(1), door(2)]) as rig:
        wrong = ("garbage", "transaction", "transaction_0", "unit", "function", "length", "late", "cut")
        yield _modbus_rig(rig, wrong)


def _modbus_line(protocol: str) -> Callable[[], AbstractAsyncContextManager[DriverRig]]:
    @asynccontextmanager
    async def made() -> AsyncIterator[DriverRig]:
        with TemporaryDirectory() as folder:
            async with line_rig(Path(folder), protocol, [door(1), door(2)], poll_s=0.05) as rig:
                found = _modbus_rig(rig, ("garbage", "crc", "truncated", "unit", "function", "length", "late", "cut"))
                if protocol == "modbus-rtu":
                    found.power = rig.bus.plug
                yield found

    return made


@asynccontextmanager
async def _ble() -> AsyncIterator[DriverRig]:
    async with ble_rig([sensor(1, LOCK), sensor(2, LOCK)]) as rig:

        def fault(kind: str, **more: float) -> Callable[[str], None]:
            return lambda device: rig.bus.fail(device, Fault(kind=kind, **more))

        yield DriverRig(
            driver=rig.driver, counted=rig.driver, collected=rig.collected, a="lock-1", b="lock-2", point="contact",
            put=lambda device, word: rig.bus.set(device, "contact", word), low=("closed", 0), high=("open", 1),
            silence=lambda device, times: rig.bus.fail(device, Fault(kind="silent", times=times)),
            refuse=fault("exception", code=4), slow=fault("slow", delay_s=0.08),
            garbage=[fault(kind) for kind in ("garbage", "truncated", "cut")],
            mend=lambda device: rig.bus.fail(device, None), cut=rig.pull_out_for_a_while, power=rig.bus.power,
            command=("unlock", {"seconds": 1}), written=lambda: sum(isinstance(entry, Write) for entry in rig.truth),
            refused="it refuses", unanswered=("not connected", "not heard", "connection broke"),
            silent_command=CommandStatus.FAILED,
        )  # fmt: skip


@asynccontextmanager
async def _mqtt() -> AsyncIterator[DriverRig]:
    async with mqtt_rig([mqtt_door(1), mqtt_door(2)]) as rig:

        def fault(kind: str, **more: float) -> Callable[[str], None]:
            return lambda device: rig.bus.fail(device, Fault(kind=kind, **more))

        yield DriverRig(
            driver=rig.driver, counted=rig.driver, collected=rig.collected, a="door-1", b="door-2", point="contact",
            put=lambda device, word: rig.bus.set(device, "contact", word), low=("closed", 0), high=("open", 1),
            silence=lambda device, times: rig.bus.fail(device, Fault(kind="silent", times=times)),
            refuse=fault("exception"), slow=fault("slow", delay_s=0.08),
            garbage=[fault(kind) for kind in ("garbage", "truncated")],
            mend=lambda device: rig.bus.fail(device, None), cut=rig.bus.cut, power=rig.bus.power,
            command=("unlock", {"seconds": 1}), written=lambda: sum(isinstance(entry, Write) for entry in rig.truth),
            refused="an object where a value is wanted", unanswered=("no message for",),
        )  # fmt: skip


RIGS: dict[str, Callable[[], AbstractAsyncContextManager[DriverRig]]] = {
    "modbus-tcp": _modbus_tcp,
    "modbus-rtu": _modbus_line("modbus-rtu"),
    "modbus-rtu-tcp": _modbus_line("modbus-rtu-tcp"),
    "ble": _ble,
    "mqtt": _mqtt,
}
"""By protocol, as DRIVERS."""
