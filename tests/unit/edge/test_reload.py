"""A changed site file in a running box: what restarts, what is refused, what is rolled back."""

import asyncio
import signal
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from contract.errors import ConfigError
from contract.records import ConfigReport, InventoryRecord
from edge.drivers import DRIVERS
from edge.drivers.modbus import ModbusDriver
from edge.main import run
from edge.provision import load_identity
from edge.reload import GOOD, REJECTED_FILE, Config, Online, Reloader, read_config, start_config
from tests.support.fake_cloud import FakeCloud
from tests.support.waiting import eventually
from tests.unit.edge.test_main import SITE, anju, estate_and_cloud, history, said

Ask = Callable[[], Awaitable[None]]


@asynccontextmanager
async def box(site_path: Path, state: Path, trial_s: float = 0.6) -> AsyncIterator[Ask]:
    """A box in this process; gives what SIGHUP would do."""
    stop, asked = asyncio.Event(), asyncio.Queue[None]()

    async def reloads() -> AsyncIterator[None]:
        while True:
            yield await asked.get()

    task = asyncio.create_task(
        run(
            site_path, state, "127.0.0.1:0", identify=load_identity, stopped=stop.wait, reloads=reloads, trial_s=trial_s
        )
    )

    async def ask() -> None:
        await asked.put(None)

    try:
        yield ask
    finally:
        stop.set()
        await asyncio.wait_for(task, 10)


def reports(cloud: FakeCloud) -> int:
    return sum(isinstance(r, ConfigReport) for r in cloud.gateways["gw-1"].urgent.items)


def inventories(cloud: FakeCloud) -> list[set[str]]:
    records = cloud.gateways["gw-1"].urgent.items
    return [{device.id for device in r.devices} for r in records if isinstance(r, InventoryRecord)]


NEW = "      - {id: smoke-2, name: 烟感2, profile: anju-smoke-panel-16, unit: 1, channel: 1}\n"


async def test_a_device_is_added_while_the_box_runs(tmp_path: Path) -> None:
    async with estate_and_cloud(tmp_path) as (estate, cloud, site_path), box(site_path, tmp_path / "state") as ask:
        await cloud.until(lambda: history(cloud, "smoke-1", "link") == ["online"])
        site_path.write_text(site_path.read_text() + NEW)
        await ask()
        await cloud.until(lambda: history(cloud, "smoke-2", "link") == ["online"])
        assert inventories(cloud) == [{"smoke-1", "door-1"}, {"smoke-1", "smoke-2", "door-1"}]
        assert history(cloud, "smoke-1", "link") == ["online"], "who did not change says nothing new"
        estate.set("smoke-1", "smoke", "smoke")
        await cloud.until(lambda: history(cloud, "smoke-1", "smoke") == ["clear", "smoke"])
        await cloud.until(lambda: reports(cloud) == 2)


async def test_mistakes_are_refused_and_what_ran_goes_on(tmp_path: Path) -> None:
    async with estate_and_cloud(tmp_path) as (estate, cloud, site_path), box(site_path, tmp_path / "state") as ask:
        await cloud.until(lambda: history(cloud, "smoke-1", "link") == ["online"])
        good = site_path.read_text()
        site_path.write_text(good.replace("profile: anju-door-unit", "profile: no-such-model"))
        await ask()
        estate.set("smoke-1", "smoke", "smoke")
        await cloud.until(lambda: history(cloud, "smoke-1", "smoke") == ["clear", "smoke"])
        site_path.write_text(good + NEW)
        await ask()
        await cloud.until(lambda: history(cloud, "smoke-2", "link") == ["online"])
        assert reports(cloud) == 2


