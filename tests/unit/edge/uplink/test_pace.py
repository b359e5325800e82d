"""Bulk's pace: the cap holds, the window follows the link, requests take about a second."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.uplink.pace import (
    BURST_S,
    MAX_REQUEST_BYTES,
    MIN_REQUEST_BYTES,
    MIN_WINDOW_BYTES,
    QUEUE_S,
    REQUEST_S,
    BulkPace,
)


class Clock:
    """Time that passes where somebody sleeps."""

    def __init__(self):
        self.now = 100.0

    def time(self):
        return self.now

    async def sleep(self, seconds):
        self.now += seconds


async def nothing():
    """Nothing urgent waits."""


def paced(max_bytes_s=None, let_urgent_pass=nothing):
    clock = Clock()
    return BulkPace(let_urgent_pass, max_bytes_s, time=clock.time, sleep=clock.sleep), clock


@given(st.lists(st.tuples(st.integers(1, 20_000), st.floats(0, 3)), min_size=1, max_size=50), st.floats(2_000, 1e6))
async def test_no_more_than_the_cap_goes_in_any_time(steps, cap):
    pace, clock = paced(cap)
    began, sent = clock.now, 0
    for size, pause_s in steps:
        await pace.let_through(size)
        sent += size
        assert sent <= cap * (clock.now - began + BURST_S) + size * 1e-6 + 1
        clock.now += pause_s


async def test_without_a_cap_nothing_waits():
    pace, clock = paced()
    await pace.let_through(10**9)
    assert clock.now == 100.0


async def test_what_is_urgent_is_asked_for_before_each_part():
    asked = []

    async def let_urgent_pass():
        asked.append(1)

    pace, _ = paced(None, let_urgent_pass)
    for _ in range(3):
        await pace.let_through(1)
    assert len(asked) == 3


@pytest.mark.parametrize("link_bytes_s", [8_000, 32_000, 1_000_000, 100_000_000])
@pytest.mark.parametrize("rtt_s", [0.0001, 0.05, 0.6])
def test_the_window_comes_to_what_the_link_takes_in_its_time(link_bytes_s, rtt_s):
    pace, _ = paced()
    for _ in range(40):
        in_queue = max(0.0, pace.window_bytes / link_bytes_s - rtt_s)
        pace.drained(pace.window_bytes, max(rtt_s + in_queue, pace.window_bytes / link_bytes_s), rtt_s)
    fits = link_bytes_s * (rtt_s + QUEUE_S)
    assert min(max(fits, MIN_WINDOW_BYTES), 4 << 20) == pytest.approx(pace.window_bytes, rel=0.1)
    assert 0 < pace.part_bytes <= pace.window_bytes


@pytest.mark.parametrize("link_bytes_s", [8_000, 32_000, 300_000, 100_000_000])
def test_a_request_comes_to_what_takes_about_a_second(link_bytes_s):
    pace, _ = paced()
    for _ in range(20):
        pace.answered(pace.request_bytes, pace.request_bytes / link_bytes_s)
    wanted = min(max(link_bytes_s * REQUEST_S, MIN_REQUEST_BYTES), MAX_REQUEST_BYTES)
    assert pace.request_bytes == pytest.approx(wanted, rel=0.1)


def test_small_requests_on_a_slow_way_do_not_make_large_ones_smaller_than_they_need_be():
    pace, _ = paced()
    for _ in range(20):
        pace.answered(500, 0.5)
    assert pace.request_bytes == 64 << 10
    pace.failed()
    assert pace.request_bytes == 32 << 10
