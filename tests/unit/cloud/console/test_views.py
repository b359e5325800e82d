"""What each screen is given to show."""

import math
from datetime import timedelta

import msgspec
import pytest

from cloud.console.alarm.view import curve_point, curve_window, report
from cloud.console.alarms.data import AlarmState, Priority, Transition
from cloud.console.alarms.view import alarm_list
from cloud.console.chart import TABLE_ROWS, chart, table
from cloud.console.command.view import commanded
from cloud.console.data import (
    Action,
    CommandRow,
    DeviceRow,
    EventRow,
    GatewayRow,
    Person,
    Place,
    PointNow,
    Series,
    SessionState,
    SignIn,
)
from cloud.console.device.view import device_page, drawn_point
from cloud.console.devices.view import device_list
from cloud.console.errors.view import away
from cloud.console.errors.view import problem as error_page
from cloud.console.frame.view import frame
from cloud.console.gateways.view import gateway_lines
from cloud.console.login.view import problem as login_problem
from contract.messages import CommandStatus, Quality
from tests.unit.cloud.console.test_words import EN, NOW, ZH, alarm

GOOD = Quality.GOOD
WANG = Person("1", "王敏", "operator", frozenset(Action))


def now(point, value, quality=GOOD):
    return PointNow(point, value, quality, None if quality is Quality.UNKNOWN else NOW)


def device(device_id=4, kind="door", points=(), commands=("unlock", "release"), **over):
    return DeviceRow(
        device_id, over.get("name", "单元门"), kind, "dl-acu4", "网关", over.get("place", Place("幸福里", "3", "2")),
        tuple(points), commands,
    )  # fmt: skip


def order(status, minutes=0, point="unlock"):
    at = NOW - timedelta(minutes=minutes)
    return CommandRow("1", 4, point, {}, status, "王敏", at, at)


def test_alarms_stand_in_the_order_in_which_they_want_a_person():
    older = NOW - timedelta(hours=1)
    rows = [
        alarm(device_name="acked", state=AlarmState.ACKED),
        alarm(device_name="low", priority=Priority.LOW),
        alarm(device_name="returned", state=AlarmState.RTNUN),
        alarm(device_name="old", raised_at=older),
        alarm(device_name="new"),
    ]
    by_id = {str(row.id): row.device_name for row in rows}
    shown = alarm_list(ZH, rows, []).rows
    assert [by_id[line.id] for line in shown] == ["new", "old", "low", "returned", "acked"]


def test_a_row_has_a_button_only_while_it_waits_for_a_person():
    waits = {
        state: alarm_list(ZH, [alarm(state=state)], []).rows[0].waits
        for state in (AlarmState.UNACK, AlarmState.RTNUN, AlarmState.ACKED, AlarmState.SHLVD)
    }
    assert [state for state, button in waits.items() if button] == [AlarmState.UNACK, AlarmState.RTNUN]


def test_the_strip_counts_what_nobody_acknowledged_and_names_the_newest_critical():
    rows = [
        alarm(raised_at=NOW - timedelta(minutes=5)),
        alarm(place=Place("幸福里", "7")),
        alarm(state=AlarmState.ACKED),
        alarm(priority=Priority.LOW, state=AlarmState.RTNUN),
    ]
    shown = frame(ZH, WANG, rows, [], "/alarms/1")
    assert [(count.priority, count.n) for count in shown.counts] == [
        ("critical", 2),
        ("high", 0),
        ("medium", 0),
        ("low", 1),
    ]
    assert [title for _, title in shown.critical] == ["7号楼 烟感报警", "3号楼2单元7层 烟感报警"]
    assert (shown.waiting, shown.silent) == (3, "")
    assert shown.summary == "未确认：2 紧急, 1 低"
    assert [screen.url for screen in shown.screens if screen.here] == ["/alarms"]


def test_a_returned_critical_alarm_is_counted_but_makes_no_sound():
    shown = frame(EN, WANG, [alarm(state=AlarmState.RTNUN)], [], "/more")
    assert (shown.counts[0].n, shown.critical) == (1, ())


