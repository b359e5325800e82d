"""A stairwell with detectors, a call point, doors, a gate and sounders, and words for what its devices say."""

from pathlib import Path

import msgspec

from contract.config import load_file
from contract.kinds import Lane
from contract.messages import Quality, Reading
from contract.profile import load_profiles, shipped_profiles
from contract.site import ResolvedDevice, Site, load_site, resolve
from edge.linkage.plan import Plan, make_plan

PROFILES = load_profiles(shipped_profiles())
S = 1_000_000_000
MINUTE = 60 * S
SITE = """\
estate: {name: 西苑小区}
cloud: {url: "https://anju.example.org"}
buses:
  - id: panel
    protocol: modbus-tcp
    host: 192.0.2.10
    devices:
      - {id: smoke-1, name: 1层烟感, profile: anju-smoke-panel-16, unit: 1, channel: 0, place: {building: 3, floor: 1}}
      - {id: smoke-2, name: 2层烟感, profile: anju-smoke-panel-16, unit: 1, channel: 1}
      - {id: smoke-3, name: 3层烟感, profile: anju-smoke-panel-16, unit: 1, channel: 2}
      - {id: smoke-away, name: 车库烟感, profile: anju-smoke-panel-16, unit: 1, channel: 3}
      - {id: call-1, name: 手报1, profile: anju-call-point-panel-16, unit: 2, channel: 0}
      - {id: call-2, name: 手报2, profile: anju-call-point-panel-16, unit: 2, channel: 1}
      - {id: leak-1, name: 水浸1, profile: anju-leak-panel-16, unit: 3, channel: 0}
      - {id: door-1, name: 单元门, profile: anju-release-door-unit, unit: 10}
      - {id: door-2, name: 后门, profile: anju-door-unit, unit: 11}
      - {id: gate-1, name: 东门, profile: anju-vehicle-gate, unit: 12}
      - {id: siren-1, name: 单元声光, profile: anju-sounder, unit: 13}
      - {id: siren-guard, name: 值班室声光, profile: anju-sounder, unit: 14}
zones:
  - {id: b3, name: 3号楼, triggers: [smoke-1, smoke-2, smoke-3, call-1, call-2]}
  - {id: cellar, name: 地下室, triggers: [leak-1]}
linkage:
  - id: fire-b3
    zone: b3
    first:
      - {device: siren-guard, do: sound, args: {seconds: 30}}
    then:
      - {device: door-1, do: release}
      - {device: door-2, do: release}
      - {device: gate-1, do: hold_open}
      - {device: siren-1, do: sound, args: {seconds: 600}}
    after:
      - {device: gate-1, do: close}
  - id: leak
    zone: cellar
    when: leak
    then:
      - {device: siren-guard, do: sound, args: {seconds: 10}}
guard_page:
  listen: 127.0.0.1:8090
  password: {secret: guard}
  sound:
    - {device: siren-guard, do: sound, args: {seconds: 60}}
"""
WORDS = {"smoke": ("smoke", "clear", "smoke"), "call": ("fire", "normal", "alarm"), "leak": ("leak", "dry", "leak")}
"""By the first part of a device's id: its point, its word at rest, its word in alarm."""


def site(text: str = SITE, folder: Path | None = None) -> tuple[Site, list[ResolvedDevice]]:
    """The site of a text, and its devices."""
    import tempfile

    with tempfile.TemporaryDirectory(dir=folder) as made:
        path = Path(made) / "site.yaml"
        path.write_text(text, encoding="utf-8")
        loaded = load_site(path, PROFILES)
    return loaded, resolve(loaded, PROFILES)


def plan(text: str = SITE) -> Plan:
    """Its plan."""
    return make_plan(*site(text))


def says(device: str, *, alarm: bool, at: int, quality: Quality = Quality.GOOD) -> Reading:
    """A trigger's reading."""
    point, rest, word = WORDS[device.partition("-")[0]]
    return Reading(device, point, word if alarm else rest, quality, at, Lane.URGENT)


def link(device: str, word: str, at: int) -> Reading:
    """The box's own state of a device."""
    return Reading(device, "link", word, Quality.GOOD, at, Lane.URGENT)


def state(device: str, point: str, value: str, at: int) -> Reading:
    """Any state."""
    return Reading(device, point, value, Quality.GOOD, at, Lane.URGENT)


def with_first_rule(text: str, **changes: object) -> Plan:
    """The plan with some of the first rule's fields changed."""
    made = plan(text)
    return msgspec.structs.replace(made, rules=(msgspec.structs.replace(made.rules[0], **changes), *made.rules[1:]))


__all__ = ["MINUTE", "SITE", "S", "link", "load_file", "plan", "says", "site", "state", "with_first_rule"]
