"""Readings into PostgreSQL's binary COPY form, straight from numpy columns.

Source: PostgreSQL manual, COPY, "Binary Format". Big-endian; each field behind its length, each row behind its count of
fields; timestamps as microseconds since 2000-01-01.
"""

import io

import numpy as np
import numpy.typing as npt

_SIGNATURE = b"PGCOPY\n\xff\r\n\x00" + bytes(8)
_TRAILER = b"\xff\xff"
_EPOCH_US = 946_684_800_000_000
_ROW = np.dtype(
    [
        ("fields", ">i2"),
        ("series_bytes", ">i4"), ("series", ">i4"),
        ("at_bytes", ">i4"), ("at", ">i8"),
        ("value_bytes", ">i4"), ("value", ">f8"),
        ("quality_bytes", ">i4"), ("quality", ">i2"),
    ]
)  # fmt: skip
COLUMNS = ("series", "at", "value", "quality")


def readings_as_copy(
    series: npt.NDArray[np.int32],
    at_us: npt.NDArray[np.int64],
    value: npt.NDArray[np.float64],
    quality: npt.NDArray[np.uint8],
) -> io.BytesIO:
    """Four columns of n readings as a binary COPY of table `readings`; `at_us` in microseconds since 1970."""
    rows = np.empty(len(series), _ROW)
    rows["fields"] = 4
    rows["series_bytes"], rows["series"] = 4, series
    rows["at_bytes"], rows["at"] = 8, at_us - _EPOCH_US
    rows["value_bytes"], rows["value"] = 8, value
    rows["quality_bytes"], rows["quality"] = 2, quality
    return io.BytesIO(_SIGNATURE + rows.tobytes() + _TRAILER)
