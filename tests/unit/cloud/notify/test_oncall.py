"""Who is on duty: over handovers, shifts, holidays, overrides, and clocks that are put forward and back."""

from datetime import UTC, datetime, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloud.notify.oncall import Override, Rotation, Schedule, on_duty, problems

ZONES = ["Asia/Shanghai", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "America/St_Johns", "UTC"]
MOMENTS = st.datetimes(datetime(2025, 1, 1), datetime(2027, 12, 31), timezones=st.just(UTC))  # noqa: DTZ001
LOCAL = st.datetimes(datetime(2025, 1, 1), datetime(2026, 6, 1)).map(lambda at: f"{at:%Y-%m-%d %H:%M}")  # noqa: DTZ001
CLOCKS = st.times().map(lambda at: f"{at:%H:%M}")
TURNS = st.sampled_from(["daily", "weekly"]) | st.integers(1, 200)
PEOPLE = st.lists(st.sampled_from("abcdef"), min_size=1, max_size=6)


def schedule(*rotations: Rotation, zone: str = "Asia/Shanghai", **more) -> Schedule:
    return Schedule(name="day and night", zone=zone, rotations=list(rotations), **more)


def local(text: str, zone: str = "Asia/Shanghai", fold: int = 0) -> datetime:
    return datetime.strptime(text, "%Y-%m-%d %H:%M").replace(tzinfo=ZoneInfo(zone), fold=fold)


@given(st.sampled_from(ZONES), LOCAL, TURNS, PEOPLE, MOMENTS)
def test_from_its_start_on_a_rotation_has_exactly_one_person_at_every_instant(zone, start, turn, people, at) -> None:
    plan = schedule(Rotation(people=people, start=start, turn=turn), zone=zone)
    who = on_duty(plan, at)
    assert (who in people) == (at >= local(start, zone).astimezone(UTC))


@given(st.sampled_from(ZONES), LOCAL, TURNS, st.integers(0, 500), st.integers(0, 59))
def test_turns_change_in_their_order_and_never_back(zone, start, turn, hours, minute) -> None:
    """Over two days in steps of ten minutes, of which one in a few hundred is the night of a clock change."""
    people = [str(n) for n in range(60)]
    plan = schedule(Rotation(people=people, start=start, turn=turn), zone=zone)
    begin = local(start, zone).astimezone(UTC) + timedelta(hours=hours, minutes=minute)
    seen = [int(on_duty(plan, begin + timedelta(minutes=10 * step)) or 0) for step in range(288)]
    assert all((b - a) % 60 in {0, 1, 2} for a, b in pairwise(seen))  # 2: a turn of an hour that did not come


@pytest.mark.parametrize("zone", [zone for zone in ZONES if zone not in {"Asia/Shanghai", "UTC"}])
def test_the_night_the_clock_is_put_back_changes_nobodys_turn_twice(zone) -> None:
    """Each minute of every change of the clock in 2026, with handovers in the hour that comes twice or not at all."""
    for handover in ("01:30", "02:00", "02:15", "02:30", "03:00"):
        plan = schedule(Rotation(people=["a", "b", "c"], start=f"2025-12-31 {handover}"), zone=zone)
        for change in clock_changes(zone, 2026):
            minutes = [on_duty(plan, change + timedelta(minutes=m)) for m in range(-180, 180)]
            assert None not in minutes
            assert sum(a != b for a, b in pairwise(minutes)) <= 1


def clock_changes(zone: str, year: int) -> list[datetime]:
    hours = [datetime(year, 1, 1, tzinfo=UTC) + timedelta(hours=h) for h in range(24 * 365)]
    offsets = [at.astimezone(ZoneInfo(zone)).utcoffset() for at in hours]
    return [b for b, (old, new) in zip(hours[1:], pairwise(offsets), strict=True) if old != new]


@given(st.sampled_from(ZONES), CLOCKS, CLOCKS, MOMENTS)
def test_a_day_and_a_night_shift_leave_no_gap_between_them(zone, morning, evening, at) -> None:
    """Two shifts that meet twice a day, whatever the clock does in between; and one of them is always meant."""
    start = "2024-12-01 00:00"
    plan = schedule(
        Rotation(people=["day"], start=start, between=[morning, evening]),
        Rotation(people=["night"], start=start, between=[evening, morning]),
        zone=zone,
    )
    assert on_duty(plan, at) in {"day", "night"}


def test_who_begins_a_night_shift_ends_it() -> None:
    plan = schedule(Rotation(people=["a", "b"], start="2026-11-02 00:00", between=["20:00", "08:00"]))
    said = [on_duty(plan, local(f"2026-11-{day} {clock}")) for day, clock in
            [("02", "19:59"), ("02", "20:00"), ("03", "03:00"), ("03", "07:59"), ("03", "08:00"), ("03", "20:00"), ("04", "07:00")]]  # fmt: skip  # noqa: E501
    assert said == [None, "a", "a", "a", None, "b", "b"]


def test_three_shifts_of_eight_hours() -> None:
    """三班倒: the first that covers a moment counts."""
    plan = schedule(Rotation(people=["早", "中", "晚"], start="2026-11-02 08:00", turn=8))
    said = [on_duty(plan, local(f"2026-11-02 {clock}")) for clock in ("08:00", "15:59", "16:00", "23:59")]
    assert said == ["早", "早", "中", "中"]
    assert on_duty(plan, local("2026-11-03 00:00")) == "晚"
    assert on_duty(plan, local("2026-11-03 08:00")) == "早"


def test_holidays_and_days_belong_to_the_day_a_shift_begins() -> None:
    plan = schedule(
        Rotation(people=["holiday"], start="2026-01-01 00:00", holidays="only", between=["20:00", "08:00"]),
        Rotation(people=["weekend"], start="2026-01-01 00:00", days=["sat", "sun"], holidays="never"),
        Rotation(people=["else"], start="2026-01-01 00:00"),
        holidays=["2026-10-01"],
    )
    assert on_duty(plan, local("2026-10-01 19:00")) == "else"
    assert on_duty(plan, local("2026-10-01 21:00")) == "holiday"
    assert on_duty(plan, local("2026-10-02 07:00")) == "holiday"
    assert on_duty(plan, local("2026-10-03 07:00")) == "weekend"
    assert on_duty(plan, local("2026-10-05 00:00")) == "else"


def test_an_override_goes_before_rotations_and_the_last_one_first() -> None:
    plan = schedule(
        Rotation(people=["a"], start="2026-11-01 08:00"),
        overrides=[
            Override(person="b", start="2026-11-02 08:00", end="2026-11-04 08:00"),
            Override(person="c", start="2026-11-03 08:00", end="2026-11-03 20:00"),
        ],
    )
    said = [on_duty(plan, local(f"2026-11-{text}")) for text in ("02 07:59", "02 08:00", "03 08:00", "03 20:00", "04 08:00")]  # fmt: skip  # noqa: E501
    assert said == ["a", "b", "c", "b", "a"]


def test_what_cannot_be_is_said() -> None:
    plan = schedule(
        Rotation(people=["a"], start="2026-02-30 08:00"),
        zone="Asia/Nowhere",
        holidays=["2026-13-01"],
        overrides=[Override(person="b", start="2026-11-03 08:00", end="2026-11-03 08:00")],
    )
    assert len(problems(plan)) == 4
    assert not problems(schedule(Rotation(people=["a"], start="2026-02-28 08:00")))
