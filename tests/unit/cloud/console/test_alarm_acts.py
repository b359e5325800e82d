"""What a person does to an alarm through its page: who may, what is refused, what is bounded, what is said."""

import ast
import re
from datetime import timedelta
from pathlib import Path

import msgspec
import pytest

import cloud.alarms.acts
import cloud.console.backend.rules as backend_rules
from cloud.alarms.machine import Happening
from cloud.console.alarm.history import EVENT_WORDS
from cloud.console.alarm.holding import LIFE_SAFETY_MOST, SHELVES, shelf, shelves, shift_ends
from cloud.console.alarm.view import report
from cloud.console.alarms.data import AlarmState, Label
from cloud.console.words import Voice
from cloud.console.words.acts import REFUSALS, refusal_words
from cloud.console.words.alarms import value_now
from contract.messages import Quality
from tests.support.console_preview import SPACE, uuid5
from tests.unit.cloud.console.http import HTMX, browser, get, post, token
from tests.unit.cloud.console.test_views import device, now
from tests.unit.cloud.console.test_words import EN, NOW, ZH, alarm

SMOKE, LIFT, DIRTY, REPAIR, PUMP, BOX, OLD = (
    uuid5(SPACE, key) for key in ("smoke", "lift", "dirty", "repair", "pump", "gateway", "old")
)
SHELVED = {"lasts": "1h", "why": "施工扬尘"}
ACTS = {
    "acknowledge": {}, "undo": {}, "assign": {}, "comment": {"text": "看过了"}, "label": {"label": "false"},
    "shelve": {"lasts": "15m", "why": "扬尘"}, "unshelve": {}, "outage": {"lasts": "1d", "why": "维修"}, "return": {},
}  # fmt: skip


@pytest.mark.parametrize("act", ACTS)
async def test_who_may_not_is_refused_whatever_is_posted(console, act):
    before = console.estate.alarm_rows[LIFT]
    async with browser(console, "auditor") as session:
        answer = await post(session, f"/alarms/{LIFT}/{act}", await token(session), data=ACTS[act])
    assert answer.status == 403
    assert console.estate.alarm_rows[LIFT] == before


@pytest.mark.parametrize("act", ACTS)
async def test_no_act_is_done_for_a_forged_form(console, act):
    async with browser(console, "manager") as session:
        await token(session)
        answer = await post(session, f"/alarms/{LIFT}/{act}", "guess", data=ACTS[act])
    assert answer.status == 403
    assert console.estate.history[LIFT][-1].event == "acknowledge"


async def test_an_operator_shelves_but_takes_nothing_out_of_service(console):
    async with browser(console) as session:
        csrf = await token(session)
        page = (await get(session, f"/alarms/{LIFT}")).text
        assert (f"/alarms/{LIFT}/shelve" in page, 'name="lasts" value="3d"' in page) == (True, False)
        assert (await post(session, f"/alarms/{LIFT}/outage", csrf, data=ACTS["outage"])).status == 403
        assert (await post(session, f"/alarms/{LIFT}/shelve", csrf, data=SHELVED)).status == 303
        page = (await get(session, f"/alarms/{LIFT}")).text
    assert re.search(r"屏蔽至 \d\d:\d\d</b> · 王敏 · 施工扬尘", page)
    assert f"/alarms/{LIFT}/unshelve" in page
    row = console.estate.alarm_rows[LIFT]
    assert (row.state, row.hold_until - row.changed_at) == (AlarmState.SHLVD, timedelta(hours=1))


async def test_what_is_about_life_is_offered_fifteen_minutes_and_says_why(console):
    async with browser(console, "manager") as session:
        csrf = await token(session)
        page = (await get(session, f"/alarms/{SMOKE}")).text
        assert re.findall(r'name="lasts" value="(\w+)"', page) == ["15m"]
        assert "事关生命安全：最多 15 分钟" in page
        longer = await post(session, f"/alarms/{SMOKE}/shelve", csrf, data=SHELVED)
        assert longer.status == 422
    assert console.estate.alarm_rows[SMOKE].state is AlarmState.UNACK


