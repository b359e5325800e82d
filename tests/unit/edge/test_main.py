"""The whole box, from a register on a simulated bus to the cloud's side of the uplink."""

import asyncio
import gc
import os
import shutil
import signal
import sys
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import pytest

from contract.errors import AnjuError, Permanent
from contract.messages import Command, CommandResult, CommandStatus
from contract.profile import load_profiles, shipped_profiles
from contract.records import ConfigReport, InventoryRecord, StateRecord
from contract.site import load_site
from edge import cli
from edge.main import run, running
from edge.provision import load_identity
from edge.provision.enrol import enrol
from edge.settings import only_one, warning_in_clear
from simulators.estate import Estate
from simulators.log import TruthLog
from tests.support.fake_cloud import FakeCloud
from tests.support.waiting import eventually

SITE = """\
estate: {{name: 西苑小区}}
cloud: {{url: "{cloud}"}}
storage: {{seal_s: 0.2}}
buses:
  - id: panel
    protocol: modbus-tcp
    host: 127.0.0.1
    port: {port}
    poll_s: 0.05
    devices:
      - {{id: smoke-1, name: 烟感1, profile: anju-smoke-panel-16, unit: 1, channel: 0}}
      - {{id: door-1, name: 门1, profile: anju-door-unit, unit: 2}}
"""


@asynccontextmanager
async def estate_and_cloud(folder: Path):
    """A simulated estate, a cloud in which the box is enrolled, and the site file that joins them."""
    site_path = folder / "site.yaml"
    async with FakeCloud() as cloud:
        site_path.write_text(SITE.format(cloud=cloud.url, port=1))
        profiles = load_profiles(shipped_profiles())
        estate = Estate(load_site(site_path, profiles), profiles, TruthLog())
        estate.buses["panel"].server.port = 0
        async with estate:
            site_path.write_text(SITE.format(cloud=cloud.url, port=estate.buses["panel"].server.port))
            cloud.claims["CLAIM"] = "gw-1"
            await enrol(cloud.url, "CLAIM", folder / "state", version="0")
            yield estate, cloud, site_path


@asynccontextmanager
async def box(site_path: Path, state: Path):
    """The box, running in this process; on leaving it is stopped as by SIGTERM."""
    stop = asyncio.Event()
    task = asyncio.create_task(run(site_path, state, "127.0.0.1:0", identify=load_identity, stopped=stop.wait))
    try:
        yield task
    finally:
        stop.set()
        await asyncio.wait_for(task, 10)


def history(cloud: FakeCloud, device: str, point: str):
    records = cloud.gateways["gw-1"].urgent.items
    return [r.value for r in records if isinstance(r, StateRecord) and (r.device, r.point) == (device, point)]


async def test_a_register_reaches_the_cloud_and_a_command_the_door(tmp_path):
    async with estate_and_cloud(tmp_path) as (estate, cloud, site_path):
        gateway = cloud.gateways["gw-1"]
        async with box(site_path, tmp_path / "state"):
            await cloud.until(lambda: history(cloud, "smoke-1", "link") == ["online"])
            estate.set("smoke-1", "smoke", "smoke")
            await cloud.until(lambda: history(cloud, "smoke-1", "smoke") == ["clear", "smoke"])
            command = Command("c1", "door-1", "unlock", {"seconds": 2}, cloud.utc_ns() + 10**10)
            gateway.commands.put_nowait(command)
            await cloud.until(lambda: any(isinstance(r, CommandResult) for r in gateway.urgent.items))
            (result,) = [r for r in gateway.urgent.items if isinstance(r, CommandResult)]
            assert (result.id, result.status) == ("c1", CommandStatus.EXECUTED)
            await cloud.until(lambda: "unlocked" in history(cloud, "door-1", "lock"))
            await cloud.until(lambda: bool(gateway.bulk.items))
        assert isinstance(gateway.urgent.items[0], InventoryRecord)
        assert sum(isinstance(r, ConfigReport) for r in gateway.urgent.items) == 1
        # What a clean stop sealed was delivered before it ended; a restart says nothing twice.
        before = len(history(cloud, "smoke-1", "smoke"))
        async with box(site_path, tmp_path / "state"):
            await cloud.until(lambda: sum(isinstance(r, ConfigReport) for r in gateway.urgent.items) == 2)
            estate.set("smoke-1", "smoke", "clear")
            await cloud.until(lambda: history(cloud, "smoke-1", "smoke")[before:] == ["clear"])
        assert gateway.refusals == []


