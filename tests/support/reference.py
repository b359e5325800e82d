"""The report policy once more, written from the profile's model and nothing of the box: what must be in the database.

In: the simulator's log of what it answered, and when the box was killed. Out, for each series, a `History`: what the
box read, run by run. `judge` then looks for a course of events within the promises that explains a series' rows.

Reports cannot be marked "must" and "may" one by one. Where a box is killed just after an answer, nobody knows whether
the state in it reached the disk; but if it did, the next run must not say it again, and if it did not, the next run
must say it. Two reports of which exactly one may be there are neither: none would be a loss, both a duplicate. So each
way it can have been is followed to its end, and a mistake is what no way explains.

No question of the simulated estate is refused, so that a point which its device refuses (reported as a fault without a
value) is none of what the log can imply; such a row is foreign here.

What is in doubt, and nothing else:
  the last answer before a kill: the box asks the next question only once the states in the answer are on disk
  an answer whose point was not asked again for as long as the driver leaves a silent unit alone: it may have come too
    late for its time-out, and then the box threw it away
  telemetry younger than the seal interval and one poll at a kill (and what the disk took to write twice, the block in
    hand and the one before it): it may be lost, and with it all that came after it
"""

import struct
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterable, Sequence
from fractions import Fraction
from itertools import pairwise
from typing import Any

import msgspec

from contract.kinds import KINDS, Lane, PointType
from contract.messages import Quality
from contract.profile import DataType, ModbusPoint
from contract.site import ResolvedDevice
from simulators.log import Answer, Entry

S = 1_000_000_000
LEFT_ALONE_S = 0.5
"""The driver's README: a unit that gave no answer in time is left alone for at least this long."""
_TICK_NS = 1_000_000
_BEAM = 4
"""How many mistakes more than the best explanation another may have and still be followed."""

Series = tuple[str, str]
Value = str | float | None


class Kill(msgspec.Struct, frozen=True):
    """A kill of the box: monotonic time of the signal, when the last answer to the dead box had been logged, and how
    long the disk took for a small write just then.
    """

    at_ns: int
    over_ns: int
    disk_ns: int = 0


class Row(msgspec.Struct, frozen=True):
    """What the database has: value, quality and time, as monotonic nanoseconds of the machine."""

    value: Value
    quality: int
    mono_ns: int


class Observation(msgspec.Struct, frozen=True):
    """One answer's value of one point. The box read it between `earliest_ns` and `latest_ns`, if it heard it.

    `sure`: the box did hear it (and, if it is a state, has it on disk). `young`: a kill came before it had to be on
    disk.
    """

    raw: float
    value: Value
    quality: int
    answered_ns: int
    earliest_ns: int
    latest_ns: int
    sure: bool
    young: bool


class History(msgspec.Struct, frozen=True):
    """What a box read of one series, run by run. `deadband` is in raw numbers."""

    device: str
    point: str
    lane: Lane
    deadband: Fraction
    heartbeat_ns: int
    runs: list[list[Observation]]


class Judgement(msgspec.Struct):
    """What is wrong with the rows of a series; `matched` pairs what is right with the answer it came from.

    `dropped` is the first of the telemetry reports of a run that were allowed to be lost with it and were.
    """

    lost: list[Observation] = []
    duplicated: list[Row] = []
    out_of_order: list[Row] = []
    foreign: list[Row] = []
    matched: list[tuple[Observation, Row]] = []
    dropped: list[Observation] = []

    @property
    def mistakes(self) -> int:
        """How many there are."""
        return len(self.lost) + len(self.duplicated) + len(self.out_of_order) + len(self.foreign)


# From the log to what the box read


