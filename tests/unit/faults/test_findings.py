"""The judge of the fault suite, judged: it accepts what the real policy makes of any life, and finds every mistake."""

import random
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import msgspec
import pytest

from contract.kinds import Lane
from contract.messages import Reading, Sample
from contract.profile import load_profiles, shipped_profiles
from contract.records import StateRecord
from contract.site import ResolvedDevice, load_site, resolve
from edge.normalise import Normaliser
from simulators.log import Answer
from tests.faults.findings import Findings, Move, Stored, compare, moves_of
from tests.support.reference import History, Kill, Row, Series, histories

S = 1_000_000_000
MS = 1_000_000
SEAL_S = 0.5
START = 1000 * S
ESTATE = Path(__file__).parents[2] / "faults" / "estate.yaml"
FAR = 12_000
"""A raw number outside what any point of the panel may be."""
PANEL = [("discrete_input", 0, 32), ("input_register", 0, 32)]
DOOR = [("discrete_input", 0, 4)]

LONG_AFTER = 1 << 62


@pytest.fixture(scope="module")
def devices() -> list[ResolvedDevice]:
    profiles = load_profiles(shipped_profiles())
    return resolve(load_site(ESTATE, profiles), profiles)


@dataclass
class Life:
    """A made-up life: what the devices answered, when the box was killed, and what a right database has of it."""

    log: list[Answer]
    kills: list[Kill]
    series: dict[Series, list[Row]]
    truth: dict[Series, History] = field(default_factory=dict)

    def stored(self) -> Stored:
        """The database of it; made anew, so that a test can spoil it."""
        rows = {series: list(of) for series, of in self.series.items()}
        moves = {
            series: [Move("1", *move) for move in moves_of(of, "smoke", LONG_AFTER)]
            for series, of in rows.items() if series[1] == "smoke"
        }  # fmt: skip
        return Stored(
            series=rows,
            latest={series: max(of, key=lambda row: row.mono_ns) for series, of in rows.items()},
            moves={series: of for series, of in moves.items() if of},
            active={series: 1 for series, of in moves.items() if of},
            unexpected={"events": 0},
            epochs={"urgent": 1, "bulk": 1},
            slack_ns=0,
            at_ns=LONG_AFTER,
        )

    def compare(self, stored: Stored, *only: Series) -> Findings:
        """Of all series, or quicker, of some."""
        truth = {series: of for series, of in self.truth.items() if not only or series in only}
        if only:
            kept = {*only, *((device, "link") for device, _ in only)}
            stored.series = {s: of for s, of in stored.series.items() if s in kept}
            stored.moves = {s: of for s, of in stored.moves.items() if s in only}
        return compare(truth, stored, [kill.at_ns for kill in self.kills])


def polls(devices: list[ResolvedDevice], start_ns: int, end_ns: int) -> Iterator[tuple[int, list[ResolvedDevice]]]:
    """The times at which each unit is asked, oldest first, and the devices on it."""
    units = defaultdict(list)
    for device in devices:
        units[device.bus.id, device.device.unit].append(device)
    due = []
    for shift, ((bus, _), of) in enumerate(units.items()):
        period = round(of[0].bus.poll_s * S)
        due += [(at + shift * 7 * MS, bus, of) for at in range(start_ns, end_ns, period)]
    yield from ((at, of) for at, _, of in sorted(due, key=lambda one: (one[0], one[1])))


