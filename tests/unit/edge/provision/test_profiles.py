"""`anju profile`: lists and pages that fit a terminal, right files to begin with, mistakes with their lines."""

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from contract.errors import AnjuError, ConfigError
from contract.kinds import KINDS, PointType
from contract.profile import AnyProfile, load_profile, load_profiles, shipped_profiles
from contract.site import load_site
from edge.cli import app
from edge.provision.columns import clip, pad, width_of, wrap
from edge.provision.profile_draft import PLACEHOLDERS, draft
from edge.provision.profile_page import page, site_lines
from edge.provision.profiles import PROTOCOLS, as_json, as_table, check_files, chosen, create, known_profiles

SHIPPED = load_profiles(shipped_profiles())
WIDTH = 80


def ids(profile: AnyProfile) -> str:
    """How a test of a profile is called."""
    return profile.id


def test_a_wide_character_takes_two_columns() -> None:
    assert width_of("烟感 A1") == 7
    assert pad("烟感", 6) == "烟感  "
    assert clip("烟感探测器", 7) == "烟感探…"
    assert clip("short", 7) == "short"


@given(st.text(alphabet=st.sampled_from("ab烟感，。 -"), max_size=120), st.integers(4, 40))
def test_wrapped_text_fits_and_loses_nothing(text: str, width: int) -> None:
    lines = wrap(text, width, "  ")
    for line in lines:
        # What cannot be broken (a word, a character with its punctuation) may stand out.
        assert width_of(line) <= width or not any(a.isspace() for a in line.strip())
    assert "".join("".join(lines).split()) == "".join(text.split())


def test_no_line_begins_with_a_comma() -> None:
    assert wrap("甲乙丙，丁", 6) == ["甲乙", "丙，丁"]


def test_the_list_has_every_model_under_its_kind_and_fits_a_terminal() -> None:
    lines = as_table(chosen(SHIPPED, "", ""), WIDTH)
    assert max(map(width_of, lines)) <= WIDTH
    assert {line.split()[0] for line in lines if line.startswith("  ")} == set(SHIPPED)
    at = lines.index("烟感 smoke detector (smoke_detector)")
    assert any("waveshare-io8-smoke" in line for line in lines[at : lines.index("", at)])


def test_the_list_can_be_of_one_kind_and_one_protocol() -> None:
    assert {p.id for p in chosen(SHIPPED, "environment", "ble")} >= {"ruuvi-tag", "shelly-blu-ht"}
    assert all(p.kind == "environment" and p.protocol == "ble" for p in chosen(SHIPPED, "environment", "ble"))
    with pytest.raises(AnjuError, match="did you mean smoke_detector"):
        chosen(SHIPPED, "smoke_detecter", "")
    with pytest.raises(AnjuError, match="modbus, ble, mqtt"):
        chosen(SHIPPED, "", "zigbee")


def test_the_list_for_programs_names_the_kind_in_both_languages() -> None:
    entries = {entry["id"]: entry for entry in json.loads(as_json(SHIPPED.values()))}
    assert entries.keys() == SHIPPED.keys()
    meter = entries["eastron-sdm630"]
    assert (meter["kind"], meter["kind_zh"], meter["protocol"]) == ("electricity_meter", "电表", "modbus")


@pytest.mark.parametrize("profile", SHIPPED.values(), ids=ids)
def test_a_page_says_every_point_and_fits_a_terminal(profile: AnyProfile) -> None:
    lines = page(profile, WIDTH)
    for line in lines:
        assert width_of(line) <= WIDTH or len(line.split()) == 1, line
    text = "\n".join(lines)
    assert all(f"  {name}  " in text for name in profile.points)
    assert profile.source.split()[0] in text


def test_a_page_says_how_a_number_comes_about_and_a_command_is_confirmed() -> None:
    text = "\n".join(page(SHIPPED["peacefair-pzem-004t-v3"], WIDTH))
    assert "words low_first" in text
    assert "raw × 0.0001, plausible from 0 to 25" in text
    text = "\n".join(page(SHIPPED["lctech-relay2-gate"], WIDTH))
    assert "0 = up 抬杆, 1 = down 落杆" in text
    assert "when barrier is down within 15 s" in text


