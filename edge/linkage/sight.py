"""Which zones see nothing: where too many triggers do not count for a rule to be confirmed, whatever burns. Pure."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from edge.linkage.doing import BOX, Doing
from edge.linkage.rule import RuleState
from edge.linkage.triggers import Trigger
from edge.zones import Doubt

BLIND: Final = "blind"
BLIND_NS: Final = 60 * 1_000_000_000
"""A zone that sees nothing is told after so long: a start, or a bus that is opened anew, is no news."""
MOST_NAMED: Final = 8


class Sight:
    """What each zone could still confirm; tells of one that cannot, and when it can again. `triggers` are by zone."""

    def __init__(
        self, doing: Doing, rules: Mapping[str, Sequence[RuleState]], triggers: Mapping[str, Sequence[Trigger]]
    ) -> None:
        self._doing, self._rules, self._triggers = doing, rules, triggers
        self._since_ns: dict[str, int] = {}
        self._told: dict[str, str] = {}
        """By zone: the device on which it was told."""

    def blind_for(self, zone: str, now_ns: int) -> list[str]:
        """The hazards that a rule of it could not confirm now; where it has no rule for one, of which none tells."""
        rules = self._rules[zone]
        ruled = {rule.plan.hazard for rule in rules}
        able = {trigger.cause.hazard: False for trigger in self._triggers[zone] if trigger.cause.hazard not in ruled}
        for trigger in self._triggers[zone]:
            if trigger.cause.hazard in able and trigger.may_count(now_ns):
                able[trigger.cause.hazard] = True
        blind = {hazard for hazard, is_able in able.items() if not is_able}
        return sorted(blind | {rule.plan.hazard for rule in rules if rule.is_blind(now_ns)})

    def look(self, now_ns: int) -> None:
        """Tells of each zone that was blind for a while, and of each that sees again."""
        for zone in self._triggers:
            blind = self.blind_for(zone, now_ns)
            if not blind:
                self._since_ns.pop(zone, None)
                if (device := self._told.pop(zone, None)) is not None:
                    self._doing.tell(device, zone, "", BLIND, "ended", BOX, "", now_ns)
            elif zone not in self._told and now_ns - self._since_ns.setdefault(zone, now_ns) >= BLIND_NS:
                away = [trigger for trigger in self._triggers[zone] if not trigger.may_count(now_ns)]
                self._told[zone] = away[0].device
                why = f"no {' or '.join(blind)} would be confirmed here; {_not_counted(away, now_ns)}"
                self._doing.tell(away[0].device, zone, "", BLIND, "started", BOX, why, now_ns)


def _not_counted(away: Sequence[Trigger], now_ns: int) -> str:
    doubts = named_doubts((trigger.device, trigger.doubt(now_ns)) for trigger in away[:MOST_NAMED])
    more = f" and {len(away) - MOST_NAMED} more" if len(away) > MOST_NAMED else ""
    return f"not counted: {doubts}{more}"


def named_doubts(doubts: Iterable[tuple[str, Doubt]]) -> str:
    """Devices that cannot be believed, each with the reason; empty when all can."""
    return ", ".join(f"{device} ({doubt})" for device, doubt in doubts if doubt is not Doubt.NONE)
