"""The bucket against services that count for themselves, in any sliding minute."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloud.notify.bucket import wait_s
from cloud.notify.channel import Limits

START = datetime(2026, 1, 1, tzinfo=UTC)
LIMITS = Limits(rate_per_min=20, rate_per_s=5)


def at(s: float) -> datetime:
    return START + timedelta(seconds=s)


@given(
    st.lists(
        st.tuples(st.floats(0, 30), st.floats(0, 20), st.floats(0, 1), st.booleans(), st.booleans()), max_size=120
    ),
    st.integers(1, 20),
    st.integers(0, 5),
)
def test_no_minute_of_the_service_has_more_than_its_rate(wishes, rate, a_second) -> None:
    """A request arrives anywhere between its start and its answer; several are under way at once."""
    limits = Limits(rate_per_min=rate, rate_per_s=a_second)
    now, ends, arrivals = 0.0, [], []
    for pause_s, lasts_s, arrives, urgent, full in wishes:
        now += pause_s
        known = [at(end) if end <= now else None for end in ends]
        if wait_s(known, at(now), limits, urgent=urgent, full=full) == 0.0:
            ends.append(now + lasts_s)
            arrivals.append(now + arrives * lasts_s)
    for last in arrivals:
        assert sum(last - 60 < one <= last for one in arrivals) <= rate
        if a_second:
            assert sum(last - 1 < one <= last for one in arrivals) <= a_second


@given(st.lists(st.floats(0, 300), max_size=60), st.booleans(), st.booleans())
def test_waiting_as_long_as_it_says_is_enough(ends, urgent, full) -> None:
    known = [at(300 - end) for end in ends]
    first = wait_s(known, at(300), LIMITS, urgent=urgent, full=full)
    assert first <= 60.0
    assert wait_s(known, at(300 + first + 0.01), LIMITS, urgent=urgent, full=full) == 0.0


def test_what_just_happened_goes_at_once_and_a_storm_is_spread() -> None:
    def waits(count: int, *, urgent: bool = True, full: bool = False) -> float:
        return wait_s([at(-1 - n / 10) for n in range(count)], START, Limits(rate_per_min=20), urgent=urgent, full=full)

    assert waits(9) == 0.0
    assert waits(10) == pytest.approx(2.0)  # every 3 s what is urgent, or as much as there is room for
    assert waits(10, urgent=False) == pytest.approx(5.0)
    assert waits(10, urgent=False, full=True) == pytest.approx(2.0)
    assert waits(16, urgent=False, full=True) > 50  # the last fifth is for what is urgent
    assert waits(16) == pytest.approx(2.0)
    assert waits(20) == pytest.approx(57.1)


def test_a_request_under_way_holds_its_token() -> None:
    limits = Limits(rate_per_min=1)
    assert wait_s([], START, limits, urgent=True, full=True) == 0.0
    assert 0 < wait_s([None], START, limits, urgent=True, full=True) < 1
    assert wait_s([at(-59)], START, limits, urgent=True, full=True) == pytest.approx(1.0)
    assert wait_s([at(-61)], START, limits, urgent=True, full=True) == 0.0
