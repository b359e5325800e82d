"""Announcements that others published are proposed as what they are; hostile ones cost little and show nothing odd."""

import json
import random
from pathlib import Path

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from contract.kinds import KINDS
from contract.profile import load_profiles, shipped_profiles
from edge.drivers.mqtt.decode import parse_path
from edge.drivers.mqtt.discovery import (
    KIND_OF_CLASS,
    MAX_CONFIG,
    MAX_ENTITIES,
    MAX_WORDS,
    id_of,
    path_of,
    propose,
    read_config,
    text_of,
)

FILE = Path(__file__).parents[4] / "recordings" / "mqtt" / "discovery" / "announcements.json"
ANNOUNCED = [(one["topic"], one["payload"].encode()) for one in json.loads(FILE.read_text(encoding="utf-8"))]
PROFILES = load_profiles(shipped_profiles() / "mqtt")


def config(**fields: object) -> bytes:
    return msgspec.json.encode(fields)


def test_published_announcements_are_proposed() -> None:
    proposals = {p.name: p for p in propose(ANNOUNCED, PROFILES)}
    smoke = proposals["0x00124b00168change"]
    assert (smoke.profile, smoke.address, smoke.base) == ("zigbee2mqtt-smoke", "0x00124b00168change", "")
    assert (smoke.maker, smoke.kind) == ("Climax", "smoke_detector")
    meter = proposals["218FF9"]
    assert (meter.profile, meter.address, meter.kind) == ("tasmota-meter", "plug001", "electricity_meter")
    battery = proposals["0x00158d0006c4b533"]
    assert (battery.profile, battery.kind) == ("", ""), "a battery alone says nothing of what it is in"
    text = text_of(proposals.values())
    assert '- {id: "0x00124b00168change", name: "0x00124b00168change", profile: "zigbee2mqtt-smoke"' in text
    assert "entrée device temperature: zigbee2mqtt/entrée at device_temperature: environment.temperature" in text


def test_what_the_site_file_has_is_not_proposed_again() -> None:
    names = {p.name for p in propose(ANNOUNCED, PROFILES, known=["plug001"])}
    assert "218FF9" not in names
    assert "0x00124b00168change" in names


def test_a_second_base_topic_is_told() -> None:
    payload = config(stat_t="z2m-b3/flur", dev_cla="smoke", val_tpl="{{ value_json.smoke }}", dev={"ids": "a"})
    (proposal,) = propose([("homeassistant/binary_sensor/a/smoke/config", payload)], PROFILES)
    assert (proposal.profile, proposal.base, proposal.address) == ("zigbee2mqtt-smoke", "z2m-b3", "flur")
    assert 'base: "z2m-b3"' in text_of([proposal])


def test_one_announcement_of_a_whole_device() -> None:
    payload = config(
        dev={"ids": ["ea334450945afc"], "name": "Kitchen"}, state_topic="sensorBedroom/state",
        cmps={
            "t": {"p": "sensor", "device_class": "temperature", "value_template": "{{ value_json.temperature}}"},
            "h": {"p": "sensor", "device_class": "humidity", "value_template": "{{ value_json.humidity}}"},
        },
    )  # fmt: skip
    (proposal,) = propose([("homeassistant/device/ea334450945afc/config", payload)], {})
    assert (proposal.name, proposal.kind) == ("Kitchen", "environment")
    assert [(e.point, e.state_topic, e.path) for e in proposal.entities] == [
        ("humidity", "sensorBedroom/state", "humidity"),
        ("temperature", "sensorBedroom/state", "temperature"),
    ]


def test_a_topic_with_a_base() -> None:
    payload = config(**{"~": "home/door", "stat_t": "~/state", "cmd_t": "set/~", "dev_cla": "door"})
    ((_, entity),) = read_config("homeassistant/binary_sensor/x/config", payload)
    assert (entity.state_topic, entity.command_topic, entity.path) == ("home/door/state", "set/home/door", "")
    assert (entity.kind, entity.point) == ("door", "contact")


def test_only_look_ups_are_understood_of_templates() -> None:
    assert path_of(None) == path_of("{{ value }}") == ""
    assert path_of("{{ value_json.state }}") == "state"
    assert path_of("{{value_json['ENERGY']['Total']}}") == "ENERGY.Total"
    assert path_of('{{ value_json["a"][0].b }}') == "a[0].b"
    for more in ("{{ value_json.x | float }}", "{% if value_json.x %}1{% endif %}", "{{ 7*7 }}", "{{ value_json }}", 7):
        assert path_of(more) is None


def test_every_kind_and_point_that_can_be_proposed_exists() -> None:
    for kind, point in KIND_OF_CLASS.values():
        assert point in KINDS[kind or "door"].points


def test_a_hostile_announcement_moves_no_cursor_and_writes_no_yaml() -> None:
    payload = config(
        stat_t="zigbee2mqtt/x\x1b[2J", name="\x1b]0;owned\x07\nname: evil", dev_cla="smoke",
        val_tpl="{{ value_json.smoke }}", dev={"ids": ["k"], "name": "a\"}\n- {id: evil\u202e", "mf": "M" * 5000},
    )  # fmt: skip
    text = text_of(propose([("homeassistant/binary_sensor/x/smoke/config", payload)], PROFILES))
    assert all(c.isprintable() or c == "\n" for c in text)
    lines = [line for line in text.splitlines() if line.strip().startswith("- {")]
    assert len(lines) == 1
    assert len(text) < 12 * MAX_WORDS


def test_many_and_large_announcements_are_bounded() -> None:
    many = ((f"homeassistant/sensor/n{n}/config", config(stat_t=f"t/{n}", dev={"ids": str(n)})) for n in range(10_000))
    assert len(propose(many, PROFILES)) == MAX_ENTITIES
    assert not list(read_config("homeassistant/sensor/x/config", b'{"stat_t":"' + b"a" * MAX_CONFIG + b'"}'))
    parts = {str(n): {"p": "sensor", "stat_t": "t"} for n in range(400)}
    whole = config(cmps=parts)[:MAX_CONFIG]
    assert len(list(read_config("homeassistant/device/x/config", whole))) <= 400


KEYS = st.sampled_from(["~", "dev", "ids", "cmps", "stat_t", "val_tpl", "name", "p"])
ANYTHING = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(KEYS, inner),
)


@given(st.text(), ANYTHING)
@settings(max_examples=200, deadline=None)
def test_no_announcement_breaks_it(level: str, document: object) -> None:
    try:
        payload = msgspec.json.encode(document)
    except (ValueError, OverflowError):
        return
    for topic in (f"homeassistant/{level}/x/config", "homeassistant/device/x/config", "homeassistant/lock/a/b/config"):
        for proposal in propose([(topic, payload)], PROFILES):
            assert len(id_of(proposal)) <= 64
            for entity in proposal.entities:
                if entity.path:
                    parse_path(entity.path)
            text_of([proposal])


def test_the_order_of_announcements_changes_nothing() -> None:
    shuffled = random.Random(5).sample(ANNOUNCED, len(ANNOUNCED))
    assert propose(shuffled, PROFILES) == propose(ANNOUNCED, PROFILES)
