"""The site file: what is connected to one box, written by a person and kept in git. Secrets are references only."""

import difflib
import hashlib
import ipaddress
import re
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Literal
from zoneinfo import available_timezones

import msgspec

from contract.config import Loaded, Problem, is_bad, load_file
from contract.kinds import KINDS, PointType
from contract.profile import Name, PointMap, Profile, Seconds
from contract.records import DeviceEntry, InventoryRecord, Place, SeriesEntry

_SECRET_WORDS = re.compile(r"(password|passwd|secret|token|api_?key)", re.IGNORECASE)


class Secret(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A reference to a secret: the name of a file in the box's folder of secrets, never the value."""

    secret: Name
    """The file's name in the folder."""


class SitePlace(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Where a device is: building, unit, floor and spot, as numbers or words."""

    building: str | int = ""
    """Number or name, as people on the spot say it."""
    unit: str | int = ""
    """The stairwell or entrance of the building."""
    floor: str | int = ""
    """Number or name; below ground -1."""
    spot: str | int = ""
    """What tells it from others there: 走廊, 入口."""


RESERVED_UNITS = range(248, 255)
"""Unit ids that no device has. Source: Modbus over serial line 1.02, section 2.2."""
DEVICE_ITSELF = 0
"""Means the TCP device itself, and every unit at once to a gateway to a serial line: a command would open all doors.

Source: Modbus messaging on TCP/IP 1.0b, section 4.4.2.1; 255 means the device itself as well, and nothing else.
"""


class Device(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One device: its profile, its Modbus unit id, its channel on a unit that serves several, and its place.

    Units behind a gateway are 1 to 247. A device that speaks TCP itself is 255 (or 0, when alone on its bus), or
    whatever its manual says.
    """

    id: Name
    """Names it for good: its history goes by this id. Once in the file."""
    name: str
    """What people call it."""
    profile: str
    """Its model: one of `anju profile list`, or of your own in `profiles/` beside the site file."""
    unit: Annotated[int, msgspec.Meta(ge=0, le=255)]
    """Modbus unit id: 1 to 247 behind a gateway; 255 for a device that speaks TCP itself."""
    channel: Annotated[int, msgspec.Meta(ge=0, le=1023)] = 0
    """Which detector of a panel that serves several under one unit id; counts from 0."""
    place: SitePlace = SitePlace()
    """Where it is."""


class ModbusBus(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One Modbus TCP endpoint and the devices behind it. It has one owner on the box: its driver's scheduler."""

    id: Name
    """Names it in logs and on the box's page. Once in the file."""
    protocol: Literal["modbus"]
    """Modbus TCP, also through a gateway to a serial line."""
    host: Annotated[str, msgspec.Meta(min_length=1, max_length=253)]
    """Address or name of the device or gateway; each host and port once in the file."""
    port: Annotated[int, msgspec.Meta(ge=1, le=65535)] = 502
    """TCP port."""
    poll_s: Annotated[float, msgspec.Meta(ge=0.02, le=3600)] = 1.0
    """Each unit is asked this often, in seconds; at most the shortest heartbeat of its profiles."""
    timeout_s: Annotated[float, msgspec.Meta(gt=0, le=30)] = 1.0
    """Seconds after which a unit has not answered."""
    devices: list[Device]
    """What is connected to it."""


class Storage(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """How much the box keeps while it cannot send, and how often it seals bulk (the loss bound of a power cut)."""

    seal_s: Annotated[float, msgspec.Meta(ge=0.1, le=600)] = 5.0
    """Telemetry is put on disk this often, in seconds: so much of it a power cut may cost. States go at once."""
    urgent_mb: Annotated[int, msgspec.Meta(ge=8, le=100_000)] = 256
    """MB for states, events and answers that the cloud does not have yet."""
    bulk_mb: Annotated[int, msgspec.Meta(ge=8, le=1_000_000)] = 2048
    """MB for telemetry that the cloud does not have yet; when full the oldest goes, and the cloud is told."""


class Proxy(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """An HTTP proxy on the way to the cloud, with a login where it wants one."""

    url: Annotated[
        str,
        msgspec.Meta(
            pattern=r"^http://[^\s/@]+/?$", description="for example http://proxy.example.org:3128, the login beside it"
        ),
    ]
    """Its address."""
    user: str = ""
    """Its login, where it wants one."""
    password: Secret | None = None
    """Its password, as a secret."""


class Cloud(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Where the box sends. `ca` names a PEM file of an own certificate authority.

    Without `proxy` the usual variables (HTTPS_PROXY, NO_PROXY) count.
    """

    proxy: Proxy | None = None
    """An HTTP proxy on the way."""
    url: Annotated[
        str,
        msgspec.Meta(
            pattern=r"^https?://[^\s/]+/?$", description="for example https://anju.example.org, without a path"
        ),
    ]
    """The cloud this box was enrolled with."""
    ca: str | None = None
    """PEM file of an own certificate authority, relative to the site file."""


class Estate(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The estate's name and time zone."""

    name: str
    """What the box calls it; to which estate it belongs is decided by its claim."""
    timezone: str = "Asia/Shanghai"
    """Name in the IANA list."""


class Site(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Everything one box needs to know."""

    estate: Estate
    """Which estate this is."""
    cloud: Cloud
    """Where the box sends."""
    buses: list[ModbusBus]
    """What the box reads, by endpoint."""
    storage: Storage = Storage()
    """How much the box keeps."""


class ResolvedDevice(msgspec.Struct, frozen=True):
    """A device with its bus and its profile, as the stages of the box use it."""

    device: Device
    bus: ModbusBus
    profile: Profile

    def point(self, name: str) -> PointMap:
        """The profile's map of a point. Raises KeyError when the model has none of that name."""
        return self.profile.points[name]


def check_site(site: Site, profiles: Mapping[str, Profile]) -> list[Problem]:
    """Every mistake of meaning in a site file: what is doubled, what does not exist, what a model does not have."""
    problems: list[Problem] = []
    zone = "" if is_bad(site.estate) else site.estate.timezone
    if zone and not is_bad(zone) and zone not in available_timezones():
        problem = f"time zone {zone!r} does not exist"
        problems.append(Problem(("estate", "timezone"), problem, "for China: Asia/Shanghai"))
    url = "" if is_bad(site.cloud) else site.cloud.url
    if not is_bad(url) and "@" in url:
        hint = "the box proves itself with its own key: write the address alone"
        problems.append(Problem(("cloud", "url"), "url holds a user or a password", hint))
    bus_ids: set[str] = set()
    endpoints: dict[tuple[str, int], str] = {}
    device_ids: dict[str, str] = {}
    for b, bus in enumerate(site.buses):
        if is_bad(bus):
            continue
        where = ("buses", b)
        if bus.id in bus_ids:
            problems.append(Problem((*where, "id"), f"bus id {bus.id!r} is used twice", "give each bus its own id"))
        bus_ids.add(bus.id)
        if not is_bad(bus.host) and (hint := _host_hint(bus.host)):
            problems.append(Problem((*where, "host"), f"{bus.host!r} is not an address", hint))
        owner = endpoints.setdefault((bus.host, bus.port), bus.id)
        if owner is not bus.id:
            problem = f"{bus.host}:{bus.port} is already bus {owner!r}"
            problems.append(
                Problem((*where, "host"), problem, "an endpoint has one owner: put its devices under one bus")
            )
        problems.extend(_check_devices(bus, where, profiles, device_ids))
    return problems


def _check_devices(
    bus: ModbusBus, where: tuple[str | int, ...], profiles: Mapping[str, Profile], device_ids: dict[str, str]
) -> Iterator[Problem]:
    by_channel: dict[tuple[int, int], Device] = {}
    by_unit: dict[int, Device] = {}
    units = {device.unit for device in bus.devices if not is_bad(device) and not is_bad(device.unit)}
    yield from _check_pace(bus, where, profiles)
    for d, device in enumerate(bus.devices):
        if is_bad(device):
            continue
        here = (*where, "devices", d)
        if device.id in device_ids:
            problem = f"device id {device.id!r} is used twice (also on bus {device_ids[device.id]!r})"
            yield Problem((*here, "id"), problem, "give each device its own id")
        device_ids[device.id] = bus.id
        profile = profiles.get(device.profile)
        if profile is None and not is_bad(device.profile):
            yield Problem(
                (*here, "profile"), f"profile {device.profile!r} does not exist", _closest(device.profile, profiles)
            )
        if profile is not None and device.channel >= profile.modbus.channels:
            problem = f"channel {device.channel}: {profile.id} has channels 0 to {profile.modbus.channels - 1}"
            yield Problem((*here, "channel"), problem, "channels count from 0")
        if not is_bad(device.unit) and device.unit in RESERVED_UNITS:
            hint = "units behind a gateway are 1 to 247; a device that speaks TCP itself is 255"
            yield Problem((*here, "unit"), f"unit {device.unit} is reserved by the standard", hint)
        if device.unit == DEVICE_ITSELF and len(units) > 1:
            hint = "for a gateway unit 0 is every unit at once; give this one its own number"
            yield Problem((*here, "unit"), "unit 0 cannot be beside others on its bus", hint)
        first = by_channel.get((device.unit, device.channel))
        neighbour = by_unit.get(device.unit)
        differs = profile is not None and neighbour is not None and neighbour.profile in profiles
        if first is None and differs and neighbour is not None and neighbour.profile != device.profile:
            first = neighbour
        if first is not None:
            problem = f"unit {device.unit} on bus {bus.id!r} is already device {first.id!r}"
            hint = "each unit id once a bus; detectors of one panel share its unit and profile and differ in channel"
            yield Problem((*here, "unit"), problem, hint)
        by_channel.setdefault((device.unit, device.channel), device)
        by_unit.setdefault(device.unit, device)


def _check_pace(bus: ModbusBus, where: tuple[str | int, ...], profiles: Mapping[str, Profile]) -> Iterator[Problem]:
    """Says when a bus is polled so seldom that a point goes stale between two polls."""
    used = (profiles.get(device.profile) for device in bus.devices if not is_bad(device) and not is_bad(device.profile))
    beats = [
        (point.report.heartbeat_s, name, profile.id)
        for profile in used
        if profile is not None
        for name, point in profile.points.items()
        if point.read is not None
    ]
    if beats and not is_bad(bus.poll_s) and bus.poll_s > min(beats)[0]:
        beat_s, name, profile_id = min(beats)
        problem = f"poll_s {bus.poll_s:g} is longer than the heartbeat of {name!r} of {profile_id} ({beat_s:g} s)"
        hint = f"at most {beat_s:g}: what is reported later is stale before it is read again"
        yield Problem((*where, "poll_s"), problem, hint)


def _host_hint(host: str) -> str:
    """What is wrong with a host, as a hint; empty when it can be an address or a name. Nobody is asked for it."""
    with suppress(ValueError):
        ipaddress.ip_address(host)
        return ""
    if re.fullmatch(r"[\d.]+", host):
        return "four numbers from 0 to 255"
    if ":" in host or "/" in host:
        return "the host alone: no http://, and the port in port:"
    try:
        # As the resolver will do it: a label is at most 63 bytes and never empty, and may be Chinese.
        labels = host.encode("idna").decode("ascii").removesuffix(".").split(".")
    except UnicodeError:
        labels = [""]
    if all(re.fullmatch(r"[A-Za-z0-9_]([A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?", label) for label in labels):
        return ""
    return "a name is parts of letters, digits and - between single dots, each at most 63 long"


def _closest(name: str, profiles: Mapping[str, Profile]) -> str:
    near = difflib.get_close_matches(name, profiles, n=1)
    return f"did you mean {near[0]!r}?" if near else "`anju profile list` shows the profiles there are"


def load_site(path: Path, profiles: Mapping[str, Profile]) -> Site:
    """The site in a file, checked whole before any I/O. Raises ConfigError with every mistake, its line and a hint."""
    loaded: Loaded[Site] = load_file(
        path, Site, refuse_secret=_SECRET_WORDS, check=lambda site: check_site(site, profiles)
    )
    return loaded.value


def resolve(site: Site, profiles: Mapping[str, Profile]) -> list[ResolvedDevice]:
    """The devices of a checked site, in the file's order."""
    return [ResolvedDevice(device, bus, profiles[device.profile]) for bus in site.buses for device in bus.devices]


def inventory_of(site: Site, profiles: Mapping[str, Profile]) -> InventoryRecord:
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
        series.append(SeriesEntry(item.device.id, "link", kind.points["link"].lane, LINK_HEARTBEAT_S * 2.5))
        series.extend(
            SeriesEntry(item.device.id, name, kind.points[name].lane, item.profile.stale_after_s(name))
            for name in sorted(item.profile.points)
            if name != "link" and kind.points[name].type in {PointType.STATE, PointType.TELEMETRY}
        )
    return InventoryRecord(site.estate.name, tuple(devices), tuple(series))


LINK_HEARTBEAT_S: Seconds = 300.0
"""How often the box repeats each device's link state, so that the cloud can tell silence from calm."""


def site_digest(path: Path) -> str:
    """Twelve hex digits that name a version of a site file."""
    return hashlib.sha256(path.read_bytes()).hexdigest()[:12]
