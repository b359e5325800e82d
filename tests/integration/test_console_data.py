"""The console over the real store: who hears and sees what, what is kept of it, and what it says without a database."""

import asyncio
import re
import time
from collections.abc import AsyncIterator
from uuid import UUID

import aiohttp
import pytest

from cloud.alarms.rules.stored import sync_pack
from contract.kinds import Lane
from contract.messages import Event
from tests.support.blocks import SECOND, Chain, clock, inventory, smoke
from tests.support.browser import Browser
from tests.support.cloud import Box, RunningCloud, running_cloud
from tests.support.servers import Database

AT = 1000 * SECOND


@pytest.fixture
async def cloud(database_plain: Database) -> AsyncIterator[RunningCloud]:
    async with running_cloud(database_plain.url) as running:
        yield running


class Estate:
    """An estate with a box whose first detector smokes, whose door was used, and a person."""

    def __init__(self, cloud: RunningCloud, box: Box) -> None:
        self.cloud = cloud
        self.box = box
        self.chain = Chain(Lane.URGENT)
        self.chain.urgent(inventory(), clock(time.time_ns()))
        self.chain.urgent(smoke("smoke", AT), Event("door-0", "access", {"credential": "ab12", "granted": True}, AT))

    async def device(self, key: str) -> int:
        ((found,),) = await self.cloud.rows(
            "SELECT id FROM device WHERE gateway = $1 AND key = $2", UUID(self.box.gateway), key
        )
        return int(found)

    async def alarm(self) -> UUID:
        ((found,),) = await self.cloud.rows("SELECT id FROM alarm WHERE estate = $1", self.box.estate)
        return found

    async def say(self, value: str, at: int) -> None:
        self.chain.urgent(smoke(value, at))
        await self.box.post(Lane.URGENT, *self.chain.sent)


async def made(cloud: RunningCloud, name: str, login: str) -> tuple[Estate, Browser]:
    box = await cloud.enrolled_box(await cloud.area(name))
    await box.open_session()
    estate = Estate(cloud, box)
    await box.post(Lane.URGENT, *estate.chain.sent)
    await cloud.person(login, area=name)
    browser = Browser(cloud)
    assert (await browser.log_in(login)).status == 303
    return estate, browser


class Stream:
    """A browser's stream of wake-ups."""

    def __init__(self, response: aiohttp.ClientResponse) -> None:
        self.response = response

    async def next(self, *names: str, timeout_s: float = 5) -> str:
        """What the next event of one of these names says."""
        name = ""
        async with asyncio.timeout(timeout_s):
            while line := (await self.response.content.readline()).decode().rstrip("\n"):
                if line.startswith("event: "):
                    name = line.removeprefix("event: ")
                elif line.startswith("data: ") and name in names:
                    await self.response.content.readline()
                    return line.removeprefix("data: ")
                elif line.startswith("data: "):
                    await self.response.content.readline()
        raise AssertionError("the stream ended")


async def listening(browser: Browser, topics: str) -> tuple[aiohttp.ClientResponse, Stream]:
    response = await browser.cloud.client.get(f"{browser.cloud.url}/live?topics={topics}", headers=browser._headers())
    assert response.status == 200
    stream = Stream(response)
    await stream.next("hello")
    return response, stream


async def test_a_page_hears_of_its_own_estates_only(cloud: RunningCloud) -> None:
    west, wang = await made(cloud, "西苑小区", "wang")
    east, li = await made(cloud, "东苑", "li")
    foreign = await west.device("smoke-0")
    for topics in (f"alarms,device:{foreign}", f"alarms:{west.box.estate},gateway:{west.box.gateway},alarms,x"):
        _, theirs = await listening(li, topics)
        _, mine = await listening(wang, topics)
        await west.say("clear", AT + len(west.chain.sent) * SECOND)
        await west.say("smoke", AT + len(west.chain.sent) * SECOND)
        assert "alarms" in (await mine.next("change")).split(",")
        with pytest.raises(TimeoutError):
            await theirs.next("change", timeout_s=0.3)
        await east.say("clear", AT + len(east.chain.sent) * SECOND)
        await east.say("smoke", AT + len(east.chain.sent) * SECOND)
        assert await theirs.next("change") == "alarms"


async def test_a_wake_up_that_says_not_where_reaches_everybody(cloud: RunningCloud) -> None:
    _, wang = await made(cloud, "西苑小区", "wang")
    _, stream = await listening(wang, "alarms")
    await cloud.database.wake({"alarms"})
    assert await stream.next("change") == "alarms"


