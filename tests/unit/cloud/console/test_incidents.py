"""Incidents and mobilisation as pages: who may press what, what is asked first, and what stands on the timeline."""

import re
from datetime import timedelta

import msgspec
import pytest

from cloud.console.incident.view import timeline
from cloud.console.incidents.data import Outcome, RollAnswer, Step
from cloud.console.incidents.view import incident_line, next_act
from cloud.incidents.machine import Act, State
from tests.support.console_preview import PEOPLE, SPACE, uuid5
from tests.unit.cloud.console.http import HTMX, browser, get, post, token
from tests.unit.cloud.console.test_words import EN, NOW, ZH

FIRE, WATER, LIFT, GATE = (uuid5(SPACE, f"i-{name}") for name in ("fire", "water", "lift", "gate"))
SMOKE = uuid5(SPACE, "smoke")
PAGES = ["/incidents", f"/incidents/{FIRE}", f"/incidents/{WATER}", f"/incidents/{GATE}", "/incidents/new",
         "/mobilise", "/mobilise/1/evacuate"]  # fmt: skip
FORM = {"estate": "1", "kind": "water", "words": "楼顶漏水", "building": "5", "priority": "high"}


async def mobilised(console, **more):
    return (await console.estate.mobilise(PEOPLE["operator"], 1, "evacuate", **({"drill": False} | more))).id


@pytest.mark.parametrize("path", PAGES)
async def test_each_page_is_whole_and_strict(console, path):
    async with browser(console) as session:
        page = await get(session, path)
    assert page.status == 200
    assert not re.search(r"<script(?![^>]*\bsrc=)|\sstyle=|\son\w+=|<style", page.text)
    assert page.text.rstrip().endswith("</html>")


async def test_the_live_parts_are_parts(console):
    roll = await mobilised(console)
    async with browser(console) as session:
        for path in ("/incidents/list", f"/incidents/{FIRE}/report", f"/mobilisations/{roll}/live"):
            part = await get(session, path, headers=HTMX)
            assert part.status == 200
            assert "<html" not in part.text


async def test_an_auditor_looks_and_a_worker_leads_nobody(console):
    roll = await mobilised(console)
    async with browser(console, "auditor") as auditor, browser(console, "worker") as worker:
        for path in ("/incidents", f"/incidents/{FIRE}"):
            assert (await get(auditor, path)).status == 200
        assert (await get(auditor, "/incidents/new")).status == 403
        assert (await get(worker, "/incidents/new")).status == 200
        for session in (auditor, worker):
            csrf = await token(session)
            assert (await get(session, "/mobilise")).status == 403
            assert (await post(session, "/mobilise/1/evacuate", csrf, data={"mode": "real"})).status == 403
            assert (await post(session, f"/mobilisations/{roll}/end", csrf)).status == 403
            for act in (Act.DISPATCH, Act.CANCEL, Act.REOPEN, Act.REVIEW):
                assert (await post(session, f"/incidents/{WATER}/do/{act}", csrf)).status == 403
        assert (await post(auditor, f"/incidents/{FIRE}/do/accept", await token(auditor))).status == 403
        assert (await post(auditor, f"/incidents/{WATER}/caller", await token(auditor))).status == 403
    assert console.estate.looks == []
    assert console.estate.incident_rows[WATER].row.state is State.REPORTED


async def test_a_forged_step_does_nothing(console):
    async with browser(console) as session:
        await token(session)
        assert (await post(session, f"/incidents/{WATER}/do/dispatch", "guess")).status == 403
        assert (await post(session, "/mobilise/1/evacuate", "guess", data={"mode": "real"})).status == 403
    assert console.estate.incident_rows[WATER].row.state is State.REPORTED
    assert console.estate.mobilised == {}