async def test_row_11_a_change_that_loses_what_was_on_line_is_rolled_back_and_stays_so(tmp_path: Path) -> None:
    state = tmp_path / "state"
    async with estate_and_cloud(tmp_path) as (estate, cloud, site_path):
        good = site_path.read_text()
        async with box(site_path, state) as ask:
            await cloud.until(lambda: history(cloud, "door-1", "link") == ["online"])
            site_path.write_text(good.replace("host: 127.0.0.1", "host: 127.0.0.2"))
            await ask()
            await cloud.until(lambda: reports(cloud) == 3)
            estate.set("smoke-1", "smoke", "smoke")
            await cloud.until(lambda: history(cloud, "smoke-1", "smoke")[-1] == "smoke")
            assert (state / REJECTED_FILE).exists()
        config = start_config(site_path, state)
        assert "rolled back" in config.problem
        assert config.site.buses[0].endpoint.startswith("127.0.0.1:")
        assert (state / GOOD / site_path.name).read_text() == good
        async with box(site_path, state):
            estate.set("smoke-1", "smoke", "clear")
            await cloud.until(lambda: history(cloud, "smoke-1", "smoke")[-1] == "clear")
        site_path.write_text(good + NEW)
        assert start_config(site_path, state).problem == ""


@pytest.mark.parametrize("second", ["another edit", "what was before"])
async def test_of_an_edit_during_the_trial_it_is_still_said_that_the_first_was_rolled_back(
    tmp_path: Path, second: str
) -> None:
    """Whoever wrote the second edit meanwhile cannot have seen what became of the first."""
    path, state = tmp_path / "site.yaml", tmp_path
    path.write_text(SITE.format(port=1, cloud="https://anju.example"))
    good = path.read_text()
    asked, on_line = asyncio.Queue[None](), Online(frozenset({"smoke-1", "door-1"}), cloud=True)
    trials = 0

    async def asks() -> AsyncIterator[None]:
        while True:
            yield await asked.get()

    async def apply(config: Config) -> frozenset[str]:
        nonlocal trials
        trials += 1
        if trials == 1:  # on trial now: the person goes on editing
            path.write_text(good if second == "what was before" else good + NEW)
            asked.put_nowait(None)
        return frozenset(item.device.id for item in config.devices)

    def online(since_ns: int) -> Online:
        return on_line if not since_ns or trials != 1 else Online(frozenset(), cloud=True)

    reloader = Reloader(state, read_config(path), apply, online, trial_s=0.1)
    running = asyncio.create_task(reloader.run(asks()))
    path.write_text(good.replace("host: 127.0.0.1", "host: 127.0.0.2"))
    asked.put_nowait(None)
    await eventually(lambda: bool(reloader.config.note))
    assert reloader.config.problem == "", "what runs is as written"
    note = "the edit before this one was rolled back: 2 devices were lost by it (door-1, smoke-1)"
    assert reloader.config.note == note
    assert ("smoke-2" in {item.device.id for item in reloader.config.devices}) == (second == "another edit")
    reloader._rolled_back_ns = 0
    asked.put_nowait(None)
    await eventually(lambda: not reloader.config.note)
    running.cancel()


@pytest.mark.parametrize("change", [("host: 127.0.0.1", "host: 127.0.0.2"), ("seal_s: 0.2", "seal_s: 0.3")])
async def test_a_box_that_ends_during_a_trial_starts_with_what_ran_before(
    tmp_path: Path, change: tuple[str, str]
) -> None:
    async with estate_and_cloud(tmp_path) as (_, cloud, site_path):
        state, good = tmp_path / "state", site_path.read_text()
        where = {"ANJU_SITE": str(site_path), "ANJU_STATE": str(state), "ANJU_HEALTH_LISTEN": "127.0.0.1:0"}
        process = await anju("run", **where)
        await cloud.until(lambda: history(cloud, "smoke-1", "link") == ["online"])
        await eventually((state / GOOD / site_path.name).exists)
        site_path.write_text(good.replace(*change))
        process.send_signal(signal.SIGHUP)
        await eventually((state / REJECTED_FILE).exists)
        process.kill()
        await process.communicate()
        assert "on trial" in start_config(site_path, state).problem
        told = reports(cloud)
        async with box(site_path, state) as ask:
            await cloud.until(lambda: reports(cloud) > told)
            site_path.write_text(good + NEW)
            await ask()
            await cloud.until(lambda: history(cloud, "smoke-2", "link") == ["online"])
            await eventually(lambda: not (state / REJECTED_FILE).exists())


