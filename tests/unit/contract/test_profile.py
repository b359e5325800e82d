"""Every profile that ships is sound, and a bad one is told off with its lines; the schemas for editors agree."""

import json
from pathlib import Path

import jsonschema
import pytest
from ruamel.yaml import YAML

from contract import schemas
from contract.errors import ConfigError, Permanent
from contract.profile import AnyProfile, DataType, ModbusWrite, Table, load_profile, load_profiles, shipped_profiles
from contract.site import Site

ROOT = Path(__file__).parents[3]
SHIPPED = sorted(shipped_profiles().rglob("*.yaml"))
SITES = [ROOT / "simulators" / "scenarios" / "site.yaml", *sorted((ROOT / "tests/cases/site").glob("good*/site.yaml"))]

GOOD = """\
id: test
protocol: modbus
vendor: Anju
model: Test
kind: smoke_detector
source: a test
points:
  smoke:
    read: {table: discrete_input, address: 0, type: bit}
    states: {0: clear, 1: smoke}
"""


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_a_shipped_profile_is_sound(path: Path) -> None:
    profile = load_profile(path)
    assert profile.source
    assert all(profile.stale_after_s(name) > profile.points[name].report.heartbeat_s for name in profile.points)


def test_all_are_found_by_their_ids() -> None:
    assert sorted(load_profiles(shipped_profiles())) == sorted(path.stem for path in SHIPPED)


def mistakes_of(folder: Path, text: str, name: str = "test.yaml") -> list[tuple[int, str]]:
    """Line and problem of each mistake."""
    (folder / name).write_text(text, encoding="utf-8")
    with pytest.raises(ConfigError) as told:
        load_profile(folder / name)
    return [(mistake.line, mistake.problem) for mistake in told.value.mistakes]


def test_the_good_one_is_good(tmp_path: Path) -> None:
    (tmp_path / "test.yaml").write_text(GOOD)
    profile = load_profile(tmp_path / "test.yaml")
    assert profile.points["smoke"].states == {0: "clear", 1: "smoke"}


SMOKE = "    read: {table: discrete_input, address: 0, type: bit}\n    states: {0: clear, 1: smoke}\n"
POINTS = GOOD.partition("  smoke:")[0]


def read(text: str, states: str = "{0: clear}") -> str:
    return f"{POINTS}  smoke:\n    read: {{{text}}}\n    states: {states}\n"


def door(point: str) -> str:
    return f"{POINTS.replace('smoke_detector', 'door')}{point}"


UNLOCK = "  unlock:\n    write: {table: coil, address: 1, value: 1}\n"
LOCK = "  lock:\n    read: {table: coil, address: 0, type: bit}\n    states: {0: locked, 1: unlocked}\n"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (GOOD.replace("smoke_detector", "smoke"), [(5, "kind 'smoke' does not exist")]),
        (f"{GOOD}  linkage:\n{SMOKE.partition(chr(10))[0]}\n", [(11, "linkage is said by the box, not by a device")]),
        (GOOD.replace("  smoke:", "  smok:"), [(8, "smoke_detector has no point 'smok'")]),
        (GOOD.replace("1: smoke", "1: fire"), [(10, "'smoke' has no word 'fire'")]),
        (GOOD.replace("1: smoke", "one: smoke"), [(10, "'one' is no value of a register")]),
        (POINTS + "  smoke: {}\n", [(8, "point 'smoke' says nowhere to read"), (8, "state 'smoke' has no states")]),
        (POINTS + "  smoke: 5\n", [(8, "smoke should be a map of fields, it is 5")]),
        (POINTS.replace("points:", "points: 5"), [(7, "points: expected a map, it is 5")]),
        (
            read("table: discrete_input, address: 0"),
            [(9, "discrete_input holds single bits")],
        ),
        (
            read("table: holding_register, address: 0, type: bit"),
            [(9, "type: bit and bit: belong together in a register")],
        ),
        (
            read("table: holding_register, address: 0, bit: 3"),
            [(9, "type: bit and bit: belong together in a register")],
        ),
        (
            read("table: holding_register, address: 65535, type: uint32"),
            [(9, "the last channel lies beyond address 65535")],
        ),
        (
            read("table: holding_register, address: 0, type: uint32") + "modbus: {max_registers: 1}\n",
            [(9, "uint32 takes more than max_registers")],
        ),
        (
            read("table: coil, address: 65530, type: bit, stride: 1") + "modbus: {channels: 7}\n",
            [(9, "the last channel lies beyond address 65535")],
        ),
        (
            read("table: coils, address: -1, type: bits"),
            [(9, "table: 'coils' is not known here"), (9, "address: expected a whole number >= 0, it is -1"),
             (9, "type: 'bits' is not known here")],
        ),
        (door("  unlock: {}\n"), [(8, "command 'unlock' says nowhere to write")]),
        (
            door("  unlock:\n    write: {table: input_register, address: 0}\n"),
            [(9, "input_register cannot be written"), (9, "say either value: or argument:")],
        ),
        (
            door("  unlock:\n    write: {table: coil, address: 0, value: 1, argument: seconds}\n"),
            [(9, "say either value: or argument:")],
        ),
        (
            door(UNLOCK + "    confirm: {point: lock, state: x}\n"),
            [(10, "confirm names point 'lock', not in this profile")],
        ),
        (
            door(LOCK + UNLOCK + "    confirm: {point: lock, state: open}\n"),
            [(13, "confirm waits for 'open', which 'lock' never says")],
        ),
        (
            door(LOCK + "  unlock:\n    write: {table: coil, address: 1, argument: minutes}\n"),
            [(12, "'unlock' has no argument 'minutes'")],
        ),
        (
            POINTS + "  temperature:\n    read: {table: input_register, address: 0}\n    minimum: 5\n    maximum: 4\n",
            [(10, "minimum 5 is above maximum 4")],
        ),
        (GOOD.replace("id: test", "id: other"), [(1, "id 'other' differs from the file's name")]),
        (GOOD.replace("vendor", "vendr"), [(3, "the file has no field 'vendr'")]),
    ],
)  # fmt: skip
def test_a_bad_profile_is_told_off(tmp_path: Path, text: str, expected: list[tuple[int, str]]) -> None:
    assert mistakes_of(tmp_path, text) == expected


