"""View of the incident list: what the person has themselves, what others have, what is to be reviewed, what is over."""

from collections.abc import Sequence
from datetime import timedelta

import msgspec

from cloud.console.i18n import N_
from cloud.console.incidents.data import Estate, IncidentRow, MobilisationRow
from cloud.console.words import Voice
from cloud.console.words.alarms import PRIORITY_WORDS, priority_word
from cloud.console.words.incidents import AWAITED, KIND_WORDS, incident_state, incident_title, kind_word
from cloud.console.words.places import place
from cloud.console.words.times import Moment, moment, running, span
from cloud.incidents.machine import OPEN, Act, State

NEXT = {
    State.REPORTED: Act.DISPATCH,
    State.DECLINED: Act.DISPATCH,
    State.DISPATCHED: Act.ACCEPT,
    State.ACCEPTED: Act.ARRIVE,
    State.ARRIVED: Act.RESOLVE,
    State.RESOLVED: Act.REVIEW,
}
"""The step that every state waits for."""
BUTTONS = {
    Act.DISPATCH: N_("Send", "button"),
    Act.ACCEPT: N_("I am going", "button"),
    Act.ARRIVE: N_("I am there", "button"),
    Act.RESOLVE: N_("Resolve…", "button"),
    Act.REVIEW: N_("Review…", "button"),
}
ASKS = frozenset({Act.RESOLVE, Act.REVIEW})
"""Steps that ask something, so that the button leads to the page."""
_FILLED = frozenset({State.REPORTED, State.DISPATCHED, State.DECLINED})


class IncidentLine(msgspec.Struct, frozen=True):
    """One row. `limit` says what has to come by when, `is_late` that it has not; `act` is the button's step."""

    id: str
    url: str
    number: int
    priority: str
    priority_word: str
    state: str
    state_word: str
    icon: str
    place: str
    kind: str
    words: str
    title: str
    estate: str
    since: Moment
    limit: str
    is_late: bool
    holder: str
    is_mine: bool
    act: str
    button: str
    asks: bool


class RunningLine(msgspec.Struct, frozen=True):
    """A mobilisation that runs."""

    id: str
    url: str
    title: str
    estate: str
    drill: bool
    since: Moment


class IncidentList(msgspec.Struct, frozen=True):
    """The page."""

    running: tuple[RunningLine, ...]
    mine: tuple[IncidentLine, ...]
    others: tuple[IncidentLine, ...]
    review: tuple[IncidentLine, ...]
    ended: tuple[IncidentLine, ...]


class Choice(msgspec.Struct, frozen=True):
    """One of several to choose from."""

    value: str
    words: str
    chosen: bool = False


class ReportForm(msgspec.Struct, frozen=True):
    """What is asked of who reports."""

    estates: tuple[Choice, ...]
    kinds: tuple[Choice, ...]
    priorities: tuple[Choice, ...]


def incident_list(
    voice: Voice,
    active: Sequence[IncidentRow],
    ended: Sequence[IncidentRow],
    mobilisations: Sequence[MobilisationRow] = (),
) -> IncidentList:
    """The rows in the order in which they are given, one's own first."""
    lines = [(row, incident_line(voice, row)) for row in active]
    return IncidentList(
        running=tuple(running_line(voice, row) for row in mobilisations if row.ended_at is None),
        mine=tuple(line for row, line in lines if row.is_mine and row.state in OPEN),
        others=tuple(line for row, line in lines if not row.is_mine and row.state in OPEN),
        review=tuple(line for row, line in lines if row.state not in OPEN),
        ended=tuple(incident_line(voice, row) for row in ended),
    )


def incident_line(voice: Voice, row: IncidentRow) -> IncidentLine:
    """One row in words."""
    act = next_act(row)
    limit, is_late = limit_words(voice, row)
    return IncidentLine(
        id=str(row.id),
        url=f"/incidents/{row.id}",
        number=row.number,
        priority=row.priority,
        priority_word=priority_word(voice, row.priority),
        state=row.state,
        state_word=incident_state(voice, row.state),
        icon=f"{row.priority}-{'filled' if row.state in _FILLED else 'outline'}",
        place=place(voice, row.place),
        kind=kind_word(voice, row.kind),
        words=row.words,
        title=incident_title(voice, row),
        estate=row.place.estate,
        since=moment(voice, row.changed_at if row.state not in OPEN else row.reported_at),
        limit=limit,
        is_late=is_late,
        holder=row.assignee or "",
        is_mine=row.is_mine,
        act=act.value if act else "",
        button=voice.t.p("button", BUTTONS[act]) if act else "",
        asks=act in ASKS,
    )


def next_act(row: IncidentRow) -> Act | None:
    """The one button: the step that the state waits for, where it is this person's to do."""
    act = NEXT.get(row.state)
    if act is Act.DISPATCH and act not in row.may:
        act = Act.ACCEPT  # who may not send somebody may go
    if act is None or act not in row.may:
        return None
    return act if row.is_mine or act in {Act.DISPATCH, Act.REVIEW} or row.assignee is None else None


def limit_words(voice: Voice, row: IncidentRow) -> tuple[str, bool]:
    """What has to come and by when, and whether it is late."""
    if row.limit_s is None or row.state not in AWAITED:
        return "", False
    until = row.changed_at + timedelta(seconds=row.limit_s)
    late_s = (voice.now - until).total_seconds()
    what = voice.t.p("limit", AWAITED[row.state])
    if late_s > 0:
        return voice.t("%(what)s: late by %(time)s", what=what, time=running(voice, late_s)), True
    return voice.t("%(time)s %(what)s", what=what, time=span(voice, row.limit_s)), False


def running_line(voice: Voice, row: MobilisationRow) -> RunningLine:
    """A mobilisation in a line."""
    return RunningLine(
        str(row.id), f"/mobilisations/{row.id}", said(voice, row.title), row.estate, row.drill,
        moment(voice, row.started_at),
    )  # fmt: skip


def said(voice: Voice, text: object) -> str:
    """A text that is kept in both languages."""
    assert isinstance(text, dict)
    return str(text["zh" if voice.t.is_chinese else "en"])


def report_form(voice: Voice, estates: Sequence[Estate]) -> ReportForm:
    """What is asked of who reports: as little as can be."""
    return ReportForm(
        estates=tuple(Choice(str(estate.id), estate.name, i == 0) for i, estate in enumerate(estates)),
        kinds=tuple(Choice(kind.value, voice.t.p("incident", words)) for kind, words in KIND_WORDS.items()),
        priorities=tuple(
            Choice(priority.value, voice.t.p("priority", words), priority == "high")
            for priority, words in PRIORITY_WORDS.items()
        ),
    )