async def test_polling_goes_on_without_a_cloud_and_nothing_is_lost(tmp_path):
    async with estate_and_cloud(tmp_path) as (estate, cloud, site_path):
        await cloud.stop()
        async with box(site_path, tmp_path / "state"):
            await eventually((tmp_path / "state" / "urgent.db").exists)
            await asyncio.sleep(0.3)
            estate.set("smoke-1", "smoke", "smoke")
            await asyncio.sleep(0.3)
        await cloud.start()
        async with box(site_path, tmp_path / "state"):
            await cloud.until(lambda: history(cloud, "smoke-1", "smoke") == ["clear", "smoke"])


def test_a_state_folder_has_one_box(tmp_path):
    with only_one(tmp_path), pytest.raises(AnjuError, match="another `anju run` uses"), only_one(tmp_path):
        pass
    with only_one(tmp_path):
        pass


def test_a_state_folder_that_cannot_be_used_is_said(tmp_path):
    (tmp_path / "lock").mkdir()
    with (
        pytest.raises(AnjuError, match=r"cannot be used: Is a directory\.\n    It must be there and writable"),
        only_one(tmp_path),
    ):
        pass
    with pytest.raises(AnjuError, match="No such file or directory"), only_one(tmp_path / "gone"):
        pass


@pytest.mark.parametrize(
    ("url", "is_said"),
    [("https://anju.example", False), ("http://anju.example", True), ("http://127.0.0.1:8080", False),
     ("http://localhost", False), ("http://192.168.1.5", True), ("http://[::1]:8080", False), ("no address", False)],
)  # fmt: skip
def test_an_address_that_lets_others_read_along_is_said(url, is_said):
    assert ("not encrypted" in warning_in_clear(url)) is is_said


