"""What people are told of incidents and mobilisations, in both languages. No telephone number is ever in it."""

import re
from typing import Protocol

from cloud.incidents.machine import State
from cloud.store.notices import Text

KIND_WORDS = {
    "fire": Text("火情", "fire"),
    "water": Text("水情", "water"),
    "person": Text("人员求助", "person in need"),
    "security": Text("治安事件", "security"),
    "facility": Text("设施故障", "facility"),
    "other": Text("其他事件", "other"),
}
MISSING = {
    State.REPORTED: Text("未派人", "nobody has been sent"),
    State.DECLINED: Text("无人可派", "whoever was sent cannot go"),
    State.DISPATCHED: Text("无人接单", "nobody has accepted"),
    State.ACCEPTED: Text("未到场", "nobody has arrived"),
    State.ARRIVED: Text("未处置完", "it is not resolved"),
    State.RESOLVED: Text("未复盘", "it has not been reviewed"),
}
"""What has not come in time, by the state in which it should have."""
_BARE = re.compile(r"-?\d+[A-Za-z]?|[A-Za-z]\d*")
_NUMBERS = re.compile(r"\+?\d(?:[\s\-()]?\d){6,}")
"""What may be somebody's number: of a telephone, an identity card, a flat's intercom."""


class Placed(Protocol):
    """What a notice says of an incident."""

    @property
    def number(self) -> int: ...  # noqa: D102
    @property
    def kind(self) -> str: ...  # noqa: D102
    @property
    def building(self) -> str: ...  # noqa: D102
    @property
    def unit(self) -> str: ...  # noqa: D102
    @property
    def floor(self) -> str: ...  # noqa: D102
    @property
    def spot(self) -> str: ...  # noqa: D102
    @property
    def words(self) -> str: ...  # noqa: D102


def dispatched(incident: Placed) -> Text:
    """To who is sent."""
    return _joined(Text("派你前往：", "You are sent: "), _what(incident))


def waiting(incident: Placed) -> Text:
    """To who has to send somebody."""
    return _joined(Text("请派人：", "Send somebody: "), _what(incident))


def overdue(incident: Placed, state: State, limit_s: float, rung: str) -> Text:
    """To the next one, when a step has not come in time."""
    late = Text(f"超时 {_span_zh(limit_s)}{MISSING[state].zh}：", f"{MISSING[state].en} within {_span_en(limit_s)}: ")
    to = _RUNG_WORDS[rung]
    return _joined(
        Text(late.zh, late.en[:1].upper() + late.en[1:]), _what(incident), Text(f"（上报{to.zh}）", f" (to {to.en})")
    )


def mobilised(title: Text) -> Text:
    """To everybody on a plan."""
    return _joined(
        Text("一键动员：", "Mobilisation: "),
        title,
        Text("。请回复：前往、已到或不能到", ". Answer: coming, there or cannot"),
    )


def without_numbers(words: str) -> str:
    """Somebody's words without what may be a telephone number."""
    return _NUMBERS.sub("…", words)


_RUNG_WORDS = {
    "grid_worker": Text("网格员", "grid worker"),
    "guard": Text("值班员", "guard"),
    "manager": Text("物业经理", "property manager"),
    "community": Text("社区", "community"),
    "street": Text("街道", "street"),
}


def _what(incident: Placed) -> Text:
    kind, words = KIND_WORDS[incident.kind], without_numbers(incident.words)
    more_zh, more_en = (f"，{words}", f": {words}") if words else ("", "")
    return Text(
        f"事件{incident.number} {_place_zh(incident)}{kind.zh}{more_zh}",
        f"incident {incident.number}, {_place_en(incident)}{kind.en}{more_en}",
    )


def _place_zh(incident: Placed) -> str:
    parts = zip((incident.building, incident.unit, incident.floor), ("号楼", "单元", "层"), strict=True)
    near = "".join(f"{part}{noun}" if _BARE.fullmatch(part) else part for part, noun in parts if part)
    return f"{near}{incident.spot} " if near or incident.spot else ""


def _place_en(incident: Placed) -> str:
    parts = zip((incident.building, incident.unit, incident.floor), ("building ", "unit ", "floor "), strict=True)
    said = [f"{noun}{part}" if _BARE.fullmatch(part) else part for part, noun in parts if part]
    said += [incident.spot] if incident.spot else []
    return f"{', '.join(said)}: " if said else ""


def _joined(*texts: Text) -> Text:
    return Text("".join(text.zh for text in texts), "".join(text.en for text in texts))


def _span_zh(seconds: float) -> str:
    number, unit = _span(seconds)
    return f"{number} {('秒', '分钟', '小时', '天')[unit]}"


def _span_en(seconds: float) -> str:
    number, unit = _span(seconds)
    return f"{number} {('s', 'min', 'h', 'd')[unit]}"


def _span(seconds: float) -> tuple[int, int]:
    """A whole number of the greatest unit that says it well enough, and which unit that is."""
    for unit, size_s in ((3, 86_400), (2, 3600), (1, 60)):
        if seconds >= 2 * size_s or seconds == size_s:
            return int(seconds // size_s), unit
    return int(seconds), 0
