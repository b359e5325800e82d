"""What happened to an alarm and what people wrote about it, the youngest first."""

from collections.abc import Sequence

import msgspec

from cloud.console.alarms.data import AlarmState, Comment, Label, Transition
from cloud.console.i18n import N_
from cloud.console.words import Voice
from cloud.console.words.alarms import STATE_WORDS, label_word
from cloud.console.words.times import Moment, moment

EVENT_WORDS = {
    "raise": N_("Raised", "transition"),
    "again": N_("Came again", "transition"),
    "worsen": N_("Got worse", "transition"),
    "lessen": N_("Got less bad", "transition"),
    "clear": N_("Returned to normal", "transition"),
    "acknowledge": N_("Acknowledged", "transition"),
    "undo": N_("Acknowledgement taken back", "transition"),
    "shelve": N_("Shelved", "transition"),
    "unshelve": N_("No longer shelved", "transition"),
    "suppress": N_("Suppressed: another alarm says why", "transition"),
    "release": N_("No longer suppressed", "transition"),
    "take out of service": N_("Taken out of service", "transition"),
    "return to service": N_("Returned to service", "transition"),
    "rule removed": N_("Ended: its rule was switched off or changed", "transition"),
    "chattering": N_("Keeps coming again: told once, ends after a minute without", "transition"),
    "assign": N_("Given to somebody", "transition"),
    "label": N_("Labelled", "transition"),
    "late": N_("Heard of when it was already over", "transition"),
    "revoked": N_("Ended with its gateway", "transition"),
}
"""Words of the alarm machine's happenings; one that is newer than the console is said by its name."""
WHY_WORDS = {
    "gateway revoked": N_("the gateway was revoked", "transition"),
    "its gateway missed a beat": N_("its gateway missed a beat", "transition"),
}
"""Reasons that the system gives; a person's are said as they were written."""
_SAID_BY_EVENT = frozenset({"chattering", "suppress"})
"""Events whose words say why already."""


class Entry(msgspec.Struct, frozen=True):
    """One line of the history; what a person wrote has `is_comment`."""

    at: Moment
    event: str
    change: str
    who: str
    why: str
    is_comment: bool = False


def entries(voice: Voice, transitions: Sequence[Transition], comments: Sequence[Comment]) -> tuple[Entry, ...]:
    """Transitions and comments in one line of time."""
    said = [(one.at, 0, _step(voice, one)) for one in transitions]
    said += [(one.at, 1, _comment(voice, one)) for one in comments]
    said.sort(key=lambda one: one[:2])
    return tuple(entry for _, _, entry in reversed(said))


def why_words(voice: Voice, why: str) -> str:
    """A reason of the system in words; a person's as it was written."""
    return voice.t.p("transition", WHY_WORDS[why]) if why in WHY_WORDS else why


def _step(voice: Voice, transition: Transition) -> Entry:
    event = EVENT_WORDS.get(transition.event)
    return Entry(
        at=moment(voice, transition.at),
        event=voice.t.p("transition", event) if event else transition.event,
        change=_change(voice, transition.from_state, transition.to_state),
        who=transition.who or voice.t("the system"),
        why=_why(voice, transition),
    )


def _why(voice: Voice, transition: Transition) -> str:
    why = transition.why or ""
    if transition.event == "label" and why in set(Label):
        return label_word(voice, Label(why))
    if transition.event in _SAID_BY_EVENT:
        return ""
    return why_words(voice, why)


def _comment(voice: Voice, comment: Comment) -> Entry:
    return Entry(
        moment(voice, comment.at),
        voice.t("Comment"),
        "",
        comment.who or voice.t("the system"),
        comment.text,
        is_comment=True,
    )


def _change(voice: Voice, before: AlarmState, after: AlarmState) -> str:
    return "" if before is after else voice.t.p("alarm state", STATE_WORDS[after])
