"""The rules in plain words, and their switch."""

import re

import pytest

from cloud.alarms.rules.load import pack
from cloud.alarms.rules.model import rule_of
from cloud.console.alarms.data import Priority
from cloud.console.rules import words
from cloud.console.rules.data import RuleRow
from cloud.console.rules.view import rule_groups, rule_page, worst
from tests.unit.cloud.console.http import browser, get, post, token
from tests.unit.cloud.console.test_words import EN, RULES, ZH

TEXT = {language: {"title": "t", "meaning": "m", "do": ["d"], "who": "w"} for language in ("zh", "en")}


def rule(form, **more):
    return rule_of({"name": "x", "form": form, "text": TEXT, **more})


@pytest.mark.parametrize("name", sorted(RULES))
@pytest.mark.parametrize("voice", [ZH, EN])
def test_every_rule_of_the_pack_is_said_whole(voice, name):
    row = RuleRow(RULES[name], is_on=True, version=1)
    page = rule_page(voice, row, [])
    said = " ".join([*page.when, *page.where, page.how_bad, *page.waits, page.hours, page.line.title, page.meaning])
    assert all(page.when)
    assert page.hours
    assert not re.search(r"%\(|\{|None", said)
    if voice is EN:
        assert not re.search("[一-鿿]", said)
    else:
        assert re.search("[一-鿿]", "".join(page.when))


@pytest.mark.parametrize(
    ("form", "more", "zh", "en"),
    [
        (
            {"form": "state", "point": "smoke", "words": ["smoke"]}, {"kinds": ["smoke_detector"]},
            ["烟雾为：报警"], ["smoke is: alarm"],
        ),
        (
            {"form": "threshold", "points": ["level"], "side": "above", "stages": [{"at": 0.15, "priority": "low"}]},
            {"kinds": ["water_level"]}, ["液位达到 0.15 m 或以上：低"], ["level reaches 0.15 m or more: low"],
        ),
        (
            {"form": "rate", "points": ["temperature"], "direction": "rises", "over_s": 600,
             "stages": [{"at": 8, "priority": "high"}]},
            {"kinds": ["heat_detector"]}, ["温度在 10 分钟内上升 8 °C 或以上：高"],
            ["temperature rises by 8 °C or more within 10 min: high"],
        ),
        (
            {"form": "k_of_n", "k": 2, "within": "unit", "within_s": 600,
             "of": [{"kind": "smoke_detector", "point": "smoke", "words": ["smoke"]}]},
            {}, ["同一单元 10 分钟内有 2 处相符：烟感 烟雾 报警"],
            ["2 of one unit agree within 10 min: smoke detector smoke alarm"],
        ),
    ],
)  # fmt: skip
def test_a_rule_says_when_it_is_an_alarm(form, more, zh, en):
    assert list(words.when(ZH, rule(form, **more))) == zh
    assert list(words.when(EN, rule(form, **more))) == en


def test_a_rule_says_how_long_it_waits_and_when_it_counts():
    form = {"form": "state", "point": "held_open", "words": ["held"]}
    night = {"from": "23:00", "to": "06:00", "days_off": "never"}
    made = rule(form, kinds=["door"], on_delay_s=90, off_delay_s=120, when=night)
    assert words.waits(ZH, made) == ("持续 90 秒后告警", "恢复并保持 2 分钟后结束")
    assert words.hours(ZH, made.when) == "23:00 至 06:00，双休日和节假日除外"
    assert words.waits(EN, rule({"form": "state", "point": "fault", "words": ["fault"]})) == ("at once",)


def test_rules_stand_by_their_worst_alarm():
    groups = rule_groups(ZH, [RuleRow(one, is_on=True, version=1) for one in pack().rules])
    assert [group.priority for group in groups] == list(Priority)
    assert "烟感报警" in [line.title for line in groups[0].rules]
    assert worst(RULES["water_level"]) is Priority.HIGH


async def test_a_rule_is_switched_off_with_a_reason_by_who_may(console):
    async with browser(console, "manager") as session, browser(console) as operator:
        csrf = await token(session)
        assert (await post(session, "/rules/smoke/off", csrf)).status == 422
        assert (await post(operator, "/rules/smoke/off", await token(operator), data={"why": "x"})).status == 403
        assert (await post(session, "/rules/nix/off", csrf, data={"why": "x"})).status == 404
        assert "/rules/smoke/off" not in (await get(operator, "/rules/smoke")).text
        assert "事关生命安全" in (await get(session, "/rules/smoke")).text
        off = await post(session, "/rules/smoke/off", csrf, data={"why": "更换主机"})
        assert (off.status, off.headers["Location"]) == (303, "/rules/smoke")
        page = (await get(session, "/rules/smoke")).text
        assert "已关闭，不会产生告警" in page
        assert re.search(r"关闭<br>更换主机</span> <span class=\"by\">周伟", page)
        assert (await get(session, "/rules")).text.count("已关闭") == 2
        assert (await post(session, "/rules/smoke/on", csrf, data={"why": "换好了"})).status == 303
    assert console.estate.rule_rows["smoke"].is_on


async def test_who_may_not_switch_a_rule_of_other_estates_is_told_why(console):
    console.estate.rule_refusal = "it watches over estates that are not yours: ask whoever runs the platform"
    async with browser(console, "manager") as session:
        answer = await post(session, "/rules/smoke/off", await token(session), data={"why": "x"})
    assert answer.status == 409
    assert "请联系平台管理员" in answer.text
    assert console.estate.rule_rows["smoke"].is_on
