"""How the console says times, places, values, alarms and answers, in both languages."""

from datetime import UTC, datetime, timedelta
from uuid import uuid4
from zoneinfo import ZoneInfo

import msgspec
import pytest

from cloud.alarms.rules.load import pack
from cloud.console.alarms.data import AlarmRow, AlarmState, Priority
from cloud.console.data import Action, CommandRow, Place, PointNow
from cloud.console.i18n import texts
from cloud.console.words import Voice
from cloud.console.words import alarms as alarm_words
from cloud.console.words import points as point_words
from cloud.console.words.commands import answer
from cloud.console.words.places import building, place
from cloud.console.words.times import ago, moment, running
from contract.messages import CommandStatus, Quality

NOW = datetime(2026, 2, 3, 3, 12, 7, tzinfo=UTC)
ZH = Voice(texts("zh_CN"), ZoneInfo("Asia/Shanghai"), NOW)
EN = Voice(texts("en"), ZoneInfo("Asia/Shanghai"), NOW)


RULES = {rule.name: rule for rule in pack().rules}


def alarm(**over) -> AlarmRow:
    """An alarm of a rule of the pack, which anybody who asks may do everything with."""
    rule = RULES.get(str(over.get("rule", "smoke")))
    given = {
        "id": uuid4(), "rule": "smoke", "priority": Priority.CRITICAL, "state": AlarmState.UNACK, "device_id": 1,
        "device_name": "烟感", "kind": "smoke_detector", "point": "smoke", "place": Place("幸福里", "3", "2", "7"),
        "raised_at": NOW, "changed_at": NOW, "value": "smoke",
        "texts": rule.text if rule else None, "curve": rule.curve if rule else "", "allowed": frozenset(Action),
        "life_safety": rule.life_safety if rule else False,
    }  # fmt: skip
    return AlarmRow(**(given | over))


@pytest.mark.parametrize(
    ("seconds", "zh", "en"),
    [
        (-30, "刚刚", "just now"),
        (4.9, "刚刚", "just now"),
        (5, "5秒前", "5 s ago"),
        (59.9, "59秒前", "59 s ago"),
        (60, "1分钟前", "1 min ago"),
        (3599, "59分钟前", "59 min ago"),
        (3600, "1小时前", "1 h ago"),
        (86400, "1天前", "1 d ago"),
    ],
)
def test_ago_is_said_in_one_unit(seconds, zh, en):
    assert (ago(ZH, seconds), ago(EN, seconds)) == (zh, en)


@pytest.mark.parametrize(
    ("seconds", "zh", "en"),
    [
        (-1, "0秒", "0 s"),
        (59, "59秒", "59 s"),
        (134, "2分14秒", "2 min 14 s"),
        (3600, "1小时00分", "1 h 00 min"),
        (90061, "1天1小时", "1 d 1 h"),
    ],
)
def test_a_duration_is_said_in_two_units(seconds, zh, en):
    assert (running(ZH, seconds), running(EN, seconds)) == (zh, en)


def test_times_are_those_of_the_estate():
    said = moment(ZH, NOW)
    assert (said.exact, said.clock, said.iso) == ("2026-02-03 11:12:07", "11:12", "2026-02-03T11:12:07+08:00")


def test_a_clock_of_another_day_says_the_day():
    assert moment(ZH, NOW - timedelta(hours=20)).clock == "02-02 15:12"


@pytest.mark.parametrize(
    ("where", "zh", "en"),
    [
        (Place("幸福里", "3", "2", "7"), "3号楼2单元7层", "Building 3, unit 2, floor 7"),
        (Place("幸福里", "3", "2", "7", "走廊"), "3号楼2单元7层 走廊", "Building 3, unit 2, floor 7, 走廊"),
        (Place("幸福里", "12A", None, "-1"), "12A号楼-1层", "Building 12A, floor -1"),
        (Place("幸福里", "综合楼"), "综合楼", "综合楼"),
        (Place("幸福里", None, None, None, "北门"), "北门", "北门"),
        (Place("幸福里"), "幸福里", "幸福里"),
    ],
)
def test_a_place_is_said_as_people_say_it(where, zh, en):
    assert (place(ZH, where), place(EN, where)) == (zh, en)


def test_what_stands_in_no_building_stands_on_the_grounds():
    assert (building(ZH, Place("幸福里")), building(EN, Place("幸福里", "3"))) == ("公共区域", "Building 3")


