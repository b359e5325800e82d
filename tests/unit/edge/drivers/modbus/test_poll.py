"""The schedule in simulated time: minutes of a bus in milliseconds."""

import random
from collections import Counter
from collections.abc import Callable

import pytest

from contract.modbus_plan import Item, Read
from contract.profile import DataType, ModbusRead, Table
from edge.backoff import backoff_s
from edge.drivers.modbus.config import DEFAULT_TIMING
from edge.drivers.modbus.plan import planned
from edge.drivers.modbus.poll import Poll, S, Schedule

ANSWER_S = 0.002


BIT = ModbusRead(table=Table.COIL, address=0, type=DataType.BIT)


def poll_of(unit: int, period_s: float = 1.0) -> Poll:
    return Poll(unit, [planned(Read(unit, Table.COIL, 0, 1, (Item(f"d{unit}", "p", 0, BIT),)), None)], 0, period_s)


def simulate(
    units: int, period_s: float, timeout_s: float, is_silent: Callable[[int, float], bool], for_s: float
) -> tuple[Schedule, list[tuple[float, int, bool]]]:
    """Runs a bus where each answer takes ANSWER_S: (time, unit, answered) of each question."""
    random.seed(1)
    schedule = Schedule([poll_of(u, period_s) for u in range(1, units + 1)], timeout_s, DEFAULT_TIMING)
    now, asked = 0, []
    while now < for_s * S:
        poll = schedule.take(now)
        if poll is None:
            now = max(now + 1, schedule.next_ns)
            continue
        is_lost = is_silent(poll.unit, now / S)
        asked.append((now / S, poll.unit, not is_lost))
        if is_lost:
            waited = schedule.timeout_s(poll)
            now += round(waited * S)
            schedule.put_back_silent(poll, now, waited)
        else:
            now += round(ANSWER_S * S)
            schedule.answered(poll, ANSWER_S, now)
            schedule.put_back(poll, now)
    return schedule, asked


@pytest.mark.parametrize("period_s", [0.05, 0.25, 1.0])
def test_row_1_five_silent_of_ten_leave_the_others_95_percent_of_their_rate(period_s: float) -> None:
    for_s = 600
    _, asked = simulate(10, period_s, 1.0, lambda unit, _: unit > 5, for_s)
    answered = Counter(unit for _, unit, is_answered in asked if is_answered)
    for unit in range(1, 6):
        assert answered[unit] >= 0.95 * for_s / period_s
    silent = Counter(unit for _, unit, is_answered in asked if not is_answered)
    assert min(silent[unit] for unit in range(6, 11)) >= 10, "silent units are still asked now and then"


def test_row_1_units_that_die_together_cost_the_others_one_timeout_each() -> None:
    _, asked = simulate(10, 0.25, 1.0, lambda unit, t: unit > 5 and t > 60, 660)
    answered = Counter(unit for _, unit, is_answered in asked if is_answered)
    assert answered[1] >= 0.95 * 660 / 0.25


def test_a_silent_unit_that_comes_back_is_polled_at_full_rate_again() -> None:
    _, asked = simulate(10, 0.25, 1.0, lambda unit, t: unit > 8 and t < 120, 300)
    back = next(t for t, unit, is_answered in asked if unit == 10 and is_answered)
    assert back < 160
    assert sum(unit == 10 and t > 200 for t, unit, _ in asked) == pytest.approx(400, abs=2)


def test_the_period_does_not_drift_and_no_deadline_is_missed_on_a_calm_bus() -> None:
    schedule, asked = simulate(3, 0.25, 1.0, lambda *_: False, 100)
    starts = [t for t, unit, _ in asked if unit == 1]
    assert starts[0] == 0.0
    assert starts[1:] == [pytest.approx(starts[1] + 0.25 * k, abs=1e-6) for k in range(399)]
    lateness = [t - 0.25 * round(t / 0.25) for t, unit, _ in asked[3:] if unit == 3]
    assert lateness == [pytest.approx(3 * ANSWER_S)] * len(lateness), "each has a time of its own in the period"
    assert schedule.skipped == 0


def test_an_overloaded_bus_shares_the_loss_evenly_and_counts_it() -> None:
    schedule, asked = simulate(10, 0.01, 1.0, lambda *_: False, 10)
    counts = Counter(unit for _, unit, _ in asked)
    assert max(counts.values()) - min(counts.values()) <= 1
    assert schedule.skipped == pytest.approx(10 * 1000 - sum(counts.values()), abs=20)


