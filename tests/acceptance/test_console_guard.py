"""The console in a real browser as a guard uses it at night: silent boxes, a frozen cloud, no mouse, a phone."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta

import pytest
from playwright.async_api import Browser, Page, expect

from cloud.console.data import SilentGateway
from tests.support.console_preview import COOKIE, ESTATE, SPACE, Console, served, uuid5
from tests.support.system import DESKTOP, PHONE, chromium

SMOKE, LEVEL = uuid5(SPACE, "smoke"), uuid5(SPACE, "level")


@pytest.fixture
async def browser() -> AsyncIterator[Browser]:
    async with chromium() as started:
        yield started


@asynccontextmanager
async def tab(
    browser: Browser, console: Console, path: str, viewport: dict[str, int] = DESKTOP, **cookies: str
) -> AsyncIterator[Page]:
    """A signed-in person's page, live; an error in its scripts fails the test."""
    context = await browser.new_context(viewport=viewport, locale="zh-CN")  # type: ignore[arg-type]
    jar = {COOKIE: "operator"} | cookies
    await context.add_cookies([{"name": name, "value": value, "url": console.url} for name, value in jar.items()])
    page = await context.new_page()
    problems: list[str] = []
    page.on("pageerror", lambda error: problems.append(str(error)))
    await page.goto(console.url + path)
    await expect(page.locator("body")).to_have_attribute("data-live-state", "live")
    yield page
    await context.close()
    assert problems == []


@pytest.mark.parametrize("path", ["/alarms", "/devices"])
async def test_a_box_that_falls_silent_is_told_without_a_reload_and_so_is_its_return(browser, path):
    async with served(quiet=True) as console, tab(browser, console, path) as page:
        banner, strip = page.locator(".silent-boxes"), page.locator("#strip .silent")
        await expect(banner).to_be_hidden()
        box = SilentGateway("gw-3", "地下车库", ESTATE, datetime.now(UTC) - timedelta(minutes=2), 12)
        console.estate.silent_rows = [box]
        console.hub.publish_all()
        await expect(banner).to_contain_text("网关离线：地下车库")
        await expect(banner).to_contain_text("12 台设备状态未知")
        await expect(banner).to_contain_text("看住消防主机")
        await expect(strip).to_have_text("1 台网关离线")
        await expect(page.get_by_text("无需操作")).to_be_hidden()
        console.estate.silent_rows = []
        console.hub.publish_all()
        await expect(banner).to_be_hidden()
        await expect(strip).to_be_hidden()


async def test_a_page_that_hears_no_beat_says_so_within_15_s_and_what_to_do(browser):
    async with served() as console, tab(browser, console, "/alarms", PHONE) as page:
        console.hub.alive = False  # the stream stands, but says nothing
        await expect(page.locator("#live")).to_contain_text("起不是实时", timeout=15_000)
        await expect(page.locator("#cut")).to_contain_text("请看消防主机，检查网络")
        dim = "getComputedStyle(document.querySelector('.alarm [data-running]')).opacity"
        assert float(await page.evaluate(dim)) < 1
        assert await page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]
        console.hub.alive = True
        await expect(page.locator("#cut")).to_be_hidden(timeout=15_000)


async def test_an_acknowledgement_that_nobody_answers_shows_it_and_is_sent_once(browser):
    async with served() as console, tab(browser, console, "/alarms") as page:
        asked: list[object] = []
        thawed = asyncio.Event()

        async def frozen(person, alarm_id, act):
            asked.append(alarm_id)
            await thawed.wait()

        console.estate.act = frozen
        button = page.locator(f'[data-key="{SMOKE}"] button')
        try:
            await button.focus()
            await page.keyboard.press("Enter")
            await expect(button).to_have_attribute("aria-busy", "true")
            await expect(button).to_have_text("正在发送…")
            await button.click()
            await page.keyboard.press("Enter")
            console.estate.raise_smoke("9", "5")  # a live update leaves it as it is
            await expect(button).to_have_text("还没有回应…", timeout=7_000)
            await expect(page.locator("#say")).to_contain_text("不知道是否已执行", timeout=7_000)
            await expect(button).to_contain_text("确认")
            assert await button.get_attribute("aria-busy") is None
            assert asked == [SMOKE]
        finally:
            thawed.set()