@pytest.mark.parametrize(
    ("act", "data"),
    [
        ("shelve", {"lasts": "1h"}),
        ("shelve", {"lasts": "1h", "why": ""}),
        ("shelve", {"lasts": "1h", "why": "x" * 201}),
        ("shelve", {"lasts": "900d", "why": "x"}),
        ("outage", {"lasts": "shift", "why": "x"}),
        ("comment", {"text": ""}),
        ("comment", {"text": "x" * 1001}),
        ("label", {"label": "nix"}),
        ("assign", {"to": "9" * 30}),
    ],
)
async def test_what_a_form_does_not_offer_is_not_taken(console, act, data):
    async with browser(console, "manager") as session:
        answer = await post(session, f"/alarms/{LIFT}/{act}", await token(session), data=data)
    assert answer.status == 422
    assert console.estate.alarm_rows[LIFT].state is AlarmState.ACKED


async def test_an_acknowledgement_can_be_taken_back_by_whoever_gave_it(console):
    async with browser(console) as session, browser(console, "manager") as other:
        csrf = await token(session)
        await post(session, f"/alarms/{SMOKE}/acknowledge", csrf)
        assert f"/alarms/{SMOKE}/undo" in (await get(session, f"/alarms/{SMOKE}")).text
        assert f"/alarms/{SMOKE}/undo" in (await get(session, "/alarms")).text
        assert f"/alarms/{SMOKE}/undo" not in (await get(other, f"/alarms/{SMOKE}")).text
        assert (await post(session, f"/alarms/{SMOKE}/undo", csrf)).status == 303
    assert console.estate.alarm_rows[SMOKE].state is AlarmState.UNACK


LATE = "it was acknowledged more than a minute ago: tell your colleagues by a comment instead"


async def test_what_cannot_be_done_now_is_said_in_a_sentence_with_and_without_scripts(console):
    console.estate.refusal = LATE
    async with browser(console) as session:
        csrf = await token(session)
        plain = await post(session, f"/alarms/{LIFT}/undo", csrf)
        assert plain.status == 409
        assert "请写备注告诉同事" in plain.text
        assert 'id="report"' in plain.text
        by_script = await post(session, f"/alarms/{LIFT}/undo", headers=HTMX | {"X-CSRF-Token": csrf})
    assert by_script.status == 204
    said = msgspec.json.decode(by_script.headers["HX-Trigger"])
    assert said["anju:say"]["text"].endswith("请写备注告诉同事。")
    assert "anju:alarms" in said


async def test_whoever_is_on_it_is_named_and_can_be_somebody_else(console):
    async with browser(console) as session:
        csrf = await token(session)
        await post(session, f"/alarms/{SMOKE}/assign", csrf)
        page = (await get(session, f"/alarms/{SMOKE}")).text
        assert "紧急</b> · 未确认 ·" in page
        assert "王敏" in re.search(r'class="report-state">(.*?)</p>', page, re.DOTALL)[1]
        await post(session, f"/alarms/{SMOKE}/assign", csrf, data={"to": "7"})
        page = (await get(session, f"/alarms/{SMOKE}")).text
    assert "李强" in re.search(r'class="report-state">(.*?)</p>', page, re.DOTALL)[1]
    assert '<option value="7" selected>' in page


async def test_a_comment_stands_in_the_history_with_its_author_and_is_escaped(console):
    async with browser(console) as session:
        csrf = await token(session)
        await post(session, f"/alarms/{SMOKE}/comment", csrf, data={"text": "302 在做饭 <b>已开窗</b>"})
        page = (await get(session, f"/alarms/{SMOKE}")).text
    history = page[page.index('id="history-title"') :]
    assert "302 在做饭 &lt;b&gt;已开窗&lt;/b&gt;" in history
    assert history.index("302 在做饭") < history.index("报警")  # the youngest first


async def test_a_label_is_asked_for_once_it_is_over(console):
    async with browser(console) as session:
        csrf = await token(session)
        assert 'name="label" value="real"' not in (await get(session, f"/alarms/{SMOKE}")).text
        assert 'value="false" aria-pressed="true"' in (await get(session, f"/alarms/{OLD}")).text
        await post(session, f"/alarms/{OLD}/label", csrf, data={"label": "real"})
        assert 'value="real" aria-pressed="true"' in (await get(session, f"/alarms/{OLD}")).text
        assert "真实" in (await get(session, "/alarms?show=ended")).text
    assert console.estate.alarm_rows[OLD].label is Label.REAL


