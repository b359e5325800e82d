"""Linkage in the site file: zones, what happens in them by itself, and the box's own page for the guard.

What is checked here is what must never go wrong at night: a rule that releases needs two independent triggers (GB 50116
4.1.6), and no rule turns a valve or a meter's relay.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Annotated, Any, Literal

import msgspec

from contract.config import Problem, is_bad, nearest
from contract.errors import AnjuError, Permanent
from contract.kinds import KINDS, PointType
from contract.profile import AnyProfile, Name, Profile
from contract.site.common import Device, Secret, Where

Hazard = Literal["fire", "gas", "leak", "panic", "intrusion"]
"""What a rule is about."""


class Cause(msgspec.Struct, frozen=True):
    """Which hazard a kind of device tells of: its point takes this word. An event has no word: it happens."""

    hazard: Hazard
    point: str
    word: str = ""


CAUSES: dict[str, Cause] = {
    "smoke_detector": Cause("fire", "smoke", "smoke"),
    "heat_detector": Cause("fire", "fire", "alarm"),
    "manual_call_point": Cause("fire", "fire", "alarm"),
    "gas_detector": Cause("gas", "alarm", "alarm"),
    "gas_meter": Cause("gas", "leak", "leak"),
    "water_leak": Cause("leak", "leak", "leak"),
    "water_meter": Cause("leak", "leak", "leak"),
    "heat_meter": Cause("leak", "leak", "leak"),
    "panic_button": Cause("panic", "pressed"),
    "intrusion": Cause("intrusion", "breach"),
}
"""By kind: what triggers."""
CALL_POINT = "manual_call_point"
RELEASES = {"release": "unlock", "hold_open": "open"}
"""What lets people out or in: with the command that stands for it, again and again, where a model has not got it."""
SOUNDS = frozenset({"sound", "announce", "show"})
"""What makes people notice and moves nothing."""
RULE_COMMANDS = frozenset({*RELEASES, *SOUNDS, "switch"})
AFTER_COMMANDS = RULE_COMMANDS | {"close"}
CONFIRMED_BY = 2
"""GB 50116 4.1.6: the AND of two independent triggers."""


class Zone(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Devices that watch one place together: for fire, one fire compartment."""

    id: Name
    """Names it in rules and events. Once in the file."""
    name: str
    """What people call it: 3号楼2单元."""
    triggers: list[str]
    """Ids of its detectors, manual call points and buttons; each in one zone only."""