def test_a_smoke_alarm_says_what_to_do_and_draws_the_obscuration():
    detector = device(1, "smoke_detector", [now("smoke", "smoke"), now("obscuration", 0.2)])
    shown = report(
        ZH, alarm(), detector, [(device(), [])], [Transition(NOW, AlarmState.NORM, AlarmState.UNACK, "raise")]
    )
    assert "119" in " ".join(shown.steps)
    assert (shown.curve, shown.curve_name) == ("obscuration", "减光率")
    assert [door.button for door in shown.doors] == ["开门"]
    assert [(step.event, step.change, step.who) for step in shown.history] == [("报警", "未确认", "系统")]


def test_an_alarm_whose_device_is_gone_is_still_told():
    assert report(EN, alarm(), None, [], []).curve == ""


def test_an_alarm_on_telemetry_draws_its_own_point_to_now_at_most():
    row = alarm(rule="level", kind="water_level", point="level")
    assert curve_point(row, None) == "level"
    since, until = curve_window(row, NOW + timedelta(minutes=3))
    assert (NOW - since, until - NOW) == (timedelta(minutes=10), timedelta(minutes=3))


def test_only_what_a_person_may_order_is_offered():
    assert [offer.point for offer in commanded(ZH, device(), [])] == ["unlock"]  # fire release is linkage's


def test_the_question_names_the_door_and_the_line_says_how_it_stands():
    (offer,) = commanded(ZH, device(points=[now("contact", "closed"), now("lock", "locked")]), [])
    assert (offer.question, offer.now) == ("确定打开这扇门？3号楼2单元 单元门", "门磁 关，门锁 锁闭")


def test_a_door_nobody_heard_of_is_not_said_to_be_closed():
    points = [now("contact", "closed", Quality.STALE), now("lock", None, Quality.UNKNOWN)]
    assert commanded(ZH, device(points=points), [])[0].now == "状态未知"


@pytest.mark.parametrize(
    ("status", "tone"),
    [
        (CommandStatus.SENT, "wait"),
        (CommandStatus.EXECUTED, "done"),
        (CommandStatus.SENT_NOT_CONFIRMED, "doubt"),
        (CommandStatus.FAILED, "bad"),
        (CommandStatus.REFUSED, "bad"),
        (CommandStatus.EXPIRED, "bad"),
    ],
)
def test_the_answer_stands_beside_the_button_while_it_is_fresh(status, tone):
    (offer,) = commanded(ZH, device(), [order(status)])
    assert offer.answer is not None
    assert offer.answer.tone == tone
    assert commanded(ZH, device(), [order(status, minutes=11)])[0].answer is None


def states(kind, *points):
    (group,) = device_list(ZH, [device(1, kind, points)], "", 10).buildings
    return [(state.tone, state.words) for state in group.devices[0].states]


def test_a_device_says_what_is_wrong_before_how_it_stands():
    assert states("smoke_detector", now("smoke", "clear"), now("link", "online")) == [("normal", "正常")]
    assert states("door", now("contact", "open"), now("held_open", "held")) == [("odd", "门未关 超时未关")]
    assert states("door", now("contact", "open"), now("held_open", "normal")) == [("normal", "门磁 开")]
    assert states("door", now("lock", None, Quality.UNKNOWN), now("contact", "open", Quality.STALE)) == [
        ("stale", "门磁 过时"),
        ("unknown", "门锁 未知"),
    ]
    assert states("water_level") == [("unknown", "还没有数据")]
    assert states("water_level", now("level", 0.4)) == [("normal", "正常")]


def test_devices_are_grouped_by_building_and_cut_where_there_are_too_many():
    rows = [device(n, place=Place("幸福里", "3" if n < 3 else "7")) for n in range(5)]
    shown = device_list(ZH, rows, "门", 4)
    assert [(group.name, len(group.devices)) for group in shown.buildings] == [("3号楼", 3), ("7号楼", 1)]
    assert (shown.found, shown.more, shown.search) == (4, True, "门")


def test_a_device_page_says_the_quality_of_every_point():
    row = device(1, "smoke_detector", [now("smoke", None, Quality.UNKNOWN), now("obscuration", 0.2, Quality.STALE)])
    page = device_page(ZH, row, [], [], None)
    assert [(p.name, p.value, p.quality, p.tone, p.at is None) for p in page.points] == [
        ("烟雾", "—", "未知", "unknown", True),
        ("减光率", "0.2 %/m", "过时", "stale", False),
    ]


