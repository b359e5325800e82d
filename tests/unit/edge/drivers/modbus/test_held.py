"""What may wait for its neighbours, for how long, and in which order it is handed on."""

import struct
from dataclasses import dataclass

import pytest

from contract.kinds import KINDS, PointType
from contract.modbus_plan import Item, Read
from contract.modbus_time import Line
from contract.profile import ModbusRead, Table
from edge.drivers.modbus.held import HOLD_NS, MOST_POINTS, QUICK_S, Held
from edge.drivers.modbus.plan import Planned, patient_points, planned
from edge.drivers.modbus.poll import Poll

LINE = Line(9600)


def read_of(unit: int, *points: str, line: Line | None = None, patient: frozenset[str] = frozenset("ab")) -> Planned:
    items = tuple(
        Item(f"d{unit}", point, at, ModbusRead(table=Table.HOLDING_REGISTER, address=at))
        for at, point in enumerate(points)
    )
    return planned(Read(unit, Table.HOLDING_REGISTER, 0, len(points), items), line, patient)


def quick_poll() -> Poll:
    poll = Poll(2, [read_of(2, "a")], 0, 1.0)
    poll.seen, poll.slowest_s = True, QUICK_S / 2
    return poll


@pytest.mark.parametrize("kind", KINDS)
def test_nothing_but_telemetry_is_patient(kind: str) -> None:
    points = KINDS[kind].points
    assert patient_points(kind) == {name for name in points if points[name].type is PointType.TELEMETRY}
    assert not {"smoke", "contact", "alarm", "fault", "link"} & patient_points(kind)


def test_one_state_among_the_points_makes_a_question_impatient() -> None:
    assert read_of(1, "a", "b").is_patient
    assert not read_of(1, "a", "state").is_patient


def test_nothing_waits_on_a_line() -> None:
    assert not read_of(1, "a", line=LINE).is_patient


def test_what_is_held_is_taken_once_in_its_order_with_the_time_of_its_arrival() -> None:
    held = Held()
    held.add(read_of(1, "a", "b"), struct.pack(">2H", 1, 2), 10)
    held.add(read_of(2, "a"), struct.pack(">H", 3), 20)
    assert held
    taken = [(sample.device, sample.point, sample.raw, sample.mono_ns) for sample in held.take()]
    assert taken == [("d1", "a", 1, 10), ("d1", "b", 2, 10), ("d2", "a", 3, 20)]
    assert not held
    assert held.take() == []


@dataclass
class Next:
    """What comes next, and when."""

    poll: Poll | None
    after_ns: int = 1


def slow() -> Poll:
    poll = quick_poll()
    poll.slowest_s = QUICK_S
    return poll


def silent() -> Poll:
    poll = quick_poll()
    poll.failures = 1
    return poll


@pytest.mark.parametrize(
    ("then", "may_wait"),
    [
        (Next(quick_poll()), True),
        (Next(None), False),
        (Next(slow()), False),
        (Next(silent()), False),
        (Next(Poll(2, [read_of(2, "a")], 0, 1.0)), False),
        (Next(quick_poll(), HOLD_NS), False),
    ],
    ids=["quick", "nobody", "slow", "silent", "never heard", "held for long"],
)
def test_it_waits_only_for_who_answers_soon(then: Next, may_wait: bool) -> None:
    held = Held()
    held.add(read_of(1, "a"), b"\0\1", 1000)
    held.add(read_of(3, "a"), b"\0\1", 1001)  # the oldest counts
    assert held.may_wait_for(then.poll, 1000 + then.after_ns) is may_wait


def test_it_is_bounded() -> None:
    held, read = Held(), read_of(1, "a", "b")
    for _ in range(MOST_POINTS // 2):
        assert held.may_wait_for(quick_poll(), 1)
        held.add(read, bytes(4), 1)
    assert not held.may_wait_for(quick_poll(), 1)
    assert len(held.take()) == MOST_POINTS
    held.add(read, bytes(4), 1)
    assert held.may_wait_for(quick_poll(), 1)