@pytest.mark.parametrize("profile", SHIPPED.values(), ids=ids)
def test_the_lines_for_a_site_file_are_right(profile: AnyProfile, tmp_path: Path) -> None:
    file = tmp_path / "site.yaml"
    head = "estate: {name: 西苑小区}\ncloud: {url: https://anju.example.com}\nbuses:\n"
    file.write_text(head + "".join(f"  {line}\n" for line in site_lines(profile)), encoding="utf-8")
    site = load_site(file, SHIPPED)
    assert {device.profile for device in site.buses[0].devices} == {profile.id}


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("kind", KINDS)
def test_a_new_file_is_right_as_it_is_and_with_all_its_points(protocol: str, kind: str, tmp_path: Path) -> None:
    text = draft(protocol, kind, "acme-one")
    assert max(map(width_of, text.splitlines())) <= WIDTH
    file = tmp_path / "acme-one.yaml"
    file.write_text(text, encoding="utf-8")
    assert len(load_profile(file).points) == 1
    file.write_text(text.replace("\n  #", "\n  "), encoding="utf-8")
    commands = {name for name, point in KINDS[kind].points.items() if point.type is PointType.COMMAND}
    assert set(load_profile(file).points) == set(KINDS[kind].points) - {"link", "linkage"}
    assert all(load_profile(file).points[name].write for name in commands)


def test_a_new_file_lies_beside_the_site_file_and_is_known_then(tmp_path: Path) -> None:
    site = tmp_path / "site.yaml"
    path = create("modbus", "pump", "acme-pump", site)
    assert path == tmp_path / "profiles" / "acme-pump.yaml"
    assert "acme-pump" in known_profiles(site)
    for name, problem in (
        ("acme-pump", "exists already"),
        ("xy-md02", "shipped already"),
        ("Acme Pump", "no id|be an"),
    ):
        with pytest.raises(AnjuError, match=problem):
            create("modbus", "pump", name, site)


def written(text: str) -> str:
    """A draft in which a person has written what it is."""
    for placeholder in PLACEHOLDERS.values():
        text = text.replace(placeholder, "Acme")
    return text


def test_every_mistake_of_every_file_is_said_with_its_line(tmp_path: Path) -> None:
    good = tmp_path / "good.yaml"
    good.write_text(draft("modbus", "pump", "good"), encoding="utf-8")
    with pytest.raises(ConfigError) as untouched:
        check_files([tmp_path])
    told = [
        (mistake.line, mistake.problem.partition(" is still to be written")[0]) for mistake in untouched.value.mistakes
    ]
    assert told == [(6, "vendor"), (7, "model"), (9, "source"), (10, "notes"), (11, "notes_zh")]
    good.write_text(written(good.read_text(encoding="utf-8")), encoding="utf-8")
    assert check_files([tmp_path]) == [f"{good}: no mistakes. pump 水泵, modbus, 1 point"]
    for name in ("one", "two"):
        text = draft("modbus", "pump", name).replace("type: bit", "type: bitt").replace("kind: pump", "kind: pmup")
        (tmp_path / f"{name}.yaml").write_text(text, encoding="utf-8")
    with pytest.raises(ConfigError) as caught:
        check_files([tmp_path])
    assert {Path(m.file).stem for m in caught.value.mistakes} == {"one", "two"}
    assert all(m.line > 0 for m in caught.value.mistakes)


def test_a_file_that_replaces_a_shipped_model_or_is_there_twice_is_told(tmp_path: Path) -> None:
    first, second = tmp_path / "a" / "xy-md02.yaml", tmp_path / "b" / "xy-md02.yaml"
    for path in (first, second):
        path.parent.mkdir()
        path.write_text(written(draft("modbus", "environment", "xy-md02")), encoding="utf-8")
    assert any("replaces the shipped" in line for line in check_files([first]))
    with pytest.raises(ConfigError, match="exists twice"):
        check_files([first, second])
    (tmp_path / "c").mkdir()
    with pytest.raises(AnjuError, match="holds no profile"):
        check_files([tmp_path / "c"])


def test_the_commands_say_it_all(tmp_path: Path) -> None:
    site, run = tmp_path / "site.yaml", CliRunner().invoke
    listed = run(app, ["profile", "list", "--kind", "hydrant"])
    assert "qidian-qdw90a" in listed.output
    assert "models. `anju profile show ID`" in listed.output
    assert "Anhui Qidian" in run(app, ["profile", "show", "qidian-qdw90a"]).output
    options = ["--protocol", "modbus", "--kind", "smoke_detector", "--site", str(site)]
    assert run(app, ["profile", "new", "acme-smoke", *options]).exit_code == 0
    untouched = run(app, ["profile", "check", str(tmp_path / "profiles")])
    assert (untouched.exit_code == 0, "no mistakes" in untouched.output) == (False, False)
    assert "vendor is still to be written" in str(untouched.exception)
    assert "acme-smoke" in run(app, ["profile", "list", "--site", str(site), "--json"]).output
