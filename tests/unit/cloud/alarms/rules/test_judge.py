"""What rules make of what is seen: delays, hysteresis, stages, happenings, counts, changes, agreement."""

import math
from datetime import timedelta

import pytest

from cloud.alarms.rules.judge import LATE_US, WAITS_US
from cloud.alarms.rules.memory import Memory
from cloud.alarms.rules.model import Count, Event, KOfN, Member, Rate, Rule, Silence
from tests.unit.cloud.alarms.rules.plays import Play, level, pressed, rise, rule_with, s, smoke, t, told

WAIT_S, LATE_S = WAITS_US / 1e6, LATE_US / 1e6


def test_a_state_raises_at_its_time_and_clears_at_its_time() -> None:
    assert told(smoke(), [(0, "clear"), (5, "smoke"), (6, "smoke"), (9, "clear"), (10, "clear")]) == [(1, 5), (0, 9)]


def test_who_is_at_rest_has_nothing_to_remember() -> None:
    play = Play(smoke()).see(0, "clear")
    assert play.memory.is_at_rest
    assert not play.see(5, "smoke").memory.is_at_rest
    assert play.see(9, "clear").memory.is_at_rest


@pytest.mark.parametrize("lost", [None, math.nan, math.inf, -math.inf])
def test_what_is_lost_neither_raises_nor_clears(lost: float | None) -> None:
    play = Play(level(10)).see(0, lost)
    assert play.memory.is_at_rest
    before = play.see(1, 12).memory
    assert play.see(2, lost).memory == before
    assert play.told == [(1, 1)]


def test_a_state_told_of_a_number_is_no_alarm_and_no_accident() -> None:
    assert told(level(10), [(0, "high")]) == []
    assert told(rise(10), [(0, "high")]) == []


# Delays ---------------------------------------------------------------------------------------------------------------


def test_an_on_delay_raises_only_what_held_without_interruption() -> None:
    rule = smoke(on_delay_s=10)
    assert told(rule, [(0, "smoke"), (9.999, "clear"), (10, "smoke"), (19, "clear")], 100) == []
    assert told(rule, [(0, "smoke")], 100) == [(1, 10)]
    assert told(rule, [(0, "smoke"), (5, "smoke")], 100) == [(1, 10)]  # not begun anew


def test_what_is_lost_does_not_interrupt_a_delay() -> None:
    assert told(smoke(on_delay_s=10), [(0, "smoke"), (5, None)], 100) == [(1, 10)]


def test_a_delay_that_ran_out_between_two_readings_ran_out_then() -> None:
    samples = [(0, 12.0), (10, 13.0), (100, 1.0)]
    assert told(level(10, on_delay_s=60), samples, timers=False) == [(1, 60), (0, 100)]


def test_one_moment_before_a_delay_runs_out_is_an_end_and_that_moment_itself_is_none() -> None:
    assert told(level(10, on_delay_s=60), [(0, 12.0), (59.999, 1.0)], 500) == []
    assert told(level(10, on_delay_s=60), [(0, 12.0), (60, 1.0)], 500) == [(1, 60), (0, 60)]


def test_an_off_delay_keeps_what_flaps() -> None:
    rule = smoke(off_delay_s=30)
    flaps = [(0, "smoke"), (10, "clear"), (20, "smoke"), (30, "clear"), (59, "smoke"), (60, "clear")]
    assert told(rule, flaps, 500) == [(1, 0), (0, 90)]


def test_a_timer_that_comes_early_changes_nothing() -> None:
    play = Play(smoke(on_delay_s=10)).see(0, "smoke")
    before = play.memory
    assert play.fire(9.9).memory == before
    assert (before.pending, before.since, before.due_at) == (1, t(0), t(10))
    assert play.fire(10).told == [(1, 10)]


def test_a_timer_that_comes_late_tells_when_it_was() -> None:
    assert Play(smoke(on_delay_s=10)).see(0, "smoke").fire(45).told == [(1, 10)]


# Stages ---------------------------------------------------------------------------------------------------------------


