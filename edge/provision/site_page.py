"""`anju check`: what a sound site file connects and does by itself, and what is still missing around it."""

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import msgspec

from contract.errors import AnjuError, ConfigError
from contract.kinds import KINDS
from contract.profile import AnyProfile, ProfileStore
from contract.site import (
    ModbusBus,
    ModbusRtuBus,
    ResolvedDevice,
    Rule,
    RuleAction,
    Secret,
    Site,
    SitePlace,
    inventory_of,
    resolve,
)  # fmt: skip
from contract.site.linkage import CAUSES, SOUNDS, command_of, strength
from contract.site.modbus import load_on
from edge.guard.access import MAX_PASSWORD, MIN_PASSWORD
from edge.provision.columns import width_of, wrap
from edge.provision.profiles import BESIDE
from edge.secrets import has_folder, read_secret
from edge.settings import load_config

_BINDKEY = re.compile("[0-9a-fA-F]{32}")
_PASSING_PORT = re.compile(r"/dev/tty(USB|ACM)\d+")
_LIFE_SAFETY = frozenset({"fire", "gas"})
_MOST_NAMES = 12
"""Devices named in a line before the rest is counted."""


class BusSummary(msgspec.Struct, frozen=True, kw_only=True):
    """A bus and its devices by kind. `load` is what polls take of its serial line's time (0 to 1); None without one."""

    id: str
    protocol: str
    endpoint: str
    poll_s: float | None
    devices: dict[str, int]
    load: float | None


class ActionSummary(msgspec.Struct, frozen=True):
    """What one device is told."""

    device: str
    name: str
    do: str
    args: dict[str, str | int | float | bool]


class ZoneSummary(msgspec.Struct, frozen=True):
    """A zone and what triggers in it: names by device id."""

    id: str
    name: str
    triggers: dict[str, str]


class RuleSummary(msgspec.Struct, frozen=True, kw_only=True):
    """A rule: how many of `has` independent triggers it needs, and what it then does."""

    id: str
    zone: str
    when: str
    needs: int
    has: int
    within_s: float | None
    first: list[ActionSummary]
    then: list[ActionSummary]
    after: list[ActionSummary]


class SecretSummary(msgspec.Struct, frozen=True):
    """A secret that the file names, where, and what keeps it from being used; never what it is."""

    name: str
    needed_for: list[str]
    problem: str


class SiteSummary(msgspec.Struct, frozen=True, kw_only=True):
    """A site file that has no mistakes. `in_no_zone` are devices that could trigger, by kind."""

    site: str
    estate: str
    cloud: str
    buses: list[BusSummary]
    devices: int
    series: int
    zones: list[ZoneSummary]
    in_no_zone: dict[str, int]
    rules: list[RuleSummary]
    guard_page: str | None
    secrets: list[SecretSummary]
    warnings: list[str]


def summary_of(path: Path) -> SiteSummary:
    """What a site file says. Raises ConfigError with every mistake in it and in the profiles that it names."""
    site, profiles = load_config(path)
    devices = resolve(site, profiles)
    secrets = list(_secrets(site))
    in_zones = {device for zone in site.zones for device in zone.triggers}
    loose = (item.profile.kind for item in devices if item.profile.kind in CAUSES and item.device.id not in in_zones)
    by_id = {item.device.id: item for item in devices}
    return SiteSummary(
        site=str(path),
        estate=site.estate.name,
        cloud=site.cloud.url,
        buses=list(_buses(site, profiles, devices)),
        devices=len(devices),
        series=len(inventory_of(site, profiles).series),
        zones=[ZoneSummary(z.id, z.name, {d: by_id[d].device.name for d in z.triggers}) for z in site.zones],
        in_no_zone=dict(sorted(Counter(loose).items())) if site.zones else {},
        rules=[_rule(site, rule, by_id) for rule in site.linkage],
        guard_page=site.guard_page.listen if site.guard_page else None,
        secrets=secrets,
        warnings=[
            *_warn_secrets(secrets),
            *_warn_ports(site),
            *_warn_noise(site, devices),
            *_warn_places(devices),
            *_warn_profiles(site, profiles, path.parent / BESIDE),
        ],
    )


def as_json(summary: SiteSummary) -> str:
    """The summary for a program."""
    return msgspec.json.format(msgspec.json.encode(summary), indent=2).decode()


def mistakes_as_json(path: Path, error: ConfigError) -> str:
    """The mistakes of a site file for a program: file, line (0 where it is the whole file), problem and hint."""
    said = {"site": str(path), "mistakes": [asdict(mistake) for mistake in error.mistakes]}
    return msgspec.json.format(msgspec.json.encode(said), indent=2).decode()


