"""Kinds, points and values in words, from the vocabulary (contract.kinds); an unknown name is said as it is."""

from cloud.alarms.rules.model import RULE_KINDS
from cloud.console.data import DeviceRow, PointNow, Value
from cloud.console.i18n import N_
from cloud.console.words import Voice
from contract.kinds import Point, PointType
from contract.messages import Quality

QUALITY_WORDS = {
    Quality.GOOD: N_("good", "quality"),
    Quality.STALE: N_("stale", "quality"),
    Quality.FAULT: N_("fault", "quality"),
    Quality.UNKNOWN: N_("unknown", "quality"),
}
BEFORE_OFFLINE = N_("value before it went offline", "quality")


def kind_name(voice: Voice, kind: str) -> str:
    """烟感, smoke detector."""
    known = RULE_KINDS.get(kind)
    return kind if known is None else known.zh if voice.t.is_chinese else known.en


def vocabulary(kind: str, point: str) -> Point | None:
    """The vocabulary's entry, or None where cloud and box are of different age."""
    known = RULE_KINDS.get(kind)
    return known.points.get(point) if known else None


def point_name(voice: Voice, kind: str, point: str) -> str:
    """减光率, obscuration."""
    known = vocabulary(kind, point)
    if known is None:
        return point
    return known.zh if voice.t.is_chinese else known.en


def is_telemetry(kind: str, point: str) -> bool:
    """Whether the point is a number that varies and so can be drawn."""
    known = vocabulary(kind, point)
    return known is not None and known.type is PointType.TELEMETRY


def is_state(kind: str, point: str) -> bool:
    """Whether the point is a word of a short list."""
    known = vocabulary(kind, point)
    return known is not None and known.type is PointType.STATE


def unit_of(kind: str, point: str) -> str:
    """The point's unit, empty for states."""
    known = vocabulary(kind, point)
    return known.unit if known else ""


def value_words(voice: Voice, kind: str, point: str, value: Value) -> str:
    """A value as it is shown: the state's word, or the number with its unit; nothing known is a dash."""
    if value is None:
        return "—"
    known = vocabulary(kind, point)
    if isinstance(value, str):
        word = known.word(value) if known else None
        return value if word is None else word.zh if voice.t.is_chinese else word.en
    unit = known.unit if known else ""
    return f"{number(value)} {unit}".rstrip()


def number(value: float) -> str:
    """At most four figures before rounding starts to lie, never an exponent: 21.5, 0.043, 12 846."""
    if value == 0:
        return "0"
    digits = 0 if abs(value) >= 1000 else 1 if abs(value) >= 10 else 2 if abs(value) >= 1 else 3
    text = f"{value:,.{digits}f}".replace(",", " ")
    return text.rstrip("0").rstrip(".") if "." in text else text


WORKING = frozenset(
    {
        "contact",
        "lock",
        "barrier",
        "running",
        "active",
        "motion",
        "zone",
        "valve",
        "relay",
        "test",
    }
)
"""States whose words all belong to ordinary work: a pump that runs is as normal as one that stands."""


def is_normal(kind: str, now: PointNow) -> bool:
    """Whether nothing is wrong with a point: a state's first word in the vocabulary, or any of WORKING.

    Telemetry is left to the rules; bad quality is never normal.
    """
    if now.quality is not Quality.GOOD:
        return False
    known = vocabulary(kind, now.point)
    if known is None or not known.words or now.point in WORKING:
        return True
    return now.value == known.words[0].code


def is_unreachable(row: DeviceRow) -> bool:
    """Whether a device that was heard before cannot be now: it is offline, or its box is, so that its link is stale."""
    link = next((now for now in row.points if now.point == "link"), None)
    return link is not None and (link.quality is Quality.STALE or link.value == "offline")


def quality_word(voice: Voice, row: DeviceRow, now: PointNow) -> str:
    """有效, 过时, 故障, 未知; 离线前的值 for what a device said before it could not be reached any more."""
    if now.quality is Quality.STALE and is_unreachable(row):
        # How a link is that nobody hears of is not the value before: it is what is not known.
        return voice.t.p("quality", QUALITY_WORDS[Quality.UNKNOWN] if now.point == "link" else BEFORE_OFFLINE)
    return voice.t.p("quality", QUALITY_WORDS[now.quality])
