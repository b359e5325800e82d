"""What the database holds after the faults, and all that is wrong with it by the reference."""

import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from datetime import datetime
from itertools import pairwise
from typing import Any

import asyncpg
import msgspec

from contract.clock import mono_ns
from contract.messages import Quality
from contract.site import LINK_HEARTBEAT_S
from tests.support.reference import History, Row, Series, judge

S = 1_000_000_000
TIME_NS = 100_000_000
"""A reading's time is at most this far from that of its answer (and what the machine owed the box just then)."""
CHATTERS_AT = 3
QUIET_NS = 60 * S
TIMER_LAG_NS = 2 * S
"""What ends by itself may have come due, and not be done yet, when it is looked at."""
EMPTY = ("events", "loss", "quarantine", "command")
"""Tables in which nothing is expected: the estate has no events, and nothing may be given up or set aside."""


# What states imply for alarms

ISA_18_2 = {
    ("NORM", "raise"): "UNACK", ("UNACK", "clear"): "RTNUN", ("RTNUN", "raise"): "UNACK", ("ACKED", "clear"): "NORM",
}  # fmt: skip
"""The lifecycle without people: what a condition that begins or ends does to an alarm."""


class Move(msgspec.Struct, frozen=True):
    """A transition of an alarm, with the time of the state that caused it."""

    alarm: str
    before: str
    event: str
    after: str
    mono_ns: int


def moves_of(rows: Sequence[Row], alarming: str, until_ns: int) -> list[tuple[str, str, str, int]]:
    """The transitions (before, event, after, time) that a point's states imply while nobody acknowledges, up to a time.

    Three raises in a minute are chattering: from then on it ends only once it has been quiet for a minute.
    """
    state, moves = "NORM", []
    came: list[int] = []
    is_chattering, clears_ns = False, until_ns + 1
    for row in [*sorted(rows, key=lambda row: row.mono_ns), None]:
        at_ns = row.mono_ns if row is not None else until_ns
        if clears_ns <= at_ns:
            moves.append((state, "clear", "RTNUN", clears_ns))
            state, is_chattering, clears_ns = "RTNUN", False, until_ns + 1
        if row is None or row.quality != Quality.GOOD:
            continue
        event = "raise" if row.value == alarming else "clear"
        if event == "clear" and is_chattering and state == "UNACK":
            clears_ns = min(clears_ns, at_ns + QUIET_NS)
            continue
        if event == "raise" and clears_ns <= until_ns:
            clears_ns = until_ns + 1
            came.append(at_ns)
            continue
        after = ISA_18_2.get((state, event))
        if after is None:
            continue
        if event == "raise":
            came.append(at_ns)
            if sum(at_ns - QUIET_NS < other for other in came) >= CHATTERS_AT and not is_chattering:
                is_chattering = True
                moves.append((state, "chattering", state, at_ns))
        moves.append((state, event, after, at_ns))
        state = after
    return moves


class Stored(msgspec.Struct):
    """What the database says, with times as monotonic nanoseconds of this machine.

    `series` is all of readings and states; `latest` the newest value of each; `moves` the transitions of each smoke
    alarm in their order; `active` how many active alarms each series has; `unexpected` rows by table; `epochs` by
    stream; `slack_ns` how far the box's own UTC may be off; `at_ns` when it was looked at.
    """

    series: dict[Series, list[Row]]
    latest: dict[Series, Row]
    moves: dict[Series, list[Move]]
    active: dict[Series, int]
    unexpected: dict[str, int]
    epochs: dict[str, int]
    slack_ns: int
    at_ns: int


class Findings(msgspec.Struct):
    """Counts of what is right and wrong, and each mistake in words.

    `reports`: rows that are right; `late`: rows whose time is too far from their answer's; `cut_at_kills`: how often
    the youngest telemetry of a series went with the box, as allowed, and how old it was at most; `doubtful`: answers of
    which it cannot be known whether the box heard them, each counted for each of its points.
    """

    reports: int = 0
    lost: int = 0
    duplicated: int = 0
    out_of_order: int = 0
    foreign: int = 0
    late: int = 0
    other: int = 0
    cut_at_kills: int = 0
    oldest_cut_s: float = 0.0
    doubtful: int = 0
    alarm_transitions: int = 0
    furthest_off_ms: float = 0.0
    mistakes: list[str] = []

    @property
    def is_right(self) -> bool:
        """Whether nothing is wrong."""
        return not self.mistakes

    def wrong(self, kind: str, said: str) -> None:
        """Notes a mistake: `kind` is the name of a count."""
        setattr(self, kind, getattr(self, kind) + 1)
        self.mistakes.append(f"{kind}: {said}")


