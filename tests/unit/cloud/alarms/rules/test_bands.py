"""Bands hide nothing: whatever they leave out, judge would have made nothing of."""

import math
from itertools import pairwise

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cloud.alarms.rules.bands import Bands, band
from cloud.alarms.rules.judge import judge
from cloud.alarms.rules.memory import REST, Kept, Memory, Seen, time_of, us_of
from cloud.alarms.rules.model import Rate, Rule
from tests.unit.cloud.alarms.rules.plays import T0, level, rise, t
from tests.unit.cloud.alarms.rules.test_judge_properties import DELAYS

Row = tuple[int, int, float, int]
Held = dict[tuple[int, str], Memory]

thresholds = st.builds(
    lambda limits, side, hysteresis, on, off: level(
        *((-limit for limit in limits) if side == "below" else limits),
        side=side, hysteresis=hysteresis, on_delay_s=on, off_delay_s=off,
    ),
    st.lists(st.integers(10, 39), min_size=1, max_size=3, unique=True).map(sorted),
    st.sampled_from(["above", "below", "either"]), st.sampled_from([0.0, 0.5, 3.0]), DELAYS, DELAYS,
)  # fmt: skip
rates = st.builds(
    lambda limits, falls, over, on: rise(
        *limits, direction="falls" if falls else "rises", over_s=over, on_delay_s=on
    ),
    st.lists(st.integers(4, 39), min_size=1, max_size=2, unique=True).map(sorted),
    st.booleans(), st.integers(20, 300), DELAYS,
)  # fmt: skip
PLACES = st.lists(st.lists(st.one_of(thresholds, rates), max_size=3), min_size=1, max_size=4)
VALUES = st.one_of(
    st.integers(-40, 40).map(float),
    st.floats(-40, 40),
    st.sampled_from([math.nan, math.inf]),
    st.sampled_from([10.0, -10.0, 9.999999]),
)
BLOCKS = st.lists(  # of (place, seconds since the block before began, value, is good)
    st.lists(st.tuples(st.integers(0, 3), st.integers(0, 59), VALUES, st.sampled_from([0, 0, 0, 0, 1])), max_size=30),
    max_size=6,
)


def named(places: list[list[Rule]]) -> list[list[Rule]]:
    return [
        [msgspec.structs.replace(rule, name=f"rule-{place}-{n}") for n, rule in enumerate(rules)]
        for place, rules in enumerate(places)
    ]


@given(PLACES, BLOCKS)
@settings(max_examples=300)
def test_what_is_left_out_changes_nothing(
    drawn: list[list[Rule]], blocks: list[list[tuple[int, int, float, int]]]
) -> None:
    places = named(drawn)
    bands = Bands(places)
    held: Held = {}
    for number, block in enumerate(blocks):
        rows = sorted(
            (place, 60 * number + s, value, quality) for place, s, value, quality in block if place < len(places)
        )
        columns = (
            np.array([row[0] for row in rows], np.uint32),
            np.array([us_of(t(row[1])) for row in rows], np.int64),
            np.array([row[2] for row in rows], np.float64),
            np.array([row[3] for row in rows], np.uint8),
        )
        by_place = {
            place: [(rule, held[place, rule.name]) for rule in rules if (place, rule.name) in held]
            for place, rules in enumerate(places)
        }
        crossing = bands.crossing(*columns, {place: memories for place, memories in by_place.items() if memories})
        judged = {(place, seen.at): seen for place, seen in crossing.seen()}
        good = [row for row in rows if row[3] == 0 and math.isfinite(row[2])]
        assert all(place in {row[0] for row in good} for place, _ in judged)
        for place, seconds, value, _ in good:
            at = t(seconds)
            for rule in places[place]:
                memory = held.get((place, rule.name), REST)
                while memory.due_at is not None and memory.due_at < at:
                    memory = judge(rule, memory, None, memory.due_at).memory
                seen = judged.get((place, at))
                if seen is not None:
                    memory = judge(rule, memory, msgspec.structs.replace(seen, value=value), at).memory
                elif not (memory.due_at is not None and memory.due_at <= at):
                    left_out = judge(rule, memory, Seen(at, value, before=bands.anchor(place)), at)
                    assert (left_out.memory, left_out.verdicts) == (memory, ())
                held.pop((place, rule.name), None)
                if not memory.is_at_rest:
                    held[place, rule.name] = memory
        crossing.keep()


