"""`anju profile new`: a file to begin a model with, all its kind can say in it as lines to fill in. Pure."""

from collections.abc import Callable, Iterator, Sequence
from itertools import count
from typing import Final, Protocol

from contract.kinds import KINDS, Kind, Point, PointType

Lines = Iterator[str]
_UNUSED = frozenset({"link", "linkage"})
"""Points that the box itself says of a device."""
_BTHOME = {
    "battery": "battery", "co2": "carbon_dioxide", "contact": "opening", "fault": "problem", "fire": "heat",
    "gas": "gas", "humidity": "humidity", "leak": "moisture", "lock": "lock", "motion": "motion", "pm25": "pm25",
    "power": "power", "pressure": "pressure", "running": "running", "smoke": "smoke", "tamper": "tamper",
    "temperature": "temperature", "volume": "volume", "energy": "energy", "flow": "volume_flow_rate",
}  # fmt: skip
"""What BTHome calls what a point of ours says. Source: https://bthome.io/format."""
_A_DAY_S = 86400
PLACEHOLDERS: Final = {
    "vendor": "Who makes it",
    "model": "What stands on it",
    "source": "Where the facts come from; document, page, address",
    "notes": "Terminals, switches, factory settings, limits",
    "notes_zh": "端子、拨码、出厂设置、限制",
}
"""What a draft says where a person has to."""


def draft(protocol: str, kind_name: str, profile_id: str) -> str:
    """The text of a profile of the right form, with PLACEHOLDERS for a person: one point, the others as comments."""
    kind = KINDS[kind_name]
    points = [point for name, point in kind.points.items() if name not in _UNUSED]
    # The kind's own points first; what every kind may have (battery, tamper) last.
    points.sort(key=lambda point: point.name in {"battery", "tamper", "fault", "rssi"})
    writer = WRITERS[protocol]()
    first = next(point for point in points if point.type is not PointType.COMMAND)
    lines = [*_head(protocol, kind, profile_id), *writer.head, "points:"]
    for point in points:
        body = list(_point(point, writer.point))
        lines.extend(body if point is first else ["  #" + line[2:] for line in body])
    return "\n".join(lines) + "\n"


def _head(protocol: str, kind: Kind, profile_id: str) -> Lines:
    # Each placeholder is refused by `anju profile check` until it is written.
    yield f"# {kind.en} {kind.zh}: say here in a line what this model is."
    yield "# Take the '#' off the points that it has, fill them in, remove the rest; then"
    yield "# `anju profile check` with this file says every mistake with its line."
    yield f"id: {profile_id}"
    yield f"protocol: {protocol}"
    yield f"vendor: {PLACEHOLDERS['vendor']}"
    yield f"model: {PLACEHOLDERS['model']}"
    yield f"kind: {kind.name}"
    yield from (f"{name}: {PLACEHOLDERS[name]}" for name in ("source", "notes", "notes_zh"))


def _point(point: Point, how: Callable[[Point], Lines]) -> Lines:
    unit = f", {point.unit}" if point.unit else ""
    yield f"  {point.name}:  # {point.zh} {point.en}{unit}"
    yield from ("    " + line for line in how(point))
    if point.type is PointType.STATE:
        yield "    # What each raw value means: " + ", ".join(f"{word.code} {word.zh}" for word in point.words)
        words = ", ".join(f"{raw}: {word.code}" for raw, word in enumerate(point.words))
        yield f"    states: {{{words}}}"
    elif point.type is PointType.TELEMETRY:
        yield "    scale: 1  # value = raw * scale + offset"
        yield "    report: {deadband: 0, heartbeat_s: 300}"


class Writer(Protocol):
    """What a protocol puts into a new profile: how its models begin, and where a point is."""

    @property
    def head(self) -> Sequence[str]:
        """Lines before the points."""

    def point(self, point: Point) -> Lines:
        """The lines of one point, without those that are the same for every protocol."""


