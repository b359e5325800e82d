"""What a guard is told of what is not known: silent boxes and devices, orders and their answers, alarms held back."""

from datetime import timedelta

import msgspec
import pytest

from cloud.console.alarm.view import report
from cloud.console.alarms.data import AlarmState, Priority
from cloud.console.alarms.view import alarm_list
from cloud.console.backend.gateways import distinct_names
from cloud.console.command.view import commanded
from cloud.console.data import CommandRow, EventRow, Place, PointNow, SilentGateway
from cloud.console.device.view import changes, device_page
from cloud.console.devices.view import device_list
from cloud.console.frame.view import frame
from cloud.console.words.alarms import title
from cloud.console.words.commands import GRACE, answer
from cloud.console.words.reasons import reason_words
from contract.messages import CommandStatus, Quality
from tests.unit.cloud.console.test_views import WANG, device, now
from tests.unit.cloud.console.test_words import EN, NOW, ZH, alarm

STALE = Quality.STALE
BOX = SilentGateway("3f2a", "vm (3f2a)", "幸福里", NOW - timedelta(minutes=47), 12)
OFFLINE = [now("link", "offline"), now("contact", "closed", STALE), now("lock", "locked", STALE)]
BOX_SILENT = [now("link", "online", STALE), now("contact", "closed", STALE), now("lock", "locked", STALE)]


# silent boxes


def test_a_silent_box_is_said_in_the_strip_and_above_the_lists():
    shown = frame(ZH, WANG, [], [BOX, BOX], "/more")
    assert shown.silent == "2 台网关离线"
    (line,) = alarm_list(ZH, [], [], [BOX]).silent
    assert (line.name, line.since.running, line.devices) == ("vm (3f2a)", "47分00秒", "12 台设备状态未知")
    assert device_list(EN, [], "", 10, [], [BOX]).silent[0].devices == "the states of 12 devices are unknown"


def test_boxes_of_one_name_carry_the_beginning_of_their_ids():
    assert distinct_names([("3f2a-1", "vm"), ("77bc-2", "vm"), ("0001-3", "lobby")]) == {
        "3f2a-1": "vm (3f2a)",
        "77bc-2": "vm (77bc)",
        "0001-3": "lobby",
    }


# devices that say nothing


@pytest.mark.parametrize("points", [OFFLINE, BOX_SILENT])
def test_nothing_of_a_device_that_cannot_be_reached_is_said_to_hold(points):
    page = device_page(ZH, device(points=points), [], [], None)
    assert [(p.tone, p.quality) for p in page.points if p.point != "link"] == [("stale", "离线前的值")] * 2
    assert "有效" not in {p.quality for p in page.points if p.tone == "stale"}
    assert page.line.states[-1] == msgspec.structs.replace(page.line.states[-1], tone="stale", words="状态未知")
    (offer,) = page.offers
    assert (offer.now, offer.is_known) == ("已离线，离线前的值：门磁 关，门锁 锁闭", False)
    assert "命令多半不会执行" in offer.warning


def test_what_was_wrong_before_a_device_went_offline_is_not_forgotten():
    detector = device(1, "smoke_detector", [now("link", "offline"), now("smoke", "smoke", STALE)])
    (group,) = device_list(ZH, [detector], "", 10).buildings
    assert [(state.tone, state.words) for state in group.devices[0].states] == [
        ("odd", "通信 离线"),
        ("stale", "烟雾 报警 (离线前的值)"),
    ]


def test_a_door_that_can_be_reached_is_asked_about_without_a_warning():
    (offer,) = commanded(ZH, device(points=[now("link", "online"), now("lock", "locked")]), [])
    assert (offer.warning, offer.is_known) == ("", True)


def test_an_alarm_whose_device_is_silent_says_that_its_state_is_unknown():
    stale, returned = alarm_list(ZH, [alarm(stale=True), alarm(state=AlarmState.RTNUN)], []).rows
    assert (stale.value, stale.stale) == ("报警，状态未知", True)
    assert (returned.value, returned.stale) == ("已恢复未确认", False)


# alarms of devices


def test_devices_in_alarm_come_first_in_the_colour_of_their_alarm():
    smoking = device(2, "smoke_detector", [now("smoke", "smoke"), now("fault", "fault")])
    row = alarm(device_id=2)
    shown = device_list(ZH, [device(1), smoking], "", 10, [row])
    (line,) = shown.alarmed
    assert [(a.priority, a.words, a.url) for a in line.alarms] == [("critical", "烟感报警", f"/alarms/{row.id}")]
    assert [state.words for state in line.states] == ["故障"]  # the smoke itself was said
    assert [d.id for group in shown.buildings for d in group.devices] == [1]
    page = device_page(ZH, smoking, [], [], None, [row, alarm(device_id=9)])
    assert [(p.point, p.priority) for p in page.points] == [("smoke", "critical"), ("fault", "")]


