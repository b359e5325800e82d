"""`anju profile show`: one model for the person who wires it and writes the site file. Pure."""

import re
from collections.abc import Iterator
from typing import Any

import msgspec

from contract.kinds import KINDS, Point, PointType
from contract.profile import AnyProfile, BleProfile, ModbusProfile, PointMap
from edge.provision.columns import wrap
from edge.provision.profiles import title

_INDENT = " " * 4
_LABEL = 10
_FOLDED = re.compile(r"(?<=[⺀-鿿、。〇！-｠])\s+(?=[⺀-鿿、。〇！-｠])")
"""What a line break of the file leaves between Chinese characters, where none is written."""
_MINUTE_S, _HOUR_S = 60, 3600
SPOKEN = {
    PointType.STATE: "state 状态", PointType.TELEMETRY: "value 数值",
    PointType.EVENT: "event 事件", PointType.COMMAND: "command 命令",
}  # fmt: skip


def page(profile: AnyProfile, width: int) -> list[str]:
    """Everything a profile says, in lines of at most `width` columns (addresses of pages excepted)."""
    kind = KINDS[profile.kind]
    lines = wrap(f"{profile.id}: {profile.vendor} {profile.model}", width)
    lines.append(f"{title(kind)}, {profile.protocol}")
    if isinstance(profile, ModbusProfile):
        lines.extend(wrap("limits: " + (said(profile.modbus) or "those of the standard"), width))
    elif isinstance(profile, BleProfile) and profile.formats:
        for name, form in profile.formats.items():
            lines.extend(wrap(f"format {name}: {said(form)}", width))
    lines += ["", "Points 点位"]
    for name, point in profile.points.items():
        lines.extend(_point(name, point, kind.points[name], width))
    if profile.notes or profile.notes_zh:
        lines += ["", "Wiring and settings 接线与设置"]
        lines.extend(wrap(profile.notes.strip(), width, "  "))
        lines.extend(wrap(_FOLDED.sub("", profile.notes_zh.strip()), width, "  "))
    lines += ["", "Source 来源", *wrap(profile.source.strip(), width, "  ")]
    return [*lines, "", "In a site file 写入站点文件", *("  " + line for line in site_lines(profile))]


def _point(name: str, point: PointMap, standard: Point, width: int) -> Iterator[str]:
    unit = f", {standard.unit}" if standard.unit else ""
    yield f"  {name}  {standard.zh} {standard.en}{unit}: {SPOKEN[standard.type]}"
    for label, text in _facts(point, standard):
        yield from wrap(text, width, _INDENT + " " * _LABEL, _INDENT + f"{label:<{_LABEL}}")


def _facts(point: PointMap, standard: Point) -> Iterator[tuple[str, str]]:
    """What is said of a point, a label and a text each."""
    if point.read is not None:
        yield "read", "the signal's strength" if getattr(point.read, "rssi", False) else said(point.read)
    if point.write is not None:
        yield "written", said(point.write)
    if point.states:
        words = {word.code: word for word in standard.words}
        yield "says", ", ".join(f"{raw} = {word} {words[word].zh}" for raw, word in point.states.items())
    if point.when:
        yield "happens", "when it says " + " or ".join(map(str, point.when))
    if standard.type is PointType.TELEMETRY:
        yield "is", _value(point)
    if point.confirm is not None:
        yield "confirmed", f"when {point.confirm.point} is {point.confirm.state} within {point.confirm.within_s:g} s"
    if standard.type in {PointType.TELEMETRY, PointType.STATE}:
        yield "reported", _report(point)


def _value(point: PointMap) -> str:
    parts = [f"raw × {point.scale:g}" if point.scale != 1 else "raw"]
    if point.offset:
        parts[0] += f" {'+' if point.offset > 0 else '-'} {abs(point.offset):g}"
    if point.minimum is not None and point.maximum is not None:
        parts.append(f"plausible from {point.minimum:g} to {point.maximum:g}")
    elif point.minimum is not None:
        parts.append(f"plausible from {point.minimum:g} on")
    elif point.maximum is not None:
        parts.append(f"plausible up to {point.maximum:g}")
    if point.counter is not None:
        at = point.counter.rolls_over_at
        parts.append("only counts up" + (f", begins anew at raw {at}" if at else ""))
    return ", ".join(parts)


def _report(point: PointMap) -> str:
    report = point.report
    if report.always:
        return "each read"
    changed = "on change"
    if report.deadband or report.relative:
        change = [f"{report.deadband:g}"] * bool(report.deadband) + [f"{report.relative:.0%}"] * bool(report.relative)
        changed = f"on change by {' and '.join(change)}"
    held = [
        f"a change must hold {seconds:g} s{why}"
        for seconds, why in ((point.debounce.enter_s, ""), (point.debounce.leave_s, " to return to normal"))
        if seconds
    ]
    return ", ".join([changed, f"at least every {_time(report.heartbeat_s)}", *held])


def _time(seconds: float) -> str:
    if seconds < 2 * _MINUTE_S:
        return f"{seconds:g} s"
    return f"{seconds / _MINUTE_S:g} min" if seconds < 2 * _HOUR_S else f"{seconds / _HOUR_S:g} h"


def said(struct: msgspec.Struct) -> str:
    """What a part of a profile says, as it would be written: what is at its default is left out."""
    return ", ".join(f"{name} {_plain(value)}" for name, value in _not_default(struct))


def _not_default(struct: msgspec.Struct) -> Iterator[tuple[str, Any]]:
    for field in msgspec.structs.fields(struct):
        value = getattr(struct, field.name)
        default = field.default
        if default is msgspec.NODEFAULT and field.default_factory is not msgspec.NODEFAULT:
            default = field.default_factory()
        if default is msgspec.NODEFAULT or value != default:
            yield field.encode_name, f"0x{value:04X}" if field.name == "company" else value


def _plain(value: Any) -> str:
    if isinstance(value, msgspec.Struct):
        return "{" + said(value) + "}"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key}: {_plain(part)}" for key, part in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(_plain, value)) + "]"
    return f"{value:g}" if isinstance(value, float) else str(value)


def site_lines(profile: AnyProfile) -> list[str]:
    """A bus with this device on it, as a site file has it; the names are examples."""
    if isinstance(profile, ModbusProfile):
        bus = [
            "- id: line-1",
            "  protocol: modbus-rtu   # or modbus-tcp, modbus-rtu-tcp with host: and port:",
            "  port: /dev/serial/by-id/usb-adapter",
            "  baud: 9600             # and parity:, as all units of the line are set",
        ]
        places = [["unit: 1"]]
        if profile.modbus.channels > 1:
            places = [["unit: 1", f"channel: {n}"] for n in (0, 1)]
    elif isinstance(profile, BleProfile):
        bus = ["- id: radio", "  protocol: ble", "  adapter: hci0"]
        places = [['address: "A4:C1:38:01:02:03"', "# bindkey: {secret: ITS-NAME}   where the sensor encrypts"]]
    else:
        bus = [
            "- id: broker",
            "  protocol: mqtt",
            "  host: 127.0.0.1        # with a login: user: and password: {secret: NAME}",
        ]
        places = [['address: "its-name"']]
        if profile.is_called_by_number:
            places = [['address: "1234567890"']]
    name, lines = KINDS[profile.kind].zh, [*bus, "  devices:"]
    for n, place in enumerate(places, 1):
        lines.append(f"    - id: {profile.kind.replace('_', '-')}-{n}")
        lines.extend("      " + part for part in (f"name: {name}{n}", f"profile: {profile.id}", *place))
    return lines
