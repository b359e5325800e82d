"""A changed site file in a running box: what restarts, what is refused, what is rolled back."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

from contract.records import ConfigReport, InventoryRecord
from edge.main import run
from edge.provision import load_identity
from edge.reload import GOOD, REJECTED_FILE, start_config
from tests.support.fake_cloud import FakeCloud
from tests.unit.edge.test_main import estate_and_cloud, history

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
        site_path.write_text(site_path.read_text().replace("cloud: {", "cloud: {ca: nowhere.pem, "))
        await ask()
        await cloud.until(lambda: reports(cloud) == 2)
        estate.set("smoke-1", "smoke", "smoke")
        await cloud.until(lambda: history(cloud, "smoke-1", "smoke") == ["clear", "smoke"])


async def test_a_broken_profile_that_nobody_uses_stops_nothing(tmp_path: Path) -> None:
    async with estate_and_cloud(tmp_path) as (_, cloud, site_path):
        (tmp_path / "profiles").mkdir()
        (tmp_path / "profiles" / "broken.yaml").write_text("id: [")
        async with box(site_path, tmp_path / "state"):
            await cloud.until(lambda: history(cloud, "smoke-1", "link") == ["online"])
