"""The default pack speaks the vocabulary, and its texts say what to do."""

import pytest

from cloud.alarms.rules import Rule, RuleBook
from cloud.alarms.rules.load import pack
from cloud.alarms.rules.model import PRIORITIES, body_of, rule_of

RULES = pack().rules


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.name)
def test_a_default_rule_is_the_same_from_the_database(rule: Rule) -> None:
    assert rule_of(body_of(rule)) == rule


def test_names_stand_once() -> None:
    assert len({rule.name for rule in RULES}) == len(RULES)


def test_a_silent_smoke_detector_is_worse_than_a_silent_meter() -> None:
    (rule,) = RuleBook().for_point("smoke_detector", "link")
    assert (rule.name, rule.priority_at("smoke_detector")) == ("silent", "high")
    assert PRIORITIES.index(rule.priority_at("water_meter")) > PRIORITIES.index(rule.priority_at("smoke_detector"))


def test_rules_are_found_by_kind_and_point() -> None:
    book = RuleBook()
    assert [rule.name for rule in book.for_point("smoke_detector", "smoke")] == ["smoke"]
    assert book.for_point("door", "smoke") == []
    assert book.get("smoke") in book.rules
    assert book.get("a rule of an older version") is None
    assert RuleBook(()).for_point("smoke_detector", "smoke") == []
