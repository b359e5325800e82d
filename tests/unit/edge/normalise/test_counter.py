"""Counters: what a meter truly counted, over roll-overs, resets and odd answers."""

from hypothesis import given
from hypothesis import strategies as st

from contract.profile import Counter
from edge.normalise.counter import CountUp
from edge.seams import CounterState

S = 1_000_000_000


def counted(counter: Counter, raws: list[int], state: CounterState | None = None) -> list[float | None]:
    up = CountUp(counter, state)
    return [up.take(raw, number * S) for number, raw in enumerate(raws, 1)]


@given(
    start=st.integers(0, 999),
    steps=st.lists(st.integers(0, 20), min_size=1, max_size=200),
)
def test_a_device_that_rolls_over_is_counted_on(start: int, steps: list[int]) -> None:
    up, true = CountUp(Counter(rolls_over_at=1000, most_per_s=20)), start
    for number, step in enumerate([0, *steps], 1):
        true += step
        got = up.take(true % 1000, number * S)
        assert got is None or got == true
    assert up.take(true % 1000, 500 * S) == true, "in doubt for one read at most"


def test_a_reset_is_no_roll_over_and_is_believed_at_the_second_read() -> None:
    assert counted(Counter(rolls_over_at=1000, most_per_s=20), [500, 3, 4, 10]) == [500, None, 504, 510]


def test_without_a_range_every_fall_is_a_reset() -> None:
    assert counted(Counter(), [500, 3, 3]) == [500, None, 503]


def test_one_odd_answer_is_neither() -> None:
    assert counted(Counter(), [500, 0, 501]) == [500, None, 501]
    assert counted(Counter(most_per_s=5), [500, 9000, 502]) == [500, None, 502]


def test_a_jump_that_stays_is_believed() -> None:
    assert counted(Counter(most_per_s=5), [500, 9000, 9001]) == [500, None, 9001]


def test_what_was_carried_outlives_a_restart() -> None:
    up = CountUp(Counter())
    for number, raw in enumerate([500, 3, 4], 1):
        up.take(raw, number * S)
    assert up.state == CounterState(4, 500)
    assert counted(Counter(), [7], up.state) == [507]


def test_a_device_reset_while_the_box_was_off_is_noticed() -> None:
    assert counted(Counter(most_per_s=5), [2, 3], CounterState(last=800, carried=0)) == [None, 803]


def test_a_meter_read_long_after_a_restart_may_have_counted_much() -> None:
    assert counted(Counter(most_per_s=1), [100_000], CounterState(last=800, carried=0)) == [100_000]
