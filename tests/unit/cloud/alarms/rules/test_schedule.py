"""Times of the day, days of the week, days off, summer time; and what rules make of their edges."""

from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cloud.alarms.rules.calendars import load_calendar
from cloud.alarms.rules.load import pack
from cloud.alarms.rules.model import DAYS, Count, Schedule
from cloud.alarms.rules.schedule import LOOKS_AHEAD, WEEKENDS, Calendar, counts, next_change
from contract.errors import ConfigError
from tests.unit.cloud.alarms.rules.plays import Play, level, pressed, rule_with, s, smoke, t

SHANGHAI, BERLIN = ZoneInfo("Asia/Shanghai"), ZoneInfo("Europe/Berlin")
NIGHT = Schedule(from_="23:00", to="06:00")


def at(text: str, zone: ZoneInfo = SHANGHAI) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=zone).astimezone(UTC)


def test_a_night_goes_over_midnight_and_belongs_to_the_day_it_began() -> None:
    friday_night = Schedule(from_="23:00", to="06:00", days=["fri"])
    inside = ["2026-11-27T23:00", "2026-11-28T00:00", "2026-11-28T05:59"]
    outside = ["2026-11-27T22:59", "2026-11-27T05:00", "2026-11-28T06:00", "2026-11-28T23:00"]
    assert all(counts(friday_night, at(text), SHANGHAI, WEEKENDS) for text in inside)
    assert not any(counts(friday_night, at(text), SHANGHAI, WEEKENDS) for text in outside)


def test_without_times_it_is_the_whole_day() -> None:
    sunday = Schedule(days=["sun"])
    assert counts(sunday, at("2026-11-29T00:00"), SHANGHAI, WEEKENDS)
    assert counts(sunday, at("2026-11-29T23:59"), SHANGHAI, WEEKENDS)
    assert not counts(sunday, at("2026-11-30T00:00"), SHANGHAI, WEEKENDS)
    assert next_change(sunday, at("2026-11-29T12:00"), SHANGHAI, WEEKENDS) == at("2026-11-30T00:00")


@pytest.mark.parametrize(
    ("day", "is_off"),
    [
        ("2026-10-01", True),  # a Thursday of the National Day's week
        ("2026-10-10", False),  # a Saturday worked in exchange
        ("2026-10-11", True),
        ("2026-10-12", False),
        ("2026-02-14", False),
        ("2026-02-23", True),
        ("2027-01-01", False),  # nobody has said yet how that year is
        ("2027-01-02", True),
    ],
)
def test_days_off_are_weekends_and_holidays_without_those_worked_in_exchange(day: str, is_off: bool) -> None:
    calendar = pack().calendar
    assert calendar.is_day_off(date.fromisoformat(day)) is is_off
    noon = at(f"{day}T12:00")
    assert counts(Schedule(days_off="only"), noon, SHANGHAI, calendar) is is_off
    assert counts(Schedule(days_off="never"), noon, SHANGHAI, calendar) is not is_off
    assert counts(Schedule(), noon, SHANGHAI, calendar)


def test_an_edge_far_ahead_is_looked_for_again() -> None:
    holidays_only = Schedule(days=["thu"], days_off="only")
    now = at("2026-11-24T12:00")
    assert next_change(holidays_only, now, SHANGHAI, pack().calendar) == now + LOOKS_AHEAD


def test_the_hour_that_summer_time_leaves_out_and_the_one_it_has_twice() -> None:
    half_past_two = Schedule(from_="02:30", to="03:30")
    spring = at("2026-03-29T01:00", BERLIN)
    assert next_change(half_past_two, spring, BERLIN, WEEKENDS) == at("2026-03-29T03:00", BERLIN)
    assert next_change(half_past_two, at("2026-03-29T03:10", BERLIN), BERLIN, WEEKENDS) == at(
        "2026-03-29T03:30", BERLIN
    )
    twice = Schedule(from_="02:00", to="02:30")
    autumn = datetime(2026, 10, 24, 23, tzinfo=UTC)  # 01:00 on the wall
    edges = []
    for _ in range(4):
        autumn = next_change(twice, autumn, BERLIN, WEEKENDS)
        edges.append(autumn.strftime("%d %H:%M"))
    assert edges == ["25 00:00", "25 00:30", "25 01:00", "25 01:30"]


SCHEDULES = st.builds(
    lambda a, b, days, off: Schedule(from_=a, to=b, days=days, days_off=off),
    *[st.builds("{:02}:{:02}".format, st.integers(0, 23), st.sampled_from([0, 15, 30, 45]))] * 2,
    st.lists(st.sampled_from(DAYS), unique=True), st.sampled_from(["any", "only", "never"]),
)  # fmt: skip
CALENDAR = Calendar(frozenset({date(2026, 10, 26), date(2026, 3, 30)}), frozenset({date(2026, 10, 31)}))