async def test_an_acknowledgement_and_an_order_are_kept_with_their_address(cloud: RunningCloud) -> None:
    estate, browser = await made(cloud, "西苑小区", "wang")
    door = await estate.device("door-0")
    assert (await browser.post(f"/alarms/{await estate.alarm()}/acknowledge")).status == 303
    assert (await browser.post(f"/devices/{door}/commands/unlock")).status == 303
    kept = await cloud.rows("SELECT action, who, address FROM audit WHERE action IN ('acknowledge', 'command unlock')")
    assert sorted(kept) == [("acknowledge", "wang", "127.0.0.1"), ("command unlock", "wang", "127.0.0.1")]


LOOKS = "SELECT who, object, detail, address FROM audit WHERE action = 'look at access events'"


async def test_a_look_at_who_went_through_a_door_is_kept_once_a_page(cloud: RunningCloud) -> None:
    estate, browser = await made(cloud, "西苑小区", "wang")
    door, detector = await estate.device("door-0"), await estate.device("smoke-0")
    look = ("wang", f"device {door}", {"events": 1}, "127.0.0.1")
    assert "ab12" in (await browser.get(f"/devices/{door}")).body.decode()
    for _ in range(3):
        assert "ab12" in (await browser.get(f"/devices/{door}/live")).body.decode()
    await browser.get(f"/devices/{detector}")
    assert await cloud.rows(LOOKS) == [look]
    await browser.get(f"/devices/{door}")
    assert await cloud.rows(LOOKS) == [look] * 2
    await browser.log_in()
    await browser.get(f"/devices/{door}/live")  # whoever asks for the part alone has looked, too
    assert await cloud.rows(LOOKS) == [look] * 3


async def test_what_linkage_did_names_the_devices_of_its_own_box(cloud: RunningCloud) -> None:
    estate, browser = await made(cloud, "西苑小区", "wang")
    said = {"zone": "b3-u2", "rule": "fire", "action": "confirmed", "status": "confirmed", "by": "rule"}
    why = "in alarm: smoke-0, smoke-1, smoke-9"
    estate.chain.urgent(Event("smoke-1", "linkage", {**said, "why": why}, AT))
    await estate.box.post(Lane.URGENT, *estate.chain.sent)
    page = (await browser.get(f"/devices/{await estate.device('smoke-1')}/live")).body.decode()
    assert "报警已确认，报警的有烟感0、烟感1、smoke-9 · 规则 fire" in page


@pytest.mark.parametrize("number", ["0", "-1", "2147483648", "99999999999", "9" * 40])
async def test_a_number_that_no_device_has_is_a_page_that_is_not_here(cloud: RunningCloud, number: str) -> None:
    _, browser = await made(cloud, "西苑小区", "wang")
    for path in ("", "/live", "/curve?point=smoke", "/figures?point=smoke", "/ask/unlock", "/command-line/unlock"):
        assert (await browser.get(f"/devices/{number}{path}")).status == 404
    assert (await browser.post(f"/devices/{number}/commands/unlock")).status in {404, 422}
    assert (await browser.get(f"/devices?q={number}")).status == 200
    response, _ = await listening(browser, f"device:{number},alarms")
    response.close()


@pytest.mark.parametrize("search", ["%00", "%25", "%5C", "_%00_", "%EF%BF%BF", "'"])
async def test_an_odd_search_finds_nothing_and_breaks_nothing(cloud: RunningCloud, search: str) -> None:
    _, browser = await made(cloud, "西苑小区", "wang")
    assert (await browser.get(f"/devices?q={search}")).status == 200


async def test_devices_are_searched_in_the_words_of_both_languages(cloud: RunningCloud) -> None:
    _, browser = await made(cloud, "西苑小区", "wang")
    for search, found in (("烟感 2层", {"烟感1"}), ("smoke floor", {"烟感0", "烟感1"}), ("门禁", {"单元门"})):
        page = (await browser.get(f"/devices/list?q={search}")).body.decode()
        assert {name for name in ("烟感0", "烟感1", "单元门") if f"<b>{name}</b>" in page} == found, search


