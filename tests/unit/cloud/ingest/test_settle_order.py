"""The order in which a batch's readings become rows is the same whether or not both keys fit in one."""

import numpy as np
import numpy.typing as npt
from hypothesis import given
from hypothesis import strategies as st

from cloud.ingest import settle

_A_DAY_US = 86_400_000_000
_times = st.integers(0, 3) | st.integers(0, _A_DAY_US) | st.integers(-(1 << 61), (1 << 61))
_series = st.integers(1, 5) | st.integers(1, (1 << 31) - 1)


@given(st.lists(st.tuples(_series, _times), max_size=30))
def test_rows_are_in_order_of_series_and_time_and_those_alike_as_they_came(pairs: list[tuple[int, int]]) -> None:
    series: npt.NDArray[np.int32] = np.array([s for s, _ in pairs], np.int32)
    at_us: npt.NDArray[np.int64] = np.array([at for _, at in pairs], np.int64)
    expected = sorted(range(len(pairs)), key=lambda n: pairs[n])
    assert settle._order(series, at_us).tolist() == expected