def histories(
    log: Iterable[Entry], devices: Sequence[ResolvedDevice], kills: Sequence[Kill], seal_s: float
) -> dict[Series, History]:
    """What the box read of each series that was ever answered, and of which it is in doubt whether it did."""
    answers = sorted((entry for entry in log if isinstance(entry, Answer)), key=lambda answer: answer.n)
    ends = [kill.over_ns for kill in kills]
    asked_next = _asked_next(answers, ends)
    by_unit: dict[tuple[str, int], list[ResolvedDevice]] = defaultdict(list)
    for device in devices:
        by_unit[device.bus.id, device.device.unit].append(device)
    found: dict[Series, History] = {}
    for answer in answers:
        for device in by_unit[answer.bus, answer.unit]:
            for point, mapped in device.profile.points.items():
                raw = _raw(answer, device, mapped)
                if raw is None:
                    continue
                series = device.device.id, point
                if series not in found:
                    found[series] = _empty(device, point, len(kills) + 1)
                run = bisect_left(ends, answer.mono_ns)
                found[series].runs[run].append(_observe(answer, device, point, raw, asked_next[answer.n]))
    left_alone_ns = round(LEFT_ALONE_S * S)
    period_ns = {device.device.id: round(device.bus.poll_s * S) for device in devices}
    for history in found.values():
        for number, run in enumerate(history.runs):
            kill = kills[number] if number < len(kills) else None
            allowed_ns = round(seal_s * S) + period_ns[history.device]
            young_ns = kill.at_ns - allowed_ns - 2 * kill.disk_ns if kill else None
            history.runs[number] = _doubt(run, young_ns, left_alone_ns)
    return found


def _asked_next(answers: Sequence[Answer], ends: Sequence[int]) -> dict[int, int]:
    """By an answer's number, when its bus was asked the next question: the box had read the answer by then."""
    after: dict[int, int] = {}
    by_bus: dict[str, list[Answer]] = defaultdict(list)
    for answer in answers:
        by_bus[answer.bus].append(answer)
    for of_bus in by_bus.values():
        for answer, following in pairwise(of_bus):
            run = bisect_left(ends, answer.mono_ns)
            is_same_run = run == bisect_left(ends, following.mono_ns)
            after[answer.n] = following.read_ns if is_same_run else ends[run]
        after[of_bus[-1].n] = of_bus[-1].mono_ns + S
    return after


def _doubt(run: Sequence[Observation], young_ns: int | None, left_alone_ns: int) -> list[Observation]:
    """Marks what is in doubt; telemetry answered after `young_ns` need not have been sealed."""
    marked = []
    for at, now in enumerate(run):
        sure = at + 1 < len(run) and run[at + 1].earliest_ns - now.answered_ns < left_alone_ns
        young = young_ns is not None and now.answered_ns > young_ns
        marked.append(msgspec.structs.replace(now, sure=sure, young=young))
    return marked


def _empty(device: ResolvedDevice, point: str, runs: int) -> History:
    mapped = device.profile.points[point]
    is_number = KINDS[device.profile.kind].points[point].type is PointType.TELEMETRY
    return History(
        device=device.device.id,
        point=point,
        lane=Lane.BULK if is_number else Lane.URGENT,
        deadband=_exact(mapped.report.deadband) / abs(_exact(mapped.scale)) if is_number else Fraction(0),
        heartbeat_ns=round(mapped.report.heartbeat_s * S),
        runs=[[] for _ in range(runs)],
    )


def _observe(answer: Answer, device: ResolvedDevice, point: str, raw: float, next_ns: int) -> Observation:
    mapped = device.profile.points[point]
    if KINDS[device.profile.kind].points[point].type is PointType.TELEMETRY:
        value, is_good = _number(mapped, raw)
    else:
        value = mapped.states.get(int(raw))
        is_good = value is not None
    quality = Quality.GOOD if is_good else Quality.FAULT
    return Observation(raw, value, int(quality), answer.mono_ns, answer.read_ns, next_ns, sure=True, young=False)