async def test_a_clean_stop_during_a_trial_is_not_held_against_it(tmp_path: Path) -> None:
    state = tmp_path / "state"
    async with estate_and_cloud(tmp_path) as (_, cloud, site_path):
        good = site_path.read_text()
        async with box(site_path, state, trial_s=60) as ask:
            await cloud.until(lambda: history(cloud, "smoke-1", "link") == ["online"])
            await eventually((state / GOOD / site_path.name).exists)
            site_path.write_text(good.replace("host: 127.0.0.1", "host: 127.0.0.2"))
            await ask()
            await cloud.until(lambda: reports(cloud) == 2)
        assert start_config(site_path, state).problem == ""


async def test_what_lies_beneath_the_buses_begins_anew_and_is_rolled_back_too(tmp_path: Path) -> None:
    async with estate_and_cloud(tmp_path) as (estate, cloud, site_path), box(site_path, tmp_path / "state") as ask:
        await cloud.until(lambda: history(cloud, "smoke-1", "link") == ["online"])
        good = site_path.read_text()
        site_path.write_text(good.replace("seal_s: 0.2", "seal_s: 0.3"))
        await ask()
        await cloud.until(lambda: reports(cloud) == 2)
        estate.set("smoke-1", "smoke", "smoke")
        await cloud.until(lambda: history(cloud, "smoke-1", "smoke") == ["clear", "smoke"])
        await asyncio.sleep(1.0)  # the trial's end
        site_path.write_text(good.replace(cloud.url, "http://127.0.0.1:9"))
        await ask()
        await cloud.until(lambda: reports(cloud) >= 3)
        estate.set("smoke-1", "smoke", "clear")
        await cloud.until(lambda: history(cloud, "smoke-1", "smoke") == ["clear", "smoke", "clear"])


async def test_a_configuration_that_names_what_is_not_there_ends_no_box(tmp_path: Path) -> None:
    async with estate_and_cloud(tmp_path) as (estate, cloud, site_path), box(site_path, tmp_path / "state") as ask:
        await cloud.until(lambda: history(cloud, "smoke-1", "link") == ["online"])
        good = site_path.read_text()
        await eventually((tmp_path / "state" / GOOD / site_path.name).exists)
        site_path.write_text(good.replace("cloud: {", "cloud: {ca: nowhere.pem, "))
        await ask()
        estate.set("smoke-1", "smoke", "smoke")
        await cloud.until(lambda: history(cloud, "smoke-1", "smoke") == ["clear", "smoke"])
        site_path.write_text(good + NEW)
        await ask()
        await cloud.until(lambda: history(cloud, "smoke-2", "link") == ["online"])
        assert reports(cloud) == 2, "it was not even begun with"


async def test_a_box_starts_with_what_ran_well_when_the_site_file_cannot_be_used(tmp_path: Path) -> None:
    async with estate_and_cloud(tmp_path) as (_, cloud, site_path):
        state, good = tmp_path / "state", site_path.read_text()
        async with box(site_path, state):
            await eventually((state / GOOD / site_path.name).exists)
        for n, bad in enumerate(("buses: [", good.replace("cloud: {", "cloud: {ca: nowhere.pem, "), None), 2):
            site_path.unlink() if bad is None else site_path.write_text(bad)
            async with box(site_path, state):
                await cloud.until(lambda n=n: reports(cloud) == n)  # type: ignore[misc]
        assert "has mistakes" in start_config(site_path, state).problem
        (state / GOOD / site_path.name).write_text("buses: [")  # that too
        with pytest.raises(ConfigError, match="cannot be read"):
            start_config(site_path, state)
        site_path.write_text(good)
        (state / REJECTED_FILE).write_bytes(b"\xff\xfe")
        assert start_config(site_path, state).problem == ""


