"""Scenarios: what happens in a simulated estate and when, as a YAML timeline. Devices are named as in the site file."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import msgspec

from contract.config import Problem, load_file
from contract.errors import Permanent
from contract.kinds import KINDS, PointType
from contract.profile import AnyProfile, load_profiles, shipped_profiles
from contract.site import Site, load_site
from simulators.bus import Fault, Value
from simulators.estate import Estate
from simulators.log import TruthLog

Duration = Annotated[str, msgspec.Meta(pattern=r"^(\d+h)?(\d+m)?(\d+(\.\d+)?s)?$", min_length=2)]
"""Time as people write it: 2s, 1m30s, 0.5s, 1h."""


class Set(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A point takes a value: a word for a state, a number in the point's unit for telemetry."""

    device: str
    point: str
    value: str | float


class Ramp(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Telemetry goes in a straight line to a value, beginning now, in `over`."""

    device: str
    point: str
    to: float
    over: Duration


class Jump(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A point shows something else for a while, as a bad contact or a spike does; then what it was."""

    device: str
    point: str
    to: str | float
    over: Duration = "1s"


class Chatter(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A state goes to and fro, or an event happens again and again: a change after each `every`, until `over` is over.

    `jitter` is how far the pauses differ from `every`, as a share of it. The first of `between` is where it ends.
    """

    device: str
    point: str
    between: Annotated[list[str | float], msgspec.Meta(min_length=2, max_length=8)]
    every: Duration = "1s"
    over: Duration
    jitter: Annotated[float, msgspec.Meta(ge=0, lt=1)] = 0.0


class Break(Fault, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The unit a device is on fails from now on, until `mend`."""

    device: str


class Step(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """At a time, exactly one thing happens. `say` is shown with it."""

    at: Duration
    set: Set | None = None
    ramp: Ramp | None = None
    jump: Jump | None = None
    chatter: Chatter | None = None
    fault: Break | None = None
    mend: str | None = None
    """Device whose unit works again."""
    cut: str | None = None
    """Bus whose connections are closed."""
    power_off: str | None = None
    power_on: str | None = None
    """Bus that loses its power, or has it back."""
    say: str = ""


class Living(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """How telemetry of a kind's point lives when nothing happens: around `base`, each device a little different.

    `spread` is how far devices differ, `noise` how far one wanders; both are standard deviations in the point's unit.
    `swing` is added at the hour `peak` of the day and taken away twelve hours later. `counts` names a point of the same
    device in the same unit an hour: this one counts it up, as a meter does its flow. The first that fits a device
    counts; `device` is for one alone.
    """

    kind: str
    point: str
    device: str = ""
    base: float
    spread: Annotated[float, msgspec.Meta(ge=0)] = 0.0
    noise: Annotated[float, msgspec.Meta(ge=0)] = 0.0
    swing: float = 0.0
    peak: Annotated[float, msgspec.Meta(ge=0, lt=24)] = 15.0
    counts: str = ""
    every: Duration = "1s"


class Scenario(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A site file (relative to the scenario), living telemetry, and steps in order of time. A seed fixes the noise.

    `clock` is the time of day at which it begins, for what swings with the day. With `again` the steps are done anew
    so long after they began, for ever.
    """

    name: str
    site: str
    seed: int = 1
    clock: Duration = "12h"
    again: Duration | None = None
    living: list[Living] = []
    steps: list[Step] = []


@dataclass(frozen=True)
class Play:
    """A scenario checked against its site, ready to run."""

    scenario: Scenario
    site: Site
    profiles: Mapping[str, AnyProfile]


_PARTS = re.compile(r"(?:(\d+)h)?(?:(\d+)m)?(?:(\d+(?:\.\d+)?)s)?")


def seconds(duration: str) -> float:
    """How many seconds a duration is."""
    match = _PARTS.fullmatch(duration)
    if match is None:
        raise Permanent(f"{duration!r} is no duration; write 2s, 1m30s or 1h")
    hours, minutes, rest = match.groups(default="0")
    return int(hours) * 3600 + int(minutes) * 60 + float(rest)


def load_scenario(path: Path, profiles_folder: Path | None = None) -> Play:
    """The scenario in a file with its site. Raises ConfigError with every mistake in either."""
    loaded = load_file(path, Scenario)
    profiles = load_profiles(profiles_folder or shipped_profiles())
    site = load_site(path.parent / loaded.value.site, profiles)
    loaded.raise_for(_check(loaded.value, site, profiles))
    return Play(loaded.value, site, profiles)


_ACTIONS = ("set", "ramp", "jump", "chatter", "fault", "mend", "cut", "power_off", "power_on")


def _check(scenario: Scenario, site: Site, profiles: Mapping[str, AnyProfile]) -> Iterator[Problem]:
    estate = Estate(site, profiles, TruthLog(), seed=scenario.seed)  # tried on one that is never switched on
    for i, living in enumerate(scenario.living):
        yield from _check_living(living, estate, ("living", i))
    yield from _check_again(scenario)
    before = 0.0
    for i, step in enumerate(scenario.steps):
        where = ("steps", i)
        at = seconds(step.at)
        if at < before:
            yield Problem((*where, "at"), f"{step.at} comes after a later step", "put the steps in order of time")
        before = at
        named = [action for action in _ACTIONS if getattr(step, action) is not None]
        if len(named) > 1 or not (named or step.say):
            hint = f"one of: {', '.join(_ACTIONS)}, or only say"
            yield Problem(where, f"a step does one thing, this one does {len(named)}", hint)
            continue
        for action in ("cut", "power_off", "power_on"):
            bus = getattr(step, action)
            if bus is not None and bus not in estate.buses:
                hint = f"one of: {', '.join(estate.buses)}"
                yield Problem((*where, action), f"there is no bus {bus!r} in the site", hint)
        if named:
            yield from _check_device(step, named[0], estate, where)


def _check_again(scenario: Scenario) -> Iterator[Problem]:
    """Says when the steps would begin anew before they are done."""
    if scenario.again is None:
        return
    last = max((seconds(step.at) for step in scenario.steps), default=0.0)
    if not scenario.steps or seconds(scenario.again) <= last:
        yield Problem(("again",), f"again: {scenario.again} is not after the last step", "let the steps end first")


def _check_living(living: Living, estate: Estate, where: tuple[str | int, ...]) -> Iterator[Problem]:
    kind = KINDS.get(living.kind)
    if kind is None:
        yield Problem((*where, "kind"), f"kind {living.kind!r} does not exist")
        return
    for field in ("point", "counts"):
        name = getattr(living, field)
        point = kind.points.get(name)
        if name and (point is None or point.type is not PointType.TELEMETRY):
            yield Problem((*where, field), f"{living.kind} has no telemetry {name!r}")
    if living.device and living.device not in estate.devices:
        yield Problem((*where, "device"), f"there is no device {living.device!r} in the site")


def _check_device(step: Step, action: str, estate: Estate, where: tuple[str | int, ...]) -> Iterator[Problem]:
    """What is wrong with a step's device, point and value: it is done to an estate that is not switched on."""
    part = getattr(step, action)
    name = step.mend if action == "mend" else getattr(part, "device", None)
    if name is None:
        return
    here = (*where, action)
    if name not in estate.devices:
        yield Problem(where, f"there is no device {name!r} in the site")
    elif step.fault:
        try:
            estate.fail(name, fault_of(step.fault))
        except Permanent as e:
            yield Problem((*here, "kind"), str(e))
    elif step.ramp and not is_number(estate, name, step.ramp.point):
        yield Problem((*here, "point"), f"{step.ramp.point} is no number; only numbers ramp")
    elif part is not step.mend:
        for value in _values(step):
            try:
                estate.set(name, part.point, value)
            except Permanent as e:
                yield Problem(here, str(e))
                return


def _values(step: Step) -> list[Value]:
    """The values that a step gives a point."""
    if step.set:
        return [step.set.value]
    if step.chatter:
        return step.chatter.between
    part = step.ramp or step.jump
    return [part.to] if part else []


def is_number(estate: Estate, device: str, point: str) -> bool:
    """Whether a device's point is telemetry."""
    found = KINDS[estate.devices[device].profile.kind].points.get(point)
    return found is not None and found.type is PointType.TELEMETRY


def fault_of(broken: Break) -> Fault:
    """A fault as a bus takes it, without who has it."""
    return Fault(**{name: getattr(broken, name) for name in Fault.__struct_fields__})
