"""View of one incident: the next step as buttons, and the timeline with each step's time against its limit."""

from collections.abc import Sequence
from datetime import datetime, timedelta

import msgspec

from cloud.console.alarms.data import AlarmRow, Label
from cloud.console.frame.view import role_word
from cloud.console.i18n import N_
from cloud.console.incidents.data import Candidate, Incident, MobilisationRow, Reporter, Step
from cloud.console.incidents.view import IncidentLine, RunningLine, incident_line, limit_words, running_line
from cloud.console.words import Voice
from cloud.console.words.alarms import icon, state_word, title
from cloud.console.words.incidents import AWAITED, REPORTER_WORDS, RUNG_WORDS, incident_state, step_word
from cloud.console.words.times import Moment, moment, running, span
from cloud.incidents.machine import GOING, OPEN, Act, State

LABEL_CHOICES = (
    (Label.REAL, N_("real", "label choice")),
    (Label.FALSE, N_("false alarm", "label choice")),
    (Label.TEST, N_("a test", "label choice")),
    (Label.UNKNOWN, N_("not known", "label choice")),
)
MOST_LINES = 200


class AlarmOf(msgspec.Struct, frozen=True):
    """An alarm of the incident, or one that may belong to it."""

    id: str
    url: str
    title: str
    state: str
    priority: str
    icon: str


class Choice(msgspec.Struct, frozen=True):
    """One of several to choose from; `more` says something of it."""

    value: str
    words: str
    more: str = ""


class Line(msgspec.Struct, frozen=True):
    """A line of the timeline. `took` is how long the state before it had lasted, and its limit; `is_late` beyond it."""

    at: Moment
    what: str
    change: str
    who: str
    why: str
    took: str
    is_late: bool
    is_comment: bool


class Buttons(msgspec.Struct, frozen=True):
    """What this person may do now. `first` is whom one press sends (`is_instead` of who
    is late); `stands_for` whose step may be noted for them."""

    dispatch: bool
    accept: bool
    take_over: bool
    decline: bool
    arrive: bool
    resolve: bool
    review: bool
    reopen: bool
    cancel: bool
    comment: bool
    join: bool
    first: str
    first_id: str
    is_instead: bool
    stands_for: str
    stands_for_id: str
    stands_for_acts: tuple[Choice, ...]


class IncidentPage(msgspec.Struct, frozen=True):
    """One incident in words."""

    line: IncidentLine
    until: Moment | None
    reported: Moment
    reporter: str
    has_caller: bool
    label: str
    buttons: Buttons
    candidates: tuple[Choice, ...]
    labels: tuple[Choice, ...]
    alarms: tuple[AlarmOf, ...]
    near: tuple[AlarmOf, ...]
    running: tuple[RunningLine, ...]
    timeline: tuple[Line, ...]


def incident_page(
    voice: Voice,
    found: Incident,
    alarms: Sequence[AlarmRow],
    near: Sequence[AlarmRow],
    mobilisations: Sequence[MobilisationRow],
    *,
    may_respond: bool,
) -> IncidentPage:
    """The page of an incident, its alarms, those at its place that belong to none, and what was mobilised for it."""
    row = found.row
    return IncidentPage(
        line=incident_line(voice, row),
        until=moment(voice, row.changed_at + timedelta(seconds=row.limit_s))
        if row.limit_s and row.state in AWAITED
        else None,
        reported=moment(voice, row.reported_at),
        reporter=_reporter(voice, row.reporter, row.reported_by),
        has_caller=row.has_caller and may_respond,
        label=next((voice.t.p("label choice", words) for label, words in LABEL_CHOICES if label is row.label), ""),
        buttons=_buttons(voice, found, may_respond=may_respond),
        candidates=tuple(_candidate(voice, one) for one in found.candidates),
        labels=tuple(Choice(label.value, voice.t.p("label choice", words)) for label, words in LABEL_CHOICES),
        alarms=tuple(_alarm(voice, alarm) for alarm in alarms),
        near=tuple(_alarm(voice, alarm) for alarm in near),
        running=tuple(running_line(voice, one) for one in mobilisations if one.ended_at is None),
        timeline=timeline(voice, found.steps),
    )


