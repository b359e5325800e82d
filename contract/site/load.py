"""The site file as a whole: loaded, checked with the profiles it names, and resolved for the box's stages."""

import hashlib
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Generic, TypeVar
from zoneinfo import ZoneInfo

import msgspec

from contract.config import Loaded, Problem, is_bad, load_file, nearest
from contract.kinds import KINDS, Lane, PointType
from contract.profile import (
    AnyProfile,
    BleProfile,
    ModbusProfile,
    MqttProfile,
    PointMap,
    Profile,
    ProfileStore,
    Seconds,
)
from contract.records import DeviceEntry, InventoryRecord, Place, SeriesEntry
from contract.site.ble import BleBus, BleDevice, check_ble_bus
from contract.site.common import (
    LONGEST_MONTH_DAYS,
    METERED_SEAL_S,
    SEAL_S,
    URGENT_SHARE,
    Cloud,
    Device,
    Estate,
    Storage,
    Where,
    name_problem,
)
from contract.site.linkage import GuardPage, Rule, Zone, check_linkage
from contract.site.modbus import (
    AnyModbusBus,
    ModbusDevice,
    ModbusRtuBus,
    ModbusRtuTcpBus,
    ModbusTcpBus,
    check_modbus_bus,
)
from contract.site.mqtt import MqttBus, MqttDevice, check_mqtt_bus

_SECRET_WORDS = re.compile(r"(password|passwd|secret|token|api_?key|bindkey)", re.IGNORECASE)

AnyBus = ModbusTcpBus | ModbusRtuBus | ModbusRtuTcpBus | BleBus | MqttBus
PROFILES_OF: dict[str, str] = {
    "modbus-tcp": "modbus", "modbus-rtu": "modbus", "modbus-rtu-tcp": "modbus", "ble": "ble", "mqtt": "mqtt",
}  # fmt: skip
"""By protocol of a bus: the protocol of the profiles of its devices."""
CHECKS: dict[str, Callable[[Any, Where, Mapping[str, AnyProfile]], Iterable[Problem]]] = {
    "modbus": check_modbus_bus, "ble": check_ble_bus, "mqtt": check_mqtt_bus,
}  # fmt: skip
"""What is checked of a bus besides, by protocol of its profiles."""


NAME_HINT = "a few words on one line, as people on the spot say it"


