"""How much a box may send over time."""

from uuid import uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloud.ingest.allowance import ASIDE_COUNTS, RATES, Allowance, Rate
from cloud.ingest.chain import Incoming, read_block
from contract.columns import Row
from contract.kinds import Lane
from contract.messages import Quality
from tests.support.blocks import Chain

RATE = Rate(items=100, items_per_s=10, bytes=1e9, bytes_per_s=1e9)
BOX = uuid4()


def blocks(items: int) -> list[Incoming]:
    return [read_block(Chain(Lane.BULK).bulk([Row(0, n, 1.0, Quality.GOOD) for n in range(items)]))]


def test_who_sent_more_waits_as_long_as_is_said_and_nobody_else() -> None:
    allowance = Allowance(RATE)
    allowance.take(BOX, blocks(100), [], 0.0)
    assert allowance.wait_s(BOX, 0.0) == 0
    allowance.take(BOX, blocks(50), [], 0.0)
    assert allowance.wait_s(BOX, 0.0) == 5.0
    assert allowance.wait_s(BOX, 4.0) == 1.0
    assert allowance.wait_s(BOX, 5.0) == 0
    assert allowance.wait_s(uuid4(), 0.0) == 0


def test_bytes_count_as_well() -> None:
    (block,) = blocks(3)
    allowance = Allowance(Rate(items=1e9, items_per_s=1, bytes=0, bytes_per_s=len(block.raw)))
    allowance.take(BOX, [block, block], [], 0.0)
    assert allowance.wait_s(BOX, 0.0) == 2.0
    allowance.take(BOX, [block, block], [block], 0.0)  # one of them set aside
    assert allowance.wait_s(BOX, 0.0) == 3.0 + ASIDE_COUNTS


def test_boxes_that_have_all_their_allowance_again_are_forgotten() -> None:
    allowance = Allowance(RATE)
    for _ in range(50):
        allowance.take(uuid4(), blocks(1), [], 0.0)
    allowance.take(BOX, blocks(1), [], 100.0)
    assert len(allowance) == 1


@given(st.lists(st.tuples(st.integers(1, 60), st.floats(0, 20)), min_size=1, max_size=30))
def test_over_any_time_no_more_is_taken_than_the_rate_and_one_request(asked: list[tuple[int, float]]) -> None:
    allowance, now_s, taken = Allowance(RATE), 0.0, 0
    for items, after_s in asked:
        now_s += after_s
        if not allowance.wait_s(BOX, now_s):
            allowance.take(BOX, blocks(items), [], now_s)
            taken += items
    assert taken <= RATE.items + 60 + RATE.items_per_s * now_s + 1e-6


@pytest.mark.parametrize("readings", [1_000_000, RATES[Lane.BULK].items])
def test_an_honest_backlog_of_a_day_comes_in_at_once(readings: float) -> None:
    rate = RATES[Lane.BULK]
    assert readings <= rate.items
    assert readings * 25 <= rate.bytes  # of a reading as large as any


def test_a_large_box_that_was_cut_off_for_a_month_is_there_within_a_day() -> None:
    rate, live_per_s = RATES[Lane.BULK], 500 / 10
    backlog = live_per_s * 30 * 86_400
    assert (backlog - rate.items) / (rate.items_per_s - live_per_s) < 8 * 3600