def _number(mapped: ModbusPoint, raw: float) -> tuple[float | None, bool]:
    if raw != raw or raw in {float("inf"), -float("inf")}:
        return None, False
    exact = Fraction(raw) * _exact(mapped.scale) + _exact(mapped.offset)
    is_low = mapped.minimum is not None and exact < _exact(mapped.minimum)
    is_high = mapped.maximum is not None and exact > _exact(mapped.maximum)
    return float(exact), not (is_low or is_high)


def _exact(number: float) -> Fraction:
    """A number as it is written in the profile: 0.1 is a tenth."""
    return Fraction(repr(number))


_LAYOUT = {
    DataType.UINT16: ">H", DataType.INT16: ">h", DataType.UINT32: ">I", DataType.INT32: ">i", DataType.FLOAT32: ">f",
}  # fmt: skip


def _raw(answer: Answer, device: ResolvedDevice, mapped: ModbusPoint) -> float | None:
    """The raw value of a point in an answer, or None when the answer does not hold it."""
    read = mapped.read
    if read is None or str(read.table) != answer.table:
        return None
    start = read.address + read.stride * device.device.channel - answer.address
    size = 2 if read.type in {DataType.UINT32, DataType.INT32, DataType.FLOAT32} else 1
    if start < 0 or start + size > len(answer.values):
        return None
    words = answer.values[start : start + size]
    if read.type is DataType.BIT:
        return words[0] if read.bit is None else (words[0] >> read.bit) % 2
    (number,) = struct.unpack(_LAYOUT[read.type], struct.pack(f">{size}H", *words))
    return number


# From what the box read to what is right and wrong in the database


class _Known(msgspec.Struct, frozen=True):
    """What the box remembers of a series: its last report. `cut`: what it reports from here on dies with it."""

    raw: float | None = None
    value: Value = None
    quality: int = int(Quality.UNKNOWN)
    reported_ns: int = 0
    cut: bool = False


_Trail = tuple[Any, str, Any] | None
"""How it came to this, last first: (before, what, of what)."""
_Front = dict[tuple[int, _Known], tuple[int, _Trail]]
"""Each way it can have been so far: rows used up and what the box knows; how many mistakes that takes, and which."""


def judge(history: History, rows: Sequence[Row], slack_ns: int = 0) -> Judgement:
    """What is wrong with a series' rows, with the fewest mistakes that explain them.

    `slack_ns` is how far the box's UTC may be off; a row's time is cut down to whole milliseconds besides.
    """
    ordered = sorted(rows, key=lambda row: row.mono_ns)
    front: _Front = {(0, _Known()): (0, None)}
    for number, run in enumerate(history.runs):
        if number and history.lane is Lane.BULK:
            front = _forget(front)
        for observation in run:
            front = _step(front, history, observation, ordered, slack_ns)
    ends: list[tuple[int, _Trail]] = []
    for (used, _), (cost, trail) in front.items():
        for row in ordered[used:]:
            cost, trail = cost + 1, (trail, "extra", row)
        ends.append((cost, trail))
    return _tell(history, ordered, min(ends, key=lambda end: end[0])[1])


def _forget(front: _Front) -> _Front:
    """A new run knows nothing of telemetry."""
    fresh: _Front = {}
    for (used, _), way in front.items():
        _put(fresh, used, _Known(), *way)
    return fresh


def _put(front: _Front, used: int, known: _Known, cost: int, trail: _Trail) -> None:
    before = front.get((used, known))
    if before is None or cost < before[0]:
        front[used, known] = (cost, trail)


def _step(front: _Front, history: History, seen: Observation, rows: Sequence[Row], slack_ns: int) -> _Front:
    """All ways after one more answer."""
    after: _Front = {}
    for (used, known), (cost, trail) in front.items():
        while True:
            _hear(after, history, seen, known, used, cost, trail, rows, slack_ns)
            if used == len(rows) or rows[used].mono_ns > seen.latest_ns + slack_ns:
                break
            # Whatever else this row is, it is not of this answer.
            cost, trail, used = cost + 1, (trail, "extra", rows[used]), used + 1
    best = min(cost for cost, _ in after.values())
    return {key: way for key, way in after.items() if way[0] <= best + _BEAM}


