"""An alarm followed to its end in a real browser: taken back, given, shelved, written about, labelled, in a flood."""

import asyncio
import re
from collections.abc import AsyncIterator
from datetime import timedelta

import msgspec
import pytest
from playwright.async_api import Browser, expect

from tests.acceptance.test_console_guard import tab
from tests.support.console_preview import COOKIE, SPACE, served, uuid5
from tests.support.preview_alarms import UNDO
from tests.support.system import PHONE, chromium

SMOKE, LIFT, OLD, HELD = (uuid5(SPACE, key) for key in ("smoke", "lift", "old", "held"))


@pytest.fixture
async def browser() -> AsyncIterator[Browser]:
    async with chromium() as started:
        yield started


async def test_an_acknowledgement_is_taken_back_with_the_next_press_of_a_key(browser):
    async with served() as console, tab(browser, console, "/alarms") as page:
        row = page.locator(f'[data-key="{SMOKE}"]')
        await row.get_by_role("button", name="确认").focus()
        await page.keyboard.press("Enter")
        undo = row.get_by_role("button", name="撤销确认")
        await expect(undo).to_be_focused()
        await expect(undo).to_contain_text(re.compile(r"5\d秒"))
        await page.keyboard.press("Enter")
        await expect(row.get_by_role("button", name="确认", exact=False)).to_be_focused()
        await expect(row).to_have_class(re.compile("unack"))


async def test_after_a_minute_there_is_nothing_to_take_back(browser):
    async with served() as console, tab(browser, console, f"/alarms/{SMOKE}", PHONE) as page:
        bar = page.locator(".actions")
        await bar.get_by_role("button", name="确认").click()
        await expect(bar.get_by_role("button", name="撤销确认")).to_be_visible()
        row = console.estate.alarm_rows[SMOKE]
        soon = row.acked_at - UNDO + timedelta(seconds=2)
        console.estate.alarm_rows[SMOKE] = msgspec.structs.replace(row, acked_at=soon)
        console.hub.publish(["alarms"])
        await expect(bar.get_by_role("button", name="撤销确认")).to_be_hidden(timeout=6000)  # by itself
        console.estate.refusal = "it was acknowledged more than a minute ago: tell your colleagues by a comment instead"
        await page.evaluate("document.querySelector('.actions form').hidden = false")  # whoever presses too late
        await bar.get_by_role("button", name="撤销确认").click()
        await expect(page.locator("#say")).to_have_text("确认已超过一分钟，不能撤销；请写备注告诉同事。")


async def test_what_is_being_written_stays_while_the_page_is_kept_up_to_date(browser):
    async with served() as console, tab(browser, console, f"/alarms/{LIFT}") as page:
        comment = page.locator("#comment")
        await comment.fill("电梯公司说 20 分钟到")
        await page.get_by_text("屏蔽", exact=True).first.click()
        await page.get_by_role("radio", name="1 小时").check()
        await page.locator("#shelve-why").fill("已报修")
        console.estate.comments[LIFT] = []
        row = console.estate.alarm_rows[LIFT]
        console.estate.alarm_rows[LIFT] = msgspec.structs.replace(row, repeats=3, assignee="周伟")
        console.hub.publish(["alarms"])
        await expect(page.locator(".report-state")).to_contain_text("又出现 3 次")
        await expect(comment).to_have_value("电梯公司说 20 分钟到")
        await expect(page.get_by_role("radio", name="1 小时")).to_be_checked()
        await page.get_by_role("button", name="写入").click()
        await expect(page.locator(".history .comment")).to_contain_text("电梯公司说 20 分钟到")
        await expect(comment).to_have_value("")
        await expect(page.locator("#shelve-why")).to_have_value("已报修")
        await page.get_by_role("button", name="屏蔽").click()
        await expect(page.locator(".hold")).to_contain_text(re.compile(r"屏蔽至 \d\d:\d\d · 王敏 · 已报修"))
        await expect(page.locator("#say")).to_contain_text("到时自动恢复")
        await page.get_by_role("button", name="取消屏蔽").click()
        await expect(page.locator(".hold")).to_be_hidden()


