"""Merging: fewest questions, within the limits, each point exactly once."""

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from contract.profile import DataType, ModbusLimits, ModbusPoint, ModbusProfile, ModbusRead, Table
from contract.site import ModbusDevice, ModbusTcpBus, Resolved, ResolvedDevice, resolve
from edge.drivers.modbus.plan import Read, plan_unit, split_read
from tests.support.modbus import PROFILES, detector, door, site_of

BUS = ModbusTcpBus(id="bus", protocol="modbus-tcp", host="h", devices=[])


def unit_of(limits: ModbusLimits, *reads: ModbusRead) -> list[ResolvedDevice]:
    points = {f"p{i}": ModbusPoint(read=read) for i, read in enumerate(reads)}
    profile = ModbusProfile(
        protocol="modbus", id="m", vendor="v", model="m", kind="environment", source="s", modbus=limits, points=points
    )
    return [Resolved(ModbusDevice(id="d", name="d", profile="m", unit=3), BUS, profile)]


def test_row_9_sixteen_detectors_of_four_points_are_two_questions() -> None:
    bus = ModbusTcpBus(id="bus", protocol="modbus-tcp", host="h", devices=[detector(1, c) for c in range(16)])
    reads = plan_unit(resolve(site_of(bus), PROFILES))
    assert [(r.table, r.address, r.count, len(r.items)) for r in reads] == [
        (Table.DISCRETE_INPUT, 0, 32, 32),
        (Table.INPUT_REGISTER, 0, 32, 32),
    ]


def test_a_door_is_one_question_and_its_command_none() -> None:
    bus = ModbusTcpBus(id="bus", protocol="modbus-tcp", host="h", devices=[door(1)])
    (read,) = plan_unit(resolve(site_of(bus), PROFILES))
    assert [item.point for item in read.items] == ["contact", "lock", "held_open", "tamper"]


def test_a_question_spans_a_gap_the_profile_allows_and_no_wider_one() -> None:
    reads = [ModbusRead(table=Table.HOLDING_REGISTER, address=a) for a in (0, 3, 7)]
    assert [(r.address, r.count) for r in plan_unit(unit_of(ModbusLimits(max_gap=2), *reads))] == [(0, 4), (7, 1)]


def test_a_32_bit_value_is_never_cut_by_the_limit() -> None:
    reads = [ModbusRead(table=Table.HOLDING_REGISTER, address=a, type=DataType.UINT32) for a in (0, 2, 4)]
    plan = plan_unit(unit_of(ModbusLimits(max_registers=5), *reads))
    assert [(r.address, r.count) for r in plan] == [(0, 4), (4, 2)]


def test_bits_of_one_register_are_one_question_even_when_split() -> None:
    reads = [ModbusRead(table=Table.HOLDING_REGISTER, address=4, type=DataType.BIT, bit=b) for b in (0, 9)]
    (read,) = plan_unit(unit_of(ModbusLimits(), *reads))
    assert (read.address, read.count) == (4, 1)
    assert split_read(read, ModbusLimits()) == [read]


def test_a_refused_question_is_split_at_its_gaps_first() -> None:
    reads = [ModbusRead(table=Table.HOLDING_REGISTER, address=a) for a in (0, 1, 3)]
    (read,) = plan_unit(unit_of(ModbusLimits(max_gap=4), *reads))
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
    plan = plan_unit(unit_of(limits, *reads))
    places = [place for read in plan for place in covered(read).items()]
    assert sorted(places) == sorted((f"p{i}", (r.table, r.address)) for i, r in enumerate(reads))
    for read in plan:
        assert read.count <= limits.max_registers
        used = {read.address + item.offset + k for item in read.items for k in range(item.type.registers)}
        assert min(used) == read.address
        assert max(used) == read.address + read.count - 1
        ordered = sorted(used)
        assert all(b - a - 1 <= limits.max_gap for a, b in pairwise(ordered))


@given(reads=some_reads, limits=some_limits)
def test_splitting_loses_no_point(reads: list[ModbusRead], limits: ModbusLimits) -> None:
    for read in plan_unit(unit_of(limits, *reads)):
        parts = split_read(read, limits)
        assert sorted(p for part in parts for p in covered(part).items()) == sorted(covered(read).items())
