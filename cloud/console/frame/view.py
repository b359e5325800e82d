"""View of the frame: what is unacknowledged, who is signed in, where one is."""

from collections.abc import Sequence

import msgspec

from cloud.console.alarms.data import AlarmRow, AlarmState, Priority
from cloud.console.data import Person, SilentGateway
from cloud.console.i18n import N_
from cloud.console.words import Voice
from cloud.console.words.alarms import needs_acknowledgement, priority_word, title, worst_first
from cloud.console.words.times import Moment, moment

ROLE_WORDS = {
    "admin": N_("platform admin", "role"),
    "supervisor": N_("supervisor", "role"),
    "manager": N_("property manager", "role"),
    "operator": N_("operator on duty", "role"),
    "grid_worker": N_("grid worker", "role"),
    "installer": N_("installer", "role"),
    "auditor": N_("auditor", "role"),
}
SCREENS = (
    ("/alarms", "nav-alarms", N_("Alarms", "screen")),
    ("/incidents", "nav-incidents", N_("Incidents", "screen")),
    ("/devices", "nav-devices", N_("Devices", "screen")),
    ("/gateways", "nav-gateways", N_("Gateways", "screen")),
    ("/more", "nav-more", N_("More", "screen")),
)

_BENEATH = {"/gateways": ("/quarantine",), "/incidents": ("/mobilise", "/mobilisations"), "/more": ("/rules",)}
"""Pages of a screen that have addresses of their own."""


class Count(msgspec.Struct, frozen=True):
    """How many alarms of a priority nobody has acknowledged."""

    priority: str
    icon: str
    word: str
    n: int


class Screen(msgspec.Struct, frozen=True):
    """A place of the navigation."""

    url: str
    icon: str
    word: str
    here: bool


class Frame(msgspec.Struct, frozen=True):
    """State strip and navigation.

    `summary` says the counts in words for a screen reader, `waiting` is their sum. `critical` are the critical alarms
    that stand unacknowledged (id and title, the youngest first); a page that sees a new one sounds and speaks its
    title. `silent` says how many boxes cannot be heard, empty where all can.
    """

    counts: tuple[Count, ...]
    summary: str
    waiting: int
    critical: tuple[tuple[str, str], ...]
    silent: str
    session_ends: Moment | None
    person_name: str
    person_role: str
    clock: Moment
    screens: tuple[Screen, ...]


def frame(
    voice: Voice, person: Person, active: Sequence[AlarmRow], silent: Sequence[SilentGateway], path: str
) -> Frame:
    """The frame around a page at `path`."""
    waiting = [row for row in active if needs_acknowledgement(row)]
    counts = tuple(_count(voice, priority, waiting) for priority in Priority)
    critical = [row for row in waiting if row.priority is Priority.CRITICAL and row.state is AlarmState.UNACK]
    said = ", ".join(f"{count.n} {count.word}" for count in counts if count.n)
    return Frame(
        counts=counts,
        summary=voice.t("Not acknowledged: %(counts)s", counts=said) if said else voice.t("Nothing to acknowledge"),
        waiting=len(waiting),
        critical=tuple((str(row.id), title(voice, row)) for row in worst_first(critical)),
        silent=voice.t.n("%(n)s gateway silent", "%(n)s gateways silent", len(silent)) if silent else "",
        session_ends=moment(voice, person.session_ends) if person.session_ends else None,
        person_name=person.name,
        person_role=role_word(voice, person.role),
        clock=moment(voice, voice.now),
        screens=tuple(
            Screen(
                url,
                icon,
                voice.t.p("screen", word),
                path == url or path.startswith((f"{url}/", *_BENEATH.get(url, ()))),
            )
            for url, icon, word in SCREENS
        ),
    )


def role_word(voice: Voice, role: str) -> str:
    """值班员, operator on duty; a role without a word is said by its name."""
    return voice.t.p("role", ROLE_WORDS[role]) if role in ROLE_WORDS else role


def _count(voice: Voice, priority: Priority, waiting: Sequence[AlarmRow]) -> Count:
    n = sum(row.priority is priority for row in waiting)
    return Count(priority, f"{priority}-{'filled' if n else 'outline'}", priority_word(voice, priority), n)
