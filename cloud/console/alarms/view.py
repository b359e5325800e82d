"""View of the alarm list: what wants a person, what is held, what ended; by place where there are too many."""

from collections.abc import Iterable, Sequence
from urllib.parse import urlencode

import msgspec

from cloud.console.alarms.data import AlarmRow, AlarmState, Situation
from cloud.console.alarms.situation import Banner, Notice, banner, notices
from cloud.console.data import Action, SilentGateway
from cloud.console.gateways.view import SilentLine, silent_lines
from cloud.console.i18n import N_
from cloud.console.words import Voice
from cloud.console.words.alarms import (
    PRIORITIES,
    icon,
    label_word,
    needs_acknowledgement,
    priority_word,
    state_word,
    title,
    value_now,
    what,
    where,
    worst_first,
)
from cloud.console.words.places import building
from cloud.console.words.times import Left, Moment, left, moment

ACTIVE, HELD, ENDED = "active", "held", "ended"
TAB_WORDS = {ACTIVE: N_("Active", "alarms"), HELD: N_("Held", "alarms"), ENDED: N_("Ended", "alarms")}


class Shown(msgspec.Struct, frozen=True):
    """What of the list is looked at, as its address says it."""

    tab: str = ACTIVE
    by_place: bool = False
    choosing: bool = False
    """Several are chosen, to be acknowledged together."""

    def url(self, path: str = "/alarms") -> str:
        """The list's address, or that of its live part."""
        query = {"show": self.tab} if self.tab != ACTIVE else {}
        query |= {"by": "place"} if self.by_place else {}
        query |= {"choose": "1"} if self.choosing else {}
        return f"{path}?{urlencode(query)}" if query else path


def shown(show: str, by: str, choose: str) -> Shown:
    """What an address asks for; what it cannot mean is the ordinary list."""
    tab = show if show in TAB_WORDS else ACTIVE
    return Shown(tab, by == "place" and tab == ACTIVE, choose == "1" and tab == ACTIVE)


class AlarmLine(msgspec.Struct, frozen=True):
    """One row: priority, place, what, how long, value now, who has it, and whether there is something to press.

    `undo` is until when the person who looks may take their acknowledgement back. `notes` are what else is to be known
    of it at a glance.
    """

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
    may_acknowledge: bool
    undo: Left | None
    notes: tuple[str, ...]
    label: str


class Group(msgspec.Struct, frozen=True):
    """The rows of a place: how many, how many of them wait for a person, and the worst."""

    key: str
    name: str
    counts: str
    priority: str
    icon: str
    lines: tuple[AlarmLine, ...]


class Tab(msgspec.Struct, frozen=True):
    """A part of the list; `n` is how many it has, empty where that is not said."""

    url: str
    word: str
    n: str
    here: bool


class AlarmList(msgspec.Struct, frozen=True):
    """The page: what is unusual now, what cannot be heard of, then the rows of the tab.

    `groups` are the same rows by place, and empty where they are not grouped; `more` says how many are not shown.
    """

    shown: Shown
    live_url: str
    tabs: tuple[Tab, ...]
    group_url: str
    choose_url: str
    flood: Banner | None
    windows: tuple[Notice, ...]
    silent: tuple[SilentLine, ...]
    rows: tuple[AlarmLine, ...]
    groups: tuple[Group, ...]
    more: str
    ended: tuple[AlarmLine, ...]
    at: Moment


def alarm_list(
    voice: Voice,
    active: Sequence[AlarmRow],
    ended: Sequence[AlarmRow],
    silent: Sequence[SilentGateway] = (),
    *,
    held: Sequence[AlarmRow] = (),
    held_count: int = 0,
    situation: Situation | None = None,
    look: Shown | None = None,
) -> AlarmList:
    """The list as it is looked at. In a flood the active ones stand by place: there is too much to read row by row."""
    look, now = look or Shown(), situation or Situation()
    rows = {ACTIVE: worst_first(active), HELD: worst_first(held), ENDED: list(ended)}[look.tab]
    is_grouped = look.tab == ACTIVE and (look.by_place or now.flood is not None)
    more = held_count - len(rows) if look.tab == HELD else 0
    return AlarmList(
        shown=look,
        live_url=look.url("/alarms/list"),
        tabs=_tabs(voice, look, len(active), held_count),
        group_url=msgspec.structs.replace(look, by_place=not look.by_place).url(),
        choose_url=msgspec.structs.replace(look, choosing=not look.choosing).url(),
        flood=banner(voice, now.flood) if now.flood else None,
        windows=notices(voice, now.windows),
        silent=silent_lines(voice, silent) if look.tab == ACTIVE else (),
        rows=() if is_grouped else tuple(alarm_line(voice, row) for row in rows),
        groups=_groups(voice, rows) if is_grouped else (),
        more=voice.t.n("%(n)s more", "%(n)s more", more) if more > 0 else "",
        ended=tuple(alarm_line(voice, row) for row in ended) if look.tab == ACTIVE else (),
        at=moment(voice, voice.now),
    )


