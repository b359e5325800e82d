"""One suite over every tier of the store: what the cloud promises of incidents, from the report to the review."""

import asyncio
import itertools
from collections.abc import AsyncIterator
from uuid import uuid4

import asyncpg
import pytest

from cloud.incidents.incidents import NoSuchIncidentError, NotNowError, Report
from cloud.incidents.limits import LIMITS
from cloud.incidents.machine import Act
from cloud.store import Database as Store
from cloud.store import incidents, people
from cloud.store.incidents import Caller
from tests.support.incidents import Scene, after, make_scene, person
from tests.support.servers import Database


@pytest.fixture
async def each(database: Database) -> AsyncIterator[Scene]:
    """On each tier: for the tests that between them ask every query."""
    async with Store.open(database.url, 1) as store:
        yield await make_scene(store)


@pytest.fixture
async def scene(database_plain: Database) -> AsyncIterator[Scene]:
    """With connections enough for several processes."""
    async with Store.open(database_plain.url, 8) as store:
        yield await make_scene(store)


async def history(scene: Scene, incident) -> list[tuple[str, str, str, str]]:
    async with scene.store.connect() as connection:
        return [(step.act, step.to_state, step.who, step.why) for step in await incidents.steps(connection, incident)]


async def test_an_incident_goes_from_the_report_to_its_review(each: Scene) -> None:
    incident = await each.report("manager")
    assert each.told.take(each.names) == ["guard"]
    await each.act(incident, "dispatch", "guard", 20)
    (sent,) = each.told.notices
    assert (each.names[sent.person], sent.priority, sent.path) == ("worker", "critical", f"/incidents/{incident}")
    assert sent.text.zh == "派你前往：事件1 3号楼2单元7层 火情，二楼有烟"
    assert sent.text.en == "You are sent: incident 1, building 3, unit 2, floor 7: fire: 二楼有烟"
    await each.act(incident, "accept", "worker", 50)
    await each.act(incident, "arrive", "worker", 400)
    await each.act(incident, "resolve", "worker", 900, label="real", why="灭火器扑灭")
    await each.act(incident, "review", "manager", 40_000, why="及时")
    assert await history(each, incident) == [
        ("report", "reported", "manager", ""),
        ("dispatch", "dispatched", "guard", ""),
        ("accept", "accepted", "worker", ""),
        ("arrive", "arrived", "worker", ""),
        ("resolve", "resolved", "worker", "灭火器扑灭"),
        ("review", "reviewed", "manager", "及时"),
    ]
    assert await each.rows("SELECT label, due_at FROM incident") == [("real", None)]
    actions = [action for (action,) in await each.rows("SELECT action FROM audit ORDER BY id")]
    assert actions == [
        "report incident", "dispatch incident", "accept incident", "arrive incident", "resolve incident",
        "review incident",
    ]  # fmt: skip


async def test_what_is_not_answered_goes_up_to_the_street_each_at_its_second_and_once(each: Scene) -> None:
    limits = LIMITS["critical"]
    incident = await each.report("guard")
    await each.act(incident, "dispatch", "guard", 30)
    each.told.take(each.names)
    assert await each.due(30 + limits.accept_s - 0.001) == []
    for rung, login in enumerate(("guard", "manager", "community", "street"), 1):
        at = 30 + rung * limits.accept_s
        assert await each.due(at - 0.001) == []
        assert await each.due(at) == [login]
        assert await each.due(at + 0.001) == []
    top = 30 + 4 * limits.accept_s
    assert await each.due(top + limits.again_s - 0.001) == []
    assert await each.due(top + limits.again_s) == ["street"]
    told = [line for line in await history(each, incident) if line[0] == "escalate"]
    assert [why for *_, why in told] == ["guard", "manager", "community", "street", "street"]


async def test_who_answers_stops_the_ladder(scene: Scene) -> None:
    incident = await scene.report("guard")
    await scene.act(incident, "dispatch", "guard", 0)
    await scene.act(incident, "accept", "worker", 119)
    scene.told.take(scene.names)
    assert await scene.due(240) == []
    assert await scene.due(119 + LIMITS["critical"].arrive_s) == ["guard"]


async def test_an_answer_ends_the_messages_that_have_not_left(scene: Scene) -> None:
    incident = await scene.report("guard")
    await scene.act(incident, "dispatch", "guard", 0)
    async with scene.store.transaction() as connection:
        assert await scene.incidents.wanted(connection, [incident, uuid4()]) == {incident}
    await scene.act(incident, "accept", "worker", 5)
    async with scene.store.transaction() as connection:
        assert await scene.incidents.wanted(connection, [incident]) == set()
    await scene.due(5 + LIMITS["critical"].arrive_s)
    async with scene.store.transaction() as connection:
        assert await scene.incidents.wanted(connection, [incident]) == {incident}


