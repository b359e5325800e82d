"""Scenarios: mistakes are found with their line, runs can be repeated, and a running one takes orders."""

import asyncio
import os
import re
import signal
import socket as socket_
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from pathlib import Path

import pytest

from contract.errors import ConfigError, Permanent, Retryable
from contract.profile import load_profiles, shipped_profiles
from contract.site import load_site
from simulators.bus import Fault
from simulators.control import CutOrder, FailOrder, GetOrder, PowerOrder, SetOrder, serve_control, tell
from simulators.estate import Estate
from simulators.log import Change, Entry, TruthLog, read_log
from simulators.player import Player
from simulators.scenario import Play, load_scenario, seconds

SCENARIOS = Path(__file__).resolve().parents[3] / "simulators" / "scenarios"

CLOSE = "set: {device: door-1-1, point: contact, value: closed}"


def free_ports(count: int) -> list[int]:
    """Ports that nobody uses now."""
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket_.socket()) for _ in range(count)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]


def shifted(folder: Path) -> Path:
    """The shipped scenario with its site on ports nobody else uses."""
    site = (SCENARIOS / "site.yaml").read_text()
    ports = iter(free_ports(site.count("port: ")))
    (folder / "site.yaml").write_text(re.sub(r"port: \d+", lambda _: f"port: {next(ports)}", site))
    (folder / "smoke.yaml").write_text((SCENARIOS / "smoke.yaml").read_text())
    return folder / "smoke.yaml"


def test_durations() -> None:
    assert [seconds(d) for d in ("2s", "1m30s", "0.5s", "1h", "1h1m1s")] == [2, 90, 0.5, 3600, 3661]


def test_the_shipped_estate_is_as_described() -> None:
    site = load_site(SCENARIOS / "site.yaml", load_profiles(shipped_profiles()))
    devices = [device for bus in site.buses for device in bus.devices]
    assert site.estate.name == "西苑小区"
    assert len({d.place.building for d in devices}) == 3
    assert sum("door-unit" in d.profile for d in devices) == 3
    (zone,), (rule,) = site.zones, site.linkage
    assert {"smoke-3-2-07", "smoke-3-2-08"} <= set(zone.triggers)
    assert [(act.device, act.do) for act in rule.then] == [("door-3-2", "release"), ("siren-3-2", "sound")]
    assert all(bus.poll_s == 0.25 for bus in site.buses)
    assert any(d.id == "smoke-3-2-07" and d.name == "3号楼2单元7层烟感" for d in devices)


@pytest.mark.parametrize(
    ("find", "put", "line", "problem"),
    [
        ("at: 6s", "at: 6x", 10, "at"),
        ("at: 6s", "at: 1s", 10, "after a later step"),
        ("value: closed", "value: shut", 10, "none of: closed, open"),
        (CLOSE, "set: {device: door-9-9, point: contact, value: open}", 10, "no device 'door-9-9'"),
        ("to: 31", "to: 9000", 12, "does not fit"),
        ("temperature, to: 31,", "smoke, to: 1,", 12, "only numbers ramp"),
        (CLOSE, "cut: west", 10, "no bus 'west'"),
        (CLOSE, "cut: doors, mend: door-1-1", 10, "does one thing"),
        ("point: obscuration, base", "point: smoke, base", 7, "no telemetry 'smoke'"),
        (CLOSE, "fault: {device: door-1-1, kind: dead}", 10, "kind"),
        (CLOSE, "fault: {device: door-1-1, kind: crc}", 10, "modbus-tcp bus cannot do 'crc'"),
        (CLOSE, "fault: {device: door-1-1, kind: slow}", 10, "needs delay_s"),
        (CLOSE, "fault: {device: door-9-9, kind: silent}", 10, "no device 'door-9-9'"),
        (CLOSE, "jump: {device: door-1-1, point: contact, to: ajar}", 10, "none of: closed, open"),
        (CLOSE, "chatter: {device: door-1-1, point: contact, between: [closed, ajar], over: 9s}", 10, "none of"),
        (CLOSE, "chatter: {device: door-1-1, point: contact, between: [closed], over: 9s}", 10, "between"),
        (CLOSE, "chatter: {device: door-1-1, point: unlock, between: [0, 1], over: 9s}", 10, "no point 'unlock'"),
        (CLOSE, "mend: door-9-9", 10, "no device 'door-9-9'"),
        ("seed: 7", "again: 1m20s", 4, "not after the last step"),
        ("seed: 7", "clock: noon", 4, "clock"),
        ("noise: 0.15}", "counts: smoke}", 6, "no telemetry 'smoke'"),
        ("noise: 0.15}", "device: smoke-9-9-99}", 6, "no device 'smoke-9-9-99'"),
    ],
)  # fmt: skip
def test_mistakes_are_found_with_their_line(tmp_path: Path, find: str, put: str, line: int, problem: str) -> None:
    path = shifted(tmp_path)
    text = path.read_text()
    assert find in text
    path.write_text(text.replace(find, put, 1))
    with pytest.raises(ConfigError) as caught:
        load_scenario(path)
    assert [(m.line, problem in m.problem) for m in caught.value.mistakes] == [(line, True)]