def columns_of(*rows: tuple[int, float, float]) -> tuple[np.ndarray, ...]:
    return (
        np.array([row[0] for row in rows], np.uint32),
        np.array([us_of(t(row[1])) for row in rows], np.int64),
        np.array([row[2] for row in rows], np.float64),
        np.zeros(len(rows), np.uint8),
    )


def test_a_quiet_block_has_nothing_to_judge_and_one_reading_beyond_a_limit_has_all_that_follow_it() -> None:
    bands = Bands([[level(10)], [], [level(20), level(5, side="below")]])
    assert not len(bands.crossing(*columns_of((0, 0, 9.9), (1, 0, 1e9), (2, 0, 10))).rows)
    crossing = bands.crossing(
        *columns_of((0, 0, 1), (0, 1, 10), (0, 2, 1), (0, 3, 2), (2, 0, 10), (2, 1, 5), (2, 2, 6))
    )
    assert crossing.rows.tolist() == [1, 2, 3, 5, 6]
    assert [(place, seen.value) for place, seen in crossing.seen()] == [(0, 10), (0, 1), (0, 2), (2, 5), (2, 6)]


def test_what_holds_has_a_band_of_its_own() -> None:
    rule = level(10, 20, hysteresis=3)
    held = {0: [(rule, Memory(stage=1, kept=Kept(raw=1)))]}
    bands = Bands([[rule]])
    assert bands.crossing(*columns_of((0, 0, 7), (0, 1, 19.9)), held).rows.tolist() == []
    assert bands.crossing(*columns_of((0, 0, 6.9)), held).rows.tolist() == [0]
    assert bands.crossing(*columns_of((0, 0, 20)), held).rows.tolist() == [0]
    assert bands.crossing(*columns_of((0, 0, 7))).rows.tolist() == []


def test_a_rule_that_has_fewer_stages_than_before_still_has_a_band() -> None:
    low, high = band(level(10), Memory(stage=3, kept=Kept(raw=3)))
    assert (low, high) == (10, np.inf)


def test_a_slow_change_is_seen_over_many_blocks_and_a_jump_after_a_gap_is_not() -> None:
    rule = rise(16, over_s=3600)
    bands = Bands([[rule]])
    found = []
    for n in range(20):
        crossing = bands.crossing(*columns_of((0, 60 * n, 20 + 0.3 * n)))
        found += [(n, seen.before) for _, seen in crossing.seen()]
        crossing.keep()
    assert [n for n, _ in found] == [4, 8, 12, 16]  # each 1.2 from the one before: a step is 1
    assert found[1][1] == (t(60 * 7), pytest.approx(21.2))
    assert isinstance(rule.form, Rate)
    after = 60 * 19 + rule.form.over_s + rule.form.gap_s + 1
    assert len(bands.crossing(*columns_of((0, after - 2, 90))).rows)
    crossing = bands.crossing(*columns_of((0, after, 90)))
    assert not len(crossing.rows)
    crossing.keep()
    assert not len(bands.crossing(*columns_of((0, after + 60, 90.5))).rows)


def test_a_block_that_is_not_committed_leaves_no_trace() -> None:
    bands = Bands([[rise(16)]])
    bands.crossing(*columns_of((0, 0, 20))).keep()
    for _ in range(2):
        crossing = bands.crossing(*columns_of((0, 10, 40)))
        assert crossing.rows.tolist() == [0]
    crossing.keep()
    assert not len(bands.crossing(*columns_of((0, 20, 40))).rows)


def test_another_process_may_have_heard_of_a_series_since() -> None:
    bands = Bands([[rise(16, over_s=600)]])
    bands.crossing(*columns_of((0, 0, 20))).keep()
    crossing = bands.crossing(*columns_of((0, 400, 50)))
    assert crossing.seen()[0][1].before == (t(0), 20)
    assert crossing.seen(lambda _: (t(390), 49.5))[0][1].before == (t(390), 49.5)


def test_the_first_readings_of_a_series_are_compared_with_each_other() -> None:
    bands = Bands([[rise(16)], [rise(16)]])
    crossing = bands.crossing(*columns_of((0, 0, 20), (0, 5, 20.5), (0, 10, 40), (1, 0, 7)))
    assert [(place, seen.at, seen.before) for place, seen in crossing.seen()] == [(0, t(10), (t(0), 20))]


def test_times_come_back_as_they_were() -> None:
    assert all(time_of(us_of(t(a))) == t(a) for a, _ in pairwise((0, 0.000001, -5.5, 1e9)))
    assert us_of(T0) == round(T0.timestamp()) * 10**6
