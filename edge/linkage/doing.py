"""What the rules want done and told, in its order, and what is taken back when a rule is over. Pure.

What follows one rule's end takes nothing back that another rule, which is confirmed, still does with the device.
"""

from collections.abc import Mapping, Sequence
from typing import Final

from edge.linkage.orders import Begin, End, KeptMode, Key, Note, Output
from edge.linkage.plan import CUT_OFF_RULE, Act
from edge.linkage.rule import RuleState
from edge.linkage.sounding import Sounding
from edge.zones import Phase

BY_HAND_NS: Final = 60 * 1_000_000_000
"""What a person orders, and what follows a reset, is tried so long."""
RULE, PAGE, BOX = "rule", "guard page", "box"
"""Who did it."""


class Doing:
    """Collects orders and notes. `modes` are the drills and dry runs, `rules` the rules, by zone and as they stand."""

    def __init__(self, modes: Mapping[str, KeptMode], rules: Mapping[str, Sequence[RuleState]]) -> None:
        self._modes, self._rules = modes, rules
        self._out: list[Output] = []
        self._sounding = Sounding()
        self._silencing: dict[str, str] = {}
        """By device that was silenced last: by which zone's order, which may still be tried."""

    def drain(self) -> list[Output]:
        """What was asked for and told since the last time, in its order."""
        out, self._out = self._out, []
        return out

    def tell(
        self, device: str, zone: str, rule: str, action: str, status: str, by: str, why: str, now_ns: int,
        mode: str | None = None,
    ) -> None:  # fmt: skip
        """Tells what became of something; `mode` where it is not the one that the zone is in."""
        mode = self._mode_word(zone) if mode is None else mode
        self._out.append(Note(device, zone, rule, action, status, mode, by, why, now_ns))

    def end(self, rule: str, part: str, *, sounds_only: bool = False) -> None:
        """Ends what was begun under a part of a rule."""
        self._out.append(End(rule, part, sounds_only=sounds_only))

    def silence(self, zone: str, acts: Sequence[Act], now_ns: int) -> None:
        """Silences sounders, by order of a person."""
        self._sounding.forget(acts)
        for i, act in enumerate({act.device: act for act in acts}.values()):
            self._silencing[act.device] = zone or CUT_OFF_RULE
            self.begin((zone or CUT_OFF_RULE, "silence", i), act, zone, PAGE, now_ns + BY_HAND_NS)

    def is_quiet_again(self, acts: Sequence[Act]) -> None:
        """What these acts sounded is over."""
        self._sounding.forget(acts)

    def note(self, rule: RuleState, device: str, action: str, status: str, by: str, why: str, now_ns: int) -> None:
        """Tells what became of something that a rule is about."""
        self.tell(device, rule.plan.zone, rule.plan.id, action, status, by, why, now_ns)

    def do(
        self, rule: RuleState, part: str, acts: Sequence[Act], now_ns: int, until_ns: int | None = None,
        needed: Mapping[str, str] = {},
    ) -> None:  # fmt: skip
        """Begins acts, or notes why not. `needed` are devices that other rules need as they are."""
        kept = self._modes.get(rule.plan.zone)
        for i, act in enumerate(acts):
            if act.device in needed:
                why = f"rule {needed[act.device]} is confirmed and needs it as it is"
                self.note(rule, act.device, act.do, "not_done", RULE, why, now_ns)
            elif kept is not None and not kept.mode.acts:
                why = f"a {kept.mode.replace('_', ' ')} is under way"
                self.note(rule, act.device, act.do, "not_done", RULE, why, now_ns)
            else:
                self.begin_anew((rule.plan.id, part, i), act, rule.plan.zone, RULE, until_ns, now_ns)

    def take_back(self, rule: RuleState, now_ns: int) -> None:
        """Does what stands under after:, but not to what another rule that is confirmed has under its then:."""
        needed = {
            act.device: other.plan.id
            for rules in self._rules.values()
            for other in rules
            if other is not rule and other.phase is Phase.CONFIRMED and other.had_acted
            for act in other.plan.then
        }
        self.do(rule, "after", rule.plan.after, now_ns, now_ns + BY_HAND_NS, needed)

    def stop_taking_back(self, rule: RuleState) -> None:
        """What is still being taken back of devices that this rule needs now is taken back no more."""
        needed = {act.device for act in rule.plan.then}
        for rules in self._rules.values():
            for other in rules:
                if needed & {act.device for act in other.plan.after}:
                    self._out.append(End(other.plan.id, "after"))

    def begin_anew(self, key: Key, act: Act, zone: str, by: str, until_ns: int | None, now_ns: int) -> None:
        """Begins an act that no longer noise is shortened by, and that no silencing still under way undoes."""
        if act.do == "sound" and (silencing := self._silencing.pop(act.device, None)) is not None:
            self._out.append(End(silencing, "silence"))
        self.begin(key, self._sounding.longest(act, now_ns), zone, by, until_ns)

    def begin(self, key: Key, act: Act, zone: str, by: str, until_ns: int | None) -> None:
        """Begins an act, to be tried until then (without a time: until it is ended)."""
        self._out.append(Begin(key, act, zone, self._mode_word(zone), by, until_ns))

    def _mode_word(self, zone: str) -> str:
        kept = self._modes.get(zone)
        return kept.mode if kept else ""
