"""The default pack: it covers what it has to, speaks the vocabulary, and says what to do to somebody half asleep."""

import re

import pytest

from cloud.alarms.rules import Rule, RuleBook
from cloud.alarms.rules.load import PACK, load_rule, pack
from cloud.alarms.rules.model import PRIORITIES, RULE_KINDS, Event, Rate, State, Text, Threshold, body_of, rule_of
from cloud.alarms.rules.schema import SCHEMA, main
from contract.config import load_file
from contract.kinds import KINDS, PointType

RULES = pack().rules
BY_NAME = {rule.name: rule for rule in RULES}
EACH = pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.name)
PROMISED = {
    "smoke", "fire", "fire_confirmed", "gas", "leak", "forced_open", "held_open", "duress", "panic", "gate_obstructed",
    "gate_fault", "elevator_trapped", "breach", "hydrant_pressure", "water_level", "night_flow", "over_voltage",
    "under_voltage", "battery_low", "tamper", "silent", "bus_silent", "gateway_silent", "clock_wrong",
    "backlog_growing", "fault",
}  # fmt: skip
"""What the domain says works on the first day."""


def test_the_pack_has_what_is_promised() -> None:
    assert set(BY_NAME) >= PROMISED
    assert len(RULES) == len(BY_NAME)


@EACH
def test_a_rule_is_the_same_from_the_database(rule: Rule) -> None:
    assert rule_of(body_of(rule)) == rule


@EACH
def test_what_is_critical_is_about_life(rule: Rule) -> None:
    worst = {rule.priority_at(kind, stage) for kind in RULE_KINDS for stage in range(1, rule.stages + 1)}
    assert ("critical" in worst) is rule.life_safety
    if rule.life_safety:
        assert rule.when is None
        assert rule.on_delay_s == 0


@EACH
@pytest.mark.parametrize("language", ["zh", "en"])
def test_texts_can_be_read_aloud(rule: Rule, language: str) -> None:
    text: Text = getattr(rule.text, language)
    assert len(text.do) == 3
    parts = [text.title.replace("{kind}", ""), text.meaning, *text.do, text.who]
    if language == "zh":
        assert all(re.search("[一-鿿]", part) for part in parts)
        assert all(not re.search("[,;!?]", part) for part in parts), "half-width signs in Chinese"
        assert len(text.title) <= 16
        assert max(map(len, text.do)) <= 50
    else:
        assert not re.search("[一-鿿]", " ".join(parts))
        assert max(len(step.split()) for step in text.do) <= 32
    assert text.meaning[-1] in "。.?"
    assert all(step[-1] in "。.?" for step in text.do)


@EACH
def test_a_word_that_is_an_alarm_is_not_the_normal_one(rule: Rule) -> None:
    if not isinstance(rule.form, State):
        return
    for kind in rule.kinds or KINDS:
        point = KINDS[kind].points.get(rule.form.point)
        assert point is None or point.words[0].code not in rule.form.words


@EACH
def test_numbers_have_slack_and_are_patient(rule: Rule) -> None:
    """A figure that hovers about a limit, or jumps over it once, wakes nobody."""
    if isinstance(rule.form, Threshold | Rate):
        assert rule.form.hysteresis > 0
        assert rule.on_delay_s >= 30


@EACH
def test_the_curve_is_of_its_kinds(rule: Rule) -> None:
    kinds = [kind for name, kind in RULE_KINDS.items() if not rule.kinds or name in rule.kinds]
    assert not rule.curve or any(
        kind.points[rule.curve].type is PointType.TELEMETRY for kind in kinds if rule.curve in kind.points
    )


def test_no_two_rules_say_the_same_of_one_thing() -> None:
    """One fault, one alarm: a point of a kind is judged once, but for events that differ by their fields."""
    for name, kind in RULE_KINDS.items():
        for point in kind.points:
            rules = [rule for rule in RuleBook().for_point(name, point) if not isinstance(rule.form, Event)]
            sides = {rule.form.side for rule in rules if isinstance(rule.form, Threshold)}
            assert len(rules) <= max(1, len(sides)), f"{name}.{point}: {[rule.name for rule in rules]}"


def test_priorities_are_few_at_the_top() -> None:
    def worst(rule: Rule) -> str:
        return min((rule.priority_at("bin", stage) for stage in range(1, rule.stages + 1)), key=PRIORITIES.index)  # type: ignore[arg-type]

    noisy = [worst(rule) for rule in RULES if not rule.life_safety]
    assert noisy.count("high") <= len(noisy) / 2


def test_a_silent_smoke_detector_is_worse_than_a_silent_bin() -> None:
    (rule,) = RuleBook().for_point("smoke_detector", "link")
    assert rule.name == "silent"
    assert [rule.priority_at(kind) for kind in ("smoke_detector", "door", "bin")] == ["high", "medium", "low"]


def test_rules_are_found_by_kind_and_point_and_place() -> None:
    book = RuleBook()
    assert [rule.name for rule in book.for_point("smoke_detector", "smoke")] == ["smoke"]
    assert [rule.name for rule in book.gathering("smoke_detector", "smoke")] == ["fire_confirmed"]
    assert [rule.name for rule in book.for_point("gateway", "silent")] == ["gateway_silent"]
    assert [rule.name for rule in book.for_point("bus", "silent")] == ["bus_silent"]
    assert [rule.name for rule in book.for_point("vehicle_gate", "fault")] == ["gate_fault"]
    assert book.for_point("door", "smoke") == []
    assert book.get("smoke") is BY_NAME["smoke"]
    assert book.get("a rule of an older version") is None
    assert RuleBook(()).for_point("smoke_detector", "smoke") == []


def test_a_rule_of_some_places_or_devices_is_found_there_only() -> None:
    def of(**scope: object) -> RuleBook:
        return RuleBook([rule_of(body_of(BY_NAME["smoke"]) | scope)])

    def found(book: RuleBook, areas: tuple[int, ...], device: int) -> int:
        return len(book.for_point("smoke_detector", "smoke", areas=areas, device=device))

    assert [found(of(areas=[7]), areas, 1) for areas in ((1, 7, 9), (1, 8), ())] == [1, 0, 0]
    assert [found(of(areas=[7, 5]), areas, 1) for areas in ((1, 7, 9), (5,), (8,))] == [1, 1, 0]
    assert [found(of(devices=[3, 4]), (1,), device) for device in (3, 5)] == [1, 0]
    assert [found(of(except_devices=[3]), (1,), device) for device in (3, 5)] == [0, 1]


def test_a_breach_needs_no_zone_of_ours_as_models_say_it_while_armed_only() -> None:
    """Said in the file, with what to do where a model cannot be armed."""
    assert "except_devices" in (PACK / "breach.yaml").read_text(encoding="utf-8")


def test_the_schema_is_up_to_date_and_admits_the_pack() -> None:
    import json

    import jsonschema

    from contract.document import read_document

    assert main(["--check"]) == 0
    schema = json.loads(SCHEMA.read_text(encoding="utf-8"))
    for path in PACK.glob("*.yaml"):
        jsonschema.validate(read_document(path).root, schema)
        assert load_file(path, Rule).value == load_rule(path)
