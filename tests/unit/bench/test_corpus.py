"""The corpus is the one that it says it is; the rival that packs bits gives back what it was given."""

import hashlib
from itertools import pairwise
from statistics import stdev

from hypothesis import given
from hypothesis import strategies as st

from contract.columns import TICK_NS, Row
from contract.messages import Quality
from tests.bench.corpus import SOURCES, START_NS, corpus
from tests.bench.gorilla import gorilla_decode, gorilla_encode

_OF = corpus(5)


def test_it_is_the_same_every_time() -> None:
    digests = {hashlib.sha256(repr(corpus(2)).encode()).hexdigest() for _ in range(2)}
    assert len(digests) == 1
    assert repr(corpus(2, seed=1)) != repr(corpus(2))


def test_it_is_as_noisy_as_it_says() -> None:
    assert _OF.series == sum(count * len(sources) for _, count, sources in SOURCES) == 500
    assert _OF.noisy_share >= 0.5
    voltage = 2  # of the first meter, which reports every read
    of = [row for rows in _OF.blocks for row in rows if row.series == voltage and row.quality is Quality.GOOD]
    assert len(of) > 25
    assert 2 < stdev(row.value * 10 for row in of) < 4.5
    gaps_ms = [(b.mono_ns - a.mono_ns) / 1e6 for a, b in pairwise(of)]
    assert 15 < stdev(gap for gap in gaps_ms if gap < 11_000) < 70
    assert min(row.mono_ns for row in _OF.blocks[0]) >= START_NS


rows = st.builds(
    Row,
    st.integers(0, 3),
    st.integers(0, 2**30).map(lambda tick: tick * TICK_NS),
    st.floats(),
    st.sampled_from(Quality),
)


@given(st.lists(rows, max_size=20))
def test_gorilla_gives_back_what_it_was_given(given_rows: list[Row]) -> None:
    by_series = sorted(given_rows, key=lambda row: row.series)
    assert repr(gorilla_decode(gorilla_encode(given_rows, 0), 0)) == repr(by_series)
