"""View of the alarm list: rows in the order in which they want a person."""

from collections.abc import Sequence

import msgspec

from cloud.console.data import AlarmRow, AlarmState, Priority
from cloud.console.words import Voice
from cloud.console.words.alarms import icon, needs_acknowledgement, priority_word, state_word, title, what
from cloud.console.words.places import place
from cloud.console.words.points import value_words
from cloud.console.words.times import Moment, moment

_WAITING = {AlarmState.UNACK: 0, AlarmState.RTNUN: 1, AlarmState.ACKED: 2, AlarmState.SHLVD: 3, AlarmState.NORM: 4}
_PRIORITIES = list(Priority)


class AlarmLine(msgspec.Struct, frozen=True):
    """One row: priority, place, what, how long, value now, who has it, and whether there is something to press."""

    id: str
    url: str
    priority: str
    priority_word: str
    state: str
    state_word: str
    icon: str
    place: str
    estate: str
    what: str
    title: str
    code: str
    since: Moment
    value: str
    holder: str
    held_since: Moment | None
    late: bool
    waits: bool


class AlarmList(msgspec.Struct, frozen=True):
    """The page: what is active, and what ended last."""

    active: tuple[AlarmLine, ...]
    ended: tuple[AlarmLine, ...]
    at: Moment


def alarm_list(voice: Voice, active: Sequence[AlarmRow], ended: Sequence[AlarmRow]) -> AlarmList:
    """Active alarms: the unacknowledged first, then by priority, then the youngest first."""
    ordered = sorted(
        active, key=lambda row: (_WAITING[row.state], _PRIORITIES.index(row.priority), -row.raised_at.timestamp())
    )
    return AlarmList(
        active=tuple(alarm_line(voice, row) for row in ordered),
        ended=tuple(alarm_line(voice, row) for row in ended),
        at=moment(voice, voice.now),
    )


def alarm_line(voice: Voice, row: AlarmRow) -> AlarmLine:
    """One row in words."""
    return AlarmLine(
        id=str(row.id),
        url=f"/alarms/{row.id}",
        priority=row.priority,
        priority_word=priority_word(voice, row.priority),
        state=row.state,
        state_word=state_word(voice, row),
        icon=icon(row),
        place=place(voice, row.place),
        estate=row.place.estate,
        what=what(voice, row),
        title=title(voice, row),
        code=f"{row.kind}.{row.point}",
        since=moment(voice, row.changed_at if row.state is AlarmState.NORM else row.raised_at),
        value=value_words(voice, row.kind, row.point, row.value),
        holder=row.acked_by or "",
        held_since=moment(voice, row.acked_at) if row.acked_at else None,
        late=row.late,
        waits=needs_acknowledgement(row),
    )
