"""Simulated MQTT buses with our driver on them, through a real Mosquitto, for the driver's tests."""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass

import msgspec

from contract.profile import (
    MqttAnswer,
    MqttConfirm,
    MqttPoint,
    MqttProfile,
    MqttRead,
    MqttWrite,
    load_profiles,
    shipped_profiles,
)
from contract.site import Cloud, Estate, MqttBus, MqttDevice, ResolvedMqtt, Site, resolve
from edge.drivers.mqtt import MqttDriver
from edge.drivers.mqtt.config import DEFAULT_LIMITS, Limits, Timing
from simulators.log import Entry, TruthLog
from simulators.mqtt.buses import SimulatedMqtt
from tests.support.modbus import Collected

PROFILES = load_profiles(shipped_profiles() / "mqtt")
QUICK = Timing(
    timeout_s=5.0, reconnect_s=0.05, reconnect_max_s=0.2, settle_s=0.1, ask_after_s=0.1, watch_s=0.05,
)  # fmt: skip
"""As in production, but backing off for tenths of seconds."""


def _flag(path: str, low: str, high: str) -> MqttPoint:
    return MqttPoint(read=MqttRead(topic="{address}/state", path=path), states={0: low, 1: high})


DOOR = MqttProfile(
    id="test-mqtt-door", protocol="mqtt", vendor="Anju", model="Door of the tests", kind="door", source="these tests",
    silent_after_s=0.7,
    points={
        "contact": _flag("contact", "closed", "open"),
        "lock": _flag("lock", "locked", "unlocked"),
        "unlock": MqttPoint(
            write=MqttWrite(
                topic="{address}/set", path="seconds", argument="seconds", minimum=1, maximum=60,
                payload={"src": "{client}"}, answer=MqttAnswer(topic="{client}/answers", id="id", error="error"),
            ),
            confirm=MqttConfirm(point="lock", state="unlocked", within_s=1.5),
        ),
    },
)  # fmt: skip
"""A door unit that answers commands by number. It says all it knows each 0.42 s."""


def door(number: int) -> MqttDevice:
    """A door called door-N."""
    return MqttDevice(id=f"door-{number}", name=f"门{number}", profile=DOOR.id, address=f"doors/{number}")


@dataclass
class MqttRig:
    """A simulated bus, the driver that owns it and what it handed on."""

    bus: SimulatedMqtt
    driver: MqttDriver
    collected: Collected
    devices: list[ResolvedMqtt]
    truth: list[Entry]


@asynccontextmanager
async def mqtt_rig(
    devices: Sequence[MqttDevice],
    profiles: Mapping[str, MqttProfile] | None = None,
    timing: Timing = QUICK,
    limits: Limits = DEFAULT_LIMITS,
    **settings: object,
) -> AsyncIterator[MqttRig]:
    """Serves the devices on a free port and runs the driver on them while open; `settings` are of the bus."""
    known = profiles or {DOOR.id: DOOR, **PROFILES}
    bus = MqttBus(id="bus", protocol="mqtt", port=1, devices=list(devices), **settings)
    truth: list[Entry] = []
    simulated = SimulatedMqtt(bus, _resolved(bus, known), TruthLog(also=truth.append))
    simulated.gate.port = 0
    async with simulated:
        bus = msgspec.structs.replace(bus, port=simulated.gate.port)
        resolved = _resolved(bus, known)
        collected = Collected()
        driver = MqttDriver(bus, resolved, collected.consume, timing, limits)
        running = asyncio.create_task(driver.run(), name="driver")
        try:
            yield MqttRig(simulated, driver, collected, resolved, truth)
        finally:
            running.cancel()
            with suppress(asyncio.CancelledError):
                await running


def _resolved(bus: MqttBus, profiles: Mapping[str, MqttProfile]) -> list[ResolvedMqtt]:
    site = Site(estate=Estate(name="西苑小区"), cloud=Cloud(url="http://127.0.0.1:8080"), buses=[bus])
    return resolve(site, profiles)