def test_stages_worsen_and_lessen_one_by_one_or_at_once() -> None:
    rule = level(10, 20, 30)
    assert told(rule, [(0, 9), (1, 10), (2, 25), (3, 35), (4, 15), (5, 0)]) == [(1, 1), (2, 2), (3, 3), (1, 4), (0, 5)]
    assert told(rule, [(0, 40), (1, 0)]) == [(3, 0), (0, 1)]


def test_below_is_above_turned_round() -> None:
    values = [12, 10, 10.5, 11.0, 11.1, 3, 5.5, 6.1, 20]
    above = told(level(-10, -5, hysteresis=1), list(enumerate(-v for v in values)))
    assert told(level(10, 5, side="below", hysteresis=1), list(enumerate(values))) == above
    assert above == [(1, 1), (0, 4), (2, 5), (1, 7), (0, 8)]


def test_hysteresis_holds_each_stage_by_itself() -> None:
    rule = level(10, 20, hysteresis=2)
    assert told(rule, [(0, 20), (1, 18), (2, 17.9), (3, 19.9), (4, 8), (5, 7.9), (6, 9.9)]) == [(2, 0), (1, 2), (0, 5)]


def test_hysteresis_counts_while_a_delay_runs() -> None:
    assert told(level(10, hysteresis=2, on_delay_s=10), [(0, 10), (5, 8.5)], 100) == [(1, 10)]
    assert told(level(10, hysteresis=2, off_delay_s=10), [(0, 10), (5, 7), (6, 9.9)], 100) == [(1, 0), (0, 15)]


def test_each_stage_has_to_hold_for_the_delay_by_itself() -> None:
    rule = level(10, 20, 30, on_delay_s=10)
    assert told(rule, [(0, 10), (4, 20), (7, 30)], 100) == [(1, 10), (2, 14), (3, 17)]
    assert told(rule, [(0, 10), (4, 20), (7, 10)], 100) == [(1, 10)]
    assert told(rule, [(0, 30), (4, 10), (6, 30)], 100) == [(1, 10), (3, 16)]
    assert told(rule, [(0, 30), (4, 10), (6, 30)], timers=False) == []


def test_stages_lessen_each_after_its_delay() -> None:
    rule = level(10, 20, 30, off_delay_s=10)
    assert told(rule, [(0, 35), (5, 25), (9, 15), (12, 5)], 100) == [(3, 0), (2, 15), (1, 19), (0, 22)]
    assert told(rule, [(0, 35), (5, 5), (9, 25)], 100) == [(3, 0), (2, 15)]


def test_what_turns_round_on_its_way_begins_anew() -> None:
    rule = level(10, 20, on_delay_s=10, off_delay_s=10)
    assert told(rule, [(0, 10), (10, 10), (12, 0), (15, 20)], 100) == [(1, 10), (2, 25)]


# Happenings -----------------------------------------------------------------------------------------------------------


def test_an_event_stands_for_its_time() -> None:
    assert told(pressed(100), [(0, "")], 1000) == [(1, 0), (0, 100)]


def test_an_event_that_repeats_stands_on_from_the_newest_and_says_so() -> None:
    assert told(pressed(100), [(0, ""), (60, ""), (100, "")], 1000) == [(1, 0), (1, 60), (1, 100), (0, 200)]


def test_an_event_told_twice_happened_once() -> None:
    assert told(pressed(100), [(0, ""), (0, "")], 1000) == [(1, 0), (0, 100)]


def test_an_older_event_that_comes_late_does_not_shorten_a_newer_one() -> None:
    assert told(pressed(100), [(50, ""), (10, "")], timers=False) == [(1, 50)]
    play = Play(pressed(100)).see(50, "").see(10, "", now=60)
    assert play.memory.due_at == t(150)
    assert play.told == [(1, 50)]


def test_only_events_that_carry_the_fields_count() -> None:
    rule = rule_with(Event(form="event", point="access", fields={"granted": False}, stands_s=10))
    play = Play(rule).see(0, "", fields={"granted": True}).see(1, "", fields={})
    assert play.memory.is_at_rest
    assert play.see(2, "", fields={"granted": False, "reader": "in"}).told == [(1, 2)]


