"""From a register to the page and back to the door, in a real browser, on plain PostgreSQL and on TimescaleDB."""

import json
import re
import signal
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from playwright.async_api import Browser, Page, expect

from simulators.demo.estate import ESTATE, Demo
from simulators.demo.processes import run_once
from simulators.log import Write, read_log
from tests.support.servers import Database
from tests.support.system import PHONE, chromium, get_point, logged_in, quiet_system, set_point

DETECTOR = "smoke-3-2-07"
TITLE = "3号楼2单元7层"


@dataclass
class System:
    demo: Demo
    browser: Browser


@pytest.fixture(params=["plain", "apache"])
async def system(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[System]:
    database: Database = request.getfixturevalue(f"database_{request.param}")
    async with quiet_system(tmp_path, database.url) as demo, chromium() as browser:
        yield System(demo, browser)


async def stays_itself(page: Page) -> None:
    """Marks the document; a reload would lose the mark."""
    await page.evaluate("document.body.dataset.untouched = 'yes'")


async def expect_no_reload(page: Page) -> None:
    await expect(page.locator("body[data-untouched=yes]")).to_be_attached()


async def test_a_smoke_alarm_from_the_register_to_the_door(system: System) -> None:
    demo = system.demo
    async with logged_in(system.browser, demo) as page:
        await expect(page.get_by_text("当前没有告警")).to_be_visible()
        await stays_itself(page)

        # The alarm appears by itself.
        await set_point(demo, DETECTOR, "smoke", "smoke")
        row = page.locator("li.alarm", has_text=TITLE)
        await expect(row).to_be_visible()
        await expect(row).to_have_class(re.compile("critical unack"))
        await expect(row).to_contain_text("烟感报警")
        await expect(page.locator(".strip .critical")).to_contain_text("1")

        # Acknowledging is not clearing.
        await row.get_by_role("button", name="确认").click()
        await expect(row).to_have_class(re.compile("critical acked"))
        await expect(row).to_contain_text("王芳")
        await expect_no_reload(page)

        # The alarm's page says what to do and offers the nearest door first; opening asks which door.
        alarm_path = await row.locator("a.where").get_attribute("href")
        assert alarm_path is not None
        await page.goto(demo.url + alarm_path)
        await stays_itself(page)
        await expect(page.get_by_role("heading", name="怎么办")).to_be_visible()
        door = page.locator("li.command-line").first
        await expect(door).to_contain_text("3号楼2单元")
        await expect(door).to_contain_text("锁闭")
        await door.get_by_role("button", name="开门").or_(door.get_by_role("link", name="开门")).click()
        await expect(door).to_contain_text("3号楼2单元门")
        assert await get_point(demo, "door-3-2", "lock") == "locked"  # the question alone opens nothing
        await door.locator("button.primary").click()
        await expect(door).to_contain_text("已执行")
        await expect(door).to_contain_text("开锁")
        assert await get_point(demo, "door-3-2", "lock") == "unlocked"
        await expect_no_reload(page)

        # The condition clears; an acknowledged alarm is over.
        await set_point(demo, DETECTOR, "smoke", "clear")
        await expect(page.locator("#report")).to_have_class(re.compile("norm"))
        await expect(page.locator(".history").last).to_contain_text("王芳")
        await page.goto(f"{demo.url}/alarms")
        await expect(page.get_by_text("当前没有告警")).to_be_visible()
        await expect(page.locator("section.ended")).to_contain_text(TITLE)

    printed = await run_once(
        "anju-cloud", "history", "--estate", ESTATE, environment={"DATABASE_URL": demo.database_url}
    )
    lines = [json.loads(line) for line in printed.splitlines()]
    (alarm,) = [line for line in lines if line["what"] == "alarm"]
    assert [(t["event"], t["to_state"], t["who"]) for t in alarm["transitions"]] == [
        ("raise", "UNACK", "system"),
        ("acknowledge", "ACKED", "王芳"),
        ("clear", "NORM", "system"),
    ]
    (command,) = [line for line in lines if line["what"] == "command"]
    assert (command["device"], command["point"], command["status"]) == ("door-3-2", "unlock", "executed")
    assert sum(line["what"] == "reading" for line in lines) == 44
    writes = [entry for entry in read_log(demo.truth) if isinstance(entry, Write)]
    assert [(write.bus, write.unit) for write in writes] == [("doors", 3)]  # once, and only that door


async def test_the_chart_of_a_device(system: System) -> None:
    demo = system.demo
    async with logged_in(system.browser, demo, viewport=PHONE) as page:
        await page.goto(f"{demo.url}/devices")
        await page.get_by_role("link", name=f"{TITLE}烟感").click()
        await page.get_by_role("link", name="温度").first.click()
        await expect(page.locator(".chart canvas")).to_be_visible()
        await set_point(demo, DETECTOR, "temperature", 58.0)
        await expect(page.locator("table.points")).to_contain_text(re.compile(r"5[78]"))  # by itself
        # The curve is drawn: there are pixels on the canvas that are not its background.
        drawn = """() => { const c = document.querySelector('.chart canvas');
            const d = c.getContext('2d').getImageData(0, 0, c.width, c.height).data;
            let n = 0; for (let i = 3; i < d.length; i += 4) if (d[i] > 128) n++; return n; }"""
        assert await page.evaluate(drawn) > 500
        await page.get_by_text("用表格看曲线").click()
        await expect(page.locator("details.figures table")).to_contain_text(re.compile(r"5[78]"))
        fits = "() => document.documentElement.scrollWidth <= document.documentElement.clientWidth"
        assert await page.evaluate(fits)


async def test_a_page_says_when_it_is_not_live_and_heals_itself(system: System) -> None:
    demo = system.demo
    cloud = next(child for child in demo.children if child.name == "cloud")
    # A part that the page had just asked for is given up (and asked for again), which htmx tells the console.
    given_up = ("htmx:timeout", "htmx:afterRequest")
    async with logged_in(system.browser, demo, tolerate=given_up) as page:
        await stays_itself(page)
        cloud.process.send_signal(signal.SIGSTOP)  # connected, but it says nothing any more
        try:
            await expect(page.locator("#live")).to_contain_text("不是实时", timeout=15_000)
            await set_point(demo, DETECTOR, "smoke", "smoke")  # the box keeps it
        finally:
            cloud.process.send_signal(signal.SIGCONT)
        await expect(page.locator("li.alarm.unack", has_text=TITLE)).to_be_visible(timeout=20_000)
        await expect(page.locator("#live")).to_have_text(re.compile("^\\s*实时\\s*$"), timeout=20_000)
        await expect_no_reload(page)