def _buttons(voice: Voice, found: Incident, *, may_respond: bool) -> Buttons:
    row, may = found.row, found.row.may
    leads = Act.DISPATCH in may
    others = row.assignee if row.assignee and not row.is_mine else ""
    noted = [
        Choice(act.value, voice.t.p("button", words, name=others))
        for act, words in (
            (Act.ACCEPT, N_("%(name)s is going", "button")),
            (Act.DECLINE, N_("%(name)s cannot", "button")),
            (Act.ARRIVE, N_("%(name)s is there", "button")),
        )
        if others and leads and act in may and row.state in GOING
    ]
    is_instead = limit_words(voice, row)[1] and bool(row.assignee)  # who was sent is late
    others_can = [one for one in found.candidates if one.id != row.assignee_id]
    first = others_can[0] if leads and others_can and (not row.assignee or is_instead) else None
    return Buttons(
        dispatch=leads,
        accept=Act.ACCEPT in may and (row.is_mine or not row.assignee),
        take_over=Act.ACCEPT in may and bool(others),
        decline=Act.DECLINE in may and row.is_mine,
        arrive=Act.ARRIVE in may and row.is_mine,
        resolve=Act.RESOLVE in may,
        review=Act.REVIEW in may,
        reopen=Act.REOPEN in may,
        cancel=Act.CANCEL in may,
        comment=may_respond,
        join=may_respond and row.state in OPEN,
        first=first.name if first else "",
        first_id=first.id if first else "",
        is_instead=is_instead,
        stands_for=others or "",
        stands_for_id=row.assignee_id,
        stands_for_acts=tuple(noted),
    )


def timeline(voice: Voice, steps: Sequence[Step]) -> tuple[Line, ...]:
    """The history, newest first; the step that brought a new state says how long the one before had lasted."""
    lines, entered, limit_s = [], None, None
    for step in steps[-MOST_LINES:]:
        is_change = step.limit_s is not None or step.from_state is not step.to_state
        took, is_late = "", False
        if is_change and entered is not None:
            took, is_late = _took(voice, entered, step.at, limit_s, step.from_state)
        lines.append(_line(voice, step, took, is_late=is_late))
        if is_change:
            entered, limit_s = step.at, step.limit_s
    return tuple(reversed(lines))


def _took(voice: Voice, since: datetime, until: datetime, limit_s: int | None, state: State) -> tuple[str, bool]:
    lasted_s = (until - since).total_seconds()
    if limit_s is None or state not in AWAITED:
        return "", False
    took = voice.t("after %(time)s of %(limit)s", time=running(voice, lasted_s), limit=span(voice, limit_s))
    return took, lasted_s > limit_s


def _line(voice: Voice, step: Step, took: str, *, is_late: bool) -> Line:
    told = voice.t("told: %(names)s", names=voice.t(", ").join(step.told)) if step.told else ""
    why, change = step.why, ""
    if step.act == "escalate":
        rung = voice.t.p("rung", RUNG_WORDS[step.why]) if step.why in RUNG_WORDS else step.why
        why = f"{rung}{voice.t(', ')}{told}" if told else voice.t("nobody could be told")
    elif step.act == Act.DISPATCH and step.assignee:
        change = step.assignee
    elif step.act == "report":
        why = told
    elif step.from_state is not step.to_state and step.act in {Act.REOPEN, Act.DECLINE}:
        change = incident_state(voice, step.to_state)
    return Line(
        at=moment(voice, step.at),
        what=step_word(voice, step.act),
        change=change,
        who=step.who or voice.t("by itself"),
        why=why,
        took=took,
        is_late=is_late or step.act == "escalate",
        is_comment=step.act == "comment",
    )


def _candidate(voice: Voice, one: Candidate) -> Choice:
    busy = voice.t.n("%(n)s open incident", "%(n)s open incidents", one.busy) if one.busy else voice.t("free")
    return Choice(one.id, one.name, f"{role_word(voice, one.role)} · {busy}")


def _reporter(voice: Voice, reporter: Reporter, who: str) -> str:
    word = voice.t.p("reporter", REPORTER_WORDS[reporter])
    return voice.t("%(reporter)s, entered by %(who)s", reporter=word, who=who)


def _alarm(voice: Voice, row: AlarmRow) -> AlarmOf:
    return AlarmOf(str(row.id), f"/alarms/{row.id}", title(voice, row), state_word(voice, row), row.priority, icon(row))
