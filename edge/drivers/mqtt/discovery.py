"""Devices that announce themselves for Home Assistant: read, grouped, and proposed to the installer. Never acted on.

Whoever may publish on the broker may announce anything, so what is read is bounded and what is shown is cleaned. Of the
templates in announcements only plain look-ups are understood (`{{ value_json.smoke }}`); nothing is ever evaluated.
Source: https://www.home-assistant.io/integrations/mqtt/#mqtt-discovery and the abbreviations listed there.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

import msgspec

from contract.profile import MqttProfile
from edge.drivers.mqtt.decode import BadPayload, parse

MAX_CONFIG: Final = 16 * 1024
"""Bytes of one announcement."""
MAX_ENTITIES: Final = 2000
MAX_WORDS: Final = 100
"""Characters of anything that is shown."""

ABBREVIATIONS: Final[Mapping[str, str]] = {
    "avty": "availability", "avty_t": "availability_topic", "cmd_t": "command_topic", "cmps": "components",
    "dev": "device", "dev_cla": "device_class", "obj_id": "object_id", "p": "platform", "pl_off": "payload_off",
    "pl_on": "payload_on", "stat_t": "state_topic", "t": "topic", "uniq_id": "unique_id",
    "unit_of_meas": "unit_of_measurement", "val_tpl": "value_template",
    "ids": "identifiers", "mdl": "model", "mdl_id": "model_id", "mf": "manufacturer",
}  # fmt: skip
"""Those of the fields that are read here."""

KIND_OF_CLASS: Final[Mapping[tuple[str, str], tuple[str, str]]] = {
    ("binary_sensor", "smoke"): ("smoke_detector", "smoke"),
    ("binary_sensor", "heat"): ("heat_detector", "fire"),
    ("binary_sensor", "gas"): ("gas_detector", "alarm"),
    ("binary_sensor", "moisture"): ("water_leak", "leak"),
    ("binary_sensor", "door"): ("door", "contact"),
    ("binary_sensor", "opening"): ("door", "contact"),
    ("binary_sensor", "garage_door"): ("door", "contact"),
    ("binary_sensor", "window"): ("door", "contact"),
    ("binary_sensor", "motion"): ("intrusion", "motion"),
    ("binary_sensor", "occupancy"): ("intrusion", "motion"),
    ("binary_sensor", "tamper"): ("", "tamper"),
    ("sensor", "energy"): ("electricity_meter", "energy"),
    ("sensor", "power"): ("electricity_meter", "power"),
    ("sensor", "voltage"): ("electricity_meter", "voltage_a"),
    ("sensor", "current"): ("electricity_meter", "current_a"),
    ("sensor", "temperature"): ("environment", "temperature"),
    ("sensor", "humidity"): ("environment", "humidity"),
    ("sensor", "carbon_dioxide"): ("environment", "co2"),
    ("sensor", "pm25"): ("environment", "pm25"),
    ("sensor", "battery"): ("", "battery"),
    ("sensor", "signal_strength"): ("", "rssi"),
    ("sensor", "water"): ("water_meter", "volume"),
    ("lock", ""): ("door", "lock"),
    ("light", ""): ("lighting", "running"),
    ("switch", ""): ("lighting", "running"),
    ("siren", ""): ("sounder", "active"),
}
"""Component and device class of Home Assistant: our kind ("" for what every kind may have) and point."""

_RANK = ("smoke_detector", "heat_detector", "gas_detector", "water_leak", "door", "intrusion", "sounder",
         "electricity_meter", "water_meter", "lighting", "environment")  # fmt: skip
"""What a device with points of several kinds is taken for: the first of these."""
_LOOK_UP = re.compile(r"\{\{\s*value_json((?:\.\w+|\[\s*'[^'\]]+'\s*\]|\[\s*\"[^\"\]]+\"\s*\]|\[\d+\])+)\s*\}\}")
_STEP = re.compile(r"\.(\w+)|\[\s*['\"]([^'\"]+)['\"]\s*\]|\[(\d+)\]")


class Entity(msgspec.Struct, frozen=True):
    """One announced thing: where its state is published and, as far as its class tells, our kind and point for it.

    `path` is None where its template is more than a look-up.
    """

    device: str
    component: str
    name: str
    state_topic: str
    path: str | None
    device_class: str = ""
    unit: str = ""
    command_topic: str = ""
    kind: str = ""
    point: str = ""


class Proposal(msgspec.Struct, frozen=True):
    """One announced device, with the profile that fits and what the site file would say, or what is known of it."""

    name: str
    maker: str
    model: str
    kind: str
    profile: str
    address: str
    base: str
    entities: tuple[Entity, ...]


class Device(msgspec.Struct, frozen=True):
    """What announcements say of the device they belong to."""

    key: str
    name: str
    maker: str
    model: str


def read_config(topic: str, payload: bytes) -> Iterator[tuple[Device, Entity]]:
    """What one announcement announces: nothing where it cannot be understood."""
    levels = topic.split("/")
    if len(payload) > MAX_CONFIG or levels[-1] != "config" or len(levels) not in {4, 5}:
        return
    try:
        config = parse(payload)
    except BadPayload:
        return
    if not isinstance(config, dict):
        return
    config = _expanded(config)
    device = _device(config.get("device"), clean(levels[-2]))
    if levels[1] != "device":
        yield from ((device, entity) for entity in _entity(device, levels[1], config))
        return
    components = config.get("components")
    for part in list(components.values())[:MAX_ENTITIES] if isinstance(components, dict) else ():
        if isinstance(part, dict):
            part = {"~": config.get("~"), "state_topic": config.get("state_topic")} | _expanded(part)
            yield from ((device, entity) for entity in _entity(device, clean(part.get("platform")), part))


def propose(
    configs: Iterable[tuple[str, bytes]], profiles: Mapping[str, MqttProfile], known: Iterable[str] = ()
) -> list[Proposal]:
    """The devices that announcements (topic and payload) tell of, without those whose address is `known`."""
    devices: dict[str, Device] = {}
    entities: dict[str, list[Entity]] = {}
    count = 0
    for topic, payload in configs:
        for device, entity in read_config(topic, payload):
            count += 1
            if count > MAX_ENTITIES:
                break
            devices.setdefault(device.key, device)
            entities.setdefault(device.key, []).append(entity)
    skip = set(known)
    made = (_propose(device, entities[key], profiles) for key, device in devices.items())
    return sorted((p for p in made if p.address not in skip), key=lambda p: (p.profile == "", p.name))


def _propose(device: Device, entities: list[Entity], profiles: Mapping[str, MqttProfile]) -> Proposal:
    best: tuple[int, str, str, str] = (0, "", "", "")
    for profile in profiles.values():
        for base, address, points in _fits(profile, entities):
            # Of two that fit alike the one whose own base it is, then the one of which less is missing, then the first.
            score = 2 * len(points) * 100 + 50 * (base == profile.base) - len(profile.points)
            if points and score > best[0]:
                best = (score, profile.id, address, "" if base == profile.base else base)
    kinds = {entity.kind for entity in entities}
    kind = next((kind for kind in _RANK if kind in kinds), "")
    _, profile_id, address, base = best
    if profile_id:
        kind = profiles[profile_id].kind
    return Proposal(
        device.name, device.maker, device.model, kind, profile_id, address, base,
        tuple(sorted(entities, key=lambda e: (e.point == "", e.name))),
    )  # fmt: skip


def _fits(profile: MqttProfile, entities: list[Entity]) -> Iterator[tuple[str, str, set[str]]]:
    """Bases and addresses with which a profile's main points are where the entities are, and those points."""
    found: dict[tuple[str, str], set[str]] = {}
    main = {name for name in profile.points if name not in _COMMON}
    for name, mapped in profile.points.items():
        for source in mapped.read.sources if mapped.read else ():
            pattern = _pattern(source.topic, profile.base)
            for entity in entities:
                if entity.path != source.path or not (match := pattern.fullmatch(entity.state_topic)):
                    continue
                groups = match.groupdict()
                found.setdefault((groups.get("base") or "", groups.get("address") or ""), set()).add(name)
    for (base, address), points in found.items():
        if address and points & main:
            yield base, address, points


