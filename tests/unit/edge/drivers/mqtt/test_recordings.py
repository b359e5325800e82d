"""Real payloads: what vendors document and people captured, read by the profiles. Each file names its source."""

import json
from pathlib import Path

import pytest

from contract.errors import Permanent
from contract.profile import load_profiles, shipped_profiles
from edge.drivers.mqtt.command import payload_of
from edge.drivers.mqtt.topics import words_of
from tests.support.mqtt import CLIENT, arrived, reader_of, resolved

FOLDER = Path(__file__).parents[4] / "recordings" / "mqtt"
RECORDINGS = {path.stem: json.loads(path.read_text(encoding="utf-8")) for path in sorted(FOLDER.glob("*.json"))}
PROFILES = load_profiles(shipped_profiles() / "mqtt")


@pytest.mark.parametrize("name", RECORDINGS)
def test_a_recording_reads_as_it_should(name: str) -> None:
    recording = RECORDINGS[name]
    device = resolved(
        PROFILES[recording["profile"]], recording["address"], base=recording.get("base", ""),
        channel=recording["channel"],
    )  # fmt: skip
    reader = reader_of([device])
    read = [s for m in recording["messages"] for s in reader.read(arrived(reader, m["topic"], m["payload"].encode()))]
    assert [[s.point, s.raw] for s in read if s.point != "link"] == recording["samples"]
    assert reader.malformed == 0
    states = {name: mapped.states for name, mapped in device.profile.points.items() if mapped.states}
    for sample in read:
        if sample.point in states:
            assert sample.raw in states[sample.point], "the profile has a word for what devices really say"
        assert sample.raw is not None, sample.error


def test_each_recording_says_where_it_comes_from() -> None:
    assert len(RECORDINGS) >= 15
    assert all(recording["source"].startswith("https://") for recording in RECORDINGS.values())


def test_each_profile_has_a_recording() -> None:
    missing = PROFILES.keys() - {recording["profile"] for recording in RECORDINGS.values()}
    # A door contact's and a second kind of Shelly's messages are those of profiles that have one.
    assert missing == {"zigbee2mqtt-contact", "shelly-gen2-switch"}


def test_a_picture_is_never_kept() -> None:
    recording = RECORDINGS["frigate_restricted"]
    picture = "/9j/4AAQSkZJRgABAQ" * 40
    payload = recording["messages"][0]["payload"].replace('"thumbnail": null', f'"thumbnail": "{picture}"')
    payload = payload.replace('"label": "person"', '"label": "person", "sub_label": ["Zhang San", 0.93]')
    reader = reader_of([resolved(PROFILES["frigate-camera"], "front_door")])
    (event,) = reader.read(arrived(reader, "frigate/events", payload.encode()))
    assert event.fields == {"image": "1607123955.475377-mxklsc"}
    assert event.raw == "update"


def test_of_a_car_at_the_gate_only_the_plate_is_taken() -> None:
    recording = RECORDINGS["frigate_plate"]
    reader = reader_of([resolved(PROFILES["frigate-gate"], "driveway_cam")])
    payloads = [m["payload"].encode() for m in recording["messages"]]
    read = [
        s
        for payload in (*payloads, payloads[-1])
        for s in reader.read(arrived(reader, "frigate/tracked_object_update", payload))
    ]
    assert [s.fields for s in read if s.point == "passage"] == [
        {"plate": "123ABC"}
    ]  # a second reading is no second car


def test_a_card_that_was_refused_says_so() -> None:
    recording = RECORDINGS["uhppoted_door-4"]
    doors = [
        resolved(PROFILES["uhppoted-door"], address, channel=channel, name=f"{address}-{channel}")
        for address, channel in (("405419896", 4), ("405419896", 3), ("40541989", 4))
    ]
    reader = reader_of(doors)
    read = [s for m in recording["messages"] for s in reader.read(arrived(reader, m["topic"], m["payload"].encode()))]
    (swipe,) = [s for s in read if s.point == "access"]
    assert swipe.device == "405419896-4", "no other door's, and no other controller's"
    assert swipe.fields == {"credential": 8165535, "granted": False, "reader": ""}
    assert {s.device for s in read if s.point == "contact"} == {"405419896-3", "405419896-4"}


def test_a_door_is_released_by_the_request_that_its_maker_documents() -> None:
    door = resolved(PROFILES["uhppoted-door"], "405419896", channel=3)
    write = door.profile.points["release"].write
    assert write is not None
    sent = json.loads(payload_of(write, write.given({}), words_of(door, CLIENT), 7))
    # The example of set-door-control, whose request-id is optional; there the door is closed for good, here opened.
    assert sent == {
        "message": {
            "request": {
                "client-id": "anju", "reply-to": "uhppoted/gateway/replies/405419896", "device-id": 405419896,
                "door": 3, "control": "normally open",
            }
        }
    }  # fmt: skip


def test_a_lock_is_opened_for_the_time_that_is_set_in_it() -> None:
    door = resolved(PROFILES["zigbee2mqtt-lock"], "flat 3")
    write = door.profile.points["unlock"].write
    assert write is not None
    assert payload_of(write, write.given({"seconds": 5}), words_of(door, CLIENT), 7) == b'{"state":"UNLOCK"}'
    with pytest.raises(Permanent, match="must be one of 5"):
        write.given({"seconds": 3600})
