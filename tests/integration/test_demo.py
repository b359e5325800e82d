"""The demo as a newcomer meets it: killed, started twice, given a wrong address, raced for its ports."""

import asyncio
import os
import re
import signal
import socket
import sys
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import psutil
import pytest

from contract.errors import AnjuError
from simulators.demo.browser import Browser
from simulators.demo.once import newest_answer, open_door
from simulators.demo.processes import Child, PortTakenError, free_port
from simulators.postgres import EmbeddedPostgres
from tests.support.console_preview import PEOPLE, served
from tests.support.waiting import eventually

READY = "Ctrl-C stops it all"
LAUNCH = Path(sys.modules[Child.__module__].__file__).with_name("launch.py")


class Terminal:
    """A demo in a terminal of its own, and what it says there."""

    def __init__(self, process: asyncio.subprocess.Process, screen: Path) -> None:
        self.process = process
        self.screen = screen

    def said(self) -> str:
        return self.screen.read_text()

    async def ready(self) -> str:
        """Waits until the demo runs; its address."""
        await eventually(lambda: READY in self.said() or self.process.returncode is not None, 60)
        found = re.search(r"Open +(\S+)", self.said())
        assert found, self.said()
        return found[1]

    def family(self) -> list[psutil.Process]:
        return psutil.Process(self.process.pid).children(recursive=True)


async def test_which_part_ended_and_why_is_the_last_line(tmp_path: Path) -> None:
    log = tmp_path / "box.log"
    child = await Child.launch("box", ["sh", "-c", "echo starting; echo no more memory; exit 3"], log=log)
    with pytest.raises(AnjuError) as caught:
        await child.ended()
    last = str(caught.value).splitlines()[-1]
    assert last.startswith("box ended by itself (exit code 3), which ends the demo. Its last words: no more memory")
    child = await Child.launch("cloud", ["sh", "-c", "kill -9 $$"], log=log)
    with pytest.raises(AnjuError, match=r"cloud ended by itself \(killed by SIGKILL\)"):
        await child.ended()


@asynccontextmanager
async def demo(folder: Path, **environment: str) -> AsyncIterator[Terminal]:
    """`anju-sim demo` with its data in a folder; killed at the end where it still runs."""
    screen = folder.with_suffix(".screen")
    with screen.open("w") as out:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-c", "from simulators.cli import main; main()", "demo", "--folder", str(folder),
            stdout=out, stderr=out, env={**os.environ, "DATABASE_URL": "", **environment},
        )  # fmt: skip
    try:
        yield Terminal(process, screen)
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


def gone(process: psutil.Process) -> bool:
    try:
        return not process.is_running() or process.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


async def test_two_at_once_then_one_is_killed_and_started_again(tmp_path: Path) -> None:
    async with demo(tmp_path / "a") as first, demo(tmp_path / "b") as second:
        assert await first.ready() != await second.ready()
        async with demo(tmp_path / "a") as twin:
            assert await twin.process.wait() == 1
            assert f"already, as process {first.process.pid}." in twin.said()
            assert "Traceback" not in twin.said()

        family = first.family()
        assert len(family) >= 4  # the database, the cloud, the devices, the box
        first.process.kill()
        await first.process.wait()
        await eventually(lambda: all(map(gone, family)))
        async with demo(tmp_path / "a") as again:
            await again.ready()
            assert "with the data of last time" in again.said()
            family = again.family()
            again.process.send_signal(signal.SIGINT)
            assert await again.process.wait() == 0
            assert all(map(gone, family))


async def test_ctrl_c_stops_a_demo_that_is_still_starting(tmp_path: Path) -> None:
    async with demo(tmp_path / "a") as starting:
        await eventually(lambda: "embedded PostgreSQL" in starting.said(), 60)
        family = starting.family()
        starting.process.send_signal(signal.SIGINT)
        assert await starting.process.wait() == 0
        assert READY not in starting.said()
        assert all(map(gone, family))


@pytest.mark.parametrize(
    ("address", "problem"),
    [("mysql://127.0.0.1/x", "is not a PostgreSQL address"), ("postgresql://x@127.0.0.1:1/x", "Connection refused")],
)
async def test_a_wrong_address_of_the_database_is_said_at_once(tmp_path: Path, address: str, problem: str) -> None:
    began = time.monotonic()
    async with demo(tmp_path / "a", DATABASE_URL=address) as lost:
        assert await lost.process.wait() == 1
    assert time.monotonic() - began < 15  # of which most is Python's start; `serve` waits for a minute
    assert "DATABASE_URL" in lost.said()
    assert problem in lost.said()
    assert [path for path in (tmp_path / "a").iterdir() if path.is_dir()] == []


