"""View of plans, of the question before one is started, and of a roll-call."""

from collections import Counter
from collections.abc import Sequence

import msgspec

from cloud.console.frame.view import role_word
from cloud.console.i18n import N_
from cloud.console.incidents.data import Asked, Called, Mobilisation, PlanRow, RollAnswer
from cloud.console.incidents.view import said
from cloud.console.words import Voice
from cloud.console.words.commands import STATUS_WORDS, WAITING
from cloud.console.words.incidents import ANSWER_WORDS
from cloud.console.words.places import place
from cloud.console.words.reasons import reason_words
from cloud.console.words.times import Moment, moment, span
from contract.messages import CommandStatus

POINT_WORDS = {
    "release": N_("release", "asked"),
    "hold_open": N_("hold open", "asked"),
    "show": N_("show the text", "asked"),
    "announce": N_("announce", "asked"),
}
SAY_ANSWER = {
    RollAnswer.COMING: N_("I am coming", "roll-call"),
    RollAnswer.THERE: N_("I am there", "roll-call"),
    RollAnswer.CANNOT: N_("I cannot", "roll-call"),
}
_ORDER = {RollAnswer.THERE: 0, RollAnswer.COMING: 1, None: 2, RollAnswer.CANNOT: 3}
_BAD = frozenset({CommandStatus.FAILED, CommandStatus.REFUSED, CommandStatus.EXPIRED})


class PlanCard(msgspec.Struct, frozen=True):
    """A plan, what it does, and where it is started, or looked at while it runs."""

    url: str
    title: str
    estate: str
    does: tuple[str, ...]
    running_url: str


class CalledLine(msgspec.Struct, frozen=True):
    """Somebody who was called."""

    id: str
    name: str
    answer: str
    word: str
    at: Moment | None
    by: str


class AskedLine(msgspec.Struct, frozen=True):
    """What was asked of a device, and what it answered. `tone` is wait, done, doubt or bad."""

    url: str
    name: str
    place: str
    asked: str
    answer: str
    tone: str


class Tally(msgspec.Struct, frozen=True):
    """How many gave an answer."""

    word: str
    n: int
    answer: str


class Choice(msgspec.Struct, frozen=True):
    """An answer to choose."""

    value: str
    words: str
    chosen: bool


class MobilisationPage(msgspec.Struct, frozen=True):
    """One mobilisation. `mine` are the answers that this person may give, empty where they were not called."""

    url: str
    title: str
    estate: str
    drill: bool
    who: str
    started: Moment
    ends: Moment
    ended: Moment | None
    ended_by: str
    may_lead: bool
    incident_url: str
    mine: tuple[Choice, ...]
    my_id: str
    tally: tuple[Tally, ...]
    roll: tuple[CalledLine, ...]
    answers: tuple[Choice, ...]
    asked: tuple[AskedLine, ...]


def plan_cards(voice: Voice, rows: Sequence[PlanRow]) -> tuple[PlanCard, ...]:
    """The plans as given."""
    return tuple(plan_card(voice, row) for row in rows)


def plan_card(voice: Voice, row: PlanRow) -> PlanCard:
    """One plan in words: everything that a press does."""
    t = voice.t
    does = []
    if row.roles:
        does.append(t("Calls: %(roles)s", roles=t(", ").join(role_word(voice, role) for role in row.roles)))
    if row.people:
        does.append(t.n("Calls %(n)s person by name", "Calls %(n)s people by name", row.people))
    if row.doors:
        does.append(t.n("Releases or holds open %(n)s door", "Releases or holds open %(n)s doors", row.doors))
    if row.says:
        does.append(
            t.n(
                "Speaks through %(n)s display or loudspeaker",
                "Speaks through %(n)s displays and loudspeakers",
                row.says,
            )
        )
    if row.residents:
        does.append(t("Tells the residents"))
    does.append(t("Ends by itself after %(time)s", time=span(voice, row.lasts_h * 3600)))
    running = f"/mobilisations/{row.running}" if row.running else ""
    return PlanCard(f"/mobilise/{row.estate_id}/{row.name}", said(voice, row.title), row.estate, tuple(does), running)


def mobilisation_page(voice: Voice, found: Mobilisation, person_id: str) -> MobilisationPage:
    """A mobilisation, who is there first."""
    row = found.row
    me = next((called for called in found.roll if called.id == person_id), None)
    counts = Counter(called.answer for called in found.roll)
    tally = [
        Tally(voice.t.p("roll-call", words), counts[answer], answer.value) for answer, words in ANSWER_WORDS.items()
    ]
    tally.append(Tally(voice.t("no answer yet"), counts[None], "none"))
    return MobilisationPage(
        url=f"/mobilisations/{row.id}",
        title=said(voice, row.title),
        estate=row.estate,
        drill=row.drill,
        who=row.who,
        started=moment(voice, row.started_at),
        ends=moment(voice, row.ends_at),
        ended=moment(voice, row.ended_at) if row.ended_at else None,
        ended_by=row.ended_by or voice.t("by itself"),
        may_lead=row.may_lead and row.ended_at is None,
        incident_url=f"/incidents/{row.incident}" if row.incident else "",
        mine=tuple(
            Choice(answer.value, voice.t.p("roll-call", words), me.answer is answer)
            for answer, words in SAY_ANSWER.items()
        )
        if me and row.ended_at is None
        else (),
        my_id=person_id,
        tally=tuple(tally),
        roll=tuple(_called(voice, called) for called in sorted(found.roll, key=lambda c: (_ORDER[c.answer], c.name))),
        answers=tuple(
            Choice(answer.value, voice.t.p("roll-call", words), chosen=False) for answer, words in ANSWER_WORDS.items()
        ),
        asked=tuple(_asked(voice, asked) for asked in found.asked),
    )


def _called(voice: Voice, called: Called) -> CalledLine:
    word = voice.t.p("roll-call", ANSWER_WORDS[called.answer]) if called.answer else voice.t("no answer yet")
    return CalledLine(
        called.id, called.name, called.answer.value if called.answer else "none", word,
        moment(voice, called.at) if called.at else None, called.by,
    )  # fmt: skip


def _asked(voice: Voice, asked: Asked) -> AskedLine:
    point = voice.t.p("asked", POINT_WORDS[asked.point]) if asked.point in POINT_WORDS else asked.point
    reason = reason_words(voice, asked.kind, asked.reason) or asked.reason
    if asked.status is None:
        answer, tone = voice.t("Not ordered: %(reason)s", reason=voice.t("it does not take this order any more")), "bad"
    else:
        answer = voice.t.p("command", STATUS_WORDS[asked.status])
        answer = voice.t.p("command", "%(answer)s: %(more)s", answer=answer, more=reason) if reason else answer
        tone = "wait" if asked.status in WAITING else "bad" if asked.status in _BAD else "done"
        tone = "doubt" if asked.status is CommandStatus.SENT_NOT_CONFIRMED else tone
    return AskedLine(f"/devices/{asked.device_id}", asked.name, place(voice, asked.place), point, answer, tone)
