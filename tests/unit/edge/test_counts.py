"""How long answers took of late: p99 from a few counts is near the exact one, and never below it."""

from hypothesis import given
from hypothesis import strategies as st

from edge.counts import Latencies

MS = 1_000_000


def noted(*ns):
    latencies = Latencies()
    for one in ns:
        latencies.note(one)
    return latencies


@given(st.lists(st.integers(0, 60_000 * MS), min_size=1, max_size=500))
def test_p99_is_at_most_a_quarter_of_an_octave_above_the_exact_one(ns):
    exact = sorted(ns)[max(0, -(-len(ns) * 99 // 100) - 1)] / 1e9
    assert exact <= noted(*ns).p99_s <= exact * 1.25 + 17e-6 * 1.25


def test_one_of_a_hundred_does_not_count_and_two_do():
    assert noted(*[5 * MS] * 99, 900 * MS).p99_s < 0.007
    assert noted(*[5 * MS] * 98, 900 * MS, 900 * MS).p99_s > 0.9
    assert noted().p99_s == 0.0


def test_what_is_old_fades():
    latencies = noted(*[900 * MS] * 3000)
    for _ in range(60_000):
        latencies.note(5 * MS)
    assert latencies.p99_s < 0.007
