"""Alarms in words: what is wrong, how bad, where in its life, and the shape that stands for it."""

from collections.abc import Iterable

from cloud.console.data import AlarmRow, AlarmState, Priority
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
}
RULE_WORDS = {
    "smoke": N_("smoke", "alarm"),
    "silent": N_("%(kind)s silent", "alarm"),
    "fault": N_("%(kind)s faulty", "alarm"),
    "tamper": N_("%(kind)s tampered with", "alarm"),
    "held_open": N_("door held open", "alarm"),
}
"""What each rule of the rule pack finds, as it stands in a title."""
FILLINGS = {
    AlarmState.UNACK: "filled",
    AlarmState.ACKED: "outline",
    AlarmState.RTNUN: "tick",
    AlarmState.NORM: "outline",
    AlarmState.SHLVD: "clock",
}
_WAITING = {AlarmState.UNACK: 0, AlarmState.RTNUN: 1, AlarmState.ACKED: 2, AlarmState.SHLVD: 3, AlarmState.NORM: 4}
_PRIORITIES = list(Priority)


def what(voice: Voice, row: AlarmRow) -> str:
    """What is wrong: 烟感报警, 烟感失联, smoke. A rule that the console has no word for is said by kind and point."""
    kind = kind_name(voice, row.kind)
    if row.rule in RULE_WORDS:
        return voice.t.p("alarm", RULE_WORDS[row.rule], kind=kind)
    return voice.t.p("alarm", "%(kind)s: %(point)s", kind=kind, point=point_name(voice, row.kind, row.point))


def title(voice: Voice, row: AlarmRow) -> str:
    """Place, thing and state: 3号楼2单元7层 烟感报警 / Building 3, unit 2, floor 7: smoke."""
    return voice.t.p("alarm", "%(place)s: %(what)s", place=place(voice, row.place), what=what(voice, row))


def state_word(voice: Voice, row: AlarmRow) -> str:
    """Where it is in its life; a shelved one says until when."""
    if row.state is AlarmState.SHLVD and row.state_until is not None:
        return voice.t("shelved until %(clock)s", clock=moment(voice, row.state_until).clock)
    return voice.t.p("alarm state", STATE_WORDS[row.state])


def value_now(voice: Voice, row: AlarmRow) -> str:
    """The value when it was last judged; says where nobody knows it now, and where it returned unacknowledged."""
    value = value_words(voice, row.kind, row.point, row.value)
    if row.state is AlarmState.RTNUN:
        value = f"{value}{voice.t(', ')}{state_word(voice, row)}"
    is_unknown = row.stale and row.state is not AlarmState.NORM
    return voice.t("%(value)s, state now unknown", value=value) if is_unknown else value


def worst_first(rows: Iterable[AlarmRow]) -> list[AlarmRow]:
    """In the order in which they want a person: unacknowledged first, then by priority, then the youngest."""
    return sorted(
        rows, key=lambda row: (_WAITING[row.state], _PRIORITIES.index(row.priority), -row.raised_at.timestamp())
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