@given(
    SCHEDULES,
    st.sampled_from([SHANGHAI, BERLIN, ZoneInfo("Australia/Lord_Howe"), ZoneInfo("America/St_Johns")]),
    st.sampled_from(
        [datetime(2026, 3, 28, tzinfo=UTC), datetime(2026, 10, 24, tzinfo=UTC), datetime(2026, 4, 4, tzinfo=UTC)]
    ),
    st.integers(0, 3 * 24 * 4),
)
@settings(max_examples=150, deadline=None)
def test_the_next_change_is_the_first_minute_that_differs(
    when: Schedule, zone: ZoneInfo, start: datetime, quarters: int
) -> None:
    now = start + timedelta(minutes=15 * quarters)
    change = next_change(when, now, zone, CALENDAR)
    before = counts(when, now, zone, CALENDAR)
    minute = now
    while minute < change:
        assert counts(when, minute, zone, CALENDAR) is before
        minute += timedelta(minutes=15)
    assert change == now + LOOKS_AHEAD or counts(when, change, zone, CALENDAR) is not before


# What rules make of it ------------------------------------------------------------------------------------------------
# In these plays 0 is 03:00 UTC, and the schedule is 03:10 to 03:20.

SHORT = Schedule(from_="03:10", to="03:20")


def test_a_condition_that_holds_when_the_schedule_begins_is_raised_then_and_over_when_it_ends() -> None:
    play = Play(smoke(when=SHORT)).see(0, "smoke")
    assert play.memory.due_at == t(600)
    assert play.run_timers(5000).told == [(1, 600), (0, 1200)]
    assert not play.memory.is_at_rest  # tomorrow again
    assert play.see(5001, "clear").memory.is_at_rest


def test_what_ends_before_the_schedule_begins_is_nothing() -> None:
    assert Play(smoke(when=SHORT)).see(0, "smoke").see(599, "clear").run_timers(5000).told == []


def test_a_delay_begins_with_the_schedule() -> None:
    assert Play(smoke(when=SHORT, on_delay_s=60)).see(0, "smoke").run_timers(900).told == [(1, 660)]
    assert Play(smoke(when=SHORT, on_delay_s=601)).see(0, "smoke").run_timers(5000).told == []


def test_hysteresis_goes_on_outside_the_schedule() -> None:
    assert Play(level(10, hysteresis=2, when=SHORT)).see(0, 12).see(300, 9).run_timers(900).told == [(1, 600)]
    assert Play(level(10, hysteresis=2, when=SHORT)).see(0, 12).see(300, 7).see(301, 9).run_timers(900).told == []


def test_events_count_when_they_happen_and_stand_on_after_the_schedule() -> None:
    play = Play(pressed(3600, when=SHORT)).see(0, "").see(1300, "")
    assert play.memory.is_at_rest
    play = Play(pressed(3600, when=SHORT)).see(1199, "")
    assert play.run_timers(10_000).told == [(1, 1199), (0, 1199 + 3600)]
    turned = rule_with(Count(form="count", point="pressed", times=2, within_s=600), when=SHORT)
    assert Play(turned).see(599, "").see(601, "").run_timers(5000).told == []
    assert Play(turned).see(600, "").see(601, "").run_timers(5000).told == [(1, 601), (0, 1200)]


def test_a_schedule_over_days_raises_each_night_anew() -> None:
    play = Play(level(0.02, when=Schedule(from_="01:00", to="05:00"), on_delay_s=7200), zone=SHANGHAI)
    day = 86_400
    found = play.see(0, 0.05).run_timers(2 * day).told  # 11:00 in Shanghai
    one = 14 * 3600 + 7200
    assert found == [(1, one), (0, one + 7200), (1, one + day), (0, one + 7200 + day)]
    assert s(play.memory.due_at or t(0)) > 2 * day


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("{year: 2026, source: s, off: [{name: n, from: '2026-10-07', to: '2026-10-01'}]}", "is no holiday"),
        ("{year: 2026, source: s, off: [{name: n, from: '2026-02-30', to: '2026-03-01'}]}", "no days of 2026"),
        ("{year: 2026, source: s, off: [{name: n, from: '2027-02-01', to: '2027-03-01'}]}", "no days of 2026"),
        ("{year: 2026, source: s, off: [], worked: ['2026-10-09']}", "no weekend day"),
        ("{year: 2026, source: s, off: [], worked: ['10/10/2026']}", "of another form"),
    ],
)
def test_a_calendar_is_checked(tmp_path: Path, text: str, problem: str) -> None:
    path = tmp_path / "XX.yaml"
    path.write_text(f"years: [{text}]\n", encoding="utf-8")
    with pytest.raises(ConfigError, match=problem):
        load_calendar(path)
