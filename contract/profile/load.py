"""Profiles from files, checked whole: what every protocol has in common here, the rest by the protocol's module."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from contract.config import FILE, Problem, is_bad, load_file
from contract.errors import ConfigError, Mistake
from contract.kinds import KINDS, Kind, PointType
from contract.profile.ble import BleProfile, check_ble
from contract.profile.common import Confirm, PointMap, Profile
from contract.profile.modbus import ModbusProfile, check_modbus
from contract.profile.mqtt import MqttProfile, check_mqtt

AnyProfile = ModbusProfile | BleProfile | MqttProfile
CHECKS: dict[str, Callable[[Any], Iterable[Problem]]] = {
    "modbus": check_modbus, "ble": check_ble, "mqtt": check_mqtt,
}  # fmt: skip
"""What is checked besides, by protocol."""


def check_profile(profile: Profile) -> list[Problem]:
    """What is wrong with a profile that has the right shape; empty when nothing is."""
    kind = KINDS.get(profile.kind) if not is_bad(profile.kind) else None
    if is_bad(profile.kind, profile.points):
        return []
    if kind is None:
        return [Problem(("kind",), f"kind {profile.kind!r} does not exist", f"one of: {', '.join(sorted(KINDS))}")]
    problems: list[Problem] = []
    for name, point in profile.points.items():
        if not is_bad(name, point) and not is_bad(point.read, point.write, point.states, point.confirm):
            problems.extend(_check_point(name, point, kind, profile))
    if not is_bad(profile.protocol):
        problems.extend(CHECKS[profile.protocol](profile))
    return problems


def _check_point(name: str, point: PointMap, kind: Kind, profile: Profile) -> Iterator[Problem]:
    where = ("points", name)
    standard = kind.points.get(name)
    if standard is None:
        yield Problem(where, f"{kind.name} has no point {name!r}", f"it has: {', '.join(sorted(kind.points))}")
        return
    if name == "linkage":
        yield Problem(where, "linkage is said by the box, not by a device", "remove it")
    is_command = standard.type is PointType.COMMAND
    if is_command and point.write is None:
        yield Problem(where, f"command {name!r} says nowhere to write", "add write:")
    if not is_command and point.read is None:
        yield Problem(where, f"point {name!r} says nowhere to read", "add read:")
    if standard.type is PointType.STATE:
        known = {word.code for word in standard.words}
        if not point.states:
            yield Problem(where, f"state {name!r} has no states", f"map raw values to: {', '.join(known)}")
        for word in point.states.values():
            if not is_bad(word) and word not in known:
                yield Problem(
                    (*where, "states"), f"{name!r} has no word {word!r}", f"one of: {', '.join(sorted(known))}"
                )
    elif point.states:
        yield Problem((*where, "states"), f"{name!r} is no state", "only states have words")
    if point.when and standard.type is not PointType.EVENT:
        yield Problem((*where, "when"), f"{name!r} is no event", "a state has states: instead")
    if point.counter is not None and standard.type is not PointType.TELEMETRY:
        yield Problem((*where, "counter"), f"{name!r} is no number", "only telemetry counts")
    argument = point.write.argument if point.write else None
    if is_command and argument is not None and not is_bad(argument) and argument not in standard.fields:
        hint = ", ".join(standard.fields) or "it has none"
        yield Problem((*where, "write", "argument"), f"{name!r} has no argument {argument!r}", hint)
    if point.confirm:
        yield from _check_confirm(point.confirm, (*where, "confirm"), profile)
    low, high = point.minimum, point.maximum
    if low is not None and high is not None and not is_bad(low, high) and low > high:
        yield Problem((*where, "minimum"), f"minimum {low:g} is above maximum {high:g}", "exchange them")


def _check_confirm(confirm: Confirm, where: tuple[str | int, ...], profile: Profile) -> Iterator[Problem]:
    """What is wrong with how a command's effect is read back; empty where it can ever be seen."""
    if is_bad(confirm.point, confirm.state):
        return
    seen = profile.points.get(confirm.point)
    if seen is None:
        yield Problem(where, f"confirm names point {confirm.point!r}, not in this profile")
    elif not is_bad(seen) and not is_bad(seen.states) and not is_bad(*seen.states.values()):
        words = sorted(seen.states.values())
        if confirm.state not in words:
            problem = f"confirm waits for {confirm.state!r}, which {confirm.point!r} never says"
            yield Problem(where, problem, f"one of: {', '.join(words)}")


def load_profile(path: Path) -> AnyProfile:
    """The profile in a file. Raises ConfigError with every mistake."""
    loaded = load_file(path, AnyProfile, check=check_profile)
    problems = []
    if loaded.value.id != path.stem:
        problems.append(
            Problem(
                ("id",), f"id {loaded.value.id!r} differs from the file's name", f"call the file {loaded.value.id}.yaml"
            )
        )
    loaded.raise_for(problems)
    profile: AnyProfile = loaded.value
    return profile


def load_profiles(folder: Path) -> dict[str, AnyProfile]:
    """All profiles below a folder, by id. Raises ConfigError with every mistake in every file."""
    profiles: dict[str, AnyProfile] = {}
    mistakes: list[Mistake] = []
    for path in sorted(folder.rglob("*.yaml")):
        try:
            profile = load_profile(path)
        except ConfigError as e:
            mistakes.extend(e.mistakes)
            continue
        if profile.id in profiles:
            mistakes.append(Mistake(str(path), FILE, f"profile {profile.id!r} exists twice", "remove one of them"))
        profiles[profile.id] = profile
    if mistakes:
        raise ConfigError(mistakes)
    return profiles


class ProfileStore(Mapping[str, AnyProfile]):
    """The profiles below some folders, each read when first asked for; a later folder's replaces an earlier one's.

    A profile with mistakes is not there; it is in `broken`, with its mistakes. A file that nobody uses stops nothing.
    """

    def __init__(self, folders: Iterable[Path]) -> None:
        self.broken: dict[str, list[Mistake]] = {}
        self._paths: dict[str, Path] = {}
        self._loaded: dict[str, AnyProfile] = {}
        for folder in folders:
            paths = sorted(folder.rglob("*.yaml"))
            self._paths |= {path.stem: path for path in paths}
            for path in paths:
                if self._paths[path.stem] != path:
                    twice = Mistake(str(path), FILE, f"profile {path.stem!r} exists twice", "remove one of them")
                    self.broken.setdefault(path.stem, []).append(twice)

    def __getitem__(self, name: str) -> AnyProfile:
        if name in self.broken:
            raise KeyError(name)
        if name not in self._loaded:
            try:
                self._loaded[name] = load_profile(self._paths[name])
            except ConfigError as e:
                self.broken[name] = list(e.mistakes)
                raise KeyError(name) from e
        return self._loaded[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._paths)

    def __len__(self) -> int:
        return len(self._paths)


def shipped_profiles() -> Path:
    """The folder of the profiles that come with Anju."""
    return Path(__file__).resolve().parent.parent.parent / "device_profiles"
