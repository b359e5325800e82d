"""Rows of readings made by hand for the cloud's tests."""

from collections.abc import Sequence
from datetime import datetime

import numpy as np

from cloud.store.landing import Readings


def as_readings(rows: Sequence[tuple[int, datetime, float, int]]) -> Readings:
    """Columns of (series, at, value, quality)."""
    return Readings(
        np.array([row[0] for row in rows], np.int32),
        np.array([round(row[1].timestamp() * 1e6) for row in rows], np.int64),
        np.array([row[2] for row in rows], np.float64),
        np.array([row[3] for row in rows], np.uint8),
    )