def turned_away(times: int = 3, within_s: float = 60) -> Rule:
    return rule_with(Count(form="count", point="access", fields={"granted": False}, times=times, within_s=within_s))


def counted(rule: Rule, at: list[float], end: float = 10_000) -> list[tuple[int, float]]:
    play = Play(rule)
    for seconds in at:
        play.see(seconds, "", fields={"granted": False})
    return play.run_timers(end).told


def test_enough_within_the_time_count_and_it_is_over_when_they_no_longer_are() -> None:
    assert counted(turned_away(), [0, 20, 50]) == [(1, 50), (0, 60)]
    assert counted(turned_away(), [0, 20, 60]) == []
    assert counted(turned_away(), [0, 20, 50, 55]) == [(1, 50), (0, 80)]
    assert counted(turned_away(), [0, 0, 0, 20]) == []  # the same one told again


def test_a_count_forgets() -> None:
    play = Play(turned_away()).see(0, "", fields={"granted": False})
    assert not play.memory.is_at_rest
    assert play.run_timers(60).memory.is_at_rest


def test_a_count_takes_times_out_of_order_and_never_holds_more_than_it_needs() -> None:
    play = Play(turned_away())
    for seconds in (40, 0, 20):
        play.see(seconds, "", now=41, fields={"granted": False})
    assert play.told == [(1, 40)]
    for i in range(500):
        play.see(41 + i / 100, "", fields={"granted": False})
    assert len(play.memory.kept.times_us) == 3


def test_a_state_counts_when_it_becomes_one_of_the_words() -> None:
    rule = rule_with(Count(form="count", point="link", words=["offline"], times=3, within_s=60))
    flaps = [(0, "offline"), (1, "offline"), (5, "online"), (6, "offline"), (7, "online"), (8, "offline")]
    assert told(rule, flaps, 1000) == [(1, 8), (0, 60)]
    play = Play(rule).see(0, "offline").run_timers(1000)
    assert play.memory.kept.inside  # else it would count again what it has counted
    assert play.see(1001, "online").memory.is_at_rest


# Changes --------------------------------------------------------------------------------------------------------------


def test_a_rise_counts_from_the_least_within_the_time() -> None:
    assert told(rise(10), [(0, 20), (30, 15), (50, 25)], 1000) == [(1, 50), (0, 110.000001)]
    assert told(rise(10), [(0, 15), (20, 16), (100, 25)]) == []
    assert told(rise(10, direction="falls"), [(0, 30), (30, 20)]) == [(1, 30)]
    assert told(rise(10, direction="falls"), [(0, 20), (30, 30)]) == []


def test_a_value_of_which_nothing_new_is_said_was_held_until_then() -> None:
    assert told(rise(10), [(0, 20), (900, 31)], 2000) == [(1, 900), (0, 960.000001)]


def test_after_a_gap_the_comparison_begins_anew() -> None:
    rule = rise(10, over_s=60)
    assert isinstance(rule.form, Rate)
    gap_s = rule.form.gap_s + 60
    assert told(rule, [(0, 20), (gap_s, 31)]) == [(1, gap_s)]
    assert told(rule, [(0, 20), (gap_s + 1, 31), (gap_s + 2, 42)]) == [(1, gap_s + 2)]


def test_a_slow_rise_is_none_and_the_same_rise_in_time_is_one() -> None:
    def ramp(step_s: float) -> list[tuple[float, float]]:
        return [(i * step_s, 20 + i) for i in range(40)]

    assert told(rise(10), ramp(8), 5000) == []
    raised = told(rise(10), ramp(5), 5000)
    assert raised[0] == (1, 50)
    assert raised[-1][0] == 0


def test_a_rise_in_many_small_steps_is_one() -> None:
    steps = [(i / 10, 20 + i / 50) for i in range(551)]
    (first, *_) = told(rise(10), steps)
    assert first[0] == 1
    assert 50 <= first[1] < 55


