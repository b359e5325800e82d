"""A fire at a real box with simulated devices, seen and dealt with on the guard page, with the cloud away."""

import asyncio
import re
from contextlib import asynccontextmanager

import aiohttp

from contract.messages import Event
from contract.profile import load_profiles, shipped_profiles
from contract.site import load_site
from edge.main import run
from edge.provision import load_identity
from edge.provision.enrol import enrol
from simulators.estate import Estate
from simulators.log import TruthLog, Write
from tests.support.fake_cloud import FakeCloud
from tests.support.waiting import eventually

SITE = """\
estate: {{name: 西苑小区}}
cloud: {{url: "{cloud}"}}
buses:
  - id: panel
    protocol: modbus-tcp
    host: 127.0.0.1
    port: {port}
    poll_s: 0.05
    devices:
      - {{id: smoke-1, name: 1层烟感, profile: anju-smoke-panel-16, unit: 1, channel: 0}}
      - {{id: smoke-away, name: 车库烟感, profile: anju-smoke-panel-16, unit: 1, channel: 1}}
      - {{id: call-1, name: 手报, profile: anju-call-point-panel-16, unit: 2, channel: 0}}
      - {{id: door-1, name: 单元门, profile: anju-release-door-unit, unit: 10}}
      - {{id: door-2, name: 后门, profile: anju-door-unit, unit: 11}}
      - {{id: gate-1, name: 东门, profile: anju-vehicle-gate, unit: 12}}
      - {{id: siren-1, name: 声光, profile: anju-sounder, unit: 13}}
zones:
  - {{id: b3, name: 3号楼, triggers: [smoke-1, call-1]}}
linkage:
  - id: fire-b3
    zone: b3
    first: [{{device: siren-1, do: sound, args: {{seconds: 600}}}}]
    then:
      - {{device: door-1, do: release}}
      - {{device: door-2, do: release}}
      - {{device: gate-1, do: hold_open}}
      - {{device: siren-1, do: sound, args: {{seconds: 600}}}}
    after: [{{device: gate-1, do: close}}]
guard_page:
  listen: 127.0.0.1:{page}
  password: {{secret: guard}}
  cut_off_s: 5
  sound: [{{device: siren-1, do: sound, args: {{seconds: 30}}}}]
"""


class Page:
    """The guard page as a browser without scripts uses it."""

    def __init__(self, http: aiohttp.ClientSession) -> None:
        self._http = http

    async def read(self, path: str = "/live") -> str:
        async with self._http.get(path) as response:
            return await response.text()

    async def press(self, path: str, **fields: str) -> int:
        token = re.search(r'name="token" value="(\w+)"', await self.read())
        assert token is not None
        data = {"token": token[1]} | fields
        async with self._http.post(path, data=data, allow_redirects=False) as response:
            return response.status

    async def until(self, *shown: str) -> None:
        async with asyncio.timeout(15):
            while True:
                seen = re.sub(r"\s*<[^>]+>", "", re.sub(r"\s*<small.*?</small>", "", await self.read()))
                if all(text in seen for text in shown):
                    return
                await asyncio.sleep(0.05)


@asynccontextmanager
async def simulated(folder, cloud, port, page_port, monkeypatch):
    """The devices, and the site file of a box that is enrolled."""
    site, profiles = folder / "site.yaml", load_profiles(shipped_profiles())
    (folder / "guard").write_text("correct horse")
    monkeypatch.setenv("ANJU_SECRETS", str(folder))
    site.write_text(SITE.format(cloud=cloud.url, port=port, page=page_port))
    cloud.claims["CLAIM"] = "gw-1"
    await enrol(cloud.url, "CLAIM", folder / "state", version="0")
    truth: list[object] = []
    async with Estate(load_site(site, profiles), profiles, TruthLog(also=truth.append)) as estate:
        yield site, estate, truth


@asynccontextmanager
async def box(site, page_port):
    """The box running, and its guard page with someone logged in."""
    stop = asyncio.Event()
    task = asyncio.create_task(
        run(site, site.parent / "state", "127.0.0.1:0", identify=load_identity, stopped=stop.wait)
    )
    try:
        jar = aiohttp.CookieJar(unsafe=True)
        async with aiohttp.ClientSession(f"http://127.0.0.1:{page_port}", cookie_jar=jar) as http:
            await _logged_in(http)
            yield Page(http)
    finally:
        stop.set()
        await asyncio.wait_for(task, 20)


async def _logged_in(http: aiohttp.ClientSession) -> None:
    async with asyncio.timeout(10):
        while True:
            try:
                async with http.post("/login", data={"password": "correct horse"}) as response:
                    assert response.status == 200
                    return
            except aiohttp.ClientConnectionError:
                await asyncio.sleep(0.05)


@asynccontextmanager
async def box_and_page(folder, cloud, port, page_port, monkeypatch):
    async with simulated(folder, cloud, port, page_port, monkeypatch) as made, box(made[0], page_port) as page:
        yield *made[1:], page


