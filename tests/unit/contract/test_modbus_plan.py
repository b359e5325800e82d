"""Merging: fewest questions, within the limits, each point exactly once."""

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from contract.modbus_plan import Read, plan_unit, split_read
from contract.profile import DataType, ModbusLimits, ModbusPoint, ModbusProfile, ModbusRead, Table
from tests.support.modbus import PROFILES


def plan(limits: ModbusLimits, *reads: ModbusRead) -> list[Read]:
    points = {f"p{i}": ModbusPoint(read=read) for i, read in enumerate(reads)}
    profile = ModbusProfile(
        protocol="modbus", id="m", vendor="v", model="m", kind="environment", source="s", modbus=limits, points=points
    )
    return plan_unit(3, profile, [("d", 0)], limits)


def test_row_9_sixteen_detectors_of_four_points_are_two_questions() -> None:
    profile = PROFILES["anju-smoke-panel-16"]
    reads = plan_unit(1, profile, [(f"smoke-{c}", c) for c in range(16)], profile.modbus)
    assert [(r.table, r.address, r.count, len(r.items)) for r in reads] == [
        (Table.DISCRETE_INPUT, 0, 32, 32),
        (Table.INPUT_REGISTER, 0, 32, 32),
    ]


def test_a_door_is_one_question_and_its_command_none() -> None:
    profile = PROFILES["anju-door-unit"]
    (read,) = plan_unit(1, profile, [("door", 0)], profile.modbus)
    assert [item.point for item in read.items] == ["contact", "lock", "held_open", "tamper"]


def test_a_question_spans_a_gap_the_profile_allows_and_no_wider_one() -> None:
    reads = [ModbusRead(table=Table.HOLDING_REGISTER, address=a) for a in (0, 3, 7)]
    assert [(r.address, r.count) for r in plan(ModbusLimits(max_gap=2), *reads)] == [(0, 4), (7, 1)]


def test_a_32_bit_value_is_never_cut_by_the_limit() -> None:
    reads = [ModbusRead(table=Table.HOLDING_REGISTER, address=a, type=DataType.UINT32) for a in (0, 2, 4)]
    planned = plan(ModbusLimits(max_registers=5), *reads)
    assert [(r.address, r.count) for r in planned] == [(0, 4), (4, 2)]


def test_bits_of_one_register_are_one_question_even_when_split() -> None:
    reads = [ModbusRead(table=Table.HOLDING_REGISTER, address=4, type=DataType.BIT, bit=b) for b in (0, 9)]
    (read,) = plan(ModbusLimits(), *reads)
    assert (read.address, read.count) == (4, 1)
    assert split_read(read, ModbusLimits()) == [read]


def test_a_refused_question_is_split_at_its_gaps_first() -> None:
    reads = [ModbusRead(table=Table.HOLDING_REGISTER, address=a) for a in (0, 1, 3)]
    (read,) = plan(ModbusLimits(max_gap=4), *reads)
    first = split_read(read, ModbusLimits(max_gap=4))
    assert [(r.address, r.count) for r in first] == [(0, 2), (3, 1)]
    assert [(r.address, r.count) for r in split_read(first[0], ModbusLimits())] == [(0, 1), (1, 1)]


def covered(read: Read) -> dict[str, tuple[Table, int]]:
    return {item.point: (read.table, read.address + item.offset) for item in read.items}


some_reads = st.lists(
    st.builds(
        ModbusRead,
        table=st.sampled_from([Table.HOLDING_REGISTER, Table.INPUT_REGISTER]),
        address=st.integers(0, 400),
        type=st.sampled_from([DataType.UINT16, DataType.INT32]),
    ),
    min_size=1, max_size=30,
)  # fmt: skip
some_limits = st.builds(ModbusLimits, max_registers=st.integers(2, 125), max_gap=st.integers(0, 20))


@given(reads=some_reads, limits=some_limits)
def test_every_point_is_asked_once_where_the_profile_says_within_the_limits(
    reads: list[ModbusRead], limits: ModbusLimits
) -> None:
    planned = plan(limits, *reads)
    places = [place for read in planned for place in covered(read).items()]
    assert sorted(places) == sorted((f"p{i}", (r.table, r.address)) for i, r in enumerate(reads))
    for read in planned:
        assert read.count <= limits.max_registers
        used = {read.address + item.offset + k for item in read.items for k in range(item.read.count)}
        assert min(used) == read.address
        assert max(used) == read.address + read.count - 1
        ordered = sorted(used)
        assert all(b - a - 1 <= limits.max_gap for a, b in pairwise(ordered))


@given(reads=some_reads, limits=some_limits)
def test_splitting_loses_no_point(reads: list[ModbusRead], limits: ModbusLimits) -> None:
    for read in plan(limits, *reads):
        parts = split_read(read, limits)
        assert sorted(p for part in parts for p in covered(part).items()) == sorted(covered(read).items())


def test_points_of_another_period_are_questions_of_their_own() -> None:
    often = [ModbusRead(table=Table.INPUT_REGISTER, address=a) for a in (0, 2)]
    seldom = [ModbusRead(table=Table.INPUT_REGISTER, address=a, every_s=60) for a in (1, 3)]
    planned = plan(ModbusLimits(max_gap=4), *often, *seldom)
    assert [(r.every_s, r.address, r.count, len(r.items)) for r in planned] == [(None, 0, 3, 2), (60, 1, 3, 2)]


def test_a_value_wider_than_the_limit_is_asked_alone() -> None:
    reads = [ModbusRead(table=Table.INPUT_REGISTER, address=0, type=DataType.STRING, length=20),
             ModbusRead(table=Table.INPUT_REGISTER, address=20)]  # fmt: skip
    assert [(r.address, r.count) for r in plan(ModbusLimits(max_registers=4), *reads)] == [(0, 20), (20, 1)]