def test_the_window_of_changes_is_bounded() -> None:
    play = Play(rise(1000, over_s=86_400))
    for i in range(3000):
        play.see(i, i * 100 / 3 % 9_000 if i % 7 else 0.1 * i)
        assert len(play.memory.kept.window) <= 64


def test_stages_of_changes() -> None:
    assert told(rise(10, 20), [(0, 0), (1, 12), (2, 22), (3, 13), (4, 5)], 4) == [(1, 1), (2, 2), (1, 3), (0, 4)]


# Silence, agreement ---------------------------------------------------------------------------------------------------


def test_silence_counts_intervals_or_takes_the_word_of_who_watches() -> None:
    rule = rule_with(Silence(form="silence", subject="point", point="level", intervals=4))
    assert told(rule, [(0, 3.9), (10, 4), (20, 5), (30, 0)]) == [(1, 10), (0, 30)]
    link = rule_with(Silence(form="silence", subject="device"))
    assert told(link, [(0, "online"), (1, "offline"), (2, "online")]) == [(1, 1), (0, 2)]
    assert link.points == ("link",)
    assert rule.points == ("level.silent",)


CONFIRMED = rule_with(
    KOfN(
        form="k_of_n", k=2, within="unit", within_s=300,
        of=[
            Member(kind="smoke_detector", point="smoke", words=["smoke"]),
            Member(kind="manual_call_point", point="fire", words=["alarm"]),
            Member(kind="panic_button", point="pressed"),
        ],
    )
)  # fmt: skip


def agree(*said: tuple[float, str, str, str]) -> list[tuple[int, float]]:
    play = Play(CONFIRMED)
    for seconds, member, kind, value in said:
        play.see(seconds, value, member=member, kind=kind)
    return play.run_timers(10_000).told


SMOKE, CALL, PANIC = "smoke_detector", "manual_call_point", "panic_button"


def test_two_of_a_place_agree_and_one_alone_does_not() -> None:
    assert agree((0, "a", SMOKE, "smoke"), (10, "a", SMOKE, "smoke")) == []
    assert agree((0, "a", SMOKE, "smoke"), (10, "b", SMOKE, "smoke")) == [(1, 10)]
    assert agree((0, "a", SMOKE, "smoke"), (5, "a", SMOKE, "clear"), (10, "b", SMOKE, "smoke")) == []


def test_two_call_points_are_one_and_a_detector_beside_them_makes_two() -> None:
    assert agree((0, "a", CALL, "alarm"), (10, "b", CALL, "alarm")) == []
    assert agree((0, "a", CALL, "alarm"), (10, "b", CALL, "alarm"), (20, "c", SMOKE, "smoke")) == [(1, 20)]


def test_only_what_began_close_together_agrees_but_what_agreed_holds_on() -> None:
    assert agree((0, "a", SMOKE, "smoke"), (301, "b", SMOKE, "smoke")) == []
    assert agree((0, "a", SMOKE, "smoke"), (300, "b", SMOKE, "smoke")) == [(1, 300)]
    assert agree((0, "a", SMOKE, "smoke"), (290, "a", SMOKE, "smoke"), (500, "b", SMOKE, "smoke")) == []
    said = [(0.0, "a", SMOKE, "smoke"), (10.0, "b", SMOKE, "smoke"), (20.0, "a", SMOKE, "clear")]
    assert agree(*said) == [(1, 10), (0, 20)]
    assert agree(*said[:2], (9000, "c", SMOKE, "smoke"), (9001, "a", SMOKE, "clear")) == [(1, 10)]


def test_an_event_counts_for_the_time() -> None:
    assert agree((0, "a", PANIC, ""), (10, "b", SMOKE, "smoke")) == [(1, 10), (0, 300)]
    assert agree((0, "a", PANIC, ""), (300, "b", SMOKE, "smoke")) == []


def test_who_agrees_is_bounded() -> None:
    play = Play(CONFIRMED)
    for i in range(200):
        play.see(i, "smoke", member=f"series:{i}", kind=SMOKE)
    assert len(play.memory.kept.parts) <= 64
    assert play.told == [(1, 1)]


