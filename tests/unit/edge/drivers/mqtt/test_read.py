"""Messages become samples: what is kept, what comes twice, what cannot be understood, and whose it is."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from contract.profile import MqttPoint, MqttProfile, MqttRead, load_profiles, shipped_profiles
from edge.drivers.mqtt.plan import Plan
from edge.drivers.mqtt.read import MAX_HAPPENINGS, MAX_REPEATS
from tests.support.mqtt import CLIENT, LoneReader, arrived, reader_of, resolved

PROFILES = load_profiles(shipped_profiles() / "mqtt")
EVENTS = "frigate/events"


def smoke() -> LoneReader:
    return reader_of([resolved(PROFILES["zigbee2mqtt-smoke"], "a/b", name="smoke")])


def said(reader: LoneReader, topic: str, payload: str | bytes, **more: object) -> list[tuple[str, str, object]]:
    raw = payload.encode() if isinstance(payload, str) else payload
    return [(s.device, s.point, s.raw) for s in reader.read(arrived(reader, topic, raw, **more))]


def frigate(camera: str, event: str = "1.5-a", zone: str = "restricted", label: str = "person", **more: object) -> str:
    import json

    after = {"id": event, "camera": camera, "label": label, "false_positive": False, "stationary": False,
             "entered_zones": [zone], "current_zones": [zone]} | more  # fmt: skip
    return json.dumps({"type": "update", "before": {}, "after": after})


def test_a_friendly_name_with_a_slash() -> None:
    assert said(smoke(), "zigbee2mqtt/a/b", '{"smoke":true,"battery":97}') == [
        ("smoke", "smoke", 1),
        ("smoke", "battery", 97),
    ]


def test_null_is_no_news_but_a_sign_of_life() -> None:
    reader = smoke()
    assert said(reader, "zigbee2mqtt/a/b", '{"smoke":null,"linkquality":9}') == [("smoke", "link", "online")]
    assert reader.lives["smoke"].heard_ns is not None


def test_what_was_kept_is_marked_and_shows_no_life() -> None:
    reader = smoke()
    (sample,) = reader.read(arrived(reader, "zigbee2mqtt/a/b", b'{"smoke":true}', is_kept=True))
    assert (sample.is_kept, sample.raw) == (True, 1)
    assert reader.lives["smoke"].heard_ns is None
    assert said(reader, "zigbee2mqtt/a/b", "garbage", is_kept=True) == []
    assert said(reader, "zigbee2mqtt/a/b", "", is_kept=True) == []


def test_an_emptied_topic_says_nothing() -> None:
    reader = smoke()
    assert said(reader, "zigbee2mqtt/a/b", "") == []
    assert reader.lives["smoke"].heard_ns is None


@pytest.mark.parametrize("payload", [b"garbage", b"\xff\xfe", b'{"smoke":', b"[" * 500])
def test_what_cannot_be_understood_fails_every_point_and_is_counted(payload: bytes) -> None:
    reader = smoke()
    samples = reader.read(arrived(reader, "zigbee2mqtt/a/b", payload))
    assert {(s.point, s.raw) for s in samples} == {("smoke", None), ("battery", None), ("tamper", None)}
    assert all(s.error for s in samples)
    assert len({s.mono_ns for s in samples}) == 1
    assert reader.lives["smoke"].heard_ns is None


def test_a_value_of_the_wrong_shape_fails_its_point_alone() -> None:
    reader = smoke()
    samples = reader.read(arrived(reader, "zigbee2mqtt/a/b", b'{"smoke":{"x":1},"battery":50}'))
    assert [(s.point, s.raw) for s in samples] == [("smoke", None), ("battery", 50)]


def test_bad_payloads_are_said_once(capsys: pytest.CaptureFixture[str]) -> None:
    reader = smoke()
    for _ in range(50):
        said(reader, "zigbee2mqtt/a/b", "geheime Nutzlast")
    printed = capsys.readouterr().out
    assert printed.count("cannot be understood") == 1
    assert "geheim" not in printed, "no payload is ever logged"


def test_availability_as_a_word_and_as_an_object() -> None:
    for payload in ("offline", '{"state":"offline"}'):
        assert said(smoke(), "zigbee2mqtt/a/b/availability", payload) == [("smoke", "link", "offline")]
    assert said(smoke(), "zigbee2mqtt/bridge/state", "rebooting") == []


def test_one_topic_of_many_cameras_is_told_apart_by_one_look_up() -> None:
    profile = PROFILES["frigate-camera"]
    reader = reader_of([resolved(profile, f"cam{n}", name=f"camera-{n}") for n in range(300)])
    (route,) = (route for topic, route in reader.plan.routes.items() if topic == EVENTS)
    assert not route.takes
    assert said(reader, EVENTS, frigate("cam7")) == [("camera-7", "intrusion", "update")]
    assert said(reader, EVENTS, frigate("nobody")) == []


def test_an_event_of_several_messages_is_told_once() -> None:
    reader = reader_of([resolved(PROFILES["frigate-camera"], "yard", name="camera")])
    assert said(reader, EVENTS, frigate("yard", zone="street")) == []
    assert ("camera", "intrusion", "update") in said(reader, EVENTS, frigate("yard"))
    assert said(reader, EVENTS, frigate("yard")) == [("camera", "link", "online")]
    assert ("camera", "intrusion", "update") in said(reader, EVENTS, frigate("yard", "1.5-b"))
    for n in range(2 * MAX_HAPPENINGS):
        said(reader, EVENTS, frigate("yard", f"n{n}"))
    assert all(len(known) <= MAX_HAPPENINGS for known in reader._happened.values())
    assert said(reader, EVENTS, frigate("yard", "n" * 5000)) == [("camera", "intrusion", "update")]


def test_parking_and_gathering() -> None:
    reader = reader_of([resolved(PROFILES["frigate-camera"], "yard", name="camera")])
    parked = frigate("yard", zone="no_parking", label="car", stationary=True)
    assert ("camera", "illegal_parking", "update") in said(reader, EVENTS, parked)
    driving = frigate("yard", "1.5-b", zone="no_parking", label="car")
    assert said(reader, EVENTS, driving) == []
    topic = "frigate/gathering_yard/person"
    assert said(reader, topic, "4") == [("camera", "link", "online")]
    assert said(reader, topic, "5") == [("camera", "gathering", 5)]


def test_the_recorders_figures_show_which_camera_lives() -> None:
    reader = reader_of([resolved(PROFILES["frigate-camera"], n, name=n) for n in ("live", "dead")])
    stats = '{"cameras":{"live":{"camera_fps":5.1},"dead":{"camera_fps":0.0}}}'
    assert said(reader, "frigate/stats", stats) == [("live", "link", "online")]


def test_what_a_broker_repeats_after_a_cut_happens_once() -> None:
    reader = reader_of([resolved(PROFILES["zigbee2mqtt-button"], "b", name="button")])
    topic, press = "zigbee2mqtt/b", '{"action":"single"}'
    assert said(reader, topic, press, mid=7) == [("button", "pressed", "single")]
    assert said(reader, topic, press, mid=8) == [("button", "pressed", "single")], "pressed twice is twice"
    reader.begin_connection(keeps_session=True)
    assert said(reader, topic, press, mid=8) == []
    assert said(reader, topic, press, mid=8) == [("button", "pressed", "single")]
    reader.begin_connection(keeps_session=True)
    reader.end_repeats()
    assert said(reader, topic, press, mid=8) == [("button", "pressed", "single")]
    reader.begin_connection(keeps_session=False)
    assert said(reader, topic, press, mid=8) == [("button", "pressed", "single")]
    assert reader.repeats == 1
    for mid in range(1, 1000):
        said(reader, topic, press, mid=mid)
    assert len(reader._recent) <= MAX_REPEATS


def test_channels_and_answers_of_a_shelly() -> None:
    profile = PROFILES["shelly-gen2-meter"]
    devices = [resolved(profile, "shellypro4pm-1", name=f"out-{n}", channel=n) for n in range(2)]
    reader = reader_of(devices)
    assert said(reader, "shellypro4pm-1/events/rpc", '{"params":{"switch:1":{"output":true}}}') == [
        ("out-1", "relay", 1), ("out-0", "link", "online"),
    ]  # fmt: skip
    answer = '{"id":5,"src":"shellypro4pm-1","dst":"x","result":{"id":1,"output":false,"apower":0}}'
    assert said(reader, f"{CLIENT}/rpc", answer) == [("out-1", "power", 0), ("out-1", "relay", 0)]
    assert len(reader.answers) == 2, "each output asks whether it is its answer"


def test_a_filter_with_a_plus_and_a_base_of_the_site() -> None:
    profile = PROFILES["chirpstack-milesight-em300-zld"]
    plan = Plan([resolved(profile, "01"), resolved(profile, "02", base="application/17", name="b")], CLIENT)
    assert plan.filters == ["application/+/device/01/event/up", "application/17/device/02/event/up"]
    assert plan.find("application/99/device/01/event/up") == ["application/+/device/01/event/up"]
    assert plan.find("application/99/device/02/event/up") == []


HEARD = st.sampled_from([EVENTS, "frigate/stats", "frigate/available", "frigate/gathering_yard/person"])
SENT = st.binary(max_size=60) | st.sampled_from([b"{}", b"5", frigate("yard").encode(), b"online"])


@given(st.lists(st.tuples(HEARD, SENT, st.booleans(), st.integers(0, 9)), max_size=12))
@settings(max_examples=150, deadline=None)
def test_no_message_breaks_it(messages: list[tuple[str, bytes, bool, int]]) -> None:
    reader = reader_of([resolved(PROFILES["frigate-camera"], "yard", name="camera")])
    for topic, payload, is_kept, mid in messages:
        for sample in reader.read(arrived(reader, topic, payload, is_kept=is_kept, mid=mid)):
            assert sample.device == "camera"
            assert not (is_kept and sample.fields is not None)
            assert not (is_kept and sample.raw is None)


def test_an_address_that_looks_like_a_path_is_one_step() -> None:
    profile = MqttProfile(
        id="t", protocol="mqtt", vendor="", model="", kind="environment", source="", silent_after_s=9,
        points={"temperature": MqttPoint(read=MqttRead(topic="all", path="{address}.t"))},
    )  # fmt: skip
    reader = reader_of([resolved(profile, "a.b[0]", name="d")])
    assert said(reader, "all", '{"a.b[0]":{"t":5}}') == [("d", "temperature", 5)]
