"""Bulk bodies straight into numpy: the quick counterpart of contract.block.decode_columns."""

import msgspec
import numpy as np
import numpy.typing as npt

from contract.block import ROW_BYTES, TICK_NS, Header
from contract.errors import BlockError
from contract.messages import Quality


class Columns(msgspec.Struct, frozen=True):
    """n readings: position in the inventory, monotonic nanoseconds, value, quality; ordered by series, then time."""

    series: npt.NDArray[np.uint32]
    mono_ns: npt.NDArray[np.int64]
    value: npt.NDArray[np.float64]
    quality: npt.NDArray[np.uint8]


def _unshuffle(data: memoryview, dtype: str, items: int) -> npt.NDArray[np.generic]:
    size = np.dtype(dtype).itemsize
    planes = np.frombuffer(data, np.uint8).reshape(size, items)
    return np.ascontiguousarray(planes.T).view(dtype).reshape(items)


def decode_columns(header: Header, data: bytes, inventory_size: int) -> Columns:
    """The readings of a bulk block's body. Raises BlockError where lengths, series or qualities make no sense."""
    items = header.items
    if len(data) != items * ROW_BYTES:
        raise BlockError(f"body has {len(data)} bytes, {items} readings take {items * ROW_BYTES}")
    body = memoryview(data)
    series = _unshuffle(body[: items * 4], "<u4", items).astype(np.uint32)
    deltas = _unshuffle(body[items * 4 : items * 8], "<u4", items).astype(np.uint32)
    value = _unshuffle(body[items * 8 : items * 16], "<f8", items).astype(np.float64)
    quality = np.frombuffer(body[items * 16 :], np.uint8)
    if items:
        if int(series.max()) >= inventory_size:
            raise BlockError(f"series {int(series.max())} is not in the inventory of {inventory_size}")
        if int(quality.max()) > max(Quality):
            raise BlockError(f"quality {int(quality.max())} does not exist")
    ticks = np.cumsum(deltas, dtype=np.uint32).astype(np.int64)
    return Columns(series, header.base_ns + ticks * TICK_NS, value, quality)
