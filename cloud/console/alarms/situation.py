"""What is unusual about all alarms: one banner for a flood, one line for each drill or maintenance."""

from collections.abc import Sequence

import msgspec

from cloud.console.alarms.data import Flood, Window, WindowKind
from cloud.console.i18n import N_
from cloud.console.words import Voice
from cloud.console.words.places import building, place
from cloud.console.words.times import Moment, moment

WINDOW_WORDS = {
    WindowKind.DRILL: N_("Fire drill until %(clock)s"),
    WindowKind.MAINTENANCE: N_("Maintenance until %(clock)s"),
}
WINDOW_MEANINGS = {
    WindowKind.DRILL: N_(
        "Fire alarms of this place are marked as of the drill. If something does burn, call 119 and end the drill."
    ),
    WindowKind.MAINTENANCE: N_(
        "New alarms of this place are out of service until then and call nobody, but for those about life. Somebody "
        "has to keep watch there."
    ),
}


class CrowdLine(msgspec.Struct, frozen=True):
    """A building with many alarms of a flood."""

    name: str
    n: int


class Banner(msgspec.Struct, frozen=True):
    """A flood in words: how many, since when, where."""

    words: str
    since: Moment
    crowds: tuple[CrowdLine, ...]


class Notice(msgspec.Struct, frozen=True):
    """A drill or maintenance in words: until when, where, what that means for alarms, why and through whom."""

    key: str
    kind: str
    words: str
    place: str
    estate: str
    meaning: str
    why: str
    who: str


def banner(voice: Voice, flood: Flood) -> Banner:
    """The one banner, with the buildings that have the most."""
    many = len({crowd.place.estate for crowd in flood.crowds}) > 1
    return Banner(
        words=voice.t.n("Alarm flood: %(n)s alarm", "Alarm flood: %(n)s alarms", flood.alarms),
        since=moment(voice, flood.since),
        crowds=tuple(
            CrowdLine(
                f"{crowd.place.estate} · {building(voice, crowd.place)}" if many else building(voice, crowd.place),
                crowd.alarms,
            )
            for crowd in flood.crowds
        ),
    )


def notices(voice: Voice, windows: Sequence[Window]) -> tuple[Notice, ...]:
    """One line a drill or maintenance, as given."""
    return tuple(
        Notice(
            key=window.id,
            kind=window.kind,
            words=voice.t(WINDOW_WORDS[window.kind], clock=moment(voice, window.until).clock),
            place=_where(voice, window),
            estate=window.place.estate,
            meaning=voice.t(WINDOW_MEANINGS[window.kind]),
            why=window.why,
            who=window.who,
        )
        for window in windows
    )


def _where(voice: Voice, window: Window) -> str:
    parts = [place(voice, window.place), window.bus]
    parts += [voice.t.n("%(n)s device", "%(n)s devices", window.devices)] if window.devices else []
    return voice.t(", ").join(part for part in parts if part)