async def anju(*arguments: str, **environment: str):
    return await asyncio.create_subprocess_exec(
        sys.executable, "-c", "from edge.cli import main; main()", *arguments,
        env={**os.environ, **environment}, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip


async def said(process) -> tuple[int, str, str]:
    out, err = await asyncio.wait_for(process.communicate(), 20)
    return process.returncode, out.decode(), err.decode()


async def test_the_process_serves_its_page_survives_kill_9_and_stops_on_sigterm(tmp_path, unused_tcp_port):
    async with estate_and_cloud(tmp_path) as (estate, cloud, site_path):
        where = {"ANJU_SITE": str(site_path), "ANJU_STATE": str(tmp_path / "state"),
                 "ANJU_HEALTH_LISTEN": f"127.0.0.1:{unused_tcp_port}"}  # fmt: skip
        process = await anju("run", **where)
        await cloud.until(lambda: history(cloud, "smoke-1", "smoke") == ["clear"])
        second = await anju("run", **where)
        code, _, problem = await said(second)
        assert (code, "another `anju run` uses" in problem) == (2, True)
        async with aiohttp.ClientSession(f"http://127.0.0.1:{unused_tcp_port}") as http:
            async with http.get("/") as response:
                page = await response.text()
            async with http.get("/metrics") as response:
                metrics = await response.text()
            async with http.get("/healthz") as response:
                assert (response.status, await response.text()) == (200, "ok\n")
        assert "已连接 connected" in page
        assert "西苑小区" in page
        assert "anju_box_uplink_connected 1.0" in metrics
        assert 'anju_box_devices{link="online"} 2.0' in metrics
        process.kill()
        await process.communicate()
        estate.set("smoke-1", "smoke", "smoke")
        process = await anju("run", **where)
        await cloud.until(lambda: history(cloud, "smoke-1", "smoke") == ["clear", "smoke"])
        process.send_signal(signal.SIGTERM)
        code, _, log = await said(process)
        assert code == 0, log
        assert "box stopped" in log


async def test_mistakes_are_said_and_nothing_is_started(tmp_path):
    site = tmp_path / "site.yaml"
    site.write_text(SITE.format(cloud="http://127.0.0.1:1", port=502).replace("anju-door-unit", "anju-dor-unit"))
    first, second, third, fourth = await asyncio.gather(
        anju("run", "--site", str(site), "--state", str(tmp_path / "state")),
        anju("check", "--site", str(site)),
        anju("profile", "list"),
        anju("enrol", "--cloud", "http://127.0.0.1:1", "--claim", "X", "--state", str(tmp_path / "state")),
    )
    for process in (first, second):
        code, _, problem = await said(process)
        assert code == 2
        assert f"{site}:12: profile 'anju-dor-unit' does not exist\n    did you mean 'anju-door-unit'?" in problem
    code, out, _ = await said(third)
    assert code == 0
    assert "anju-door-unit" in out
    code, _, problem = await said(fourth)
    assert code == 2
    assert "cannot be reached" in problem
    assert {path.name for path in (tmp_path / "state").iterdir()} == {"identity.key"}


async def test_a_sound_file_is_summed_up_and_an_unknown_box_told_to_enrol(tmp_path):
    site = tmp_path / "site.yaml"
    site.write_text(SITE.format(cloud="http://127.0.0.1:1", port=502))
    shutil.copytree(shipped_profiles(), tmp_path / "profiles")
    summed, unknown = await asyncio.gather(
        anju("check", "--site", str(site)), anju("run", "--site", str(site), "--state", str(tmp_path / "state"))
    )
    code, out, _ = await said(summed)
    assert code == 0
    assert "panel: modbus-tcp 127.0.0.1:502" in out
    code, _, problem = await said(unknown)
    assert (code, "not enrolled" in problem) == (2, True)


BAD_SITE = """\
estate: {{name: 西苑小区, timezone: Asia/Shangai}}
cloud: {{url: "{cloud}"}}
buses:
  - id: panel
    protocol: modbus-tcp
    host: 127.0.0.1
    port: {port}
    poll_s: 900
    devices:
      - {{id: smoke-1, name: 烟感1, profile: anju-smoke-panel-16, unit: 250}}
      - {{id: door-1, name: 门1, profile: anju-dor-unit, unit: 2, chanel: 1}}
"""
BAD_SITE_SAID = """\
{site}:1: time zone 'Asia/Shangai' does not exist
    for China: Asia/Shanghai
{site}:8: poll_s 900 is longer than the heartbeat of 'fault' of anju-smoke-panel-16 (300 s)
    at most 300: what is reported later is stale before it is read again
{site}:10: unit 250 is reserved by the standard
    units behind a gateway are 1 to 247; a device that speaks TCP itself is 255
{site}:11: devices[1] has no field 'chanel'
    did you mean 'channel'?
{site}:11: profile 'anju-dor-unit' does not exist
    did you mean 'anju-door-unit'?
"""


@pytest.mark.parametrize("command", ["run", "check"])
async def test_every_mistake_of_a_site_file_is_said_and_nothing_at_all_is_started(tmp_path, command):
    async with estate_and_cloud(tmp_path) as (estate, cloud, site_path):
        panel = estate.buses["panel"].server
        site_path.write_text(BAD_SITE.format(cloud=cloud.url, port=panel.port))
        state = tmp_path / "state of nobody"
        state_option = () if command == "check" else ("--state", str(state))
        code, out, problem = await said(await anju(command, "--site", str(site_path), *state_option))
        assert (code, out) == (2, "")
        assert problem == BAD_SITE_SAID.format(site=site_path)
        assert not state.exists()
        assert panel.connections == 0


async def test_enrolling_takes_the_way_to_the_cloud_from_the_site_file(tmp_path):
    async with FakeCloud() as cloud:
        cloud.claims["CLAIM"] = "gw-1"
        site = tmp_path / "site.yaml"
        site.write_text(SITE.format(cloud=cloud.url, port=502))
        state = str(tmp_path / "state")
        code, out, problem = await said(await anju("enrol", "--site", str(site), "--claim", "CLAIM", "--state", state))
        assert (code, problem) == (0, "")
        assert f"gateway gw-1 at {cloud.url}" in out
        code, _, problem = await said(await anju("enrol", "--claim", "CLAIM", "--state", state))
        assert (code, "which cloud?" in problem) == (2, True)


async def test_enrolling_at_a_remote_cloud_in_clear_is_warned_of(tmp_path):
    state = str(tmp_path / "state")
    code, _, problem = await said(await anju("enrol", "--cloud", "http://0.0.0.0:1", "--claim", "X", "--state", state))
    assert code == 2
    assert problem.startswith("warning: http://0.0.0.0:1 is not encrypted")


async def test_a_box_enrolled_elsewhere_says_so_at_start(tmp_path, capsys):
    async with estate_and_cloud(tmp_path) as (_, cloud, site_path):
        async with box(site_path, tmp_path / "state"):
            await cloud.until(lambda: bool(cloud.gateways["gw-1"].urgent.items))
        assert "another cloud" not in capsys.readouterr().out
        site_path.write_text(site_path.read_text().replace("127.0.0.1", "localhost", 1))
        async with box(site_path, tmp_path / "state"):
            await eventually((tmp_path / "state" / "urgent.db").exists)
        said_of_it = capsys.readouterr().out
        assert "the site file names another cloud than the one this box was enrolled at" in said_of_it
        assert f"enrolled_at={cloud.url}" in said_of_it


async def test_the_task_that_failed_is_named_and_not_those_it_took_along():
    async def fails():
        await asyncio.sleep(0)
        raise Permanent("the disk is on fire")

    with pytest.raises(ExceptionGroup) as failed:
        async with running({"uplink": fails(), "watchdog": asyncio.sleep(60), "bus": asyncio.sleep(60)}):
            await asyncio.sleep(60)
    assert [str(error) for error in failed.value.exceptions] == ["the disk is on fire"]


@pytest.mark.parametrize(
    ("error", "code", "printed"),
    [
        (AnjuError("mend this"), 2, "mend this\n"),
        (ExceptionGroup("g", [ExceptionGroup("h", [Permanent("the disk is on fire")]), AnjuError("and this")]), 1,
         "the disk is on fire\nand this\n"),
    ],
)  # fmt: skip
def test_errors_of_tasks_are_sentences_too(monkeypatch, capsys, error, code, printed):
    def fails():
        raise error

    monkeypatch.setattr(cli, "app", fails)
    with pytest.raises(SystemExit) as ended:
        cli.main()
    assert (ended.value.code, capsys.readouterr().err) == (code, printed)


def test_a_bug_among_them_shows_where_it_came_from(monkeypatch):
    def fails():
        raise ExceptionGroup("g", [AnjuError("x"), KeyError("a bug")])

    monkeypatch.setattr(cli, "app", fails)
    with pytest.raises(ExceptionGroup, match="g"):
        cli.main()


async def test_a_task_that_is_cancelled_by_accident_ends_the_box():
    async def gives_up():
        await asyncio.sleep(0)
        raise asyncio.CancelledError

    with pytest.raises(ExceptionGroup) as failed:
        async with running({"uplink": gives_up()}):
            await asyncio.sleep(60)
    assert "task 'uplink' was cancelled" in str(failed.value.exceptions[0])


@pytest.mark.parametrize("steps", [0, 1, 3])
async def test_leaving_the_context_cancels_in_peace(steps):
    async with running({"bus": asyncio.sleep(60)}):
        for _ in range(steps):
            await asyncio.sleep(0)
    gc.collect()  # a coroutine that nobody awaited would be told of here
