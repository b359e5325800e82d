"""An estate of any size as a file: for tests, benchmarks and newcomers. The same seed and size, the same bytes."""

import random
from collections.abc import Iterator, Mapping, Sequence
from itertools import count
from pathlib import Path

import msgspec

from contract.errors import Permanent
from contract.kinds import KINDS
from contract.profile import AnyProfile, MqttProfile
from simulators.estate import BUSES

PROTOCOLS = ("modbus-tcp", "modbus-rtu", "modbus-rtu-tcp", "ble", "mqtt")
_SHARES = {"modbus-tcp": 50, "modbus-rtu": 15, "modbus-rtu-tcp": 5, "ble": 15, "mqtt": 15}
"""Of a hundred devices; what is left out goes to the others in proportion."""
_UNITS_A_LINE = 16
_WIRED = (
    ("smoke_detector", 24),
    ("manual_call_point", 6),
    ("water_leak", 6),
    ("intrusion", 4),
    ("sounder", 1),
    ("door", 3),
)
"""What hangs on the gateway of a building: kind, and how many."""
_LINE = (
    "water_meter",
    "electricity_meter",
    "water_level",
    "pump",
    "hydrant",
    "lighting",
    "environment",
    "vehicle_gate",
)
"""What the lines of a plant room have, in turn."""
_SIMULATED = {
    "smoke_detector": "anju-smoke-panel-16", "manual_call_point": "anju-call-point-panel-16",
    "water_leak": "anju-leak-panel-16", "intrusion": "anju-intrusion-panel-16", "sounder": "anju-sounder",
    "door": "anju-release-door-unit", "water_meter": "anju-water-meter", "electricity_meter": "anju-electricity-meter",
    "water_level": "anju-water-level", "pump": "anju-pump", "hydrant": "anju-hydrant", "lighting": "anju-lighting",
    "environment": "anju-environment", "vehicle_gate": "anju-vehicle-gate",
}  # fmt: skip
_FLOORS = 12
_FIRST_SERIAL = 405_419_896
_CONVERTERS_FROM = 1000
"""Their TCP ports begin so far after those of the gateways."""
MOST = 5000
"""Devices of an estate: beyond, ports would run out before memory does."""
_MARK = "made by anju-sim estate"
_STORY = """\
# Life in the estate beside this file; nothing happens. It was {mark}.
name: an ordinary day
site: site.yaml
seed: {seed}
clock: 8h
living:
  - {{kind: smoke_detector, point: temperature, base: 21, spread: 1.5, noise: 0.1, every: 5s}}
  - {{kind: smoke_detector, point: obscuration, base: 0.12, spread: 0.03, noise: 0.01, every: 5s}}
  - {{kind: environment, point: temperature, base: 19, spread: 2, noise: 0.2, swing: 4, every: 5s}}
  - {{kind: environment, point: humidity, base: 55, spread: 4, noise: 0.5, every: 5s}}
  - {{kind: water_meter, point: flow, base: 0.4, spread: 0.1, noise: 0.1, swing: 0.2, peak: 19, every: 5s}}
  - {{kind: water_meter, point: volume, base: 900, spread: 250, counts: flow, every: 5s}}
  - {{kind: electricity_meter, point: power, base: 14, spread: 4, noise: 0.8, swing: 6, peak: 20, every: 5s}}
  - {{kind: electricity_meter, point: energy, base: 52000, spread: 9000, counts: power, every: 5s}}
  - {{kind: electricity_meter, point: voltage_a, base: 231, noise: 0.8, every: 5s}}
  - {{kind: electricity_meter, point: voltage_b, base: 230, noise: 0.8, every: 5s}}
  - {{kind: electricity_meter, point: voltage_c, base: 232, noise: 0.8, every: 5s}}
  - {{kind: water_level, point: level, base: 0.5, spread: 0.1, noise: 0.01, every: 5s}}
  - {{kind: hydrant, point: pressure, base: 0.45, spread: 0.02, noise: 0.004, every: 5s}}
steps:
  - {{at: 1s, say: an ordinary morning}}
"""


