"""What the console answers over HTTP: who may, forged posts, headers, errors, the stream."""

import asyncio
import re

import pytest

from cloud.console.alarms.data import AlarmState
from cloud.console.security import local_path
from tests.support.console_preview import GW, SPACE, served, uuid5
from tests.unit.cloud.console.http import HTMX, browser, get, post, token

SMOKE = uuid5(SPACE, "smoke")
PAGES = [
    "/alarms", f"/alarms/{SMOKE}", "/devices", "/devices/4", "/devices/15", "/gateways",
    *(f"/gateways/{box}" for box in GW[:4]), "/quarantine", f"/quarantine?gateway={GW[1]}", "/quarantine/7",
    "/quarantine/5", "/more",
]  # fmt: skip
PARTS = [
    "/strip", "/alarms/list", f"/alarms/{SMOKE}/report", "/devices/list?q=3", "/devices/4/live", "/gateways/list",
    f"/gateways/{GW[1]}/live", "/quarantine/list",
]  # fmt: skip


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


async def test_a_part_for_a_session_that_ended_sends_the_page_to_the_login_which_says_why_and_leads_back(console):
    console.identity.ended = True
    here = {"HX-Current-URL": f"{console.url}/devices?q=3"}
    async with browser(console) as session:
        part = await get(session, "/alarms/list", headers=HTMX | here)
        page = await get(session, part.headers["HX-Redirect"])
        foreign = await get(session, "/strip", headers=HTMX | {"HX-Current-URL": "http://evil.example/x"})
    assert (part.status, part.headers["HX-Redirect"]) == (401, "/login?next=%2Fdevices%3Fq%3D3&why=ended")
    assert "登录已被结束" in page.text
    assert 'name="next" value="/devices?q=3"' in page.text
    assert foreign.headers["HX-Redirect"] == "/login?next=%2Falarms&why=ended"


async def test_nobody_is_told_of_a_session_that_they_never_had(console):
    async with browser(console, None) as session:
        answer = await get(session, "/alarms")
    assert answer.headers["Location"] == "/login?next=%2Falarms"


async def test_one_may_sign_in_again_before_the_session_ends(console):
    async with browser(console) as session:
        assert (await get(session, "/login?next=/devices")).status == 303
        again = await get(session, "/login?again=1&next=/devices")
    assert 'name="next" value="/devices"' in again.text


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
        assert out.headers["Location"] == "/login?why=left"
        assert "已退出登录" in (await get(session, out.headers["Location"])).text
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
            page = await answer.text()
        assert "已执行，门锁已开 5 秒" in page
        assert "门已开" not in page  # only the lock was read back
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
    "path",
    [
        "/nix",
        "/alarms/nix",
        "/devices/x",
        "/devices/999",
        "/devices/0",
        "/devices/99999999999",
        f"/alarms/{uuid5(SPACE, 'nix')}",
    ],
)
async def test_what_is_not_here_says_so_with_a_way_out(console, path):
    async with browser(console) as session, session.get(path) as answer:
        page = await answer.text()
    assert answer.status == 404
    assert "这里没有这个页面" in page
    assert 'href="/alarms"' in page


async def test_an_error_page_keeps_the_strip_of_somebody_who_is_signed_in(console):
    async with browser(console) as session, browser(console, None) as stranger, browser(console, "auditor") as auditor:
        missing = await get(session, "/nix")
        unknown = await get(stranger, "/nix")
        forbidden = await get(auditor, "/devices/4/ask/unlock")
    assert (missing.status, unknown.status, forbidden.status) == (404, 404, 403)
    assert ['id="strip"' in page.text for page in (missing, unknown, forbidden)] == [True, False, True]


async def test_a_fault_is_a_page_that_says_what_is_safe(console):
    console.estate.broken = True
    async with browser(console) as session, session.get("/alarms") as answer:
        page = await answer.text()
    assert answer.status == 500
    assert "消防主机" in page
    assert "a fault" not in page
    assert answer.headers["Content-Security-Policy"]
    assert "告警仍在接收" not in page  # it does not know


@pytest.mark.parametrize("language", ["zh-CN", "en"])
async def test_while_the_data_are_away_the_page_says_that_no_alarm_comes_and_tries_again(console, language):
    console.estate.away = True
    async with browser(console) as session:
        answer = await get(session, "/alarms?x=%22%3E", headers={"Accept-Language": language})
        part = await get(session, "/alarms/list", headers=HTMX | {"Accept-Language": language})
    assert (answer.status, answer.headers["Retry-After"]) == (503, "5")
    assert {"zh-CN": "收不到任何告警", "en": "No alarm reaches this page now"}[language] in answer.text
    assert {"zh-CN": "到现场", "en": "go on site"}[language] in answer.text
    assert '<meta http-equiv="refresh" content="5; url=/alarms?x=%22%3E">' in answer.text
    assert answer.text.count("<title>") == 1
    assert (part.status, part.text, part.headers["Retry-After"]) == (503, "", "5")
    assert "anju:say" in part.headers["HX-Trigger"]


async def test_an_order_that_could_not_be_taken_is_not_sent_once_more_by_the_page(console):
    async with browser(console) as session:
        csrf = await token(session)
        console.identity.away = True
        answer = await post(session, f"/alarms/{SMOKE}/acknowledge", csrf)
    assert answer.status == 503
    assert '<meta http-equiv="refresh" content="5; url=/alarms">' in answer.text
    assert "不知道刚才的操作是否已执行" in answer.text


async def test_a_live_update_of_a_device_reads_no_curve(console):
    asked = []
    read = console.estate.series

    async def series(person, device_id, point, since, until, most):
        asked.append((point, until - since))
        return await read(person, device_id, point, since, until, most)

    console.estate.series = series
    async with browser(console) as session:
        page = (await get(session, "/devices/1?point=temperature&range=7d")).text
        assert len(asked) == 1  # its table; the curve is drawn by a request of its own
        live = re.search(r'id="device" class="device-page" hx-get="([^"]+)"', page)[1].replace("&amp;", "&")
        part = await get(session, live, headers=HTMX)
        assert len(asked) == 1
        # The island stands empty in the part, and the page keeps its own (keyed.js).
        assert re.search(r'<section class="card" id="curve"[^>]*data-island>\s*</section>', part.text)
        assert "data-chart" not in part.text
        address = re.search(r'id="figures" hx-get="([^"]+)"', page)[1].replace("&amp;", "&")
        figures = await get(session, address, headers=HTMX)
        assert [point for point, _ in asked] == ["temperature"] * 2
        assert figures.text.strip().startswith("<details")
        assert figures.text.count("<tr>") == 13
        assert (await get(session, "/devices/1/figures?point=smoke")).status == 404


@pytest.mark.parametrize(("span", "every_s"), [("1h", 5), ("24h", 60), ("7d", 60), ("30d", 600), ("1y", 3600)])
async def test_a_longer_curve_is_read_less_often(console, span, every_s):
    async with browser(console) as session:
        page = (await get(session, f"/devices/1?range={span}")).text
    assert f'data-refresh="anju:device:1" data-every="{every_s}"' in page


async def test_nothing_active_says_that_there_is_nothing_to_do():
    async with served(quiet=True) as console, browser(console) as session, session.get("/alarms") as answer:
        assert "当前没有告警" in await answer.text()


async def test_names_are_escaped(console):
    row = console.estate.raise_smoke(building="<script>alert(1)</script>")
    async with browser(console) as session, session.get(f"/alarms/{row.id}") as answer:
        page = await answer.text()
    assert "<script>alert" not in page
    assert "&lt;script&gt;" in page


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