def page(summary: SiteSummary, width: int) -> list[str]:
    """The summary in lines of at most `width` columns; an address that is longer is not cut."""
    lines = [f"{summary.site}: no mistakes.", *wrap(f"{summary.estate}, cloud {summary.cloud}", width)]
    for bus in summary.buses:
        pace = f", polled every {bus.poll_s:g} s" if bus.poll_s is not None else ""
        load = f"; this takes {bus.load:.0%} of the line's time" if bus.load is not None else ""
        what = f"{bus.id}: {bus.protocol} {bus.endpoint}{pace}: {_kinds(bus.devices) or 'no devices'}{load}"
        lines += wrap(what, width, "    ", "  ")
    lines.append(f"{summary.devices} devices, {summary.series} series")
    if summary.zones:
        lines += ["", "Zones, and what triggers in them"]
        for zone in summary.zones:
            lines += wrap(f"{zone.id} {zone.name}: {_some(list(zone.triggers.values()))}", width, "    ", "  ")
        if summary.in_no_zone:
            lines += wrap(f"in no zone: {_kinds(summary.in_no_zone)}", width, "    ", "  ")
    if summary.rules:
        lines += ["", "Rules, done by the box itself"]
        for rule in summary.rules:
            lines += _rule_lines(rule, width)
    if summary.guard_page:
        lines += ["", f"Guard page on {summary.guard_page}"]
    if summary.warnings:
        lines += ["", "Not mistakes, but look at them"]
        for warning in summary.warnings:
            for n, part in enumerate(warning.splitlines()):
                lines += wrap(part.strip(), width, "    ", "    " if n else "  ")
    return lines


def _buses(site: Site, profiles: Mapping[str, AnyProfile], devices: Iterable[ResolvedDevice]) -> Iterator[BusSummary]:
    kinds = {bus.id: Counter[str]() for bus in site.buses}
    for item in devices:
        kinds[item.bus.id][item.profile.kind] += 1
    for bus in site.buses:
        load = load_on(bus, profiles) if isinstance(bus, ModbusBus) else None
        yield BusSummary(
            id=bus.id,
            protocol=bus.protocol,
            endpoint=bus.endpoint,
            poll_s=bus.poll_s if isinstance(bus, ModbusBus) else None,
            devices=dict(sorted(kinds[bus.id].items())),
            load=round(load.share(bus.poll_s), 4) if isinstance(bus, ModbusBus) and load is not None else None,
        )


def _rule(site: Site, rule: Rule, by_id: Mapping[str, ResolvedDevice]) -> RuleSummary:
    zone = next(zone for zone in site.zones if zone.id == rule.zone)
    kinds = [by_id[device].profile.kind for device in zone.triggers]
    first: Sequence[RuleAction] = rule.first
    if not first and rule.needs > 1 and site.guard_page:
        first = site.guard_page.sound

    def told(actions: Sequence[RuleAction]) -> list[ActionSummary]:
        return [ActionSummary(act.device, by_id[act.device].device.name, act.do, dict(act.args)) for act in actions]

    return RuleSummary(
        id=rule.id,
        zone=zone.id,
        when=rule.when,
        needs=rule.needs,
        has=strength(kind for kind in kinds if CAUSES[kind].hazard == rule.when),
        within_s=rule.within_s,
        first=told(first),
        then=told(rule.then),
        after=told(rule.after),
    )


def _rule_lines(rule: RuleSummary, width: int) -> Iterator[str]:
    within = f" within {rule.within_s:g} s" if rule.within_s else ""
    agree = f"at {rule.needs} of {rule.has} triggers{within}" if rule.needs > 1 else "at one trigger"
    yield from wrap(f"{rule.id}: {rule.when} in {rule.zone}, {agree}", width, "    ", "  ")
    parts = [("then", rule.then), ("when it is over", rule.after)]
    if rule.needs > 1:
        parts.insert(0, ("at the first", rule.first))
    for part, actions in parts:
        if not actions and part == "when it is over":
            continue
        head = f"    {part}: "
        indent = " " * width_of(head)
        if not actions:
            yield f"{head}nothing on the spot"
        for action in actions:
            args = "".join(f", {name} {value}" for name, value in action.args.items())
            yield from wrap(f"{action.do} {action.name} ({action.device}){args}", width, indent, head)
            head = indent