async def test_the_alarm_of_a_revoked_box_says_why_it_ended(cloud: RunningCloud) -> None:
    estate, browser = await made(cloud, "西苑小区", "wang")
    alarm = await estate.alarm()
    assert await cloud.cloud.gateways.revoke(UUID(estate.box.gateway), "test")
    page = (await browser.get(f"/alarms/{alarm}")).body.decode()
    assert "随网关结束" in page
    assert "网关已吊销" in page
    assert "/acknowledge" not in page
    assert (await browser.get(f"/devices/{await estate.device('door-0')}/ask/unlock")).status == 404


async def test_without_a_database_the_console_says_that_no_alarm_comes(fresh_plain_server) -> None:
    server = fresh_plain_server()
    async with running_cloud(server.url) as cloud:
        estate, browser = await made(cloud, "西苑小区", "wang")
        alarm = await estate.alarm()
        server.kill()
        for path in ("/alarms", f"/alarms/{alarm}", "/devices", "/gateways", "/login"):
            answer = await browser.get(path)
            page = answer.body.decode()
            assert (answer.status, answer.headers["Retry-After"]) == (503, "5")
            assert "收不到任何告警" in page
            assert f'http-equiv="refresh" content="5; url={path}"' in page
        part = await browser.get("/alarms/list", **{"HX-Request": "true"})
        assert (part.status, part.body) == (503, b"")
        assert "anju:say" in part.headers["HX-Trigger"]
        order = await browser.post(f"/alarms/{alarm}/acknowledge")
        assert order.status == 503
        assert "url=/alarms" in order.body.decode()  # looked at, not sent once more
        assert "不知道刚才的操作是否已执行" in order.body.decode()
        live = await browser.get("/live?topics=alarms")
        assert (live.status, live.body) == (503, b"away")
        assert int(live.headers["Retry-After"]) >= 5
        server.start()
        async with asyncio.timeout(20):
            while (await browser.get("/alarms")).status != 200:  # noqa: ASYNC110  # as the page does by itself
                await asyncio.sleep(0.2)
            while not cloud.cloud.hub.alive:  # noqa: ASYNC110  # it tells nobody
                await asyncio.sleep(0.1)
        response, _ = await listening(browser, "alarms")
        response.close()


async def test_a_box_that_falls_silent_is_told_on_every_page_and_nothing_behind_it_is_believed(
    cloud: RunningCloud,
) -> None:
    estate, browser = await made(cloud, "西苑小区", "wang")
    _, stranger = await made(cloud, "东苑", "li")
    calm = (await browser.get("/devices")).body.decode()
    assert "网关离线：" not in calm
    await cloud.cloud.beats.write()  # what was heard of it a moment ago is not to come after this
    await cloud.rows(
        "UPDATE gateway SET seen_at = now() - INTERVAL '2 minutes' WHERE id = $1", UUID(estate.box.gateway)
    )
    for path in ("/alarms", "/devices/list"):
        assert "3 台设备状态未知" in (await browser.get(path)).body.decode()
    assert "1 台网关离线" in (await browser.get("/more")).body.decode()
    assert "报警，状态未知" in (await browser.get(f"/alarms/{await estate.alarm()}")).body.decode()
    assert "1 台网关离线" not in (await stranger.get("/more")).body.decode()


async def test_a_device_is_found_by_its_key(cloud: RunningCloud) -> None:
    _, browser = await made(cloud, "西苑小区", "wang")
    found = (await browser.get("/devices/list?q=door-0")).body.decode()
    assert "单元门" in found
    assert "烟感" not in found


async def test_a_session_says_until_when_it_lasts_and_why_it_ended(cloud: RunningCloud) -> None:
    _, browser = await made(cloud, "西苑小区", "wang")
    assert "data-session-ends" in (await browser.get("/alarms")).body.decode()
    await cloud.cloud.people.set_disabled("wang", disabled=True, by="test")
    assert (await browser.get("/more")).headers["Location"] == "/login?next=%2Fmore&why=ended"
    del browser.cookies["anju"]  # as the browser does once the session's time is over
    assert (await browser.get("/more")).headers["Location"] == "/login?next=%2Fmore&why=expired"