def compare(
    histories: dict[Series, History],
    stored: Stored,
    killed_ns: list[int],
    owed_ns: Callable[[int, int], int] = lambda *_: 0,
) -> Findings:
    """Everything that is wrong with what is stored.

    Times of kills only tell how old what they took was; `owed_ns` is what the machine owed in a span of time.
    """
    found = Findings()
    for series, history in histories.items():
        _compare_series(found, series, history, stored, killed_ns, owed_ns)
    for series in stored.series.keys() - histories.keys():
        if series[1] != "link":
            found.wrong("foreign", f"{series}: never answered, but has {len(stored.series[series])} rows")
    for device in {device for device, _ in histories}:
        _check_link(found, device, stored.series.get((device, "link"), []))
    for series, rows in stored.series.items():
        newest = max(row.mono_ns for row in rows)
        if not any(_is_latest(stored, series, row) for row in rows if row.mono_ns == newest):
            found.wrong("other", f"{series}: latest is {stored.latest.get(series)}, not the newest row of {newest}")
    _check_alarms(found, stored)
    for table, rows in stored.unexpected.items():
        if rows:
            found.wrong("other", f"{table} has {rows} rows, none were expected")
    for stream, epochs in stored.epochs.items():
        if epochs != 1:
            found.wrong("other", f"stream {stream} has {epochs} epochs: a chain was broken")
    return found


def _is_latest(stored: Stored, series: Series, row: Row) -> bool:
    """Whether the latest value is that of a row. It is never ahead of the cloud's clock, as the row of a box may be."""
    latest = stored.latest.get(series)
    if latest is None or (latest.value, latest.quality) != (row.value, row.quality):
        return False
    return row.mono_ns - stored.slack_ns - TIME_NS <= latest.mono_ns <= row.mono_ns


def _compare_series(
    found: Findings, series: Series, history: History, stored: Stored, killed_ns: list[int],
    owed_ns: Callable[[int, int], int],
) -> None:  # fmt: skip
    judged = judge(history, stored.series.get(series, []), stored.slack_ns)
    found.reports += len(judged.matched)
    found.doubtful += sum(not seen.sure for run in history.runs for seen in run)
    for seen in judged.lost:
        found.wrong("lost", f"{series}: {seen.value!r} answered at {seen.answered_ns}")
    for kind in ("duplicated", "out_of_order", "foreign"):
        for row in getattr(judged, kind):
            found.wrong(kind, f"{series}: {row.value!r} of {row.mono_ns}")
    for seen, row in judged.matched:
        off_ns = abs(row.mono_ns - seen.answered_ns)
        found.furthest_off_ms = max(found.furthest_off_ms, round(off_ns / 1e6, 1))
        if off_ns > TIME_NS and off_ns > TIME_NS + owed_ns(seen.answered_ns - S, row.mono_ns + S):
            found.wrong("late", f"{series}: {row.value!r} answered at {seen.answered_ns} has time {row.mono_ns}")
    for seen in judged.dropped:
        found.cut_at_kills += 1
        killed = min(ns for ns in killed_ns if ns > seen.answered_ns - S)
        found.oldest_cut_s = max(found.oldest_cut_s, round((killed - seen.answered_ns) / S, 3))


def _check_link(found: Findings, device: str, rows: list[Row]) -> None:
    ordered = sorted(rows, key=lambda row: row.mono_ns)
    if not ordered or ordered[0].value != "online":
        found.wrong("other", f"{device}: link begins with {ordered[:1]}, not online")
    for before, after in pairwise(ordered):
        if after.value == before.value and after.mono_ns - before.mono_ns < LINK_HEARTBEAT_S * S:
            found.wrong("duplicated", f"{device}: link {after.value!r} of {after.mono_ns} again")


