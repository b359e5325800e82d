"""Takes pictures of every page in every form from the running system: `make screenshots`.

The README's pictures go to cloud/console/screenshots, all others to build/screenshots, to be looked at.
"""

import asyncio
import tempfile
from pathlib import Path

from playwright.async_api import Page, expect

from simulators.demo.estate import Demo
from tests.support.system import DESKTOP, PHONE, chromium, logged_in, quiet_system, set_point

README = Path("cloud/console/screenshots")
ALL = Path("build/screenshots")
FORMS: dict[str, dict[str, object]] = {
    "desktop": {"viewport": DESKTOP},
    "desktop-dark": {"viewport": DESKTOP, "color_scheme": "dark"},
    "desktop-en": {"viewport": DESKTOP, "locale": "en-US"},
    "phone": {"viewport": PHONE},
    "phone-dark": {"viewport": PHONE, "color_scheme": "dark"},
    "phone-large": {"viewport": PHONE},
    "phone-en": {"viewport": PHONE, "locale": "en-US"},
}
IN_README = ("alarms-desktop", "alarm-phone", "alarms-phone-dark", "alarms-phone-large")


async def happenings(demo: Demo) -> None:
    """An evening: temperatures move, one alarm is over, two are active."""
    await set_point(demo, "smoke-1-1-03", "smoke", "smoke")
    for n in range(12):
        await set_point(demo, "smoke-3-2-07", "temperature", 22 + n * 0.9)
        await set_point(demo, "smoke-3-2-07", "obscuration", 0.1 + n * n * 0.04)
        await asyncio.sleep(0.5)
    await set_point(demo, "smoke-1-1-03", "smoke", "clear")
    await set_point(demo, "smoke-3-2-07", "smoke", "smoke")


async def pictures(demo: Demo, page: Page, form: str) -> None:
    """Each page in one form."""

    async def take(name: str) -> None:
        await page.wait_for_timeout(700)  # the curve is drawn after its data have come
        for folder, whole in ((ALL, name not in {"alarms", "devices"}), (README, False)):
            if folder is ALL or f"{name}-{form}" in IN_README:
                await page.screenshot(path=folder / f"{name}-{form}.png", full_page=whole)

    if form.endswith("large"):
        await page.goto(f"{demo.url}/more")
        await page.locator('[name=setting][value="size=large"]').click()
        await page.goto(f"{demo.url}/alarms")
    row = page.locator("li.alarm", has=page.locator("a.where", has_text="7")).first
    await expect(row).to_be_visible()
    await take("alarms")
    await page.goto(demo.url + str(await row.locator("a.where").get_attribute("href")))
    device = str(await page.locator("dl.facts a[href^='/devices/']").get_attribute("href"))
    await take("alarm")
    for name, path in (("held", "/alarms?show=held"), ("ended", "/alarms?show=ended"), ("rules", "/rules"),
                       ("rule", "/rules/smoke"), ("device", f"{device}?point=temperature"),
                       ("devices", "/devices"), ("gateways", "/gateways"), ("more", "/more"),
                       ("missing", "/nothing-here")):  # fmt: skip
        await page.goto(demo.url + path)
        await take(name)


async def main() -> None:
    """Starts the system and takes all pictures."""
    for folder in (README, ALL):
        folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="anju-pictures-") as folder:
        async with quiet_system(Path(folder)) as demo, chromium() as browser:
            await happenings(demo)
            for form, options in FORMS.items():
                scale = {"device_scale_factor": 1.5}
                async with logged_in(browser, demo, tolerate=("404",), **options, **scale) as page:
                    await pictures(demo, page, form)
            context = await browser.new_context(viewport=PHONE, locale="zh-CN")  # type: ignore[arg-type]
            page = await context.new_page()
            await page.goto(f"{demo.url}/login")
            await page.screenshot(path=ALL / "login-phone.png")


if __name__ == "__main__":
    asyncio.run(main())