async def test_an_alarm_is_followed_to_its_end_by_the_people_of_its_estate_only(cloud: RunningCloud) -> None:
    estate, wang = await made(cloud, "西苑小区", "wang")
    _, li = await made(cloud, "东苑", "li")
    chen_id = await cloud.person("chen", "manager", "西苑小区")
    chen = Browser(cloud)
    assert (await chen.log_in("chen")).status == 303
    alarm = await estate.alarm()

    async def press(act: str, browser: Browser = wang, **data: str) -> int:
        return (await browser.post(f"/alarms/{alarm}/{act}", **data)).status

    for act, data in (("acknowledge", {}), ("assign", {}), ("comment", {"text": "x"}), ("label", {"label": "real"}),
                      ("shelve", {"lasts": "15m", "why": "x"})):  # fmt: skip
        assert await press(act, li, **data) == 404
    assert await cloud.rows("SELECT state, assignee, label FROM alarm WHERE id = $1", alarm) == [("UNACK", None, None)]

    assert await press("acknowledge") == 303
    assert "/undo" in (await wang.get(f"/alarms/{alarm}")).body.decode()
    assert "/undo" not in (await chen.get(f"/alarms/{alarm}")).body.decode()
    assert await press("undo", chen) == 409  # it was not hers
    assert await press("undo") == 303
    assert await cloud.rows("SELECT state FROM alarm WHERE id = $1", alarm) == [("UNACK",)]
    ((li_id,),) = await cloud.rows("SELECT id FROM person WHERE login = 'li'")
    assert await press("assign", to=str(li_id)) == 404  # nobody of that estate
    assert await press("assign", to=str(chen_id)) == 303
    assert await press("comment", text="302 在做饭") == 303
    page = (await wang.get(f"/alarms/{alarm}")).body.decode()
    assert "302 在做饭" in page
    assert f'<option value="{chen_id}" selected>chen · 物业经理</option>' in page
    assert f'value="{li_id}"' not in page

    assert await press("shelve", lasts="1h", why="x") == 422  # it is about life
    assert await press("shelve", lasts="15m", why="施工扬尘") == 303
    assert "当前没有告警" in (await wang.get("/alarms")).body.decode()
    held = (await wang.get("/alarms?show=held")).body.decode()
    assert "施工扬尘" in held
    assert str(alarm) not in (await li.get("/alarms?show=held")).body.decode()
    assert await press("shelve", lasts="15m", why="x") == 409
    assert await press("outage", chen, lasts="1d", why="x") == 409  # never what is about life
    assert await press("outage", lasts="1d", why="x") == 403
    assert await press("unshelve") == 303
    await estate.say("clear", AT + SECOND)
    assert await press("acknowledge") == 303
    assert await press("label", label="false") == 303
    assert "误报" in (await wang.get("/alarms?show=ended")).body.decode()
    done = await cloud.rows("SELECT action, who FROM audit WHERE object = $1 ORDER BY id", f"alarm {alarm}")
    assert done == [
        ("acknowledge", "wang"), ("undo acknowledge", "wang"), ("assign", "wang"), ("comment", "wang"),
        ("shelve", "wang"), ("unshelve", "wang"), ("acknowledge", "wang"), ("label", "wang"),
    ]  # fmt: skip


async def test_a_right_at_one_estate_is_none_at_another(cloud: RunningCloud) -> None:
    west, wang = await made(cloud, "西苑小区", "wang")
    east, _ = await made(cloud, "东苑", "li")
    await cloud.cloud.people.grant("wang", "auditor", "东苑", "test")
    await wang.log_in()
    for estate, offered, status in ((east, False, 404), (west, True, 303)):
        ((alarm,),) = await cloud.rows("SELECT id FROM alarm WHERE estate = $1", estate.box.estate)
        for page in (f"/alarms/{alarm}", "/alarms"):
            text = (await wang.get(page)).body.decode()
            assert (f"/alarms/{alarm}/acknowledge" in text) is offered
        assert (await wang.post(f"/alarms/{alarm}/acknowledge")).status == status
        assert (await wang.post(f"/alarms/{alarm}/shelve", lasts="15m", why="x")).status == status


async def test_a_shelf_is_as_long_as_was_chosen_by_the_clock_of_the_database(cloud: RunningCloud) -> None:
    estate, wang = await made(cloud, "西苑小区", "wang")
    alarm = await estate.alarm()
    assert (await wang.post(f"/alarms/{alarm}/shelve", lasts="15m", why="扬尘")).status == 303
    ((left_s,),) = await cloud.rows(
        "SELECT extract(epoch FROM hold_until - clock_timestamp())::float8 FROM alarm WHERE id = $1", alarm
    )
    assert 890 < left_s <= 900


