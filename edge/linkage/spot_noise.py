"""What makes an alarm heard on the spot while the cloud cannot be reached, and where nothing does. Pure."""

from collections.abc import Iterable, Mapping, Sequence

from edge.linkage.orders import KeptMode
from edge.linkage.plan import Act
from edge.linkage.rule import RuleState
from edge.linkage.triggers import LIFE_SAFETY, Trigger
from edge.zones import Mute, Noise, Phase


class SpotNoise:
    """Says truly what is heard: `sound` is for the whole box, `rules` and `modes` are by zone, as they stand."""

    def __init__(
        self, sound: Sequence[Act], rules: Mapping[str, Sequence[RuleState]], modes: Mapping[str, KeptMode]
    ) -> None:
        self._sound, self._rules, self._modes = sound, rules, modes

    def mute(self, trigger: Trigger) -> Mute:
        """Why an alarm of it is heard nowhere on the spot."""
        kept = self._modes.get(trigger.zone)
        if kept is not None and not kept.mode.acts:
            return Mute.MODE
        return Mute.NONE if self._sound or self._rule_for(trigger) else Mute.NO_SOUNDER

    def why(self, trigger: Trigger) -> str:
        """What the record says of its alarm while cut off."""
        mute, why = self.mute(trigger), "the cloud cannot be reached"
        if mute is Mute.MODE:
            return f"{why}; a {self._modes[trigger.zone].mode.replace('_', ' ')} is under way, so nothing sounds"
        if mute is Mute.NO_SOUNDER:
            return f"{why}; nothing sounds: the site file names no sounder for it (guard_page.sound)"
        return why if self._sound else f"{why}; rule {self._rule_for(trigger)} sounds"

    def of(self, triggers: Iterable[Trigger]) -> Noise | None:
        """What is made heard of these; None where none of them tells of fire or gas."""
        life_safety = [trigger for trigger in triggers if trigger.cause.hazard in LIFE_SAFETY]
        heard = {bool(self._sound or self._rule_for(trigger)) for trigger in life_safety}
        if not heard:
            return None
        return Noise.SOME if len(heard) > 1 else Noise.ALL if True in heard else Noise.NONE

    def _rule_for(self, trigger: Trigger) -> str | None:
        """The rule of its zone that sounds at its alarm, or does already."""
        for rule in self._rules.get(trigger.zone, ()):
            is_met = rule.plan.needs == 1 or rule.phase is Phase.CONFIRMED
            acts = (*rule.plan.first, *rule.plan.then) if is_met else rule.plan.first
            if rule.plan.hazard == trigger.cause.hazard and any(act.sounds for act in acts):
                return rule.plan.id
        return None