class RuleAction(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One thing that one device is told to do."""

    device: str
    """Its id."""
    do: str
    """`release` a door, `hold_open` a gate, `sound`, `announce`, `show`, `switch`; under `after:` also `close`."""
    args: dict[str, str | int | float | bool] = {}
    """What the command needs: `seconds`, `text`, `on`."""


class Rule(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What the box does by itself when triggers of a zone agree, also without the cloud."""

    id: Name
    """Names it in events. Once in the file."""
    zone: str
    """Whose triggers count: the zone's id."""
    when: Hazard = "fire"
    """What must be told: `fire`, `gas`, `leak`, `panic` or `intrusion`. Other triggers of the zone do not count."""
    confirmed_by: Annotated[int, msgspec.Meta(ge=1, le=16)] | None = None
    """So many independent triggers at the same time: for fire at least 2 (all call points together are one), else 1."""
    within_s: Annotated[float, msgspec.Meta(gt=0, le=86400)] | None = None
    """Only triggers that began within so many seconds of each other count together."""
    first: list[RuleAction] = []
    """At the first trigger, not confirmed yet: `sound`, `announce` or `show`, for the guard. Without it what stands
    under `sound:` of the guard page."""
    then: list[RuleAction]
    """When confirmed: tried until it is read back, for as long as it lasts."""
    after: list[RuleAction] = []
    """When it is over; for fire: when a person resets it on the guard page. Without it nothing is taken back."""

    @property
    def needs(self) -> int:
        """How many independent triggers confirm it."""
        if self.confirmed_by is not None:
            return self.confirmed_by
        return CONFIRMED_BY if self.when == "fire" else 1


class GuardPage(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The box's own page on the local network for who is on duty, for when the cloud cannot be reached."""

    listen: Annotated[str, msgspec.Meta(description="host:port, for example 192.168.60.1:8090")]
    """Address and port on the local network: 0.0.0.0:8090, better the address of the guards' network."""
    password: Secret
    """Its password (at least 8 characters), as a secret. The page is not encrypted: keep it off residents' networks."""
    cut_off_s: Annotated[float, msgspec.Meta(ge=5, le=86400)] = 60.0
    """After so many seconds without the cloud the box counts as cut off."""
    sound: list[RuleAction] = []
    """What makes noise for the guard: at a first trigger, and at any fire or gas alarm while the box is cut off."""


def checked_listen(text: str) -> tuple[str, int]:
    """Host and port of `host:port`. Raises AnjuError."""
    host, colon, port = text.rpartition(":")
    host = host.strip("[]")
    if not colon or not port.isdecimal() or not 0 < int(port) <= 65535 or host in {"", "*"}:
        raise AnjuError(f"{text!r} is not an address to listen on; write host:port, for example 0.0.0.0:8090")
    return host, int(port)


def strength(kinds: Iterable[str]) -> int:
    """How many independent triggers these kinds of devices are: each detector one, all manual call points together one.

    Source: GB 50116 4.1.6: two detectors, or one detector and one manual call point; never two call points.
    """
    kinds = list(kinds)
    return sum(kind != CALL_POINT for kind in kinds) + (CALL_POINT in kinds)


def command_of(profile: Profile, do: str) -> str | None:
    """The command of this model that does it: itself, or what stands for it; None when it can do neither."""
    for command in (do, RELEASES.get(do, "")):
        point = profile.points.get(command)
        if point is not None and point.write is not None:
            return command
    return None


def args_of(profile: Profile, command: str, action: RuleAction) -> dict[str, str | int | float | bool]:
    """What the command is given: as the rule says; what stands for a release lasts as long as the model lets it.

    Raises Permanent when the model does not take it.
    """
    write = profile.points[command].write
    if write is None:
        raise Permanent(f"{command!r} cannot be commanded")
    args = dict(action.args)
    if command != action.do and write.argument is not None:
        args = {write.argument: int(write.maximum)} | args
    write.given(args)
    return args


class _Known:
    """The devices of a site with their profiles, as far as both are right."""

    def __init__(self, buses: Sequence[Any], profiles: Mapping[str, AnyProfile]) -> None:
        self.devices: dict[str, tuple[Device, AnyProfile | None]] = {}
        self._is_whole = not is_bad(buses)
        """Whether each device could be read; one that could not may be the one that seems to be missing."""
        for bus in buses:
            self._is_whole &= not is_bad(bus) and not is_bad(bus.devices)
            for device in () if is_bad(bus) or is_bad(bus.devices) else bus.devices:
                if is_bad(device) or is_bad(device.id):
                    self._is_whole = False
                    continue
                self.devices[device.id] = (device, None if is_bad(device.profile) else profiles.get(device.profile))

    def profile(self, device: str) -> AnyProfile | None:
        """The device's profile; None when either does not exist."""
        return self.devices[device][1] if device in self.devices else None

    def missing(self, device: str, where: Where) -> Iterator[Problem]:
        """Says that a device does not exist."""
        if self._is_whole and device not in self.devices:
            near = nearest(device, self.devices)
            hint = f"did you mean {near[0]!r}?" if near else "it must be one of the devices under buses:"
            yield Problem(where, f"device {device!r} does not exist", hint)

    def cause(self, device: str) -> Cause | None:
        """What the device tells of, if it can."""
        profile = self.profile(device)
        cause = CAUSES.get(profile.kind) if profile else None
        return cause if profile and cause and cause.point in profile.points else None


def check_linkage(site: Any, profiles: Mapping[str, AnyProfile]) -> Iterator[Problem]:
    """Everything that is wrong with the zones, the rules and the guard page of a site."""
    known = _Known(site.buses, profiles)
    zones: dict[str, Zone] = {}
    taken: dict[str, str] = {}
    for z, zone in enumerate(site.zones):
        if is_bad(zone):
            continue
        where: Where = ("zones", z)
        if not is_bad(zone.id):
            if zone.id in zones:
                yield Problem((*where, "id"), f"zone id {zone.id!r} is used twice", "give each zone its own id")
            zones[zone.id] = zone
        if not is_bad(zone.triggers):
            yield from _check_triggers(zone, where, known, taken)
    rules: set[str] = set()
    for r, rule in enumerate(site.linkage):
        if is_bad(rule):
            continue
        where = ("linkage", r)
        if not is_bad(rule.id):
            if rule.id in rules:
                yield Problem((*where, "id"), f"rule id {rule.id!r} is used twice", "give each rule its own id")
            rules.add(rule.id)
        yield from _check_rule(rule, where, known, zones)
    page = site.guard_page
    if page is not None and not is_bad(page):
        yield from _check_page(page, known)


def _check_triggers(zone: Zone, where: Where, known: _Known, taken: dict[str, str]) -> Iterator[Problem]:
    if not zone.triggers:
        yield Problem((*where, "triggers"), f"zone {zone.id!r} has no triggers", "list its detectors and call points")
    for t, device in enumerate(zone.triggers):
        if is_bad(device):
            continue
        here = (*where, "triggers", t)
        yield from known.missing(device, here)
        if device in taken:
            other = "listed twice in this zone" if taken[device] == zone.id else f"already in zone {taken[device]!r}"
            yield Problem(here, f"{device!r} is {other}", "a detector watches one zone: list it there, once")
        taken.setdefault(device, zone.id)
        profile = known.profile(device)
        if profile is not None and not is_bad(profile.kind) and known.cause(device) is None:
            yield Problem(here, f"{device!r} ({KINDS[profile.kind].en}) triggers nothing",
                          f"these kinds do: {', '.join(sorted(CAUSES))}")  # fmt: skip


def _check_rule(rule: Rule, where: Where, known: _Known, zones: Mapping[str, Zone]) -> Iterator[Problem]:
    needs = 0 if is_bad(rule.when, rule.confirmed_by) else rule.needs
    if needs and rule.when == "fire" and needs < CONFIRMED_BY:
        hint = f"at least {CONFIRMED_BY} (GB 50116 4.1.6); what is to sound at the first one stands under first:"
        yield Problem((*where, "confirmed_by"), "one trigger alone confirms no fire", hint)
    if not is_bad(rule.zone):
        zone = zones.get(rule.zone)
        if zone is None:
            near = nearest(rule.zone, zones)
            hint = f"did you mean {near[0]!r}?" if near else "describe it under zones:"
            yield Problem((*where, "zone"), f"zone {rule.zone!r} does not exist", hint)
        elif needs and not is_bad(zone.triggers):
            yield from _check_strength(rule, zone, where, known)
    if not is_bad(rule.first) and rule.first and needs == 1 and rule.when != "fire":
        hint = "this rule is confirmed by the first trigger: put it under then:"
        yield Problem((*where, "first"), "first: would never be done", hint)
    if not is_bad(rule.then) and not rule.then:
        yield Problem((*where, "then"), "the rule does nothing", "say what is to be done, or remove the rule")
    for part, allowed in (("first", SOUNDS), ("then", RULE_COMMANDS), ("after", AFTER_COMMANDS)):
        actions = getattr(rule, part)
        for a, action in enumerate(() if is_bad(actions) else actions):
            if is_bad(action):
                continue
            here = (*where, part, a)
            yield from _check_action(action, here, known, allowed)
            if part == "then" and rule.when != "fire" and 0 < needs < CONFIRMED_BY and action.do in RELEASES:
                hint = f"confirmed_by: {CONFIRMED_BY} or more; one wet sensor must not open a house"
                yield Problem((*here, "do"), f"{action.do!r} at one trigger alone", hint)


def _check_strength(rule: Rule, zone: Zone, where: Where, known: _Known) -> Iterator[Problem]:
    """Says when a rule can never be confirmed."""
    fitting = [
        d for d in zone.triggers if not is_bad(d) and (c := known.cause(d)) is not None and c.hazard == rule.when
    ]
    unsure = any(is_bad(d) or known.profile(d) is None for d in zone.triggers)
    has = strength(profile.kind for d in fitting if (profile := known.profile(d)) is not None)
    if unsure or has >= rule.needs:
        return
    triggers = "trigger" if has == 1 else "triggers"
    problem = f"zone {zone.id!r} has {has} independent {triggers} for {rule.when}, and the rule needs {rule.needs}"
    hint = "add detectors to the zone"
    if rule.when == "fire":
        hint += "; all manual call points together count as one"
    yield Problem((*where, "zone"), problem, hint)


def _check_action(action: RuleAction, where: Where, known: _Known, allowed: frozenset[str]) -> Iterator[Problem]:
    if is_bad(action.device, action.do):
        return
    yield from known.missing(action.device, (*where, "device"))
    do = (*where, "do")
    if action.do in {"valve", "relay"}:
        hint = "valves and meters' relays take a person, some of them two; let the rule sound or announce"
        yield Problem(do, f"no rule may command {action.do!r}", hint)
        return
    if action.do in RELEASES.values():
        instead = next(name for name, stands in RELEASES.items() if stands == action.do)
        hint = f"do: {instead}; a model without it is told {action.do!r} again and again until the reset"
        yield Problem(do, f"a rule does not {action.do!r}, which ends by itself", hint)
        return
    if action.do not in allowed:
        problem = f"{action.do!r} cannot be done here"
        if action.do in RULE_COMMANDS and allowed == SOUNDS:
            problem = f"{action.do!r} needs a confirmed trigger: here it may only sound"
        elif action.do == "close":
            problem = "no rule closes a gate while it lasts"
        yield Problem(do, problem, f"one of: {', '.join(sorted(allowed))}")
        return
    profile = known.profile(action.device)
    if profile is None or is_bad(profile.points):
        return
    command = command_of(profile, action.do)
    if command is None:
        can = sorted(name for name, point in profile.points.items()
                     if point.write and KINDS[profile.kind].points[name].type is PointType.COMMAND)  # fmt: skip
        yield Problem(do, f"{action.device!r} ({profile.id}) cannot {action.do!r}",
                      f"it can: {', '.join(can)}" if can else "it can be told nothing")  # fmt: skip
        return
    if is_bad(action.args) or any(is_bad(value) for value in action.args.values()):
        return
    try:
        args_of(profile, command, action)
    except Permanent as e:
        if command != action.do and not action.args:  # it stands for a release, and cannot last
            problem = f"{action.device!r} ({profile.id}) has no {action.do!r}, and its {command!r} is over too soon"
            hint = "no escape route may depend on it: take a model with a release, or leave it out here"
            yield Problem(do, problem, hint)
            return
        yield Problem(do, f"{action.do!r} of {action.device!r}: {e}", "args: {…} gives a command what it needs")


def _check_page(page: GuardPage, known: _Known) -> Iterator[Problem]:
    if not is_bad(page.listen):
        try:
            checked_listen(page.listen)
        except AnjuError as e:
            problem, _, hint = str(e).partition("; ")
            yield Problem(("guard_page", "listen"), problem, hint)
    for a, action in enumerate(() if is_bad(page.sound) else page.sound):
        if not is_bad(action):
            yield from _check_action(action, ("guard_page", "sound", a), known, SOUNDS)
