"""What the console answers over HTTP: who may, forged posts, headers, errors, the stream."""

import asyncio
import re
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

import aiohttp
import msgspec
import pytest

from cloud.console.data import AlarmState
from cloud.console.security import local_path
from tests.support.console_preview import COOKIE, SPACE, Console, served, uuid5

SMOKE = uuid5(SPACE, "smoke")
HTMX = {"HX-Request": "true"}
PAGES = ["/alarms", f"/alarms/{SMOKE}", "/devices", "/devices/4", "/devices/15", "/gateways", "/more"]
PARTS = ["/strip", "/alarms/list", f"/alarms/{SMOKE}/report", "/devices/list?q=3", "/devices/4/live", "/gateways/list"]


async def token(session: aiohttp.ClientSession) -> str:
    return re.search(r'name="csrf" content="([^"]+)"', (await get(session, "/more")).text)[1]


class Answer(msgspec.Struct):
    status: int
    headers: Mapping[str, str]
    text: str


@asynccontextmanager
async def browser(console: Console, person: str | None = "operator") -> AsyncIterator[aiohttp.ClientSession]:
    """A client that keeps cookies as a browser does; signed in unless `person` is None."""
    jar = aiohttp.CookieJar(unsafe=True)
    async with aiohttp.ClientSession(console.url, cookie_jar=jar) as session:
        if person is not None:
            jar.update_cookies({COOKIE: person})
        yield session


async def get(session: aiohttp.ClientSession, path: str, **more) -> Answer:
    async with session.get(path, allow_redirects=False, **more) as answer:
        return Answer(answer.status, answer.headers, await answer.text())


async def post(session: aiohttp.ClientSession, path: str, csrf: str | None = None, **more) -> Answer:
    data = ({"csrf": csrf} if csrf else {}) | more.pop("data", {})
    async with session.post(path, data=data, allow_redirects=False, **more) as answer:
        return Answer(answer.status, answer.headers, await answer.text())


@pytest.mark.parametrize("path", PAGES)
async def test_each_page_is_whole_and_strict(console, path):
    async with browser(console) as session, session.get(path) as answer:
        page = await answer.text()
    assert answer.status == 200
    assert answer.headers["Content-Security-Policy"].startswith("default-src 'self'")
    assert "frame-ancestors 'none'" in answer.headers["Content-Security-Policy"]
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert answer.headers["Cache-Control"] == "no-store"
    assert not re.search(r"<script(?![^>]*\bsrc=)|\sstyle=|\son\w+=|<style", page)
    assert page.rstrip().endswith("</html>")


@pytest.mark.parametrize("path", PARTS)
async def test_each_live_part_stands_on_its_page_with_the_same_markup(console, path):
    async with browser(console) as session, session.get(path, headers=HTMX) as answer:
        part = await answer.text()
    assert answer.status == 200
    assert "<html" not in part


@pytest.mark.parametrize("path", PAGES)
async def test_a_stranger_is_sent_to_the_login_and_back(console, path):
    async with browser(console, None) as session, session.get(path, allow_redirects=False) as answer:
        assert answer.status == 303
        assert answer.headers["Location"].startswith("/login?next=%2F")


async def test_a_part_for_a_session_that_ended_sends_the_page_to_the_login(console):
    async with browser(console, None) as session, session.get("/alarms/list", headers=HTMX) as answer:
        assert (answer.status, answer.headers["HX-Redirect"]) == (401, "/login")


async def test_signing_in_and_out(console):
    async with browser(console, None) as session:
        async with session.get("/login?next=/devices") as answer:
            csrf = re.search(r'name="csrf" value="([^"]+)"', await answer.text())[1]
        given = {"login": "operator", "password": "wrong", "next": "/devices"}
        refused = await post(session, "/login", csrf, data=given)
        assert refused.status == 401
        assert 'value="operator"' in refused.text
        assert (await post(session, "/login", csrf, data=given | {"login": "locked"})).status == 429
        let_in = await post(session, "/login", csrf, data=given | {"password": "anju"})
        assert (let_in.status, let_in.headers["Location"]) == (303, "/devices")
        out = await post(session, "/logout", csrf)
        assert out.headers["Location"] == "/login"
        assert (await get(session, "/alarms")).status == 303


async def test_a_forged_post_does_nothing(console):
    path = f"/alarms/{SMOKE}/acknowledge"
    async with browser(console) as session:
        csrf = await token(session)
        forged = [
            await post(session, path, "guess"),
            await post(session, path),
            await post(session, path, csrf, headers={"Sec-Fetch-Site": "cross-site"}),
            await post(session, path, csrf, headers={"Origin": "http://evil.example"}),
        ]
    assert [answer.status for answer in forged] == [403] * 4
    assert console.estate.alarm_rows[SMOKE].state is AlarmState.UNACK


async def test_acknowledging_by_form_goes_back_and_by_htmx_wakes_the_page(console):
    path = f"/alarms/{SMOKE}/acknowledge"
    async with browser(console) as session:
        csrf = await token(session)
        by_form = await post(session, path, csrf, data={"back": "/alarms"})
        assert (by_form.status, by_form.headers["Location"]) == (303, "/alarms")
        again = await post(session, path, headers=HTMX | {"X-CSRF-Token": csrf})
        assert again.status == 204
        assert "anju:alarms" in again.headers["HX-Trigger"]
    row = console.estate.alarm_rows[SMOKE]
    assert (row.state, row.acked_by) == (AlarmState.ACKED, "王敏")


