"""Several devices of one place agree, whichever boxes they are on: a fire is confirmed.

What one of them says is judged at the place: a row of what the rule remembers, claimed first, so that two boxes that
report at the same moment come one after the other and neither misses the other's.
"""

from collections.abc import Sequence
from datetime import datetime

from cloud.alarms.engine import Engine
from cloud.alarms.rules.memory import Seen
from cloud.alarms.rules.model import KOfN, Rule
from cloud.alarms.sources import place_source
from cloud.store import Connection, conditions, confirm, lifecycle, subjects
from cloud.store.alarms import Subject
from cloud.store.changes import Change, Happened
from cloud.store.confirm import DevicePlace
from cloud.store.subjects import Lies


class Confirm:
    """Looks at changes for the rules on several devices of a place."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    async def evaluate(
        self, connection: Connection, changes: Sequence[Change | Happened], *, now: datetime | None = None
    ) -> set[str]:
        """Judges what these changes mean to their places; returns the topics to wake after the commit."""
        book = self._engine.book
        news = [change for change in changes if book.gathering(change.kind, change.point, device=change.device)]
        if not news:
            return set()
        lies = await subjects.estates(connection, {change.estate for change in news})
        places = await confirm.places(connection, {change.device for change in news})
        asked: list[tuple[Rule, Subject, Seen | None]] = []
        for change in news:
            areas = lies[change.estate].areas
            for rule in book.gathering(change.kind, change.point, areas=areas, device=change.device):
                subject = place_of(rule, change, places[change.device], lies[change.estate])
                asked.append((rule, subject, seen_of(change)))
        keys = sorted({(rule.name, subject.source) for rule, subject, _ in asked})
        known = await conditions.claim(connection, [(*key, None) for key in keys])
        at = await lifecycle.time(connection, now)
        topics = await self._engine.judge_all(connection, book, asked, known, at)
        await confirm.name_members(connection, keys)
        return topics


def place_of(rule: Rule, change: Change | Happened, place: DevicePlace, lies: Lies) -> Subject:
    """The place in which a rule wants several to agree, as rules see it."""
    assert isinstance(rule.form, KOfN)
    source = place_source(change.estate, place.building, place.unit, within=rule.form.within)
    return Subject(source, "place", "", change.estate, lies.areas, lies.zone)


def seen_of(change: Change | Happened) -> Seen:
    """What a device says, as one of several."""
    value = change.state if isinstance(change, Change) else ""
    return Seen(change.at, value, member=str(change.device), kind=change.kind)
