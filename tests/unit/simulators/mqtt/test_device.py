"""A simulated device says what its profile says it does, and meets its faults."""

import random

import msgspec
import pytest

from contract.errors import Permanent
from contract.profile import load_profiles, shipped_profiles
from simulators.bus import Fault
from simulators.log import Change, Entry, TruthLog
from simulators.mqtt.device import SimulatedDevice
from tests.support.mqtt import resolved

PROFILES = load_profiles(shipped_profiles() / "mqtt")


class Bench:
    def __init__(self, profile: str, address: str = "flur", channel: int = 0) -> None:
        self.sent: list[tuple[str, bytes, bool, float]] = []
        self.truth: list[Entry] = []
        self.device = SimulatedDevice(
            resolved(PROFILES[profile], address, channel=channel), TruthLog(also=self.truth.append), 1.0,
            random.Random(1), lambda *what: self.sent.append(what),
        )  # fmt: skip
        self.device.is_live = True

    def last(self) -> dict:
        return msgspec.json.decode(self.sent[-1][1])


def test_a_change_is_said_at_once_and_noted() -> None:
    bench = Bench("zigbee2mqtt-smoke")
    bench.device.set("smoke", "smoke")
    bench.device.set("smoke", "smoke")
    assert [(topic, is_kept) for topic, _, is_kept, _ in bench.sent] == [("zigbee2mqtt/flur", False)] * 2
    assert bench.last()["smoke"] is True
    assert [(e.point, e.value) for e in bench.truth if isinstance(e, Change)] == [("smoke", "smoke")]


def test_it_can_be_set_before_it_is_there() -> None:
    bench = Bench("zigbee2mqtt-smoke")
    bench.device.is_live = False
    bench.device.set("battery", 55)
    assert (bench.sent, bench.device.get("battery")) == ([], 55)
    with pytest.raises(Permanent, match="is none of: clear, smoke"):
        bench.device.set("smoke", "fire")
    with pytest.raises(Permanent, match="no point 'volume'"):
        bench.device.get("volume")
    with pytest.raises(Permanent, match="a number is wanted"):
        bench.device.set("battery", "full")


def test_faults() -> None:
    bench = Bench("tasmota-meter")
    for kind in ("silent", "cut"):
        bench.device.fail(Fault(kind=kind))
        bench.sent.clear()
        bench.device.say_all()
        bench.device.take("cmnd/flur/POWER", b"OFF")
        assert bench.sent == []
    bench.device.fail(None)
    assert bench.sent[-1] == ("tele/flur/LWT", b"Online", True, 0.0)
    bench.device.fail(Fault(kind="garbage", times=1))
    bench.device.set("power", 1)
    with pytest.raises(msgspec.DecodeError):
        msgspec.json.decode(bench.sent[-1][1])
    bench.device.set("power", 2)
    assert bench.last()["ENERGY"]["Power"] == 2000
    bench.device.fail(Fault(kind="jump"))
    bench.device.set("power", 2)
    assert bench.last()["ENERGY"]["Power"] == 2_000_000
    bench.device.fail(Fault(kind="slow", delay_s=3))
    bench.device.say_all()
    assert {delay for *_, delay in bench.sent[-2:]} == {3.0}
    bench.device.fail(Fault(kind="flood", rate=200))
    assert bench.device.period_s == 0.005


def test_a_command_is_obeyed_refused_or_a_question() -> None:
    bench = Bench("tasmota-switch")
    bench.device.take("cmnd/flur/POWER", b"ON")
    assert (bench.sent[-1][0], bench.last()) == ("stat/flur/RESULT", {"POWER": "ON"})
    bench.device.fail(Fault(kind="exception"))
    bench.device.take("cmnd/flur/POWER", b"OFF")
    assert bench.last() == {"src": "flur", "dst": "", "Command": "Unknown"}
    assert bench.device.get("running") == "running"
    bench.device.fail(None)
    bench.device.take("cmnd/flur/POWER", b"")
    assert bench.last() == {"POWER": "ON"}
    bench.device.take("cmnd/flur/TelePeriod", b"")
    assert bench.last()["POWER"] == "ON"


def test_an_event_has_an_id_of_its_own_each_time() -> None:
    bench = Bench("frigate-camera", "gate")
    ids = set()
    for _ in range(3):
        bench.device.set("intrusion", 1)
        bench.device.set("intrusion", 0)
        said = bench.last()
        assert (said["after"]["camera"], said["after"]["entered_zones"]) == ("gate", ["restricted"])
        ids.add(said["after"]["id"])
    assert (len(ids), len(bench.sent)) == (3, 3)


def test_a_device_that_is_called_by_a_number_says_it_as_one() -> None:
    bench = Bench("uhppoted-door", "405419896", channel=4)
    request = {
        "client-id": "anju", "reply-to": "uhppoted/gateway/replies/405419896", "device-id": 405419896, "door": 4,
    }  # fmt: skip
    for told in (request | {"device-id": "405419896"}, request | {"door": 3}, request):
        assert bench.device.get("lock") == "locked"
        message = {"message": {"request": told | {"control": "normally open"}}}
        bench.device.take("uhppoted/gateway/requests/device/door/control:set", msgspec.json.encode(message))
    assert bench.device.get("lock") == "unlocked"
    assert bench.last()["message"]["reply"]["response"] == {
        "device-id": 405419896, "door": 4, "control": "normally open", "status": {"door-states": {"4": 0}},
    }  # fmt: skip
    bench.device.set("access", 1)
    event = bench.last()["message"]["event"]["event"]
    assert (event["device-id"], event["door-id"], event["event-type"]) == (405419896, 4, 1)


def test_commands_of_one_topic_are_told_apart_by_what_they_say() -> None:
    bench = Bench("ratgdo-gate")
    for word, state in (("open", "up"), ("close", "down"), ("open", "up"), ("stop", "up")):
        bench.device.take("flur/command/door", word.encode())
        assert bench.device.get("barrier") == state
