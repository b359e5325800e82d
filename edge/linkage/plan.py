"""The site's zones and rules as linkage uses them: devices looked up, commands and their arguments decided. Pure."""

from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress

import msgspec

from contract.errors import Permanent
from contract.kinds import KINDS
from contract.site import ResolvedDevice, Rule, RuleAction, Site
from contract.site.linkage import CAUSES, RELEASES, SOUNDS, Cause, args_of, command_of, strength

Args = Mapping[str, str | int | float | bool]
_S = 1_000_000_000
CUT_OFF_RULE = "cut-off"
"""Stands for the rule in events of what sounds while the box is cut off."""
_RENEW_SHARE = 0.5
"""What lasts only for seconds is told again after this share of them."""
_READ_BACK_S = 3.0


class Act(msgspec.Struct, frozen=True):
    """One command to one device. `shows` is the point and the word in which its effect can be read, if it can."""

    device: str
    name: str
    do: str
    command: str
    args: Args
    shows: tuple[str, str] | None = None
    read_back_s: float = _READ_BACK_S
    renew_ns: int = 0
    """For what ends by itself and must last: after how long it is told again."""

    @property
    def is_held(self) -> bool:
        """Whether it is done again when it is undone while what it was done for still lasts."""
        return self.do in RELEASES

    @property
    def sounds(self) -> bool:
        """Whether it makes people notice and moves nothing."""
        return self.do in SOUNDS


class RulePlan(msgspec.Struct, frozen=True):
    """One rule. `latches`: it stays confirmed until a person resets it."""

    id: str
    zone: str
    hazard: str
    needs: int
    has: int
    """How many independent triggers it could have at most."""
    within_ns: int
    first: tuple[Act, ...]
    then: tuple[Act, ...]
    after: tuple[Act, ...]
    silence: tuple[Act, ...]

    @property
    def latches(self) -> bool:
        """A fire is over when a person says so."""
        return self.hazard == "fire"


class ZonePlan(msgspec.Struct, frozen=True):
    """One zone and the devices in it that can trigger."""

    id: str
    name: str
    triggers: tuple[str, ...]


class Plan(msgspec.Struct, frozen=True):
    """Everything linkage needs to know. `causes` are all devices of the box that can trigger, in a zone or not."""

    zones: tuple[ZonePlan, ...]
    rules: tuple[RulePlan, ...]
    causes: Mapping[str, tuple[ResolvedDevice, Cause]]
    sound: tuple[Act, ...]
    """At an alarm while the box is cut off."""
    silence: tuple[Act, ...]
    cut_off_ns: int


def make_plan(site: Site, devices: Sequence[ResolvedDevice]) -> Plan:
    """The plan of a checked site."""
    by_id, causes = {item.device.id: item for item in devices}, causes_of(devices)
    zones = {zone.id: ZonePlan(zone.id, zone.name, tuple(zone.triggers)) for zone in site.zones}
    page = site.guard_page
    sound = _acts(page.sound, by_id) if page else ()
    return Plan(
        zones=tuple(zones.values()),
        rules=tuple(_rule(rule, zones[rule.zone], causes, by_id, sound) for rule in site.linkage),
        causes=causes,
        sound=sound,
        silence=_silence(sound, by_id),
        cut_off_ns=round(page.cut_off_s * _S) if page else 0,
    )


def causes_of(devices: Sequence[ResolvedDevice]) -> dict[str, tuple[ResolvedDevice, Cause]]:
    """The devices that can trigger, by id, each with what it tells of."""
    return {
        item.device.id: (item, cause)
        for item in devices
        if (cause := CAUSES.get(item.profile.kind)) is not None and cause.point in item.profile.points
    }


def _rule(
    rule: Rule, zone: ZonePlan, causes: Mapping[str, tuple[ResolvedDevice, Cause]],
    by_id: Mapping[str, ResolvedDevice], sound: tuple[Act, ...],
) -> RulePlan:  # fmt: skip
    first, then = _acts(rule.first, by_id), _acts(rule.then, by_id)
    if not first and rule.needs > 1:
        first = sound  # the first trigger is never met with silence, where anything can sound
    kinds = [causes[device][0].profile.kind for device in zone.triggers if causes[device][1].hazard == rule.when]
    return RulePlan(
        id=rule.id,
        zone=rule.zone,
        hazard=rule.when,
        needs=rule.needs,
        has=strength(kinds),
        within_ns=round(rule.within_s * _S) if rule.within_s else 0,
        first=first,
        then=then,
        after=_acts(rule.after, by_id),
        silence=_silence((*first, *then), by_id),
    )


def _acts(actions: Iterable[RuleAction], by_id: Mapping[str, ResolvedDevice]) -> tuple[Act, ...]:
    return tuple(_act(action, by_id[action.device]) for action in actions)


def _act(action: RuleAction, item: ResolvedDevice) -> Act:
    command = command_of(item.profile, action.do)
    if command is None:
        raise Permanent(f"{item.device.id!r} cannot {action.do!r}")
    args, mapped = args_of(item.profile, command, action), item.profile.points[command]
    seconds = args.get("seconds")
    is_stand_in = command != action.do and isinstance(seconds, int | float)
    return Act(
        device=item.device.id,
        name=item.device.name,
        do=action.do,
        command=command,
        args=args,
        shows=(mapped.confirm.point, mapped.confirm.state) if mapped.confirm else None,
        read_back_s=mapped.confirm.within_s if mapped.confirm else 0.0,
        renew_ns=round(float(seconds) * _RENEW_SHARE * _S) if is_stand_in and seconds is not None else 0,
    )


def _silence(acts: Iterable[Act], by_id: Mapping[str, ResolvedDevice]) -> tuple[Act, ...]:
    """What silences those of the acts that can be: a sounder that is told to sound for 0 seconds."""
    found: dict[str, Act] = {}
    for act in acts:
        write = by_id[act.device].profile.points[act.command].write
        if act.do != "sound" or write is None or write.argument != "seconds":
            continue
        with suppress(Permanent):
            write.given({"seconds": 0})
            shows = act.shows and (act.shows[0], _normal_word(by_id[act.device], act.shows[0]))
            found[act.device] = msgspec.structs.replace(act, do="silence", args={"seconds": 0}, shows=shows)
    return tuple(found.values())


def _normal_word(item: ResolvedDevice, point: str) -> str:
    return KINDS[item.profile.kind].points[point].words[0].code
