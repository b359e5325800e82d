"""Rules: when a condition holds, how bad that is, and what to tell people. Pure.

For now the form `state`: a point of a kind is in one of the words that are alarms.
"""

import msgspec

from cloud.alarms.machine import Happening


class Rule(msgspec.Struct, frozen=True):
    """A state rule. What it means to people, and what to do, is said in cloud/console/alarm/guidance.py."""

    name: str
    kind: str
    point: str
    words: frozenset[str]
    priority: str

    def happening(self, state: str | None) -> Happening | None:
        """What a state means to this rule. A state that is lost or not good (None) neither raises nor clears."""
        if state is None:
            return None
        return Happening.RAISE if state in self.words else Happening.CLEAR


DEFAULT_PACK = (
    Rule(
        name="smoke",
        kind="smoke_detector",
        point="smoke",
        words=frozenset({"smoke"}),
        priority="critical",
    ),
)
"""The rules that work on the first day."""


class RuleBook:
    """Rules by the point they look at."""

    def __init__(self, rules: tuple[Rule, ...] = DEFAULT_PACK) -> None:
        self._by_name = {rule.name: rule for rule in rules}
        self._by_point: dict[tuple[str, str], list[Rule]] = {}
        for rule in rules:
            self._by_point.setdefault((rule.kind, rule.point), []).append(rule)

    def for_point(self, kind: str, point: str) -> list[Rule]:
        """The rules that look at a point of a kind."""
        return self._by_point.get((kind, point), [])

    def get(self, name: str) -> Rule | None:
        """The rule of a name; None for one that an older version had."""
        return self._by_name.get(name)
