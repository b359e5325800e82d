"""The newest readings of boxes: one row a box, arrays by ascending series (table `latest_readings`).

Whoever moves them holds the boxes' bulk cursors, so nobody else does at the same time. Measured for a box of 500
series: 0.6 ms of the server's CPU and 12 kB of WAL, against 1.5 ms and 81 kB as one row a series.
"""

from collections.abc import Collection, Mapping
from uuid import UUID

import msgspec
import numpy as np
import numpy.typing as npt

from cloud.store.copy import EPOCH_US, array_of, newest_row, rows_as_copy
from cloud.store.database import Connection
from cloud.store.sql import load_queries

_SQL = load_queries("newest")
_COLUMNS = ("gateway", "series", "at", "value", "quality")


class Newest(msgspec.Struct, frozen=True):
    """A box's newest readings, one a series, in order of series: microseconds since 1970, NaN for no value."""

    series: npt.NDArray[np.int32]
    at_us: npt.NDArray[np.int64]
    value: npt.NDArray[np.float64]
    quality: npt.NDArray[np.uint8]

    def moved_by(self, other: "Newest") -> tuple["Newest", npt.NDArray[np.int32]]:
        """These with what is as new or newer in `other`, and the series that moved by it."""
        if np.array_equal(self.series, other.series):  # the same series in each block, mostly
            newer = other.at_us >= self.at_us
            at_us = np.where(newer, other.at_us, self.at_us)
            value = np.where(newer, other.value, self.value)
            return Newest(self.series, at_us, value, np.where(newer, other.quality, self.quality)), other.series[newer]
        newer = np.ones(len(other.series), np.bool_)
        _, here, there = np.intersect1d(self.series, other.series, assume_unique=True, return_indices=True)
        newer[there] = other.at_us[there] >= self.at_us[here]
        series = np.concatenate((self.series, other.series[newer]))
        order = np.argsort(series, kind="stable")  # of two of one series the newer one stays behind the older one
        order = order[np.append(series[order][1:] != series[order][:-1], True)]
        at_us = np.concatenate((self.at_us, other.at_us[newer]))[order]
        value = np.concatenate((self.value, other.value[newer]))[order]
        quality = np.concatenate((self.quality, other.quality[newer]))[order]
        return Newest(series[order], at_us, value, quality), other.series[newer]


async def of_boxes(connection: Connection, gateways: Collection[UUID]) -> dict[UUID, Newest]:
    """The newest readings of those of the boxes that have any."""
    return {
        row["gateway"]: Newest(
            array_of(row["series"], ">i4").astype(np.int32),
            array_of(row["at"], ">i8").astype(np.int64) + EPOCH_US,
            array_of(row["value"], ">f8").astype(np.float64),
            array_of(row["quality"], ">i2").astype(np.uint8),
        )
        for row in await connection.fetch(_SQL["newest"], list(gateways))
    }


async def put(connection: Connection, boxes: Mapping[UUID, Newest]) -> None:
    """Writes the newest readings of boxes anew."""
    await connection.execute(_SQL["drop_newest"], list(boxes))
    rows = [newest_row(box, n.series, n.at_us, n.value, n.quality) for box, n in boxes.items() if len(n.series)]
    await connection.copy_to_table("latest_readings", source=rows_as_copy(rows), columns=_COLUMNS, format="binary")


NONE = Newest(np.zeros(0, np.int32), np.zeros(0, np.int64), np.zeros(0, np.float64), np.zeros(0, np.uint8))
"""Of a box that has sent no reading yet."""
