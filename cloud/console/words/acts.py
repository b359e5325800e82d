"""What came of what a person did to an alarm, in a sentence."""

from typing import Final

from cloud.console.alarms.data import (
    Acknowledge,
    Act,
    AlarmRow,
    AlarmState,
    Assign,
    Came,
    Outcome,
    PutLabel,
    ReturnToService,
    Say,
    Shelve,
    TakeOutOfService,
    UndoAcknowledge,
    Unshelve,
)
from cloud.console.i18n import N_
from cloud.console.words import Voice
from cloud.console.words.alarms import state_word

DONE: Final[dict[type, str]] = {
    UndoAcknowledge: N_("Taken back: the alarm is not acknowledged."),
    Unshelve: N_("It is no longer shelved."),
    ReturnToService: N_("It is in service again."),
    Say: N_("Written into the history."),
    PutLabel: N_("The label is kept."),
}
ALREADY: Final[dict[type, str]] = {
    Acknowledge: N_("Somebody was quicker, or the alarm has ended; nothing was changed."),
}
NOTHING: Final = N_("It was so already; nothing was changed.")
REFUSALS: Final[dict[str, str]] = {
    text: text
    for text in (
        N_("it is not acknowledged: there is nothing to take back", "refusal"),
        N_("somebody else acknowledged it: only they can take that back", "refusal"),
        N_("it was acknowledged more than a minute ago: tell your colleagues by a comment instead", "refusal"),
        N_("it has come again since: see to the newer alarm", "refusal"),
        N_("it can be shelved for at most 15 minutes, for it is about life", "refusal"),
        N_("it can be shelved for at most 24 hours: longer is out of service", "refusal"),
        N_("it is about life, and is never taken out of service: shelve it for up to 15 minutes", "refusal"),
        N_("it can be out of service for at most 90 days: choose an earlier end", "refusal"),
        N_("it has ended: nobody needs to be on it", "refusal"),
        N_("the comment is empty: write something", "refusal"),
        N_("its end is over already: choose a later one", "refusal"),
        N_("say why: whoever sees it held back has to know", "refusal"),
        N_("it has ended: there is nothing to keep back", "refusal"),
        N_("it is shelved already: end that first", "refusal"),
        N_("it is out of service already: return it to service first", "refusal"),
        N_("say why: whoever looks for the alarms that do not come has to know", "refusal"),
        N_("it watches over estates that are not yours: ask whoever runs the platform", "refusal"),
        N_("it is suppressed: see to the alarm that is its cause", "refusal"),
    )
}
"""The engine's sentences for what cannot be done now; one that is not known here is said as it came."""


def came_words(voice: Voice, act: Act, came: Came, row: AlarmRow) -> str:
    """What to tell the person; `row` is the alarm as it stands afterwards."""
    t = voice.t
    if came.outcome is Outcome.REFUSED:
        return refusal_words(voice, came.why)
    if came.outcome is Outcome.ALREADY:
        return t(ALREADY.get(type(act), NOTHING))
    match act:
        case Acknowledge() if row.state is AlarmState.NORM:
            return t("Acknowledged. The device was back to normal, so the alarm has ended.")
        case Acknowledge():
            return t("Acknowledged. The alarm stays until the device returns to normal.")
        case Shelve() | TakeOutOfService():
            return t("Done: %(state)s. It comes back by itself.", state=state_word(voice, row))
        case Assign():
            return t("%(name)s is on it.", name=row.assignee or "")
        case _:
            return t(DONE[type(act)])


def refusal_words(voice: Voice, why: str) -> str:
    """Why something cannot be done now."""
    said = voice.t.p("refusal", REFUSALS[why]) if why in REFUSALS else why
    return said[:1].upper() + said[1:]