@pytest.mark.parametrize(
    ("rule", "kind", "zh", "en"),
    [
        ("silent", "smoke_detector", "3号楼2单元7层 烟感失联", "Building 3, unit 2, floor 7: smoke detector silent"),
        ("fault", "elevator", "3号楼2单元7层 电梯故障", "Building 3, unit 2, floor 7: elevator faulty"),
        ("tamper", "door", "3号楼2单元7层 门禁防拆报警", "Building 3, unit 2, floor 7: door tampered with"),
        ("held_open", "door", "3号楼2单元7层 门未关", "Building 3, unit 2, floor 7: door held open"),
    ],
)
def test_a_rule_says_its_own_title(rule, kind, zh, en):
    row = alarm(rule=rule, kind=kind, priority=Priority.HIGH)
    assert (title(ZH, row), title(EN, row)) == (zh, en)


def test_doors_of_other_buildings_stand_apart():
    doors = [(device(n, place=Place("幸福里", building)), []) for n, building in ((4, "3"), (5, "7"), (6, None))]
    shown = report(ZH, alarm(), None, doors, [])
    assert [door.device_id for door in shown.doors] == [4]
    assert [door.device_id for door in shown.other_doors] == [5, 6]


# orders


def opened(age_s):
    at = NOW - timedelta(seconds=age_s)
    return CommandRow("1", 4, "unlock", {"seconds": 5}, CommandStatus.EXECUTED, "王敏", at, at)


def lock(value, age_s, quality=Quality.GOOD):
    return [PointNow("lock", value, quality, NOW - timedelta(seconds=age_s))]


@pytest.mark.parametrize(
    ("order", "points", "words"),
    [
        (opened(2), lock("unlocked", 2), "已执行，门锁已开 5 秒"),
        (opened(2), lock("locked", 60), "已执行，门锁已开 5 秒"),  # from before; the page has not heard of it yet
        (opened(8), lock("locked", 2), "已执行，已重新锁闭"),
        (opened(300), lock("locked", 2), "已执行，已重新锁闭"),
        (opened(8), lock("unlocked", 7), "已执行，门锁已开 5 秒"),
        (opened(5 + GRACE.total_seconds() + 1), lock("unlocked", 16), "已执行，门锁未见重新锁闭"),
        (opened(300), lock("locked", 2, STALE), "已执行，门锁已开 5 秒"),
    ],
)
def test_an_opened_door_is_said_to_be_what_was_read_back_of_it(order, points, words):
    assert answer(ZH, "door", order, points) == words


@pytest.mark.parametrize(
    ("reason", "words"),
    [
        ("no answer before its time was up", "网关未及时应答"),
        ("it came too late: its time to be done had passed", "到达网关时已过时限"),
        (
            "lock did not become unlocked within 3 s: no answer within 1 s",
            "3 秒内门锁没有变为“开锁”，设备 1 秒内没有应答",
        ),
        ("lock did not become unlocked within 3 s: it shows locked", "3 秒内门锁没有变为“开锁”，回读为“锁闭”"),
        ("the device refused it: exception 4: device failure", "设备拒绝执行（Modbus 异常 4）"),
        ("no connection to 10.0.0.7:502: [Errno 111] refused", "网关连不上设备总线"),
        ("10.0.0.7:502 closed the connection", "与设备总线的连接中断"),
        ("this box has no device 'door-3-2'", "网关上没有这个设备或命令，配置已变"),
        ("'unlock' of 'door-3-2': it takes no argument 'x'", "设备不接受这个参数"),
        ("8 orders already wait for this bus", "总线上等待的命令过多"),
        ("something new", ""),
        ("", ""),
    ],
)
def test_the_sentences_of_box_and_cloud_are_said_in_chinese(reason, words):
    assert reason_words(ZH, "door", reason) == words


def test_a_reason_that_nobody_translated_is_still_shown():
    failed = msgspec.structs.replace(opened(2), status=CommandStatus.FAILED, reason="something new")
    (offer,) = commanded(ZH, device(), [failed])
    assert (offer.answer.words, offer.answer.reason) == ("失败", "something new")


# what happened


def test_a_state_that_is_only_repeated_did_not_happen():
    minutes = iter(range(20))

    def event(point, value=None, **fields):
        return EventRow(NOW - timedelta(minutes=next(minutes)), point, value, fields)

    seen = [
        event("contact", "closed"), event("lock", "locked"), event("contact", "closed"), event("contact", "open"),
        event("access", granted=True), event("lock", None), event("contact", "closed"), event("tamper", "tampered"),
    ]  # fmt: skip
    assert changes("door", seen, 20) == [seen[1], seen[2], *seen[3:6], seen[7]]
    assert changes("door", seen, 2) == [seen[1], seen[2]]


def test_the_moment_of_a_lost_state_says_that_it_is_unknown():
    page = device_page(ZH, device(), [], [EventRow(NOW, "lock", None)], None)
    assert (page.events[0].name, page.events[0].words) == ("门锁", "未知")
