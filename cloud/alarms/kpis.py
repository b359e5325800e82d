"""How good alarms are, by the figures of EEMUA 191 and ISA-18.2, each with its target. Pure.

What was told to nobody (suppressed, out of service, late) is counted apart. An annunciation is each time at which an
alarm came to people: when it was raised, came again, or got worse.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from statistics import median

import msgspec

from cloud.alarms.flood import STARTS_ABOVE, floods
from cloud.store.kpis import AlarmFacts, HoldCounts

SLOT = timedelta(minutes=10)
STALE = timedelta(hours=24)
CHATTERS, WITHIN = 3, timedelta(minutes=1)
FEW = 100
"""With fewer annunciations a share says nothing: ten sources are all there were."""
AT_MOST = {"critical": 5.0, "high": 15.0, "medium": 30.0}
"""Per cent of the annunciations; what is left is low. Source: EEMUA 191 for four priorities."""
LABELS = ("real", "false", "test", "unknown")


class Figure(msgspec.Struct, frozen=True):
    """One figure. `inside`: whether it meets its target; None where it has none, or there is too little to say."""

    name: str
    value: float | None
    unit: str
    target: str = ""
    inside: bool | None = None


class Source(msgspec.Struct, frozen=True):
    """What alarms most: a rule at a source, how often, and its share of all in per cent."""

    rule: str
    source: str
    count: int
    share: float
    chatters: bool
    name: str = ""
    """The device, box or place, in words."""


class Kpis(msgspec.Struct, frozen=True):
    """The figures of a period, and its worst sources."""

    since: datetime
    until: datetime
    operators: int
    alarms: int
    annunciations: int
    figures: tuple[Figure, ...]
    top: tuple[Source, ...]
    chattering: tuple[Source, ...]

    def get(self, name: str) -> Figure:
        """One figure. Raises KeyError for a name that there is not."""
        try:
            return next(figure for figure in self.figures if figure.name == name)
        except StopIteration:
            raise KeyError(name) from None

    @property
    def outside(self) -> list[Figure]:
        """The figures that miss their target."""
        return [figure for figure in self.figures if figure.inside is False]


def kpis_of(
    facts: Sequence[AlarmFacts], holds: HoldCounts, since: datetime, until: datetime, operators: int = 1
) -> Kpis:
    """The figures of the alarms that were told, told again, or stood between `since` and `until`.

    `operators`: how many people shared them. Raises ValueError for a period that is none, or nobody.
    """
    if until <= since or operators < 1:
        raise ValueError("a period ends after it begins, and somebody looks at its alarms")
    told = [(fact, [at for at in fact.annunciated if since <= at < until]) for fact in facts]
    told = [(fact, times) for fact, times in told if times]
    times = sorted(at for _, ats in told for at in ats)
    sources = _sources(told, len(times))
    figures = (
        *_rates(times, since, until, operators),
        *_priorities(Counter(fact.priority for fact, ats in told for _ in ats), len(times)),
        *_stale(facts, since, until, operators),
        *_worst(sources, len(times)),
        *_delays("acknowledge", [(f.acknowledged_at - f.annunciated[0]) for f, _ in told if f.acknowledged_at]),
        *_delays("clear", [(f.cleared_at - f.annunciated[0]) for f, _ in told if f.cleared_at]),
        *_labels(Counter(fact.label for fact, _ in told if fact.label)),
        Figure("suppressed", holds.suppressed, "alarms"),
        Figure("shelved", holds.shelved, "alarms"),
        Figure("out_of_service", holds.out_of_service, "alarms"),
    )
    chattering = tuple(source for source in sources if source.chatters)
    return Kpis(since, until, operators, len(told), len(times), figures, tuple(sources[:10]), chattering[:50])


def _rates(times: Sequence[datetime], since: datetime, until: datetime, operators: int) -> Iterable[Figure]:
    slots = max(1, -(-(until - since) // SLOT))
    by_slot = Counter((at - since) // SLOT for at in times)
    most = max(by_slot.values(), default=0) / operators
    mean = len(times) / ((until - since) / SLOT) / operators
    full = sum(count / operators > STARTS_ABOVE for count in by_slot.values())
    stood = sum(((end or until) - start for start, end in floods(times, until)), timedelta())
    yield Figure("alarms_per_10min_mean", mean, "a operator", "≤ 1", mean <= 1)
    yield Figure("alarms_per_10min_max", most, "a operator", "≤ 10", most <= STARTS_ABOVE)
    yield _share("periods_above_10", 100 * full / slots, "< 1", full / slots < 0.01)
    yield _share("time_in_flood", 100 * (stood / (until - since)), "< 1", stood / (until - since) < 0.01)


def _priorities(counts: Counter[str], total: int) -> Iterable[Figure]:
    for priority in ("critical", "high", "medium", "low"):
        share = 100 * counts[priority] / total if total else None
        name = f"priority_{priority}"
        if share is None or total < FEW:
            yield Figure(name, share, "%", _target(priority))
        elif priority in AT_MOST:
            yield _share(name, share, _target(priority), share <= AT_MOST[priority])
        else:
            left = 100 - sum(AT_MOST.values())
            yield _share(name, share, _target(priority), share >= left)


def _target(priority: str) -> str:
    left = 100 - sum(AT_MOST.values())
    return f"≤ {AT_MOST[priority]:.0f}" if priority in AT_MOST else f"≥ {left:.0f}"


def _stale(facts: Sequence[AlarmFacts], since: datetime, until: datetime, operators: int) -> Iterable[Figure]:
    """How many stood for more than a day, of each operator, at the most at any time, and at the end."""
    steps: list[tuple[datetime, int]] = []
    standing = 0
    for fact in facts:
        if not fact.annunciated:
            continue
        begins, ends = fact.annunciated[0] + STALE, fact.cleared_at or until
        if begins >= ends or ends < since:
            continue
        steps += [(begins, 1), (ends, -1)]
        standing += ends >= until
    most = now = 0
    for _, step in sorted(steps):  # an end comes before a begin of the same time
        now += step
        most = max(most, now)
    # A target is that of one operator's desk, like those of the rates: two desks bear twice as many.
    yield Figure("stale_most", most / operators, "alarms at once", "< 5", most / operators < 5)
    yield Figure("stale_now", standing / operators, "alarms", "< 5", standing / operators < 5)


def _sources(told: Sequence[tuple[AlarmFacts, list[datetime]]], total: int) -> list[Source]:
    by_source: defaultdict[tuple[str, str], list[datetime]] = defaultdict(list)
    chattered = {(fact.rule, fact.source) for fact, _ in told if fact.chattered}
    for fact, times in told:
        by_source[fact.rule, fact.source] += times
    found = [
        Source(rule, source, len(times), 100 * len(times) / total, (rule, source) in chattered or chatters(times))
        for (rule, source), times in by_source.items()
    ]
    return sorted(found, key=lambda source: (-source.count, source.rule, source.source))


def chatters(times: Iterable[datetime]) -> bool:
    """Whether an alarm came three times or more within a minute."""
    ordered = sorted(times)
    return any(last - first <= WITHIN for first, last in zip(ordered, ordered[CHATTERS - 1 :], strict=False))


def _worst(sources: Sequence[Source], total: int) -> Iterable[Figure]:
    count = sum(source.chatters for source in sources)
    yield Figure("chattering_sources", count, "sources", "0", count == 0)
    share = sum(source.share for source in sources[:10]) if total else None
    inside = share <= 5 if share is not None and total >= FEW else None
    yield Figure("top_ten_share", share, "%", "≤ 5", inside)


def _delays(what: str, delays: Sequence[timedelta]) -> Iterable[Figure]:
    seconds = sorted(delay.total_seconds() for delay in delays)
    yield Figure(f"{what}_median_s", median(seconds) if seconds else None, "s")
    yield Figure(f"{what}_p95_s", seconds[-(-95 * len(seconds) // 100) - 1] if seconds else None, "s")


def _labels(counts: Counter[str]) -> Iterable[Figure]:
    total = counts.total()
    for label in LABELS:
        yield Figure(f"labelled_{label}", counts[label], "alarms")
    known = counts["real"] + counts["false"]
    yield Figure("false_share", 100 * counts["false"] / known if known else None, "% of real and false")
    yield Figure("labelled", total, "alarms")


def _share(name: str, value: float, target: str, inside: bool) -> Figure:
    return Figure(name, value, "%", target, inside)