def make_life(devices: list[ResolvedDevice], seed: int, *, runs: int = 3, run_s: float = 4.0) -> Life:
    """The real normaliser over random values; at each kill bulk is lost from some time within the promise on, and the
    last answer of a bus reached the disk or not.
    """
    dice = random.Random(seed)
    raws: dict[Series, int] = {}
    life = Life([], [], defaultdict(list))
    restored: dict[Series, StateRecord] = {}
    now = START
    for number in range(runs):
        is_last = number == runs - 1
        normaliser = Normaliser(devices, restored.values(), tokenise=str)
        end = now + round(run_s * S)
        took: list[tuple[int, str, list[Reading]]] = []
        for at, of in polls(devices, now, end):
            samples, took_ns = [], at
            for table, address, count in PANEL if of[0].profile.kind == "smoke_detector" else DOOR:
                # At the end the estate rests, so that its last words are heard for sure.
                values = _values(dice, of, raws, table, count, rests=is_last and at > end - S)
                answered, took_ns = took_ns + MS, took_ns + 2 * MS
                answer = Answer(
                    len(life.log) + 1, answered, of[0].bus.id, of[0].device.unit, table, address, values, answered
                )
                life.log.append(answer)
                samples += [Sample(*key, raw, took_ns) for key, raw in _read(of, raws, table)]
            took.append((took_ns, of[0].bus.id, normaliser.take(samples)))
        sealed_ns = end if is_last else end - dice.randrange(round(SEAL_S * S))
        heard = {bus: is_last or dice.random() < 0.5 for bus in ("panels", "doors")}
        last = {bus: max(at for at, of_bus, _ in took if of_bus == bus) for bus in heard}
        for at, bus, readings in took:
            for reading in readings:
                key = reading.device, reading.point
                if reading.lane is Lane.URGENT and (at < last[bus] or heard[bus]):
                    assert reading.value is None or isinstance(reading.value, str)
                    restored[key] = StateRecord(*key, reading.value, reading.quality, reading.mono_ns)
                elif reading.lane is Lane.URGENT or at > sealed_ns:
                    continue
                life.series[key].append(Row(reading.value, int(reading.quality), reading.mono_ns // MS * MS))
        if not is_last:
            life.kills.append(Kill(end, end + 5 * MS))
        now = end + S
    life.truth = histories(life.log, devices, life.kills, SEAL_S)
    return life


def _values(
    dice: random.Random, of: list[ResolvedDevice], raws: dict[Series, int], table: str, count: int, *, rests: bool
) -> list[int]:
    """Moves every point of a table on, at random, unless it rests, and lays it out as registers."""
    words = [0] * count
    for device in of:
        for point, mapped in device.profile.points.items():
            if mapped.read is None or str(mapped.read.table) != table:
                continue
            key = device.device.id, point
            if rests:
                pass
            elif mapped.states:
                raws[key] = dice.randrange(2) if dice.random() < 0.4 else raws.get(key, 0)
            else:
                before = raws.get(key, 20)
                near = 20 if before == FAR else max(0, before + dice.randint(-8, 9))
                raws[key] = near if dice.random() > 0.05 else FAR
            words[mapped.read.address + mapped.read.stride * device.device.channel] = raws[key] % 65536
    return words


def _read(of: list[ResolvedDevice], raws: dict[Series, int], table: str) -> Iterator[tuple[Series, int]]:
    for device in of:
        for point, mapped in device.profile.points.items():
            if mapped.read is not None and str(mapped.read.table) == table:
                yield (device.device.id, point), raws[device.device.id, point]


@pytest.fixture(scope="module")
def life(devices: list[ResolvedDevice]) -> Life:
    return make_life(devices, 1)


@pytest.mark.parametrize("seed", range(20))
def test_a_right_database_is_right_whatever_happened(devices: list[ResolvedDevice], seed: int):
    life = make_life(devices, seed)
    found = life.compare(life.stored())
    assert found.is_right, found.mistakes
    assert found.reports == sum(len(rows) for series, rows in life.series.items() if series[1] != "link")
    assert found.oldest_cut_s <= SEAL_S + 0.15


SMOKE, NUMBER = ("smoke-1", "smoke"), ("smoke-2", "obscuration")


@pytest.mark.parametrize("series", [SMOKE, NUMBER, ("door-2", "lock"), ("smoke-5", "temperature")])
def test_any_missing_row_is_found(life: Life, series: Series):
    allowed = 0
    for at, row in enumerate(life.series[series]):
        stored = life.stored()
        del stored.series[series][at]
        stored.latest[series] = stored.series[series][-1]
        found = life.compare(stored, series)
        # Telemetry just before the last one that was sealed may have gone with a kill, if none after it was kept.
        is_last_of_run = at + 1 == len(life.series[series]) or life.series[series][at + 1].mono_ns - row.mono_ns > S
        if series[1] in {"obscuration", "temperature"} and is_last_of_run and found.is_right:
            allowed += 1
            continue
        assert not found.is_right, row
    assert allowed <= len(life.kills)


@pytest.mark.parametrize("series", [SMOKE, NUMBER])
def test_any_row_that_is_there_twice_is_found(life: Life, series: Series):
    for at, row in enumerate(life.series[series]):
        stored = life.stored()
        stored.series[series].insert(at, row)
        found = life.compare(stored, series)
        assert found.duplicated == 1, (row, found.mistakes)
        assert (found.lost, found.foreign, found.out_of_order) == (0, 0, 0)


def test_any_two_rows_that_changed_places_are_found(life: Life):
    rows = life.series[NUMBER]
    for at in range(len(rows) - 1):
        if rows[at].value == rows[at + 1].value:
            continue
        stored = life.stored()
        one, two = rows[at], rows[at + 1]
        stored.series[NUMBER][at : at + 2] = [
            msgspec.structs.replace(one, value=two.value, quality=two.quality),
            msgspec.structs.replace(two, value=one.value, quality=one.quality),
        ]
        stored.latest[NUMBER] = stored.series[NUMBER][-1]
        found = life.compare(stored, NUMBER)
        assert not found.is_right, at
        if two.mono_ns < life.kills[0].at_ns - S:  # near a kill, one may have been lost instead
            assert found.out_of_order >= 1, (at, found.mistakes)


def test_a_row_from_nowhere_is_found(life: Life):
    for at in range(len(life.series[NUMBER])):
        stored = life.stored()
        here = stored.series[NUMBER][at]
        stored.series[NUMBER].insert(at, Row(99.125, 0, here.mono_ns - 20 * MS))
        assert life.compare(stored, NUMBER).foreign == 1


def test_a_state_said_again_after_a_kill_is_found(life: Life):
    for series in (SMOKE, ("door-1", "tamper")):
        stored = life.stored()
        rows = stored.series[series]
        again_ns = life.kills[0].at_ns + S
        before = [row for row in rows if row.mono_ns < again_ns][-1]
        if any(again_ns < row.mono_ns < again_ns + 100 * MS for row in rows):
            continue  # it changed while the box was away
        rows.append(Row(before.value, before.quality, again_ns + 10 * MS))
        rows.sort(key=lambda row: row.mono_ns)
        stored.latest[series] = rows[-1]
        found = life.compare(stored)
        assert not found.is_right


def test_telemetry_lost_in_the_middle_of_the_last_moments_is_found(life: Life):
    """What a kill takes with it is the end of a run, never a hole in it."""
    tried = 0
    for series, rows in life.series.items():
        for kill in life.kills if series[1] in {"obscuration", "temperature"} else ():
            young = [row for row in rows if kill.at_ns - round(0.6 * S) < row.mono_ns < kill.at_ns]
            if len(young) >= 2:
                stored = life.stored()
                stored.series[series].remove(young[-2])
                assert not life.compare(stored, series).is_right
                tried += 1
    assert tried >= 3


@pytest.mark.parametrize("by_ms", [-150, 150])
def test_a_wrong_time_is_found(life: Life, by_ms: int):
    stored = life.stored()
    row = stored.series[NUMBER][3]
    stored.series[NUMBER][3] = msgspec.structs.replace(row, mono_ns=row.mono_ns + by_ms * MS)
    assert not life.compare(stored).is_right


def test_a_time_that_is_possible_but_far_from_the_answer_is_late(life: Life):
    """The box may read an answer as late as just before its next question; that far off is not good enough."""
    stored = life.stored()
    series = ("smoke-5", "obscuration")  # the last question of a round: the next comes much later
    row = stored.series[series][1]
    stored.series[series][1] = msgspec.structs.replace(row, mono_ns=row.mono_ns + 120 * MS)
    found = life.compare(stored)
    assert (found.late, found.lost) == (1, 0)


def test_a_wrong_quality_is_found(life: Life):
    stored = life.stored()
    stored.series[NUMBER][2] = msgspec.structs.replace(stored.series[NUMBER][2], quality=1)
    assert not life.compare(stored).is_right


def test_a_series_that_is_missing_as_a_whole_is_found(life: Life):
    stored = life.stored()
    expected = len(stored.series.pop(NUMBER))
    stored.latest.pop(NUMBER)
    assert life.compare(stored).lost >= 0.8 * expected


def test_a_series_nobody_answered_is_found(life: Life):
    stored = life.stored()
    stored.series["ghost", "smoke"] = stored.latest.setdefault(("ghost", "smoke"), Row("clear", 0, START)) and [
        Row("clear", 0, START)
    ]
    assert life.compare(stored).foreign == 1


def test_a_link_said_twice_is_found(life: Life):
    stored = life.stored()
    link = "door-1", "link"
    again = msgspec.structs.replace(stored.series[link][0], mono_ns=stored.series[link][0].mono_ns + 2 * S)
    stored.series[link].append(again)
    stored.latest[link] = again
    assert life.compare(stored).duplicated == 1


def test_a_latest_value_that_stayed_behind_is_found(life: Life):
    stored = life.stored()
    stored.latest[SMOKE] = stored.series[SMOKE][0]
    assert life.compare(stored).other == 1


def test_what_is_wrong_with_alarms_is_found(life: Life):
    for spoil in range(5):
        stored = life.stored()
        moves = stored.moves[SMOKE]
        assert len(moves) >= 4
        if spoil == 0:
            del moves[1]
        elif spoil == 1:
            moves.insert(1, moves[1])
        elif spoil == 2:
            moves[1], moves[2] = moves[2], moves[1]
        elif spoil == 3:
            moves[-1] = msgspec.structs.replace(moves[-1], alarm="2")
        else:
            stored.active[SMOKE] = 2
        assert life.compare(stored).other >= 1, spoil


def test_rows_where_none_belong_and_broken_chains_are_found(life: Life):
    stored = life.stored()
    stored.unexpected["quarantine"] = 1
    stored.epochs["bulk"] = 2
    assert life.compare(stored).other == 2


def test_alarms_follow_states_as_isa_18_2_says():
    rows = [
        Row(value, quality, at)
        for at, (value, quality) in enumerate(
            [("clear", 0), ("smoke", 0), ("smoke", 0), (None, 2), ("clear", 0), ("smoke", 0)]
        )
    ]
    assert moves_of(rows, "smoke", LONG_AFTER) == [
        ("NORM", "raise", "UNACK", 1),
        ("UNACK", "clear", "RTNUN", 4),
        ("RTNUN", "raise", "UNACK", 5),
    ]


def test_what_chatters_ends_only_after_a_quiet_minute():
    second = 1_000_000_000
    said = [
        ("smoke", 1),
        ("clear", 2),
        ("smoke", 3),
        ("clear", 4),
        ("smoke", 5),
        ("clear", 6),
        ("smoke", 7),
        ("clear", 8),
    ]
    rows = [Row(value, 0, at * second) for value, at in said]
    moves = moves_of(rows, "smoke", LONG_AFTER)
    assert [(event, at // second) for _, event, _, at in moves] == [
        ("raise", 1), ("clear", 2), ("raise", 3), ("clear", 4), ("chattering", 5), ("raise", 5), ("clear", 68),
    ]  # fmt: skip
    assert moves_of(rows, "smoke", 60 * second) == moves[:-1], "not before that minute is over"
