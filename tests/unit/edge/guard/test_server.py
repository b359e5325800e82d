"""The guard page over HTTP: what a guard sees and does, and what nobody else can."""

import asyncio
from contextlib import asynccontextmanager

import aiohttp
import msgspec
import pytest
from yarl import URL

from contract.errors import AnjuError
from contract.site import GuardPage, Secret
from edge.guard import Guard, listening, server
from edge.zones import ActView, Doubt, Mode, Mute, Noise, Refusal
from tests.unit.edge.guard.views import FIRE, NOW, QUIET, Asked, trigger, zone

PASSWORD = "correct horse"


@pytest.fixture
def secrets(tmp_path, monkeypatch):
    (tmp_path / "guard").write_text(PASSWORD + "\n")
    monkeypatch.setenv("ANJU_SECRETS", str(tmp_path))
    return tmp_path


@asynccontextmanager
async def served(folder, port, box):
    guard = Guard(GuardPage(listen=f"127.0.0.1:{port}", password=Secret("guard")), folder)
    async with guard.serve(box) as bound:
        assert bound == port
        jar = aiohttp.CookieJar(unsafe=True)
        async with aiohttp.ClientSession(f"http://127.0.0.1:{port}", cookie_jar=jar) as http:
            yield http


async def login(http, password=PASSWORD):
    async with http.post("/login", data={"password": password}) as response:
        return response.status, await response.text()


async def token(http):
    async with http.get("/") as response:
        text = await response.text()
    return text.partition('name="token" value="')[2].partition('"')[0]


async def press(http, path, **fields):
    async with http.post(path, data={"token": await token(http)} | fields, allow_redirects=False) as response:
        return response.status, await response.text()


async def test_a_guard_logs_in_sees_the_fire_and_acts(secrets, unused_tcp_port):
    box = Asked()
    async with served(secrets, unused_tcp_port, box) as http:
        async with http.get("/") as response:
            assert "7层烟感" not in await response.text(), "nothing is shown to a stranger"
        assert (await login(http))[0] == 200
        async with http.get("/live") as response:
            text = await response.text()
        for shown in ("与云平台断开", "7层烟感", "3号楼2单元", "已确认报警", "9层烟感", "离线", "后门", "失败，重试中",
                      "no connection to 192.0.2.10:502", "剩 12 分钟"):  # fmt: skip
            assert shown in text
        assert text.index("3号楼2单元") < text.index("2号楼1单元") < text.index("1号楼1单元"), "the worst first"
        for path, fields in (
            ("/silence", {}), ("/zones/b3-u2/silence", {}), ("/zones/b3-u2/reset", {}), ("/zones/b3-u2/release", {}),
            ("/zones/b2-u1/drill", {"mode": "silent_drill", "minutes": "15"}), ("/zones/b1-u1/stop", {}),
        ):  # fmt: skip
            assert (await press(http, path, **fields))[0] == 303
        assert box.asked == [
            ("silence", ""), ("silence", "b3-u2"), ("reset", "b3-u2"), ("release", "b3-u2"),
            ("start", "b2-u1", Mode.SILENT_DRILL, 15), ("stop", "b1-u1"),
        ]  # fmt: skip
        box.refusal = Refusal("仍在报警：<7层>", "still in alarm: <7>")
        status, text = await press(http, "/zones/b3-u2/reset")
        assert status == 409
        assert "仍在报警：&lt;7层&gt;" in text


@pytest.mark.parametrize("what", ["release", "reset", "drill"])
async def test_what_moves_something_is_asked_once_more(secrets, unused_tcp_port, what):
    box = Asked()
    async with served(secrets, unused_tcp_port, box) as http:
        await login(http)
        async with http.get(f"/zones/b3-u2/{what}") as response:
            text = await response.text()
        assert f'action="/zones/b3-u2/{what}"' in text
        assert "取消" in text
        assert box.asked == []


async def test_a_stranger_and_another_site_can_do_nothing(secrets, unused_tcp_port):
    box = Asked()
    async with served(secrets, unused_tcp_port, box) as http:
        for path in ("/zones/b3-u2/release", "/silence", "/logout"):
            async with http.post(path, data={"token": "x"}, allow_redirects=False) as response:
                assert (response.status, response.headers["Location"]) == (303, "/")
        async with http.get("/live") as response:
            assert response.status == 401
        async with http.get("/zones/b3-u2/release", allow_redirects=False) as response:
            assert response.status == 303
        await login(http)
        good = {"token": await token(http)}
        for headers in ({"Origin": "http://evil.example"}, {"Origin": "null"}, {"Sec-Fetch-Site": "cross-site"}):
            async with http.post("/zones/b3-u2/release", data=good, headers=headers) as response:
                assert response.status == 403
        for fields in ({}, {"token": ""}, {"token": "x" * 64}, {"token": "密"}):
            async with http.post("/zones/b3-u2/release", data=fields or {"a": "b"}) as response:
                assert response.status == 403
                assert "页面已过期" in await response.text()
        assert box.asked == []