def test_events_are_said_with_their_fields_in_words():
    events = [
        EventRow(NOW, "contact", "open"),
        EventRow(NOW, "access", fields={"credential": "9f…", "granted": False, "reader": "in"}),
    ]
    page = device_page(ZH, device(), [], events, None)
    assert [(event.name, event.words) for event in page.events] == [
        ("门磁", "开"),
        ("刷卡", "拒绝，卡 9f…，读卡器：进"),
    ]


def test_a_wish_for_a_point_that_cannot_be_drawn_draws_the_first_that_can():
    row = device(1, "smoke_detector", [now("smoke", "clear"), now("obscuration", 0.1), now("temperature", 20.0)])
    assert [drawn_point(row, wish) for wish in ("temperature", "smoke", "nix", "")] == [
        "temperature", "obscuration", "obscuration", "obscuration",
    ]  # fmt: skip
    assert drawn_point(device(), "") == ""


WINDOW = (NOW - timedelta(hours=1), NOW)
START = WINDOW[0].timestamp()


def test_a_gap_is_drawn_as_a_gap():
    series = Series([START, START + 10, START + 300], [1, 2, 3], [1, 2, 3], [1, 2, 3], gap_s=30)
    drawn = chart("减光率", "%/m", WINDOW, series)
    assert drawn.t == [START, START + 10, START + 40, START + 300]
    assert drawn.mean == [1, 2, None, 3]


def test_what_is_no_number_is_a_gap_too_and_the_answer_stays_json():
    series = Series([START, START + 10], [1, math.nan], [1, math.inf], [1, math.nan], gap_s=30)
    assert msgspec.json.decode(msgspec.json.encode(chart("", "", WINDOW, series)))["high"] == [1, None]


def test_the_table_tells_lowest_mean_and_highest_the_youngest_part_first():
    series = Series([START, START + 60, START + 3600], [1.0, 0.5, 4], [2.0, 5.0, 6], [1.5, 2.5, 5], gap_s=60)
    rows = table(ZH, WINDOW, series)
    assert len(rows) == TABLE_ROWS
    assert (rows[-1].low, rows[-1].mean, rows[-1].high) == ("0.5", "2", "5")
    assert (rows[0].mean, rows[1].mean) == ("5", "")


def test_a_gateway_says_what_it_holds_and_whether_its_clock_is_right():
    rows = [
        GatewayRow("a", "甲", "幸福里", SessionState.ONLINE, NOW, "0.1.0", 0, 0.02, 3),
        GatewayRow("b", "乙", "幸福里", SessionState.OFFLINE, NOW, "0.1.0", 1933, None, 3),
        GatewayRow("c", "丙", "幸福里", SessionState.NEVER),
    ]
    lines = gateway_lines(ZH, rows)
    assert [(line.name, line.session, line.backlog, line.clock) for line in lines] == [
        ("乙", "离线", "1933 块待传", "不可信"),
        ("甲", "在线", "无积压", "误差 ≤ 0.02 秒"),
        ("丙", "从未上线", "—", "—"),
    ]


def test_a_refused_login_says_what_to_do_and_not_what_was_wrong():
    assert "2 分钟" in login_problem(ZH, SignIn(ok=False, retry_after_s=90))
    assert login_problem(EN, SignIn(ok=False)).startswith("Name and password do not match")


@pytest.mark.parametrize(("status", "detail"), [(403, "role"), (403, "csrf"), (404, ""), (422, ""), (500, "")])
@pytest.mark.parametrize("voice", [ZH, EN])
def test_every_error_says_what_happened_and_what_to_do(voice, status, detail):
    page = error_page(voice, status, detail)
    assert page.title
    assert len(page.words) > 15
    assert page.again == (status == 500)


@pytest.mark.parametrize("voice", [ZH, EN])
def test_no_page_without_data_promises_that_alarms_are_taken_in(voice):
    for page in (away(voice, looked=True), away(voice, looked=False), error_page(voice, 500)):
        assert "消防主机" in page.words or "fire-alarm panel" in page.words
        assert "仍在接收" not in page.words
        assert "still taken in" not in page.words
