"""The page and the metrics of a box, and that nothing depends on them."""

import re

import aiohttp
import msgspec
import pytest
from prometheus_client.parser import text_string_to_metric_families

from contract.errors import AnjuError
from contract.kinds import Lane
from contract.messages import Quality, Reading, Sample
from edge.counts import BusCounts
from edge.health import BoxStatus, PointError, Tally, Wear, serve_health
from edge.health.links import links_of
from edge.health.page import render_page
from edge.health.server import parse_listen
from edge.seams import StreamStatus, UplinkStatus
from edge.zones import ActView, Doubt, Phase
from tests.unit.edge.guard.views import trigger, zone

S = 1_000_000_000


def status(**changes) -> BoxStatus:
    stream = StreamStatus(3, 1, 4096, 8 << 20, 10, 20, 900, 7, 14, 0, "")
    fields = {
        "version": "0.1", "gateway": "gw-1", "estate": "<Estate>", "timezone": "Asia/Shanghai",
        "cloud": "https://cloud", "now_ns": 100 * S,
        "started_ns": 10 * S, "utc_ns": 1_800_000_000 * S,
        "uplink": UplinkStatus(connected=True, since_ns=40 * S, sent_blocks=7), "streams": dict.fromkeys(Lane, stream),
        "buses": [
            BusCounts(bus="bus", connected=True, silent_units=1, polls=50, failures=2, skipped=1, reconnects=1,
                      answers=48, latency_sum_s=0.5, last_poll_ns=99 * S, last_answer_ns=98 * S),
            BusCounts(bus="other"),
        ],
        "samples": 100, "ignored": 4, "errors": [],
        "readings": {Lane.URGENT: 5, Lane.BULK: 60}, "online": ["a", "b"], "offline": ["c"],
        "unknown": [], "written_bytes": 12345, "events": 3, "tasks": 12,
        "config": "abc", "config_problem": "", "restarts": {"bus": 2}, "problems": {},
    }  # fmt: skip
    return BoxStatus(**fields | changes)


def test_page_says_how_it_is_in_both_languages():
    page = render_page(status())
    assert "已连接 connected · 1 min 0 s" in page
    assert "&lt;Estate&gt;" in page
    assert "<Estate>" not in page
    assert "离线 offline" in page
    assert "2027-01-15 16:00:00 Asia/Shanghai" in page
    lost = render_page(status(uplink=UplinkStatus(connected=False, since_ns=0, problem="no <network>"), utc_ns=None))
    assert "未连接 not connected · 1 min 40 s" in lost
    assert "no &lt;network&gt;" in lost
    assert "not known yet" in lost