async def test_a_fire_from_the_first_smoke_to_the_reset(tmp_path, unused_tcp_port_factory, monkeypatch):
    ports = unused_tcp_port_factory(), unused_tcp_port_factory()
    async with FakeCloud() as cloud, box_and_page(tmp_path, cloud, *ports, monkeypatch) as (estate, truth, page):
        await page.until("已连接云平台", "当前没有报警")
        await cloud.stop()
        await page.until("与云平台断开")

        estate.set("smoke-1", "smoke", "smoke")
        await page.until("预警：未确认", "1层烟感")
        await eventually(lambda: estate.get("siren-1", "active") == "running")
        assert estate.get("door-1", "lock") == "locked"

        estate.set("call-1", "fire", "alarm")
        await page.until("已确认报警", "手报")
        await eventually(
            lambda: (
                [estate.get("door-1", "lock"), estate.get("door-2", "lock"), estate.get("gate-1", "barrier")]
                == ["unlocked", "unlocked", "up"]
            )
        )
        await page.until("释放门 单元门", "抬杆常开 东门")

        estate.set("door-1", "lock", "locked")  # someone locks it
        await eventually(lambda: estate.get("door-1", "lock") == "unlocked")

        assert await page.press("/zones/b3/silence") == 303
        await eventually(lambda: estate.get("siren-1", "active") == "stopped")
        assert await page.press("/zones/b3/reset") == 409, "still in alarm"

        estate.set("smoke-1", "smoke", "clear")
        estate.set("call-1", "fire", "normal")
        await page.until("现在没有设备报警", "已确认报警")
        assert await page.press("/zones/b3/reset") == 303
        await eventually(lambda: estate.get("gate-1", "barrier") == "down")
        assert estate.get("door-1", "lock") == "unlocked", "nobody locks a door by itself"

        await page.until("就地鸣响")  # cut off for 5 seconds by now
        estate.set("smoke-away", "smoke", "smoke")
        await eventually(lambda: estate.get("siren-1", "active") == "running")
        assert await page.press("/silence") == 303
        await eventually(lambda: estate.get("siren-1", "active") == "stopped")

        await cloud.start()
        await page.until("已连接云平台")
        events = [("reset", "guard page"), ("silence", "guard page"), ("close", "rule"), ("alert", "box")]
        await cloud.until(lambda: set(events) <= set(acts_of(cloud)))
        assert not [entry for entry in truth if isinstance(entry, Write) and entry.unit == 10 and entry.values != [1]]


def acts_of(cloud: FakeCloud) -> list[tuple[str, str]]:
    items = cloud.gateways["gw-1"].urgent.items
    return [(str(i.fields["action"]), str(i.fields["by"])) for i in items if isinstance(i, Event)]


async def test_a_fire_goes_on_over_a_restart_of_the_box(tmp_path, unused_tcp_port_factory, monkeypatch):
    port, page_port = unused_tcp_port_factory(), unused_tcp_port_factory()
    async with (
        FakeCloud() as cloud,
        simulated(tmp_path, cloud, port, page_port, monkeypatch) as (site, estate, _),
    ):
        async with box(site, page_port) as page:
            estate.set("smoke-1", "smoke", "smoke")
            estate.set("call-1", "fire", "alarm")
            await page.until("已确认报警", "释放门 单元门")
            await eventually(lambda: estate.get("door-1", "lock") == "unlocked")
        estate.set("door-1", "lock", "locked")  # as after a power cut
        async with box(site, page_port) as page:
            await eventually(lambda: estate.get("door-1", "lock") == "unlocked")  # the detectors say so still
            await page.until("重启后再次确认")
        estate.set("smoke-1", "smoke", "clear")
        estate.set("call-1", "fire", "normal")
        estate.set("door-1", "lock", "locked")
        async with box(site, page_port) as page:
            await page.until("已确认报警", "重启后未再收到", "现在没有设备报警")
            await eventually(lambda: estate.get("door-1", "lock") == "unlocked")  # held, until somebody resets it
            assert await page.press("/zones/b3/reset") == 303
            assert "已确认报警" not in await page.read()


async def test_a_drill_marks_everything_and_a_silent_one_moves_nothing(tmp_path, unused_tcp_port_factory, monkeypatch):
    ports = unused_tcp_port_factory(), unused_tcp_port_factory()
    async with FakeCloud() as cloud, box_and_page(tmp_path, cloud, *ports, monkeypatch) as (estate, truth, page):
        await page.until("当前没有报警")
        assert await page.press("/zones/b3/drill", mode="silent_drill", minutes="5") == 409, (
            "two triggers, none to spare"
        )
        assert await page.press("/zones/b3/drill", mode="dry_run", minutes="5") == 303
        estate.set("smoke-1", "smoke", "smoke")
        estate.set("call-1", "fire", "alarm")
        await page.until("试运行（绝不动作）", "已确认报警")
        await cloud.until(lambda: ("hold_open", "rule") in acts_of(cloud))
        assert [entry for entry in truth if isinstance(entry, Write)] == []
        assert await page.press("/zones/b3/stop") == 303
        await eventually(lambda: estate.get("door-1", "lock") == "unlocked")
