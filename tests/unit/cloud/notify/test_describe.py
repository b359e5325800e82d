"""An alarm in a message: place, thing and state, so that two are never taken for one."""

import msgspec

from cloud.alarms.rules import RuleBook
from cloud.notify.describe import describer
from cloud.store.alarms import AlarmRow
from cloud.words.places import place
from tests.support.notify import START

_GIVEN = {
    "rule": "smoke", "priority": "critical", "state": "UNACK", "raised_at": START, "source": "series:1",
    "device_name": "烟感 7-2", "kind": "smoke_detector", "building": "3", "unit": "2", "floor": "7", "spot": "走廊",
    "estate": "西苑小区", "timezone": "Asia/Shanghai", "estate_id": 1, "point": "smoke",
}  # fmt: skip


def row(**over) -> AlarmRow:
    given = {field.name: over.get(field.name, _GIVEN.get(field.name)) for field in msgspec.structs.fields(AlarmRow)}
    return AlarmRow(**given)


def text_of(rule, language):
    texts = RuleBook().texts.get(rule)
    return getattr(texts, language) if texts else None


def test_it_says_place_thing_and_time() -> None:
    describe = describer(text_of)
    title, lines = describe(row(), "zh")
    assert title.startswith("西苑小区 3号楼2单元7层 走廊 ")
    assert title.endswith("（烟感 7-2），03:00")
    assert lines[1].startswith("1. ")
    title, _ = describe(row(state="RTNUN"), "en")
    assert title.startswith("西苑小区, Building 3, unit 2, floor 7, 走廊: ")
    assert title.endswith("(烟感 7-2), 03:00, returned, not acknowledged")


def test_an_alarm_of_a_rule_that_is_gone_is_said_all_the_same() -> None:
    gone = row(rule="gone", device_name="", building="", unit="", floor="", spot="")
    assert describer(text_of)(gone, "zh") == ("西苑小区 烟感，03:00", ())


def test_numbers_get_their_nouns_and_names_keep_theirs() -> None:
    assert place("zh", "3", "2", "-1", "") == "3号楼2单元-1层"
    assert place("zh", "物业楼", "", "大厅", "东门") == "物业楼大厅 东门"
    assert place("en", "12A", "", "", "by the lift") == "Building 12A, by the lift"
    assert place("en", "", "", "", "") == ""
