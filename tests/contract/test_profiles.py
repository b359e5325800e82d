"""Every shipped profile: what it says of itself, and that box and simulator agree on it."""

from collections.abc import Iterator
from itertools import pairwise
from random import Random

import pytest

from contract.kinds import KINDS, PointType
from contract.messages import Reading
from contract.modbus_plan import plan_unit
from contract.profile import (
    AnyProfile,
    BleProfile,
    ModbusProfile,
    PointMap,
    Profile,
    Table,
    load_profiles,
    shipped_profiles,
)
from contract.site import BleBus, BleDevice, ModbusDevice, ModbusTcpBus, Resolved, ResolvedModbus
from edge.drivers.ble.config import Timing
from edge.drivers.ble.counters import Counters
from edge.drivers.ble.sensor import Heard, Sensor
from edge.drivers.modbus.decode import decoder_of
from edge.drivers.modbus.frame import pack_bits
from edge.normalise import Normaliser, tokeniser
from simulators.ble.sensor import SimulatedSensor
from simulators.log import TruthLog
from simulators.modbus.device import SimulatedUnit

PROFILES = load_profiles(shipped_profiles())
REAL = [profile for profile in PROFILES.values() if profile.vendor != "Anju"]
BLE = [profile for profile in PROFILES.values() if isinstance(profile, BleProfile)]
MODBUS = [profile for profile in PROFILES.values() if isinstance(profile, ModbusProfile)]
S = 1_000_000_000
_UNIT = 9


def ids(profile: AnyProfile) -> str:
    """How a test of a profile is called."""
    return profile.id


@pytest.mark.parametrize("profile", REAL, ids=ids)
def test_a_real_model_says_where_its_facts_come_from_and_how_it_is_wired(profile: AnyProfile) -> None:
    assert "http" in profile.source
    assert profile.notes
    assert any("一" <= letter <= "鿿" for letter in profile.notes_zh)
    assert profile.points


def devices_of(profile: ModbusProfile) -> list[ResolvedModbus]:
    """The first and the last channel of a unit of the model."""
    channels = sorted({0, profile.modbus.channels - 1})
    devices = [ModbusDevice(id=f"d{n}", name=f"设备{n}", profile=profile.id, unit=_UNIT, channel=n) for n in channels]
    bus = ModbusTcpBus(id="b", protocol="modbus-tcp", host="127.0.0.1", devices=devices)
    return [Resolved(device, bus, profile) for device in devices]


def values_of(profile: Profile, name: str, point: PointMap) -> list[str | float]:
    """What a point can be: its words, or some plausible numbers."""
    standard = KINDS[profile.kind].points[name]
    if standard.type is PointType.STATE:
        return list(dict.fromkeys(point.states.values()))
    low = max(0.0, point.minimum or 0.0)
    high = 2.0 if point.maximum is None else point.maximum
    return [low, round((low + high) / 2, 1), high]


def readings(profile: ModbusProfile, unit: SimulatedUnit, normaliser: Normaliser, at_ns: int) -> Iterator[Reading]:
    """What the box makes of one round of questions to a simulated unit."""
    channels = [(device.device.id, device.device.channel) for device in devices_of(profile)]
    for read in plan_unit(_UNIT, profile, channels, profile.modbus):
        values = unit.read(read.table, read.address, read.count)
        data = pack_bits(values) if Table(read.table).is_bits else b"".join(value.to_bytes(2) for value in values)
        yield from (r for r in normaliser.take(decoder_of(read)(data, at_ns)) if isinstance(r, Reading))


@pytest.mark.parametrize("profile", MODBUS, ids=ids)
def test_what_the_simulator_is_set_to_is_what_the_box_reads(profile: ModbusProfile) -> None:
    devices = devices_of(profile)
    unit = SimulatedUnit(devices, TruthLog())
    for name, point in profile.points.items():
        if point.read is None or KINDS[profile.kind].points[name].type is PointType.EVENT:
            continue
        for device in devices:
            for value in values_of(profile, name, point):
                # A box that knows nothing yet reports whatever it reads first, without deadband or debounce.
                normaliser = Normaliser(devices, tokenise=tokeniser(b"a key"))
                unit.set(device.device.id, name, value)
                found = {(r.device, r.point): r.value for r in readings(profile, unit, normaliser, S)}
                wanted = value if isinstance(value, str) else pytest.approx(value, abs=abs(point.scale), rel=1e-6)
                assert found[device.device.id, name] == wanted


@pytest.mark.parametrize("profile", MODBUS, ids=ids)
def test_a_model_is_read_in_few_questions_that_do_not_overlap(profile: ModbusProfile) -> None:
    reads = plan_unit(_UNIT, profile, [("d", 0)], profile.modbus)
    for before, after in pairwise(sorted(reads, key=lambda read: (read.table, read.address))):
        assert (before.table, before.address + before.count) <= (after.table, after.address)


@pytest.mark.parametrize("profile", BLE, ids=ids)
def test_what_a_simulated_sensor_is_set_to_is_what_the_box_hears(profile: BleProfile) -> None:
    device = BleDevice(id="d", name="设备", profile=profile.id, address="A4:C1:38:01:02:03")
    item = Resolved(device, BleBus(id="b", protocol="ble", devices=[device]), profile)
    simulated = SimulatedSensor(item, TruthLog(), 1.0, None, Random(1), lambda _: None)
    for name, point in profile.points.items():
        if point.read is None or name == "rssi" or KINDS[profile.kind].points[name].type is PointType.EVENT:
            continue
        for value in values_of(profile, name, point):
            simulated.set(name, value)
            sent = simulated.advertisement()
            assert sent is not None
            sensor = Sensor(item, None, Counters(None), Timing(), S)
            heard = sensor.hear(Heard(sent.service, sent.manufacturer, sent.rssi), S)
            taken = Normaliser([item], tokenise=tokeniser(b"a key")).take(heard)
            found = {r.point: r.value for r in taken if isinstance(r, Reading)}
            # BTHome says humidity in whole percents or hundredths as it likes.
            wanted = value if isinstance(value, str) else pytest.approx(value, abs=max(abs(point.scale), 0.5))
            assert found[name] == wanted