def test_when_all_are_silent_nobody_has_to_wait_for_the_share() -> None:
    _, asked = simulate(5, 0.25, 1.0, lambda unit, t: t < 10, 60)
    back = {unit: next(t for t, u, is_answered in asked if u == unit and is_answered) for unit in range(1, 6)}
    assert max(back.values()) < 45


def test_a_slow_unit_is_found_by_a_full_wait_now_and_then() -> None:
    schedule = Schedule([poll_of(1)], 1.0, DEFAULT_TIMING)
    poll = schedule.take(0)
    assert poll is not None
    waits = []
    for _ in range(16):
        waits.append(schedule.timeout_s(poll))
        poll.failures += 1
    assert [number for number, wait in enumerate(waits) if wait == 1.0] == [0, 7, 15], "the first, then each eighth"


def test_a_quick_unit_that_falls_silent_is_waited_for_in_full_the_second_time() -> None:
    schedule = Schedule([poll_of(1)], 1.0, DEFAULT_TIMING)
    poll = schedule.take(0)
    assert poll is not None
    schedule.answered(poll, 0.002, 0)
    waits = []
    for _ in range(9):
        waits.append(schedule.timeout_s(poll))
        poll.failures += 1
    assert waits == [0.15, 1.0, *[0.05] * 5, 1.0, 0.05]


def test_a_panel_that_lost_two_answers_is_asked_again_within_seconds() -> None:
    """Its own second question waits in full, and that must not be paid for with half a minute of blindness."""
    _, asked = simulate(10, 0.25, 1.0, lambda unit, at_s: unit == 1 and 10 <= at_s < 11.0, 60)
    back = next(at_s for at_s, unit, is_answered in asked if unit == 1 and is_answered and at_s > 11)
    assert back < 18


def test_what_went_together_is_found_together() -> None:
    _, asked = simulate(30, 1.0, 0.5, lambda unit, at_s: unit > 20 and 10 <= at_s < 130, 200)
    back = {}
    for at_s, unit, is_answered in asked:
        if unit > 20 and is_answered and at_s >= 130:
            back.setdefault(unit, at_s)
    assert len(back) == 10
    assert max(back.values()) - min(back.values()) < 1.0


def test_a_unit_that_comes_and_goes_does_not_have_the_dead_asked_at_each_time() -> None:
    _, asked = simulate(12, 0.25, 1.0, lambda unit, at_s: unit > 2 or (unit == 2 and int(at_s) % 2 == 0), 300)
    dead = sum(unit > 2 for _, unit, _ in asked)
    assert dead < 10 * 300 / 5, "each about once in five seconds at most"
    assert sum(unit == 1 for _, unit, _ in asked) >= 0.9 * 300 / 0.25


def test_a_probe_waits_longer_on_a_slow_bus() -> None:
    schedule = Schedule([poll_of(1), poll_of(2)], 1.0, DEFAULT_TIMING)
    slow, silent = schedule.take(0), schedule.take(0)
    assert slow is not None
    assert silent is not None
    schedule.answered(slow, 0.2, 0)
    silent.failures = 2
    assert schedule.timeout_s(silent) == pytest.approx(0.6)


def test_back_off_doubles_is_capped_and_jittered_by_half_at_most() -> None:
    for failures, full in [(1, 1.0), (2, 2.0), (5, 16.0), (50, 30.0)]:
        waits = [backoff_s(failures, 1.0, 30.0) for _ in range(200)]
        assert min(waits) >= full / 2
        assert max(waits) <= full
        assert max(waits) - min(waits) > full / 4


def test_what_is_known_of_a_unit_outlives_a_reconnect() -> None:
    schedule = Schedule([poll_of(unit) for unit in (1, 2, 3, 4)], 1.0, DEFAULT_TIMING)
    slow, dead, new, quick = (schedule.take(0) for _ in range(4))
    assert slow is not None and dead is not None and new is not None and quick is not None  # noqa: PT018
    schedule.answered(slow, 0.4, 0)
    schedule.answered(quick, 0.002, 0)
    schedule.answered(dead, 0.002, 0)
    for _ in range(3):
        schedule.put_back_silent(dead, 0, 0.0)
        schedule.put_back_silent(new, 0, 0.0)
    schedule.renew([poll_of(unit) for unit in (1, 2, 3, 4)])
    again = {poll.unit: poll for poll in (schedule.take(S) for _ in range(4)) if poll is not None}
    assert {unit: round(schedule.timeout_s(poll), 3) for unit, poll in again.items()} == {
        1: 1.0, 2: 0.05, 3: 1.0, 4: 0.15,
    }, "five times what the slow one took; briefly; once more in full; what a quick one is given"  # fmt: skip
    assert schedule.silent_units == 2
    assert again[2].failures == 3
    assert schedule.order_timeout_s(4) == 1.0


