"""What a line can carry: against sums done by hand, and what the site file's check makes of them."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contract.errors import ConfigError
from contract.modbus_plan import Read, plan_unit
from contract.modbus_time import Line, load_of
from contract.profile import ModbusLimits, ModbusProfile, Table
from contract.site import ModbusRtuBus, load_site
from contract.site.modbus import load_on
from tests.support.modbus import PROFILES, door

SITE = """\
estate: {{name: e}}
cloud: {{url: "https://anju.example"}}
buses:
  - id: line-1
    protocol: modbus-rtu
    port: /dev/ttyUSB0
    baud: {baud}
    poll_s: {poll_s}
    devices:
"""


def doors(count: int) -> str:
    rows = (f"      - {{id: d{n}, name: d, profile: anju-door-unit, unit: {n}}}\n" for n in range(1, count + 1))
    return "".join(rows)


def test_a_register_at_9600_baud_by_hand() -> None:
    line = Line(9600, character_bits=11)
    assert line.character_s == pytest.approx(0.0011458, abs=1e-7)
    assert line.gap_s == pytest.approx(0.0040104, abs=1e-7)
    read = Read(1, Table.HOLDING_REGISTER, 0, 1, ())
    # 8 bytes out, 7 back, two silences, 20 ms of the unit's own.
    assert line.read_s(read, 0.02) == pytest.approx(15 * 11 / 9600 + 2 * 3.5 * 11 / 9600 + 0.02)


def test_above_19200_baud_the_silence_is_fixed_and_a_longer_one_can_be_asked_for() -> None:
    assert Line(115200).gap_s == 0.00175
    assert Line(19200, 11).gap_s == pytest.approx(3.5 * 11 / 19200)
    assert Line(115200, least_gap_s=0.02).gap_s == 0.02


@given(
    baud=st.sampled_from([1200, 2400, 4800, 9600, 19200, 115200]), transaction_s=st.floats(0.02, 5.0),
    answer_ms=st.floats(0, 100), table=st.sampled_from([Table.COIL, Table.INPUT_REGISTER]),
)  # fmt: skip
def test_a_narrowed_question_takes_no_longer_than_allowed_unless_it_is_one_value(
    baud: int, transaction_s: float, answer_ms: float, table: Table
) -> None:
    line = Line(baud, 11)
    limits = line.narrow(ModbusLimits(answer_ms=answer_ms), transaction_s)
    most = limits.max_bits if table.is_bits else limits.max_registers
    took = line.read_s(Read(1, table, 0, most, ()), answer_ms / 1000)
    assert took <= transaction_s + 1e-6 or most == (8 if table.is_bits else 1)
    unlimited = 2000 if table.is_bits else 125
    if most < unlimited:
        one_more = line.read_s(Read(1, table, 0, most + (8 if table.is_bits else 1), ()), answer_ms / 1000)
        assert one_more > transaction_s - 1e-6


def test_a_load_is_the_sum_of_its_questions() -> None:
    line, limits = Line(9600), ModbusLimits()
    often, seldom = Read(1, Table.COIL, 0, 8, ()), Read(1, Table.COIL, 8, 8, (), 10.0)
    load = load_of(line, [(limits, [often, seldom]), (limits, [often])])
    one_s = line.read_s(often, 0.01)
    assert (load.units, load.questions) == (2, 3)
    assert load.round_s == pytest.approx(2 * one_s)
    assert load.share(0.5) == pytest.approx(4 * one_s + one_s / 10)


def test_the_questions_summed_are_those_the_driver_asks() -> None:
    bus = ModbusRtuBus(id="b", protocol="modbus-rtu", port="/dev/x", devices=[door(n) for n in range(1, 31)])
    profile = PROFILES["anju-door-unit"]
    assert isinstance(profile, ModbusProfile)
    (read,) = plan_unit(1, profile, [("door", 0)], bus.limits_of(profile))
    load = load_on(bus, PROFILES)
    assert load.questions == 30
    assert load.round_s == pytest.approx(30 * bus.line.read_s(read, 0.01))


@pytest.mark.parametrize(("count", "baud", "poll_s"), [(30, 9600, 1.0), (30, 115200, 0.5), (1, 1200, 1.0)])
def test_a_line_that_can_carry_it_is_taken(tmp_path: Path, count: int, baud: int, poll_s: float) -> None:
    (tmp_path / "site.yaml").write_text(SITE.format(baud=baud, poll_s=poll_s) + doors(count))
    assert load_site(tmp_path / "site.yaml", PROFILES).buses


def test_a_line_that_cannot_is_refused_with_the_sum_and_a_period_that_it_can(tmp_path: Path) -> None:
    path = tmp_path / "site.yaml"
    path.write_text(SITE.format(baud=9600, poll_s=0.5) + doors(30))
    with pytest.raises(ConfigError) as e:
        load_site(path, PROFILES)
    (mistake,) = e.value.mistakes
    assert mistake.line == 8
    assert mistake.problem == (
        "this line needs 1.91 s of every 1 s: 30 units with 30 questions at 9600 baud take 0.96 s a round, "
        "and poll_s is 0.5"
    )
    assert mistake.hint == "poll_s at least 1.1, a higher baud rate, or fewer units on one line"
    path.write_text(SITE.format(baud=9600, poll_s=1.1) + doors(30))
    assert load_site(path, PROFILES).buses


def test_a_broken_bus_has_no_sum(tmp_path: Path) -> None:
    path = tmp_path / "site.yaml"
    path.write_text(SITE.format(baud=9601, poll_s=0.02) + doors(30))
    with pytest.raises(ConfigError) as e:
        load_site(path, PROFILES)
    assert [m.line for m in e.value.mistakes] == [7]