class Wish(msgspec.Struct, frozen=True, kw_only=True):
    """What estate to make. `ports` is the folder of its serial ports, `first_port` the first of its TCP ports."""

    devices: int
    seed: int = 1
    protocols: Sequence[str] = PROTOCOLS
    name: str = "样板小区"
    cloud: str = "http://127.0.0.1:8080"
    ports: str = "/tmp/anju-sim"  # noqa: S108  # of links to pseudo-terminals; who owns a link is looked at
    first_port: int = 16000
    broker: str = "127.0.0.1:1883"


class _Making(msgspec.Struct, frozen=True):
    """What the makers of buses go by."""

    wish: Wish
    profiles: Mapping[str, AnyProfile]
    dice: random.Random


class _Device(msgspec.Struct, frozen=True):
    """One device: what it is, where it is, and how its bus finds it, as lines of YAML say it."""

    kind: str
    profile: str
    building: int
    floor: int
    on_bus: str


Buses = Iterator[tuple[str, list[_Device]]]
"""Each bus of a protocol: its fields but the devices, as YAML says them, and the devices."""


def write_estate(wish: Wish, profiles: Mapping[str, AnyProfile], folder: Path) -> list[Path]:
    """Writes the site file and a scenario of ordinary life into a folder; returns what was written.

    Raises Permanent for what cannot be, and where a file of another origin is in the way.
    """
    site, story = site_text(wish, profiles), _STORY.format(mark=_MARK, seed=wish.seed)
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    for name, text in (("site.yaml", site), ("day.yaml", story)):
        path = folder / name
        if path.exists() and _MARK not in path.read_text(encoding="utf-8", errors="replace").partition("\n")[0]:
            raise Permanent(f"{path} is in the way: it was not {_MARK}; name another folder")
        path.write_text(text, encoding="utf-8")
        written.append(path)
    return written


def site_text(wish: Wish, profiles: Mapping[str, AnyProfile]) -> str:
    """The site file. Raises Permanent when no estate can be made of the wish."""
    making = _Making(wish, profiles, random.Random(wish.seed))  # noqa: S311  # the same seed, the same bytes
    counts = _counts(wish, profiles)
    lines = [
        f"# {wish.devices} simulated devices, {_MARK}. Seed {wish.seed}.",
        f"estate: {{name: {_quoted(wish.name)}, timezone: Asia/Shanghai}}",
        f"cloud: {{url: {_quoted(wish.cloud)}}}",
        "buses:",
    ]
    numbers: dict[str, Iterator[int]] = {}
    makers = {
        "modbus-tcp": _gateways, "modbus-rtu": _lines, "modbus-rtu-tcp": _lines_behind_tcp, "ble": _radio,
        "mqtt": _broker,
    }  # fmt: skip
    for protocol, wanted in counts.items():
        for head, devices in makers[protocol](wanted, making):
            lines.append(f"  - {{{head}, devices: [")
            for device in devices:
                number = next(numbers.setdefault(device.kind, count(1)))
                floor = f"{device.floor}层" if device.floor > 0 else "地下"
                name = f"{device.building}号楼{floor}{KINDS[device.kind].zh}{number}"
                place = f"{{building: {device.building}, unit: 1, floor: {device.floor}}}"
                lines.append(
                    f"      {{id: {device.kind}-{number:04d}, name: {name}, profile: {device.profile}, "
                    f"{device.on_bus}, place: {place}}},"
                )
            lines.append("    ]}")
    return "\n".join(lines) + "\n"


def _quoted(text: str) -> str:
    """Text as YAML takes it, whatever is in it."""
    return msgspec.json.encode(text).decode()


