"""The live view of a box in a terminal, in both languages, also when something is wrong or no box answers."""

import asyncio

import pytest
from rich.console import Console

from contract.errors import AnjuError
from contract.kinds import Lane
from edge.counts import BusCounts
from edge.health import PointError, serve_health
from edge.provision.status import Words, fetch_status, render_status
from edge.seams import StreamStatus, UplinkStatus
from tests.unit.edge.health.test_health import BLINDED, BURNING, S, status


def shown(words: Words, width: int = 80, **changes) -> str:
    console = Console(width=width, record=True, force_terminal=False)
    console.print(render_status(status(**changes), words))
    return console.export_text()


EN, ZH = Words({}), Words({"LANG": "zh_CN.UTF-8"})


def test_it_says_how_it_is_in_the_language_of_the_terminal() -> None:
    assert "✓ connected 1 min 0 s" in shown(EN)
    assert "2027-01-15 16:00:00 Asia/Shanghai" in shown(EN)
    assert "✓ 已连接 1 分 0 秒" in shown(ZH)
    assert "connected" not in shown(ZH)


def test_what_is_wrong_stands_out_with_its_reason() -> None:
    broken = StreamStatus(3, 1, 4096, 8 << 20, 10, 20, 900, 7, 14, 5, "no room")
    text = shown(
        EN, width=120, utc_ns=None, config_problem="the site file has mistakes",
        problems={"radio": "there is no secret"}, streams=dict.fromkeys(Lane, broken),
        uplink=UplinkStatus(connected=False, since_ns=0, problem="no network"),
        errors=[PointError("c", "smoke", "no answer"), PointError("a", "fault", "exception 2")],
    )  # fmt: skip
    said = [
        "⚠ not connected 1 min 40 s no network", "⚠ not known yet", "⚠ the site file has mistakes",
        "⚠ disk refuses: no room", "⚠ radio: there is no secret", "⚠ offline 1", "c  no answer", "⚠ cannot be read 1",
        "a fault  exception 2",
    ]  # fmt: skip
    assert [words for words in said if words not in text] == []


def test_reasons_are_in_chinese_where_they_are_known() -> None:
    errors = [PointError("c", "smoke", "no answer within 0.5 s"), PointError("a", "fault", "something new")]
    text = shown(ZH, errors=errors, config_problem="the site file has mistakes: `anju check`")
    assert "c  0.5 秒内无应答" in text
    assert "a fault  something new" in text
    assert "站点文件有误" in text
    assert "\n  d  nothing heard yet" in shown(EN, unknown=["d"])


def test_a_line_on_which_nothing_answers_has_no_tick() -> None:
    dead = BusCounts(bus="line-1", connected=True, silent_units=1, polls=16, failures=16, unanswered=16,
                     last_poll_ns=99 * S)  # fmt: skip
    (row,) = [line for line in shown(EN, width=140, buses=[dead]).splitlines() if line.startswith("line-1")]
    assert "⚠ connected, nothing heard" in row
    assert "✓" not in row
    assert row.split("–")[-1].strip() == "", "no last answer either"
    assert "⚠ 已连接，无应答" in shown(ZH, width=140, buses=[dead])


def test_why_a_bus_is_not_there_is_in_the_language_of_the_terminal() -> None:
    lost = BusCounts(
        bus="line-1", why="/dev/ttyUSB7 cannot be opened: there is no such port; is the adapter plugged in?"
    )
    assert "⚠ line-1: /dev/ttyUSB7 打不开：没有这个串口，转换器插好了吗？" in shown(ZH, width=120, buses=[lost])


def test_a_confirmed_fire_what_is_held_and_a_blind_zone_stand_out() -> None:
    zones = [BLINDED, BURNING]
    assert "⚠ fire confirmed, not reset" in shown(EN, width=160, zones=zones)
    assert "release 单元门 (door-1): done, held" in shown(EN, width=160, zones=zones)
    assert "⚠ blind: no fire here would be confirmed; watch it by other means" in shown(EN, width=160, zones=zones)
    assert "⚠ 火警 已确认报警，尚未复位" in shown(ZH, width=160, zones=zones)
    assert "3号楼 (b3)" in shown(ZH, width=160, zones=zones)


def test_devices_have_their_names_beside_their_ids() -> None:
    assert "c 7层烟感" in shown(EN, names={"c": "7层烟感"})


def test_many_lines_are_cut_and_counted() -> None:
    assert "and more 28" in shown(EN, offline=[f"d{i}" for i in range(40)])


async def test_it_is_fetched_from_the_box() -> None:
    async with serve_health("127.0.0.1:0", status) as port:
        body, box = await asyncio.to_thread(fetch_status, f"127.0.0.1:{port}")
    assert box == status()
    assert body.startswith(b"{")


def test_no_box_is_said_with_what_to_do() -> None:
    with pytest.raises(AnjuError, match=r"systemctl status anju-edge"):
        fetch_status("127.0.0.1:9")


def test_units_of_time() -> None:
    assert "2 h 0 min" in shown(EN, now_ns=10 * S + 7200 * S)


def test_what_others_say_neither_steers_the_terminal_nor_breaks_the_view() -> None:
    uplink = UplinkStatus(connected=False, since_ns=0, problem="no \x1b]0;owned\x07 network")
    errors = [PointError("a", "fault", "\x1b[2Jgone")]
    text = shown(EN, width=120, estate="[/red] 西苑 [bold]", uplink=uplink, errors=errors)
    assert "[/red] 西苑 [bold]" in text
    assert "\x1b" not in text
    assert "gone" in text


async def test_a_proxy_for_the_world_is_not_asked_for_the_box(monkeypatch) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    monkeypatch.delenv("no_proxy", raising=False)
    async with serve_health("127.0.0.1:0", status) as port:
        _, box = await asyncio.to_thread(fetch_status, f"127.0.0.1:{port}")
    assert box == status()


async def test_an_answer_that_breaks_off_is_a_box_that_does_not_answer() -> None:
    is_over = asyncio.Event()

    async def cut(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n{")
        writer.close()
        await writer.wait_closed()
        is_over.set()

    async with await asyncio.start_server(cut, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        with pytest.raises(AnjuError, match="no box answers"):
            await asyncio.to_thread(fetch_status, f"127.0.0.1:{port}")
        await is_over.wait()
