"""BLE: how a model's advertisements and characteristics map to points.

A point is an object of BTHome v2, bytes of a vendor's advertisement, a GATT characteristic, or the signal strength.
"""

import re
from collections.abc import Iterator
from enum import StrEnum
from typing import Annotated, Literal

import msgspec

from contract.config import Problem, is_bad
from contract.kinds import KINDS, PointType
from contract.profile.common import PointMap, Profile, Read, Seconds, Write

Where = tuple[str | int, ...]

BTHOME_NUMBERS = frozenset({
    "acceleration", "battery", "carbon_dioxide", "channel", "conductivity", "count", "current", "dew_point",
    "direction", "distance", "duration", "energy", "gas", "gyroscope", "humidity", "illuminance", "light_level", "mass",
    "moisture", "pm10", "pm25", "power", "precipitation", "pressure", "rotation", "rotational_speed",
    "settings_revision", "speed", "temperature", "uv_index", "volatile_organic_compounds", "voltage", "volume",
    "volume_flow_rate", "volume_storage", "water",
})  # fmt: skip
"""Measurements by name, in the unit of the standard. Source: BTHome v2 (https://bthome.io/format), names as bthome-ble
gives them."""
BTHOME_BINARIES = frozenset({
    "battery", "battery_charging", "carbon_monoxide", "cold", "connectivity", "door", "garage_door", "gas", "generic",
    "heat", "light", "lock", "moisture", "motion", "moving", "occupancy", "opening", "plug", "power", "presence",
    "problem", "running", "safety", "smoke", "sound", "tamper", "vibration", "window",
})  # fmt: skip
"""What is either so (raw 1) or not (raw 0), by name."""
BTHOME_EVENTS: dict[str, tuple[str, ...]] = {
    "button": (
        "press", "double_press", "triple_press", "long_press", "long_double_press", "long_triple_press", "hold_press",
        "hold_release",
    ),
    "dimmer": ("rotate_left", "rotate_right"),
    "command": ("off", "on", "toggle", "step_up", "step_down"),
}  # fmt: skip
"""What happens, by name: its raw values."""

MOST_BYTES = 512
"""No attribute value is longer. Source: Bluetooth Core 5.4, vol 3, part F, section 3.2.9."""
Hex = Annotated[
    str, msgspec.Meta(pattern=r"^([0-9a-fA-F]{2})*$", max_length=128, description='bytes as hex digits: "0a1b"')
]
Uuid = Annotated[
    str,
    msgspec.Meta(
        pattern=r"^([0-9a-fA-F]{4}|[0-9a-fA-F]{8}|[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12})$",
        description='a UUID: "fcd2" or "0000ff01-0000-1000-8000-00805f9b34fb"',
    ),
]


class BleType(StrEnum):
    """How a value lies in bytes. `text` takes the rest as UTF-8; `none` is no value (a command of fixed bytes)."""

    UINT8 = "uint8"
    INT8 = "int8"
    UINT16 = "uint16"
    INT16 = "int16"
    UINT24 = "uint24"
    INT24 = "int24"
    UINT32 = "uint32"
    INT32 = "int32"
    FLOAT32 = "float32"
    TEXT = "text"
    NONE = "none"

    @property
    def size(self) -> int:
        """How many bytes it takes; 0 for what has no fixed length."""
        digits = re.search(r"\d+", self.value)
        return int(digits[0]) // 8 if digits else 0

    @property
    def is_whole(self) -> bool:
        """Whether it is a whole number."""
        return "int" in self.value


Order = Literal["little", "big"]


