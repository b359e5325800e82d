"""What happened is said in sentences, in both languages; what the box of another age says, as it came."""

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest

from cloud.console.i18n import texts
from cloud.console.words import Voice
from cloud.console.words import events as words
from cloud.console.words.events import devices_named, event_words
from contract.kinds import COMMON, KINDS, PointType
from edge.guard import words as guard
from edge.zones import Doubt, Mode

NOW = datetime(2026, 2, 3, 3, 12, 7, tzinfo=UTC)
ZH = Voice(texts("zh_CN"), ZoneInfo("Asia/Shanghai"), NOW)
EN = Voice(texts("en"), ZoneInfo("Asia/Shanghai"), NOW)
NAMES = {"smoke-7": "7层烟感", "smoke-8": "8层烟感", "call-1": "手报"}


@pytest.mark.parametrize(
    ("kind", "point", "fields", "zh", "en"),
    [
        (
            "door",
            "access",
            {"credential": "9f3c", "granted": True, "reader": "in"},
            "放行，卡 9f3c，读卡器：进",
            "let in, card 9f3c, reader: in",
        ),
        ("door", "access", {"granted": False, "reader": "前门"}, "拒绝，读卡器：前门", "turned away, reader: 前门"),
        ("door", "access", {"granted": "maybe"}, "granted maybe", "granted maybe"),
        (
            "vehicle_gate",
            "passage",
            {"plate": "01be", "direction": "out"},
            "车牌 01be，方向：出",
            "plate 01be, direction: out",
        ),
        ("vehicle_gate", "passage", {"direction": "north"}, "方向：north", "direction: north"),
        ("panic_button", "pressed", {"place": "卫生间"}, "位置 卫生间", "at 卫生间"),
        (
            "camera_event",
            "gathering",
            {"image": "17189.3-ab"},
            "录像机图片 17189.3-ab",
            "picture 17189.3-ab at the recorder",
        ),
        ("door", "forced_open", {}, "", ""),
        ("door", "access", {"newer": True, "floor": 3}, "newer 是，floor 3", "newer yes, floor 3"),
    ],
)
def test_an_event_is_said_with_its_fields_in_words(kind, point, fields, zh, en):
    assert (event_words(ZH, kind, point, fields), event_words(EN, kind, point, fields)) == (zh, en)


def linkage(action, status, **more):
    return {"zone": "b3-u2", "rule": "fire-b3-u2", "action": action, "status": status, "by": "rule"} | more


