"""The figures of EEMUA 191 and ISA-18.2 against examples worked out by hand."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloud.alarms.kpis import Kpis, chatters, kpis_of
from cloud.store.kpis import AlarmFacts, HoldCounts

SINCE = datetime(2026, 11, 1, tzinfo=UTC)
DAY = timedelta(days=1)
MINUTE = timedelta(minutes=1)


def fact(
    *minutes: float, rule: str = "silent", source: str = "series:1", priority: str = "low", label: str | None = None,
    acknowledged: float | None = None, cleared: float | None = None,
) -> AlarmFacts:  # fmt: skip
    at = [SINCE + minute * MINUTE for minute in minutes]
    taken, over = (None if m is None else SINCE + m * MINUTE for m in (acknowledged, cleared))
    return AlarmFacts(rule, source, priority, label, at, taken, over)


def of(facts: Sequence[AlarmFacts], days: float = 1, operators: int = 1, **holds: int) -> Kpis:
    return kpis_of(facts, HoldCounts(**holds), SINCE, SINCE + days * DAY, operators)


def value(kpis: Kpis, name: str) -> float | None:
    return kpis.get(name).value


def test_a_quiet_day_meets_every_target_it_says_anything_of() -> None:
    kpis = of([fact(10, acknowledged=11, cleared=20)])
    assert kpis.outside == []
    assert (kpis.alarms, kpis.annunciations) == (1, 1)
    assert value(kpis, "alarms_per_10min_mean") == pytest.approx(1 / 144)
    assert value(kpis, "alarms_per_10min_max") == 1
    assert kpis.get("priority_low").inside is None, "one alarm is too few to judge by"
    assert (value(kpis, "acknowledge_median_s"), value(kpis, "clear_p95_s")) == (60, 600)


def test_no_alarm_at_all() -> None:
    kpis = of([])
    assert kpis.outside == []
    assert value(kpis, "acknowledge_median_s") is value(kpis, "top_ten_share") is None


def test_rates_are_an_operators_own() -> None:
    burst = [fact(m / 10, source=f"series:{m}", cleared=60) for m in range(22)]  # within 2.2 minutes
    alone, shared = of(burst), of(burst, operators=2)
    assert (value(alone, "alarms_per_10min_max"), value(shared, "alarms_per_10min_max")) == (22, 11)
    assert value(alone, "periods_above_10") == pytest.approx(100 / 144)
    assert alone.get("periods_above_10").inside is True
    assert alone.get("alarms_per_10min_max").inside is False
    # It began with the eleventh alarm and ended when the eighteenth was ten minutes old.
    assert value(alone, "time_in_flood") == pytest.approx(100 * (1.7 + 10 - 1.0) / 1440)


def test_shares_of_priorities_count_annunciations() -> None:
    facts = [fact(*range(5), priority="critical"), fact(*range(15), priority="high")]
    facts += [fact(*range(30), priority="medium"), fact(*range(50), priority="low")]
    kpis = of(facts)
    assert [value(kpis, f"priority_{p}") for p in ("critical", "high", "medium", "low")] == [5, 15, 30, 50]
    assert all(kpis.get(f"priority_{p}").inside for p in ("critical", "high", "medium", "low"))
    worse = of([*facts, fact(60, priority="critical")])
    assert worse.get("priority_critical").inside is False
    assert worse.get("priority_low").inside is False


def test_stale_is_what_stands_for_more_than_a_day() -> None:
    facts = [fact(0, source=f"series:{n}", cleared=1440 * 2 + n) for n in range(4)]
    facts += [fact(1440 * 2 + 5), fact(0, cleared=1440)]
    kpis = of(facts, days=4)
    assert (value(kpis, "stale_most"), value(kpis, "stale_now")) == (4, 1)
    assert kpis.get("stale_most").inside is True
    assert of([*facts, fact(0)], days=4).get("stale_most").inside is False
    shared = of([*facts, fact(0)], days=4, operators=2)  # each operator has their own
    assert (value(shared, "stale_most"), value(shared, "stale_now")) == (2.5, 1)
    assert shared.get("stale_most").inside is True


def test_what_was_told_before_the_period_and_still_stands_counts_as_stale_only() -> None:
    kpis = of([fact(-3000)])
    assert (kpis.alarms, value(kpis, "stale_now")) == (0, 1)


def test_chattering_is_three_in_a_minute() -> None:  # LESSONS 19
    assert chatters([SINCE, SINCE + MINUTE / 2, SINCE + MINUTE])
    assert not chatters([SINCE, SINCE + MINUTE / 2, SINCE + MINUTE + timedelta(seconds=1)])
    apart = [fact(0, source="series:1"), fact(0.3, source="series:2"), fact(0.6, source="series:3")]
    assert value(of(apart), "chattering_sources") == 0
    again = [fact(0), fact(0.3), fact(0.6)]  # three alarms of one source, each acknowledged at once
    kpis = of(again)
    assert value(kpis, "chattering_sources") == 1
    assert [source.source for source in kpis.chattering] == ["series:1"]


def test_the_worst_sources_are_named_with_their_share() -> None:
    facts = [fact(*range(100 - n), source=f"series:{n}") for n in range(20)]
    kpis = of(facts)
    total = sum(100 - n for n in range(20))
    assert [source.source for source in kpis.top] == [f"series:{n}" for n in range(10)]
    assert kpis.top[0].share == pytest.approx(100 * 100 / total)
    assert value(kpis, "top_ten_share") == pytest.approx(100 * sum(100 - n for n in range(10)) / total)
    assert kpis.get("top_ten_share").inside is False


def test_labels_and_what_was_held_back() -> None:
    facts = [fact(n, label=label) for n, label in enumerate(["real", "false", "false", "test", "unknown", None])]
    kpis = of(facts, suppressed=7, shelved=2, out_of_service=1)
    assert [value(kpis, f"labelled_{label}") for label in ("real", "false", "test", "unknown")] == [1, 2, 1, 1]
    assert value(kpis, "false_share") == pytest.approx(200 / 3)
    assert [value(kpis, name) for name in ("suppressed", "shelved", "out_of_service")] == [7, 2, 1]


def test_what_never_came_to_people_counts_for_nothing() -> None:
    assert of([fact(cleared=5)]).annunciations == 0


@given(st.lists(st.lists(st.floats(0, 1439), min_size=1, max_size=5), max_size=40))
def test_whatever_the_alarms_shares_add_up(alarms: list[list[float]]) -> None:
    facts = [fact(*sorted(minutes), source=f"series:{n}") for n, minutes in enumerate(alarms)]
    kpis = of(facts)
    assert kpis.annunciations == sum(map(len, alarms))
    if alarms:
        assert sum(value(kpis, f"priority_{p}") or 0 for p in ("critical", "high", "medium", "low")) == pytest.approx(
            100
        )
        assert 0 < (value(kpis, "top_ten_share") or 0) <= 100.0001


def test_a_period_that_is_none_is_refused() -> None:
    with pytest.raises(ValueError, match="period"):
        kpis_of([], HoldCounts(), SINCE, SINCE)