def test_every_mistake_of_every_file_is_reported(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    (tmp_path / "a.yaml").write_text(GOOD.replace("id: test", "id: a"))
    (tmp_path / "sub" / "a.yaml").write_text(GOOD.replace("id: test", "id: a"))
    (tmp_path / "b.yaml").write_text("id: b\nprotocol: modbus\n")
    (tmp_path / "c.yaml").write_text("[")
    with pytest.raises(ConfigError) as told:
        load_profiles(tmp_path)
    by_file = {Path(mistake.file).name for mistake in told.value.mistakes}
    assert by_file == {"a.yaml", "b.yaml", "c.yaml"}
    assert "profile 'a' exists twice" in str(told.value)
    assert str(told.value).count("the file lacks") == 5


def plain(path: Path) -> object:
    return json.loads(json.dumps(YAML(typ="safe").load(path)))


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_editors_accept_what_ships(path: Path) -> None:
    schema = json.loads((shipped_profiles() / "schema.json").read_text())
    jsonschema.Draft202012Validator.check_schema(schema)
    jsonschema.Draft202012Validator(schema).validate(plain(path))


@pytest.mark.parametrize("path", SITES, ids=lambda path: path.parent.name)
def test_editors_accept_good_site_files(path: Path) -> None:
    schema = json.loads((ROOT / "contract" / "site.schema.json").read_text())
    jsonschema.Draft202012Validator.check_schema(schema)
    jsonschema.Draft202012Validator(schema).validate(plain(path))


def test_editors_refuse_what_we_refuse() -> None:
    schema = jsonschema.Draft202012Validator(json.loads(schemas.schema_text(Site)))
    bad = plain(ROOT / "tests/cases/site/everything-at-once/site.yaml")
    assert len(list(schema.iter_errors(bad))) >= 3
    assert not jsonschema.Draft202012Validator(json.loads(schemas.schema_text(AnyProfile))).is_valid({"id": "x"})


def test_the_committed_schemas_are_those_of_the_models() -> None:
    assert schemas.main(["--check"]) == 0


def test_an_old_schema_is_noticed_and_made_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys) -> None:
    path = tmp_path / "schema.json"
    monkeypatch.setattr(schemas, "SCHEMAS", {path: AnyProfile})
    assert schemas.main(["--check"]) == 1
    assert "python -m contract.schemas" in capsys.readouterr().err
    assert schemas.main([]) == 0
    assert schemas.main(["--check"]) == 0
    path.write_text(path.read_text() + " ")
    assert schemas.main(["--check"]) == 1


def test_the_four_tables_and_the_types() -> None:
    assert {table for table in Table if table.is_writable} == {Table.COIL, Table.HOLDING_REGISTER}
    assert {table for table in Table if table.is_bits} == {Table.COIL, Table.DISCRETE_INPUT}
    assert {kind.registers for kind in DataType} == {0, 1, 2, 4}, "text is as long as its point says"


BOUNDED = ModbusWrite(table=Table.HOLDING_REGISTER, address=0, argument="seconds", minimum=1, maximum=60)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({}, "needs the argument 'seconds'"),
        ({"seconds": 0}, "must be 1 to 60, it is 0"),
        ({"seconds": 61}, "must be 1 to 60, it is 61"),
        ({"seconds": 10**400}, "must be 1 to 60"),
        ({"seconds": 2.5}, "whole number"),
        ({"seconds": True}, "whole number"),
        ({"seconds": "5"}, "whole number"),
        ({"seconds": float("inf")}, "whole number"),
        ({"seconds": float("nan")}, "whole number"),
        ({"seconds": 5, "force": 1}, "takes no argument 'force'"),
    ],
)
def test_arguments_of_a_command_that_cannot_be_written(given: dict[str, float | str], said: str) -> None:
    with pytest.raises(Permanent, match=said):
        BOUNDED.number(given)


def test_arguments_that_can() -> None:
    assert BOUNDED.number({"seconds": 5.0}) == 5
    assert ModbusWrite(table=Table.COIL, address=0, value=1).number({}) == 1
