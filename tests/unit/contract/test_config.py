"""A site file is checked whole, and each mistake is told with its line and what to do (cases in tests/cases/site)."""

import re
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from contract.config import Problem, load_file
from contract.errors import ConfigError, Mistake
from contract.profile import load_profile, load_profiles, shipped_profiles
from contract.records import InventoryRecord
from contract.site import Site, inventory_of, load_site, resolve, site_digest

ROOT = Path(__file__).parents[3]
CASES = sorted((ROOT / "tests" / "cases" / "site").iterdir())
PROFILES = load_profiles(shipped_profiles())


def said_of(path: Path) -> str:
    """What a person who loads the file is told, without its folder; nothing where it is good."""
    try:
        load_site(path, PROFILES)
    except ConfigError as e:
        return str(e).replace(str(path), path.name) + "\n"
    return ""


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_site_file(case: Path) -> None:
    assert said_of(case / "site.yaml") == (case / "expected.txt").read_text(encoding="utf-8")


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_no_secret_is_repeated(case: Path) -> None:
    assert not any(word in said_of(case / "site.yaml") for word in ("hunter2", "swordfish", "letmein", "123456"))


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as told:
        load_site(tmp_path / "site.yaml", PROFILES)
    (mistake,) = told.value.mistakes
    assert (mistake.line, mistake.problem) == (0, "cannot be read: No such file or directory")
    with pytest.raises(ConfigError, match="cannot be read: Is a directory"):
        load_site(tmp_path, PROFILES)


class Model(msgspec.Struct, frozen=True):
    """Every shape that a model may have."""

    text: str
    number: float = 0.0
    words: list[str] = []
    counts: dict[int, int] = {}
    nested: "list[Nested] | None" = None


class Nested(msgspec.Struct, frozen=True):
    """A struct in a list."""

    name: str


leaves = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5)
nodes = st.recursive(leaves, lambda n: st.lists(n, max_size=3) | st.dictionaries(st.text(max_size=5), n, max_size=3))


@given(st.dictionaries(st.sampled_from(["text", "number", "words", "counts", "nested", "other"]), nodes) | nodes)
def test_whatever_stands_in_a_file_is_a_model_or_mistakes_of_its_lines(tmp_path_factory, document: object) -> None:
    path = tmp_path_factory.getbasetemp() / "any.yaml"
    path.write_bytes(msgspec.json.encode(document))  # JSON is YAML
    mistakes: list[Mistake] = []
    try:
        assert isinstance(load_file(path, Model).value, Model)
    except ConfigError as e:
        mistakes = e.mistakes
    assert all(mistake.line <= 1 and mistake.problem for mistake in mistakes)


@given(st.text(max_size=60))
def test_any_text_is_a_model_or_mistakes(tmp_path_factory, text: str) -> None:
    path = tmp_path_factory.getbasetemp() / "text.yaml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ConfigError):
        load_file(path, Model)


def test_a_check_names_the_innermost_place_that_stands_in_the_file(tmp_path: Path) -> None:
    path = tmp_path / "x.yaml"
    path.write_text("text: a\nnested:\n  - name: b\n  - name: c\n")
    loaded = load_file(path, Model)
    with pytest.raises(ConfigError) as told:
        loaded.raise_for(
            [
                Problem(("nested", 1, "name"), "p1"),
                Problem(("nested", 5), "p2"),
                Problem(("nothing",), "p3", "h"),
                Problem(("text", "deeper"), "p4"),
            ]
        )
    assert [(m.line, m.problem) for m in told.value.mistakes] == [(1, "p3"), (1, "p4"), (2, "p2"), (4, "p1")]
    assert str(told.value.mistakes[0]) == f"{path}:1: p3\n    h"
    loaded.raise_for([])


def demo_site() -> Site:
    return load_site(ROOT / "simulators" / "scenarios" / "site.yaml", PROFILES)


def test_the_inventory_of_a_site_has_each_device_and_series_once() -> None:
    site = demo_site()
    record = inventory_of(site, PROFILES)
    assert [device.id for device in record.devices] == sorted(item.device.id for item in resolve(site, PROFILES))
    pairs = [(series.device, series.point) for series in record.series]
    assert len(set(pairs)) == len(pairs)
    for device in record.devices:
        assert (device.id, "link") in pairs
    assert {device.commands for device in record.devices} == {(), ("unlock",), ("release", "unlock"), ("sound",)}
    assert record.devices[0].place.building == "1"  # written as a number, kept as words


def test_the_order_of_buses_and_devices_does_not_change_the_inventory() -> None:
    site = demo_site()
    turned = msgspec.structs.replace(
        site, buses=[msgspec.structs.replace(bus, devices=bus.devices[::-1]) for bus in site.buses[::-1]]
    )
    record: InventoryRecord = inventory_of(turned, PROFILES)
    assert record.inventory_id == inventory_of(site, PROFILES).inventory_id


def test_a_version_of_a_site_file_has_a_name(tmp_path: Path) -> None:
    path = tmp_path / "site.yaml"
    path.write_text("a: 1\n")
    first = site_digest(path)
    path.write_text("a: 2\n")
    assert len(first) == 12
    assert site_digest(path) != first


@pytest.mark.parametrize("number", [".nan", ".inf", "-.inf", "1e999"])
def test_a_number_that_is_none_is_refused(tmp_path: Path, number: str) -> None:
    shipped = next((shipped_profiles() / "modbus").glob("*meter*.yaml"))
    path = tmp_path / shipped.name
    path.write_text(re.sub(r"scale: [-0-9.]+", f"scale: {number}", shipped.read_text(), count=1))
    with pytest.raises(ConfigError, match="scale must be a number, it is"):
        load_profile(path)