async def test_one_press_sends_the_first_choice_and_the_worker_goes_on(console):
    async with browser(console) as guard, browser(console, "worker") as worker:
        page = await get(guard, f"/incidents/{WATER}")
        assert "派 赵强 去" in page.text
        sent = await post(guard, f"/incidents/{WATER}/do/dispatch", await token(guard), data={"back": "/incidents"})
        assert (sent.status, sent.headers["Location"]) == (303, "/incidents")
        mine = await get(worker, "/incidents")
        assert f'action="/incidents/{WATER}/do/accept"' in mine.text
        assert f'action="/incidents/{LIFT}/do/arrive"' not in mine.text  # another has that one
        csrf = await token(worker)
        for act in ("accept", "arrive"):
            pressed = await post(worker, f"/incidents/{WATER}/do/{act}", headers=HTMX | {"X-CSRF-Token": csrf})
            assert pressed.status == 204
            assert "anju:incidents" in pressed.headers["HX-Trigger"]
        assert "anju:say" in pressed.headers["HX-Trigger"]
        asked = await post(worker, f"/incidents/{WATER}/do/resolve", headers=HTMX | {"X-CSRF-Token": csrf})
        assert console.estate.incident_rows[WATER].row.state is State.ARRIVED
        assert "anju:say" in asked.headers["HX-Trigger"]
        await post(worker, f"/incidents/{WATER}/do/resolve", csrf, data={"label": "real", "why": "关了阀门"})
    row = console.estate.incident_rows[WATER].row
    assert (row.state, row.label) == (State.RESOLVED, "real")


async def test_who_is_late_can_be_replaced_with_one_press(console):
    async with browser(console) as guard:
        page = await get(guard, f"/incidents/{FIRE}")
    assert "接单已超时" in page.text
    assert "改派 王敏 去" in page.text
    assert "赵强 已出发" in page.text  # noted by telephone


async def test_a_second_press_says_that_somebody_was_quicker(console):
    async with browser(console) as session:
        csrf = await token(session)
        for _ in range(2):
            answer = await post(session, f"/incidents/{FIRE}/do/accept", headers=HTMX | {"X-CSRF-Token": csrf})
    assert answer.status == 204
    assert "\\u522b\\u4eba" in answer.headers["HX-Trigger"]


async def test_a_caller_s_number_is_shown_after_a_press_alone_and_the_look_is_kept(console):
    async with browser(console) as session:
        for path in ("/incidents", f"/incidents/{WATER}", f"/incidents/{WATER}/report"):
            assert "0013 8000" not in (await get(session, path)).text
        assert console.estate.looks == []
        shown = await post(session, f"/incidents/{WATER}/caller", await token(session))
    assert "138 0013 8000" in shown.text
    assert shown.headers["Cache-Control"] == "no-store"
    assert console.estate.looks == [WATER]


async def test_a_report_becomes_an_incident_and_keeps_what_was_typed_where_words_are_missing(console):
    async with browser(console, "worker") as session:
        form = re.search(r'name="form_id" value="([^"]+)"', (await get(session, "/incidents/new")).text)[1]
        csrf = await token(session)
        again = await post(session, "/incidents/new", csrf, data=FORM | {"form_id": form, "words": " "})
        assert again.status == 200
        assert f'value="{form}"' in again.text
        assert 'name="building" maxlength="100" autocomplete="off" value="5"' in again.text
        sent = await post(session, "/incidents/new", csrf, data=FORM | {"form_id": form})
    assert (sent.status, sent.headers["Location"]) == (303, f"/incidents/{form}")


async def test_an_alarm_s_page_sends_somebody_and_a_second_press_finds_the_incident(console):
    held = uuid5(SPACE, "held")
    async with browser(console) as session:
        assert f'action="/alarms/{SMOKE}/incident"' in (await get(session, f"/alarms/{SMOKE}")).text
        csrf = await token(session)
        known = await post(session, f"/alarms/{SMOKE}/incident", csrf, data={"send": "1"})
        assert known.headers["Location"] == f"/incidents/{FIRE}"
        made = [await post(session, f"/alarms/{held}/incident", csrf, data={"send": "1"}) for _ in range(2)]
    assert made[0].headers["Location"] == made[1].headers["Location"]
    new = next(found for found in console.estate.incident_rows.values() if held in found.alarms)
    assert new.row.state is State.DISPATCHED