async def test_guessing_is_slowed_down(secrets, unused_tcp_port, capsys):
    async with served(secrets, unused_tcp_port, Asked()) as http:
        for _ in range(5):
            status, text = await login(http, "wrong password")
            assert (status, "密码不对" in text) == (403, True)
        async with http.post("/login", data={"password": PASSWORD}) as response:
            assert response.status == 429
            assert 1 <= int(response.headers["Retry-After"]) <= 13
    said = capsys.readouterr().out
    assert said.count("a wrong password on the guard page") == 5
    assert "wrong password\n" not in said.replace("a wrong password on the guard page", "")


async def test_cookie_and_headers_are_strict(secrets, unused_tcp_port):
    async with served(secrets, unused_tcp_port, Asked()) as http:
        async with http.post("/login", data={"password": PASSWORD}, allow_redirects=False) as response:
            cookie = response.headers["Set-Cookie"]
        assert "HttpOnly" in cookie
        assert "SameSite=Strict" in cookie
        for path in ("/", "/live", "/static/live.js", "/nothing", "/zones/none/release"):
            async with http.get(path) as response:
                policy = response.headers["Content-Security-Policy"]
                assert policy.startswith("default-src 'none'")
                assert "unsafe" not in policy
                assert response.headers["Cache-Control"] == "no-store"
                assert response.headers["X-Content-Type-Options"] == "nosniff"
        async with http.get("/") as response:
            text = await response.text()
        assert '<noscript><meta http-equiv="refresh" content="5"></noscript>' in text
        assert "<style" not in text
        assert "style=" not in text
        assert "onclick" not in text


async def test_a_session_goes_on_while_it_is_used_and_ends_at_log_out(secrets, unused_tcp_port, monkeypatch):
    async with served(secrets, unused_tcp_port, Asked()) as http:
        await login(http)
        first = http.cookie_jar.filter_cookies(URL(str(http._base_url)))["anju_guard"].value
        now = server.mono_ns()
        monkeypatch.setattr(server, "mono_ns", lambda: now + 3600 * 10**9)
        assert await token(http)
        second = http.cookie_jar.filter_cookies(URL(str(http._base_url)))["anju_guard"].value
        assert first != second
        monkeypatch.setattr(server, "mono_ns", lambda: now + 13 * 3600 * 10**9 - 10**9)
        assert await token(http)
        assert (await press(http, "/logout"))[0] == 303
        assert not await token(http)


async def test_what_is_too_large_or_of_no_form_is_refused(secrets, unused_tcp_port):
    box = Asked()
    async with served(secrets, unused_tcp_port, box) as http:
        for data, headers, status in (
            (b"password=" + b"x" * 5000, {"Content-Type": "application/x-www-form-urlencoded"}, 413),
            (b"{}", {"Content-Type": "application/json"}, 415),
            (b"--x\r\n", {"Content-Type": "multipart/form-data; boundary=x"}, 415),
            (b"password=%ff%fe", {"Content-Type": "application/x-www-form-urlencoded"}, 403),
            (b"password=x", {"Content-Type": "application/x-www-form-urlencoded; charset=nonsense"}, 400),
            (b"\xff\xfe", {"Content-Type": "application/x-www-form-urlencoded"}, 400),
        ):
            async with http.post("/login", data=data, headers=headers) as response:
                assert response.status == status, data[:20]
        await login(http)
        for path in ("/zones/nowhere/reset", "/zones/b3-u2/explode"):
            assert (await press(http, path))[0] == 404
        for fields in ({}, {"mode": "drill"}, {"mode": "party", "minutes": "15"}, {"mode": "drill", "minutes": "９"},
                       {"mode": "drill", "minutes": "100000"}):  # fmt: skip
            assert (await press(http, "/zones/b3-u2/drill", **fields))[0] == 404
        assert box.asked == []


async def test_a_slow_form_is_given_up(secrets, unused_tcp_port, monkeypatch):
    monkeypatch.setattr(server, "BODY_S", 0.05)
    async with served(secrets, unused_tcp_port, Asked()):
        reader, writer = await asyncio.open_connection("127.0.0.1", unused_tcp_port)
        head = (
            "POST /login HTTP/1.1\r\nHost: x\r\nContent-Type: application/x-www-form-urlencoded\r\n"
            "Content-Length: 20\r\n\r\np"
        )
        writer.write(head.encode())
        assert (await asyncio.wait_for(reader.readline(), 5)).startswith(b"HTTP/1.1 408")
        writer.close()


