"""The console in a real browser over a made-up estate: accessible, within its width, live, honest when it is not."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import pytest
from playwright.async_api import Browser, Page, async_playwright, expect

from tests.support.console_preview import COOKIE, GW, PEOPLE, SPACE, Console, served, uuid5

CHROMIUM = "/usr/bin/chromium"
ROOT = Path(__file__).parents[2]
AXE = (ROOT / "cloud/console/node_modules/axe-core/axe.min.js").read_text("utf-8")
SMOKE = uuid5(SPACE, "smoke")
SCREENS = {
    "alarms": "/alarms",
    "alarms to choose": "/alarms?choose=1",
    "alarms by place": "/alarms?by=place",
    "held alarms": "/alarms?show=held",
    "ended alarms": "/alarms?show=ended",
    "alarm": f"/alarms/{SMOKE}",
    "alarm over": f"/alarms/{uuid5(SPACE, 'level')}",
    "alarm shelved": f"/alarms/{uuid5(SPACE, 'dirty')}",
    "alarm suppressed": f"/alarms/{uuid5(SPACE, 'pump')}",
    "alarm of a box": f"/alarms/{uuid5(SPACE, 'gateway')}",
    "alarm to hold": f"/alarms/{uuid5(SPACE, 'lift')}",
    "incidents": "/incidents",
    "incident": f"/incidents/{uuid5(SPACE, 'i-fire')}",
    "incident to resolve": f"/incidents/{uuid5(SPACE, 'i-lift')}",
    "incident to report": "/incidents/new",
    "incident and everybody": "/mobilise/1/evacuate",
    "roll-call": f"/mobilisations/{uuid5(SPACE, 'mobilised 0')}",
    "rules": "/rules",
    "rule": "/rules/silent",
    "devices": "/devices",
    "nothing found": "/devices?q=zzz",
    "device": "/devices/1?range=24h",
    "door": "/devices/4",
    "silent door": "/devices/17",
    "question": "/devices/17/ask/unlock",
    "gateways": "/gateways",
    "gateway": f"/gateways/{GW[1]}",
    "quarantine": "/quarantine",
    "block": "/quarantine/7",
    "more": "/more",
    "missing": "/nix",
    "login": "/login",  # last: it is looked at without a session
}
VARIANTS = {name for name in SCREENS if name.startswith(("alarms ", "alarm ", "held ", "ended ", "incident "))}
"""Made of what other screens are made of: their colours and targets are looked at in one language."""
LOOKS = [(lang, theme, size) for lang in ("zh_CN", "en") for theme in ("light", "dark") for size in ("normal", "large")]
WCAG = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]


@pytest.fixture
async def chromium() -> AsyncIterator[Browser]:
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        await browser.close()


@pytest.fixture
async def console() -> AsyncIterator[Console]:
    async with served() as running:
        running.estate.make_windows()
        await running.estate.mobilise(PEOPLE["operator"], 1, "evacuate", drill=False)
        yield running


@asynccontextmanager
async def tab(browser: Browser, console: Console, width: int = 1280, **cookies: str) -> AsyncIterator[Page]:
    """A page of a signed-in person; an error in its scripts or a breach of its policy fails the test."""
    context = await browser.new_context(viewport={"width": width, "height": 800}, locale="zh-CN")
    jar = {COOKIE: "operator", "anju_theme": "light"} | cookies
    await context.add_cookies([{"name": k, "value": v, "url": console.url} for k, v in jar.items() if v])
    page = await context.new_page()
    problems: list[str] = []
    page.on("pageerror", lambda error: problems.append(str(error)))
    page.on("console", lambda said: problems.append(said.text) if "Content Security Policy" in said.text else None)
    yield page
    await context.close()
    assert problems == []


def url(console: Console, screen: str) -> str:
    return console.url + SCREENS[screen]


async def visit(page: Page, console: Console, screen: str) -> None:
    """Goes to a screen; to the log-in without a session."""
    if screen == "login":
        await page.goto("about:blank")  # a live page whose session ends goes there by itself, and would be in the way
        await page.context.clear_cookies(name=COOKIE)
    await page.goto(url(console, screen))


@pytest.mark.parametrize(("lang", "theme", "size"), LOOKS)
async def test_every_screen_is_accessible(chromium, console, lang, theme, size):
    # What a theme or size can break is colour and target; the markup is the same, and checked whole once a language.
    whole = (theme, size) == ("light", "normal")
    rules = {"runOnly": WCAG if whole else {"type": "rule", "values": ["color-contrast", "target-size"]}}
    found = []
    if lang == "en":
        console.estate.make_flood(8)  # rows by building, under its banner
    person = {COOKIE: "manager"}  # who is offered the most
    async with tab(chromium, console, anju_lang=lang, anju_theme=theme, anju_size=size, **person) as page:
        for screen in SCREENS:
            if screen in VARIANTS and lang == "en" and not whole:
                continue
            await visit(page, console, screen)
            await page.evaluate("document.querySelectorAll('.handle details').forEach(part => { part.open = true; })")
            if await page.locator("[data-chart]").count():
                await expect(page.locator(".chart canvas")).to_be_visible()
            await page.evaluate(AXE)
            result = await page.evaluate("rules => axe.run(rules)", rules)
            found += [
                f"{screen}: {rule['id']}: {node['html'][:160]} {node['failureSummary']}"
                for rule in result["violations"]
                for node in rule["nodes"]
            ]
    assert found == [], "\n".join(found)


@pytest.mark.parametrize("lang", ["zh_CN", "en"])
@pytest.mark.parametrize(("width", "size"), [(360, "normal"), (390, "large"), (1280, "large")])
async def test_nothing_stands_out_of_the_page(chromium, console, lang, width, size):
    async with tab(chromium, console, width, anju_lang=lang, anju_size=size) as page:
        for screen in SCREENS:
            await visit(page, console, screen)
            assert await page.evaluate("document.documentElement.scrollWidth") <= width, screen


async def test_a_new_alarm_comes_without_reload_and_is_acknowledged(chromium, console):
    async with tab(chromium, console) as page:
        await page.goto(url(console, "alarms"))
        await expect(page.locator("body")).to_have_attribute("data-live-state", "live")
        row = console.estate.raise_smoke("9", "5")
        shown = page.locator(f'[data-key="{row.id}"]')
        await expect(shown).to_contain_text("9号楼1单元5层")
        await expect(page.locator("#strip .critical b")).to_have_text("2")
        await expect(page.locator("#assertive")).to_have_text("9号楼1单元5层 烟感报警")
        await shown.get_by_role("button", name="确认").click()
        await expect(shown).to_contain_text("王敏")
        await expect(page.locator("#strip .critical b")).to_have_text("1")
        await expect(page.locator("#say")).to_be_visible()


async def test_a_row_keeps_its_place_while_somebody_is_on_it(chromium, console):
    async with tab(chromium, console) as page:
        await page.goto(url(console, "alarms"))
        await expect(page.locator("body")).to_have_attribute("data-live-state", "live")
        first = page.locator("#alarm-list > .alarm-list > .alarm").first
        await first.get_by_role("button", name="确认").focus()
        console.estate.raise_smoke("9", "5")
        bar = page.locator("[data-new-bar]")
        await expect(bar).to_have_text("1 条新告警：9号楼1单元5层 烟感报警，点击显示")
        await expect(first).to_contain_text("3号楼2单元7层")
        await bar.click()
        await expect(first).to_contain_text("9号楼1单元5层")
        await expect(bar).to_be_hidden()


async def test_a_door_is_asked_about_opened_and_answered(chromium, console):
    console.estate.answer_after_s = 2  # long enough to see it wait on a busy machine
    async with tab(chromium, console) as page:
        await page.goto(url(console, "alarm"))
        await expect(page.locator("body")).to_have_attribute("data-live-state", "live")
        door = page.locator("#cmd-4-unlock")
        await door.get_by_role("link", name="开门").click()
        await expect(door.get_by_text("确定打开这扇门？3号楼2单元 单元门")).to_be_focused()
        console.hub.publish(["alarms", "device:4"])  # an update must not take the question away
        await door.get_by_role("button", name="开门").click()
        await expect(door).to_contain_text("等待应答")
        await expect(door).to_contain_text("已执行，门锁已开 5 秒")
        await expect(door.get_by_role("link", name="开门")).to_be_focused()


async def test_the_page_says_when_it_is_not_live_and_catches_up(chromium):
    async with AsyncExitStack() as stack:
        async with served() as before:
            page = await stack.enter_async_context(tab(chromium, before, 390))
            await page.goto(url(before, "alarms"))
            live = page.locator("#live")
            await expect(live).to_have_text("实时")
        await expect(live).to_contain_text("起不是实时")
        after = await stack.enter_async_context(served(port=int(before.url.rpartition(":")[2])))
        after.estate.raise_smoke("9", "5")  # nobody is woken: it is read once the stream is back
        await expect(live).to_have_text("实时", timeout=15_000)
        await expect(page.locator("#alarm-list")).to_contain_text("9号楼1单元5层")


async def test_two_tabs_share_one_stream(chromium, console):
    async with tab(chromium, console) as page:
        await page.goto(url(console, "alarms"))
        await expect(page.locator("body")).to_have_attribute("data-live-state", "live")
        other = await page.context.new_page()
        await other.goto(url(console, "door"))
        await expect(other.locator("body")).to_have_attribute("data-live-state", "live")
        console.estate.raise_smoke("9", "5")
        await expect(page.locator("#alarm-list")).to_contain_text("9号楼")
        await expect(other.locator("#strip .critical b")).to_have_text("2")
        assert len(console.hub) == 1


async def test_an_alarm_opens_beside_the_list_where_there_is_room(chromium, console):
    async with tab(chromium, console) as page:
        await page.goto(url(console, "alarms"))
        await page.locator(f'[data-key="{SMOKE}"] .where').click()
        await expect(page.locator("#panel h1")).to_have_text("3号楼2单元7层 走廊 烟感报警")
        await expect(page.locator("#panel .chart canvas")).to_be_visible()
        await page.locator("[data-close-panel]").click()
        await expect(page.locator("#panel")).to_be_hidden()
        assert page.url.endswith("/alarms")


async def test_the_curve_is_read_with_the_arrow_keys(chromium, console):
    async with tab(chromium, console) as page:
        await page.goto(url(console, "device"))
        chart = page.locator(".chart")
        await expect(chart.locator("canvas")).to_be_visible()
        await chart.focus()
        await page.keyboard.press("ArrowLeft")
        await expect(page.locator(".chart-read")).to_contain_text("%/m")


async def test_without_scripts_everything_still_works(chromium, console):
    context = await chromium.new_context(java_script_enabled=False, locale="zh-CN")
    await context.add_cookies([{"name": COOKIE, "value": "operator", "url": console.url}])
    page = await context.new_page()
    await page.goto(url(console, "alarms"))
    await page.locator(f'[data-key="{SMOKE}"]').get_by_role("button", name="确认").click()
    await expect(page.locator(f'[data-key="{SMOKE}"]')).to_contain_text("已确认")
    await page.goto(url(console, "door"))
    await page.get_by_role("link", name="开门").click()
    await page.get_by_role("button", name="开门").click()
    await expect(page.locator("#cmd-4-unlock .answer")).to_be_visible()
    await page.goto(url(console, "more"))
    await page.get_by_role("button", name="深色").click()
    await expect(page.locator("html")).to_have_attribute("data-theme", "dark")
    await context.close()