async def test_mobilising_asks_once_and_counts_the_answers(console):
    async with browser(console) as guard, browser(console, "worker") as worker:
        question = await get(guard, f"/mobilise/1/evacuate?incident={FIRE}")
        assert console.estate.mobilised == {}
        assert "立即动员" in question.text
        csrf = await token(guard)
        assert (await post(guard, "/mobilise/1/evacuate", csrf)).status in {400, 404, 422}
        started = await post(guard, "/mobilise/1/evacuate", csrf, data={"mode": "real", "incident": str(FIRE)})
        where = started.headers["Location"]
        page = await get(worker, where)
        assert 'name="answer" value="coming"' in page.text
        assert "结束动员" not in page.text.split('<section class="end" hidden')[0]
        await post(worker, f"{where}/answer", await token(worker), data={"called": "4", "answer": "coming"})
        theirs = {"called": "7", "answer": "there"}
        assert (await post(worker, f"{where}/answer", await token(worker), data=theirs)).status == 404
        await post(guard, f"{where}/answer", csrf, data=theirs)
        counted = await get(guard, where)
        assert re.search(r'class="coming"><b>1</b>', counted.text)
        assert re.search(r'class="there"><b>1</b>', counted.text)
        assert re.search(r'class="none"><b>3</b>', counted.text)
        assert "已动员：火灾疏散" in (await get(guard, f"/incidents/{FIRE}")).text
        await post(guard, f"{where}/end", csrf)
        late = await post(worker, f"{where}/answer", data={"called": "4", "answer": "there"},
                          headers=HTMX | {"X-CSRF-Token": await token(worker)})  # fmt: skip
    assert late.status == 204
    (found,) = console.estate.mobilised.values()
    assert {one.name: one.answer for one in found.roll}["赵强"] is RollAnswer.COMING


async def test_a_drill_is_marked_as_one(console):
    roll = await mobilised(console, drill=True)
    async with browser(console) as session:
        page = await get(session, f"/mobilisations/{roll}")
        listed = await get(session, "/incidents")
    assert "演练" in page.text
    assert "演练" in listed.text


def test_the_timeline_holds_each_step_against_its_limit():
    at = [NOW - timedelta(seconds=s) for s in (1000, 970, 700, 690)]
    steps = (
        Step(at[0], "report", State.REPORTED, State.REPORTED, "王敏", limit_s=60, told=("李强",)),
        Step(at[1], Act.DISPATCH, State.REPORTED, State.DISPATCHED, "王敏", "赵强", 120),
        Step(at[2], "escalate", State.DISPATCHED, State.DISPATCHED, None, "赵强", None, ("李强",), "guard"),
        Step(at[3], Act.ACCEPT, State.DISPATCHED, State.ACCEPTED, "赵强", "赵强", 600),
    )
    lines = timeline(EN, steps)
    assert [line.what for line in lines] == ["Accepted", "Late: told the next one", "Sent", "Reported"]
    assert [(line.took, line.is_late) for line in lines] == [
        ("after 4 min 40 s of 2 min", True), ("", True), ("after 30 s of 1 min", False), ("", False),
    ]  # fmt: skip
    assert lines[1].why == "operator on duty, told: 李强"
    assert timeline(ZH, steps)[2].took == "用时 30秒，限 1 分钟"


async def test_the_one_button_is_the_next_step_of_who_has_it(console):
    found = {row.number: row for row in await console.estate.active_incidents(PEOPLE["operator"], 10)}
    assert {number: next_act(row) for number, row in found.items()} == {
        41: None, 42: Act.DISPATCH, 40: Act.ARRIVE, 38: None,
    }  # fmt: skip
    manager = {row.number: next_act(row) for row in await console.estate.active_incidents(PEOPLE["manager"], 10)}
    assert manager[38] is Act.REVIEW
    worker = {row.number: next_act(row) for row in await console.estate.active_incidents(PEOPLE["worker"], 10)}
    assert worker[42] is Act.ACCEPT  # who may not send somebody may go
    late = msgspec.structs.replace(found[40], changed_at=NOW - timedelta(seconds=700))
    assert incident_line(EN, late).limit == "to arrive: late by 1 min 40 s"
    assert incident_line(EN, late).is_late


async def test_nothing_is_found_where_nothing_is(console):
    none = uuid5(SPACE, "nothing")
    async with browser(console) as session:
        csrf = await token(session)
        for path in (f"/incidents/{none}", f"/mobilisations/{none}", "/mobilise/1/nothing", "/incidents/x"):
            assert (await get(session, path)).status == 404
        for path in (f"/incidents/{none}/do/accept", f"/incidents/{none}/caller", f"/incidents/{none}/comment"):
            assert (await post(session, path, csrf, data={"text": "x"})).status == 404
        assert (await post(session, f"/incidents/{FIRE}/do/dance", csrf)).status == 422
    assert (await console.estate.do(PEOPLE["operator"], none, Act.ACCEPT)).outcome is Outcome.MISSING
