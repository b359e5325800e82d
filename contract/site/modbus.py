"""Modbus in the site file: endpoints, serial lines, and the units on them."""

import math
from collections.abc import Iterable, Iterator, Mapping
from typing import Annotated, Literal

import msgspec

from contract.config import Problem, is_bad
from contract.modbus_plan import Read, plan_unit
from contract.modbus_time import MOST_SHARE, Line, Load, load_of
from contract.profile import AnyProfile, ModbusLimits, ModbusProfile
from contract.site.common import Bus, Device, Where, host_hint

RESERVED_UNITS = range(248, 255)
"""Unit ids that no device has. Source: Modbus over serial line 1.02, section 2.2."""
DEVICE_ITSELF = 0
"""Means the TCP device itself, and every unit at once to a gateway to a serial line: a command would open all doors.

Source: Modbus messaging on TCP/IP 1.0b, section 4.4.2.1; 255 means the device itself as well, and nothing else.
"""


_SILENT_POLLS = 5
_SILENT_S = 10.0


class ModbusDevice(Device, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One device: its profile, its Modbus unit id, its channel on a unit that serves several, and its place.

    Units behind a gateway are 1 to 247. A device that speaks TCP itself is 255 (or 0, when alone on its bus), or
    whatever its manual says.
    """

    unit: Annotated[int, msgspec.Meta(ge=0, le=255)]
    """Modbus unit id: 1 to 247 on a line or behind a gateway; 255 for a device that speaks TCP itself."""
    channel: Annotated[int, msgspec.Meta(ge=0, le=1023)] = 0
    """Which detector of a panel that serves several under one unit id; counts from 0."""


class ModbusBus(Bus, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What every Modbus bus has, whatever carries it."""

    poll_s: Annotated[float, msgspec.Meta(ge=0.02, le=3600)] = 1.0
    """Each unit is asked this often, in seconds; at most the shortest heartbeat of its profiles."""
    timeout_s: Annotated[float, msgspec.Meta(gt=0, le=30)] = 1.0
    """Seconds after which a unit has not answered."""
    devices: list[ModbusDevice]
    """What is connected to it."""

    def silent_after_s(self, profile: ModbusProfile) -> float:
        """Seconds without a good value after which a device is off line: five polls of it, or ten seconds."""
        reads = [point.read for point in profile.points.values() if point.read is not None]
        every_s = min((read.every_s or self.poll_s for read in reads), default=self.poll_s)
        return max(_SILENT_S, _SILENT_POLLS * every_s)

    @property
    def line(self) -> Line | None:
        """The serial line whose time is known and shared; None where the network carries all."""
        return None

    def limits_of(self, profile: ModbusProfile) -> ModbusLimits:
        """What one question to such a unit may ask for on this bus."""
        return profile.modbus


class ModbusTcpBus(ModbusBus, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One Modbus TCP endpoint and the devices behind it, also a gateway to a serial line."""

    protocol: Literal["modbus-tcp"]
    """Modbus TCP, also through a gateway to a serial line."""
    host: Annotated[str, msgspec.Meta(min_length=1, max_length=253)]
    """Address or name of the device or gateway; each host and port once in the file."""
    port: Annotated[int, msgspec.Meta(ge=1, le=65535)] = 502
    """TCP port."""

    @property
    def endpoint(self) -> str:
        """What no other bus may use."""
        return f"{self.host}:{self.port}"


class _ModbusLineBus(ModbusBus, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What RTU frames need, whatever carries them."""

    timeout_s: Annotated[float, msgspec.Meta(gt=0, le=30)] = 0.5
    """Seconds after a question in which a unit has not begun to answer."""
    baud: Literal[1200, 2400, 4800, 9600, 19200, 38400, 57600, 115200] = 9600
    """Bits a second, as all units of the line (and the converter, where there is one) are set."""
    gap_ms: Annotated[float, msgspec.Meta(ge=0, le=500)] = 0.0
    """Least silence before each question, for units slow to listen again; the standard's 3.5 characters always hold."""
    max_transaction_ms: Annotated[float, msgspec.Meta(ge=20, le=5000)] = 200.0
    """Longest that one question and its answer may take the line: so long a command may have to wait for its turn."""

    def limits_of(self, profile: ModbusProfile) -> ModbusLimits:
        """The model's limits, or what max_transaction_ms leaves of them."""
        line = self.line
        return profile.modbus if line is None else line.narrow(profile.modbus, self.max_transaction_ms / 1000)


class ModbusRtuBus(_ModbusLineBus, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One serial line (RS-485) of this box and the units on it."""

    protocol: Literal["modbus-rtu"]
    """Modbus RTU on a serial port of this box."""
    port: Annotated[str, msgspec.Meta(pattern=r"^/", description="for example /dev/serial/by-id/usb-…")]
    """The port: better by its /dev/serial/by-id/ name, which stays when adapters change places."""
    parity: Literal["none", "even", "odd"] = "none"
    """As all units of the line are set."""
    stop_bits: Literal[1, 2] = 1
    """As all units of the line are set."""

    @property
    def endpoint(self) -> str:
        """What no other bus may use."""
        return self.port

    @property
    def line(self) -> Line:
        """Its timing: start bit, eight of data, parity if any, stop bits."""
        return Line(self.baud, 9 + (self.parity != "none") + self.stop_bits, self.gap_ms / 1000)


class ModbusRtuTcpBus(_ModbusLineBus, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A serial line behind a transparent converter: RTU frames over a TCP connection."""

    protocol: Literal["modbus-rtu-tcp"]
    """Modbus RTU frames over TCP: a transparent serial server that knows no Modbus."""
    host: Annotated[str, msgspec.Meta(min_length=1, max_length=253)]
    """Address or name of the converter; each host and port once in the file."""
    port: Annotated[int, msgspec.Meta(ge=1, le=65535)]
    """TCP port of the line."""

    @property
    def endpoint(self) -> str:
        """What no other bus may use."""
        return f"{self.host}:{self.port}"

    @property
    def line(self) -> Line:
        """Its timing, taken for the longer characters, for the converter alone knows its parity."""
        return Line(self.baud, 11, self.gap_ms / 1000)


AnyModbusBus = ModbusTcpBus | ModbusRtuBus | ModbusRtuTcpBus


def check_modbus_bus(bus: AnyModbusBus, where: Where, profiles: Mapping[str, AnyProfile]) -> Iterator[Problem]:
    """What is wrong with a bus and its units: addresses, unit ids, channels, pace."""
    if isinstance(bus, ModbusTcpBus | ModbusRtuTcpBus) and not is_bad(bus.host) and (hint := host_hint(bus.host)):
        yield Problem((*where, "host"), f"{bus.host!r} is not an address", hint)
    yield from _check_pace(bus, where, profiles)
    yield from _check_load(bus, where, profiles)
    by_channel: dict[tuple[int, int], ModbusDevice] = {}
    by_unit: dict[int, ModbusDevice] = {}
    units = {device.unit for device in bus.devices if not is_bad(device) and not is_bad(device.unit)}
    for d, device in enumerate(bus.devices):
        if is_bad(device):
            continue
        here = (*where, "devices", d)
        yield from _check_unit(device, here, units, profiles, isinstance(bus, _ModbusLineBus))
        first = _taken(device, by_channel, by_unit, profiles)
        if first is not None:
            problem = f"unit {device.unit} on bus {bus.id!r} is already device {first.id!r}"
            hint = "each unit id once a bus; detectors of one panel share its unit and profile and differ in channel"
            yield Problem((*here, "unit"), problem, hint)
        by_channel.setdefault((device.unit, device.channel), device)
        by_unit.setdefault(device.unit, device)


def _check_unit(
    device: ModbusDevice, here: Where, units: Iterable[int], profiles: Mapping[str, AnyProfile], is_serial: bool
) -> Iterator[Problem]:
    """What is wrong with a device's unit id and channel."""
    profile = profiles.get(device.profile)
    if isinstance(profile, ModbusProfile) and device.channel >= profile.modbus.channels:
        problem = f"channel {device.channel}: {profile.id} has channels 0 to {profile.modbus.channels - 1}"
        yield Problem((*here, "channel"), problem, "channels count from 0")
    if not is_bad(device.unit) and device.unit in RESERVED_UNITS:
        hint = "units behind a gateway are 1 to 247; a device that speaks TCP itself is 255"
        yield Problem((*here, "unit"), f"unit {device.unit} is reserved by the standard", hint)
    if device.unit == DEVICE_ITSELF and is_serial:
        hint = "units on a line are 1 to 247"
        yield Problem((*here, "unit"), "unit 0 is every unit of a line at once", hint)
    elif device.unit == DEVICE_ITSELF and len(set(units)) > 1:
        hint = "for a gateway unit 0 is every unit at once; give this one its own number"
        yield Problem((*here, "unit"), "unit 0 cannot be beside others on its bus", hint)


def _taken(
    device: ModbusDevice, by_channel: Mapping[tuple[int, int], ModbusDevice], by_unit: Mapping[int, ModbusDevice],
    profiles: Mapping[str, AnyProfile],
) -> ModbusDevice | None:  # fmt: skip
    """The device that has this one's place on the bus, if one has: its channel, or its unit with another profile."""
    first = by_channel.get((device.unit, device.channel))
    neighbour = by_unit.get(device.unit)
    if first is not None or neighbour is None:
        return first
    known = device.profile in profiles and neighbour.profile in profiles
    return neighbour if known and neighbour.profile != device.profile else None


def _check_pace(bus: ModbusBus, where: Where, profiles: Mapping[str, AnyProfile]) -> Iterator[Problem]:
    """Says when a bus is polled so seldom that a point goes stale between two polls."""
    used = (profiles.get(device.profile) for device in bus.devices if not is_bad(device) and not is_bad(device.profile))
    beats = [
        (point.report.heartbeat_s, name, profile.id)
        for profile in used
        if isinstance(profile, ModbusProfile)
        for name, point in profile.points.items()
        if point.read is not None and point.read.every_s is None
    ]
    if beats and not is_bad(bus.poll_s) and bus.poll_s > min(beats)[0]:
        beat_s, name, profile_id = min(beats)
        problem = f"poll_s {bus.poll_s:g} is longer than the heartbeat of {name!r} of {profile_id} ({beat_s:g} s)"
        hint = f"at most {beat_s:g}: what is reported later is stale before it is read again"
        yield Problem((*where, "poll_s"), problem, hint)


def plans_of(
    bus: AnyModbusBus, profiles: Mapping[str, AnyProfile]
) -> dict[int, tuple[ModbusProfile, ModbusLimits, list[Read]]]:
    """By unit: its model, what a question to it may ask for on this bus, and the questions of one round."""
    plans: dict[int, tuple[ModbusProfile, ModbusLimits, list[Read]]] = {}
    by_unit: dict[int, list[ModbusDevice]] = {}
    for device in bus.devices:
        if not is_bad(device) and not is_bad(device.unit, device.channel, device.profile):
            by_unit.setdefault(device.unit, []).append(device)
    for unit, devices in sorted(by_unit.items()):
        profile = profiles.get(devices[0].profile)
        if isinstance(profile, ModbusProfile):
            limits = bus.limits_of(profile)
            channels = [(device.id, device.channel) for device in devices]
            plans[unit] = (profile, limits, plan_unit(unit, profile, channels, limits))
    return plans


def load_on(bus: AnyModbusBus, profiles: Mapping[str, AnyProfile]) -> Load | None:
    """What the polls of a bus ask of its serial line; None for a bus without one of its own."""
    line = bus.line
    if line is None:
        return None
    return load_of(line, ((limits, reads) for _, limits, reads in plans_of(bus, profiles).values()))


def _check_load(bus: AnyModbusBus, where: Where, profiles: Mapping[str, AnyProfile]) -> Iterator[Problem]:
    """Refuses a line that cannot carry the polls asked of it, with the sum."""
    if is_bad(bus.protocol) or not isinstance(bus, _ModbusLineBus) or is_bad(bus.poll_s, bus.max_transaction_ms):
        return
    timing = (bus.parity, bus.stop_bits) if isinstance(bus, ModbusRtuBus) else ()
    if is_bad(bus.baud, bus.gap_ms, *timing):
        return
    load = load_on(bus, profiles)
    if load is None or load.share(bus.poll_s) <= MOST_SHARE:
        return
    problem = (
        f"this line needs {load.share(bus.poll_s):.2f} s of every 1 s: {load.units} units with {load.questions} "
        f"questions at {bus.baud} baud take {load.round_s:.2f} s a round, and poll_s is {bus.poll_s:g}"
    )
    if load.slow_share >= 0.005:  # less is not worth a word
        problem += f"; points with an every_s of their own take {load.slow_share:.2f} s of every 1 s besides"
    least_s = load.least_poll_s()
    hint = "a higher baud rate, or fewer units on one line"
    if least_s is not None:
        hint = f"poll_s at least {math.ceil(least_s * 10) / 10:g}, {hint}"
    yield Problem((*where, "poll_s"), problem, hint)