class Site(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Everything one box needs to know."""

    estate: Estate
    """Which estate this is."""
    cloud: Cloud
    """Where the box sends."""
    buses: list[AnyBus]
    """What the box reads: endpoints, serial lines, radios, brokers."""
    storage: Storage = Storage()
    """How much the box keeps."""
    zones: list[Zone] = []
    """Which devices watch one place together."""
    linkage: list[Rule] = []
    """What the box does by itself, also without the cloud. It supplements a certified fire panel, never replaces it."""
    guard_page: GuardPage | None = None
    """The box's own page for the guard on duty."""


LINK_HEARTBEAT_S: Seconds = 300.0
"""How often the box repeats each device's link state, so that the cloud can tell silence from calm."""
METERED_STATE_S: Seconds = 3600.0
METERED_TELEMETRY_S: Seconds = 900.0
"""On a metered link nothing that did not change is repeated more often. That the box itself lives its beats say, and a
device that falls silent is news at once."""


D_co = TypeVar("D_co", bound=Device, covariant=True)
B_co = TypeVar("B_co", covariant=True)
P_co = TypeVar("P_co", bound=Profile, covariant=True)


class Resolved(msgspec.Struct, Generic[D_co, B_co, P_co], frozen=True):
    """A device with its bus and its profile, as the stages of the box use it."""

    device: D_co
    bus: B_co
    profile: P_co
    link_heartbeat_s: float = LINK_HEARTBEAT_S
    """How often the device's link state is repeated."""

    def point(self, name: str) -> PointMap:
        """The profile's map of a point. Raises KeyError when the model has none of that name."""
        return self.profile.points[name]

    @property
    def silent_after_s(self) -> float:
        """Seconds without a sign of life after which the device is off line."""
        bus: Any = self.bus
        return float(bus.silent_after_s(self.profile))


ResolvedDevice = Resolved[Device, AnyBus, Profile]
"""A device of any protocol."""
ResolvedModbus = Resolved[ModbusDevice, AnyModbusBus, ModbusProfile]
ResolvedBle = Resolved[BleDevice, BleBus, BleProfile]
ResolvedMqtt = Resolved[MqttDevice, MqttBus, MqttProfile]


def _is_zone(name: str) -> bool:
    """Whether the system, or Python's own list, has a time zone of this name."""
    try:
        ZoneInfo(name)
    except (KeyError, ValueError, OSError):  # ValueError: it leads out of the list
        return False
    return True


def check_site(site: Site, profiles: Mapping[str, AnyProfile]) -> list[Problem]:
    """Every mistake of meaning in a site file: what is doubled, what does not exist, what a model does not have."""
    problems: list[Problem] = []
    zone = "" if is_bad(site.estate) else site.estate.timezone
    if not is_bad(site.estate) and not is_bad(site.estate.name) and (wrong := name_problem(site.estate.name)):
        problems.append(Problem(("estate", "name"), f"name {wrong}", NAME_HINT))
    if zone and not is_bad(zone) and not _is_zone(zone):
        problem = f"time zone {zone!r} does not exist"
        problems.append(Problem(("estate", "timezone"), problem, "for China: Asia/Shanghai"))
    url = "" if is_bad(site.cloud) else site.cloud.url
    if not is_bad(url) and "@" in url:
        hint = "the box proves itself with its own key: write the address alone"
        problems.append(Problem(("cloud", "url"), "url holds a user or a password", hint))
    if not is_bad(site.cloud):
        problems.extend(_check_budget(site.cloud))
    bus_ids: set[str] = set()
    endpoints: dict[str, str] = {}
    device_ids: dict[str, str] = {}
    for b, bus in enumerate(site.buses):
        if is_bad(bus):
            continue
        where = ("buses", b)
        if bus.id in bus_ids:
            problems.append(Problem((*where, "id"), f"bus id {bus.id!r} is used twice", "give each bus its own id"))
        bus_ids.add(bus.id)
        owner = endpoints.setdefault(bus.endpoint, bus.id)
        if owner is not bus.id:
            hint = "an endpoint has one owner: put its devices under one bus"
            key = next(key for key in ("host", "port", "adapter") if hasattr(bus, key))
            problems.append(Problem((*where, key), f"{bus.endpoint} is already bus {owner!r}", hint))
        problems.extend(_check_devices(bus, where, profiles, device_ids))
        if not is_bad(bus.protocol):
            problems.extend(CHECKS[PROFILES_OF[bus.protocol]](bus, where, profiles))
    problems.extend(check_linkage(site, profiles))
    return problems


def _check_budget(cloud: Cloud) -> Iterator[Problem]:
    """A budget that a box at rest would use up, so that its telemetry would wait for most of the month."""
    budget, metered = cloud.budget_mb_month, cloud.metered
    if budget is None or is_bad(budget) or is_bad(metered):
        return
    a_day = cloud.quiet_mb_a_day
    quiet = LONGEST_MONTH_DAYS * a_day
    urgent = budget // URGENT_SHARE
    if quiet + urgent < budget:
        return
    problem = (
        f"budget_mb_month {budget} is used up without telemetry: {LONGEST_MONTH_DAYS} days of {a_day} MB"
        f" to keep in touch are {quiet} MB, and {urgent} MB are kept for what is urgent"
    )
    hint = "give it more" if metered else "set metered: true, which needs 1 MB a day, or give it more"
    yield Problem(("cloud", "budget_mb_month"), problem, hint)


def _check_devices(
    bus: AnyBus, where: Where, profiles: Mapping[str, AnyProfile], device_ids: dict[str, str]
) -> Iterator[Problem]:
    """What is wrong with the devices whatever their protocol: doubled ids, profiles there are not."""
    for d, device in enumerate(bus.devices):
        if is_bad(device):
            continue
        here = (*where, "devices", d)
        if device.id in device_ids:
            problem = f"device id {device.id!r} is used twice (also on bus {device_ids[device.id]!r})"
            yield Problem((*here, "id"), problem, "give each device its own id")
        device_ids[device.id] = bus.id
        yield from _check_names(device, here)
        if is_bad(device.profile):
            continue
        profile = profiles.get(device.profile)
        if profile is None and isinstance(profiles, ProfileStore) and device.profile in profiles.broken:
            continue  # it is there, with mistakes of its own
        if profile is None:
            problem = f"profile {device.profile!r} does not exist"
            yield Problem((*here, "profile"), problem, _closest(device.profile, profiles))
        elif not is_bad(bus.protocol) and profile.protocol != PROFILES_OF[bus.protocol]:
            problem = f"profile {profile.id!r} speaks {profile.protocol}, and this bus is {bus.protocol}"
            yield Problem((*here, "profile"), problem, "put the device under a bus of its protocol")


def _check_names(device: Device, where: Where) -> Iterator[Problem]:
    """What is wrong with what people call a device and its place."""
    if not is_bad(device.name) and (wrong := name_problem(device.name)):
        yield Problem((*where, "name"), f"name {wrong}", NAME_HINT)
    for part in () if is_bad(device.place) else device.place.__struct_fields__:
        words = getattr(device.place, part)
        if not is_bad(words) and (wrong := name_problem(words)):
            yield Problem((*where, "place", part), f"{part} {wrong}", NAME_HINT)


def _closest(name: str, profiles: Mapping[str, AnyProfile]) -> str:
    near = nearest(name, profiles)
    return f"did you mean {near[0]!r}?" if near else "`anju profile list` shows the profiles there are"


def load_site(path: Path, profiles: Mapping[str, AnyProfile]) -> Site:
    """The site in a file, checked whole before any I/O. Raises ConfigError with every mistake, its line and a hint.

    How often it seals is filled in, by the link, where the file does not say it.
    """
    loaded: Loaded[Site] = load_file(
        path, Site, refuse_secret=_SECRET_WORDS, check=lambda site: check_site(site, profiles)
    )
    site = loaded.value
    if site.storage.seal_s is not None:
        return site
    storage = msgspec.structs.replace(site.storage, seal_s=METERED_SEAL_S if site.cloud.metered else SEAL_S)
    return msgspec.structs.replace(site, storage=storage)


def resolve(site: Site, profiles: Mapping[str, AnyProfile]) -> list[ResolvedDevice]:
    """The devices of a checked site, in the file's order; with a metered link their heartbeats are far between."""
    if not site.cloud.metered:
        return [Resolved(device, bus, profiles[device.profile]) for bus in site.buses for device in bus.devices]
    calm = {name: _calmed(profiles[name]) for name in {device.profile for bus in site.buses for device in bus.devices}}
    return [
        Resolved(device, bus, calm[device.profile], max(LINK_HEARTBEAT_S, METERED_STATE_S))
        for bus in site.buses
        for device in bus.devices
    ]


def _calmed(profile: AnyProfile) -> AnyProfile:
    """A profile whose points seldom repeat what did not change."""
    replace, kind = msgspec.structs.replace, KINDS[profile.kind].points
    least_s = {Lane.BULK: METERED_TELEMETRY_S, Lane.URGENT: METERED_STATE_S}
    points = {
        name: replace(
            point, report=replace(point.report, heartbeat_s=max(point.report.heartbeat_s, least_s[kind[name].lane]))
        )
        for name, point in profile.points.items()
    }
    return replace(profile, points=points)


def inventory_of(site: Site, profiles: Mapping[str, AnyProfile]) -> InventoryRecord:
    """What the box tells the cloud of its devices and series; ordered by device and point, so equal sites are equal."""
    devices, series = [], []
    for item in sorted(resolve(site, profiles), key=lambda r: r.device.id):
        kind, place = KINDS[item.profile.kind], item.device.place
        devices.append(
            DeviceEntry(
                id=item.device.id,
                name=item.device.name,
                kind=kind.name,
                profile=item.profile.id,
                bus=item.bus.id,
                place=Place(str(place.building), str(place.unit), str(place.floor), str(place.spot)),
                commands=tuple(sorted(name for name, point in item.profile.points.items() if point.write)),
            )
        )
        # Each device has a link point, whether or not its profile maps one: the box itself knows.
        series.append(SeriesEntry(item.device.id, "link", kind.points["link"].lane, item.link_heartbeat_s * 2.5))
        series.extend(
            SeriesEntry(item.device.id, name, kind.points[name].lane, item.profile.stale_after_s(name))
            for name in sorted(item.profile.points)
            if name != "link" and kind.points[name].type in {PointType.STATE, PointType.TELEMETRY}
        )
    return InventoryRecord(site.estate.name, tuple(devices), tuple(series))


def site_digest(path: Path) -> str:
    """Twelve hex digits that name a version of a site file."""
    return hashlib.sha256(path.read_bytes()).hexdigest()[:12]
