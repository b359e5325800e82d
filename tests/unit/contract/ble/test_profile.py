"""Every mistake in a BLE profile or bus is told, with what to do."""

import msgspec
import pytest

from contract.profile import BleProfile
from contract.profile.load import check_profile
from contract.site import BleBus, BleDevice, Secret
from contract.site.ble import check_ble_bus

GOOD = {
    "id": "x", "protocol": "ble", "vendor": "v", "model": "m", "kind": "environment", "source": "s",
    "silent_after_s": 60,
}  # fmt: skip


def problems(points: dict, **more: object) -> list[str]:
    made = msgspec.convert(GOOD | {"points": points} | more, BleProfile)
    return [problem.problem for problem in check_profile(made)]


def read(**fields: object) -> dict:
    return {"temperature": {"read": fields}}


FORMATS = {"f": {"company": 1, "length": 4}}
UNLOCK = {"lock": {"read": {"characteristic": "ff01"}, "states": {0: "locked", 1: "unlocked"}}}


def test_sound_ones() -> None:
    assert problems(read(bthome="temperature")) == []
    assert problems(read(bthome="temperature_2")) == []
    assert problems(read(format="f", at=2, type="int16"), formats=FORMATS) == []
    assert problems(read(characteristic="2a6e", type="int16")) == []
    assert problems({"rssi": {"read": {"rssi": True}}}) == []


@pytest.mark.parametrize(
    ("points", "more", "said"),
    [
        (read(), {}, "is read in one way; here: none"),
        (read(bthome="temperature", rssi=True), {}, "here: bthome and rssi"),
        (read(bthome="warmth"), {}, "BTHome has no 'warmth'"),
        (read(bthome="button"), {}, "is an event, and 'temperature' is none"),
        (read(format="g"), {"formats": FORMATS}, "format 'g' is not described"),
        (read(format="f", at=3, type="int16"), {"formats": FORMATS}, "ends beyond the 4 bytes"),
        (read(format="f", type="none"), {"formats": FORMATS}, "type: none has no value"),
        (read(format="f", type="float32", mask=1), {"formats": FORMATS}, "has no bits to pick"),
        (read(bthome="temperature", notify=True), {}, "only a characteristic notifies"),
        (read(characteristic="2a6e", notify=True), {}, "needs a connection that stays"),
        ({}, {"formats": {"f": {}}}, "told by company: or by service:"),
        ({}, {"formats": {"f": {"company": 1, "service": "fcd2"}}}, "told by company: or by service:"),
        ({}, {"formats": {"f": {"company": 1, "length": 1, "min_length": 1}}}, "both given"),
        ({}, {"formats": {"f": {"company": 1, "match": [{"bytes": "05"}]}}}, "beyond the 0 bytes"),
        ({}, {"formats": {"f": {"company": 1, "length": 2, "match": [{"bytes": "05", "mask": "ffff"}]}}}, "mask:"),
        (
            {"pressed": {"read": {"bthome": "button"}, "when": ["push"]}},
            {"kind": "panic_button"},
            "a button never says 'push'",
        ),
        (
            UNLOCK | {"unlock": {"write": {"characteristic": "ff01", "type": "none"}}},
            {"kind": "door"},
            "writes the bytes of prefix: alone",
        ),
        (UNLOCK | {"unlock": {"write": {"characteristic": "ff01"}}}, {"kind": "door"}, "either value: or argument:"),
        (
            UNLOCK | {"unlock": {"write": {"characteristic": "ff01", "value": "on"}}},
            {"kind": "door"},
            "'on' is no uint8",
        ),
    ],
)
def test_mistakes(points: dict, more: dict, said: str) -> None:
    found = problems(points, **more)
    assert any(said in problem for problem in found), found


def bus(scan: str, **device: object) -> list[str]:
    profiles = {
        "heard": msgspec.convert(GOOD | {"points": read(bthome="temperature")}, BleProfile),
        "asked": msgspec.convert(GOOD | {"points": read(characteristic="2a6e")}, BleProfile),
    }
    common = {"name": "n", "profile": "heard", "address": "A4:C1:38:00:00:01"}
    devices = [BleDevice(id="a", **common), BleDevice(id="b", **(common | device))]
    made = BleBus(id="radio", protocol="ble", scan=scan, devices=devices)
    return [problem.problem for problem in check_ble_bus(made, ("buses", 0), profiles)]


def test_buses() -> None:
    assert bus("active", address="A4:C1:38:00:00:02") == []
    assert "already device 'a'" in bus("active")[0]
    assert "does not hear" in bus("passive", address="A4:C1:38:00:00:02", profile="asked")[0]
    keyed = bus("active", address="A4:C1:38:00:00:02", profile="asked", bindkey=Secret("k"))
    assert "only BTHome encrypts" in keyed[0]