async def test_a_rung_that_nobody_holds_is_passed_over(database_plain: Database) -> None:
    async with Store.open(database_plain.url, 1) as store:
        scene = await make_scene(store, without=("worker", "manager", "community"))
        incident = await scene.report("guard")
        await scene.act(incident, "accept", "guard", 10)
        assert await scene.due(10 + LIMITS["critical"].arrive_s) == ["street"]


async def test_with_nobody_else_the_last_one_is_told_again(database_plain: Database) -> None:
    async with Store.open(database_plain.url, 1) as store:
        scene = await make_scene(store, without=("worker", "manager", "community", "street"))
        await scene.report("guard")
        assert await scene.due(60) == ["guard"]
        assert await scene.due(60 + LIMITS["critical"].again_s) == ["guard"]


async def test_the_nearest_holder_of_a_role_is_told(scene: Scene) -> None:
    async with scene.store.transaction() as connection:
        await person(connection, "far manager", "manager", scene.areas["street"])
        scene.people["far worker"] = await person(connection, "far worker", "grid_worker", scene.areas["community"])
    await scene.report("guard")
    scene.told.take(scene.names)
    assert await scene.due(60) == ["manager"]


async def test_who_declines_is_followed_by_the_next(scene: Scene) -> None:
    async with scene.store.transaction() as connection:
        scene.people["second"] = await person(connection, "second", "grid_worker", scene.areas["grid"])
    incident = await scene.report("guard")
    await scene.act(incident, "dispatch", "guard", 1)
    assert scene.told.take(scene.names) == ["worker"]
    with pytest.raises(NotNowError, match="say why"):
        await scene.act(incident, "decline", "worker", 2)
    with pytest.raises(NotNowError, match="only who was sent"):
        await scene.act(incident, "decline", "second", 2, why="不在")
    await scene.act(incident, "decline", "worker", 3, why="在医院")
    assert scene.told.take(scene.names) == ["second"]
    await scene.act(incident, "decline", "second", 4, why="休假")
    assert scene.told.take(scene.names) == ["guard"]
    await scene.act(incident, "decline", "guard", 5, why="不能离岗")
    assert scene.told.take(scene.names) == ["manager"]
    await scene.act(incident, "decline", "manager", 6, why="在外地")
    assert await scene.rows("SELECT state, assignee FROM incident") == [("declined", None)]
    assert scene.told.take(scene.names) == ["guard"]  # has to call somebody
    with pytest.raises(NotNowError, match="nobody is there"):
        await scene.act(incident, "dispatch", "guard", 7)
    await scene.act(incident, "dispatch", "guard", 8, to=scene.people["worker"])
    assert scene.told.take(scene.names) == ["worker"]


async def test_who_has_less_to_do_is_sent_first(scene: Scene) -> None:
    async with scene.store.transaction() as connection:
        scene.people["second"] = await person(connection, "second", "grid_worker", scene.areas["grid"])
    for _ in range(2):
        await scene.act(await scene.report("guard"), "dispatch", "guard")
    assert [name for name in scene.told.take(scene.names) if name != "guard"] == ["worker", "second"]


async def test_a_person_who_may_not_respond_cannot_be_sent(scene: Scene) -> None:
    incident = await scene.report("guard")
    with pytest.raises(NotNowError):
        await scene.act(incident, "dispatch", "guard", to=scene.people["street"])


async def test_of_two_who_accept_one_has_it(scene: Scene) -> None:
    incident = await scene.report("guard")
    await scene.act(incident, "accept", "worker", 1)
    with pytest.raises(NotNowError, match="somebody was quicker") as refused:
        await scene.act(incident, "accept", "manager", 2)
    assert refused.value.state == "accepted"
    assert await scene.rows("SELECT assignee FROM incident") == [(scene.people["worker"],)]


async def test_nobody_acts_elsewhere(scene: Scene) -> None:
    incident = await scene.report("guard")
    async with scene.store.transaction() as connection:
        by = scene.by("guard")
        with pytest.raises(NoSuchIncidentError):
            await scene.incidents.act(connection, incident, Act.ACCEPT, [scene.estate + 1], by)
        with pytest.raises(NoSuchIncidentError):
            await scene.incidents.start(connection, await scene_alarm(scene, connection), [scene.estate + 1], by)
        elsewhere = Report(estate=scene.estate, kind="fire", words="x", reporter="guard")
        with pytest.raises(NoSuchIncidentError):
            await scene.incidents.report(connection, elsewhere, [scene.estate + 1], by)
        assert await incidents.get(connection, incident, [scene.estate + 1]) is None
        assert await incidents.list_active(connection, [scene.estate + 1], 10) == []