def _kinds(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{count} × {KINDS[kind].en}" for kind, count in counts.items())


def _some(names: Sequence[str]) -> str:
    more = len(names) - _MOST_NAMES
    return ", ".join(names[:_MOST_NAMES]) + (f" and {more} more" if more > 0 else "")


def _secrets(site: Site) -> Iterator[SecretSummary]:
    needed: dict[str, list[str]] = {}
    for where, secret in _references("", site):
        needed.setdefault(secret.secret, []).append(where)
    for name, places in sorted(needed.items()):
        problem = ""
        try:
            problem = _form(read_secret(Secret(name)), name, places)
        except AnjuError as e:
            problem = str(e)
        yield SecretSummary(name, places, problem)


def _form(text: str, name: str, places: Sequence[str]) -> str:
    """What keeps a secret that is there from being used; it is never repeated."""
    if not text:
        return f"the secret {name!r} is empty"
    if "guard_page.password" in places and not MIN_PASSWORD <= len(text) <= MAX_PASSWORD:
        return f"the secret {name!r} must have {MIN_PASSWORD} to {MAX_PASSWORD} characters for the guard page"
    if any(where.endswith(".bindkey") for where in places) and not _BINDKEY.fullmatch(text.strip()):
        return f"the secret {name!r} is no bindkey: it must be 32 hex digits"
    return ""


def _references(where: str, value: Any) -> Iterator[tuple[str, Secret]]:
    """Every secret that a part of the site file names, with its place there: guard_page.password."""
    if isinstance(value, Secret):
        yield where, value
    elif isinstance(value, msgspec.Struct):
        for name in value.__struct_fields__:
            yield from _references(f"{where}.{name}".lstrip("."), getattr(value, name))
    elif isinstance(value, list):
        for n, item in enumerate(value):
            yield from _references(f"{where}.{getattr(item, 'id', n)}", item)


def _warn_secrets(secrets: Sequence[SecretSummary]) -> Iterator[str]:
    missing = [secret for secret in secrets if secret.problem]
    if missing and not has_folder():
        named = ", ".join(f"{secret.name} ({', '.join(secret.needed_for)})" for secret in missing)
        yield f"secrets were not looked for, as ANJU_SECRETS names no folder; the box needs: {named}"
        return
    for secret in missing:
        yield f"{secret.problem}\nneeded for {', '.join(secret.needed_for)}"


def _warn_ports(site: Site) -> Iterator[str]:
    """The serial ports that another adapter may have after the next start."""
    for bus in site.buses:
        if isinstance(bus, ModbusRtuBus) and _PASSING_PORT.fullmatch(bus.port):
            yield (
                f"{bus.id}: {bus.port} goes to whichever adapter comes first\n"
                "take its name in /dev/serial/by-id/ (deploy/RS485.md)"
            )


def _warn_noise(site: Site, devices: Sequence[ResolvedDevice]) -> Iterator[str]:
    """Detectors of fire or gas whose alarm nobody hears while the cloud cannot be reached."""
    cause_of = {d.device.id: CAUSES[d.profile.kind].hazard for d in devices if d.profile.kind in CAUSES}
    detectors = {device: hazard for device, hazard in cause_of.items() if hazard in _LIFE_SAFETY}
    if site.guard_page and site.guard_page.sound:
        return
    heard = {
        device
        for rule in site.linkage
        if any(act.do in SOUNDS for act in (*rule.first, *(rule.then if rule.needs == 1 else ())))
        for zone in site.zones
        if zone.id == rule.zone
        for device in zone.triggers
        if cause_of.get(device) == rule.when
    }
    unheard = [device for device in detectors if device not in heard]
    if not unheard:
        return
    sounder = next((d.device.id for d in devices if command_of(d.profile, "sound") is not None), None)
    line = f"sound: [{{device: {sounder or 'ID-OF-A-SOUNDER'}, do: sound, args: {{seconds: 60}}}}]"
    where = f"under guard_page: add {line}" if site.guard_page else f"add guard_page: with listen, password and {line}"
    need = "" if sounder else "; no device here can sound: connect a sounder first (anju profile list --kind sounder)"
    yield (
        f"while the cloud cannot be reached nobody hears an alarm of {len(unheard)} detectors of fire or gas: "
        f"{_some(unheard)}\n{where}{need}"
    )


def _warn_places(devices: Sequence[ResolvedDevice]) -> Iterator[str]:
    """Devices whose place nobody wrote: in a list of alarms two of a kind cannot be told apart."""
    nowhere = [item.device.id for item in devices if item.device.place == SitePlace()]
    if nowhere:
        named = _some(nowhere)
        yield (
            f"no place is written for {named}: two of a kind cannot be told apart where alarms are listed\n"
            "place: {building: 3, unit: 2, floor: 7, spot: corridor} at each device; spot alone will do"
        )


def _warn_profiles(site: Site, profiles: Mapping[str, AnyProfile], folder: Path) -> Iterator[str]:
    """The profiles beside the site that are broken; those that the site names have stopped it already."""
    used = {device.profile for bus in site.buses for device in bus.devices}
    for name in sorted({path.stem for path in folder.rglob("*.yaml")} - used):
        if profiles.get(name) is None and isinstance(profiles, ProfileStore):
            yield from (f"nobody uses it, but {mistake}" for mistake in profiles.broken.get(name, ()))