def _hear(
    after: _Front, history: History, seen: Observation, known: _Known, used: int, cost: int, trail: _Trail,
    rows: Sequence[Row], slack_ns: int,
) -> None:  # fmt: skip
    if not seen.sure or known.cut:
        _put(after, used, known, cost, trail)
    if known.cut:
        return
    may, must = _is_news(history, seen, known)
    if not must and (seen.sure or not may):
        _put(after, used, known, cost, trail)
    if not may:
        return
    row = rows[used] if used < len(rows) else None
    if row is not None and _fits(row, seen, slack_ns):
        told = _Known(seen.raw, seen.value, seen.quality, row.mono_ns)
        _put(after, used + 1, told, cost, (trail, "match", (seen, row)))
    told = _Known(seen.raw, seen.value, seen.quality, seen.answered_ns)
    if history.lane is Lane.BULK and seen.young:
        _put(after, used, msgspec.structs.replace(told, cut=True), cost, (trail, "dropped", seen))
    _put(after, used, told, cost + 1, (trail, "lost", seen))


def _is_news(history: History, seen: Observation, known: _Known) -> tuple[bool, bool]:
    """Whether the policy may, and whether it must, report a value."""
    if known.quality != seen.quality:
        return True, True
    if history.lane is Lane.URGENT or known.raw is None or seen.value is None:
        is_changed = known.value != seen.value
    else:
        is_changed = abs(Fraction(seen.raw) - Fraction(known.raw)) > history.deadband
    due_ns = known.reported_ns + history.heartbeat_ns
    # A moment's leeway: the time of the report before is known to the millisecond.
    return is_changed or seen.latest_ns >= due_ns - _TICK_NS, is_changed or seen.earliest_ns >= due_ns + _TICK_NS


def _fits(row: Row, seen: Observation, slack_ns: int) -> bool:
    if row.quality != seen.quality or not seen.earliest_ns - _TICK_NS <= row.mono_ns + slack_ns:
        return False
    if row.mono_ns > seen.latest_ns + slack_ns:
        return False
    if isinstance(row.value, float) and isinstance(seen.value, float):
        return abs(row.value - seen.value) <= 1e-9 * max(1.0, abs(seen.value))
    return row.value == seen.value


def _tell(history: History, rows: Sequence[Row], trail: _Trail) -> Judgement:
    """The mistakes by their kind: what is missing in one place and too much in another is out of order."""
    said = Judgement()
    extra: list[Row] = []
    while trail is not None:
        trail, what, of = trail
        {"match": said.matched, "lost": said.lost, "dropped": said.dropped, "extra": extra}[what].append(of)
    for told in (said.matched, said.lost, said.dropped, extra):
        told.reverse()
    for row in extra:
        moved = next((o for o in said.lost if (o.value, o.quality) == (row.value, row.quality)), None)
        if moved is not None:
            said.lost.remove(moved)
            said.out_of_order.append(row)
        elif _is_said_already(history, row, rows, said.matched):
            said.duplicated.append(row)
        else:
            said.foreign.append(row)
    return said


def _is_said_already(
    history: History, row: Row, rows: Sequence[Row], matched: Sequence[tuple[Observation, Row]]
) -> bool:
    """Whether a row says again what another says: the same answer, or the state that was already known."""
    if any(right == row and right is not row for right in (pair[1] for pair in matched)):
        return True
    if any(_fits(row, seen, _TICK_NS) for seen, _ in matched):
        return True
    at = next(number for number, other in enumerate(rows) if other is row)
    is_same = at > 0 and (rows[at - 1].value, rows[at - 1].quality) == (row.value, row.quality)
    return history.lane is Lane.URGENT and is_same
