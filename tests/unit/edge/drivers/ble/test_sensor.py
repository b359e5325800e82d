"""One sensor's advertisements into samples: what is new, what repeats, what is refused, when it is silent."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from structlog.testing import capture_logs

from contract.messages import Sample
from contract.profile import BleProfile
from contract.site import BleBus, BleDevice, Resolved, Secret
from edge.drivers.ble.bthome import UUID
from edge.drivers.ble.config import DEFAULT_TIMING
from edge.drivers.ble.counters import Counters
from edge.drivers.ble.sensor import Heard, Sensor
from simulators.ble import bthome
from tests.support.drivers_ble import BUTTON, CLIMATE, LEAK

S = 1_000_000_000
KEY = bytes(range(16))
ADDRESS = "A4:C1:38:00:00:01"
AGAIN = round(LEAK.silent_after_s / 2 * S)


def made(model: BleProfile, *, key: bytes | None = None, resets: int = 0, counters: Counters | None = None) -> Sensor:
    device = BleDevice(
        id="it", name="它", profile=model.id, address=ADDRESS, bindkey=Secret("key") if key else None,
        counter_resets=resets,
    )  # fmt: skip
    bus = BleBus(id="radio", protocol="ble", devices=[device])
    return Sensor(Resolved(device, bus, model), key, counters or Counters(None), DEFAULT_TIMING, 0)


def leak(is_wet: bool, counter: int, key: bytes | None = KEY) -> bytes:
    body = bthome.payload([bthome.binary("moisture", is_wet)], packet_id=None if key else counter)
    return bthome.service_data(body, ADDRESS, key, counter)


def press(packet: int | None = None, event: int = 1) -> bytes:
    return bthome.service_data(bthome.payload([bytes((bthome.BUTTON, event))], packet_id=packet), ADDRESS)


def say(sensor: Sensor, data: bytes, now_ns: int, rssi: int | None = -60, about: tuple = (False,)) -> list[Sample]:
    return list(sensor.hear(Heard({UUID: data}, {}, rssi, about), now_ns))


def raws(samples: list[Sample], point: str = "leak") -> list:
    return [sample.raw for sample in samples if sample.point == point]


def test_what_is_new_is_handed_on_with_its_time_and_strength() -> None:
    sensor = made(LEAK, key=KEY)
    samples = say(sensor, leak(True, 1), 5)
    assert raws(samples) == [1]
    assert raws(samples, "rssi") == [-60]
    assert {sample.mono_ns for sample in samples} == {5}


def test_what_repeats_is_handed_on_now_and_then() -> None:
    sensor = made(LEAK, key=KEY)
    say(sensor, leak(True, 1), 0)
    assert say(sensor, leak(True, 1), AGAIN - 1) == []
    assert raws(say(sensor, leak(True, 1), AGAIN)) == [1]
    assert sensor.life_ns == AGAIN
    assert sensor.frames == 1


@given(st.lists(st.integers(0, 300), min_size=1, max_size=40))
def test_counters_only_ever_rise(counters: list[int]) -> None:
    """bthome-ble alone would take repeated counters, and any below 100."""
    sensor = made(LEAK, key=KEY)
    highest, refused = -1, 0
    for i, counter in enumerate(counters):
        samples = say(sensor, leak(bool(i % 2), counter), i + 1)
        if counter > highest:
            assert raws(samples) == [i % 2]
        else:
            assert samples == []
            refused += 1
        highest = max(highest, counter)
    # A frame sent anew that is the very last is no replay, only a repetition.
    assert sensor.refused["replayed"] <= refused


def test_replay_over_a_restart_and_the_way_back_after_a_new_battery(tmp_path: Path) -> None:
    path = tmp_path / "counters.json"
    counters = Counters(path)
    assert raws(say(made(LEAK, key=KEY, counters=counters), leak(True, 500), 1)) == [1]
    counters.save(counters.unsaved())
    assert say(made(LEAK, key=KEY, counters=Counters(path)), leak(False, 500), 1) == []
    assert say(made(LEAK, key=KEY, counters=Counters(path)), leak(False, 3), 1) == []
    assert raws(say(made(LEAK, key=KEY, counters=Counters(path)), leak(False, 501), 1)) == [0]
    assert raws(say(made(LEAK, key=KEY, counters=Counters(path), resets=1), leak(False, 3), 1)) == [0]


def test_an_impostor_changes_nothing_and_is_told_once_and_counted() -> None:
    sensor = made(LEAK, key=KEY)
    say(sensor, leak(False, 10), 1)
    before = (sensor.life_ns, dict(sensor.seen))
    tampered = bytearray(leak(True, 11))
    tampered[1] ^= 1
    with capture_logs() as logs:
        for i in range(50):
            assert say(sensor, leak(True, 11, key=None), 10 + i) == []
        for i in range(50):
            assert say(sensor, bytes(tampered), 100 + i) == []
    assert (sensor.life_ns, dict(sensor.seen)) == before
    assert sensor.refused == {"plain": 50, "bindkey": 50}
    assert [entry["reason"] for entry in logs] == ["plain", "bindkey"]
    assert not [entry for entry in logs if KEY.hex() in str(entry) or tampered.hex() in str(entry)]
    assert raws(say(sensor, leak(True, 11), 200)) == [1], "what was forged took no counter"


def test_an_impostor_between_honest_frames_does_not_fill_the_log() -> None:
    sensor = made(LEAK, key=KEY)
    with capture_logs() as logs:
        for i in range(100):
            assert raws(say(sensor, leak(bool(i % 2), i), i * S)) == [i % 2]
            assert say(sensor, leak(True, i, key=None), i * S) == []
    assert sensor.refused == {"plain": 100}
    assert len(logs) == 1


def test_the_last_frame_repeated_for_ever_is_no_life() -> None:
    """A recorder left beside a stolen sensor must not keep it on line."""
    sensor = made(LEAK, key=KEY)
    limit_ns = round(LEAK.silent_after_s * S)
    say(sensor, leak(False, 1), 1)
    for now_ns in range(1, 5 * limit_ns, limit_ns // 10):
        say(sensor, leak(False, 1), now_ns)
    assert sensor.life_ns <= limit_ns + 1
    assert sensor.refused["replayed"] > 10
    assert raws(sensor.watch(5 * limit_ns)) == [None]


def test_no_key_no_frame() -> None:
    sensor = made(LEAK)
    assert say(sensor, leak(True, 1), 1) == []
    assert sensor.refused == {"no key": 1}


def test_a_press_happens_once_by_its_number() -> None:
    sensor = made(BUTTON)
    assert [s.fields for s in say(sensor, press(7), 1 * S)] == [{}]
    assert say(sensor, press(7), 2 * S) == []
    assert [s.raw for s in say(sensor, press(8, event=4), 3 * S)] == ["long_press"]
    assert say(sensor, press(7), 4 * S) == [], "an older packet, late"
    assert [s.raw for s in say(sensor, press(7), 9 * S)] == ["press"], "after so long it is a new one"


def test_a_press_without_a_number_is_new_after_a_pause() -> None:
    sensor = made(BUTTON)
    assert len(say(sensor, press(), 1 * S)) == 1
    assert say(sensor, press(), 2 * S) == []
    assert say(sensor, press(), 5 * S) == [], "still the same burst"
    assert len(say(sensor, press(), 10 * S)) == 1


def test_data_of_before_is_no_sign_of_life() -> None:
    sensor = made(LEAK, key=KEY)
    assert say(sensor, leak(True, 1), 1, rssi=None) == [], "BlueZ kept it; nobody heard it"
    say(sensor, leak(True, 1), 2)
    say(sensor, leak(True, 1), 3, about=(True,))
    assert sensor.life_ns == 2, "its link changed; it said nothing"
    say(sensor, leak(True, 1), 4, about=(True,))
    assert sensor.life_ns == 4


def test_silence_is_told_once_each_time_its_limit_passes() -> None:
    sensor = made(CLIMATE)
    limit_ns = round(CLIMATE.silent_after_s * S)
    assert sensor.watch(limit_ns) == []
    told = sensor.watch(limit_ns + 1)
    assert {s.point for s in told} == {"temperature", "humidity", "battery"}
    assert {s.raw for s in told} == {None}
    assert {s.mono_ns for s in told} == {limit_ns + 1}
    assert sensor.watch(2 * limit_ns) == []
    assert "hci0" in sensor.watch(2 * limit_ns + 2, "no hci0")[0].error
    assert sensor.is_silent


def test_passive_listening_has_its_own_patience() -> None:
    patient = LEAK.__class__(**{f: getattr(LEAK, f) for f in LEAK.__struct_fields__} | {"silent_after_passive_s": 9.0})
    device = BleDevice(id="it", name="它", profile="leak", address=ADDRESS)
    for scan, expected in (("active", LEAK.silent_after_s), ("passive", 9.0)):
        bus = BleBus(id="radio", protocol="ble", scan=scan, devices=[device])
        assert Resolved(device, bus, patient).silent_after_s == expected


def test_a_value_the_sensor_does_not_know_fails_its_point_alone() -> None:
    sensor = made(CLIMATE)
    data = bytes.fromhex("058000138800")
    samples = list(sensor.hear(Heard({}, {0x0499: data}, -50), 1))
    assert [(s.point, s.raw, s.error) for s in samples] == [
        ("humidity", 5000, ""), ("battery", 0, ""), ("temperature", None, "it does not know"),
    ]  # fmt: skip


@given(st.lists(st.tuples(st.binary(max_size=40), st.booleans(), st.integers(-128, 20))), st.sampled_from([None, KEY]))
def test_whatever_is_on_the_air(frames: list[tuple[bytes, bool, int]], key: bytes | None) -> None:
    sensor = made(LEAK, key=key)
    for i, (data, is_service, rssi) in enumerate(frames):
        heard = Heard({UUID: data} if is_service else {}, {} if is_service else {0x0499: data}, rssi)
        for sample in sensor.hear(heard, i + 1):
            assert sample.device == "it"
            assert key is None, "nobody without the key is heard"
    assert len(sensor._sources) <= 2


@pytest.mark.parametrize("data", [b"", b"\x05", bytes(24), b"\x06" + bytes(5)])
def test_a_foreign_format_is_not_looked_at(data: bytes) -> None:
    sensor = made(CLIMATE)
    assert list(sensor.hear(Heard({}, {0x0499: data}, -50), 1)) == []
    assert sensor.life_ns == 0
