"""A part that may be one of several structs is known by the field that says which, and each mistake is told once."""

from pathlib import Path
from typing import Literal

import msgspec
import pytest

from contract.config import Loaded, load_file
from contract.errors import ConfigError


class Tcp(msgspec.Struct, frozen=True):
    """A bus with an address."""

    id: str
    protocol: Literal["modbus-tcp", "modbus-rtu-tcp"]
    host: str
    port: int = 502


class Radio(msgspec.Struct, frozen=True):
    """A bus with an adapter."""

    protocol: Literal["ble"]
    id: str
    adapter: str = "hci0"


class Version(msgspec.Struct, frozen=True):
    """Told apart by a number."""

    version: Literal[1, 2]
    text: str = ""


class Later(msgspec.Struct, frozen=True):
    """The other numbers."""

    version: Literal[3]


class Site(msgspec.Struct, frozen=True):
    """Every kind of union that a model of ours may have."""

    buses: list[Tcp | Radio] = []
    spare: Tcp | Radio | None = None
    header: Version | Later | None = None
    radio: Radio | None = None
    notes: list[Radio] | None = None
    points: dict[str, Tcp | Radio] = {}
    states: dict[int | str, str] = {}
    parity: Literal["even", "odd"] | None = None
    stop_bits: Literal[1, 2] = 1
    password: Radio | str = ""


class Blur(msgspec.Struct, frozen=True):
    """Has no field of its own words."""

    unclear: Radio | Site


def load(tmp_path: Path, text: str) -> Loaded[Site]:
    path = tmp_path / "x.yaml"
    path.write_text(text, encoding="utf-8")
    return load_file(path, Site)


def told(tmp_path: Path, text: str) -> list[tuple[int, str, str]]:
    with pytest.raises(ConfigError) as error:
        load(tmp_path, text)
    return [(mistake.line, mistake.problem, mistake.hint) for mistake in error.value.mistakes]


def test_each_part_becomes_the_struct_that_its_protocol_names(tmp_path: Path) -> None:
    site = load(
        tmp_path,
        """
buses:
  - {id: a, protocol: modbus-tcp, host: h}
  - {protocol: ble, id: b}
  - {id: c, protocol: modbus-rtu-tcp, host: h, port: 4001}
spare: {id: d, protocol: ble, adapter: hci1}
header: {version: 2, text: t}
radio: {id: e, protocol: ble}
notes: [{id: f, protocol: ble}]
points: {x: {id: g, protocol: ble}}
""",
    ).value
    assert site.buses == [Tcp("a", "modbus-tcp", "h"), Radio("ble", "b"), Tcp("c", "modbus-rtu-tcp", "h", 4001)]
    assert (site.spare, site.header, site.radio) == (Radio("ble", "d", "hci1"), Version(2, "t"), Radio("ble", "e"))
    assert (site.notes, site.points) == ([Radio("ble", "f")], {"x": Radio("ble", "g")})


@pytest.mark.parametrize("name", ["spare", "header", "radio", "notes", "parity"])
def test_what_may_be_nothing_may_be_empty(tmp_path: Path, name: str) -> None:
    assert getattr(load(tmp_path, f"{name}:\n").value, name) is None
    assert getattr(load(tmp_path, f"{name}: null\n").value, name) is None


def test_an_unknown_protocol_is_one_mistake_with_the_choices(tmp_path: Path) -> None:
    text = "buses:\n  - id: a\n    nonsense: 1\n    protocol: modbus-tpc\n    port: x\n"
    assert told(tmp_path, text) == [
        (
            4,
            "protocol: 'modbus-tpc' is not known here",
            "did you mean 'modbus-tcp'? one of: modbus-tcp, modbus-rtu-tcp, ble",
        )
    ]
    (mistake,) = told(tmp_path, "buses:\n  - {id: a, protocol: canopen}\n")
    assert mistake == (2, "protocol: 'canopen' is not known here", "one of: modbus-tcp, modbus-rtu-tcp, ble")
    (mistake,) = told(tmp_path, "header: {version: 4}\n")
    assert mistake == (1, "version: 4 is not known here", "one of: 1, 2, 3")


