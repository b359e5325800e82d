"""Who was told of an alarm, and what became of it; who of them has answered."""

from collections.abc import Sequence

import msgspec

from cloud.console.alarms.data import AlarmRow, Told, ToldState
from cloud.console.i18n import N_
from cloud.console.words import Voice
from cloud.console.words.times import Moment, moment

MOST_SHOWN = 50
STATE_WORDS = {
    ToldState.WAITS: N_("waits to be sent", "told"),
    ToldState.SENDING: N_("is being sent", "told"),
    ToldState.ACCEPTED: N_("taken by the service", "told"),
    ToldState.REFUSED: N_("refused by the service", "told"),
    ToldState.UNCERTAIN: N_("no answer: it may have arrived", "told"),
    ToldState.DROPPED: N_("not sent: somebody had it", "told"),
}
TONES = {ToldState.REFUSED: "bad", ToldState.UNCERTAIN: "doubt"}


class ToldLine(msgspec.Struct, frozen=True):
    """One try in words. `answered` is what the person did since; `reason` the service's own words."""

    at: Moment | None
    who: str
    channel: str
    words: str
    tone: str
    answered: str
    reason: str


def told_lines(voice: Voice, row: AlarmRow, told: Sequence[Told]) -> tuple[ToldLine, ...]:
    """The newest tries, newest first."""
    return tuple(_line(voice, row, one) for one in reversed(told[-MOST_SHOWN:]))


def _line(voice: Voice, row: AlarmRow, told: Told) -> ToldLine:
    t = voice.t
    words = t.p("told", STATE_WORDS[told.state])
    if told.repeat:
        words = t.p("told", "%(words)s, once more", words=words)
    return ToldLine(
        at=moment(voice, told.at) if told.at else None,
        who=told.who or t.p("told", "all who read it"),
        channel=told.channel,
        words=words,
        tone=TONES.get(told.state, ""),
        answered=t.p("told", "acknowledged") if told.who and told.who == row.acked_by else "",
        reason=" ".join(part for part in (told.code, told.reason) if part) if told.state is ToldState.REFUSED else "",
    )