async def test_idle_connections_do_not_keep_the_guard_out(secrets, unused_tcp_port):
    async with served(secrets, unused_tcp_port, Asked()) as http:
        held = [await asyncio.open_connection("127.0.0.1", unused_tcp_port) for _ in range(150)]
        assert (await login(http))[0] == 200
        reader, _ = held[0]
        assert await asyncio.wait_for(reader.read(), 5) == b"", "the oldest went"
        open_ones = [writer for reader, writer in held if not reader.at_eof()]
        assert len(open_ones) <= listening.MAX_CONNECTIONS
        for _, writer in held:
            writer.close()


async def test_what_devices_are_called_is_never_taken_for_html(secrets, unused_tcp_port):
    evil = '<script>alert(1)</script>"'
    zones = [msgspec.structs.replace(zone, name=evil) for zone in FIRE.zones]
    alarms = [msgspec.structs.replace(alarm, name=evil, place=evil, hazard=evil) for alarm in FIRE.alarms]
    happenings = [msgspec.structs.replace(h, device=evil, action=evil, status=evil, by=evil) for h in FIRE.happenings]
    view = msgspec.structs.replace(
        FIRE, estate=evil, zones=zones, alarms=alarms, doubtful=alarms, happenings=happenings, timezone=evil
    )
    async with served(secrets, unused_tcp_port, Asked(view)) as http:
        await login(http)
        for path in ("/", "/live", "/zones/b3-u2/release"):
            async with http.get(path) as response:
                assert "<script>alert" not in await response.text()


async def test_without_the_time_it_says_how_long_ago(secrets, unused_tcp_port):
    async with served(secrets, unused_tcp_port, Asked(msgspec.structs.replace(FIRE, utc_ns=None))) as http:
        await login(http)
        async with http.get("/live") as response:
            text = await response.text()
        assert "时间未知" in text
        assert "不到 1 分钟 under 1 min前 ago" in text


async def test_a_quiet_box_says_so(secrets, unused_tcp_port):
    async with served(secrets, unused_tcp_port, Asked(QUIET)) as http:
        await login(http)
        async with http.get("/") as response:
            text = await response.text()
        assert "当前没有报警" in text
        assert "已连接云平台" in text
        assert "绝不替代" in text


async def test_what_is_confirmed_is_never_called_normal(secrets, unused_tcp_port):
    """The detectors have burnt, or the smoke is gone: until somebody resets it, it is a fire, on the tab too."""
    async with served(secrets, unused_tcp_port, Asked(msgspec.structs.replace(FIRE, alarms=[]))) as http:
        await login(http)
        async with http.get("/") as response:
            text = await response.text()
        assert "<title>● 已确认报警" in text
        assert 'data-title="● 已确认报警' in text
        assert "当前没有报警" not in text
        assert "尚未复位" in text


async def shown(secrets, port, view):
    async with served(secrets, port, Asked(view)) as http:
        await login(http)
        async with http.get("/") as response:
            return await response.text()


async def test_a_zone_that_cannot_confirm_is_neither_quiet_nor_green(secrets, unused_tcp_port):
    away = [trigger("7层烟感", doubt=Doubt.OFFLINE), trigger("8层烟感", doubt=Doubt.FAULT)]
    blind = zone("b3-u2", "3号楼2单元", triggers=[*away, trigger("手报")], blind_for=["fire"])
    view = msgspec.structs.replace(QUIET, doubtful=away, zones=[QUIET.zones[1], blind])
    text = await shown(secrets, unused_tcp_port, view)
    card = text.partition('id="zone-b3-u2"')[2].partition("</section>")[0]
    assert "正常" not in card.partition("</h2>")[0]
    assert "监视盲区" in card
    assert "这里的火警现在无法确认：请派人巡查该分区" in card
    assert "no fire here would be confirmed: watch this zone by other means" in card
    assert "7层烟感" in card.partition("不计入")[2]
    assert 'class="card blind"' in text
    assert "band calm" not in text
    assert "<title>▲ 监视盲区" in text
    assert text.index("3号楼2单元") < text.index("地下水泵房"), "before those that are well"


async def test_a_zone_of_which_only_some_are_missing_says_so_in_weaker_words(secrets, unused_tcp_port):
    some = zone("b3-u2", "3号楼2单元", triggers=[trigger("7层烟感", doubt=Doubt.STALE), trigger("8层"), trigger("9层")])
    text = await shown(secrets, unused_tcp_port, msgspec.structs.replace(QUIET, zones=[some]))
    assert "3 个中有 1 个不计入" in text
    assert "监视盲区" not in text
    assert "band calm" in text


NOISE_CLAIMED = ("made heard on the spot", "就地鸣响。", "消音（断网声光）")