async def test_serves_metrics_that_parse_and_end_in_units():
    async with serve_health("127.0.0.1:0", status) as port, aiohttp.ClientSession() as http:
        async with http.get(f"http://127.0.0.1:{port}/metrics") as response:
            text = await response.text()
        async with http.get(f"http://127.0.0.1:{port}/") as response:
            assert response.headers["Content-Security-Policy"].startswith("default-src 'none'")
    samples = {
        (sample.name, *sorted(sample.labels.values())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }
    assert samples["anju_box_outbox_pending_blocks", "bulk"] == 3
    assert samples["anju_box_readings_total", "bulk"] == 60
    assert samples["anju_box_bus_polls_total", "bus"] == 50
    assert samples["anju_box_bus_answer_seconds_sum", "bus"] == 0.5
    assert samples["anju_box_bus_last_poll_age_seconds", "bus"] == 1.0
    assert ("anju_box_bus_last_poll_age_seconds", "other") not in samples
    assert samples["anju_box_written_bytes_total",] == 12345
    assert samples["anju_box_ignored_samples_total",] == 4
    assert samples["anju_box_tasks",] == 12
    assert samples["anju_box_failing_points",] == 0
    assert not re.search(r"^anju_box_\S+ NaN", text, re.MULTILINE)


async def test_a_taken_port_is_said_and_the_box_goes_on():
    async with serve_health("127.0.0.1:0", status) as port, serve_health(f"127.0.0.1:{port}", status) as second:
        assert second == 0


async def test_a_host_name_that_is_none_is_said_and_the_box_goes_on(capsys):
    async with serve_health("panel..lan:8081", status) as port:
        assert port == 0
    assert "no health page" in capsys.readouterr().out


@pytest.mark.parametrize("text", ["8081", "host:", "host:http", "host:70000"])
def test_a_bad_address_is_told(text):
    with pytest.raises(AnjuError, match="write host:port"):
        parse_listen(text)


@pytest.mark.parametrize("text", [":8081", "*:8081", "[]:8081"])
def test_all_interfaces_are_never_meant_by_accident(text):
    with pytest.raises(AnjuError, match=r"write 127.0.0.1:8081 for this machine alone,\n    or 0.0.0.0:8081"):
        parse_listen(text)


@pytest.mark.parametrize(("listen", "is_said"), [("127.0.0.1:0", False), ("localhost:0", False), ("0.0.0.0:0", True)])
async def test_a_page_that_the_network_can_see_is_said(listen, is_said, capsys):
    async with serve_health(listen, status) as port:
        assert port
    assert ("the whole network" in capsys.readouterr().out) is is_said


def test_wear_is_told_in_words_once_a_day_can_be_told():
    worn = {"written_bytes": 25_000_000, "written_day_bytes": 3e8}
    assert "25.0 MB · 每天约 about 300 MB a day<" in render_page(status(**worn))
    assert "按 2 TB 可用约 lasts about 18 年 years" in render_page(status(**worn, endurance_tb=2.0))
    assert "a day" not in render_page(status(written_bytes=25_000_000))
    assert "written to storage" not in render_page(status(written_bytes=None))


def test_wear_is_that_of_the_last_day_or_of_the_time_since_the_start():
    hour, written = 3600 * S, [1000]
    wear = Wear(5 * S, lambda: written[0])
    written[0] = 2000
    assert wear.day_bytes(5 * S + 60 * S) is None
    assert wear.day_bytes(5 * S + 12 * hour) == 2000
    for n in range(1, 72):  # a busy first day, and then 100 bytes an hour
        written[0] += 100_000 if n < 24 else 100
        wear.look(5 * S + n * hour)
        wear.look(5 * S + n * hour + 1)
    assert wear.day_bytes(5 * S + 71 * hour) == 2400


def test_points_that_cannot_be_read_stand_on_the_page_and_offline_devices_with_their_reason():
    errors = [PointError("a", "smoke", "exception 2: <illegal> address"), PointError("c", "smoke", "no answer")]
    page = render_page(status(errors=errors))
    assert "cannot be read" in page
    assert "a smoke: exception 2: &lt;illegal&gt; address" in page
    assert "c: no answer" in page
    assert "c smoke" not in page, "its link says it"
    many = render_page(status(errors=[PointError("a", f"point-{i}", "no") for i in range(50)]))
    assert "and 30 个 more" in many


def test_an_open_port_alone_is_no_sign_of_life_on_the_page():
    dead = BusCounts(bus="line-1", connected=True, silent_units=1, polls=16, failures=16, unanswered=16,
                     last_poll_ns=99 * S)  # fmt: skip
    page = render_page(status(buses=[dead]))
    assert "good" not in page.partition("line-1")[2].partition("</tr>")[0]
    assert "已连接，但无应答 connected, but nothing is heard · 尚无应答 nothing heard yet" in page
    again = msgspec.structs.replace(dead, answers=1, last_answer_ns=70 * S, unanswered=3)
    assert "最近应答 last heard 30 s 前 ago" in render_page(status(buses=[again]))
    gone = BusCounts(bus="radio", why="the system's D-Bus cannot be used: [Errno 2] No such file or directory")
    assert "系统 D-Bus 不可用" in render_page(status(buses=[gone]))


def test_a_line_is_heard_while_its_silent_units_alone_do_not_answer():
    heard = BusCounts(bus="b", connected=True, last_answer_ns=1)
    for silent, unanswered, is_heard in ((0, 2, True), (0, 3, False), (5, 5, True), (5, 6, False)):
        assert msgspec.structs.replace(heard, silent_units=silent, unanswered=unanswered).is_heard is is_heard
    assert BusCounts(bus="b", connected=True).is_heard, "it had no time yet"
    assert not BusCounts(bus="b", connected=True, unanswered=1).is_heard, "never an answer"
    assert not BusCounts(bus="b", last_answer_ns=1).is_heard


def test_what_was_on_line_when_its_radio_went_is_not_called_on_line_any_more():
    tally = Tally(["ble-1", "ble-2", "door"])
    tally.count((), [reading("ble-1", "link", "online"), reading("door", "link", "online")])
    bus_of = {"ble-1": "radio", "ble-2": "radio", "door": "line"}
    radio, line = BusCounts(bus="radio", connected=True), BusCounts(bus="line", connected=True)
    assert links_of(tally, [radio, line], bus_of).online == ["ble-1", "door"]
    why = "there is no Bluetooth adapter hci0; is it plugged in? `bluetoothctl list` shows all"
    links = links_of(tally, [BusCounts(bus="radio", why=why), line], bus_of)
    assert (links.online, links.offline, links.unknown) == (["door"], [], ["ble-2", "ble-1"])
    assert links.errors == [PointError("ble-1", "link", f"its bus is lost: {why}")]
    page = render_page(status(online=links.online, unknown=links.unknown, errors=links.errors))
    assert "ble-1: 总线断开：没有蓝牙适配器 hci0" in page


def test_devices_that_go_off_line_with_their_bus_are_logged_with_its_reason(capsys):
    tally = Tally(["a"], because=lambda device: f"the radio of {device} is gone")
    tally.count((), [reading("a", "link", "online")])
    tally.count((), [reading("a", "link", "offline")])
    assert "the radio of a is gone" in capsys.readouterr().out


BURNING = zone("b3", "3号楼", Phase.CONFIRMED, hazards=["fire"], triggers=[trigger("7层烟感", alarm=True)], acts=[
    ActView("fire", "door-1", "单元门", "release", "executed", 1, "", 1, is_held=True),
    ActView("fire", "siren", "声光", "sound", "failed", 2, "no answer", 1),
])  # fmt: skip
BLINDED = zone("b4", "4号楼", blind_for=["fire"], triggers=[trigger("1层烟感", doubt=Doubt.OFFLINE)])


def test_a_confirmed_fire_and_a_blind_zone_stand_first_on_the_page_with_what_is_held():
    page = render_page(status(zones=[BLINDED, zone("b5", "5号楼"), BURNING]))
    assert "火警 已确认报警，尚未复位 · fire confirmed, not reset" in page
    assert "释放门 单元门 (door-1)：已执行，保持中 · release 单元门 (door-1): done, held" in page
    assert "声光 声光 (siren)：失败，重试中" in page
    assert "监视盲区：火警现在无法确认，请派人巡查。不计入：1层烟感 (id-1层烟感) 离线" in page
    assert page.index("3号楼 (b3)") < page.index("4号楼 (b4)") < page.index("云端 cloud")
    assert "正常 quiet" in page


def sample(device, point, raw, at=1, error=""):
    return Sample(device, point, raw, at, error)


def reading(device, point, value, quality=Quality.GOOD):
    return Reading(device, point, value, quality, 1, Lane.URGENT)


def test_row_13_a_point_that_cannot_be_read_is_said_once_and_its_return_once(capsys):
    tally = Tally(["a"])
    refused = [sample("a", "smoke", None, error="exception 2: illegal address"), sample("a", "fault", 0)]
    tally.count(refused, [])
    assert tally.errors == [PointError("a", "smoke", "exception 2: illegal address")]
    assert capsys.readouterr().out == "", "one failed read is no news"
    for _ in range(3):
        tally.count(refused, [reading("a", "smoke", None, Quality.FAULT)])
    said = capsys.readouterr().out
    assert said.count("point cannot be read") == 1
    assert "exception 2: illegal address" in said
    for _ in range(2):
        tally.count([sample("a", "smoke", 1)], [reading("a", "smoke", "smoke")])
    assert capsys.readouterr().out.count("point can be read again") == 1
    assert tally.errors == []


def test_devices_that_are_lost_together_are_said_in_one_line(capsys):
    tally = Tally(["a", "b", "c"])
    tally.count([], [reading(device, "link", "online") for device in "abc"])
    assert capsys.readouterr().out == ""
    gone = [sample(device, "smoke", None, error="no answer") for device in "ab"]
    tally.count(gone, [reading(device, "link", "offline") for device in "ab"])
    (line,) = capsys.readouterr().out.splitlines()
    assert "devices offline" in line
    assert "['a', 'b']" in line
    assert "no answer" in line
    tally.count([], [reading("b", "link", "online")])
    assert "devices online again" in capsys.readouterr().out
    assert (tally.devices("online"), tally.devices("offline")) == (["b", "c"], ["a"])
