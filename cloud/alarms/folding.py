"""Few alarms instead of many: silences go beneath the alarm of what they have in common, a box or one of its buses.

What says that something is wrong (smoke) stays as it is, whoever is silent. What somebody has acknowledged is theirs.
When the box or bus is back, its devices have a while to be heard; what is still silent then comes back by itself.
"""

import hashlib
from collections.abc import Sequence
from datetime import datetime, timedelta
from weakref import WeakKeyDictionary

import msgspec

from cloud.alarms.engine import Engine
from cloud.alarms.rules.book import RuleBook
from cloud.alarms.rules.model import WATCHED, Rule, Silence, State, body_of
from cloud.store import Connection, folding, sweep
from cloud.store.alarms import Hold, Raising
from cloud.store.changes import Change, Happened
from cloud.store.folding import Falling

SETTLES = timedelta(minutes=2)
"""So long after its box or bus is back a silence stays beneath it: devices are asked one after the other."""
AT_ONCE = 1000
"""Alarms that are folded in one statement; more are folded by the next sweep."""
FALLING = Falling(3, lately=timedelta(minutes=3), wait=timedelta(minutes=1), young=timedelta(minutes=10))
"""A bus that goes down loses its devices one after the other, as each is asked. So three within three minutes may be
the beginning of a silent bus: their silences wait while that goes on, for ten minutes at most."""


class Silences(msgspec.Struct, frozen=True):
    """Names of the rules that speak of silence: of boxes, of buses, and of devices and their points."""

    of_boxes: tuple[str, ...]
    of_buses: tuple[str, ...]
    of_devices: tuple[str, ...]
    signature: str
    """Changes with any rule about boxes and buses: then they are told everything anew."""


def silences_of(book: RuleBook) -> Silences:
    """The rules of a book that speak of silence."""
    if book not in _KNOWN:
        _KNOWN[book] = _silences(book.rules)
    return _KNOWN[book]


_KNOWN: WeakKeyDictionary[RuleBook, Silences] = WeakKeyDictionary()


def _silences(rules: Sequence[Rule]) -> Silences:
    subjects: dict[str, list[str]] = {"gateway": [], "bus": [], "device": []}
    watching = []
    for rule in rules:
        if any(rule.looks_at(kind.name, point) for kind in WATCHED.values() for point in kind.points):
            watching.append(body_of(rule))
        subject = silent_subject(rule)
        if subject is not None:
            subjects[subject].append(rule.name)
    signature = hashlib.blake2b(msgspec.json.encode(watching), digest_size=8).hexdigest()
    return Silences(tuple(subjects["gateway"]), tuple(subjects["bus"]), tuple(subjects["device"]), signature)


def silent_subject(rule: Rule) -> str | None:
    """Whose silence a rule speaks of: 'gateway', 'bus' or 'device'; None for a rule about anything else."""
    form = rule.form
    if isinstance(form, Silence):
        return "device" if form.subject == "point" else form.subject
    if isinstance(form, State) and form.point == "silent":
        return next((kind for kind in ("gateway", "bus") if rule.looks_at(kind, "silent")), None)
    return "device" if isinstance(form, State) and form.point == "link" and "offline" in form.words else None


class Folding:
    """Puts silences beneath their cause: those that are raised while it stands, and those that came before it."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    async def holds(
        self, connection: Connection, raisings: Sequence[Raising], *, now: datetime | None = None
    ) -> dict[int, Hold]:
        """Which silences that are about to be raised have their cause elsewhere, by position.

        One of a box that missed a beat, or of a bus that is on its way down, waits until that is known.
        """
        silences = silences_of(self._engine.book)
        ours = [
            n
            for n, raising in enumerate(raisings)
            if raising.rule in silences.of_devices or raising.rule in silences.of_buses
        ]
        behind = {n: gateway for n in ours if (gateway := raisings[n].subject.gateway) is not None}
        if not behind:
            return {}
        places = list(behind)
        asked = [(behind[n], raisings[n].subject.device) for n in places]
        found = await folding.causes(connection, asked, silences.of_boxes, silences.of_buses)
        held = {places[cause.position]: Hold("DSUPR", None, cause.rule, cause.cause) for cause in found}
        left = [place for place in range(len(places)) if places[place] not in held]
        if not left:
            return held
        doubts = await folding.doubted(
            connection, [(*asked[place], raisings[places[place]].at) for place in left], FALLING, now=now
        )
        for doubt in doubts:
            why = "its gateway missed a beat" if doubt.is_box else "its bus is falling silent"
            held[places[left[doubt.position]]] = Hold("DSUPR", doubt.known_at, why)
        return held

    async def evaluate(self, connection: Connection, changes: Sequence[Change | Happened]) -> None:
        """Notes whose links changed, so that the next sweep looks at their buses."""
        devices = {change.device for change in changes if change.point == "link"}
        if devices:
            await sweep.look_at(connection, devices)

    async def fold(self, connection: Connection, *, now: datetime | None = None) -> set[str]:
        """Puts silences beneath the causes that stand, and lets those go whose cause is over; returns topics to wake.

        One process at a time calls it.
        """
        rules = silences_of(self._engine.book)
        found = await folding.unfolded(connection, rules.of_boxes, rules.of_buses, rules.of_devices, AT_ONCE)
        topics = set()
        if anew := {one.id: Hold("DSUPR", None, one.rule, one.cause) for one in found if one.state == "UNACK"}:
            topics |= await self._engine.hold(connection, anew, now=now)
        if again := [one for one in found if one.state == "DSUPR"]:
            await folding.put_beneath(connection, again)
        await folding.let_go(connection, SETTLES, AT_ONCE, now=now)
        return topics
