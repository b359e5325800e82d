"""Rules for the tests of the engine, beside the pack."""

from typing import Any

from cloud.alarms.rules import Rule, RuleBook
from cloud.alarms.rules.model import Event, Form, Stage, State, Text, Texts, Threshold

_TEXT = Text(title="t", meaning="m", do=["d"], who="w")
_TEXTS = Texts(zh=_TEXT, en=_TEXT)


def rule_of(name: str, form: Form, **fields: Any) -> Rule:
    return Rule(name=name, form=form, text=_TEXTS, **fields)


def smoke_rule(name: str = "smoke", **fields: Any) -> Rule:
    """About life unless said otherwise."""
    fields = {"priority": "critical", "life_safety": True} | fields
    return rule_of(name, State(form="state", point="smoke", words=["smoke"]), **fields)


def lock_rule(name: str = "unlocked", **fields: Any) -> Rule:
    """A door that is not locked: nothing about life."""
    return rule_of(name, State(form="state", point="lock", words=["unlocked"]), **fields)


def heat_rule(name: str = "hot", *limits: float, hysteresis: float = 0.0, **fields: Any) -> Rule:
    """A temperature above 50 °C, or other limits: the first is medium, the next high, then critical."""
    priorities: Any = ("medium", "high", "critical")
    stages = [Stage(at=at, priority=priorities[n]) for n, at in enumerate(limits or (50.0,))]
    form = Threshold(form="threshold", points=["temperature"], side="above", stages=stages, hysteresis=hysteresis)
    return rule_of(name, form, **fields)


def forced_rule(stands_s: float = 600.0, **fields: Any) -> Rule:
    return rule_of("forced", Event(form="event", point="forced_open", stands_s=stands_s), **fields)


def book_of(*rules: Rule) -> RuleBook:
    return RuleBook(rules)