async def test_what_is_suppressed_leads_to_its_cause_and_the_cause_to_what_is_beneath(console):
    async with browser(console) as session:
        beneath = (await get(session, f"/alarms/{PUMP}")).text
        cause = (await get(session, f"/alarms/{BOX}")).text
    assert re.search(rf'原因： <a href="/alarms/{BOX}">地下车库 网关失联</a>', beneath)
    assert "/acknowledge" not in beneath[beneath.index('id="report"') :]
    assert "被抑制的告警 2 条" in cause
    assert f'href="/alarms/{PUMP}"' in cause
    assert "/gateways/" in cause


async def test_who_was_told_and_what_became_of_it_stands_on_the_page(console):
    async with browser(console) as session:
        await post(session, f"/alarms/{SMOKE}/acknowledge", await token(session))
        page = (await get(session, f"/alarms/{SMOKE}")).text
    told = page[page.index('id="told-title"') : page.index('id="history-title"')]
    assert [word in told for word in ("平台已接收", "平台拒收", "130101 send too fast", "可能已送达", "待发送")] == [
        True
    ] * 5
    assert "<b>王敏</b> · 控制台值班短信 · <b>已确认</b>" in told


async def test_several_are_acknowledged_together(console):
    async with browser(console) as session:
        csrf = await token(session)
        page = (await get(session, "/alarms?choose=1")).text
        chosen = re.findall(r'name="alarm" value="([^"]+)" form="chosen"', page)
        assert len(chosen) == 3
        data = [("csrf", csrf), ("back", "/alarms?choose=1"), *(("alarm", one) for one in chosen)]
        async with session.post("/alarms/acknowledge", data=data, allow_redirects=False) as answer:
            assert (answer.status, answer.headers["Location"]) == (303, "/alarms?choose=1")
        said = await post(
            session, "/alarms/acknowledge", headers=HTMX | {"X-CSRF-Token": csrf}, data={"alarm": chosen[0]}
        )
        none = await post(session, "/alarms/acknowledge", headers=HTMX | {"X-CSRF-Token": csrf})
        many = [("csrf", csrf), *(("alarm", str(uuid5(SPACE, str(n)))) for n in range(101))]
        async with session.post("/alarms/acknowledge", data=many, allow_redirects=False) as answer:
            assert answer.status == 422
    assert {str(row.id) for row in console.estate.alarm_rows.values() if row.acked_by == "王敏"} == set(chosen)
    assert "1 条没有变动" in msgspec.json.decode(said.headers["HX-Trigger"])["anju:say"]["text"]
    assert "请先勾选告警" in msgspec.json.decode(none.headers["HX-Trigger"])["anju:say"]["text"]


async def test_the_list_has_its_parts_in_the_address_and_what_it_cannot_mean_is_the_ordinary_list(console):
    async with browser(console) as session:
        held = (await get(session, "/alarms?show=held")).text
        ended = (await get(session, "/alarms?show=ended")).text
        odd = (await get(session, "/alarms?show=nix&by=%3Cb%3E&choose=9")).text
        part = (await get(session, "/alarms/list?show=held", headers=HTMX)).text
    rows = lambda page: re.findall(r'<li class="alarm \w+ (\w+)"', page)  # noqa: E731
    assert rows(held) == ["shlvd", "oosrv", "dsupr", "dsupr"]
    assert rows(part) == rows(held)
    assert set(rows(ended)) == {"norm"}
    assert 'hx-get="/alarms/list?show=held"' in held
    assert 'hx-get="/alarms/list"' in odd


async def test_a_flood_is_one_banner_and_the_rows_stand_by_building(console):
    console.estate.make_flood()
    async with browser(console) as session:
        page = (await get(session, "/alarms")).text
        part = (await get(session, "/alarms/list", headers=HTMX)).text
    assert page.count("告警洪泛：46 条") == 1
    assert re.findall(r"<h2>(.+?)</h2> <span class=\"counts-here\">", page)[:3] == ["1号楼", "2号楼", "3号楼"]
    assert "消防演练，至" in page
    groups = re.findall(r'<details class="place-group[^>]*>', page)
    assert len(groups) == 6
    assert all(" open" in group for group in groups)
    again = re.findall(r'<details class="place-group[^>]*>', part)
    assert len(again) == 6
    assert not any(" open" in group for group in again)  # what somebody has closed stays closed


