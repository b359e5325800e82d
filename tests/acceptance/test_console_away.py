"""The console in a real browser while its data are away: it says so, tries again by itself, and heals."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from playwright.async_api import Browser, Page, expect

from cloud.console.live.seats import Seats
from tests.support.console_preview import COOKIE, Console, served
from tests.support.system import chromium


@pytest.fixture
async def browser() -> AsyncIterator[Browser]:
    async with chromium() as started:
        yield started


@asynccontextmanager
async def tab(browser: Browser, console: Console) -> AsyncIterator[Page]:
    context = await browser.new_context(viewport={"width": 1280, "height": 800}, locale="zh-CN")
    await context.add_cookies([{"name": COOKIE, "value": "operator", "url": console.url}])
    page = await context.new_page()
    problems: list[str] = []
    page.on("pageerror", lambda error: problems.append(str(error)))
    yield page
    await context.close()
    assert problems == []


async def test_a_page_that_could_not_be_had_heals_itself(browser):
    async with served() as console, tab(browser, console) as page:
        console.estate.away = True
        answer = await page.goto(f"{console.url}/alarms")
        assert answer is not None
        assert answer.status == 503
        await expect(page).to_have_title("控制台暂时读不到数据。 · 安居")
        await expect(page.locator("main")).to_contain_text("收不到任何告警")
        console.estate.away = False
        await expect(page).to_have_title("告警 · 安居", timeout=15_000)
        await expect(page.locator("body")).to_have_attribute("data-live-state", "live")


async def test_a_live_part_that_could_not_be_read_is_read_again_though_the_stream_never_broke(browser):
    async with served() as console, tab(browser, console) as page:
        await page.goto(f"{console.url}/alarms")
        live = page.locator("#live")
        await expect(live).to_have_text("实时")
        console.estate.away = True
        row = console.estate.raise_smoke("9", "5")  # its wake-up comes, but not what it wakes to
        await expect(live).to_contain_text("起不是实时")
        await expect(page.locator("#say")).to_contain_text("收不到任何告警")
        console.estate.away = False
        await expect(page.locator(f'[data-key="{row.id}"]')).to_be_visible(timeout=15_000)
        await expect(page.locator("#strip .critical b")).to_have_text("2", timeout=15_000)
        await expect(live).to_have_text("实时", timeout=15_000)
        assert len(console.hub) == 1


async def test_a_page_for_which_there_is_no_stream_says_so_and_gets_one_later(browser):
    seats = Seats(most=0)
    async with served(seats=seats) as console, tab(browser, console) as page:
        await page.goto(f"{console.url}/alarms")
        await expect(page.locator("#live")).to_contain_text("打开的页面过多")
        assert await page.evaluate("document.documentElement.scrollWidth") <= 1280
        await expect(page.locator("body")).to_have_attribute("data-live-state", "cut")
        seats._most = 5
        await page.reload()
        await expect(page.locator("body")).to_have_attribute("data-live-state", "live", timeout=60_000)


async def test_a_curve_is_not_read_again_at_every_change(browser):
    async with served() as console, tab(browser, console) as page:
        asked: list[str] = []
        page.on("request", lambda request: asked.append(request.url.removeprefix(console.url).partition("?")[0]))
        await page.goto(f"{console.url}/devices/1?range=24h")
        await expect(page.locator(".chart canvas")).to_be_visible()
        await expect(page.locator("body")).to_have_attribute("data-live-state", "live")
        await page.locator("details.figures summary").click()
        await page.evaluate("document.querySelector('.chart canvas').marked = true")
        for _ in range(8):
            console.hub.publish(["device:1"])
            await page.wait_for_timeout(150)
        assert asked.count("/devices/1/live") >= 4
        assert asked.count("/devices/1/curve") <= 2  # at the beginning, and at most once after it
        assert 1 <= asked.count("/devices/1/figures") <= 2
        await expect(page.locator("#curve canvas")).to_be_visible()  # live updates leave it where it is
        await expect(page.locator("details.figures")).to_have_attribute("open", "")
        await expect(page.locator("details.figures tbody tr")).to_have_count(12)
