"""A simulated BlueZ with sensors, and our driver with an unmodified bleak on it, for the driver's tests."""

import asyncio
import os
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import msgspec

from contract.profile import BleProfile
from contract.profile.load import check_profile
from contract.site import BleBus, BleDevice, Resolved, Secret
from edge.drivers.ble import BleDriver
from edge.drivers.ble.config import Timing
from simulators.ble.adapter import Adapter
from simulators.ble.buses import SimulatedBle, bindkey_of
from simulators.ble.links import RadioTimes
from simulators.log import Entry, TruthLog
from tests.support.modbus import Collected
from tests.support.waiting import eventually

QUICK = Timing(
    again_s=0.2, event_gap_s=4.0, connect_s=1.0, attempts=2, answer_s=0.3, fresh_s=2.0, backoff_s=0.05,
    backoff_max_s=0.2, connect_share=0.9, reconnect_s=0.05, reconnect_max_s=0.2, confirm_every_s=0.02, save_s=0.2,
)  # fmt: skip
"""As in production, in tenths of seconds."""
INTERVAL_S = 0.05
SILENT_S = 0.6


def profile(text: dict) -> BleProfile:
    """A profile that its checks have nothing against."""
    common = {"vendor": "Anju", "model": "Test", "source": "made for tests", "protocol": "ble"}
    made = msgspec.convert(common | text, BleProfile)
    problems = check_profile(made)
    assert not problems, problems
    return made


LEAK = profile({
    "id": "leak", "kind": "water_leak", "silent_after_s": SILENT_S,
    "points": {
        "leak": {"read": {"bthome": "moisture"}, "states": {0: "dry", 1: "leak"}},
        "battery": {"read": {"bthome": "battery"}},
        "rssi": {"read": {"rssi": True}},
    },
})  # fmt: skip
BUTTON = profile({
    "id": "button", "kind": "panic_button", "silent_after_s": 5,
    "points": {"pressed": {"read": {"bthome": "button"}, "when": ["press", "long_press"]},
               "battery": {"read": {"bthome": "battery"}}},
})  # fmt: skip
CLIMATE = profile({
    "id": "climate", "kind": "environment", "silent_after_s": SILENT_S,
    "formats": {"v5": {"company": 0x0499, "length": 6, "match": [{"at": 0, "bytes": "05"}]}},
    "points": {
        "temperature": {"read": {"format": "v5", "at": 1, "type": "int16", "order": "big", "missing": [-32768]},
                        "scale": 0.005, "minimum": -40, "maximum": 85},
        "humidity": {"read": {"format": "v5", "at": 3, "type": "uint16", "order": "big"}, "scale": 0.0025},
        "battery": {"read": {"format": "v5", "at": 5, "type": "uint8", "shift": 1, "mask": 0x7F}},
    },
})  # fmt: skip
LOCK = profile({
    "id": "lock", "kind": "door", "silent_after_s": 2, "gatt": {"every_s": 0.1},
    "points": {
        "contact": {"read": {"characteristic": "ff01", "at": 0}, "states": {0: "closed", 1: "open"}},
        "lock": {"read": {"characteristic": "ff02", "at": 0}, "states": {0: "locked", 1: "unlocked"}},
        "unlock": {"write": {"characteristic": "ff03", "type": "uint16", "argument": "seconds", "maximum": 600,
                             "prefix": "a5"},
                   "confirm": {"point": "lock", "state": "unlocked", "within_s": 0.5}},
    },
})  # fmt: skip
HYBRID = profile({
    "id": "hybrid", "kind": "door", "silent_after_s": SILENT_S,
    "points": {
        "lock": {"read": {"bthome": "lock"}, "states": {0: "locked", 1: "unlocked"}},
        "unlock": {"write": {"characteristic": "ff03", "type": "uint8", "argument": "seconds", "maximum": 255},
                   "confirm": {"point": "lock", "state": "unlocked", "within_s": 1}},
    },
})  # fmt: skip
STAYING = profile({
    "id": "staying", "kind": "door", "silent_after_s": 2, "gatt": {"every_s": 0.5, "stay": True},
    "points": {
        "contact": {"read": {"characteristic": "ff01", "notify": True}, "states": {0: "closed", 1: "open"}},
        "lock": {"read": {"characteristic": "ff02"}, "states": {0: "locked", 1: "unlocked"}},
    },
})  # fmt: skip


def sensor(n: int, model: BleProfile, *, encrypted: bool = False, resets: int = 0) -> tuple[BleDevice, BleProfile]:
    """A device called MODEL-N of a model."""
    device = BleDevice(
        id=f"{model.id}-{n}", name=f"{model.id} {n}", profile=model.id, address=f"A4:C1:38:00:00:{n:02X}",
        bindkey=Secret(f"key-{n}") if encrypted else None, counter_resets=resets,
    )  # fmt: skip
    return device, model


@dataclass
class BleRig:
    """The simulated radio and sensors, the driver, and what it handed on."""

    bus: SimulatedBle
    driver: BleDriver
    collected: Collected
    truth: list[Entry]
    resolved: list
    state: Path | None
    timing: Timing
    running: asyncio.Task | None = None

    @property
    def adapter(self) -> Adapter:
        """The radio, which is there."""
        assert self.bus.adapter is not None
        return self.bus.adapter

    async def hears(self) -> None:
        """Returns once the radio listens."""
        await eventually(lambda: self.driver.counts().connected)

    def pull_out_for_a_while(self) -> None:
        """The radio goes, and is back before anyone has given up."""
        self.bus.bluez.remove_adapter("hci0")
        asyncio.get_running_loop().call_later(0.4, lambda: asyncio.ensure_future(self.bus.power(True)))

    async def stop(self) -> None:
        """Ends the driver as a clean stop does."""
        if self.running is not None:
            self.running.cancel()
            with suppress(asyncio.CancelledError):
                await self.running
            self.running = None

    def start(self) -> None:
        """Runs a new driver on the same site."""
        self.driver = BleDriver(
            self.resolved[0].bus, self.resolved, self.collected.consume, self.timing, self.state,
            lambda secret: bindkey_of(secret.secret),
        )  # fmt: skip
        self.running = asyncio.create_task(self.driver.run(), name="driver")


@asynccontextmanager
async def ble_rig(
    devices: Sequence[tuple[BleDevice, BleProfile]], *, scan: str = "active", state: Path | None = None,
    is_experimental: bool = True, times: RadioTimes | None = None, interval_s: float = INTERVAL_S, runs: bool = True,
    timing: Timing = QUICK,
) -> AsyncIterator[BleRig]:  # fmt: skip
    """The sensors on a simulated radio, with the driver running on it while open."""
    bus = BleBus(id="radio", protocol="ble", scan=scan, devices=[device for device, _ in devices])
    resolved = [Resolved(device, bus, model) for device, model in devices]
    truth: list[Entry] = []
    simulated = SimulatedBle(bus, resolved, TruthLog(also=truth.append))
    simulated.interval_s, simulated.is_experimental = interval_s, is_experimental
    before = os.environ.get("DBUS_SYSTEM_BUS_ADDRESS")
    async with simulated:
        os.environ["DBUS_SYSTEM_BUS_ADDRESS"] = simulated.bluez.address
        if times is not None:
            simulated.adapter.times = times
        rig = BleRig(simulated, None, Collected(), truth, resolved, state, timing)
        try:
            if runs:
                rig.start()
            yield rig
        finally:
            await rig.stop()
            os.environ.pop("DBUS_SYSTEM_BUS_ADDRESS")
            if before is not None:
                os.environ["DBUS_SYSTEM_BUS_ADDRESS"] = before