def sentences() -> set[str]:
    """What acts raise NotNowError with, where it stands as it is."""
    tree = ast.parse(Path(cloud.alarms.acts.__file__).read_text("utf-8"))
    raised = [node.exc for node in ast.walk(tree) if isinstance(node, ast.Raise) and isinstance(node.exc, ast.Call)]
    texts = {
        leaf.value
        for call in raised
        if ast.unparse(call.func) == "NotNowError" and isinstance(call.args[0], ast.Constant | ast.Call)
        for leaf in ast.walk(call.args[0])
        if isinstance(leaf, ast.Constant)
    }
    return texts | set(cloud.alarms.acts._IS_HELD.values())


def test_every_refusal_of_the_engine_has_words():
    assert sentences() - set(REFUSALS) == set()
    assert len(sentences()) > 8
    assert {backend_rules.SAY_WHY, backend_rules.NOT_YOURS} <= set(REFUSALS)
    for text in REFUSALS:
        assert refusal_words(ZH, text) != refusal_words(EN, text)
    assert refusal_words(ZH, "something new") == "Something new"


def test_everything_that_happens_to_an_alarm_has_a_word():
    assert {*Happening, "late", "revoked", "chattering", "assign", "label"} <= set(EVENT_WORDS)


def test_a_shelf_ends_with_the_shift():
    ends = {hour: shift_ends(Voice(ZH.t, ZH.zone, NOW.replace(hour=hour))) for hour in (0, 3, 11, 12, 23)}
    local = {hour: f"{at:%d %H:%M}" for hour, at in ends.items()}
    # NOW is the 3rd; the estate is eight hours ahead of UTC
    assert local == {0: "03 20:00", 3: "03 20:00", 11: "03 20:00", 12: "04 08:00", 23: "04 08:00"}
    assert all(at > NOW.replace(hour=hour) for hour, at in ends.items())


def test_a_shelf_is_one_of_those_that_are_offered():
    ordinary, life = alarm(rule="fault", life_safety=False), alarm()
    assert [choice.value for choice in shelves(ZH, ordinary)] == [*SHELVES, "shift"]
    assert [choice.value for choice in shelves(ZH, life)] == ["15m"]
    assert all(lasts <= LIFE_SAFETY_MOST for lasts in [shelf(ZH, life, "15m")])
    assert shelf(ZH, life, "1h") is None
    assert shelf(ZH, life, "shift") is None
    assert shelf(ZH, ordinary, "shift") == shift_ends(ZH)


def test_what_is_over_is_not_said_to_hold():
    returned, ended = alarm(state=AlarmState.RTNUN, holds=False), alarm(state=AlarmState.NORM, holds=False)
    shelved = alarm(state=AlarmState.SHLVD, holds=False)
    level = {"rule": "water_level", "kind": "water_level", "point": "level", "value": 0.43, "holds": False}
    assert [value_now(ZH, row) for row in (returned, ended, shelved)] == ["已恢复未确认", "已恢复正常", "已恢复正常"]
    assert value_now(ZH, alarm(state=AlarmState.RTNUN, **level)) == "0.43 m，已恢复未确认"
    assert value_now(EN, alarm(state=AlarmState.NORM, **level)) == "0.43 m, back to normal"


def test_the_page_says_how_it_is_now_by_the_device_and_how_it_was_at_the_alarm():
    level = alarm(rule="water_level", kind="water_level", point="level", value=0.43)
    risen = report(ZH, level, device(1, "water_level", [now("level", 0.61)]), [], [])
    assert (risen.now, risen.at_alarm, risen.is_known) == ("0.61 m", "0.43 m", True)
    silent = report(ZH, alarm(stale=True), device(1, "smoke_detector", [now("smoke", "clear", Quality.STALE)]), [], [])
    assert (silent.now, silent.is_known) == ("报警，状态未知", False)
    assert report(ZH, alarm(), None, [], []).now == "报警"