async def test_a_stop_in_the_middle_of_a_change_is_a_clean_one(tmp_path: Path, monkeypatch) -> None:
    stopping = asyncio.Event()

    class Slow(ModbusDriver):
        async def run(self) -> None:
            try:
                await super().run()
            finally:
                stopping.set()
                await asyncio.sleep(0.3)

    monkeypatch.setitem(DRIVERS, "modbus-tcp", lambda bus, devices, consume, _: Slow(bus, devices, consume))
    async with estate_and_cloud(tmp_path) as (_, cloud, site_path), box(site_path, tmp_path / "state") as ask:
        await cloud.until(lambda: history(cloud, "smoke-1", "link") == ["online"])
        site_path.write_text(site_path.read_text() + NEW)
        await ask()
        await asyncio.wait_for(stopping.wait(), 10)


async def test_asking_at_any_time_ends_no_box(tmp_path: Path) -> None:
    async with estate_and_cloud(tmp_path) as (estate, cloud, site_path):
        process = await anju(
            "run", ANJU_SITE=str(site_path), ANJU_STATE=str(tmp_path / "state"), ANJU_HEALTH_LISTEN="127.0.0.1:0"
        )
        await cloud.until(lambda: history(cloud, "smoke-1", "link") == ["online"])
        site_path.write_text(site_path.read_text().replace("seal_s: 0.2", "seal_s: 0.3"))
        while reports(cloud) < 2 and process.returncode is None:  # also while it begins anew
            process.send_signal(signal.SIGHUP)
            await asyncio.sleep(0.01)
        for _ in range(100):  # and while it is on trial
            if process.returncode is None:
                process.send_signal(signal.SIGHUP)
            await asyncio.sleep(0.01)
        estate.set("smoke-1", "smoke", "smoke")
        await cloud.until(lambda: history(cloud, "smoke-1", "smoke") == ["clear", "smoke"])
        process.send_signal(signal.SIGTERM)
        code, _, log = await said(process)
        assert code == 0, log


class Applied:
    """Stands for the box that a Reloader changes: cannot go on with some configurations."""

    def __init__(self, *broken: str) -> None:
        self.broken, self.runs = broken, [""]

    async def apply(self, config: Config) -> frozenset[str]:
        self.runs.append(config.whole)
        if config.whole in self.broken:
            raise ZeroDivisionError("a bug")
        return frozenset()


async def test_a_change_that_cannot_be_applied_is_rolled_back(tmp_path: Path) -> None:
    site_path, state = tmp_path / "site.yaml", tmp_path / "state"
    state.mkdir()
    good = SITE.format(cloud="http://127.0.0.1:1", port=502)
    site_path.write_text(good)
    first = read_config(site_path)
    site_path.write_text(good + NEW)
    second = read_config(site_path)
    applied, asked = Applied(second.whole), asyncio.Queue[None]()

    async def reloads() -> AsyncIterator[None]:
        while True:
            yield await asked.get()

    reloader = Reloader(state, first, applied.apply, lambda _: Online(frozenset(), cloud=False), 0.1)
    task = asyncio.create_task(reloader.run(reloads()))
    asked.put_nowait(None)
    await eventually(lambda: len(applied.runs) == 3)
    assert applied.runs[1:] == [second.whole, first.whole]
    site_path.write_text(good.replace("poll_s: 0.05", "poll_s: 0.06"))
    asked.put_nowait(None)
    await eventually(lambda: len(applied.runs) == 4 and (state / GOOD / "site.yaml").exists())
    assert reloader.config.problem == ""
    task.cancel()
    await asyncio.wait([task])


async def test_a_broken_profile_that_nobody_uses_stops_nothing(tmp_path: Path) -> None:
    async with estate_and_cloud(tmp_path) as (_, cloud, site_path):
        (tmp_path / "profiles").mkdir()
        (tmp_path / "profiles" / "broken.yaml").write_text("id: [")
        async with box(site_path, tmp_path / "state"):
            await cloud.until(lambda: history(cloud, "smoke-1", "link") == ["online"])