_COMMON = frozenset({"battery", "tamper", "fault", "rssi"})


def _pattern(topic: str, base: str) -> re.Pattern[str]:
    """A regular expression for the topics that a profile's pattern can become."""
    parts = re.split(r"(\{base\}|\{address\}|\{channel\}|\{client\}|\+)", topic)
    named = {"{address}": r"(?P<address>[^+#]+)", "{channel}": r"\d+", "{client}": r"[^/]+", "+": r"[^/]+"}
    base_pattern = r"(?P<base>" + (re.escape(base).replace(r"\+", "[^/]+") if "+" in base else r"[^/+#]+") + ")"
    named["{base}"] = base_pattern
    return re.compile("".join(named.get(part, re.escape(part)) for part in parts))


def _entity(device: Device, component: str, config: Mapping[str, Any]) -> Iterator[Entity]:
    topic = _topic(config, "state_topic")
    if not topic:
        return
    device_class = clean(config.get("device_class"))
    kind, point = KIND_OF_CLASS.get((component, device_class)) or KIND_OF_CLASS.get((component, ""), ("", ""))
    yield Entity(
        device=device.key,
        component=component,
        name=clean(config.get("name")) or clean(config.get("object_id")) or device_class or point,
        state_topic=topic,
        path=path_of(config.get("value_template")),
        device_class=device_class,
        unit=clean(config.get("unit_of_measurement")),
        command_topic=_topic(config, "command_topic"),
        kind=kind,
        point=point,
    )


