"""`anju check`: sums up what a site connects and does, names what is missing, and reads no secret aloud."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from contract.errors import ConfigError
from edge.cli import app
from edge.provision.columns import width_of
from edge.provision.site_page import page, summary_of

ROOT = Path(__file__).resolve().parents[4]
LINKAGE = ROOT / "tests" / "cases" / "site" / "good-linkage" / "site.yaml"
LINES = ROOT / "edge" / "drivers" / "modbus" / "sample.yaml"
DEMO = ROOT / "simulators" / "scenarios" / "site.yaml"
SITES = [
    LINKAGE,
    LINES,
    DEMO,
    ROOT / "edge" / "drivers" / "mqtt" / "sample.yaml",
    *ROOT.glob("tests/cases/site/good*/site.yaml"),
]


@pytest.fixture(autouse=True)
def secrets(tmp_path, monkeypatch):
    folder = tmp_path / "secrets"
    folder.mkdir()
    monkeypatch.delenv("CREDENTIALS_DIRECTORY", raising=False)
    monkeypatch.setenv("ANJU_SECRETS", str(folder))
    return folder


def said(path, width=80) -> str:
    return "\n".join(page(summary_of(path), width))


def test_zones_and_rules_are_said_with_what_triggers_and_what_is_done():
    text = said(LINKAGE)
    assert "b3-u2 3号楼2单元: 7层烟感, 8层烟感, 2单元手报" in text
    rules = text.partition("Rules, done by the box itself\n")[2].partition("\n\n")[0]
    assert rules.splitlines() == [
        "  fire-b3-u2: fire in b3-u2, at 2 of 3 triggers within 600 s",
        "    at the first: sound 值班室声光 (siren-guard), seconds 60",
        "    then: release 2单元门 (door-3-2)",
        "          release 2单元后门 (door-3-2-back)",
        "          hold_open 东门车闸 (gate-east)",
        "          sound 2单元声光 (siren-3-2), seconds 600",
        "    when it is over: close 东门车闸 (gate-east)",
        "  leak-b1: leak in b1, at one trigger",
        "    then: sound 值班室声光 (siren-guard), seconds 30",
    ]


def test_a_first_trigger_that_nobody_hears_and_detectors_in_no_zone_are_seen():
    text = said(DEMO)
    assert "at the first: nothing on the spot" in text
    assert "in no zone: 14 × smoke detector" in text


def without(tmp_path, *cuts):
    text = LINKAGE.read_text()
    for cut in cuts:
        assert cut in text
        text = text.replace(cut, "")
    site = tmp_path / "site.yaml"
    site.write_text(text)
    return site


PAGE_SOUND = "  sound:\n    - {device: siren-guard, do: sound, args: {seconds: 60}}\n"
FIRST = "    first:\n      - {device: siren-guard, do: sound, args: {seconds: 60}}\n"


def test_detectors_that_nobody_hears_while_cut_off_are_warned_of_with_the_line_to_add(tmp_path):
    assert "nobody hears" not in said(LINKAGE)
    assert "nobody hears" not in said(without(tmp_path, PAGE_SOUND)), "the zone's own rule sounds at the first"
    text = said(without(tmp_path, PAGE_SOUND, FIRST), 300)
    assert "nobody hears an alarm of 3 detectors of fire or gas: smoke-3-2-07, smoke-3-2-08, call-3-2" in text
    assert "under guard_page: add sound: [{device: siren-3-2, do: sound, args: {seconds: 60}}]" in text
    assert "add guard_page: with listen" in said(LINES, 300)


def test_devices_without_a_place_are_warned_of_with_how_to_write_one(tmp_path):
    assert "no place is written" not in said(LINKAGE)
    text = said(without(tmp_path, ", place: {building: 3, spot: 8层烟感}"), 200)
    assert "no place is written for smoke-3-2-08: two of a kind cannot be told apart" in text
    assert "place: {building: 3, unit: 2, floor: 7, spot: corridor}" in text


def test_the_guard_pages_sound_is_what_a_first_trigger_has(tmp_path):
    site = tmp_path / "site.yaml"
    first = "    first:\n      - {device: siren-guard, do: sound, args: {seconds: 60}}\n"
    site.write_text(LINKAGE.read_text().replace(first, "", 1))
    assert "at the first: sound 值班室声光 (siren-guard), seconds 60" in said(site)


def test_the_load_of_a_serial_line_is_said_and_tcp_has_none():
    loads = {bus.id: bus.load for bus in summary_of(LINES).buses}
    assert loads["gateway-1"] is None
    assert 0 < (loads["line-2"] or 0) < (loads["line-1"] or 0) < 0.1  # twice the speed, half the time
    assert "every 1 s: 1 × door; this takes 3% of the line's time" in said(LINES, 200)


def test_a_missing_secret_is_named_with_its_place_and_one_that_is_there_is_not_read_aloud(secrets):
    assert "there is no secret 'guard-password'" in said(LINKAGE)
    assert "needed for guard_page.password" in said(LINKAGE)
    (secrets / "guard-password").write_text("hunter2-hunter2\n")
    found = CliRunner().invoke(app, ["check", "--site", str(LINKAGE)]).output
    assert "no mistakes" in found
    assert "look at them" not in found
    assert "hunter2" not in found + CliRunner().invoke(app, ["check", "--json", "--site", str(LINKAGE)]).output
    (secrets / "guard-password").write_text("\n")
    assert "the secret 'guard-password' is empty" in said(LINKAGE)


def test_where_no_folder_of_secrets_is_known_they_are_listed(monkeypatch):
    monkeypatch.delenv("ANJU_SECRETS")
    text = said(LINKAGE, 200)
    assert "ANJU_SECRETS names no folder; the box needs: guard-password (guard_page.password)" in text
    assert len(summary_of(LINKAGE).warnings) == 1


def test_a_broken_profile_that_nobody_uses_is_a_warning_and_one_in_use_a_mistake(tmp_path):
    site, folder = tmp_path / "site.yaml", tmp_path / "profiles"
    folder.mkdir()
    site.write_text(LINES.read_text())
    good = (ROOT / "device_profiles" / "modbus" / "anju-door-unit.yaml").read_text()
    (folder / "own-door.yaml").write_text(good.replace("kind: door", "kind: dor").replace("anju-door-unit", "own-door"))
    (warning,) = [warning for warning in summary_of(site).warnings if "nobody uses it" in warning]
    assert "own-door.yaml:" in warning
    assert CliRunner().invoke(app, ["check", "--site", str(site)]).exit_code == 0
    site.write_text(site.read_text().replace("profile: anju-door-unit", "profile: own-door", 1))
    with pytest.raises(ConfigError):
        summary_of(site)


@pytest.mark.parametrize("site", SITES, ids=lambda path: f"{path.parent.name}-{path.name}")
def test_it_fits_a_terminal_of_80_columns(site):
    wide = [line for line in said(site).splitlines()[1:] if width_of(line) > 80]
    assert all("/" in line for line in wide)  # an address is never cut


def test_a_program_is_told_the_same(secrets):
    found = CliRunner().invoke(app, ["check", "--json", "--site", str(LINKAGE)])
    told = json.loads(found.output)
    assert found.exit_code == 0
    assert (told["devices"], told["guard_page"], told["zones"][0]["triggers"]["call-3-2"]) == (
        10,
        "0.0.0.0:8090",
        "2单元手报",
    )
    rule = told["rules"][0]
    assert (rule["id"], rule["needs"], rule["has"]) == ("fire-b3-u2", 2, 3)
    assert rule["then"][3] == {"device": "siren-3-2", "name": "2单元声光", "do": "sound", "args": {"seconds": 600}}
    assert told["secrets"][0]["needed_for"] == ["guard_page.password"]


def test_a_program_is_told_the_mistakes_too(tmp_path):
    site = tmp_path / "site.yaml"
    site.write_text(LINKAGE.read_text().replace("zone: b3-u2", "zone: b3-u9"))
    found = CliRunner().invoke(app, ["check", "--json", "--site", str(site)])
    (mistake,) = json.loads(found.output)["mistakes"]
    assert found.exit_code == 2
    assert mistake["file"] == str(site)
    assert mistake["line"] == site.read_text().splitlines().index("    zone: b3-u9") + 1
    assert (mistake["problem"], mistake["hint"]) == ("zone 'b3-u9' does not exist", "did you mean 'b3-u2'?")


def test_a_secret_of_the_wrong_form_is_said_before_the_box_stumbles_over_it(tmp_path, secrets):
    (secrets / "guard-password").write_text("short")
    text = said(LINKAGE)
    assert "the secret 'guard-password' must have 8 to 200 characters" in text
    assert "short" not in text
    ble = ROOT / "edge" / "drivers" / "ble" / "sample.yaml"
    (secrets / "bindkey-door-3-2").write_text("not-a-key")
    (secrets / "bindkey-panic-3-2-101").write_text("00112233445566778899AABBCCDDEEFF\n")
    text = said(ble)
    assert "'bindkey-door-3-2' is no bindkey: it must be 32 hex digits" in text
    assert "not-a-key" not in text
    assert "bindkey-panic-3-2-101" not in text


def test_a_port_that_another_adapter_may_have_tomorrow_is_warned_of(tmp_path):
    site = tmp_path / "site.yaml"
    site.write_text(LINES.read_text().replace("/dev/serial/by-id/usb-1a86_USB_Serial-if00-port0", "/dev/ttyUSB0"))
    assert "line-1: /dev/ttyUSB0 goes to whichever adapter comes first" in said(site)
    assert "comes first" not in said(LINES)