async def test_a_rule_is_switched_by_who_has_the_right_wherever_it_looks(cloud: RunningCloud) -> None:
    await made(cloud, "西苑小区", "wang")
    await cloud.person("chen", "manager", "西苑小区")
    async with cloud.database.transaction() as connection:
        await sync_pack(connection)
    chen = Browser(cloud)
    await chen.log_in("chen")
    assert "烟感报警" in (await chen.get("/rules")).body.decode()
    assert "/rules/tamper/off" in (await chen.get("/rules/tamper")).body.decode()
    assert (await chen.post("/rules/tamper/off", why="  ")).status == 409
    assert (await chen.post("/rules/tamper/off", why="普遍误报")).status == 303
    assert (await chen.post("/rules/tamper/on", why="换型完成")).status == 303
    kept = await cloud.rows("SELECT version, origin, body IS NULL, who, why FROM rule WHERE name = 'tamper' ORDER BY 1")
    assert kept[1:] == [(2, "person", True, "chen", "普遍误报"), (3, "pack", False, "chen", "换型完成")]
    page = (await chen.get("/rules/tamper")).body.decode()
    assert "普遍误报" in page

    await cloud.area("东苑")  # which is not hers, and is looked after by the same rule
    assert "/rules/tamper/off" not in (await chen.get("/rules/tamper")).body.decode()
    assert (await chen.post("/rules/tamper/off", why="x")).status == 409
    assert len(await cloud.rows("SELECT 1 FROM rule WHERE name = 'tamper'")) == 3


async def test_maintenance_drills_and_floods_stand_above_the_list_of_their_estate(cloud: RunningCloud) -> None:
    estate, wang = await made(cloud, "西苑小区", "wang")
    _, li = await made(cloud, "东苑", "li")
    calm = (await wang.get("/alarms")).body.decode()
    assert "消防演练，至" not in calm
    assert "告警洪泛" not in calm
    for kind, building, begins in (("drill", "3", "0 s"), ("maintenance", None, "0 s"), ("drill", "9", "1 h")):
        await cloud.rows(
            "INSERT INTO maintenance (kind, estate, building, from_at, until_at, why, who) SELECT $1, $2, $3, "
            "at - interval '1 s' + $4::text::interval, at + interval '2 h', '季度演练', 'x' "
            "FROM clock_timestamp() AS at",
            kind, estate.box.estate, building, begins,
        )  # fmt: skip
    await cloud.rows("INSERT INTO flood (estate, since) VALUES ($1, clock_timestamp())", estate.box.estate)
    page = (await wang.get("/alarms")).body.decode()
    assert page.count("消防演练，至") == 1  # the other one has not begun
    assert page.count("检修，至") == 1
    assert "告警洪泛：1 条" in page
    assert "季度演练" in page
    assert "消防演练，至" not in (await li.get("/alarms")).body.decode()
    assert "告警洪泛" not in (await li.get("/alarms")).body.decode()


async def test_an_alarm_of_a_box_and_one_of_a_place_have_pages(cloud: RunningCloud) -> None:
    estate, wang = await made(cloud, "西苑小区", "wang")
    box = UUID(estate.box.gateway)
    made_alarms = [
        (f"gateway:{box}", "gateway_silent", box), (f"bus:{box}/rs485-a", "bus_silent", box),
        (f"place:{estate.box.estate}/3/2", "fire_confirmed", None),
    ]  # fmt: skip
    for source, rule, gateway in made_alarms:
        await cloud.rows(
            "INSERT INTO alarm (rule, source, gateway, estate, priority, state, holds, value, raised_at) "
            "VALUES ($1, $2, $3, $4, 'high', 'UNACK', true, 'silent', clock_timestamp())",
            rule, source, gateway, estate.box.estate,
        )  # fmt: skip
    pages = {}
    for source, rule, _ in made_alarms:
        ((alarm,),) = await cloud.rows("SELECT id FROM alarm WHERE source = $1", source)
        answer = await wang.get(f"/alarms/{alarm}")
        assert answer.status == 200
        pages[rule] = answer.body.decode()
        assert (await wang.get(f"/alarms/{alarm}/curve")).status == 404
    assert re.search(r"<h1>box 网关失联</h1>", pages["gateway_silent"])
    assert f"/gateways/{box}" in pages["gateway_silent"]
    assert re.search(r"<h1>box · rs485-a 总线失联</h1>", pages["bus_silent"])
    assert re.search(r"<h1>3号楼2单元 火警确认</h1>", pages["fire_confirmed"])
    assert "单元门" in pages["fire_confirmed"]  # what its text asks to open
    assert "单元门" not in pages["bus_silent"]
    assert (await wang.get("/alarms?by=place")).status == 200