def _check_alarms(found: Findings, stored: Stored) -> None:
    for series, rows in stored.series.items():
        if series[1] != "smoke":
            continue
        implied = [moves_of(rows, "smoke", stored.at_ns - lag_ns) for lag_ns in (0, TIMER_LAG_NS)]
        made = stored.moves.get(series, [])
        found.alarm_transitions += len(made)
        if [(move.before, move.event, move.after, move.mono_ns) for move in made] not in implied:
            found.wrong("other", f"{series}: {len(made)} alarm transitions differ from the {len(implied[0])} implied")
        if len({move.alarm for move in made}) > 1:
            found.wrong("other", f"{series}: more than one alarm, though nobody acknowledged the first")
        if stored.active.get(series, 0) != (1 if implied[0] else 0):
            found.wrong("other", f"{series}: {stored.active.get(series, 0)} active alarms")
    for series in stored.moves.keys() - stored.series.keys():
        found.wrong("other", f"{series}: an alarm without a state")


# Reading the database

_READINGS = """
SELECT device.key, series.point, readings.at, readings.value, readings.quality
FROM readings JOIN series ON series.id = readings.series JOIN device ON device.id = series.device
"""
_STATES = """
SELECT device.key, series.point, states.at, states.value, states.quality
FROM states JOIN series ON series.id = states.series JOIN device ON device.id = series.device
"""
_LATEST = """
SELECT device.key, series.point, latest.at, coalesce(to_jsonb(latest.state), to_jsonb(latest.value)) #>> '{}' AS value,
    series.lane, latest.quality
FROM latest JOIN series ON series.id = latest.series JOIN device ON device.id = series.device
"""
_MOVES = """
SELECT device.key, series.point, move.alarm, move.from_state, move.event, move.to_state, move.at
FROM alarm_transition AS move JOIN alarm ON alarm.id = move.alarm
JOIN series ON series.id = alarm.series JOIN device ON device.id = series.device
ORDER BY move.id
"""
_ACTIVE = """
SELECT device.key, series.point, count(*) AS alarms
FROM alarm JOIN series ON series.id = alarm.series JOIN device ON device.id = series.device
WHERE alarm.state <> 'NORM' GROUP BY 1, 2
"""


async def read_database(connection: asyncpg.Connection) -> Stored:
    """All that a comparison needs, of a database that holds one box."""
    offset_ns = _utc_of_boot_ns()

    def time_of(at: datetime) -> int:
        whole = int(at.timestamp()) * S + at.microsecond * 1000
        return whole - offset_ns

    series: dict[Series, list[Row]] = defaultdict(list)
    for query in (_READINGS, _STATES):
        for r in await connection.fetch(query):
            series[r["key"], r["point"]].append(Row(_number(r["value"]), r["quality"], time_of(r["at"])))
    latest = {}
    for r in await connection.fetch(_LATEST):
        value: Any = float(r["value"]) if r["lane"] == "bulk" and r["value"] is not None else r["value"]
        latest[r["key"], r["point"]] = Row(value, r["quality"], time_of(r["at"]))
    moves: dict[Series, list[Move]] = defaultdict(list)
    for r in await connection.fetch(_MOVES):
        move = Move(str(r["alarm"]), r["from_state"], r["event"], r["to_state"], time_of(r["at"]))
        moves[r["key"], r["point"]].append(move)
    return Stored(
        series=dict(series),
        latest=latest,
        moves=dict(moves),
        active={(r["key"], r["point"]): r["alarms"] for r in await connection.fetch(_ACTIVE)},
        unexpected={table: await connection.fetchval(f"SELECT count(*) FROM {table}") for table in EMPTY},
        epochs={
            r["stream"]: r["epochs"]
            for r in await connection.fetch("SELECT stream, count(*) AS epochs FROM stream_epoch GROUP BY stream")
        },
        slack_ns=await connection.fetchval("SELECT max(uncertainty_ns) FROM boot"),
        at_ns=mono_ns(),
    )


def _number(value: Any) -> Any:
    """NaN is how a number that is none is stored."""
    return None if isinstance(value, float) and value != value else value


def _utc_of_boot_ns() -> int:
    """UTC nanoseconds at monotonic 0 of this boot, from the closest of some looks at both clocks."""
    looks = []
    for _ in range(20):
        before, utc, after = mono_ns(), time.time_ns(), mono_ns()
        looks.append((after - before, utc - (before + after) // 2))
    return min(looks)[1]