async def test_what_ends_with_its_acknowledgement_is_said_to_end(browser):
    async with served() as console, tab(browser, console, "/alarms") as page:
        await expect(page.locator(f'[data-key="{LEVEL}"] .said-value')).to_contain_text("已恢复未确认")
        await page.locator(f'[data-key="{LEVEL}"] button').click()
        await expect(page.locator("#say")).to_have_text("已确认，告警结束。")


async def test_several_alarms_at_once_are_each_spoken_and_the_bar_names_the_worst(browser):
    async with served() as console, tab(browser, console, "/alarms") as page:
        await page.locator(f'[data-key="{SMOKE}"] button').focus()
        for floor in ("5", "6"):
            console.estate.raise_smoke("9", floor)
        await expect(page.locator("#assertive")).to_contain_text("9号楼1单元5层 烟感报警")
        await expect(page.locator("[data-new-bar]")).to_contain_text("2 条新告警，最严重：9号楼1单元")


async def test_a_toast_does_not_cover_what_it_is_about(browser):
    async with served() as console:
        for viewport in (DESKTOP, PHONE):
            async with tab(browser, console, "/devices/4", viewport) as page:
                await page.evaluate(
                    "document.body.dispatchEvent(new CustomEvent('anju:say', {detail: {text: '已确认。'.repeat(6)}}))"
                )
                toast = await page.locator("#say").bounding_box()
                content = await page.locator("#content").bounding_box()
                nav = await page.locator(".nav").bounding_box()
                assert toast
                assert content
                assert nav
                bottom = toast["y"] + toast["height"]
                assert bottom <= content["y"] + 1 or toast["y"] >= nav["y"] - 1


async def test_focus_goes_on_after_each_setting(browser):
    async with served() as console, tab(browser, console, "/more") as page:
        for word in ("深色", "大字", "浅色"):
            await page.get_by_role("button", name=word).focus()
            await page.keyboard.press("Enter")
            await expect(page.get_by_role("button", name=word)).to_be_focused()
            await expect(page.get_by_role("button", name=word)).to_have_attribute("aria-pressed", "true")


async def test_a_session_that_is_about_to_end_says_so_and_one_that_ended_says_why(browser):
    async with served() as console:
        console.identity.ends = datetime.now(UTC) + timedelta(hours=2)
        async with tab(browser, console, "/devices?q=7") as page:
            await expect(page.locator("#ending")).to_be_hidden()
            console.identity.ends = datetime.now(UTC) + timedelta(minutes=14)
            console.hub.publish(["alarms"])
            await expect(page.locator("#ending")).to_contain_text("到期")
            console.identity.ended = True
            await page.wait_for_url("**/login**", timeout=15_000)
            await expect(page.locator(".why")).to_contain_text("登录已被结束")
            console.identity.ended = False
            await page.fill("#login", "operator")
            await page.fill("#password", "anju")
            await page.keyboard.press("Enter")
            await page.wait_for_url(f"{console.url}/devices?q=7")


async def test_a_phone_says_in_words_that_nothing_would_be_heard(browser):
    async with served() as console, tab(browser, console, "/alarms", PHONE) as page:
        sound = page.locator("#sound")
        await expect(sound).to_have_text("声音关，点击后才会响")
        box = await sound.bounding_box()
        assert box
        assert box["height"] >= 44
        assert box["width"] >= 120
        await sound.click()
        await expect(sound.locator(".sound-word")).to_be_hidden()


@pytest.mark.parametrize("size", ["normal", "large"])
async def test_who_has_an_alarm_is_seen_without_scrolling_on_a_phone(browser, size):
    async with served() as console, tab(browser, console, f"/alarms/{SMOKE}", PHONE, anju_size=size) as page:
        line, bar = page.locator(".report-state"), page.locator(".actions")
        await expect(line).to_contain_text("无人处理")
        seen, cover = await line.bounding_box(), await bar.bounding_box()
        assert seen
        assert cover
        assert seen["y"] + seen["height"] <= cover["y"]
