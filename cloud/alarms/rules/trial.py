"""Tries a rule on what was: which alarms it would have raised, had it been in force.

It judges as the engine does, each thing seen at its own time and each timer when it was due; who was on duty, what was
shelved and what was folded beneath a cause is not looked at.
"""

from collections.abc import AsyncIterator, Iterable, Iterator
from datetime import datetime, timedelta, tzinfo

import msgspec
import numpy as np
import numpy.typing as npt

from cloud.alarms.rules.bands import Bands
from cloud.alarms.rules.judge import judge
from cloud.alarms.rules.memory import REST, Seen, Verdict
from cloud.alarms.rules.model import WATCHED, KOfN, Rate, Rule, Silence, Threshold
from cloud.alarms.rules.schedule import Calendar
from cloud.store import Connection, trials
from cloud.store.trials import TrialEstate, TrialSource
from contract.errors import Permanent
from contract.kinds import KINDS, PointType

STRETCH = timedelta(days=1)
"""So much of a number's history is in memory at once."""
_AT_ONCE = 256


class Would(msgspec.Struct, frozen=True):
    """An alarm that would have been: where, from when until when (None: it would stand now), and how bad at worst."""

    where: str
    kind: str
    point: str
    from_at: datetime
    until_at: datetime | None
    stage: int
    priority: str
    value: float | str | None


async def try_rule(
    connection: Connection, rule: Rule, estate: TrialEstate, zone: tzinfo, calendar: Calendar,
    start: datetime, end: datetime,
) -> AsyncIterator[Would]:  # fmt: skip
    """What a rule would have raised in an estate, source by source. Raises Permanent where no history tells."""
    form = rule.form
    if isinstance(form, Silence) and form.subject != "device":
        raise Permanent(f"of the silence of a {form.subject} no history is kept: such a rule cannot be tried")
    if rule.kinds and set(rule.kinds) <= WATCHED.keys():
        raise Permanent("of what the cloud sees of gateways no history is kept: such a rule cannot be tried")
    sources = [one for one in await trials.sources(connection, estate.id, rule.points) if _looks(rule, one, estate)]
    if isinstance(form, KOfN):
        async for would in _agreements(connection, rule, form, sources, zone, calendar, start, end):
            yield would
        return
    for source in sources:
        trial = _Trial(rule, zone, calendar)
        if isinstance(form, Threshold | Rate):
            if source.series is not None:
                await _numbers(connection, trial, source.series, start, end)
        else:
            for seen in await _seen(connection, source, start, end):
                trial.see(seen)
        trial.pass_time(end)
        where = _where(source)
        for would in trial.found(where, source.kind, source.point):
            yield would


def _looks(rule: Rule, source: TrialSource, estate: TrialEstate) -> bool:
    """Whether the rule looks at a point there where it is."""
    return (
        rule.looks_at(source.kind, source.point)
        and source.point in KINDS[source.kind].points
        and (not rule.devices or source.device in rule.devices)
        and source.device not in rule.except_devices
        and (not rule.areas or not set(rule.areas).isdisjoint(estate.areas))
    )


def _where(source: TrialSource) -> str:
    return " ".join(part for part in (source.building, source.unit, source.floor, source.name) if part)


async def _seen(connection: Connection, source: TrialSource, start: datetime, end: datetime) -> list[Seen]:
    """The states or events of a point."""
    if KINDS[source.kind].points[source.point].type is PointType.EVENT:
        past = await trials.events(connection, source.device, source.point, start, end)
        return [Seen(one.at, one.value, dict(one.fields)) for one in past]
    if source.series is None:
        return []
    return [Seen(one.at, one.value) for one in await trials.states(connection, source.series, start, end)]


async def _numbers(connection: Connection, trial: "_Trial", series: int, start: datetime, end: datetime) -> None:
    while start < end:
        until = min(end, start + STRETCH)
        at_us, value = await trials.readings(connection, series, start, until)
        trial.see_numbers(at_us, value)
        start = until


async def _agreements(
    connection: Connection, rule: Rule, form: KOfN, sources: Iterable[TrialSource], zone: tzinfo, calendar: Calendar,
    start: datetime, end: datetime,
) -> AsyncIterator[Would]:  # fmt: skip
    """Place by place, all that its members said, in order of time."""
    places: dict[tuple[str, ...], list[Seen]] = {}
    for source in sources:
        place = {"unit": (source.building, source.unit), "building": (source.building,), "estate": ()}[form.within]
        name = f"device:{source.device}"
        places.setdefault(place, []).extend(
            msgspec.structs.replace(seen, member=name, kind=source.kind)
            for seen in await _seen(connection, source, start, end)
        )
    for place, seen in places.items():
        trial = _Trial(rule, zone, calendar)
        for one in sorted(seen, key=lambda one: one.at):
            trial.see(one)
        trial.pass_time(end)
        for would in trial.found(" ".join(part for part in place if part), "", rule.points[0]):
            yield would


class _Trial:
    """One source in the hands of a rule, with timers that are never late."""

    def __init__(self, rule: Rule, zone: tzinfo, calendar: Calendar) -> None:
        self._rule, self._zone, self._calendar = rule, zone, calendar
        self._memory = REST
        self._verdicts: list[Verdict] = []
        self._bands = Bands([[rule]] if isinstance(rule.form, Threshold | Rate) else [[]])

    def see(self, seen: Seen) -> None:
        """Something was seen."""
        self.pass_time(seen.at)
        self._judge(seen, seen.at)

    def see_numbers(self, at_us: npt.NDArray[np.int64], value: npt.NDArray[np.float64]) -> None:
        """A stretch of readings, of which only those are judged that leave the band."""
        for start in range(0, len(at_us), _AT_ONCE):
            part = slice(start, start + _AT_ONCE)
            size = len(at_us[part])
            held = {} if self._memory.is_at_rest else {0: [(self._rule, self._memory)]}
            crossing = self._bands.crossing(
                np.zeros(size, np.uint32), at_us[part], value[part], np.zeros(size, np.uint8), held
            )
            for _, seen in crossing.seen():
                self.see(seen)
            crossing.keep()

    def pass_time(self, until: datetime) -> None:
        """Timers until then."""
        while (due := self._memory.due_at) is not None and due < until:
            self._judge(None, due)

    def found(self, where: str, kind: str, point: str) -> Iterator[Would]:
        """The alarms that come of the verdicts, each with the worst that it came to."""
        began: Verdict | None = None
        worst: Verdict | None = None
        for verdict in (*self._verdicts, None):
            if verdict is not None and verdict.stage:
                began = began or verdict
                worst = verdict if worst is None or verdict.stage > worst.stage else worst
            elif began is not None and worst is not None:
                priority = self._rule.priority_at(kind, worst.stage)
                until = verdict.at if verdict is not None else None
                yield Would(where, kind, point, began.at, until, worst.stage, priority, worst.value)
                began = worst = None

    def _judge(self, seen: Seen | None, now: datetime) -> None:
        judged = judge(self._rule, self._memory, seen, now, self._zone, self._calendar)
        self._memory = judged.memory
        self._verdicts += judged.verdicts
