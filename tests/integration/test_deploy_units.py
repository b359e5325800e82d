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
    for program in re.findall(rf"={tmp_path}(/\S+)", copy.read_text()):
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


def test_a_unit_restarts_for_ever_and_is_watched(unit: Path) -> None:
    said = settings(unit)
    assert said["Type"] == ["notify"]
    assert said["Restart"] == ["always"]
    assert said["StartLimitIntervalSec"] == ["0"]
    assert said["WatchdogSec"] == ["30s"]
    assert said["User"] != ["root"]


def test_the_box_reaches_serial_ports_and_its_boot_id() -> None:
    said = settings(DEPLOY / "systemd/anju-edge.service")
    assert {"char-ttyUSB rw", "char-ttyAMA rw", "char-ttyS rw"} <= set(said["DeviceAllow"])
    assert said["SupplementaryGroups"] == ["dialout"]
    assert "PrivateDevices" not in said
    assert "ProcSubset" not in said  # /proc/sys/kernel/random/boot_id is in every block


@pytest.mark.parametrize("name", ["anju-edge", "anju-cloud"])
def test_the_users_of_the_units_are_made(name: str, tmp_path: Path) -> None:
    user = settings(DEPLOY / f"systemd/{name}.service")["User"][0]
    (tmp_path / "etc").mkdir()
    done = subprocess.run(
        [tool("systemd-sysusers"), f"--root={tmp_path}", str(DEPLOY / f"systemd/sysusers.d/{name}.conf")],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert f"{user}:" in (tmp_path / "etc/passwd").read_text()
