"""What is refused in the registers of a model and on a Modbus bus: each mistake at its place, with what to do."""

from pathlib import Path

import pytest

from contract.errors import ConfigError
from contract.profile import DataType, ModbusProfile, load_profile, shipped_profiles
from contract.site import ModbusRtuBus, load_site
from tests.support.modbus import PROFILES

PROFILE = """\
id: m
protocol: modbus
vendor: v
model: m
kind: {kind}
source: s
points:
"""
SITE = """\
estate: {name: e}
cloud: {url: "https://anju.example"}
buses:
  - id: line
    protocol: modbus-rtu
    port: /dev/ttyUSB0
    devices:
"""


def mistakes(folder: Path, points: str, kind: str = "environment") -> list[tuple[int, str]]:
    path = folder / "m.yaml"
    path.write_text(PROFILE.format(kind=kind) + points)
    try:
        load_profile(path)
    except ConfigError as e:
        return [(mistake.line, f"{mistake.problem}; {mistake.hint}") for mistake in e.mistakes]
    return []


@pytest.mark.parametrize(
    "read",
    [
        "{table: input_register, address: 0, type: uint64, words: low_first}",
        "{table: input_register, address: 0, type: bcd32, bytes: low_first}",
        "{table: holding_register, address: 65535, type: bit, bit: 12, bits: 4}",
        "{table: holding_register, address: 0, type: string, length: 8, encoding: gb18030}",
        "{table: input_register, address: 0, every_s: 60}",
        "{table: coil, address: 65535, type: bit}",
    ],
)
def test_every_way_of_lying_there_is_taken(tmp_path: Path, read: str) -> None:
    assert mistakes(tmp_path, f"  temperature: {{read: {read}}}\n") == []


@pytest.mark.parametrize(
    ("read", "said"),
    [
        ("{table: coil, address: 0}", "coil holds single bits; write type: bit"),
        ("{table: coil, address: 0, type: bit, bits: 2}", "coil holds single bits"),
        ("{table: input_register, address: 0, type: bit}", "type: bit and bit: belong together"),
        ("{table: input_register, address: 0, bit: 3}", "type: bit and bit: belong together"),
        ("{table: input_register, address: 0, bits: 3}", "bits: says how many from bit: on"),
        ("{table: input_register, address: 0, type: bit, bit: 14, bits: 3}", "3 from bit 14 on go beyond; at most 2"),
        ("{table: input_register, address: 0, type: string}", "type: string and length: belong together"),
        ("{table: input_register, address: 0, length: 3}", "type: string and length: belong together"),
        ("{table: input_register, address: 65534, type: float64}", "beyond address 65535"),
        (
            "{table: input_register, address: 0, every_s: 301}",
            "every_s 301 is longer than the point's heartbeat (300 s)",
        ),
        ("{table: input_register, address: 0, type: utf8}", "one of: bit, uint16"),
        ("{table: input_register, address: 0, words: big}", "one of: high_first, low_first"),
    ],
)
def test_what_a_read_cannot_be_is_told(tmp_path: Path, read: str, said: str) -> None:
    ((line, found),) = mistakes(tmp_path, f"  temperature: {{read: {read}}}\n")
    assert said in found
    assert line == 8


@pytest.mark.parametrize(
    ("write", "said"),
    [
        ("{table: input_register, address: 0, argument: seconds}", "input_register cannot be written"),
        ("{table: holding_register, address: 0}", "say either value: or argument:"),
        ("{table: coil, address: 0, type: float32, argument: seconds}", "coil holds single bits"),
        ("{table: coil, address: 0, scale: 10, argument: seconds}", "coil holds single bits"),
        ("{table: coil, address: 0, value: 2}", "2 does not fit into coil; 0 to 1"),
        ("{table: holding_register, address: 0, value: 65536}", "65536 does not fit into uint16; 0 to 65535"),
        ("{table: holding_register, address: 0, type: bcd16, value: 10000}", "does not fit into bcd16; 0 to 9999"),
        ("{table: holding_register, address: 0, type: string, value: 1}", "string cannot be written"),
        ("{table: holding_register, address: 0, scale: 0, argument: seconds}", "scale is 0"),
        ("{table: holding_register, address: 65535, type: float32, argument: seconds}", "beyond address 65535"),
    ],
)
def test_what_a_write_cannot_be_is_told(tmp_path: Path, write: str, said: str) -> None:
    ((line, found),) = mistakes(tmp_path, f"  unlock: {{write: {write}}}\n", "door")
    assert said in found
    assert line == 8


def test_bounds_are_those_of_two_s_complement_and_of_decimal_digits() -> None:
    assert DataType.INT16.bounds == (-32768, 32767)
    assert DataType.UINT64.bounds == (0, 2**64 - 1)
    assert DataType.BCD32.bounds == (0, 99_999_999)
    assert DataType.FLOAT32.bounds is None


def test_unit_0_is_refused_on_a_line(tmp_path: Path) -> None:
    (tmp_path / "site.yaml").write_text(SITE + "      - {id: d, name: d, profile: anju-door-unit, unit: 0}\n")
    with pytest.raises(ConfigError) as e:
        load_site(tmp_path / "site.yaml", PROFILES)
    (mistake,) = e.value.mistakes
    assert (mistake.problem, mistake.hint) == ("unit 0 is every unit of a line at once", "units on a line are 1 to 247")


def test_a_model_read_seldom_is_off_line_after_five_of_its_own_periods(tmp_path: Path) -> None:
    bus = ModbusRtuBus(id="b", protocol="modbus-rtu", port="/dev/x", poll_s=1.0, devices=[])
    (tmp_path / "m.yaml").write_text(
        PROFILE.format(kind="environment") + "  humidity: {read: {table: input_register, address: 1, every_s: 60}}\n"
    )
    seldom = load_profile(tmp_path / "m.yaml")
    assert isinstance(seldom, ModbusProfile)
    assert bus.silent_after_s(seldom) == 300.0
    assert bus.silent_after_s(load_profile(shipped_profiles() / "modbus" / "anju-door-unit.yaml")) == 10.0


def test_a_line_s_questions_are_as_long_as_a_command_may_wait() -> None:
    profile = PROFILES["anju-smoke-panel-16"]
    assert isinstance(profile, ModbusProfile)
    slow = ModbusRtuBus(id="b", protocol="modbus-rtu", port="/dev/x", baud=9600, max_transaction_ms=60, devices=[])
    fast = ModbusRtuBus(id="b", protocol="modbus-rtu", port="/dev/x", baud=115200, devices=[])
    assert fast.limits_of(profile) == profile.modbus
    assert 5 < slow.limits_of(profile).max_registers < 20
