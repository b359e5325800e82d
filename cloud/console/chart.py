"""A curve as the page draws it: columns with gaps as nulls, limits, events; and the same as rows of a table."""

import math
from collections.abc import Sequence
from datetime import UTC, datetime

import msgspec

from cloud.console.data import Series
from cloud.console.words import Voice
from cloud.console.words.points import number
from cloud.console.words.times import Moment, moment


class Limit(msgspec.Struct, frozen=True):
    """A value that an alarm holds the curve against; drawn dashed in its priority's colour."""

    value: float
    priority: str
    word: str


class Mark(msgspec.Struct, frozen=True):
    """Something that happened: a tick on the time axis with a word."""

    t: float
    word: str


class Chart(msgspec.Struct, frozen=True):
    """What chart.js draws (JSON). `t` in Unix seconds; null in `low`, `high` and `mean` is a gap."""

    label: str
    unit: str
    since: float
    until: float
    t: list[float]
    low: list[float | None]
    high: list[float | None]
    mean: list[float | None]
    limits: tuple[Limit, ...] = ()
    marks: tuple[Mark, ...] = ()


class TableRow(msgspec.Struct, frozen=True):
    """A part of the curve in figures; empty cells where nothing was heard."""

    at: Moment
    low: str
    mean: str
    high: str


TABLE_ROWS = 12
"""How many rows tell a curve to somebody who cannot see it."""


def chart(
    label: str,
    unit: str,
    window: tuple[datetime, datetime],
    series: Series,
    limits: tuple[Limit, ...] = (),
    marks: tuple[Mark, ...] = (),
) -> Chart:
    """The curve over `window`, with a null wherever two neighbours are further apart than the series allows."""
    t: list[float] = []
    columns: tuple[list[float | None], ...] = ([], [], [])
    for at, *values in zip(series.t, series.low, series.high, series.mean, strict=True):
        if t and at - t[-1] > series.gap_s:
            t.append(t[-1] + series.gap_s)
            for column in columns:
                column.append(None)
        t.append(at)
        for column, value in zip(columns, values, strict=True):
            column.append(value if math.isfinite(value) else None)
    since, until = (moment.timestamp() for moment in window)
    low, high, mean = columns
    return Chart(label, unit, since, until, t, low, high, mean, limits, marks)


def table(voice: Voice, window: tuple[datetime, datetime], series: Series) -> tuple[TableRow, ...]:
    """The curve in TABLE_ROWS equal parts, the youngest first; mean is that of the buckets' means."""
    since, until = (at.timestamp() for at in window)
    step = (until - since) / TABLE_ROWS
    parts: list[list[int]] = [[] for _ in range(TABLE_ROWS)]
    for index, at in enumerate(series.t):
        if since <= at <= until:
            parts[min(int((at - since) / step), TABLE_ROWS - 1)].append(index)
    rows = (_row(voice, since + part * step, series, indexes) for part, indexes in enumerate(parts))
    return tuple(rows)[::-1]


def _row(voice: Voice, start: float, series: Series, indexes: Sequence[int]) -> TableRow:
    at = moment(voice, datetime.fromtimestamp(start, UTC))
    if not indexes:
        return TableRow(at, "", "", "")
    mean = sum(series.mean[i] for i in indexes) / len(indexes)
    return TableRow(
        at,
        number(min(series.low[i] for i in indexes)),
        number(mean),
        number(max(series.high[i] for i in indexes)),
    )
