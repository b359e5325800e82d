"""The story of a simulated month is told the same way again, holds together, and what came of it is counted right."""

from datetime import UTC, datetime, timedelta
from uuid import uuid4

import msgspec
import pytest

from cloud.alarms.rules import RuleBook
from cloud.store.alarms import AlarmRow
from contract.kinds import KINDS, PointType
from simulators.month.estate import LOOKED_AT, ON_BATTERY, Estate, inventory, make_estate, points_of
from simulators.month.report import fires_seen
from simulators.month.story import A_DEVICE_YEAR, A_MONTH, Story, make_story, make_weather

START = datetime(2026, 11, 30, 16, tzinfo=UTC)
DAYS = 30


def story(number: int = 0, seed: int = 1, fires: float = 5) -> Story:
    return make_story(make_estate(number, seed), make_weather(4, START, DAYS, seed), START, DAYS, seed, fires)


def test_the_same_seed_tells_the_same_story_and_another_another() -> None:
    assert msgspec.json.encode(story().said) == msgspec.json.encode(story().said)
    assert story(seed=2).said != story().said
    assert story(number=1).said != story().said


@pytest.mark.parametrize("number", range(4))
def test_boxes_say_only_what_their_devices_have(number: int) -> None:
    told = story(number)
    kinds = {device.key: device for device in told.estate.devices}
    ats = [said.at for said in told.said]
    assert ats == sorted(ats)
    assert all(START <= at < START + timedelta(days=DAYS) for at in ats)
    for said in told.said:
        device = kinds[said.device]
        point = KINDS[device.kind].points[said.point]
        if point.type is PointType.STATE:
            assert said.value in {word.code for word in point.words}
        elif point.type is PointType.EVENT:
            assert isinstance(said.value, dict)
        else:
            assert said.point in points_of(device)


@pytest.mark.parametrize("number", range(4))
def test_a_fire_is_seen_by_two_of_one_unit_and_by_a_box_with_power(number: int) -> None:
    told = story(number)
    of = {device.key: device for device in told.estate.devices}
    assert told.fires
    for fire in told.fires:
        assert len({(of[key].building, of[key].unit) for key in fire.devices}) == 1
        burning = {said.device for said in told.said if said.point == "smoke" and said.at >= fire.at}
        assert len(fire.devices & burning) >= 2 or fire.at > START + timedelta(days=DAYS - 1)
        assert not any(cut.at <= fire.at <= cut.until for cut in told.cuts if not cut.has_power)


def test_all_that_can_happen_happens_in_enough_estates() -> None:
    whys = {truth.why for number in range(40) for truth in story(number).truths}
    assert {"fire", "drill", "detector test", "cooking", "chattering contact", "dead", "battery", "storm", "leak",
            "under-voltage", "over-voltage", "held open", "panic button pressed", "people trapped", "bus cut",
            "forced open", "opened from within", "obstructed", "flow at night", "low pressure"} <= whys  # fmt: skip
    assert A_MONTH["drill"] > 0 < A_DEVICE_YEAR["cooking"]


def test_a_box_has_each_number_that_a_rule_of_the_pack_looks_at() -> None:
    """A rule on a new point wants the story to speak of it, or the month says nothing of that rule."""
    told = {(kind, point) for kind, points in LOOKED_AT.items() for point in points}
    estate = make_estate(0, 1)
    kinds = {device.kind for device in estate.devices}
    wanted = {
        (kind, point.name)
        for kind in kinds
        for point in KINDS[kind].points.values()
        if point.type is PointType.TELEMETRY and point.name != "battery" and RuleBook().for_point(kind, point.name)
    }
    assert wanted <= told
    assert kinds >= ON_BATTERY
    assert sum(len(inventory(estate, box).devices) for box in range(estate.boxes)) == len(estate.devices)


def row(estate: Estate, rule: str, source: str, device: int | None, at: datetime, ended: datetime | None) -> AlarmRow:
    values: dict[str, object] = {
        "id": uuid4(), "rule": rule, "source": source, "device": device, "estate": estate.name, "created_at": at,
        "ended_at": ended,
    }  # fmt: skip
    return AlarmRow(**{name: values.get(name) for name in AlarmRow.__struct_fields__})  # type: ignore[arg-type]


def test_a_fire_counts_as_raised_only_by_an_alarm_of_its_own_devices_and_time() -> None:
    told = story()
    fire = told.fires[0]
    keys = dict(enumerate(sorted(fire.devices), 1)) | {99: "door-0"}
    soon, before = fire.at + timedelta(seconds=3), fire.at - timedelta(hours=3)
    other = row(told.estate, "smoke", "series:9", 99, soon, None)
    over = row(told.estate, "smoke", "series:1", 1, before, before + timedelta(minutes=1))
    held = row(told.estate, "silent", "series:2", 1, soon, None)
    assert next(iter(fires_seen(told, 5, [other, over, held], keys))).raised_after_s is None
    one = row(told.estate, "smoke", "series:1", 1, soon, None)
    assert next(iter(fires_seen(told, 5, [other, over, held, one], keys))).raised_after_s == 3
    stood = row(told.estate, "smoke", "series:1", 1, before, None)
    assert next(iter(fires_seen(told, 5, [stood], keys))).raised_after_s == 0
