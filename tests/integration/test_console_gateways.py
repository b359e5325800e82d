"""Gateways and quarantine in the console over the real store: what is seen, by whom, and what is kept of it."""

from collections.abc import AsyncIterator
from uuid import UUID

import msgspec
import pytest

from cloud.store import streams
from contract.kinds import Lane
from contract.records import LossReceipt
from contract.session import BEAT_PATH, Beat
from tests.contract.test_administration import REPORT
from tests.integration.test_console_data import AT, Estate, made
from tests.support.blocks import SECOND, smoke
from tests.support.browser import Browser
from tests.support.cloud import RunningCloud, running_cloud
from tests.support.servers import Database

STATES = """
SELECT value FROM states JOIN series ON series.id = series JOIN device ON device.id = device WHERE key = $1
"""


@pytest.fixture
async def cloud(database_plain: Database) -> AsyncIterator[RunningCloud]:
    async with running_cloud(database_plain.url) as running:
        yield running


async def text(browser: Browser, path: str) -> str:
    answer = await browser.get(path)
    assert answer.status == 200, path
    return answer.body.decode()


async def manager(cloud: RunningCloud, area: str) -> Browser:
    await cloud.person("zhou", role="manager", area=area)
    browser = Browser(cloud)
    assert (await browser.log_in("zhou")).status == 303
    return browser


async def aside(cloud: RunningCloud, estate: Estate) -> int:
    """A block of which the inventory does not know one name; returns its number."""
    block = estate.chain.urgent(smoke("clear", AT + SECOND, "smoke-9"))
    assert (await estate.box.post(Lane.URGENT, block)).quarantined == 1
    ((number,),) = await cloud.rows("SELECT id FROM quarantine WHERE replayed_at IS NULL")
    return int(number)


async def test_what_a_box_reports_is_on_its_page_and_nobody_elses(cloud: RunningCloud) -> None:
    west, wang = await made(cloud, "西苑小区", "wang")
    _, li = await made(cloud, "东苑", "li")
    path = f"/gateways/{west.box.gateway}"
    assert path in await text(wang, "/gateways")
    assert "它还没有上报自身状况" in await text(wang, path)
    beat = Beat(0, 7, msgspec.structs.replace(REPORT, is_in_memory=True, budget_bytes=10))
    assert (await cloud.post(BEAT_PATH, msgspec.json.encode(beat), west.box.headers)).status == 204
    await cloud.cloud.beats.write()
    page = await text(wang, path)
    for words in ("磁盘无法写入", "7 块待传", "3 B / 10 B（30%）", "rs485-a", "来自平台", "首次"):
        assert words in page, words
    assert "它还没有上报自身状况" not in page
    assert (await li.get(path)).status == 404
    assert (await li.get(f"{path}/live")).status == 404
    assert (await li.post(f"{path}/losses/seen", last="1")).status == 404


async def test_who_saw_what_a_box_gave_up_is_kept(cloud: RunningCloud) -> None:
    estate, browser = await made(cloud, "西苑小区", "wang")
    gateway = UUID(estate.box.gateway)
    async with cloud.database.transaction() as connection:
        receipt = LossReceipt(Lane.BULK, 7, 1, 3, 0, 1200, "storage was full", 0)
        await streams.put_loss(connection, gateway, receipt, (await cloud.rows("SELECT now()"))[0][0])
    ((last,),) = await cloud.rows("SELECT id FROM loss")
    assert "丢弃过数据" in await text(browser, "/gateways")
    page = await text(browser, f"/gateways/{gateway}")
    assert "1200 条" in page
    assert f'name="last" value="{last}"' in page
    assert (await browser.post(f"/gateways/{gateway}/losses/seen", last=str(last))).status == 303
    assert "wang 已看" in await text(browser, f"/gateways/{gateway}")
    assert "丢弃过数据" not in await text(browser, "/gateways")
    kept = await cloud.rows("SELECT who, object, detail FROM audit WHERE action = 'see losses'")
    assert kept == [("wang", f"gateway {gateway}", {"receipts": 1, "items": 1200, "last": last})]


async def test_a_block_that_could_not_be_stored_is_looked_at_stored_or_dropped_and_both_are_kept(
    cloud: RunningCloud,
) -> None:
    estate, wang = await made(cloud, "西苑小区", "wang")
    _, li = await made(cloud, "东苑", "li")
    number = await aside(cloud, estate)
    assert "1 块未入库" in await text(wang, "/gateways")
    assert f"/quarantine/{number}" in await text(wang, f"/quarantine?gateway={estate.box.gateway}")
    assert "a name that the inventory does not have" in await text(wang, f"/quarantine/{number}")
    assert f"/quarantine/{number}" not in await text(li, "/quarantine")
    assert (await li.get(f"/quarantine/{number}")).status == 404
    assert (await wang.post(f"/quarantine/{number}/replay")).status == 403  # an operator does not manage
    zhou = await manager(cloud, "西苑小区")
    refused = (await zhou.post(f"/quarantine/{number}/replay")).body.decode()
    assert "仍未成功" in refused
    assert "a name that the inventory does not have" in refused
    assert (await zhou.post(f"/quarantine/{number}/drop")).status == 303
    assert (await zhou.get(f"/quarantine/{number}")).status == 404
    kept = await cloud.rows("SELECT who, action, object FROM audit WHERE action LIKE '%block' ORDER BY id")
    box = f"gateway {estate.box.gateway}"
    assert kept == [("zhou", "replay block", box), ("zhou", "drop block", box)]


async def test_a_block_is_stored_once_its_reason_is_gone(cloud: RunningCloud) -> None:
    estate, _ = await made(cloud, "西苑小区", "wang")
    number = await aside(cloud, estate)
    await cloud.rows("UPDATE device SET key = 'smoke-9' WHERE key = 'smoke-1'")  # as a mended configuration names it
    zhou = await manager(cloud, "西苑小区")
    assert "已入库：数据已归位。" in (await zhou.post(f"/quarantine/{number}/replay")).body.decode()
    assert ("clear",) in await cloud.rows(STATES, "smoke-9")
    assert f"/quarantine/{number}" not in await text(zhou, "/quarantine")
    assert "后来入库于" in await text(zhou, f"/quarantine/{number}")
    assert (await zhou.post(f"/quarantine/{number}/replay")).status == 200  # somebody was quicker


async def test_two_boxes_that_speak_as_one_are_told_on_the_page_and_first_in_the_list(cloud: RunningCloud) -> None:
    estate, browser = await made(cloud, "西苑小区", "wang")
    await cloud.rows("UPDATE gateway SET shared_at = now()")
    assert "两台共用身份" in await text(browser, "/gateways")
    assert "有两台网关共用这一身份" in await text(browser, f"/gateways/{estate.box.gateway}")