async def test_a_database_in_use_is_a_sentence(tmp_path: Path) -> None:
    server = EmbeddedPostgres(tmp_path / "a" / "embedded" / "postgres")
    await asyncio.to_thread(server.start)
    try:
        async with demo(tmp_path / "a") as second:
            assert await second.process.wait() == 1
        assert f"is in use by process {os.getpid()}" in second.said()
        assert "Traceback" not in second.said()
        assert server.running
    finally:
        await asyncio.to_thread(server.stop)


@pytest.fixture
def foreign_port() -> Iterator[int]:
    """A port that another program has."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


async def test_a_cloud_whose_port_is_taken_is_not_mistaken_for_the_one_that_answers(
    tmp_path: Path, foreign_port: int
) -> None:
    environment = {"ANJU_LISTEN": f"127.0.0.1:{foreign_port}", "DATABASE_URL": "postgresql://x@127.0.0.1:1/x"}
    cloud = await Child.start("cloud", "anju-cloud", "serve", log=tmp_path / "log", environment=environment)
    with pytest.raises(PortTakenError, match="cannot listen"):
        await cloud.until_listening({foreign_port})


async def test_devices_whose_port_is_taken_say_so(tmp_path: Path, foreign_port: int) -> None:
    scenarios = Path(sys.modules["simulators"].__file__).parent / "scenarios"
    site = (scenarios / "site.yaml").read_text().replace("port: 15020", f"port: {foreign_port}")
    (tmp_path / "site.yaml").write_text(site)
    (tmp_path / "smoke.yaml").write_bytes((scenarios / "smoke.yaml").read_bytes())
    estate = await Child.start("estate", "anju-sim", "run", str(tmp_path / "smoke.yaml"), log=tmp_path / "log")
    with pytest.raises(PortTakenError, match="cannot listen as the site file says"):
        await estate.until_listening({foreign_port})


async def test_a_cloud_that_waits_for_its_database_says_so(tmp_path: Path) -> None:
    environment = {"ANJU_LISTEN": f"127.0.0.1:{free_port(0)}", "DATABASE_URL": "postgresql://x@127.0.0.1:1/x"}
    cloud = await Child.start("cloud", "anju-cloud", "serve", log=tmp_path / "log", environment=environment)
    said: list[str] = []
    telling = asyncio.create_task(cloud.tell_waiting(lambda _, line: said.append(line)))
    try:
        await eventually(lambda: said, 30)
    finally:
        telling.cancel()
        cloud.process.kill()
        await cloud.process.wait()
    assert "waiting for the database" in said[0]
    assert "Connection refused" in said[0]


async def test_a_command_whose_parent_is_gone_already_is_not_started() -> None:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-I", "-S", str(LAUNCH), "1", "/bin/echo", "started", stdout=asyncio.subprocess.PIPE
    )
    out, _ = await process.communicate()
    assert (process.returncode, out) == (1, b"")


async def test_an_earlier_answer_is_not_taken_for_that_of_this_order() -> None:
    async with served() as console, Browser.log_in(console.url, "operator", "anju") as browser:
        alarm = f"/alarms/{next(iter(console.estate.alarm_rows))}"
        for _ in range(2):
            order = await open_door(browser, alarm)
            assert order.shown_at - order.asked_at >= console.estate.answer_after_s


async def test_the_newest_answer_is_read_whatever_stands_below_it() -> None:
    async with served() as console, Browser.log_in(console.url, "operator", "anju") as browser:
        console.estate.answer_after_s = 600
        door = next(iter(await console.estate.doors_near(None, next(iter(console.estate.alarm_rows.values())))))
        await console.estate.send_command(PEOPLE["operator"], door.id, "unlock", {})
        newest = newest_answer(await browser.get(f"/devices/{door.id}/live"))
        assert newest
        assert newest.tone == "wait"


async def test_a_console_that_is_not_there_is_a_sentence() -> None:
    with pytest.raises(AnjuError, match="the console was lost at /login"):
        async with Browser.log_in("http://127.0.0.1:1", "operator", "anju"):
            pass
