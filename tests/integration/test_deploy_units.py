"""The systemd units pass systemd's own checks, and keep what they promise in deploy/README.md."""

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

DEPLOY = Path(__file__).resolve().parents[2] / "deploy"
UNITS = sorted((DEPLOY / "systemd").glob("*.service"))


def tool(name: str) -> str:
    """Path of a program of systemd, also of one in /usr/sbin when the person testing is not root."""
    found = shutil.which(name, path=f"{os.environ['PATH']}:/usr/sbin:/sbin")
    if found is None:
        pytest.fail(f"{name} is missing; `make test-servers` installs it")
    return found


def settings(unit: Path) -> dict[str, list[str]]:
    """Every setting of a unit with its values in order; sections do not share names here."""
    found: dict[str, list[str]] = {}
    for line in unit.read_text().splitlines():
        if "=" in line and not line.startswith("#"):
            key, value = line.split("=", 1)
            found.setdefault(key, []).append(value)
    return found


@pytest.fixture(params=UNITS, ids=lambda path: path.name)
def unit(request: pytest.FixtureRequest) -> Path:
    return request.param


def test_there_is_a_unit_for_the_box_and_one_for_the_cloud() -> None:
    assert [path.name for path in UNITS] == ["anju-cloud.service", "anju-edge.service"]


def test_systemd_accepts_the_unit(unit: Path, tmp_path: Path) -> None:
    # The programs that it names are put under a folder of this test, since /opt/anju is not here.
    copy = tmp_path / unit.name
    copy.write_text(unit.read_text().replace("=/opt/", f"={tmp_path}/opt/"))
    for program in set(re.findall(rf"={tmp_path}(/\S+)", copy.read_text())):
        path = tmp_path / program.lstrip("/")
        path.parent.mkdir(parents=True)
        path.write_text("#!/bin/sh\n")
        path.chmod(0o755)
    done = subprocess.run(
        [tool("systemd-analyze"), "verify", "--man=no", str(copy)], capture_output=True, text=True, check=False
    )
    about_us = [line for line in done.stderr.splitlines() if unit.name in line or str(tmp_path) in line]
    assert (done.returncode, about_us) == (0, []), done.stderr


def test_the_sandbox_leaves_an_exposure_of_two_at_most(unit: Path) -> None:
    done = subprocess.run(
        [tool("systemd-analyze"), "security", "--offline=true", "--threshold=20", "--no-pager", str(unit)],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-200:] + done.stderr


def test_the_page_says_how_exposed_the_units_are() -> None:
    said = []
    for name in ("anju-edge", "anju-cloud"):
        unit = str(DEPLOY / f"systemd/{name}.service")
        command = [tool("systemd-analyze"), "security", "--offline=true", "--no-pager", unit]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        said.append(done.stdout.rsplit("Overall exposure level", 1)[1].split()[2])
    assert f"rates them {said[0]} and {said[1]} of 10" in (DEPLOY / "README.md").read_text(encoding="utf-8")


def test_a_unit_restarts_for_ever_and_is_watched(unit: Path) -> None:
    said = settings(unit)
    assert said["Type"] == ["notify"]
    assert said["Restart"] == ["always"]
    assert said["StartLimitIntervalSec"] == ["0"]
    assert said["WatchdogSec"] == ["30s"]
    assert said["User"] != ["root"]


def test_the_box_reaches_serial_ports_bluetooth_and_its_boot_id() -> None:
    said = settings(DEPLOY / "systemd/anju-edge.service")
    assert {f"char-tty{kind} rw" for kind in ("USB", "ACM", "AMA", "S", "SC")} == set(said["DeviceAllow"])
    # A kind of port is known by name only once its module is loaded; an adapter may be plugged in after the start.
    for module in ("usbserial", "cdc_acm"):
        assert f"modprobe@{module}.service" in said["Wants"][0].split()
        assert f"modprobe@{module}.service" in said["After"][0].split()
    assert said["SupplementaryGroups"] == ["dialout bluetooth"]
    assert "AF_UNIX" in said["RestrictAddressFamilies"][0].split()  # D-Bus
    assert "PrivateDevices" not in said
    assert "ProcSubset" not in said  # /proc/sys/kernel/random/boot_id is in every block


def test_the_box_waits_for_nothing_that_may_be_missing() -> None:
    said = settings(DEPLOY / "systemd/anju-edge.service")
    named = {
        name for key in ("Wants", "Requires", "BindsTo", "After") for line in said.get(key, ()) for name in line.split()
    }
    assert named == {"network.target", "time-set.target", "modprobe@usbserial.service", "modprobe@cdc_acm.service"}


def test_a_reload_checks_the_site_file_before_the_box_looks_at_it() -> None:
    check, signal = settings(DEPLOY / "systemd/anju-edge.service")["ExecReload"]
    assert check.endswith("/anju check --site ${ANJU_SITE}")
    assert signal == "/bin/kill -HUP $MAINPID"


@pytest.mark.parametrize("name", ["anju-edge", "anju-cloud"])
def test_the_users_and_groups_of_the_units_are_made(name: str, tmp_path: Path) -> None:
    said = settings(DEPLOY / f"systemd/{name}.service")
    (tmp_path / "etc").mkdir()
    done = subprocess.run(
        [tool("systemd-sysusers"), f"--root={tmp_path}", str(DEPLOY / f"systemd/sysusers.d/{name}.conf")],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    user = said["User"][0]
    assert f"{user}:" in (tmp_path / "etc/passwd").read_text()
    # A group that is named and missing keeps the unit from starting.
    members = dict(line.split(":")[::3] for line in (tmp_path / "etc/group").read_text().splitlines())
    for group in said.get("SupplementaryGroups", [""])[0].split():
        assert members[group] == user