async def run_for(play: Play, speed: float, until: str) -> list[Entry]:
    entries: list[Entry] = []
    reached = asyncio.Event()

    def say(line: str) -> None:
        if until in line:
            reached.set()

    estate = Estate(play.site, play.profiles, TruthLog(also=entries.append), speed, play.scenario.seed)
    for bus in estate.buses.values():
        bus.server.port = 0
    async with estate:
        running = asyncio.create_task(Player(play, estate, say, speed).run())
        async with asyncio.timeout(20):
            await reached.wait()
        running.cancel()
        with suppress(asyncio.CancelledError):
            await running
    return entries


async def test_the_smoke_scenario_tells_its_story() -> None:
    entries = await run_for(load_scenario(SCENARIOS / "smoke.yaml"), speed=100, until="all steps are done")
    changes = [e for e in entries if isinstance(e, Change)]
    smoke = [(e.device, e.value) for e in changes if e.point == "smoke" and e.n > 200]
    assert smoke == [
        ("smoke-3-2-07", "smoke"), ("smoke-3-2-08", "smoke"), ("smoke-3-2-08", "clear"), ("smoke-3-2-07", "clear"),
    ]  # fmt: skip
    obscuration = [float(e.value) for e in changes if (e.device, e.point) == ("smoke-3-2-07", "obscuration")]
    assert max(obscuration) > 6
    assert obscuration[-1] < 0.5
    calm = [float(e.value) for e in changes if (e.device, e.point) == ("smoke-1-1-01", "temperature")][1:]
    assert len(set(calm)) > 3, "telemetry lives"
    assert max(calm) - min(calm) < 3


@pytest.fixture
def socket(tmp_path: Path) -> Path:
    return tmp_path / "sim.sock"


async def test_a_running_simulator_takes_orders(socket: Path) -> None:
    play = load_scenario(SCENARIOS / "smoke.yaml")
    estate = Estate(play.site, play.profiles, TruthLog())
    for bus in estate.buses.values():
        bus.server.port = 0
    async with estate, serve_control(socket, estate, Player(play, estate, print)):
        assert socket.stat().st_mode & 0o777 == 0o600
        answer = await tell(socket, SetOrder("smoke-3-2-07", "smoke", "smoke"))
        assert answer.value == "smoke"
        assert (await tell(socket, GetOrder("smoke-3-2-07", "smoke"))).value == "smoke"
        await tell(socket, FailOrder("door-3-2", Fault(kind="silent")))
        assert estate.buses["doors"].server.faults == {3: Fault(kind="silent")}
        await tell(socket, FailOrder("door-3-2"))
        assert estate.buses["doors"].server.faults == {}
        await tell(socket, CutOrder("doors"))
        await tell(socket, PowerOrder("doors", on=False))
        with pytest.raises(ConnectionRefusedError):
            await asyncio.open_connection("127.0.0.1", estate.buses["doors"].server.port)
        await tell(socket, PowerOrder("doors", on=True))
        for wrong in (SetOrder("smoke-3-2-07", "smoke", "fire"), GetOrder("nobody", "smoke"), CutOrder("west")):
            with pytest.raises(Permanent):
                await tell(socket, wrong)
        reader, writer = await asyncio.open_unix_connection(socket)
        writer.write(b'{"do": "dance"}\n')
        assert b'"ok":false' in await reader.readline()
        writer.close()
        await writer.wait_closed()
    assert not socket.exists()
    with pytest.raises(Retryable, match="no simulator listens"):
        await tell(socket, CutOrder("doors"))


@pytest.fixture
def simulator(tmp_path: Path, socket: Path) -> Iterator[subprocess.Popen[str]]:
    command = [
        sys.executable, "-m", "simulators.cli", "run", str(shifted(tmp_path)), "--speed", "50",
        "--log", str(tmp_path / "truth.jsonl"), "--control", str(socket),
    ]  # fmt: skip
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=os.environ | {"PYTHONUNBUFFERED": "1"})
    yield process
    process.kill()
    process.wait()
    assert process.stdout
    process.stdout.close()


def test_the_command_runs_a_scenario_and_ctrl_c_stops_it(
    simulator: subprocess.Popen[str], tmp_path: Path, socket: Path
) -> None:
    assert simulator.stdout
    said = []
    for line in simulator.stdout:
        said.append(line)
        if "the detector alarms" in line:
            break
    assert "西苑小区" in said[0]
    simulator.send_signal(signal.SIGINT)
    assert simulator.stdout.read().endswith("stopped\n")
    assert simulator.wait(5) == 0
    assert any(isinstance(e, Change) and e.value == "smoke" for e in read_log(tmp_path / "truth.jsonl"))
    assert not socket.exists()