async def test_an_auditor_looks_and_presses_nothing(console):
    async with browser(console, "auditor") as session:
        csrf = await token(session)
        async with session.get(f"/alarms/{SMOKE}") as answer:
            page = await answer.text()
        refused = await post(session, f"/alarms/{SMOKE}/acknowledge", csrf)
        door = await post(session, "/devices/4/commands/unlock", csrf)
        asked = await get(session, "/devices/4/ask/unlock")
    assert "/acknowledge" not in page
    assert "/ask/" not in page
    assert (refused.status, door.status, asked.status) == (403, 403, 403)
    assert console.estate.alarm_rows[SMOKE].state is AlarmState.UNACK


async def test_a_door_is_asked_about_once_and_its_answer_is_shown(console):
    console.estate.answer_after_s = 0
    async with browser(console) as session:
        csrf = await token(session)
        async with session.get("/devices/4/ask/unlock?back=/alarms") as answer:
            assert "确定打开这扇门？3号楼2单元 单元门" in await answer.text()
        sent = await post(session, "/devices/4/commands/unlock", csrf, data={"back": "/alarms"})
        assert (sent.status, sent.headers["Location"]) == (303, "/alarms")
        await asyncio.sleep(0.01)
        async with session.get("/devices/4") as answer:
            assert "已执行，门已开" in await answer.text()
        assert (await post(session, "/devices/4/commands/release", csrf)).status == 404
        assert (await post(session, "/devices/1/commands/unlock", csrf)).status == 404


async def test_settings_are_kept_in_cookies_and_only_known_ones(console):
    async with browser(console) as session:
        csrf = await token(session)
        for setting in ("language=en", "theme=dark", "size=large", "theme=<x>", "nix=1"):
            answer = await post(session, "/settings", csrf, data={"setting": setting, "back": "//evil.example"})
            assert answer.headers["Location"] == "/more"
        async with session.get("/alarms") as answer:
            page = await answer.text()
    assert '<html lang="en" data-theme="dark" data-size="large">' in page
    assert "Building 3, unit 2, floor 7" in page


@pytest.mark.parametrize(
    "path", ["/nix", "/alarms/nix", "/devices/x", "/devices/999", f"/alarms/{uuid5(SPACE, 'nix')}"]
)
async def test_what_is_not_here_says_so_with_a_way_out(console, path):
    async with browser(console) as session, session.get(path) as answer:
        page = await answer.text()
    assert answer.status == 404
    assert "这里没有这个页面" in page
    assert 'href="/alarms"' in page


async def test_a_fault_is_a_page_that_says_what_is_safe(console):
    console.estate.broken = True
    async with browser(console) as session, session.get("/alarms") as answer:
        page = await answer.text()
    assert answer.status == 500
    assert "消防主机" in page
    assert "the database is away" not in page
    assert answer.headers["Content-Security-Policy"]


async def test_nothing_active_says_that_there_is_nothing_to_do():
    async with served(quiet=True) as console, browser(console) as session, session.get("/alarms") as answer:
        assert "当前没有告警" in await answer.text()


async def test_names_are_escaped(console):
    row = console.estate.raise_smoke(building="<script>alert(1)</script>")
    async with browser(console) as session, session.get(f"/alarms/{row.id}") as answer:
        page = await answer.text()
    assert "<script>alert" not in page
    assert "&lt;script&gt;" in page


async def events(answer, count):
    seen = []
    async for line in answer.content:
        if line.startswith(b"event:"):
            seen.append(line.decode().split()[1])
            if len(seen) == count:
                break
    return seen


async def test_the_stream_greets_wakes_and_beats(console):
    async with browser(console) as session, session.get("/live?topics=alarms,device:4") as answer:
        assert answer.headers["Content-Type"].startswith("text/event-stream")
        assert await events(answer, 1) == ["hello"]
        console.hub.publish(["alarms"])
        assert await events(answer, 2) == ["change", "beat"]


async def test_a_stream_ends_with_its_session(console):
    async with browser(console) as session, session.get("/live?topics=alarms") as answer:
        assert await events(answer, 1) == ["hello"]
        console.identity.ended = True
        rest = (await answer.content.read()).decode()
        assert rest.startswith(("event: bye", "\n", "data"))
        assert "event: bye" in rest
    assert len(console.hub) == 0


async def test_a_stranger_has_no_stream(console):
    async with browser(console, None) as session, session.get("/live?topics=alarms") as answer:
        assert answer.status == 204


async def test_scripts_are_asked_about_each_time(console):
    async with browser(console) as session, session.get("/static/js/app.js") as answer:
        assert (answer.status, answer.headers["Cache-Control"]) == (200, "no-cache")


@pytest.mark.parametrize(
    ("target", "path"),
    [
        ("/devices?q=3", "/devices?q=3"),
        ("//evil.example", "/x"),
        ("https://evil.example", "/x"),
        ("/\\evil.example", "/x"),
        ("/a\r\nb", "/x"),
        ("", "/x"),
        (None, "/x"),
    ],
)
def test_one_is_never_sent_to_another_site(target, path):
    assert local_path(target, "/x") == path