class _Modbus:
    """Addresses count from 0, as on the wire: register 40001 is holding_register 0."""

    head = (
        "# Most registers a question, and how many unmapped ones it may span. For the",
        "# sixteen detectors of one panel: channels: 16, and stride: 1 at each address.",
        "modbus: {max_registers: 125, max_gap: 0, channels: 1}",
    )

    def __init__(self) -> None:
        self._bits, self._registers, self._orders = count(), count(step=2), count()

    def point(self, point: Point) -> Lines:
        if point.type is PointType.COMMAND:
            yield from self._command(point)
        elif point.type is PointType.TELEMETRY:
            yield "# or int16 uint32 float32 …; words: low_first where the low word is first"
            yield f"read: {{table: holding_register, address: {next(self._registers)}, type: uint16}}"
        else:
            yield f"read: {{table: discrete_input, address: {next(self._bits)}, type: bit}}"
            if point.type is PointType.EVENT:
                yield "when: [1]  # it happens when the raw value becomes one of these"

    def _command(self, point: Point) -> Lines:
        at = next(self._orders)
        if "seconds" in point.fields:
            yield "write:"
            yield f"  {{table: holding_register, address: {at}, argument: seconds, maximum: 60}}"
        elif "on" in point.fields:
            yield f"write: {{table: coil, address: {at}, argument: on, maximum: 1}}"
        else:
            yield f"write: {{table: coil, address: {at}, value: 1}}"
        yield "# Shown done by: confirm: {point: NAME, state: WORD, within_s: 3}"


class _Ble:
    """BTHome as a beginning; what else there is stands in the driver's README."""

    head = (
        "# Off line after so long without a word: twice what the maker promises.",
        "silent_after_s: 3600",
        "# A maker's own bytes instead of BTHome: formats: here, and a point has",
        "#   read: {format: NAME, at: 0, type: int16}",
        "# A characteristic: read: {characteristic: UUID, type: uint8}. Both are in the",
        "# README of edge/drivers/ble.",
    )

    def point(self, point: Point) -> Lines:
        if point.type is PointType.COMMAND:
            yield "write:"
            yield '  characteristic: "0000ff01-0000-1000-8000-00805f9b34fb"'
            yield from _value_of(point, "  ", "type: uint8")
        elif point.name == "rssi":
            yield "read: {rssi: true}"
        elif point.type is PointType.EVENT:
            yield "read: {bthome: button}"
            yield "when: [press, double_press, long_press]"
        else:
            fallback = "count" if point.type is PointType.TELEMETRY else "generic"
            yield f"read: {{bthome: {_BTHOME.get(point.name, fallback)}}}"


class _Mqtt:
    """JSON on a topic of the device's own."""

    head = (
        "# Off line after so long without a message.",
        f"silent_after_s: {_A_DAY_S}",
        "# {base} stands for this, {address} for what the site file says of each device.",
        "base: devices",
        "link:",
        '  - {topic: "{base}/{address}/availability"}  # says online or offline',
    )

    def point(self, point: Point) -> Lines:
        if point.type is PointType.COMMAND:
            yield "write:"
            yield '  topic: "{base}/{address}/set"'
            yield f"  path: {point.name}"
            yield "  payload: {}"
            yield from _value_of(point, "  ")
            return
        yield f'read: {{topic: "{{base}}/{{address}}", path: {point.name}}}'
        if point.type is PointType.EVENT:
            yield "when: [1]  # JSON's true is 1"


def _value_of(point: Point, indent: str, more: str = "") -> Lines:
    """What a command sends: its argument, or 1."""
    if point.fields:
        yield f"{indent}argument: {point.fields[0]}"
    else:
        yield f"{indent}value: 1"
    if more:
        yield indent + more


WRITERS: dict[str, Callable[[], Writer]] = {"modbus": _Modbus, "ble": _Ble, "mqtt": _Mqtt}
"""By protocol: what writes its part."""