class BleRead(Read, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Where a point is: exactly one of `bthome`, `format`, `characteristic` and `rssi`, and how it lies in the bytes.

    `at` counts in the data after the company or service id, or in the characteristic's value. `shift` and `mask` pick
    bits of a whole number (`raw >> shift & mask`). A raw value in `missing` means that the device does not know.
    """

    bthome: str | None = None
    format: str | None = None
    characteristic: Uuid | None = None
    rssi: bool = False
    at: Annotated[int, msgspec.Meta(ge=0, lt=MOST_BYTES)] = 0
    type: BleType = BleType.UINT8
    order: Order = "little"
    shift: Annotated[int, msgspec.Meta(ge=0, le=31)] = 0
    mask: Annotated[int, msgspec.Meta(ge=1, le=0xFFFFFFFF)] | None = None
    missing: tuple[int, ...] = ()
    notify: bool = False
    """The characteristic tells its changes by itself."""


class BleWrite(Write, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """To which characteristic a command is written: the bytes of `prefix`, then the value as `type`."""

    characteristic: Uuid
    type: BleType = BleType.UINT8
    order: Order = "little"
    prefix: Hex = ""
    response: bool = True
    """The device is asked to acknowledge it."""


class BlePoint(PointMap, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A point of a BLE model."""

    read: BleRead | None = None
    write: BleWrite | None = None


class BleMatch(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Bytes that an advertisement of this format has at an offset, as far as the bits of `mask` (all, without one)."""

    at: Annotated[int, msgspec.Meta(ge=0, le=255)] = 0
    bytes: Hex
    mask: Hex = ""


class BleFormat(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """How a vendor's advertisement is told: manufacturer data of a `company`, or service data of a `service`.

    `length` is that of the data after the id; all of `match` must fit.
    """

    company: Annotated[int, msgspec.Meta(ge=0, le=0xFFFF)] | None = None
    service: Uuid | None = None
    length: Annotated[int, msgspec.Meta(ge=0, le=255)] | None = None
    min_length: Annotated[int, msgspec.Meta(ge=0, le=255)] = 0
    match: tuple[BleMatch, ...] = ()

    @property
    def shortest(self) -> int:
        """Bytes that its data has at least."""
        return self.length if self.length is not None else self.min_length


class BleGatt(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """How often characteristics are read, and whether the connection stays between two reads (notify needs it)."""

    every_s: Annotated[float, msgspec.Meta(ge=0.1, le=7 * 86400)] = 600.0
    stay: bool = False


class BleProfile(Profile, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A model that speaks BLE.

    After `silent_after_s` without a word it is off line; where the radio listens passively, after
    `silent_after_passive_s` (when given), for BlueZ tells only of changed data then.
    """

    protocol: Literal["ble"]
    silent_after_s: Seconds
    silent_after_passive_s: Seconds | None = None
    formats: dict[str, BleFormat] = {}  # noqa: RUF012  # msgspec copies it
    gatt: BleGatt = BleGatt()
    points: dict[str, BlePoint]

    @property
    def is_bthome(self) -> bool:
        """Whether it sends BTHome."""
        return any(point.read is not None and point.read.bthome for point in self.points.values())

    @property
    def is_heard(self) -> bool:
        """Whether its advertisements say something of it, so that a passive scan can be told to let them through."""
        return self.is_bthome or bool(self.formats)

    @property
    def is_connected(self) -> bool:
        """Whether the box must connect to it, be it for a command alone."""
        return any(
            (point.read is not None and point.read.characteristic) or point.write is not None
            for point in self.points.values()
        )


def check_ble(profile: BleProfile) -> Iterator[Problem]:
    """What is wrong with where the points are read and written."""
    for name, format_ in () if is_bad(profile.formats) else profile.formats.items():
        if not is_bad(format_):
            yield from _check_format(format_, ("formats", name))
    for name, point in profile.points.items():
        if is_bad(name, point):
            continue
        if point.read is not None and not is_bad(point.read):
            yield from _check_read(name, point, point.read, profile)
        if point.write is not None and not is_bad(point.write):
            yield from _check_write(point.write, ("points", name, "write"))


def _check_format(format_: BleFormat, where: Where) -> Iterator[Problem]:
    if is_bad(format_.company, format_.service, format_.length, format_.min_length, format_.match):
        return
    if (format_.company is None) is (format_.service is None):
        yield Problem(where, "a format is told by company: or by service:", "say one of the two")
    if format_.length is not None and format_.min_length:
        yield Problem(where, "length: and min_length: are both given", "leave one of them out")
    for m, match in enumerate(format_.match):
        if is_bad(match) or is_bad(match.at, match.bytes, match.mask):
            continue
        if match.mask and len(match.mask) != len(match.bytes):
            yield Problem((*where, "match", m), "mask: is not as long as bytes:", "as many digits as in bytes:")
        if match.at + len(match.bytes) // 2 > format_.shortest:
            hint = "say length: or min_length:, so that shorter data is not taken for it"
            yield Problem((*where, "match", m), f"match looks beyond the {format_.shortest} bytes that are sure", hint)


def _check_read(name: str, point: BlePoint, read: BleRead, profile: BleProfile) -> Iterator[Problem]:
    where: Where = ("points", name, "read")
    if is_bad(read.bthome, read.format, read.characteristic, read.rssi, read.at, read.type, read.shift, read.mask):
        return
    ways = [way for way in ("bthome", "format", "characteristic", "rssi") if getattr(read, way)]
    if len(ways) != 1:
        said = " and ".join(ways) or "none"
        yield Problem(where, f"{name!r} is read in one way; here: {said}", "bthome:, format:, characteristic: or rssi:")
        return
    if read.notify and not read.characteristic:
        yield Problem((*where, "notify"), "only a characteristic notifies", "leave notify: out")
    elif read.notify and not is_bad(profile.gatt) and not profile.gatt.stay:
        hint = "add gatt: {stay: true}"
        yield Problem((*where, "notify"), "what notifies needs a connection that stays", hint)
    if read.bthome:
        yield from _check_bthome(name, point, read.bthome, profile)
        return
    if read.format and not is_bad(profile.formats):
        described = profile.formats.get(read.format)
        if described is None:
            hint = f"one of: {', '.join(profile.formats)}" if profile.formats else "add it under formats:"
            yield Problem((*where, "format"), f"format {read.format!r} is not described", hint)
        elif not is_bad(described) and read.at + read.type.size > described.shortest:
            problem = f"{name!r} ends beyond the {described.shortest} bytes that are sure"
            yield Problem((*where, "at"), problem, "say the format's length: or min_length:")
    if read.type is BleType.NONE:
        yield Problem((*where, "type"), "type: none has no value", "for a read: uint8, int16, text …")
    if (read.shift or read.mask is not None) and not read.type.is_whole:
        yield Problem((*where, "type"), f"{read.type} has no bits to pick", "shift: and mask: are for whole numbers")


def _check_bthome(name: str, point: BlePoint, said: str, profile: BleProfile) -> Iterator[Problem]:
    where: Where = ("points", name, "read", "bthome")
    base = bthome_base(said)
    standard = KINDS[profile.kind].points.get(name) if profile.kind in KINDS else None
    is_event = standard is not None and standard.type is PointType.EVENT
    if base not in BTHOME_NUMBERS | BTHOME_BINARIES | BTHOME_EVENTS.keys():
        known = ", ".join(sorted(BTHOME_NUMBERS | BTHOME_BINARIES | BTHOME_EVENTS.keys()))
        yield Problem(where, f"BTHome has no {said!r}", f"one of: {known}")
    elif base in BTHOME_EVENTS and not is_event:
        yield Problem(where, f"{said!r} is an event, and {name!r} is none", "read what is a state or a number")
    elif base in BTHOME_EVENTS and not is_bad(point.when):
        for word in point.when:
            if word not in BTHOME_EVENTS[base]:
                hint = f"one of: {', '.join(BTHOME_EVENTS[base])}"
                yield Problem(("points", name, "when"), f"a {base} never says {word!r}", hint)


def bthome_base(name: str) -> str:
    """The name without the number that tells several of one kind apart: `temperature` of `temperature_2`."""
    return re.sub(r"_\d+$", "", name)


def _check_write(write: BleWrite, where: Where) -> Iterator[Problem]:
    if is_bad(write.characteristic, write.type, write.value, write.argument, write.prefix):
        return
    if write.type is BleType.NONE:
        if write.value is not None or write.argument is not None or not write.prefix:
            yield Problem(where, "type: none writes the bytes of prefix: alone", "say prefix: and nothing else")
    elif (write.value is None) is (write.argument is None):
        yield Problem(where, "say either value: or argument:", "value: 1 writes a 1")
    elif write.value is not None and isinstance(write.value, str) is not (write.type is BleType.TEXT):
        yield Problem((*where, "value"), f"{write.value!r} is no {write.type}", "a number, or type: text")
