"""View of the alarm list: rows in the order in which they want a person."""

from collections.abc import Sequence

import msgspec

from cloud.console.data import AlarmRow, AlarmState, SilentGateway
from cloud.console.gateways.view import SilentLine, silent_lines
from cloud.console.words import Voice
from cloud.console.words.alarms import (
    icon,
    needs_acknowledgement,
    priority_word,
    state_word,
    title,
    value_now,
    what,
    worst_first,
)
from cloud.console.words.places import place
from cloud.console.words.times import Moment, moment


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
    stale: bool
    waits: bool


class AlarmList(msgspec.Struct, frozen=True):
    """The page: what cannot be heard of, what is active, and what ended last."""

    silent: tuple[SilentLine, ...]
    active: tuple[AlarmLine, ...]
    ended: tuple[AlarmLine, ...]
    at: Moment


def alarm_list(
    voice: Voice, active: Sequence[AlarmRow], ended: Sequence[AlarmRow], silent: Sequence[SilentGateway] = ()
) -> AlarmList:
    """Active alarms in the order in which they want a person, below the boxes from which none can come."""
    return AlarmList(
        silent=silent_lines(voice, silent),
        active=tuple(alarm_line(voice, row) for row in worst_first(active)),
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
        value=value_now(voice, row),
        holder=row.acked_by or "",
        held_since=moment(voice, row.acked_at) if row.acked_at else None,
        late=row.late,
        stale=row.stale and row.state is not AlarmState.NORM,
        waits=needs_acknowledgement(row),
    )
