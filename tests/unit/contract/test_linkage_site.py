"""Zones and rules with anything in them are right or are mistakes with lines, never a crash; what they resolve to."""

import io
from contextlib import suppress
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st
from ruamel.yaml import YAML

from contract.errors import ConfigError
from contract.profile import load_profiles, shipped_profiles
from contract.site import load_site
from contract.site.linkage import RuleAction, args_of, checked_listen, command_of, strength

GOOD = Path(__file__).parents[2] / "cases" / "site" / "good-linkage" / "site.yaml"
PROFILES = load_profiles(shipped_profiles())
yaml = YAML(typ="safe", pure=True)
DOCUMENT = yaml.load(GOOD.read_text(encoding="utf-8"))
JUNK = [None, "", "smoke-3-2-07", "b1", "x" * 100, 0, -1, 1e9, True, [], {}, [None], {"id": 3}, ["b1"], [[]]]


def places(node, where=()):
    """The path of every part of the document."""
    yield where
    for key, child in node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ():
        yield from places(child, (*where, key))


PLACES = [where for where in places(DOCUMENT) if where and where[0] in {"buses", "zones", "linkage", "guard_page"}]


def with_junk(node, where, value):
    """The document with another part at a place."""
    if not where:
        return value
    items = node.items() if isinstance(node, dict) else enumerate(node)
    made = {key: with_junk(child, where[1:], value) if key == where[0] else child for key, child in items}
    return made if isinstance(node, dict) else list(made.values())


@given(where=st.sampled_from(PLACES), value=st.sampled_from(JUNK))
def test_any_part_may_be_anything(tmp_path_factory, where, value) -> None:
    path = tmp_path_factory.getbasetemp() / "linkage.yaml"
    text = io.StringIO()
    yaml.dump(with_junk(DOCUMENT, where, value), text)
    path.write_text(text.getvalue(), encoding="utf-8")
    with suppress(ConfigError):
        load_site(path, PROFILES)


def test_two_call_points_are_one_trigger() -> None:
    assert strength([]) == 0
    assert strength(["manual_call_point"] * 3) == 1
    assert strength(["smoke_detector", "manual_call_point", "manual_call_point"]) == 2
    assert strength(["smoke_detector", "heat_detector"]) == 2


def test_what_a_model_does_instead_lasts_as_long_as_it_can() -> None:
    door, back_door, siren = (PROFILES[name] for name in ("anju-release-door-unit", "anju-door-unit", "anju-sounder"))
    release = RuleAction(device="d", do="release")
    assert command_of(door, "release") == "release"
    assert args_of(door, "release", release) == {}
    assert command_of(back_door, "release") == "unlock"
    assert args_of(back_door, "unlock", release) == {"seconds": 60}
    assert args_of(back_door, "unlock", RuleAction(device="d", do="release", args={"seconds": 20})) == {"seconds": 20}
    assert command_of(siren, "release") is None


def test_an_address_is_read() -> None:
    assert checked_listen("[::1]:8090") == ("::1", 8090)
    assert checked_listen("0.0.0.0:8090") == ("0.0.0.0", 8090)