def test_an_alarm_of_a_device_without_a_place_is_titled_by_its_name():
    row = msgspec.structs.replace(alarm(), place=Place("东湖小区"), device_name="B栋1层烟感")
    assert alarm_words.title(ZH, row) == "B栋1层烟感 烟感报警"
    of_box = msgspec.structs.replace(row, device_id=None, device_name="anju-3f")
    assert alarm_words.title(ZH, of_box) == "东湖小区 烟感报警"


def test_an_alarm_is_titled_by_place_thing_and_state():
    assert alarm_words.title(ZH, alarm()) == "3号楼2单元7层 烟感报警"
    assert alarm_words.title(EN, alarm()) == "Building 3, unit 2, floor 7: smoke"


def test_a_rule_without_a_word_is_said_by_kind_and_point():
    row = alarm(rule="held", kind="door", point="held_open")
    assert (alarm_words.what(ZH, row), alarm_words.what(EN, row)) == ("门禁 门未关", "door: held open")


@pytest.mark.parametrize(
    ("state", "icon", "zh"),
    [
        (AlarmState.UNACK, "critical-filled", "未确认"),
        (AlarmState.ACKED, "critical-outline", "已确认"),
        (AlarmState.RTNUN, "critical-tick", "已恢复未确认"),
        (AlarmState.SHLVD, "critical-clock", "已屏蔽"),
        (AlarmState.OOSRV, "critical-pause", "停用"),
        (AlarmState.DSUPR, "critical-beneath", "抑制"),
    ],
)
def test_a_state_has_its_shape_and_word(state, icon, zh):
    row = alarm(state=state)
    assert (alarm_words.icon(row), alarm_words.state_word(ZH, row)) == (icon, zh)


def test_what_is_held_says_until_when():
    row = alarm(state=AlarmState.SHLVD, hold_until=NOW + timedelta(minutes=15))
    assert alarm_words.state_word(ZH, row) == "屏蔽至 11:27"
    row = alarm(state=AlarmState.OOSRV, hold_until=NOW + timedelta(hours=20))
    assert (alarm_words.state_word(ZH, row), alarm_words.state_word(EN, row)) == (
        "停用至 02-04 07:12", "out of service until 02-04 07:12",
    )  # fmt: skip


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (0.0, "0"),
        (0.0432, "0.043"),
        (1.234, "1.23"),
        (21.54, "21.5"),
        (20.0, "20"),
        (12846.4, "12 846"),
        (-3.5, "-3.5"),
    ],
)
def test_numbers_have_the_figures_that_matter(value, said):
    assert point_words.number(value).replace("\N{NARROW NO-BREAK SPACE}", " ") == said


def test_values_have_words_or_units():
    assert point_words.value_words(ZH, "smoke_detector", "smoke", "smoke") == "报警"
    assert point_words.value_words(EN, "smoke_detector", "obscuration", 0.187) == "0.187 %/m"
    assert point_words.value_words(ZH, "smoke_detector", "smoke", None) == "—"
    assert point_words.value_words(ZH, "newer_kind", "thing", "on") == "on"


@pytest.mark.parametrize("quality", [Quality.STALE, Quality.FAULT, Quality.UNKNOWN])
def test_what_cannot_be_trusted_is_never_normal(quality):
    assert not point_words.is_normal("smoke_detector", PointNow("smoke", "clear", quality, NOW))


def test_a_running_pump_and_an_open_door_are_normal_but_a_tampered_one_is_not():
    assert point_words.is_normal("pump", PointNow("running", "running", Quality.GOOD, NOW))
    assert point_words.is_normal("door", PointNow("contact", "open", Quality.GOOD, NOW))
    assert not point_words.is_normal("door", PointNow("tamper", "tampered", Quality.GOOD, NOW))


@pytest.mark.parametrize(
    ("status", "reason", "zh"),
    [
        (CommandStatus.EXECUTED, "", "已执行，门锁已开 5 秒"),
        (CommandStatus.SENT_NOT_CONFIRMED, "", "已发送未证实，请到现场查看"),
        (CommandStatus.FAILED, "no answer within 1 s", "失败，设备 1 秒内没有应答"),
        (CommandStatus.FAILED, "nobody knows this sentence", "失败"),  # it stands small beside (command/answer.html)
        (CommandStatus.SENT, "", "已发送，等待应答"),
    ],
)
def test_each_answer_to_a_command_is_said_differently(status, reason, zh):
    row = CommandRow("1", 4, "unlock", {"seconds": 5}, status, "王敏", NOW, NOW, reason)
    assert answer(ZH, "door", row) == zh