async def test_a_label_is_given_with_its_own_button(browser):
    async with served() as console, tab(browser, console, f"/alarms/{OLD}") as page:
        await page.get_by_role("button", name="真实").click()
        await expect(page.get_by_role("button", name="真实")).to_have_attribute("aria-pressed", "true")
        await expect(page.get_by_role("button", name="真实")).to_be_focused()
        await expect(page.locator(".report-state")).to_contain_text("结论：真实")
        assert console.estate.alarm_rows[OLD].label == "real"


async def test_of_several_buttons_the_one_that_was_pressed_shows_that_it_is_under_way(browser):
    async with served() as console, tab(browser, console, f"/alarms/{OLD}") as page:
        thawed = asyncio.Event()
        act = console.estate.act

        async def frozen(person, alarm_id, what):
            await thawed.wait()
            return await act(person, alarm_id, what)

        console.estate.act = frozen
        pressed = page.locator("[data-focus=label-test]")
        try:
            await pressed.click()
            await expect(pressed).to_have_attribute("aria-busy", "true")
            await expect(page.locator("[aria-busy]")).to_have_count(1)
        finally:
            thawed.set()
        await expect(pressed).to_have_attribute("aria-pressed", "true")
        await expect(pressed).to_have_text("测试")


async def test_in_a_flood_rows_stay_where_they_are_and_what_was_closed_stays_closed(browser):
    async with served() as console:
        console.estate.make_flood()
        async with tab(browser, console, "/alarms") as page:
            await expect(page.locator(".flood")).to_contain_text("告警洪泛：46 条")
            groups = page.locator(".place-group")
            await expect(groups).to_have_count(6)
            await groups.nth(1).locator("summary").click()
            first = groups.nth(0).locator(".alarm").first
            key = await first.get_attribute("data-key")
            await first.get_by_role("button", name="确认").click()
            await expect(first.get_by_role("button", name="撤销确认")).to_be_visible()
            await expect(first).to_have_attribute("data-key", str(key))
            console.estate.raise_smoke("2", "9")
            await expect(groups.nth(1).locator(".counts-here")).to_contain_text("11 条告警")
            assert await groups.nth(1).get_attribute("open") is None
            assert await groups.nth(0).get_attribute("open") is not None


async def test_without_scripts_an_alarm_is_followed_to_its_end(browser):
    async with served() as console:
        context = await browser.new_context(java_script_enabled=False, locale="zh-CN")
        await context.add_cookies([{"name": COOKIE, "value": "manager", "url": console.url}])
        page = await context.new_page()
        await page.goto(f"{console.url}/alarms/{HELD}")
        await page.get_by_role("button", name="确认").click()
        await page.get_by_role("button", name="撤销确认").click()
        await page.get_by_role("button", name="我来处理").click()
        await expect(page.locator(".report-state")).to_contain_text("周伟")
        await page.locator("#comment").fill("在搬家")
        await page.get_by_role("button", name="写入").click()
        await expect(page.locator(".history .comment")).to_contain_text("在搬家")
        await page.locator("summary", has_text="屏蔽").click()
        shelf = page.locator("form[action$='/shelve']")
        await shelf.get_by_role("radio", name="到本班结束").check()
        await shelf.get_by_label("原因").fill("搬家")
        await shelf.get_by_role("button", name="屏蔽").click()
        await expect(page.locator(".hold")).to_contain_text("搬家")
        await page.goto(f"{console.url}/alarms?choose=1")
        await page.locator(f'[data-key="{SMOKE}"] input[type=checkbox]').check()
        await page.get_by_role("button", name="确认所选").click()
        await expect(page.locator(f'[data-key="{SMOKE}"]')).to_have_class(re.compile("acked"))
        await page.goto(f"{console.url}/rules/held_open")
        await page.locator("summary", has_text="关闭这条规则").click()
        await page.get_by_label("原因").fill("改造中")
        await page.get_by_role("button", name="关闭规则").click()
        await expect(page.get_by_text("已关闭，不会产生告警")).to_be_visible()
        await context.close()
