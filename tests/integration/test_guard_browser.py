"""The guard page in a real browser: live by script, whole without, fit for a phone, and honest when it is old."""

import pytest
from playwright.async_api import expect

from contract.site import GuardPage, Secret
from edge.guard import Guard
from tests.support.system import PHONE, chromium
from tests.unit.edge.guard.views import FIRE, QUIET, Asked

PASSWORD = "correct horse"


@pytest.fixture
def guard(tmp_path, monkeypatch, unused_tcp_port):
    (tmp_path / "guard").write_text(PASSWORD)
    monkeypatch.setenv("ANJU_SECRETS", str(tmp_path))
    return Guard(GuardPage(listen=f"127.0.0.1:{unused_tcp_port}", password=Secret("guard")), tmp_path)


async def log_in(page, port):
    await page.goto(f"http://127.0.0.1:{port}/")
    await page.fill("#password", PASSWORD)
    await page.click("button.primary")
    await expect(page.locator("main[data-live]")).to_be_attached()


async def test_what_happens_shows_by_itself_and_old_content_says_that_it_is_old(guard):
    shown = Asked(QUIET)
    async with chromium() as browser:
        page = await browser.new_page(viewport=PHONE, locale="zh-CN")
        problems = []
        page.on("console", lambda message: problems.append(message.text) if message.type == "error" else None)
        async with guard.serve(shown) as port:
            await log_in(page, port)
            shown.shown = FIRE
            await expect(page.locator("#zone-b3-u2.confirmed")).to_be_visible(timeout=10_000)
            await expect(page).to_have_title("● 2 报警 · 安居值班页")
            assert await page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]
            await page.click("#past summary")
            await page.focus("#silence-b3-u2")
            shown.shown = QUIET
            await expect(page.locator(".calm")).to_be_visible(timeout=10_000)
            shown.shown = FIRE
            await expect(page.locator("#zone-b3-u2.confirmed")).to_be_visible(timeout=10_000)
            await expect(page.locator("#lost")).to_be_hidden()
            assert problems == []
        await expect(page.locator("#lost")).to_be_visible(timeout=15_000)
        async with guard.serve(shown):
            await expect(page.locator("#lost")).to_be_hidden(timeout=15_000)
            await page.click("#silence-b3-u2")
            await expect(page.locator("main[data-live]")).to_be_attached()
    assert shown.asked == [("silence", "b3-u2")]


async def test_without_scripts_a_door_is_released_in_two_steps(guard):
    shown = Asked(FIRE)
    async with chromium() as browser, guard.serve(shown) as port:
        context = await browser.new_context(java_script_enabled=False, viewport=PHONE, color_scheme="dark")
        page = await context.new_page()
        await log_in(page, port)
        await page.click("#release-b3-u2")
        assert shown.asked == []
        await page.click("button.danger")
        await expect(page.locator("main[data-live]")).to_be_attached()
    assert shown.asked == [("release", "b3-u2")]
