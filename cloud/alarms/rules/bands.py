"""Which readings of a block can change anything: those that leave the band in which every rule stays as it is.

Each place of a box's inventory has a band of values. A block whose readings stay in them costs a few comparisons of
whole columns, however many rules there are. What leaves its band is judged one by one, and so is what the block holds
of the same series after it. Bands hide nothing: judge() would find nothing in what they leave out.

Rules on changes need what was before: of each series at rest a process remembers one reading from which it has hardly
moved since (the anchor). A process that sees a series for the first time begins with what it sees.
"""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime

import numpy as np
import numpy.typing as npt

from cloud.alarms.rules.memory import Memory, Seen, time_of
from cloud.alarms.rules.model import Rate, Rule, Threshold

Held = Sequence[tuple[Rule, Memory]]
"""Rules of a place that are not at rest, with what they remember."""
Reading = tuple[datetime, float]
Newest = Callable[[int], Reading | None]
_NEVER = np.iinfo(np.int64).max
_LONG_AGO = -(1 << 60)
_ALWAYS = (np.inf, -np.inf)
"""The band of what has to be judged in any case: empty."""
Band = tuple[float, float]
"""The least and the most that changes nothing."""


def band(rule: Rule, memory: Memory) -> Band:
    """The values of readings that change nothing about what a rule remembers of a source."""
    form, level = rule.form, memory.kept.raw
    if isinstance(form, Threshold):
        limits = [stage.at for stage in form.stages]
        level = min(level, len(limits))
        worse = limits[level] if level < len(limits) else None
        held = limits[level - 1] if level else None
        if form.side == "either":
            if held is not None:  # it holds on two sides
                return _ALWAYS
            assert worse is not None
            most = float(np.nextafter(worse, -np.inf))
            return -most, most
        if form.side == "above":
            low = -np.inf if held is None else held - form.hysteresis
            return low, np.inf if worse is None else float(np.nextafter(worse, -np.inf))
        high = np.inf if held is None else held + form.hysteresis
        return -np.inf if worse is None else float(np.nextafter(worse, np.inf)), high
    if isinstance(form, Rate) and memory.kept.last is not None:
        near = _around(np.array([memory.kept.last[1]]), np.array([form.step]))
        return float(near[0][0]), float(near[1][0])
    return _ALWAYS