def alarm_line(voice: Voice, row: AlarmRow) -> AlarmLine:
    """One row in words."""
    waits = needs_acknowledgement(row)
    return AlarmLine(
        id=str(row.id),
        url=f"/alarms/{row.id}",
        priority=row.priority,
        priority_word=priority_word(voice, row.priority),
        state=row.state,
        state_word=state_word(voice, row),
        icon=icon(row),
        place=where(voice, row),
        estate=row.place.estate,
        what=what(voice, row),
        title=title(voice, row),
        code=f"{row.kind}.{row.point}" if row.point else row.rule,
        since=moment(voice, row.changed_at if row.state is AlarmState.NORM else row.raised_at),
        value=value_now(voice, row),
        holder=row.assignee or row.acked_by or "",
        held_since=moment(voice, row.acked_at) if row.acked_at and not row.assignee else None,
        late=row.late,
        stale=row.stale and row.state is not AlarmState.NORM,
        waits=waits,
        may_acknowledge=waits and Action.ACKNOWLEDGE in row.allowed,
        undo=left(voice, row.undo_until) if row.undo_until else None,
        notes=_notes(voice, row),
        label=label_word(voice, row.label) if row.label else "",
    )


def _notes(voice: Voice, row: AlarmRow) -> tuple[str, ...]:
    said = []
    if row.drill:
        said.append(voice.t("in a drill"))
    if row.chattering:
        said.append(voice.t("keeps coming again"))
    elif row.repeats and row.state is not AlarmState.NORM:
        said.append(voice.t.n("came again %(n)s time", "came again %(n)s times", row.repeats))
    if row.beneath:
        said.append(voice.t.n("%(n)s suppressed beneath", "%(n)s suppressed beneath", row.beneath))
    if row.hold_why and row.state in {AlarmState.SHLVD, AlarmState.OOSRV}:
        said.append(row.hold_why)
    return tuple(said)


def _tabs(voice: Voice, look: Shown, active: int, held: int) -> tuple[Tab, ...]:
    counts = {ACTIVE: str(active or ""), HELD: str(held or ""), ENDED: ""}
    return tuple(
        Tab(Shown(tab).url(), voice.t.p("alarms", word), counts[tab], tab == look.tab)
        for tab, word in TAB_WORDS.items()
    )


def _groups(voice: Voice, rows: Iterable[AlarmRow]) -> tuple[Group, ...]:
    """By building, in the order of their names, and within one by priority and age: what is acknowledged stays put."""
    by_place: dict[tuple[str, str], list[AlarmRow]] = {}
    for row in rows:
        by_place.setdefault((row.place.estate, row.place.building or ""), []).append(row)
    many = len({estate for estate, _ in by_place}) > 1
    return tuple(
        _group(voice, *where, found, names_estate=many) for where, found in sorted(by_place.items(), key=_by_name)
    )


def _by_name(found: tuple[tuple[str, str], list[AlarmRow]]) -> tuple[str, bool, int, str]:
    (estate, name), _ = found
    number = "".join(char for char in name if char.isdigit())
    return estate, not name, int(number) if number else 0, name


def _group(voice: Voice, estate: str, name: str, rows: list[AlarmRow], *, names_estate: bool) -> Group:
    order = sorted(rows, key=lambda row: (PRIORITIES.index(row.priority), row.raised_at))
    waiting = sum(needs_acknowledgement(row) for row in rows)
    said = building(voice, order[0].place)
    counts = voice.t.n("%(n)s alarm", "%(n)s alarms", len(rows))
    if waiting:
        counts += voice.t(", ") + voice.t.n("%(n)s not acknowledged", "%(n)s not acknowledged", waiting)
    return Group(
        key=f"{estate}/{name}",
        name=f"{estate} · {said}" if names_estate else said,
        counts=counts,
        priority=order[0].priority,
        icon=f"{order[0].priority}-{'filled' if waiting else 'outline'}",
        lines=tuple(alarm_line(voice, row) for row in order),
    )
