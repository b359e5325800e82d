"""When the box acts by itself: zones, rules, modes and what a person asks, as a state machine without I/O or a clock.

It is given readings, ticks and a person's wishes, each with the time, and gives orders and notes. What it promises:

- A rule confirms only while as many independent triggers as it needs are in alarm together, each heard in this run of
  the box and not offline, in fault, stale or under test; or in alarm when it was lost, no longer than ten minutes ago
  (`triggers.py`). All manual call points of a zone together are one trigger.
- A fire that is confirmed stays so until a person resets it, over restarts too. What it held released stays so while
  the power does; all else, and all of it after a power cut, is done only once its triggers were heard in alarm anew.
- A drill or dry run ends by itself. Where a rule is still confirmed by then, it acts.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from contract.messages import Event, Reading
from contract.site import ResolvedDevice
from contract.site.linkage import Cause
from edge.linkage.doing import BOX, BY_HAND_NS, PAGE, RULE, Doing
from edge.linkage.orders import Kept, KeptMode, KeptRule, Output
from edge.linkage.plan import CUT_OFF_RULE, Plan, RulePlan
from edge.linkage.rule import RuleState
from edge.linkage.sight import Sight, named_doubts
from edge.linkage.spot_noise import SpotNoise
from edge.linkage.triggers import LIFE_SAFETY, Trigger
from edge.zones import Mode, Phase, Refusal

_S = 1_000_000_000
MAX_MINUTES: Final = 60
"""Longest drill or dry run."""


class Machine:
    """All zones and rules of a box. Every method is quick and does no I/O; `drain` gives what is to be done."""

    def __init__(self, plan: Plan, now_ns: int, kept: Kept | None = None, boot: bytes = b"") -> None:
        self._plan = plan
        self._zones = {zone.id: zone for zone in plan.zones}
        zone_of = {device: zone.id for zone in plan.zones for device in zone.triggers}
        self.triggers = {
            device: Trigger(item, cause, zone_of.get(device, "")) for device, (item, cause) in plan.causes.items()
        }
        self._rules: dict[str, list[RuleState]] = {zone.id: [] for zone in plan.zones}
        for rule in plan.rules:
            devices = [self.triggers[device] for device in self._zones[rule.zone].triggers]
            fitting = [trigger for trigger in devices if trigger.cause.hazard == rule.hazard]
            self._rules[rule.zone].append(RuleState(rule, fitting))
        self._modes: dict[str, KeptMode] = {}
        self._alarmed: dict[str, Trigger] = {}
        self._sounded: set[str] = set()
        """Devices for whose alarm noise was made while cut off."""
        self._is_cut_off = False
        self._doing = Doing(self._modes, self._rules)
        of_zone = {zone.id: [self.triggers[device] for device in zone.triggers] for zone in plan.zones}
        self.sight = Sight(self._doing, self._rules, of_zone)
        self.noise = SpotNoise(plan.sound, self._rules, self._modes)
        self._boot = boot
        self.is_changed = False
        """Whether what must be kept is not what was kept last."""
        if kept is not None:
            self._restore(kept, now_ns)

    # What comes in

    def take(self, item: Reading | Event, now_ns: int) -> None:
        """Something was heard of a device."""
        trigger = self.triggers.get(item.device)
        if trigger is not None and trigger.take(item):
            self._look(trigger, now_ns)

    def adopt(self, causes: Mapping[str, tuple[ResolvedDevice, Cause]]) -> None:
        """Goes on with other devices outside the zones; those in zones change with the plan only."""
        loose = {device for device, trigger in self.triggers.items() if not trigger.zone}
        for device in loose - causes.keys():
            del self.triggers[device]
            self._alarmed.pop(device, None)
            self._sounded.discard(device)
        for device in causes.keys() - self.triggers.keys():
            self.triggers[device] = Trigger(*causes[device])

    def tick(self, now_ns: int, *, is_cut_off: bool) -> None:
        """What time alone brings, and whether the cloud can be reached."""
        for zone, kept in list(self._modes.items()):
            if now_ns >= kept.until_ns:
                self._end_mode(zone, "its time is over", BOX, now_ns)
        if is_cut_off is not self._is_cut_off:
            self._is_cut_off = is_cut_off
            self._sounded.clear()
        # Time alone makes nothing alarm: it ends alarms, so those that are not quiet are all there is to look at.
        for rules in self._rules.values():
            for rule in rules:
                if rule.phase is not Phase.QUIET:
                    self._evaluate(rule, now_ns)
        for trigger in list(self._alarmed.values()):
            self._watch(trigger, now_ns)
            self._make_noise(trigger, now_ns)
        self.sight.look(now_ns)

    def drain(self) -> list[Output]:
        """What is to be done and told since the last time, in its order."""
        return self._doing.drain()

    # What a person asks

    def silence(self, zone: str, now_ns: int) -> Refusal | None:
        """Silences the sounders of a zone's rules; of no zone (""): those that sound because the box is cut off."""
        acts = self._plan.silence if not zone else tuple(a for r in self._rules.get(zone, ()) for a in r.plan.silence)
        if not acts:
            return Refusal("这里没有可以远程消音的声光器", "nothing here can be silenced from afar")
        rules = [CUT_OFF_RULE] if not zone else [rule.plan.id for rule in self._rules[zone]]
        for rule in rules:
            for part in ("first", "then", "sound"):
                self._doing.end(rule, part, sounds_only=True)
        self._doing.silence(zone, acts, now_ns)
        return None

    def reset(self, zone: str, now_ns: int) -> Refusal | None:
        """Ends what is confirmed in a zone; not while its triggers still agree. What was lost in alarm is then over."""
        confirmed = [rule for rule in self._rules.get(zone, ()) if rule.phase is Phase.CONFIRMED]
        if not confirmed:
            return Refusal("该分区没有需要复位的确认报警", "nothing is confirmed in this zone")
        for rule in confirmed:
            alarmed = [trigger for trigger in rule.alarmed(now_ns) if not trigger.is_lost]
            if rule.strength(alarmed) >= rule.plan.needs:
                names = "、".join(trigger.name for trigger in alarmed)
                return Refusal(
                    f"仍在报警：{names}。报警消失后才能复位", f"still in alarm: {names}; reset it when they are quiet"
                )
        for rule in confirmed:
            for trigger in rule.triggers:
                trigger.forget_loss()
            self._over(rule, "reset", PAGE, now_ns)
            self._evaluate(rule, now_ns)
        return None

    def release(self, zone: str, now_ns: int) -> Refusal | None:
        """Releases by hand what the zone's rules would release."""
        acts = [a for rule in self._rules.get(zone, ()) for a in rule.plan.then if a.is_held]
        if not acts:
            return Refusal("该分区没有可释放的门或车闸", "no rule of this zone releases anything")
        for i, act in enumerate(acts):
            self._doing.begin((zone, "by hand", i), act, zone, PAGE, now_ns + BY_HAND_NS)
        return None

    def start(self, zone: str, mode: Mode, minutes: int, now_ns: int) -> Refusal | None:
        """Begins a drill or a dry run."""
        rules = self._rules.get(zone)
        if not rules:
            return Refusal("该分区没有联动规则", "this zone has no rules")
        if not 1 <= minutes <= MAX_MINUTES:
            return Refusal(f"时长须为 1 至 {MAX_MINUTES} 分钟", f"it lasts 1 to {MAX_MINUTES} minutes")
        if any(rule.phase is Phase.CONFIRMED for rule in rules):
            return Refusal("该分区有已确认的报警，先复位", "something is confirmed in this zone; reset it first")
        if mode is Mode.SILENT_DRILL and not self.may_drill_silently(zone):
            return Refusal(
                "该分区没有多余的探测器：不动作演练时真火无法识别，请用带动作的演练",
                "this zone has no trigger to spare, which could tell a real fire from the drill: drill with actions",
            )
        self._modes[zone] = KeptMode(mode, now_ns + minutes * 60 * _S)
        self.is_changed = True
        self._note_zone(zone, mode, "started", PAGE, f"for {minutes} min", now_ns)
        return None

    def stop(self, zone: str, now_ns: int) -> Refusal | None:
        """Ends a drill or a dry run before its time."""
        if zone not in self._modes:
            return Refusal("该分区没有正在进行的演练", "no drill is under way in this zone")
        self._end_mode(zone, "stopped", PAGE, now_ns)
        return None

    # What it is like

    def may_drill_silently(self, zone: str) -> bool:
        """Whether each rule of the zone has a trigger more than it needs."""
        return all(rule.plan.has > rule.plan.needs for rule in self._rules[zone])

    def mode(self, zone: str) -> KeptMode | None:
        """The drill or dry run of a zone."""
        return self._modes.get(zone)

    def phase(self, zone: str) -> tuple[Phase, int, bool]:
        """The worst phase of a zone's rules, since when, and whether it is only remembered from before a restart."""
        rules = self._rules[zone]
        for phase in (Phase.CONFIRMED, Phase.ALERT):
            of_phase = [rule for rule in rules if rule.phase is phase]
            if of_phase:
                return phase, min(rule.since_ns for rule in of_phase), all(rule.is_restored for rule in of_phase)
        return Phase.QUIET, max((rule.since_ns for rule in rules), default=0), False

    def hazards(self, zone: str) -> list[str]:
        """What the zone's rules in its worst phase are about; empty while it is quiet."""
        phase, rules = self.phase(zone)[0], self._rules[zone]
        return sorted({rule.plan.hazard for rule in rules if rule.phase is phase is not Phase.QUIET})

    def zone_rules(self, zone: str) -> Iterator[RulePlan]:
        """The rules of a zone."""
        return (rule.plan for rule in self._rules[zone])

    def kept(self) -> Kept:
        """What a restart must not forget."""
        rules = {
            rule.plan.id: KeptRule(rule.since_ns, rule.had_acted, tuple(rule.was_alarmed))
            for rules in self._rules.values()
            for rule in rules
            if rule.phase is Phase.CONFIRMED and rule.plan.latches and not rule.is_pretended
        }
        return Kept(self._boot, rules, dict(self._modes))

    # Within

    def _restore(self, kept: Kept, now_ns: int) -> None:
        same_boot = kept.boot == self._boot
        for zone, mode in kept.modes.items():
            if zone in self._zones and same_boot and now_ns < mode.until_ns <= now_ns + MAX_MINUTES * 60 * _S:
                self._modes[zone] = mode
            elif zone in self._zones:
                self._note_zone(zone, mode.mode, "ended", BOX, "the box restarted", now_ns)
                self.is_changed = True
        for rule in (rule for rules in self._rules.values() for rule in rules):
            before = kept.rules.get(rule.plan.id)
            if before is not None:
                rule.phase, rule.is_restored, rule.had_acted = Phase.CONFIRMED, True, before.has_acted
                rule.since_ns = min(before.since_ns, now_ns) if same_boot else 0
                rule.was_alarmed = dict.fromkeys(device for device in before.devices if device in self.triggers)
                is_held = same_boot and before.has_acted and self._hold(rule)
                held = "what it released is held released until a person resets it, and " if is_held else ""
                rest = "the rest of it is done again" if is_held else "it acts again"
                why = f"confirmed before the restart; {held}{rest} as soon as its triggers are heard in alarm anew"
                self._doing.note(rule, rule.subject, "confirmed", "remembered", BOX, why, now_ns)

    def _hold(self, rule: RuleState) -> bool:
        """Goes on holding what a rule had released, which may lock by itself; whether there is any.

        The box alone was away. Detectors that have burnt since, or speak only when something changes, never say it
        anew: they must not let doors lock behind people.
        """
        held = [(i, act) for i, act in enumerate(rule.plan.then) if act.is_held]
        for i, act in held:
            self._doing.begin((rule.plan.id, "then", i), act, rule.plan.zone, BOX, None)
        return bool(held)

    def _watch(self, trigger: Trigger, now_ns: int) -> None:
        if trigger.look(now_ns):
            self._alarmed[trigger.device] = trigger
        else:
            self._alarmed.pop(trigger.device, None)

    def _look(self, trigger: Trigger, now_ns: int) -> None:
        self._watch(trigger, now_ns)
        for rule in self._rules.get(trigger.zone, ()):
            if rule.plan.hazard == trigger.cause.hazard:
                self._evaluate(rule, now_ns)
        self._make_noise(trigger, now_ns)

    def _evaluate(self, rule: RuleState, now_ns: int) -> None:
        """Takes the rule to where its triggers say it is."""
        alarmed = rule.alarmed(now_ns)
        if not alarmed and rule.phase is Phase.QUIET:
            return
        is_confirmed = rule.strength(alarmed) >= rule.plan.needs
        news = [trigger for trigger in alarmed if trigger.device not in rule.known]
        rule.known |= {trigger.device for trigger in alarmed}
        if any(trigger.device not in rule.was_alarmed for trigger in news):
            rule.was_alarmed |= dict.fromkeys(trigger.device for trigger in news)
            self.is_changed |= rule.phase is Phase.CONFIRMED
        if is_confirmed and (rule.phase is not Phase.CONFIRMED or rule.is_restored):
            self._confirm(rule, alarmed, news, now_ns)
        elif rule.phase is Phase.CONFIRMED:
            for trigger in news:
                self._doing.note(rule, trigger.device, "alert", "joined", RULE, "", now_ns)
            if not alarmed and not rule.plan.latches:
                self._over(rule, "over", BOX, now_ns)
                return
        elif alarmed:
            self._alert(rule, news, now_ns)
        elif rule.phase is Phase.ALERT:
            rule.phase, rule.since_ns = Phase.QUIET, now_ns
            self._doing.end(rule.plan.id, "first")
            why = self._remarks(rule, now_ns)
            self._doing.note(rule, rule.subject, "alert", "over", RULE, why, now_ns)
            rule.known.clear()
            rule.was_alarmed.clear()
        if rule.phase is Phase.CONFIRMED and is_confirmed and not rule.is_acting:
            self._perform(rule, alarmed, now_ns)
        elif rule.phase is Phase.CONFIRMED and rule.is_acting and news:
            self._sound_again(rule, now_ns)

    def _alert(self, rule: RuleState, news: Sequence[Trigger], now_ns: int) -> None:
        if rule.phase is Phase.QUIET:
            rule.phase, rule.since_ns = Phase.ALERT, now_ns
        for trigger in news:
            self._doing.note(rule, trigger.device, "alert", "unconfirmed", RULE, self._remarks(rule, now_ns), now_ns)
        if news:
            self._doing.do(rule, "first", rule.plan.first, now_ns)

    def _confirm(self, rule: RuleState, alarmed: Sequence[Trigger], news: Sequence[Trigger], now_ns: int) -> None:
        if not rule.is_restored:
            rule.since_ns = now_ns
        status = "again" if rule.is_restored else "confirmed"
        rule.phase, rule.is_restored, self.is_changed = Phase.CONFIRMED, False, True
        self._doing.end(rule.plan.id, "first")
        last = max(news or alarmed, key=lambda trigger: trigger.since_ns)
        why = "in alarm: " + ", ".join(trigger.device for trigger in alarmed)
        if remarks := self._remarks(rule, now_ns):
            why += f"; {remarks}"
        self._doing.note(rule, last.device, "confirmed", status, RULE, why, now_ns)

    def _perform(self, rule: RuleState, alarmed: Sequence[Trigger], now_ns: int) -> None:
        """Does what stands under then:, or in a drill or dry run without actions only says so."""
        kept = self._modes.get(rule.plan.zone)
        if kept is not None and kept.mode is Mode.SILENT_DRILL and rule.strength(alarmed) > rule.plan.needs:
            self._end_mode(rule.plan.zone, "more triggers than a drill needs: taken for real", BOX, now_ns)
            return  # which has performed it
        if kept is not None and not kept.mode.acts:
            if not rule.is_pretended:
                rule.is_pretended = True
                self._doing.do(rule, "then", rule.plan.then, now_ns)
            return
        rule.is_acting = rule.had_acted = self.is_changed = True
        rule.is_pretended = False
        self._doing.stop_taking_back(rule)
        self._doing.do(rule, "then", rule.plan.then, now_ns)

    def _sound_again(self, rule: RuleState, now_ns: int) -> None:
        """A further trigger sounds what was silenced, or had ended."""
        for i, act in enumerate(rule.plan.then):
            if act.sounds:
                self._doing.begin_anew((rule.plan.id, "then", i), act, rule.plan.zone, RULE, None, now_ns)

    def _over(self, rule: RuleState, action: str, by: str, now_ns: int) -> None:
        """What was confirmed is over."""
        self._doing.end(rule.plan.id, "first")
        self._doing.end(rule.plan.id, "then")
        self._doing.is_quiet_again(rule.plan.then)
        self._doing.note(rule, rule.subject, action, "done", by, "", now_ns)
        if rule.had_acted:
            self._doing.take_back(rule, now_ns)
        rule.phase, rule.since_ns = Phase.QUIET, now_ns
        rule.is_acting = rule.had_acted = rule.is_pretended = rule.is_restored = False
        rule.known.clear()
        rule.was_alarmed.clear()
        self.is_changed = True

    def _end_mode(self, zone: str, why: str, by: str, now_ns: int) -> None:
        """The mode ends. What is confirmed still and was not done is done now; what is over is not left standing."""
        mode = self._modes.pop(zone).mode
        self.is_changed = True
        self._note_zone(zone, mode, "ended", by, why, now_ns)
        self._sounded.difference_update(self._zones[zone].triggers)  # what is in alarm still is made heard now
        for rule in self._rules[zone]:
            if rule.phase is not Phase.CONFIRMED or rule.is_acting:
                continue
            alarmed = rule.alarmed(now_ns)
            if rule.strength(alarmed) >= rule.plan.needs:
                self._perform(rule, alarmed, now_ns)
            elif rule.is_pretended:
                self._over(rule, "over", BOX, now_ns)
                self._evaluate(rule, now_ns)

    def _make_noise(self, trigger: Trigger, now_ns: int) -> None:
        """While the cloud cannot be reached, each fire or gas alarm is made heard on the spot, in a zone or not."""
        if not trigger.is_alarm:
            self._sounded.discard(trigger.device)
            return
        if not self._is_cut_off or trigger.cause.hazard not in LIFE_SAFETY or trigger.device in self._sounded:
            return
        self._sounded.add(trigger.device)
        mute, why = self.noise.mute(trigger), self.noise.why(trigger)
        status = "not_heard" if mute else "cut_off"
        self._doing.tell(trigger.device, trigger.zone, CUT_OFF_RULE, "alert", status, BOX, why, now_ns)
        if mute:
            return
        for i, act in enumerate(self._plan.sound):
            self._doing.begin_anew((CUT_OFF_RULE, "sound", i), act, trigger.zone, BOX, now_ns + BY_HAND_NS, now_ns)

    def _remarks(self, rule: RuleState, now_ns: int) -> str:
        """The triggers that count because they alarmed before they were lost, and those that would not; each why."""
        lost = [trigger for trigger in rule.triggers if trigger.is_lost]
        others = [trigger for trigger in rule.triggers if not trigger.is_lost]
        told = (("alarmed, then lost", lost), ("not counted", others))
        named = ((words, named_doubts((of.device, of.doubt(now_ns)) for of in which)) for words, which in told)
        return "; ".join(f"{words}: {doubts}" for words, doubts in named if doubts)

    def _note_zone(self, zone: str, mode: Mode, status: str, by: str, why: str, now_ns: int) -> None:
        device = self._zones[zone].triggers[0]
        self._doing.tell(device, zone, "", mode, status, by, why, now_ns, mode)
