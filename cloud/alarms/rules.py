"""Rules: when a condition holds, how bad that is, and what to tell people. Pure.

For now the form `state`: a point of a kind is in one of the words that are alarms.
"""

import msgspec

from cloud.alarms.machine import Happening


class Rule(msgspec.Struct, frozen=True):
    """A state rule. What it means to people, and what to do, is said in cloud/console/alarm/guidance.py.

    It looks at `point` of the `kinds` named, of every kind without names. `priorities` has the kinds for which it is
    worse, or less bad, than `priority`.
    """

    name: str
    point: str
    words: frozenset[str]
    priority: str
    kinds: frozenset[str] = frozenset()
    priorities: dict[str, str] = {}

    def happening(self, state: str | None) -> Happening | None:
        """What a state means to this rule. A state that is lost or not good (None) neither raises nor clears."""
        if state is None:
            return None
        return Happening.RAISE if state in self.words else Happening.CLEAR

    def priority_of(self, kind: str) -> str:
        """How bad it is at a device of this kind."""
        return self.priorities.get(kind, self.priority)


LIFE_SAFETY = frozenset({"smoke_detector", "heat_detector", "manual_call_point", "gas_detector", "panic_button"})
_WORSE = dict.fromkeys(LIFE_SAFETY, "high")
DEFAULT_PACK = (
    Rule("smoke", "smoke", frozenset({"smoke"}), "critical", kinds=frozenset({"smoke_detector"})),
    # A detector that says nothing would be taken for one that sees nothing.
    Rule("silent", "link", frozenset({"offline"}), "medium", priorities=_WORSE),
    Rule("fault", "fault", frozenset({"fault"}), "medium", priorities=_WORSE),
    Rule("tamper", "tamper", frozenset({"tampered"}), "high"),
    Rule("held_open", "held_open", frozenset({"held"}), "low", kinds=frozenset({"door"})),
)
"""The rules that work on the first day."""


class RuleBook:
    """Rules by the point they look at."""

    def __init__(self, rules: tuple[Rule, ...] = DEFAULT_PACK) -> None:
        self._by_name = {rule.name: rule for rule in rules}
        self._by_point: dict[str, list[Rule]] = {}
        for rule in rules:
            self._by_point.setdefault(rule.point, []).append(rule)

    def for_point(self, kind: str, point: str) -> list[Rule]:
        """The rules that look at a point of a kind."""
        return [rule for rule in self._by_point.get(point, []) if not rule.kinds or kind in rule.kinds]

    def get(self, name: str) -> Rule | None:
        """The rule of a name; None for one that an older version had."""
        return self._by_name.get(name)
