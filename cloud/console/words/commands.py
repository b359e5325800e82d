"""Orders in words: the verb on the button, the question before, and what became of it."""

import msgspec

from cloud.console.data import CommandRow
from cloud.console.i18n import N_
from cloud.console.words import Voice
from contract.messages import CommandStatus


class Verb(msgspec.Struct, frozen=True):
    """How a command point is offered to a person: button, question, and what is so once it was read back."""

    button: str
    question: str
    effect: str
    args: dict[str, int] = {}


VERBS: dict[str, dict[str, Verb]] = {
    "door": {
        "unlock": Verb(N_("Open"), N_("Open this door? %(name)s"), N_("the door is unlocked"), {"seconds": 5}),
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
WAITING = frozenset({CommandStatus.QUEUED, CommandStatus.SENT})


def verb(kind: str, point: str) -> Verb | None:
    """How a command is offered, or None for those that the console does not offer."""
    return VERBS.get(kind, {}).get(point)


def answer(voice: Voice, kind: str, row: CommandRow) -> str:
    """What became of an order, with the effect that was read back or the box's reason."""
    said = voice.t.p("command", STATUS_WORDS[row.status])
    known = verb(kind, row.point)
    more = voice.t(known.effect) if row.status is CommandStatus.EXECUTED and known else row.reason
    return voice.t.p("command", "%(answer)s: %(more)s", answer=said, more=more) if more else said