def _counts(wish: Wish, profiles: Mapping[str, AnyProfile]) -> dict[str, int]:
    """How many devices each protocol has; they add up to what is wished."""
    if not 1 <= wish.devices <= MOST:
        raise Permanent(f"an estate has 1 to {MOST} devices, not {wish.devices}")
    unknown = [one for one in wish.protocols if one not in _SHARES]
    if unknown or not wish.protocols:
        raise Permanent(f"no estate of {', '.join(unknown) or 'nothing'}; there are: {', '.join(PROTOCOLS)}")
    spoken = {profile.protocol for profile in profiles.values()}
    usable = [one for one in dict.fromkeys(wish.protocols) if one in BUSES and one.partition("-")[0] in spoken]
    if not usable:
        raise Permanent(f"no profile speaks, or nothing simulates, {', '.join(wish.protocols)}")
    total = sum(_SHARES[one] for one in usable)
    counts = {one: wish.devices * _SHARES[one] // total for one in usable}
    counts[usable[0]] += wish.devices - sum(counts.values())
    return {one: number for one, number in counts.items() if number}


def _gateways(wanted: int, making: _Making) -> Buses:
    """One gateway a building, with fire panels, leak lines, perimeter, a sounder and doors."""
    for building in count(1):
        if not wanted:
            return
        devices: list[_Device] = []
        unit = 1
        for kind, most in _WIRED:
            profile = making.profiles[_SIMULATED[kind]]
            channels = profile.modbus.channels if profile.protocol == "modbus" else 1
            for i in range(min(most, wanted - len(devices))):
                on_bus = f"unit: {unit + i // channels}" + (f", channel: {i % channels}" if channels > 1 else "")
                devices.append(_Device(kind, profile.id, building, i % _FLOORS + 1, on_bus))
            unit += -(-most // channels)
        wanted -= len(devices)
        port = making.wish.first_port + building
        yield f"id: gateway-{building}, protocol: modbus-tcp, host: 127.0.0.1, port: {port}, poll_s: 1", devices


def _lines(wanted: int, making: _Making) -> Buses:
    """Lines of meters and plant on serial ports of the box."""
    for number, devices in enumerate(_plant(wanted), 1):
        port = _quoted(f"{making.wish.ports}/line-{number}")
        head = f"id: line-{number}, protocol: modbus-rtu, port: {port}, baud: 9600"
        yield f"{head}, poll_s: 10, timeout_s: 0.5", devices


def _lines_behind_tcp(wanted: int, making: _Making) -> Buses:
    """Lines of meters and plant behind converters."""
    for number, devices in enumerate(_plant(wanted), 1):
        port = making.wish.first_port + _CONVERTERS_FROM + number
        head = f"id: converter-{number}, protocol: modbus-rtu-tcp, host: 127.0.0.1, port: {port}, baud: 19200"
        yield f"{head}, poll_s: 10, timeout_s: 0.5", devices


def _plant(wanted: int) -> Iterator[list[_Device]]:
    """The devices of one line after the other."""
    for first in range(0, wanted, _UNITS_A_LINE):
        kinds = [_LINE[(first + i) % len(_LINE)] for i in range(min(_UNITS_A_LINE, wanted - first))]
        building = first // _UNITS_A_LINE + 1
        yield [_Device(kind, _SIMULATED[kind], building, -1, f"unit: {unit}") for unit, kind in enumerate(kinds, 1)]


def _radio(wanted: int, making: _Making) -> Buses:
    """All sensors on one radio, of whichever models there are."""
    models = sorted(profile.id for profile in making.profiles.values() if profile.protocol == "ble")
    devices = []
    for i in range(wanted):
        profile = making.profiles[making.dice.choice(models)]
        address = ":".join(f"{byte:02X}" for byte in (0xA4C1 << 32 | i + 1).to_bytes(6, "big"))
        on_bus = f'address: "{address}"'
        devices.append(_Device(profile.kind, profile.id, *_somewhere(making.dice), on_bus))
    yield "id: radio, protocol: ble, adapter: hci0", devices


def _broker(wanted: int, making: _Making) -> Buses:
    """All devices at one broker, of whichever models there are; addresses that any of their makers could have given."""
    models = sorted(profile.id for profile in making.profiles.values() if profile.protocol == "mqtt")
    host, _, port = making.wish.broker.partition(":")
    devices = []
    for i in range(wanted):
        profile = making.profiles[making.dice.choice(models)]
        is_number = isinstance(profile, MqttProfile) and profile.is_called_by_number
        on_bus = f'address: "{400_000_000 + i}"' if is_number else f'address: "a4c138{i + 1:010x}"'
        devices.append(_Device(profile.kind, profile.id, *_somewhere(making.dice), on_bus))
    yield f"id: broker, protocol: mqtt, host: {_quoted(host)}, port: {port or 1883}", devices


def _somewhere(dice: random.Random) -> tuple[int, int]:
    """A building and a floor of it."""
    return dice.randint(1, 9), dice.randint(1, _FLOORS)
