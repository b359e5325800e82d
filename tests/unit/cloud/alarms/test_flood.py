"""A flood begins above ten alarms in ten minutes and ends below five, as EEMUA 191 has it."""

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from cloud.alarms.flood import WITHIN, floods, is_flood

BEGAN = datetime(2026, 11, 24, 3, 0, tzinfo=UTC)
SECOND = timedelta(seconds=1)


def times(*seconds: int) -> list[datetime]:
    return [BEGAN + s * SECOND for s in seconds]


def test_ten_alarms_are_no_flood_and_eleven_are() -> None:
    assert floods(times(*range(10)), BEGAN + timedelta(hours=1)) == []
    assert floods(times(*range(11)), BEGAN + 10 * SECOND) == [(BEGAN + 10 * SECOND, None)]


def test_an_alarm_of_ten_minutes_ago_does_not_count_any_more() -> None:
    assert floods(times(0, *range(600, 610)), BEGAN + timedelta(hours=1)) == []
    assert floods(times(10, *range(600, 610)), BEGAN + 609 * SECOND) == [(BEGAN + 609 * SECOND, None)]


def test_it_stands_until_fewer_than_five_came_in_ten_minutes() -> None:
    eleven = range(11)
    ends = BEGAN + 6 * SECOND + WITHIN  # when the seventh goes out, four are left
    assert floods(times(*eleven), ends - SECOND) == [(BEGAN + 10 * SECOND, None)]
    assert floods(times(*eleven), ends) == [(BEGAN + 10 * SECOND, ends)]
    five_go_on = times(*eleven, 550, 560, 570, 580, 590)
    assert floods(five_go_on, BEGAN + timedelta(minutes=19)) == [(BEGAN + 10 * SECOND, None)]


@given(st.lists(st.integers(0, 4000), max_size=120), st.integers(0, 5000))
def test_the_whole_is_what_looking_each_second_shows(seconds: list[int], until: int) -> None:
    stands, expected = False, []
    for second in range(until + 1):
        count = sum(second - 600 < at <= second for at in seconds)
        was, stands = stands, is_flood(count, stands=stands)
        if stands and not was:
            expected.append([BEGAN + second * SECOND, None])
        elif was and not stands:
            expected[-1][1] = BEGAN + second * SECOND
    assert floods(times(*seconds), BEGAN + until * SECOND) == [tuple(flood) for flood in expected]
