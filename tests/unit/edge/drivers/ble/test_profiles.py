"""Every shipped BLE profile: what a sensor simulated from it sends is what the box reads by it."""

import random

import pytest

from contract.kinds import KINDS, PointType
from contract.profile import BleProfile, load_profiles, shipped_profiles
from contract.site import BleBus, BleDevice, Resolved, Secret
from edge.drivers.ble.config import DEFAULT_TIMING
from edge.drivers.ble.counters import Counters
from edge.drivers.ble.gatt import Gatt
from edge.drivers.ble.sensor import Heard, Sensor
from simulators.ble.encode import value_of
from simulators.ble.sensor import SimulatedSensor
from simulators.log import TruthLog

PROFILES = {name: p for name, p in load_profiles(shipped_profiles()).items() if isinstance(p, BleProfile)}
KEY = bytes(range(16))


def test_there_are_some() -> None:
    assert PROFILES


CASES = [(name, key) for name, p in sorted(PROFILES.items()) for key in ((None, KEY) if p.is_bthome else (None,))]


@pytest.mark.parametrize(("name", "key"), CASES)
async def test_what_it_sends_is_what_is_read(name: str, key: bytes | None) -> None:
    profile = PROFILES[name]
    device = BleDevice(
        id="it", name="它", profile=name, address="A4:C1:38:00:00:01", bindkey=Secret("k") if key else None
    )
    item = Resolved(device, BleBus(id="radio", protocol="ble", devices=[device]), profile)
    simulated = SimulatedSensor(item, TruthLog(), 1.0, key, random.Random(1), lambda _: None)
    sensor, gatt, now_ns = Sensor(item, key, Counters(None), DEFAULT_TIMING, 0), Gatt(item, DEFAULT_TIMING, 0), 0
    for point, mapped in profile.points.items():
        kind = KINDS[profile.kind].points[point].type
        if mapped.read is None or kind is PointType.COMMAND:
            continue
        low, high = mapped.minimum or 0.0, mapped.maximum or 1.0
        values = mapped.states.values() if mapped.states else (1,) if kind is PointType.EVENT else (low, high)
        for value in values:
            simulated.set(point, value)
            now_ns += 10_000_000_000
            if mapped.read.characteristic:
                for uuid in gatt.reads:
                    samples = gatt.samples(uuid, await simulated.read(uuid), now_ns)
            else:
                sent = simulated.advertisement()
                samples = list(sensor.hear(Heard(sent.service, sent.manufacturer, sent.rssi), now_ns))
            said = {sample.point: sample for sample in samples}[point]
            assert said.error == ""
            if said.fields is not None:
                assert not mapped.when or said.raw in mapped.when
            elif not mapped.read.rssi:
                assert (
                    value_of(mapped, said.raw) == pytest.approx(value, abs=abs(mapped.scale)) or said.raw in mapped.when
                )