@pytest.mark.parametrize(
    ("fields", "zh", "en"),
    [
        (
            linkage("release", "executed"),
            "消防释放：已执行，已回读 · 规则 fire-b3-u2",
            "Fire release: done, read back · rule fire-b3-u2",
        ),
        (
            linkage("release", "failed", why="no answer within 1 s"),
            "消防释放：失败，继续重试，设备 1 秒内没有应答 · 规则 fire-b3-u2",
            "Fire release: failed, tried again, the device did not answer within 1 s · rule fire-b3-u2",
        ),
        (
            linkage("release", "given_up", why="after 12 tries: lock did not become unlocked within 3 s"),
            "消防释放：未能完成，请到现场查看，已尝试 12 次，3 秒内门锁没有变为“开锁” · 规则 fire-b3-u2",
            (
                "Fire release: not achieved: look on site, after 12 tries, "
                "lock did not become “unlocked” within 3 s · rule fire-b3-u2"
            ),
        ),
        (
            linkage("release", "undone", why="it was undone (2); doing it again"),
            "消防释放：被撤销，重新执行，第 2 次 · 规则 fire-b3-u2",
            "Fire release: was undone, done again, time 2 · rule fire-b3-u2",
        ),
        (
            linkage("release", "executed", rule="b3-u2", by="guard page"),
            "消防释放：已执行，已回读，在值班页操作 · 分区 b3-u2",
            "Fire release: done, read back, from the guard page · zone b3-u2",
        ),
        (
            linkage("sound", "not_done", mode="silent_drill", why="a silent drill is under way"),
            "声光鸣响：仅记录，未动作（不动作演练） · 规则 fire-b3-u2",
            "Sounding: only recorded, not done (drill without actions) · rule fire-b3-u2",
        ),
        (
            linkage("alert", "unconfirmed", why="not counted: smoke-8 (offline), call-1 (unseen)"),
            "报警，尚未确认：另有触发同时报警才联动释放，不计入8层烟感（离线）、手报（尚无数据） · 规则 fire-b3-u2",
            (
                "In alarm, not confirmed yet: nothing is released before another one agrees, "
                "not counted: 8层烟感 (offline) and 手报 (not heard of yet) · rule fire-b3-u2"
            ),
        ),
        (
            linkage("confirmed", "confirmed", why="in alarm: smoke-7, smoke-8; not counted: call-1 (fault)"),
            "报警已确认，报警的有7层烟感、8层烟感，不计入手报（故障） · 规则 fire-b3-u2",
            "Alarm confirmed, in alarm: 7层烟感 and 8层烟感, not counted: 手报 (in fault) · rule fire-b3-u2",
        ),
        (
            linkage(
                "confirmed",
                "confirmed",
                why="in alarm: smoke-7, smoke-8; alarmed, then lost: smoke-8 (offline); not counted: call-1 (fault)",
            ),
            (
                "报警已确认，报警的有7层烟感、8层烟感，报警后失联、仍计入8层烟感（离线），"
                "不计入手报（故障） · 规则 fire-b3-u2"
            ),
            (
                "Alarm confirmed, in alarm: 7层烟感 and 8层烟感, "
                "alarmed before it was lost, and counted: 8层烟感 (offline), "
                "not counted: 手报 (in fault) · rule fire-b3-u2"
            ),
        ),
        (
            linkage("alert", "cut_off", rule="cut-off", by="box", why="the cloud cannot be reached"),
            "断网期间报警，已就地鸣响 · 分区 b3-u2",
            "In alarm with the cloud out of reach: made heard on the spot · zone b3-u2",
        ),
        (
            linkage(
                "alert",
                "not_heard",
                rule="cut-off",
                by="box",
                why="the cloud cannot be reached; nothing sounds: the site file names none (guard_page.sound)",
            ),
            "断网期间报警，现场未鸣响，没有配置声光器 · 分区 b3-u2",
            (
                "In alarm with the cloud out of reach: heard nowhere on the spot, "
                "no sounder is configured for it · zone b3-u2"
            ),
        ),
        (
            linkage(
                "blind",
                "started",
                rule="",
                by="box",
                why="no fire would be confirmed here; not counted: smoke-7 (offline), smoke-8 (fault)",
            ),
            "分区监视失效：请派人巡查，报警无法确认，不计入7层烟感（离线）、8层烟感（故障） · 分区 b3-u2",
            (
                "The zone is blind: watch it by other means, nothing would be confirmed, "
                "not counted: 7层烟感 (offline) and 8层烟感 (in fault) · zone b3-u2"
            ),
        ),
        (
            linkage("alert", "cut_off", rule="cut-off", zone="", by="box"),
            "断网期间报警，已就地鸣响",
            "In alarm with the cloud out of reach: made heard on the spot",
        ),
        (
            linkage("drill", "started", rule="", mode="drill", by="guard page", why="for 15 min"),
            "分区演练开始，联动照常动作，为时 15 分钟，在值班页操作 · 分区 b3-u2",
            "Drill begun in the zone, everything is done as in a fire, for 15 min, from the guard page · zone b3-u2",
        ),
        (
            linkage("reset", "done", by="guard page"),
            "分区已复位，报警结束，在值班页操作 · 规则 fire-b3-u2",
            "The zone was reset, its alarm is over, from the guard page · rule fire-b3-u2",
        ),
        (
            linkage("levitate", "begun", mode="odd", by="moon", why="nobody knows"),
            "levitate：begun（odd），nobody knows · 规则 fire-b3-u2",
            "levitate: begun (odd), nobody knows · rule fire-b3-u2",
        ),
        ({}, "", ""),
    ],
)
def test_what_linkage_did_is_a_sentence(fields, zh, en):
    said = [event_words(voice, "door", "linkage", fields, NAMES) for voice in (ZH, EN)]
    assert said == [zh, en]


def test_devices_without_a_name_are_said_by_their_id():
    fields = linkage("confirmed", "confirmed", why="in alarm: smoke-7, gone-9")
    assert "7层烟感、gone-9" in event_words(ZH, "door", "linkage", fields, NAMES)
    assert {"smoke-7", "gone-9"} <= devices_named("linkage", fields)
    assert devices_named("access", fields) == set()


def test_every_field_of_the_vocabulary_has_words():
    events = [point for kind in KINDS.values() for point in kind.points.values() if point.type is PointType.EVENT]
    fields = {field for point in events if point not in COMMON for field in point.fields}
    assert fields == {*words.FIELD_WORDS, "granted"}


def test_everything_that_the_guard_page_has_words_for_is_a_sentence_here_too():
    told = {action for action, _ in words.TOLD}
    assert set(guard.ACTIONS) == words.ACTS.keys() | told
    assert set(guard.STATUSES) - {""} == words.STATUSES.keys() | {status for _, status in words.TOLD}
    assert {str(mode) for mode in Mode} == words.MODES.keys()
    assert {str(doubt) for doubt in Doubt} - {""} == words.DOUBTS.keys()
