"""The whole system as the demo starts it, with a quiet estate that a test makes things happen in, and a browser."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from playwright.async_api import Browser, Page, async_playwright, expect

from simulators.control import GetOrder, SetOrder, tell
from simulators.demo.estate import Demo, start

QUIET = Path(__file__).parent.parent / "acceptance" / "quiet.yaml"
DESKTOP = {"width": 1280, "height": 800}
PHONE = {"width": 390, "height": 844}
CHROMIUM = "/usr/bin/chromium"


@asynccontextmanager
async def quiet_system(folder: Path, database_url: str = "") -> AsyncIterator[Demo]:
    """Everything running: database, cloud, box, simulated devices."""
    async with start(folder, lambda *_: None, database_url=database_url, scenario=QUIET) as demo:
        yield demo


@asynccontextmanager
async def chromium() -> AsyncIterator[Browser]:
    """A real browser."""
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"])
        yield browser
        await browser.close()


@asynccontextmanager
async def logged_in(
    browser: Browser, demo: Demo, *, tolerate: tuple[str, ...] = (), **options: object
) -> AsyncIterator[Page]:
    """A person's browser window on the alarm page, live.

    A script error or a console error in it fails the test, but for those that hold one of the texts to tolerate.
    """
    context = await browser.new_context(**{"viewport": DESKTOP, "locale": "zh-CN", **options})  # type: ignore[arg-type]
    errors: list[str] = []
    context.on("weberror", lambda error: errors.append(str(error.error)))
    page = await context.new_page()
    page.on("console", lambda message: errors.append(message.text) if message.type == "error" else None)
    await page.goto(f"{demo.url}/login")
    await page.fill("#login", demo.login)
    await page.fill("#password", demo.password)
    await page.click("main button.primary")
    await page.wait_for_url("**/alarms")
    await expect(page.locator("body[data-live-state=live]")).to_be_attached()
    yield page
    await context.close()
    left = [error for error in errors if not any(text in error for text in tolerate)]
    assert not left, f"the page had errors: {left}"


async def set_point(demo: Demo, device: str, point: str, value: str | float) -> None:
    """A simulated device's point takes a value now."""
    await tell(demo.control, SetOrder(device, point, value))


async def get_point(demo: Demo, device: str, point: str) -> str | float | None:
    """What a simulated device's point is now."""
    return (await tell(demo.control, GetOrder(device, point))).value