# History --------------------------------------------------------------------------------------------------------------


def test_what_is_older_than_what_was_judged_changes_nothing() -> None:
    play = Play(smoke()).see(10, "smoke")
    assert play.see(9, "clear", now=11).told == [(1, 10)]
    assert play.see(10, "clear", now=11).told == [(1, 10), (0, 10)]


def test_a_timer_of_the_clocks_does_not_make_history_of_what_was_read_before_it() -> None:
    """Readings come seconds after their time; a timer that ran meanwhile has only judged what was known."""
    play = Play(level(10, on_delay_s=60)).see(0, 12).fire(60)
    assert play.see(59, 1, now=62).told == [(1, 60), (0, 59)]


def test_what_is_ahead_of_our_clock_is_of_now() -> None:
    play = Play(level(10, on_delay_s=60)).see(3600, 12, now=0)
    assert play.memory.due_at == t(60)


def test_old_news_waits_for_its_own_end() -> None:
    now = 100_000.0
    play = Play(level(10, on_delay_s=60)).see(0, 12, now=now).see(100, 13, now=now)
    assert (play.told, play.memory.due_at) == ([], t(now + WAIT_S))
    play.see(500, 3, now=now + 1)
    (late,) = play.verdicts
    assert (late.stage, s(late.at), late.until, late.value) == (1, 60, t(500), 12)
    assert play.memory.is_at_rest


def test_old_news_without_an_end_is_raised_after_the_wait() -> None:
    now = 100_000.0
    play = Play(level(10)).see(0, 12, now=now)
    assert play.fire(now + WAIT_S - 0.001).told == []
    assert play.fire(now + WAIT_S).told == [(1, 0)]
    assert play.see(now + 40, 1).told == [(1, 0), (0, now + 40)]


def test_news_of_less_than_a_minute_is_raised_at_once() -> None:
    assert Play(level(10)).see(0, 12, now=LATE_S).told == [(1, 0)]
    assert Play(level(10)).see(0, 12, now=LATE_S + 0.001).told == []


def test_old_news_of_a_state_is_raised_at_once() -> None:
    assert Play(smoke()).see(0, "smoke", now=3600).told == [(1, 0)]


def test_old_news_that_did_not_outlast_its_delay_is_nothing_even_if_a_timer_came_between() -> None:
    now = 100_000.0
    play = Play(level(10, on_delay_s=60)).see(0, 12, now=now).fire(now + 0.3)
    assert play.memory.due_at == t(now + 0.3 + WAIT_S)
    assert play.see(30, 1, now=now + 1).told == []
    assert play.memory.is_at_rest


def test_what_stands_already_worsens_at_once() -> None:
    now = 100_000.0
    play = Play(level(10, 20)).see(0, 12, now=now).fire(now + WAIT_S)
    assert play.see(10, 22, now=now + 60).told == [(1, 0), (2, 10)]


def test_old_events_that_are_over_are_one_line_of_history() -> None:
    now = 100_000.0
    play = Play(pressed(100))
    for seconds in (0, 50, 90):
        play.see(seconds, "", now=now)
    assert play.told == []
    play.fire(now + WAIT_S)
    (late,) = play.verdicts
    assert (late.stage, s(late.at), late.until) == (1, 0, t(190))
    assert play.memory.is_at_rest


def test_an_old_event_that_still_stands_is_raised_at_once() -> None:
    assert Play(pressed(3600)).see(0, "", now=1800).told == [(1, 0)]


def test_a_memory_is_what_a_row_holds() -> None:
    """REST alone is no row; whatever is on its way has the time at which it is looked at again."""
    play = Play(level(10, 20, on_delay_s=10, off_delay_s=5))
    for seconds, value in ((0, 12), (3, 22), (12, 22), (20, 4), (22, 12), (24, 3), (40, 3)):
        memory: Memory = play.see(seconds, value).memory
        assert memory.is_at_rest or memory.stage or memory.due_at is not None
        assert (memory.pending is None) == (memory.since is None)
        assert memory.due_at is None or memory.due_at >= t(seconds) - timedelta(seconds=10)
