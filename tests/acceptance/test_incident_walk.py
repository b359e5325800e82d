"""One incident walked through in a real browser, from the smoke to the review: the guard, the grid worker's phone, the
manager next morning; and a mobilisation whose roll-call is live.
"""

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from uuid import UUID

import pytest
from playwright.async_api import Browser, Page, expect

from cloud.incidents.plan import Call, Plan, Said
from cloud.store import plans
from contract.kinds import Lane
from tests.support.blocks import SECOND, Chain, clock, inventory, smoke
from tests.support.cloud import PASSWORD, RunningCloud, running_cloud
from tests.support.servers import Database
from tests.support.system import DESKTOP, PHONE, chromium

ESTATE = "西苑小区"


@pytest.fixture
async def cloud(database_plain: Database) -> AsyncIterator[RunningCloud]:
    async with running_cloud(database_plain.url, connections=8) as running:
        yield running


@pytest.fixture
async def browser() -> AsyncIterator[Browser]:
    async with chromium() as started:
        yield started


@asynccontextmanager
async def person(browser: Browser, cloud: RunningCloud, login: str, viewport: dict[str, int]) -> AsyncIterator[Page]:
    """Somebody signed in, live; an error in the scripts fails the test."""
    context = await browser.new_context(viewport=viewport, locale="zh-CN")  # type: ignore[arg-type]
    page = await context.new_page()
    problems: list[str] = []
    page.on("pageerror", lambda error: problems.append(str(error)))
    await page.goto(f"{cloud.url}/login?next=/incidents")
    await page.fill("#login", login)
    await page.fill("#password", PASSWORD)
    await page.click("main button.primary")
    await expect(page.locator("body[data-live-state=live]")).to_be_attached()
    yield page
    await context.close()
    assert problems == []


async def burning(cloud: RunningCloud) -> UUID:
    """A box whose detector smokes, and the people of its estate; the alarm."""
    box = await cloud.enrolled_box(await cloud.area(ESTATE))
    await box.open_session()
    chain = Chain(Lane.URGENT)
    chain.urgent(inventory(), clock(time.time_ns()))
    chain.urgent(smoke("smoke", 1000 * SECOND))
    await box.post(Lane.URGENT, *chain.sent)
    for login, role in (("guard", "operator"), ("worker", "grid_worker"), ("manager", "manager")):
        await cloud.person(login, role, ESTATE)
    ((alarm,),) = await cloud.rows("SELECT id FROM alarm")
    return alarm


async def test_from_the_smoke_to_the_review(cloud: RunningCloud, browser: Browser) -> None:
    alarm = await burning(cloud)
    async with (
        person(browser, cloud, "guard", DESKTOP) as guard,
        person(browser, cloud, "worker", PHONE) as worker,
    ):
        await expect(worker.get_by_text("没有未结的事件")).to_be_visible()
        await guard.goto(f"{cloud.url}/alarms/{alarm}")
        await guard.get_by_role("button", name="派人").click()
        await guard.wait_for_url("**/incidents/*")
        await expect(guard.locator(".report-state")).to_contain_text("已派未接 · worker")

        row = worker.locator("li.incident")  # it comes by itself
        await expect(row).to_contain_text("限 2 分钟内接单")
        button = row.get_by_role("button", name="我去")
        box = await button.bounding_box()
        assert box is not None
        assert box["height"] >= 44
        await button.click()
        await expect(guard.locator(".report-state")).to_contain_text("在途 · worker")
        await row.get_by_role("button", name="已到场").click()
        await expect(guard.locator(".report-state")).to_contain_text("已到场 · worker")
        assert await worker.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]

        await row.get_by_role("link", name="处置完毕…").click()
        await worker.locator("#resolve").get_by_text("误报").click()
        await worker.locator("#resolve-why").fill("做饭，通风了")
        await worker.locator("#resolve").get_by_role("button", name="处置完毕").click()
        await expect(worker.locator(".report-state")).to_contain_text("待复盘")
        await expect(guard.locator(".history")).to_contain_text("做饭，通风了")

    async with person(browser, cloud, "manager", DESKTOP) as manager:
        await manager.locator("li.incident").get_by_role("link", name="复盘…").click()
        await expect(manager.locator(".history li")).to_have_count(5)
        await expect(manager.locator(".history")).to_contain_text("限 2 分钟")
        await manager.locator("#review-why").fill("及时")
        await manager.locator("#review").get_by_role("button", name="复盘完毕").click()
        await expect(manager.locator(".report-state")).to_contain_text("已复盘")

    assert await cloud.rows("SELECT label FROM alarm") == [("false",)]
    did = await cloud.rows("SELECT who, action FROM audit WHERE object LIKE 'incident %' ORDER BY id")
    assert did == [
        ("guard", "report incident"), ("guard", "dispatch incident"), ("worker", "accept incident"),
        ("worker", "arrive incident"), ("worker", "resolve incident"), ("manager", "review incident"),
    ]  # fmt: skip


async def test_a_mobilisation_asks_once_and_its_roll_call_is_live(cloud: RunningCloud, browser: Browser) -> None:
    await burning(cloud)
    ((door, area),) = await cloud.rows("SELECT id, estate FROM device WHERE key = 'door-0'")
    await cloud.rows("UPDATE device SET commands = '{unlock,release}' WHERE id = $1", door)
    plan = Plan(
        name="evacuate", title=Said("火灾疏散", "Fire evacuation"), call=Call(roles=["grid_worker", "operator"]),
        doors=[door],
    )  # fmt: skip
    async with cloud.database.transaction() as connection:
        await plans.put_plan(connection, area, plan.name, plan, None, "test")
    async with (
        person(browser, cloud, "guard", PHONE) as guard,
        person(browser, cloud, "worker", PHONE) as worker,
    ):
        await guard.get_by_role("link", name="一键动员").click()
        await guard.get_by_role("link", name="火灾疏散").click()
        assert await cloud.rows("SELECT count(*) FROM mobilisation") == [(0,)]
        await guard.get_by_role("button", name="立即动员").click()
        await guard.wait_for_url("**/mobilisations/*")
        await expect(guard.locator(".tally .none b")).to_have_text("2")
        await expect(guard.locator(".command-line .answer")).to_contain_text("等待")

        await worker.get_by_role("link", name="已动员：火灾疏散").click()
        await worker.get_by_role("button", name="我前往").click()
        await expect(guard.locator(".tally .coming b")).to_have_text("1")
        await worker.get_by_role("button", name="我已到").click()
        await expect(guard.locator(".tally .there b")).to_have_text("1")
        await expect(guard.locator(".tally .coming b")).to_have_text("0")
        await expect(worker.get_by_text("结束动员")).to_be_hidden()

        await guard.get_by_text("结束动员").click()
        await guard.get_by_role("button", name="现在结束").click()
        await expect(guard.locator(".report-state")).to_contain_text("guard 结束")
        await expect(worker.locator(".my-answer")).to_be_hidden()
    assert await cloud.rows("SELECT point, who FROM command") == [("release", "guard")]