def test_polls_of_two_periods_each_keep_theirs() -> None:
    schedule = Schedule([poll_of(1, 0.5), poll_of(1, 60.0)], 1.0, DEFAULT_TIMING)
    taken: Counter[float] = Counter()
    for now in range(0, 600 * S, S // 10):
        while (poll := schedule.take(now)) is not None:
            taken[poll.period_ns / S] += 1
            schedule.put_back(poll, now)
    assert taken == {0.5: 1200, 60.0: 10}
    assert schedule.skipped == 0


def test_a_bus_without_polls_has_nothing_due() -> None:
    schedule = Schedule([], 1.0, DEFAULT_TIMING)
    assert schedule.take(S) is None
    assert schedule.next_ns is None


def test_a_busy_unit_is_asked_again_soon_and_fails_in_the_end_without_being_silent() -> None:
    schedule = Schedule([poll_of(1, 60.0)], 1.0, DEFAULT_TIMING)
    now, asked = 0, []
    while (poll := schedule.take(now)) is not None and schedule.put_back_busy(poll, now):
        asked.append(now / S)
        now = schedule.next_ns
    assert asked == [0.0, 0.25, 0.5, 0.75]
    assert schedule.silent_units == 0
    schedule.put_back(poll, now)
    assert schedule.put_back_busy(schedule.take(schedule.next_ns), now), "the next turn may ask for time again"


def test_a_wait_cut_short_is_no_silence_until_it_happens_again_and_again() -> None:
    schedule = Schedule([poll_of(1, 60.0)], 1.0, DEFAULT_TIMING)
    now = 0
    for _ in range(DEFAULT_TIMING.cuts):
        poll = schedule.take(now)
        assert schedule.put_back_cut(poll, now)
        assert schedule.silent_units == 0
        assert schedule.next_ns - now == S, "it is not asked before all others, nor a minute later"
        now = schedule.next_ns
    assert not schedule.put_back_cut(schedule.take(now), now)
    assert schedule.skipped == DEFAULT_TIMING.cuts


def test_a_pause_that_ends_within_the_clock_s_grain_ends_now() -> None:
    schedule = Schedule([poll_of(1), poll_of(2)], 1.0, DEFAULT_TIMING)
    answering, silent = schedule.take(0), schedule.take(0)
    assert answering is not None
    assert silent is not None
    schedule.answered(answering, 0.002, 0)
    for _ in range(2):
        schedule.put_back_silent(silent, 0, 0.001)
        schedule.take(60 * S)
    schedule.put_back_silent(silent, 60 * S, 0.0003)
    for late_ns in range(0, 20_000_000, 100_000):
        schedule.add_at(silent, 60 * S)
        assert schedule.take(60 * S + late_ns) in {silent, None}


def test_a_bus_that_is_awake_asks_what_is_due_soon_rather_than_waking_for_each() -> None:
    """50 units whose turns lie 3 ms apart: one waking a round, none polled more than a little early, none left out."""
    polls = [poll_of(unit) for unit in range(1, 51)]
    schedule = Schedule(polls, 1.0, DEFAULT_TIMING)
    for poll in polls:  # the first round, in which each gets its phase
        taken = schedule.take(poll.unit * 3_000_000)
        assert taken is not None
        schedule.answered(taken, ANSWER_S, taken.unit * 3_000_000)
        schedule.put_back(taken, taken.unit * 3_000_000)
    now = 1_003_000_000
    for _ in range(100):
        wakings, asked = 0, []
        while len(asked) < 50:
            poll = schedule.take(now)
            if poll is None:
                wakings += 1
                now = schedule.next_ns
                continue
            assert -1_000_000_000 / 50 <= now - poll.due_ns <= ANSWER_S * S * 50
            asked.append(poll.unit)
            now += round(ANSWER_S * S)
            schedule.answered(poll, ANSWER_S, now)
            schedule.put_back(poll, now)
        assert sorted(asked) == list(range(1, 51))
        assert wakings <= 3  # where answers come faster than turns, a round is cut now and then
    assert schedule.skipped == 0
