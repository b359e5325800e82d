"""What came of a simulated month: each real fire with how fast it was told, and the KPIs beside their targets."""

from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import datetime
from pathlib import Path

import msgspec

from cloud.alarms import report as kpi_report
from cloud.alarms.kpis import Figure, Kpis
from cloud.store import Connection, alarms, kpis
from cloud.store.alarms import AlarmRow
from simulators.month.run import Played, Wish
from simulators.month.story import Story, Truth

_MOST = 1_000_000
_FIRE_RULES = frozenset({"smoke", "fire"})
_PER_ESTATE = frozenset({
    "alarms_per_10min_mean", "alarms_per_10min_max", "periods_above_10", "time_in_flood", "chattering_sources",
    "stale_most", "stale_now",
})  # fmt: skip
"""What one estate's month can say. Shares cannot: of a hundred alarms, ten sources are always more than 5 %."""


class FireSeen(msgspec.Struct, frozen=True):
    """A real fire of the story: when somebody was told, and when a second device confirmed it; None: never."""

    estate: str
    at: datetime
    devices: int
    raised_after_s: float | None
    confirmed_after_s: float | None


class Worst(msgspec.Struct, frozen=True):
    """A figure of the one estate that is worst by it."""

    estate: str
    figure: Figure


class Outcome(msgspec.Struct, frozen=True):
    """What came of a month. `by_rule`: alarms told by rule and priority."""

    wish: Wish
    operators: int
    said: int
    told: int
    fires: tuple[FireSeen, ...]
    kpis: Kpis
    worst: tuple[Worst, ...]
    by_rule: dict[str, int]
    critical_untested: float = 0.0
    """Share of critical annunciations in per cent, without those of alarms that people labelled a test. No target."""

    @property
    def missed(self) -> list[FireSeen]:
        """The fires of which nobody was told."""
        return [fire for fire in self.fires if fire.raised_after_s is None]

    @property
    def outside(self) -> list[str]:
        """What misses its target, overall or in an estate."""
        found = [f"{figure.name}, all estates" for figure in self.kpis.outside]
        return found + [f"{one.figure.name}, {one.estate}" for one in self.worst if one.figure.inside is False]

    @property
    def is_good(self) -> bool:
        """Whether no fire was missed and each figure is inside its target."""
        return not self.missed and not self.outside


async def outcome(connection: Connection, wish: Wish, played: Played, operators: int) -> Outcome:
    """Counts what came of a month that `operators` people shared; each estate is looked at as one person's."""
    estates = list(played.stories)
    rows = [
        *await alarms.list_active(connection, estates, _MOST),
        *await alarms.list_recent(connection, estates, _MOST),
    ]
    told = [row for row in rows if row.id in played.told]
    fires = [
        fire
        for estate, story in played.stories.items()
        for fire in fires_seen(
            story, estate, told, {device: key for device, (of, key) in played.devices.items() if of == estate}
        )
    ]
    found = await kpi_report.report(connection, estates, played.since, played.until, operators)
    single = {
        story.estate.name: await kpi_report.report(connection, [estate], played.since, played.until)
        for estate, story in played.stories.items()
    }
    counts = Counter(f"{row.rule} {row.priority}" for row in told)
    return Outcome(
        wish, operators, played.said, len(played.told), tuple(fires), found, worst_of(single),
        dict(counts.most_common()), await _critical_untested(connection, played),
    )  # fmt: skip


async def _critical_untested(connection: Connection, played: Played) -> float:
    facts = await kpis.facts(connection, list(played.stories), played.since, played.until)
    counts = Counter[str]()
    for fact in facts:
        if fact.label != "test":
            counts[fact.priority] += sum(played.since <= at < played.until for at in fact.annunciated)
    return 100 * counts["critical"] / counts.total() if counts else 0.0


def fires_seen(story: Story, estate: int, told: Sequence[AlarmRow], keys: dict[int, str]) -> Iterable[FireSeen]:
    """How each fire of an estate was told."""
    for fire in story.fires:
        detectors = [device for device in story.estate.devices if device.key in fire.devices]
        place = f"place:{estate}/{detectors[0].building}/{detectors[0].unit}"
        raised = _first(
            fire, [row for row in told if row.rule in _FIRE_RULES and keys.get(row.device or 0) in fire.devices]
        )
        confirmed = _first(fire, [row for row in told if row.rule == "fire_confirmed" and row.source == place])
        yield FireSeen(story.estate.name, fire.at, len(detectors), raised, confirmed)


def _first(fire: Truth, rows: Iterable[AlarmRow]) -> float | None:
    """Seconds until the first that was told while it burned; 0 for one that stood already."""
    stood = [row for row in rows if row.created_at <= fire.until and (row.ended_at is None or row.ended_at > fire.at)]
    return min((max(0.0, (row.created_at - fire.at).total_seconds()) for row in stood), default=None)


def worst_of(single: dict[str, Kpis]) -> tuple[Worst, ...]:
    """Of each figure that an estate alone can say, the estate with the highest."""
    return tuple(
        Worst(*max(
            ((estate, of.get(name)) for estate, of in single.items()), key=lambda one: one[1].value or 0.0,
        ))
        for name in sorted(_PER_ESTATE)
    )  # fmt: skip


def lines(found: Outcome) -> Iterable[str]:
    """It as text for a terminal."""
    wish = found.wish
    yield f"{wish.estates} estates, {wish.days} days, seed {wish.seed}: {found.said:,} told, {found.told:,} alarms"
    yield f"Real fires: {len(found.fires)}, missed: {len(found.missed)}"
    for fire in found.fires:
        raised, confirmed = _s(fire.raised_after_s), _s(fire.confirmed_after_s)
        yield f"  {fire.estate} {fire.at:%m-%d %H:%M}Z  raised after {raised}  confirmed after {confirmed}"
    yield f"KPIs of all estates, {found.operators} operators (EEMUA 191, ISA-18.2):"
    for name, value, unit, target, met in kpi_report.rows_of(found.kpis):
        yield f"  {name:<24}{value:>10} {unit:<22}{target:<7}{met}"
    yield "Worst estate, as one person's:"
    for one in found.worst:
        met = "OUTSIDE" if one.figure.inside is False else "inside"
        yield f"  {one.figure.name:<24}{one.figure.value or 0:>10.3g} {one.figure.target:<7}{met:<9}{one.estate}"
    yield "Worst sources:"
    for source in found.kpis.top:
        yield f"  {source.rule:<18}{source.count:>5} {source.share:>6.2f} %  {source.name}"
    yield "Chattering: " + (", ".join(f"{one.rule} {one.name}" for one in found.kpis.chattering) or "none")
    yield f"Critical without what was labelled a test: {found.critical_untested:.3g} % of the annunciations left"
    yield "By rule: " + ", ".join(f"{name} {count}" for name, count in found.by_rule.items())
    yield "Outside: " + ("; ".join(found.outside) or "nothing")


def _s(seconds: float | None) -> str:
    return "NEVER" if seconds is None else f"{seconds:6.1f} s"


def write(found: Outcome, path: Path) -> None:
    """It as a file, for whoever compares."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(msgspec.json.format(msgspec.json.encode(found), indent=1))