async def scene_alarm(scene: Scene, connection) -> object:
    return await connection.fetchval(
        "INSERT INTO alarm (rule, source, estate, priority, state, holds, value, raised_at)"
        " VALUES ('smoke', 'place:x', $1, 'critical', 'UNACK', true, '', now()) RETURNING id", scene.estate,
    )  # fmt: skip


async def test_an_alarm_has_one_open_incident_and_several_alarms_join_one(each: Scene) -> None:
    first, second = await each.alarm(), await each.alarm("heat")
    by = each.by("guard")
    async with each.store.transaction() as connection:
        started = await each.incidents.start(connection, first, [each.estate], by, now=after(0))
        again = await each.incidents.start(connection, first, [each.estate], by, now=after(1))
        assert (again.id, started.is_new, again.is_new) == (started.id, True, False)
        assert f"alarms:{each.estate}" in started.topics
        (near,) = await incidents.joinable(connection, second, [each.estate])
        assert near.id == started.id
        await each.incidents.join(connection, started.id, second, [each.estate], by)
        with pytest.raises(NotNowError, match="belongs to an incident"):
            await each.incidents.join(connection, started.id, second, [each.estate], by)
    await each.act(started.id, "accept", "guard", 5)
    topics = await each.act(started.id, "resolve", "guard", 6, label="false", why="做饭")
    assert sorted(each.told.labels) == sorted([(first, "false"), (second, "false")])
    assert topics == {f"incidents:{each.estate}", f"labelled:{first}", f"labelled:{second}"}
    async with each.store.transaction() as connection:  # it burns again: another incident
        other = await each.incidents.start(connection, first, [each.estate], by)
        assert other.is_new
        with pytest.raises(NotNowError, match="another incident"):
            await each.incidents.act(connection, started.id, Act.REOPEN, [each.estate], by, why="复燃")


async def test_a_label_is_asked_for_and_reopening_begins_anew(scene: Scene) -> None:
    incident = await scene.report("guard")
    await scene.act(incident, "accept", "guard", 1)
    with pytest.raises(NotNowError, match="real, false"):
        await scene.act(incident, "resolve", "guard", 2)
    await scene.act(incident, "resolve", "guard", 3, label="real")
    await scene.act(incident, "reopen", "manager", 4, why="又冒烟")
    assert scene.told.take(scene.names) == ["guard"]
    assert await scene.rows("SELECT state, assignee, due_at FROM incident") == [("reported", None, after(64))]


async def test_a_review_that_is_overdue_wakes_nobody_at_the_critical_priority(scene: Scene) -> None:
    incident = await scene.report("guard")
    await scene.act(incident, "accept", "guard", 0)
    await scene.act(incident, "resolve", "guard", 0, label="real")
    scene.told.notices.clear()
    async with scene.store.transaction() as connection:
        await scene.incidents.due(connection, 10, now=after(LIMITS["critical"].review_s))
    (notice,) = scene.told.notices
    assert (scene.names[notice.person], notice.priority) == ("manager", "low")
    assert notice.text.zh.startswith("超时 1 天未复盘")


async def test_history_is_never_rewritten(scene: Scene) -> None:
    await scene.report("guard")
    for deed in ("UPDATE incident_step SET who = 'x'", "DELETE FROM incident_step"):
        with pytest.raises(asyncpg.RaiseError, match="never changed"):
            await scene.rows(deed)


async def test_a_caller_s_number_is_nowhere_but_in_its_own_row(scene: Scene) -> None:
    words = "住户 138 0013 8000 说厨房着火，身份证 11010119900101123X"
    caller = Caller("李女士", "13800138000")
    incident = await scene.report("guard", words=words, reporter="resident", caller=caller)
    await scene.act(incident, "dispatch", "guard", 1)
    async with scene.store.transaction() as connection:
        await scene.incidents.due(connection, 10, now=after(130))
    assert len(scene.told.notices) == 2  # the guard entered it and needs not be told
    for notice in scene.told.notices:
        for said in (notice.text.zh, notice.text.en):
            assert "8000" not in said
            assert "19900101" not in said
            assert "李女士" not in said
            assert "厨房着火" in said
    ((audited,),) = await scene.rows("SELECT string_agg(detail::text, ' ') FROM audit")
    assert "13800138000" not in audited
    async with scene.store.connect() as connection:
        row = await incidents.get(connection, incident, [scene.estate])
        assert row is not None
        assert row.has_caller
        assert await incidents.caller(connection, incident) == caller