@pytest.mark.parametrize("wrong", ["[ble]", "{ble: 1}", "1.5", "true", "", "2026-01-01"])
def test_a_protocol_that_is_no_word_is_one_mistake(tmp_path: Path, wrong: str) -> None:
    ((line, problem, _),) = told(tmp_path, f"buses:\n  - id: a\n    protocol: {wrong}\n")
    assert line == 3
    assert problem.startswith("protocol: ")


def test_a_missing_protocol_is_one_mistake_with_the_choices(tmp_path: Path) -> None:
    assert told(tmp_path, "buses:\n  - id: a\n    hots: h\n") == [
        (2, "buses[0] lacks 'protocol'", "add a line protocol: with one of: modbus-tcp, modbus-rtu-tcp, ble")
    ]


def test_the_mistakes_of_the_struct_that_is_meant_are_told(tmp_path: Path) -> None:
    assert told(
        tmp_path, "buses:\n  - id: 1\n    protocol: ble\n    adaptor: hci1\n  - id: b\n    protocol: modbus-tcp\n"
    ) == [
        (2, "id: expected text, it is 1", ""),
        (4, "buses[0] has no field 'adaptor'", "did you mean 'adapter'?"),
        (5, "buses[1] lacks 'host'", "add a line host: …"),
    ]


@pytest.mark.parametrize("wrong", ["ble", "1", "[{id: a, protocol: ble}]", "true"])
def test_a_part_that_is_no_map_is_one_mistake(tmp_path: Path, wrong: str) -> None:
    ((line, problem, _),) = told(tmp_path, f"spare: {wrong}\n")
    assert (line, problem.partition(", it is ")[0]) == (1, "spare should be a map of fields")


def test_nothing_is_no_bus_where_a_bus_is_wanted(tmp_path: Path) -> None:
    assert told(tmp_path, "buses:\n  -\n") == [(2, "buses[0] should be a map of fields, it is empty", "")]


def test_mistakes_in_what_may_be_nothing_are_told_one_by_one(tmp_path: Path) -> None:
    mistakes = told(tmp_path, "notes:\n  - {id: 1, protocol: ble}\n  - {id: 2, protocol: ble}\n")
    assert [line for line, _, _ in mistakes] == [2, 3]


def test_keys_may_be_numbers_or_words(tmp_path: Path) -> None:
    assert load(tmp_path, "states: {0: closed, '1': a, open: b, 0x10: c}\n").value.states == {
        0: "closed", "1": "a", "open": "b", 16: "c",
    }  # fmt: skip
    ((line, problem, _),) = told(tmp_path, "states:\n  0: closed\n  1.5: open\n")
    assert (line, problem) == (3, "1.5: expected a whole number or text, it is 1.5")


def test_words_and_numbers_of_few(tmp_path: Path) -> None:
    site = load(tmp_path, "parity: odd\nstop_bits: 2\n").value
    assert (site.parity, site.stop_bits) == ("odd", 2)
    assert told(tmp_path, "parity: evn\nstop_bits: 3\n") == [
        (1, "parity: 'evn' is not known here", "did you mean 'even'? one of: even, odd"),
        (2, "stop_bits: 3 is not known here", "one of: 1, 2"),
    ]
    assert [problem for _, problem, _ in told(tmp_path, "stop_bits: '2'\n")] == ["stop_bits: '2' is not known here"]


def test_a_struct_or_a_word(tmp_path: Path) -> None:
    assert load(tmp_path, "password: x\n").value.password == "x"
    assert load(tmp_path, "password: {id: a, protocol: ble}\n").value.password == Radio("ble", "a")


def test_a_whole_file_may_be_one_of_several(tmp_path: Path) -> None:
    path = tmp_path / "x.yaml"
    path.write_text("protocol: ble\nid: a\n")
    assert load_file(path, Tcp | Radio).value == Radio("ble", "a")
    path.write_text("id: a\n")
    with pytest.raises(ConfigError, match="the file lacks 'protocol'"):
        load_file(path, Tcp | Radio)


def test_structs_that_nothing_tells_apart_are_a_fault_of_the_model(tmp_path: Path) -> None:
    path = tmp_path / "x.yaml"
    path.write_text("unclear: {}\n")
    with pytest.raises(TypeError, match="no Literal field tells Radio, Site apart"):
        load_file(path, Blur)