def path_of(template: Any) -> str | None:
    """The path that a template looks up: "" for none at all, None for one that does more."""
    if template is None or template == "":
        return ""
    if not isinstance(template, str) or len(template) > 10 * MAX_WORDS:
        return None
    match = _LOOK_UP.fullmatch(template.strip())
    if match is None:
        return "" if re.fullmatch(r"\{\{\s*value\s*\}\}", template.strip()) else None
    path = ""
    for key, quoted, index in _STEP.findall(match[1]):
        path += f"[{index}]" if index else ("." if path else "") + (key or quoted)
    return path if path.isprintable() else None  # it is shown to a person, on a terminal


def _topic(config: Mapping[str, Any], name: str) -> str:
    """A topic of an announcement, with ~ for its base."""
    topic, base = config.get(name), config.get("~")
    if not isinstance(topic, str):
        return ""
    if isinstance(base, str):
        if topic.startswith("~"):
            topic = base + topic[1:]
        elif topic.endswith("~"):
            topic = topic[:-1] + base
    return "" if len(topic) > 2 * MAX_WORDS else clean(topic, 2 * MAX_WORDS)


def _device(said: Any, otherwise: str) -> Device:
    said = _expanded(said) if isinstance(said, dict) else {}
    names = said.get("identifiers")
    first = names[0] if isinstance(names, list) and names else names
    key = clean(first) or otherwise
    return Device(key, clean(said.get("name")) or key, clean(said.get("manufacturer")), clean(said.get("model")))


def _expanded(config: Mapping[str, Any]) -> dict[str, Any]:
    return {ABBREVIATIONS.get(key, key): value for key, value in config.items()}


def clean(text: Any, longest: int = MAX_WORDS) -> str:
    """A text of a stranger as it can be shown and written into a file: one line, nothing that moves a cursor."""
    if not isinstance(text, str | int) or isinstance(text, bool):
        return ""
    return "".join(c for c in str(text) if c.isprintable())[:longest].strip()


def text_of(proposals: Iterable[Proposal]) -> str:
    """The proposals for people: lines of a site file for what a profile fits, and a list of the rest."""
    fitting: list[str] = []
    others: list[str] = []
    for proposal in proposals:
        about = " ".join(part for part in (proposal.maker, proposal.model) if part)
        if proposal.profile:
            said = {"id": id_of(proposal), "name": proposal.name, "profile": proposal.profile}
            said |= {"address": proposal.address} | ({"base": proposal.base} if proposal.base else {})
            line = ", ".join(f"{key}: {msgspec.json.encode(value).decode()}" for key, value in said.items())
            fitting.append(f"      - {{{line}}}" + (f"  # {about}" if about else ""))
            continue
        others.append(f"{proposal.name}" + (f" ({about})" if about else ""))
        for entity in proposal.entities:
            where = entity.state_topic + (f" at {entity.path}" if entity.path else "")
            where += " (by a template)" if entity.path is None else ""
            as_what = f"{proposal.kind or 'any kind'}.{entity.point}" if entity.point else "no point of ours"
            others.append(f"    {entity.name}: {where}: {as_what}")
    parts = []
    if fitting:
        parts.append("Add what is yours to devices: of this bus, with its place:\n" + "\n".join(fitting))
    if others:
        parts.append("No profile fits these yet (`anju profile new` begins one):\n" + "\n".join(others))
    return "\n\n".join(parts) or "Nobody announced anything."


def id_of(proposal: Proposal) -> str:
    """A device id made of an address, as site files want them."""
    made = re.sub(r"[^a-z0-9_.-]+", "-", proposal.address.lower()).strip("-._")
    return made[:64] or "device"
