"""What speaks of silence, and when a bus counts as silent."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloud.alarms.folding import silences_of
from cloud.alarms.rules import RuleBook
from cloud.alarms.sources import bus_of, bus_source, place_of, place_source
from cloud.alarms.sweep import is_bus_silent


def test_of_the_pack_only_silences_go_beneath_a_cause() -> None:
    silences = silences_of(RuleBook())
    assert silences.of_boxes == ("gateway_silent",)
    assert silences.of_buses == ("bus_silent",)
    assert silences.of_devices == ("silent",), "a fire, a fault, a leak: never beneath a dead gateway"


def test_nothing_about_life_is_ever_a_silence() -> None:
    book = RuleBook()
    silences = silences_of(book)
    names = {*silences.of_boxes, *silences.of_buses, *silences.of_devices}
    assert not [name for name in names if book.get(name).life_safety]


def test_the_signature_changes_with_a_rule_about_boxes_only() -> None:
    book = RuleBook()
    without = {
        name: silences_of(RuleBook([rule for rule in book.rules if rule.name != name], book.calendar)).signature
        for name in ("smoke", "clock_wrong")
    }
    assert without["smoke"] == silences_of(book).signature
    assert without["clock_wrong"] != silences_of(book).signature


@pytest.mark.parametrize(
    ("devices", "offline", "was_silent", "is_silent"),
    [
        (2, 2, False, False),  # two may be two that are dead
        (3, 3, False, True),
        (10, 7, False, False),
        (10, 8, False, True),
        (10, 7, True, True),  # it hangs at the limit: it does not flap
        (10, 6, True, True),
        (10, 5, True, False),
        (0, 0, True, False),  # all of its devices are gone from the site
    ],
)
def test_a_bus_is_silent_when_four_in_five_are(devices: int, offline: int, was_silent: bool, is_silent: bool) -> None:
    assert is_bus_silent(devices, offline, was_silent=was_silent) is is_silent


NAMES = st.text(st.characters(exclude_categories=("Cs",), exclude_characters="\0"), max_size=10)


@given(st.uuids(), NAMES)
def test_the_name_of_a_bus_comes_back(gateway, bus: str) -> None:
    assert bus_of(bus_source(gateway, bus)) == (gateway, bus)
    assert place_of(bus_source(gateway, bus)) is None


@given(NAMES, NAMES)
def test_the_names_of_a_place_come_back(building: str, unit: str) -> None:
    assert place_of(place_source(3, building, unit, within="unit")) == (building, unit)
    assert place_of(place_source(3, building, unit, within="building")) == (building, "")
    assert place_of(place_source(3, building, unit, within="estate")) == ("", "")
    assert bus_of(place_source(3, building, unit, within="unit")) is None


@given(NAMES, NAMES, NAMES, NAMES)
def test_two_places_have_two_names(one: str, two: str, three: str, four: str) -> None:
    names = {place_source(3, building, unit, within="unit") for building, unit in ((one, two), (three, four))}
    assert len(names) == len({(one, two), (three, four)})
