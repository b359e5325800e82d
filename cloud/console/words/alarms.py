"""Alarms in words: what is wrong, how bad, where in its life, and the shape that stands for it."""

from collections.abc import Iterable

from cloud.alarms.rules.model import Text, Texts
from cloud.console.alarms.data import AlarmRow, AlarmState, Label, Priority
from cloud.console.i18n import N_
from cloud.console.words import Voice
from cloud.console.words.places import place
from cloud.console.words.points import kind_name, point_name, value_words
from cloud.console.words.times import moment

PRIORITY_WORDS = {
    Priority.CRITICAL: N_("critical", "priority"),
    Priority.HIGH: N_("high", "priority"),
    Priority.MEDIUM: N_("medium", "priority"),
    Priority.LOW: N_("low", "priority"),
}
STATE_WORDS = {
    AlarmState.UNACK: N_("not acknowledged", "alarm state"),
    AlarmState.ACKED: N_("acknowledged", "alarm state"),
    AlarmState.RTNUN: N_("returned, not acknowledged", "alarm state"),
    AlarmState.NORM: N_("ended", "alarm state"),
    AlarmState.SHLVD: N_("shelved", "alarm state"),
    AlarmState.DSUPR: N_("suppressed", "alarm state"),
    AlarmState.OOSRV: N_("out of service", "alarm state"),
}
LABEL_WORDS = {
    Label.REAL: N_("real", "alarm label"),
    Label.FALSE: N_("false alarm", "alarm label"),
    Label.TEST: N_("test", "alarm label"),
    Label.UNKNOWN: N_("not clear", "alarm label"),
}
FILLINGS = {
    AlarmState.UNACK: "filled",
    AlarmState.ACKED: "outline",
    AlarmState.RTNUN: "tick",
    AlarmState.NORM: "outline",
    AlarmState.SHLVD: "clock",
    AlarmState.DSUPR: "beneath",
    AlarmState.OOSRV: "pause",
}
_WAITING = {
    AlarmState.UNACK: 0,
    AlarmState.RTNUN: 1,
    AlarmState.ACKED: 2,
    AlarmState.SHLVD: 3,
    AlarmState.OOSRV: 4,
    AlarmState.DSUPR: 5,
    AlarmState.NORM: 6,
}
_UNTIL = {
    AlarmState.SHLVD: N_("shelved until %(clock)s"),
    AlarmState.OOSRV: N_("out of service until %(clock)s"),
}
PRIORITIES = tuple(Priority)


def text_of(voice: Voice, texts: Texts) -> Text:
    """What a rule says, in the reader's language."""
    return texts.zh if voice.t.is_chinese else texts.en


def what(voice: Voice, row: AlarmRow) -> str:
    """What is wrong, as its rule says it: 烟感报警, smoke. One whose rule is gone is said by kind and point."""
    kind = kind_name(voice, row.kind)
    if row.texts is not None:
        return text_of(voice, row.texts).title.replace("{kind}", kind)
    if not row.point:
        return kind or row.rule
    return voice.t.p("alarm", "%(kind)s: %(point)s", kind=kind, point=point_name(voice, row.kind, row.point))


def where(voice: Voice, row: AlarmRow) -> str:
    """The place of an alarm; of a device that was given none, its name: two of them must not look alike."""
    return place(voice, row.place, row.device_name if row.device_id is not None else "")


def title(voice: Voice, row: AlarmRow) -> str:
    """Place, thing and state: 3号楼2单元7层 烟感报警 / Building 3, unit 2, floor 7: smoke."""
    return voice.t.p("alarm", "%(place)s: %(what)s", place=where(voice, row), what=what(voice, row))


def state_word(voice: Voice, row: AlarmRow) -> str:
    """Where it is in its life; what ends by itself says when."""
    if row.hold_until is not None and row.state in _UNTIL:
        return voice.t(_UNTIL[row.state], clock=moment(voice, row.hold_until).clock)
    return voice.t.p("alarm state", STATE_WORDS[row.state])


def label_word(voice: Voice, label: Label) -> str:
    """真实, 误报, 测试, 不明."""
    return voice.t.p("alarm label", LABEL_WORDS[label])


def value_now(voice: Voice, row: AlarmRow) -> str:
    """The value that made it an alarm; says where nobody knows how it is now, and where it is over."""
    value = value_words(voice, row.kind, row.point, row.value)
    if row.state is AlarmState.RTNUN:
        value = voice.t(", ").join([*_if_number(row, value), state_word(voice, row)])
    elif row.state is AlarmState.NORM or not row.holds:
        value = voice.t(", ").join([*_if_number(row, value), voice.t("back to normal")])
    is_unknown = row.stale and row.state is not AlarmState.NORM
    return voice.t("%(value)s, state now unknown", value=value) if is_unknown else value


def _if_number(row: AlarmRow, value: str) -> list[str]:
    """A number tells something of what is over; a word would say that it still is."""
    return [value] if isinstance(row.value, float | int) else []


def worst_first(rows: Iterable[AlarmRow]) -> list[AlarmRow]:
    """In the order in which they want a person: unacknowledged first, then by priority, then the youngest."""
    return sorted(
        rows, key=lambda row: (_WAITING[row.state], PRIORITIES.index(row.priority), -row.raised_at.timestamp())
    )


def priority_word(voice: Voice, priority: Priority) -> str:
    """紧急, 高, 中, 低."""
    return voice.t.p("priority", PRIORITY_WORDS[priority])


def icon(row: AlarmRow) -> str:
    """Name of the symbol: the shape of its priority, filled as its state asks."""
    return f"{row.priority}-{FILLINGS[row.state]}"


def needs_acknowledgement(row: AlarmRow) -> bool:
    """Whether a person has still to say that they have seen it."""
    return row.state in {AlarmState.UNACK, AlarmState.RTNUN}
