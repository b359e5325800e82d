"""How boxes come back: one soon, thirty thousand not at once, and nobody before the cloud said."""

import heapq
import random
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.uplink.backoff import CAP_S, FIRST_S, MOST_TOLD_S, SPREAD, Backoff
from edge.uplink.uplink import URGENT_CAP_S, URGENT_TOLD_S

BOXES = 30_000


def returns(outage_s: float, boxes: int = BOXES) -> list[float]:
    """When each box comes to a cloud that went away for all at one moment, in seconds after it is back."""
    waits = [Backoff() for _ in range(boxes)]
    due = [(backoff.next_s(), n) for n, backoff in enumerate(waits)]
    heapq.heapify(due)
    came = []
    while due:
        at, n = heapq.heappop(due)
        if at >= outage_s:
            came.append(at - outage_s)
        else:
            heapq.heappush(due, (at + waits[n].next_s(), n))
    return came


def test_thirty_thousand_boxes_come_back_from_an_hour_without_a_cloud_a_few_hundred_a_second():
    random.seed(1)
    came = returns(3600)
    a_second = Counter(int(at) for at in came)
    assert max(a_second.values()) <= 500
    assert max(came) <= CAP_S
    assert sum(a_second[s] for s in range(60)) / 60 == pytest.approx(400, rel=0.1)


def test_after_a_restart_of_ten_seconds_the_first_second_does_not_bring_all():
    random.seed(1)
    a_second = Counter(int(at) for at in returns(10))
    assert max(a_second.values()) <= BOXES / 5


def test_a_box_that_lost_its_cloud_for_a_moment_is_back_at_once():
    assert Backoff().next_s() <= FIRST_S


@given(st.floats(0.1, 1e6), st.integers(1, 20))
def test_nobody_comes_before_it_was_told_nor_all_of_them_just_then(told_s, failures):
    backoff = Backoff()
    for _ in range(failures):
        wait_s = backoff.next_s(told_s)
        assert wait_s >= min(told_s, MOST_TOLD_S)
        assert wait_s <= min(told_s, MOST_TOLD_S) + max(SPREAD * told_s, CAP_S)


def test_who_was_told_five_seconds_comes_between_five_and_what_jitter_adds():
    random.seed(1)
    came = Counter(int(4 * Backoff().next_s(5)) for _ in range(BOXES))  # in quarters of a second
    assert min(came) == 20
    assert max(came.values()) <= BOXES / 8


@given(st.one_of(st.none(), st.floats(0.1, 1e6)), st.integers(1, 20))
def test_within_a_session_urgent_waits_a_quarter_of_a_minute_at_most_or_a_minute_where_that_is_asked(told_s, failures):
    backoff = Backoff().within(URGENT_CAP_S, URGENT_TOLD_S)
    for _ in range(failures):
        wait_s = backoff.next_s(told_s)
        if told_s is None:
            assert wait_s <= URGENT_CAP_S
        else:
            assert min(told_s, URGENT_TOLD_S) <= wait_s <= (1 + SPREAD) * URGENT_TOLD_S
