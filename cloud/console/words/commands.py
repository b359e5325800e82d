"""Orders in words: the verb on the button, the question before, and what became of it."""

from collections.abc import Sequence
from datetime import timedelta

import msgspec

from cloud.console.data import CommandRow, PointNow
from cloud.console.i18n import N_
from cloud.console.words import Voice
from cloud.console.words.reasons import reason_words
from contract.messages import CommandStatus, Quality


class Return(msgspec.Struct, frozen=True):
    """A state that comes back by itself once an order has run its time, with the words for it and for its absence."""

    point: str
    value: str
    back: str
    not_yet: str


class Verb(msgspec.Struct, frozen=True):
    """How a command point is offered to a person: button, question, and what was read back when it was executed.

    `timed` says the same with for how many seconds; `returns` what ends it.
    """

    button: str
    question: str
    effect: str
    args: dict[str, int] = {}
    timed: str = ""
    returns: Return | None = None


VERBS: dict[str, dict[str, Verb]] = {
    "door": {
        "unlock": Verb(
            N_("Open"),
            N_("Open this door? %(name)s"),
            N_("the lock is open"),
            {"seconds": 5},
            N_("the lock is open for %(seconds)s s"),
            Return("lock", "locked", N_("locked again"), N_("the lock was not read back as locked again")),
        ),
    },
    "vehicle_gate": {
        "open": Verb(N_("Raise"), N_("Raise this barrier? %(name)s"), N_("the barrier is up")),
        "close": Verb(N_("Lower"), N_("Lower this barrier? %(name)s"), N_("the barrier is down")),
    },
}
"""What the console offers, by kind and point. Fire release and held-open gates are linkage's, not a button's."""

STATUS_WORDS = {
    CommandStatus.QUEUED: N_("Waiting for the gateway", "command"),
    CommandStatus.SENT: N_("Sent, waiting for the answer", "command"),
    CommandStatus.EXPIRED: N_("Expired: no answer in time; it will not be carried out any more", "command"),
    CommandStatus.EXECUTED: N_("Executed", "command"),
    CommandStatus.SENT_NOT_CONFIRMED: N_("Sent, not confirmed: look on site", "command"),
    CommandStatus.FAILED: N_("Failed", "command"),
    CommandStatus.REFUSED: N_("Refused", "command"),
}
GRACE = timedelta(seconds=10)
"""How long after its time a lock may still be read as open: it is polled, and reported, before a page shows it."""
WAITING = frozenset({CommandStatus.QUEUED, CommandStatus.SENT})


def verb(kind: str, point: str) -> Verb | None:
    """How a command is offered, or None for those that the console does not offer."""
    return VERBS.get(kind, {}).get(point)


def answer(voice: Voice, kind: str, row: CommandRow, points: Sequence[PointNow] = ()) -> str:
    """What became of an order, with what was read back or why it was not done.

    `points` are the device's now, for the newest order of its point: they tell whether what was opened is shut again.
    """
    said = voice.t.p("command", STATUS_WORDS[row.status])
    known = verb(kind, row.point)
    more = reason_words(voice, kind, row.reason)
    if row.status is CommandStatus.EXECUTED and known:
        more = _effect(voice, known, row, points)
    return voice.t.p("command", "%(answer)s: %(more)s", answer=said, more=more) if more else said


def _effect(voice: Voice, known: Verb, row: CommandRow, points: Sequence[PointNow]) -> str:
    seconds = row.args.get("seconds")
    if seconds is None or not known.timed:
        return voice.t(known.effect)
    done_at = row.answered_at or row.at
    lasts = timedelta(seconds=float(seconds))
    now = next((now for now in points if known.returns and now.point == known.returns.point), None)
    if known.returns and now and now.at and now.quality is Quality.GOOD:
        # A state that is older than the answer is that from before the order, until the order's time is over.
        if now.value == known.returns.value and (now.at > done_at or voice.now - done_at > lasts):
            return voice.t(known.returns.back)
        if voice.now - done_at > lasts + GRACE:
            return voice.t(known.returns.not_yet)
    return voice.t(known.timed, seconds=seconds)
