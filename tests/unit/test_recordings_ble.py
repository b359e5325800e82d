"""Real advertisements, from their bytes to readings: what the source says of them is what the box says."""

import pytest

from contract.messages import Event, Quality, Reading
from contract.profile import BleProfile, load_profiles, shipped_profiles
from contract.site import BleBus, BleDevice, Resolved, ResolvedBle
from edge.drivers.ble.config import Timing
from edge.drivers.ble.counters import Counters
from edge.drivers.ble.decode import full_uuid
from edge.drivers.ble.sensor import Heard, Sensor
from edge.normalise import Normaliser, tokeniser
from tests.support.recordings import Advertisement, Recording, recordings

PROFILES = load_profiles(shipped_profiles())
RECORDINGS = recordings("ble")
ADVERTISEMENTS = [
    pytest.param(heard, key, id=f"{name}-{n}")
    for name, recording in RECORDINGS.items()
    for n, heard in enumerate(recording.advertisements)
    for key in heard.says
]
RSSI = -61
NOW_NS = 10**12


def resolved(profile_id: str, address: str) -> ResolvedBle:
    """A sensor of a profile."""
    profile = PROFILES[profile_id]
    assert isinstance(profile, BleProfile)
    device = BleDevice(id="d", name="设备", profile=profile_id, address=address)
    return Resolved(device, BleBus(id="b", protocol="ble", devices=[device]), profile)


def heard_of(said: Advertisement) -> Heard:
    """The advertisement as BlueZ tells of it."""
    service = {full_uuid(uuid): bytes.fromhex(data) for uuid, data in said.service.items()}
    manufacturer = {int(company, 16): bytes.fromhex(data) for company, data in said.manufacturer.items()}
    return Heard(service=service, manufacturer=manufacturer, rssi=RSSI)


@pytest.mark.parametrize(("said", "profile_id"), ADVERTISEMENTS)
def test_a_recorded_advertisement_becomes_what_its_source_states(said: Advertisement, profile_id: str) -> None:
    item = resolved(profile_id, said.address)
    key = bytes.fromhex(said.bindkey) if said.bindkey else None
    sensor = Sensor(item, key, Counters(None), Timing(), NOW_NS)
    samples = list(sensor.hear(heard_of(said), NOW_NS))
    taken = Normaliser([item], tokenise=tokeniser(b"a key")).take(samples)
    readings = {r.point: r for r in taken if isinstance(r, Reading) and r.point != "link"}
    assert {r.quality for r in readings.values()} <= {Quality.GOOD}
    stated = dict(said.says[profile_id])
    events = {point for point in stated if stated[point] is True}
    unknown = {point for point in stated if stated[point] is None}
    assert {r.point for r in taken if isinstance(r, Event)} == events
    assert {sample.point for sample in samples if sample.raw is None} == unknown
    wanted = {p: v if isinstance(v, str) else pytest.approx(v) for p, v in stated.items() if p not in events | unknown}
    if "rssi" in item.profile.points:
        wanted["rssi"] = RSSI
    assert {p: r.value for p, r in readings.items()} == wanted


@pytest.mark.parametrize("recording", RECORDINGS.values(), ids=RECORDINGS)
def test_a_recording_says_where_it_comes_from(recording: Recording) -> None:
    source = recording.source
    assert source.url.startswith("https://")
    assert source.place
    assert source.quote


@pytest.mark.parametrize("profile_id", sorted(p.id for p in PROFILES.values() if isinstance(p, BleProfile)))
def test_every_real_model_has_a_recording(profile_id: str) -> None:
    if PROFILES[profile_id].vendor != "Anju":
        assert any(profile_id in said.says for r in RECORDINGS.values() for said in r.advertisements)


def test_a_recorded_frame_with_one_bit_changed_is_refused_where_it_is_encrypted() -> None:
    said = RECORDINGS["SBHT-003C_x_x"].advertisements[0]
    data = bytearray.fromhex(said.service["fcd2"])
    data[3] ^= 1
    sensor = Sensor(
        resolved("shelly-blu-ht", said.address), bytes.fromhex(said.bindkey), Counters(None), Timing(), NOW_NS
    )
    assert not sensor.hear(Heard({full_uuid("fcd2"): bytes(data)}, {}, RSSI), NOW_NS)
    assert sensor.refused["bindkey"] == 1