async def test_no_noise_is_claimed_that_nothing_makes(secrets, unused_tcp_port):
    alarm = msgspec.structs.replace(FIRE.alarms[0], mute=Mute.NO_SOUNDER)
    text = await shown(secrets, unused_tcp_port, msgspec.structs.replace(FIRE, alarms=[alarm], noise=Noise.NONE))
    assert [claim for claim in NOISE_CLAIMED if claim in text] == []
    assert "没有配置声光器，报警不会就地鸣响" in text
    assert "未鸣响：没有配置声光器" in text


async def test_a_dry_run_claims_no_noise_and_noise_is_shown_with_what_became_of_it(secrets, unused_tcp_port):
    alarm = msgspec.structs.replace(FIRE.alarms[0], mute=Mute.MODE)
    view = msgspec.structs.replace(FIRE, alarms=[alarm], noise=Noise.ALL, may_silence=True)
    text = await shown(secrets, unused_tcp_port, view)
    assert "未鸣响：正在不动作演练或试运行" in text
    assert "消音（断网声光）" not in text, "nothing was told to sound"
    act = ActView("cut-off", "siren", "值班室声光", "sound", "failed", 3, "no answer within 0.5 s", NOW)
    text = await shown(secrets, unused_tcp_port, msgspec.structs.replace(view, acts=[act]))
    assert "消音（断网声光）" in text
    assert "失败，重试中" in text.partition("值班室声光")[2][:60]


async def test_without_a_page_nothing_is_served_and_a_taken_port_is_said(secrets, unused_tcp_port, capsys):
    async with Guard(None, secrets).serve(Asked()) as port:
        assert port == 0
    settings = GuardPage(listen=f"127.0.0.1:{unused_tcp_port}", password=Secret("guard"))
    async with Guard(settings, secrets).serve(Asked()) as first, Guard(settings, secrets).serve(Asked()) as second:
        assert (first, second) == (unused_tcp_port, 0)
    assert capsys.readouterr().out.count("no guard page yet") == 1


async def test_an_address_that_comes_later_is_listened_at_then(secrets, unused_tcp_port, monkeypatch):
    monkeypatch.setattr(listening, "RETRY_S", 0.02)
    settings = GuardPage(listen=f"127.0.0.1:{unused_tcp_port}", password=Secret("guard"))
    other = await asyncio.start_server(lambda *_: None, "127.0.0.1", unused_tcp_port)
    async with Guard(settings, secrets).serve(Asked()) as port:
        assert port == 0
        other.close()
        await other.wait_closed()
        async with aiohttp.ClientSession(f"http://127.0.0.1:{unused_tcp_port}") as http, asyncio.timeout(5):
            while True:
                try:
                    assert (await login(http))[0] == 200
                    break
                except aiohttp.ClientConnectionError:
                    await asyncio.sleep(0.02)


async def test_a_flood_of_strangers_is_turned_away_and_the_guard_is_not(secrets, unused_tcp_port):
    async with served(secrets, unused_tcp_port, Asked()) as http:
        elsewhere = aiohttp.TCPConnector(local_addr=("127.0.0.2", 0))
        async with aiohttp.ClientSession(f"http://127.0.0.1:{unused_tcp_port}", connector=elsewhere) as stranger:
            statuses = []
            for _ in range(150):
                async with stranger.get("/") as response:
                    statuses.append(response.status)
        assert statuses[0] == 200
        assert statuses[-1] == 429
        assert (await login(http))[0] == 200, "who has yet to log in, neither"
        async with http.get("/live") as response:
            assert response.status == 200


@pytest.mark.parametrize(
    "junk", [b"\x16\x03\x01\x02\x00\x01", b"GET / HTTP/1.1\r\nX: " + b"x" * 20_000, b"\r\n" * 1000]
)
async def test_junk_is_answered_shortly_or_not_at_all(secrets, unused_tcp_port, junk, caplog):
    async with served(secrets, unused_tcp_port, Asked()) as http:
        reader, writer = await asyncio.open_connection("127.0.0.1", unused_tcp_port)
        writer.write(junk)
        writer.write_eof()
        assert len(await asyncio.wait_for(reader.read(), 5)) < 1000
        writer.close()
        assert (await login(http))[0] == 200
    assert not [record for record in caplog.records if record.levelname == "ERROR"], "no line in the log a request"


def test_a_password_that_is_missing_or_too_short_is_said_before_anything_starts(secrets):
    with pytest.raises(AnjuError, match="there is no secret 'gone'"):
        Guard(GuardPage(listen="127.0.0.1:1", password=Secret("gone")), secrets)
    (secrets / "guard").write_text("short")
    with pytest.raises(AnjuError, match="must have 8 to 200 characters"):
        Guard(GuardPage(listen="127.0.0.1:1", password=Secret("guard")), secrets)