def _around(
    value: npt.NDArray[np.float64], step: npt.NDArray[np.float64]
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """The bounds of what is nearer to values than a step, and surely so."""
    slack = 4 * np.spacing(np.abs(value) + step)
    return value - step + slack, value + step - slack


class Crossing:
    """What of a block has to be judged, in the order of the block; and what to keep of it once it is committed."""

    def __init__(
        self, bands: "Bands", columns: "_Columns", rows: npt.NDArray[np.intp], begun: Mapping[int, int]
    ) -> None:
        self._bands = bands
        self._columns = columns
        self._begun = begun
        self.rows = rows
        """Rows of the block's columns, by series and time."""

    def seen(self, newest: Newest | None = None) -> list[tuple[int, Seen]]:
        """Place and what was seen there, of each row.

        `newest` tells of a place the newest reading before this block: another process may have heard of it since.
        """
        columns, found = self._columns, []
        place_before = -1
        before: Reading | None = None
        for row in self.rows.tolist():
            place = int(columns.places[row])
            if place != place_before:
                place_before, before = place, self._before(place, newest)
            at, value = time_of(int(columns.at_us[row])), float(columns.value[row])
            found.append((place, Seen(at, value, before=before)))
            before = (at, value)
        return found

    def _before(self, place: int, newest: Newest | None) -> Reading | None:
        """What a place's first reading here is compared with, where changes count."""
        if place in self._begun:
            return time_of(int(self._columns.at_us[self._begun[place]])), float(self._columns.value[self._begun[place]])
        before = self._bands.anchor(place)
        heard = newest(place) if newest is not None and before is not None else None
        return heard if heard is not None and before is not None and heard[0] > before[0] else before

    def keep(self) -> None:
        """The block is committed: what comes next is compared with it."""
        self._bands.move(self._columns, self.rows)


class _Columns:
    """The readings of a block that are good."""

    def __init__(
        self,
        places: npt.NDArray[np.uint32],
        at_us: npt.NDArray[np.int64],
        value: npt.NDArray[np.float64],
        quality: npt.NDArray[np.uint8],
    ) -> None:
        is_number = np.isfinite(value)
        if quality.any() or not is_number.all():  # what is not good neither raises nor clears
            good = (quality == 0) & is_number
            places, at_us, value = places[good], at_us[good], value[good]
        self.places, self.at_us, self.value = places, at_us, value


class Bands:
    """The bands of one inventory: `rules` has for each of its places those that judge it (empty for urgent ones)."""

    def __init__(self, rules: Sequence[Sequence[Rule]]) -> None:
        self.rules = tuple(tuple(of_place) for of_place in rules)
        self._low = np.full(len(rules), -np.inf)
        self._high = np.full(len(rules), np.inf)
        self._step = np.full(len(rules), np.inf)
        self._gap_us = np.full(len(rules), _NEVER, np.int64)
        for place, of_place in enumerate(self.rules):
            for rule in of_place:
                if isinstance(rule.form, Rate):
                    self._step[place] = min(self._step[place], rule.form.step)
                    gap_us = round((rule.form.over_s + rule.form.gap_s) * 1e6)
                    self._gap_us[place] = min(self._gap_us[place], gap_us)
                else:
                    low, high = band(rule, Memory())
                    self._low[place] = max(self._low[place], low)
                    self._high[place] = min(self._high[place], high)
        self._moving = np.isfinite(self._step)
        """Places where a change counts."""
        self._has_moving = bool(self._moving.any())
        self._anchor = np.full(len(rules), np.nan)
        self._heard_us = np.full(len(rules), _LONG_AGO, np.int64)
        """Until when a series was near its anchor."""
        self._low_now, self._high_now = self._low.copy(), self._high.copy()

    def anchor(self, place: int) -> Reading | None:
        """Until when a series at rest was near which value; None where no change counts, or nothing was heard."""
        if np.isnan(self._anchor[place]):
            return None
        return time_of(int(self._heard_us[place])), float(self._anchor[place])

    def crossing(
        self,
        places: npt.NDArray[np.uint32],
        at_us: npt.NDArray[np.int64],
        value: npt.NDArray[np.float64],
        quality: npt.NDArray[np.uint8],
        held: Mapping[int, Held] | None = None,
    ) -> Crossing:
        """What of a block has to be judged; its columns are in order of place, then time.

        `held` has, by place, what rules that are not at rest remember; the other rules of the place are at rest.
        """
        columns = _Columns(places, at_us, value, quality)
        places, value = columns.places, columns.value
        low_now, high_now = self._low_now[places], self._high_now[places]
        begun = self._begin(columns, low_now, high_now) if self._has_moving else {}
        out = (value < low_now) | (value > high_now)
        for place, memories in (held or {}).items():
            first, last = np.searchsorted(places, (place, place + 1)).tolist()
            if first == last:
                continue
            low, high = self._band(place, memories)
            here = value[first:last]
            out[first:last] = (here < low) | (here > high)
        (rows,) = np.nonzero(out)
        if len(rows):
            # What follows is compared with what these will have changed.
            first_of = np.minimum.reduceat(rows, np.nonzero(np.diff(places[rows], prepend=np.uint32(2**32 - 1)))[0])
            ends = np.searchsorted(places, places[first_of], side="right")
            rows = np.concatenate([np.arange(first, end) for first, end in zip(first_of, ends, strict=True)])
        return Crossing(self, columns, rows, begun)

    def _begin(
        self, columns: _Columns, low_now: npt.NDArray[np.float64], high_now: npt.NDArray[np.float64]
    ) -> dict[int, int]:
        """The rows, by place, of first readings that the others are compared with, where none is known from before."""
        places, found = columns.places, {}
        first = np.ones(len(places), np.bool_)
        np.not_equal(places[1:], places[:-1], out=first[1:])
        (rows,) = np.nonzero(first & self._moving[places])
        of_rows = places[rows]
        is_known = columns.at_us[rows] - self._heard_us[of_rows] <= self._gap_us[of_rows]
        for row in rows[~is_known].tolist():
            place = int(places[row])
            found[place] = row
            near = _around(columns.value[row : row + 1], self._step[place : place + 1])
            which = slice(row, int(np.searchsorted(places, place, side="right")))
            low_now[which] = max(float(self._low[place]), float(near[0][0]))
            high_now[which] = min(float(self._high[place]), float(near[1][0]))
        return found

    def _band(self, place: int, memories: Held) -> Band:
        """Where all rules of a place stay as they are."""
        known = {rule.name: memory for rule, memory in memories}
        low, high = -np.inf, np.inf
        for rule in self.rules[place]:
            memory = known.get(rule.name, Memory())
            if isinstance(rule.form, Rate):
                # Near the anchor as well: what is remembered may be at rest again by the time of a reading.
                near = _around(self._anchor[place : place + 1], self._step[place : place + 1])
                if not np.isnan(near[0][0]):
                    low, high = max(low, float(near[0][0])), min(high, float(near[1][0]))
                if memory.kept.last is None:
                    continue
            of_rule = band(rule, memory)
            low, high = max(low, of_rule[0]), min(high, of_rule[1])
        return low, high

    def move(self, columns: _Columns, rows: npt.NDArray[np.intp]) -> None:
        """Remembers what a committed block brought, where changes count; `rows` were judged."""
        if not self._has_moving or not len(columns.places):
            return
        last = np.ones(len(columns.places), np.bool_)
        np.not_equal(columns.places[1:], columns.places[:-1], out=last[:-1])
        last &= self._moving[columns.places]
        (newest,) = np.nonzero(last)
        of_newest = columns.places[newest]
        stale = columns.at_us[newest] - self._heard_us[of_newest] > self._gap_us[of_newest]
        anew = newest[stale | np.isnan(self._anchor[of_newest]) | np.isin(of_newest, columns.places[rows])]
        np.maximum.at(self._heard_us, of_newest, columns.at_us[newest])
        places = columns.places[anew]
        self._anchor[places] = columns.value[anew]
        near = _around(self._anchor[places], self._step[places])
        self._low_now[places] = np.maximum(self._low[places], near[0])
        self._high_now[places] = np.minimum(self._high[places], near[1])
