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
from contract.site import ResolvedDevice, Site, load_site, resolve
from simulators.modbus.device import Value, raw_of
from simulators.modbus.server import Fault

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


class Break(Fault, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The unit a device is on fails from now on, until `mend`."""

    device: str


class Step(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """At a time, exactly one thing happens. `say` is shown with it."""

    at: Duration
    set: Set | None = None
    ramp: Ramp | None = None
    fault: Break | None = None
    mend: str | None = None
    """Device whose unit works again."""
    cut: str | None = None
    """Bus whose connections are closed."""
    power_off: str | None = None
    power_on: str | None = None
    """Bus that leaves the network, or comes back."""
    say: str = ""


class Living(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """How telemetry of a kind's point lives when nothing happens: around `base`, each device a little different.

    `spread` is how far devices differ, `noise` how far one wanders; both are standard deviations in the point's unit.
    """

    kind: str
    point: str
    base: float
    spread: Annotated[float, msgspec.Meta(ge=0)] = 0.0
    noise: Annotated[float, msgspec.Meta(ge=0)] = 0.0
    every: Duration = "1s"


class Scenario(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A site file (relative to the scenario), living telemetry, and steps in order of time. A seed fixes the noise."""

    name: str
    site: str
    seed: int = 1
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


_ACTIONS = ("set", "ramp", "fault", "mend", "cut", "power_off", "power_on")


def _check(scenario: Scenario, site: Site, profiles: Mapping[str, AnyProfile]) -> Iterator[Problem]:
    devices = {device.device.id: device for device in resolve(site, profiles)}
    buses = {bus.id for bus in site.buses}
    for i, living in enumerate(scenario.living):
        kind = KINDS.get(living.kind)
        point = kind.points.get(living.point) if kind else None
        if kind is None:
            yield Problem(("living", i, "kind"), f"kind {living.kind!r} does not exist")
        elif point is None or point.type is not PointType.TELEMETRY:
            yield Problem(("living", i, "point"), f"{living.kind} has no telemetry {living.point!r}")
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
        for action in ("cut", "power_off", "power_on"):
            bus = getattr(step, action)
            if bus is not None and bus not in buses:
                yield Problem((*where, action), f"there is no bus {bus!r} in the site", f"one of: {', '.join(buses)}")
        name = step.mend or next((part.device for part in (step.set, step.ramp, step.fault) if part), None)
        if name is not None and name not in devices:
            yield Problem(where, f"there is no device {name!r} in the site")
        elif step.set or step.ramp:
            yield from _check_value(step, devices, where)


def _check_value(step: Step, devices: Mapping[str, ResolvedDevice], where: tuple[str | int, ...]) -> Iterator[Problem]:
    part = step.set or step.ramp
    assert part is not None
    value: Value = part.value if isinstance(part, Set) else part.to
    found = devices[part.device]
    mapped = found.profile.points.get(part.point)
    here = (*where, "set" if step.set else "ramp")
    if mapped is None or mapped.read is None:
        yield Problem((*here, "point"), f"{found.profile.id} has no point {part.point!r} to set")
        return
    if step.ramp and mapped.states:
        yield Problem((*here, "point"), f"{part.point} is a state; only numbers ramp")
        return
    try:
        raw_of(mapped, value)
    except Permanent as e:
        yield Problem(here, str(e))
