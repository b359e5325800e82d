"""Rules speak the vocabulary, and a state that is lost says nothing."""

import pytest

from cloud.alarms.machine import Happening
from cloud.alarms.rules import DEFAULT_PACK, Rule, RuleBook
from contract.kinds import KINDS, PointType

PRIORITIES = {"critical", "high", "medium", "low"}


@pytest.mark.parametrize("rule", DEFAULT_PACK, ids=lambda rule: rule.name)
def test_a_default_rule_names_what_there_is(rule: Rule) -> None:
    kinds = rule.kinds or KINDS.keys()
    for point in (KINDS[kind].points[rule.point] for kind in kinds if rule.point in KINDS[kind].points):
        assert point.type is PointType.STATE
        normal, *others = [word.code for word in point.words]
        assert rule.words
        assert rule.words <= set(others)
        assert normal not in rule.words
    assert {rule.priority, *rule.priorities.values()} <= PRIORITIES
    assert rule.priorities.keys() <= KINDS.keys()


def test_names_are_used_once() -> None:
    assert len({rule.name for rule in DEFAULT_PACK}) == len(DEFAULT_PACK)


def test_smoke_raises_and_clear_air_clears() -> None:
    (rule,) = RuleBook().for_point("smoke_detector", "smoke")
    assert rule.priority == "critical"
    assert rule.happening("smoke") is Happening.RAISE
    assert rule.happening("clear") is Happening.CLEAR
    assert rule.happening(None) is None  # lost: the alarm stays as it is


def test_a_silent_smoke_detector_is_worse_than_a_silent_meter() -> None:
    (rule,) = RuleBook().for_point("smoke_detector", "link")
    assert (rule.name, rule.priority_of("smoke_detector")) == ("silent", "high")
    assert rule.priority_of("water_meter") == "medium"


def test_rules_are_found_by_kind_and_point() -> None:
    book = RuleBook()
    assert book.for_point("smoke_detector", "temperature") == []
    assert book.for_point("door", "smoke") == []
    assert book.get("smoke") is DEFAULT_PACK[0]
    assert book.get("a rule of an older version") is None
    assert RuleBook(()).for_point("smoke_detector", "smoke") == []
