"""Rows in PostgreSQL's binary COPY form, straight from numpy columns and from blocks as they came.

Source: PostgreSQL manual, COPY, "Binary Format"; for arrays array_recv (src/backend/utils/adt/arrayfuncs.c).
Big-endian; each field behind its length, each row behind its count of fields; timestamps as microseconds since
2000-01-01. In pieces as they are asked for: a file asyncpg would read in a thread, and the event loop wait for that.
"""

import struct
from collections.abc import AsyncIterator, Iterable
from uuid import UUID

import numpy as np
import numpy.typing as npt

_SIGNATURE = b"PGCOPY\n\xff\r\n\x00" + bytes(8)
_TRAILER = b"\xff\xff"
_PIECE = 512 << 10
EPOCH_US = 946_684_800_000_000
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

_ARRAY = struct.Struct(">iiiii")
"""Of an array of one dimension: dimensions, whether it has nulls, the elements' type, how many, the first's index."""
_INT4, _FLOAT8, _INT2, _TIMESTAMPTZ = 23, 701, 21, 1184
"""The types' OIDs, which never change (pg_type.dat)."""


def readings_as_copy(
    series: npt.NDArray[np.int32],
    at_us: npt.NDArray[np.int64],
    value: npt.NDArray[np.float64],
    quality: npt.NDArray[np.uint8],
) -> AsyncIterator[bytes]:
    """Four columns of n readings as a binary COPY of table `readings`; `at_us` in microseconds since 1970."""
    rows = np.empty(len(series), _ROW)
    rows["fields"] = 4
    rows["series_bytes"], rows["series"] = 4, series
    rows["at_bytes"], rows["at"] = 8, at_us - EPOCH_US
    rows["value_bytes"], rows["value"] = 8, value
    rows["quality_bytes"], rows["quality"] = 2, quality
    return _in_pieces(b"".join((_SIGNATURE, rows.data, _TRAILER)))


def rows_as_copy(rows: Iterable[bytes]) -> AsyncIterator[bytes]:
    """Rows that are in COPY's form already, as one COPY."""
    return _in_pieces(b"".join((_SIGNATURE, *rows, _TRAILER)))


async def _in_pieces(data: bytes) -> AsyncIterator[bytes]:
    for start in range(0, len(data), _PIECE):
        yield data[start : start + _PIECE]


_LANDING = struct.Struct(">h i16s iq iq iq iq ii i")
LANDING_COLUMNS = ("gateway", "inventory", "offset_ns", "first_at", "last_at", "items", "block")


def landing_row(
    gateway: UUID, inventory: int, offset_ns: int, first_us: int, last_us: int, items: int, block: bytes
) -> bytes:
    """A block as a row of table `landing`; its first and last time in microseconds since 1970."""
    head = _LANDING.pack(
        7, 16, gateway.bytes, 8, inventory, 8, offset_ns, 8, first_us - EPOCH_US, 8, last_us - EPOCH_US, 4, items,
        len(block),
    )  # fmt: skip
    return head + block


def newest_row(
    gateway: UUID,
    series: npt.NDArray[np.int32],
    at_us: npt.NDArray[np.int64],
    value: npt.NDArray[np.float64],
    quality: npt.NDArray[np.uint8],
) -> bytes:
    """A box's newest readings as a row of table `latest_readings`; n of each, n at least 1."""
    parts = [struct.pack(">hi", 5, 16), gateway.bytes]
    columns = ((_INT4, ">i4", series), (_TIMESTAMPTZ, ">i8", at_us - EPOCH_US), (_FLOAT8, ">f8", value))
    for oid, dtype, column in (*columns, (_INT2, ">i2", quality)):
        elements = np.empty(len(column), [("bytes", ">i4"), ("element", dtype)])
        elements["bytes"] = np.dtype(dtype).itemsize
        elements["element"] = column
        parts += [
            struct.pack(">i", _ARRAY.size + elements.nbytes),
            _ARRAY.pack(1, 0, oid, len(column), 1),
            elements.tobytes(),
        ]
    return b"".join(parts)


def array_of(sent: bytes, dtype: str) -> npt.NDArray[np.generic]:
    """What array_send says of an array without nulls, its elements big-endian as `dtype` says, '>i8' say."""
    elements = np.frombuffer(sent, [("bytes", ">i4"), ("element", dtype)], offset=_ARRAY.size)
    return np.ascontiguousarray(elements["element"]).astype(np.dtype(dtype).newbyteorder("="))
