"""The box at work under its own unit: the unit's command, its rules for the kernel, its talk with systemd."""

import asyncio
import contextlib
import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import msgspec
import pytest

from contract.profile import load_profiles, shipped_profiles
from contract.site import load_site
from edge.provision.identity import IDENTITY_FILE, Enrolment, load_or_make_key
from simulators.estate import Estate
from simulators.log import TruthLog
from tests.support.sandbox import values

ROOT = Path(__file__).resolve().parents[2]
UNIT = ROOT / "deploy/systemd/anju-edge.service"
README = (ROOT / "deploy/README.md").read_text(encoding="utf-8").replace("`good/`", "`good`")
SITE = """\
estate: {{name: 西苑小区}}
cloud: {{url: "http://127.0.0.1:9"}}
buses:
  - id: riser
    protocol: modbus-rtu
    port: {folder}/line
    devices: [{{id: door-1, name: 门, profile: anju-door-unit, unit: 1}}]
  - id: radio
    protocol: ble
    devices: [{{id: contact-1, name: 窗, profile: shelly-blu-door-window, address: "A4:C1:38:01:02:03"}}]
"""


def sandboxed(*command: str) -> list[str]:
    return [sys.executable, "-m", "tests.support.sandbox", str(UNIT), *command]


def run_sandboxed(code: str) -> str:
    """What this Python prints under the unit's rules."""
    done = subprocess.run(
        sandboxed(sys.executable, "-c", code), capture_output=True, text=True, cwd=ROOT, check=True, timeout=60
    )
    return done.stdout.strip()


def test_the_rules_hold_here_as_under_systemd() -> None:
    code = (
        "import os, socket\n"
        "for what in (lambda: socket.socket(socket.AF_NETLINK, socket.SOCK_RAW), lambda: os.chroot('/'),\n"
        "             lambda: os.nice(-1), lambda: socket.socket(socket.AF_UNIX)):\n"
        "    try: what().close()\n"
        "    except (OSError, AttributeError) as e: print(getattr(e, 'errno', 'done'))\n"
        "    else: print('done')"
    )
    assert run_sandboxed(code).split() == ["97", "1", "1", "done"]


def test_the_box_may_ask_whether_the_clock_is_right() -> None:
    code = "import ctypes; print(ctypes.CDLL(None).adjtimex(ctypes.create_string_buffer(512)) >= 0)"
    assert run_sandboxed(code) == "True"


class Systemd:
    """systemd's end of the notify socket: every word that the process said, in order."""

    def __init__(self, path: Path) -> None:
        self.said: list[str] = []
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
        self._socket.bind(str(path))

    async def heard(self, word: str) -> None:
        """Returns once the process says it, from now on."""
        loop = asyncio.get_running_loop()
        async with asyncio.timeout(30):
            while True:
                for line in (await loop.sock_recv(self._socket, 4096)).decode().splitlines():
                    self.said.append(line)
                    if line == word:
                        return

    def close(self) -> None:
        self._socket.close()


@pytest.fixture
async def estate(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Estate]:
    monkeypatch.setenv("ANJU_SIM_DBUS", str(tmp_path / "bus"))
    profiles = load_profiles(shipped_profiles())
    (tmp_path / "site.yaml").write_text(SITE.format(folder=tmp_path), encoding="utf-8")
    with TruthLog(None) as log:
        async with Estate(load_site(tmp_path / "site.yaml", profiles), profiles, log) as estate:
            yield estate


@contextlib.asynccontextmanager
async def box(tmp_path: Path, systemd: Path, port: int) -> AsyncIterator[asyncio.subprocess.Process]:
    """The unit's ExecStart, under the unit's rules and with its environment, paths put under this test's."""
    state = tmp_path / "state"
    state.mkdir()
    load_or_make_key(state)
    (state / IDENTITY_FILE).write_bytes(msgspec.json.encode(Enrolment("gateway-1", "estate-1", "http://127.0.0.1:9")))
    unit = UNIT.read_text(encoding="utf-8")
    environment = dict(word.split("=", 1) for line in values(unit, "Environment") for word in line.split())
    environment |= {"ANJU_SITE": str(tmp_path / "site.yaml"), "ANJU_STATE": str(state)}
    program, *words = values(unit, "ExecStart")[0].split()
    assert program == "/opt/anju/venv/bin/anju"
    words = [re.sub(r"\$\{(\w+)\}", lambda found: environment[found[1]], word) for word in words]
    process = await asyncio.create_subprocess_exec(
        *sandboxed(str(Path(sys.executable).parent / "anju"), *words),
        cwd=ROOT,
        env=os.environ
        | environment
        | {
            "NOTIFY_SOCKET": str(systemd),
            "WATCHDOG_USEC": "30000000",
            "ANJU_HEALTH_LISTEN": f"127.0.0.1:{port}",
            "DBUS_SYSTEM_BUS_ADDRESS": f"unix:path={tmp_path / 'bus'}",
        },
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


async def online(port: int, *devices: str) -> None:
    """Returns once these are on line, by the box's own page."""
    async with aiohttp.ClientSession() as http, asyncio.timeout(30):
        while True:
            async with http.get(f"http://127.0.0.1:{port}/status.json") as answer:
                if set(devices) <= set((await answer.json())["online"]):
                    return
            await asyncio.sleep(0.1)


async def test_the_box_reads_a_line_and_a_radio_reloads_and_stops_under_its_unit(
    estate: Estate, tmp_path: Path
) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    systemd = Systemd(tmp_path / "notify")
    with contextlib.closing(systemd):
        async with box(tmp_path, tmp_path / "notify", port) as process:
            await systemd.heard("READY=1")
            if "WATCHDOG=1" not in systemd.said:
                await systemd.heard("WATCHDOG=1")
            estate.set("contact-1", "contact", "open")
            await online(port, "door-1", "contact-1")
            site = tmp_path / "site.yaml"
            text = site.read_text(encoding="utf-8")
            site.write_text(
                text.replace("    protocol: modbus-rtu", "    protocol: modbus-rtu\n    poll_s: 0.5"), "utf-8"
            )
            process.send_signal(signal.SIGHUP)
            await systemd.heard("RELOADING=1")
            await systemd.heard("READY=1")
            await online(port, "door-1", "contact-1")
            process.terminate()
            await systemd.heard("STOPPING=1")
            async with asyncio.timeout(30):
                assert await process.wait() == 0
    left = {path.name for path in (tmp_path / "state").iterdir()}
    assert {name for name in left if f"`{name}`" not in README} == set(), "the page names every file of the folder"