async def test_callers_of_incidents_long_over_are_forgotten(scene: Scene) -> None:
    caller = Caller("李女士", "13800138000")
    old = await scene.report("guard", caller=caller)
    await scene.act(old, "cancel", "guard", 1, why="误报")
    await scene.report("guard", 91 * 86_400, caller=Caller("", "13900139000"))
    assert await scene.rows("SELECT phone FROM incident_caller") == [("13900139000",)]


async def test_a_form_that_is_sent_twice_is_one_incident(scene: Scene) -> None:
    form = uuid4()
    assert [await scene.report("guard", id=form) for _ in range(2)] == [form, form]
    assert await scene.rows("SELECT count(*) FROM incident") == [(1,)]
    assert await scene.rows("SELECT count(*) FROM incident_step") == [(1,)]


async def test_several_processes_tell_of_each_limit_once(scene: Scene) -> None:
    many = [await scene.report("guard", n / 1000) for n in range(60)]
    scene.told.take(scene.names)

    async def process() -> int:
        handled = 0
        while True:
            async with scene.store.transaction() as connection:
                done = await scene.incidents.due(connection, 7, now=after(61))
            if not done.rows:
                return handled
            handled += done.rows

    assert sum(await asyncio.gather(*(process() for _ in range(4)))) == len(many)
    assert scene.told.take(scene.names) == ["manager"] * len(many)
    late = await scene.rows("SELECT count(*) FROM incident_step WHERE act = 'escalate' GROUP BY incident")
    assert late == [(1,)] * len(many)


async def test_after_an_outage_each_rung_has_its_time(scene: Scene) -> None:
    await scene.report("guard")
    scene.told.take(scene.names)
    told = [await scene.due(at) for at in (3600, 3600.5, 3659, 3660)]
    assert told == [["manager"], [], [], ["community"]]


async def test_an_incident_and_an_escalation_that_meet_wait_for_each_other(scene: Scene) -> None:
    """Who accepts at the last moment either stops the next one from being told, or finds it told."""
    for n, _ in enumerate(range(10)):
        incident = await scene.report("guard", n * 1000)
        scene.told.take(scene.names)

        async def look(at: float = n * 1000 + 60) -> None:
            async with scene.store.transaction() as connection:
                await scene.incidents.due(connection, 10, now=after(at))

        await asyncio.gather(scene.act(incident, "accept", "guard", n * 1000 + 60), look())
        acts = [act for act, *_ in await history(scene, incident)]
        assert acts in (["report", "accept"], ["report", "escalate", "accept"])
        assert len(scene.told.take(scene.names)) == acts.count("escalate")
        await scene.act(incident, "resolve", "guard", n * 1000 + 61, label="test")
        await scene.act(incident, "review", "manager", n * 1000 + 62)


async def test_the_list_has_the_worst_first_and_what_is_only_to_be_reviewed_last(scene: Scene) -> None:
    done = await scene.report("guard", 0)
    await scene.act(done, "accept", "guard", 1)
    await scene.act(done, "resolve", "guard", 2, label="real")
    order = [await scene.report("guard", n, priority=p) for n, p in enumerate(("low", "critical", "high"), 10)]
    over = await scene.report("guard", 20)
    await scene.act(over, "cancel", "guard", 21, why="重复")
    async with scene.store.connect() as connection:
        active = [row.id for row in await incidents.list_active(connection, [scene.estate], 10)]
        ended = [row.id for row in await incidents.list_over(connection, [scene.estate], 10)]
    assert active == [order[1], order[2], order[0], done]
    assert ended == [over]


async def test_each_act_is_written_down_with_who_and_the_limit_that_runs(scene: Scene) -> None:
    incident = await scene.report("guard")
    for act, login, more in (("dispatch", "guard", {}), ("accept", "worker", {}), ("arrive", "worker", {}),
                             ("resolve", "worker", {"label": "real"}), ("review", "manager", {})):  # fmt: skip
        await scene.act(incident, act, login, **more)
    async with scene.store.transaction() as connection:
        await scene.incidents.comment(connection, incident, "换电池", [scene.estate], scene.by("manager"))
        rows = await incidents.steps(connection, incident)
    critical = LIMITS["critical"]
    expected = [critical.dispatch_s, critical.accept_s, critical.arrive_s, critical.resolve_s, critical.review_s]
    assert [row.limit_s for row in rows] == [*expected, None, None]
    assert all(earlier.at <= later.at for earlier, later in itertools.pairwise(rows[:-1]))
    assert rows[1].told == ["worker"]
    assert rows[-1].why == "换电池"


async def test_people_who_are_disabled_are_told_nothing(scene: Scene) -> None:
    async with scene.store.transaction() as connection:
        await people.set_disabled(connection, "manager", disabled=True)
    await scene.report("guard")
    scene.told.take(scene.names)
    assert await scene.due(60) == ["community"]
