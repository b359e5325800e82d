"""What is promised of escalations and messages, with their exceptions."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from uuid import UUID, uuid4

import pytest

from cloud.notify.channel import Result
from cloud.notify.oncall import Rotation
from cloud.store.notices import Notice, Text
from tests.support.notify import BUSY, REFUSED, START, Notified, flooded, ladder, notified, running
from tests.support.servers import Database, PlainServer

LOST = Result(accepted=False, code="time-out", again=True, uncertain=True)


@pytest.fixture(scope="module")
def database(plain_server: PlainServer) -> Iterator[Database]:
    with plain_server.database() as fresh:
        yield fresh


@pytest.fixture
async def scene(database: Database) -> AsyncIterator[Notified]:
    async with notified(database.url) as scene:
        yield scene


async def test_nobody_is_told_of_what_wants_nobody_any_more(scene: Notified) -> None:
    await ladder(scene)
    for state in ("ACKED", "NORM", "SHLVD", "DSUPR", "OOSRV"):
        (alarm,) = await scene.alarm(now=START)
        await scene.due(0)
        await scene.set_state(alarm, state)
    assert await scene.due(300) == 5
    assert await scene.due(99_999) == 0
    assert [who for who, _ in await scene.told()] == ["guard"] * 5


async def test_what_returned_unacknowledged_still_wants_somebody_if_it_is_bad(scene: Notified) -> None:
    await ladder(scene)
    for priority in ("critical", "high", "medium", "low"):
        (alarm,) = await scene.alarm(priority, now=START)
        await scene.due(0)
        await scene.set_state(alarm, "RTNUN")
    await scene.due(300)
    assert [who for who, _ in await scene.told()] == ["guard"] * 4 + ["manager"] * 2


async def test_what_wants_somebody_anew_begins_anew(scene: Notified) -> None:
    """Acknowledged, then worse: the guard hears of it again."""
    await ladder(scene)
    (alarm,) = await scene.alarm(now=START)
    await scene.due(0)
    await scene.set_state(alarm, "ACKED")
    await scene.due(300)
    await scene.set_state(alarm, "UNACK")
    async with scene.store.transaction() as connection:
        await scene.escalations.announce(connection, [alarm], now=START)
    await scene.due(400)
    assert await scene.told() == [("guard", "1.0.0"), ("guard", "2.0.0")]


async def test_the_nearest_area_with_a_policy_for_the_priority_decides(scene: Notified) -> None:
    await scene.channels("robot")
    await scene.policy({"after_s": 0, "tell": [{"channel": "robot"}]}, priorities=["critical"], area=scene.street)
    await scene.alarm("high", now=START)
    assert await scene.due(0) == 0
    await scene.alarm("critical", now=START)
    assert await scene.due(0) == 1
    assert await scene.told() == [("robot", "1.0.0")]


async def test_who_is_on_duty_is_decided_when_a_step_comes(scene: Notified) -> None:
    """The alarm is raised in one shift, its second step falls into the next."""
    await scene.channels("robot")
    await scene.reach(guard=["robot"], second=["robot"])
    await scene.schedule("gate", Rotation(people=["guard", "second"], start="2026-03-01 03:05"))
    on_duty = [{"schedule": "gate"}]
    await scene.policy({"after_s": 0, "tell": on_duty}, {"after_s": 86_400, "tell": on_duty})
    await scene.alarm(now=START)  # 03:00 on the second of March
    await scene.due(0)
    await scene.due(86_400)
    assert await scene.told() == [("guard", "1.0.0"), ("second", "1.0.1")]


async def test_a_step_that_can_reach_nobody_makes_the_next_one_come_at_once(scene: Notified) -> None:
    await ladder(scene)
    await scene.reach(supervisor=["robot"])
    await scene.alarm(now=START)
    for _ in range(3):
        await scene.due(0)
    assert await scene.told() == [("supervisor", "1.0.2")]
    await scene.execute("UPDATE person SET disabled = true")
    await scene.alarm(now=START)
    for _ in range(9):
        await scene.due(0)
    assert len(await scene.told()) == 1


async def test_a_drill_reaches_only_who_is_on_duty_and_says_that_it_is_one(scene: Notified) -> None:
    await scene.channels("robot")
    await scene.reach(guard=["robot"], manager=["robot"])
    await scene.schedule("gate", Rotation(people=["guard"], start="2026-03-01 00:00"))
    on_duty, manager = {"schedule": "gate"}, {"role": "manager"}
    await scene.policy(
        {"after_s": 0, "tell": [on_duty, manager, {"channel": "robot"}]}, {"after_s": 60, "tell": [manager]}
    )
    await scene.alarm(label="test")  # what a person says of it is no drill: everybody is told
    await scene.due()
    assert {who for who, _ in await scene.told()} == {"guard", "manager", "robot"}
    await scene.execute("DELETE FROM message")
    await scene.execute("DELETE FROM escalation")
    await scene.alarm(in_drill=True)
    await scene.due()
    await scene.execute("UPDATE escalation SET due_at = now()")
    await scene.due()
    assert await scene.told() == [("guard", "1.0.0")]
    await scene.send_all()
    assert "【演练】" in scene.papers["robot"].sent[0].title


async def test_in_a_flood_what_is_not_urgent_waits_for_more(scene: Notified) -> None:
    await ladder(scene)
    scene.escalations = flooded(scene.estate)
    await scene.alarm("medium", 3)
    await scene.due()
    ready = "SELECT count(*) FROM message WHERE ready_at > clock_timestamp() + interval '50 seconds'"
    assert await scene.rows(ready) == [(3,)]
    await scene.alarm("critical")
    await scene.due()
    await scene.send_all()
    (message,) = scene.papers["robot"].sent
    assert [line.priority for line in message.lines] == ["critical", "medium", "medium", "medium"]


async def test_notices_of_others_go_by_the_same_way_once_a_step(scene: Notified) -> None:
    await ladder(scene)
    notice = Notice(
        person=scene.people["guard"], subject="incident", id=uuid4(), priority="high", estate=scene.estate, step="1",
        text=Text("3号楼漏水\n请前往", "Leak in building 3\nGo there"), path="/incidents/7",
    )  # fmt: skip
    for _ in range(2):
        async with scene.store.transaction() as connection:
            await scene.escalations.tell(connection, [notice])
    await scene.send_all()
    (message,) = scene.papers["robot"].sent
    assert message.lines[0].text == "【高】3号楼漏水\n请前往"
    assert message.url == "https://anju.example.org/incidents/7"
    assert await scene.states() == ["accepted"]


async def test_what_a_stage_does_not_want_any_more_is_not_sent(scene: Notified) -> None:
    await ladder(scene)
    about = [uuid4(), uuid4()]
    notices = [
        Notice(person=scene.people["guard"], subject="incident", id=incident, priority="high", estate=scene.estate,
               step="1", text=Text("漏水", "Leak"))
        for incident in about
    ]  # fmt: skip
    async with scene.store.transaction() as connection:
        await scene.escalations.tell(connection, notices)

    async def wanted(_: object, ids: list[UUID]) -> set[UUID]:
        return set(ids) - {about[0]}

    await scene.send_all(scene.sender(wanted={"incident": wanted}))
    assert scene.papers["robot"].named == [str(about[1])]
    assert sorted(await scene.states()) == ["accepted", "not wanted"]


async def test_what_does_not_fit_goes_in_the_next(scene: Notified) -> None:
    await ladder(scene)
    scene.papers["robot"]._most_lines = 10
    alarms = await scene.alarm("low", 25)
    await scene.due()
    await scene.send_all()
    assert sorted(len(message.lines) for message in scene.papers["robot"].sent) == [5, 10, 10]
    assert sorted(scene.papers["robot"].named) == sorted(str(alarm) for alarm in alarms)


async def test_what_was_accepted_hastens_nothing(scene: Notified) -> None:
    await scene.channels("robot", "mail")
    await scene.reach(guard=["robot", "mail"], second=["robot"])
    await scene.policy(
        {"after_s": 0, "tell": [{"person": "guard"}, {"person": "second"}]},
        {"after_s": 3600, "tell": [{"role": "manager"}]},
    )
    scene.papers["robot"].answers.append(REFUSED)
    await scene.alarm()
    await scene.due()
    await scene.send_all()
    assert sorted(await scene.states()) == ["accepted", "refused"]  # the guard by mail, the second by nothing
    assert await scene.due() == 0


async def test_a_channel_that_wants_to_be_left_alone_is_and_what_waits_goes_by_another(scene: Notified) -> None:
    await scene.channels("robot", "mail", rate=1000)
    await scene.reach(guard=["robot", "mail"], second=["robot"])
    await scene.policy({"after_s": 0, "tell": [{"person": "guard"}, {"person": "second"}]})
    scene.papers["robot"].answers.append(BUSY)
    await scene.alarm()
    await scene.due()
    await scene.send_all(until=lambda states: sorted(states) == ["accepted", "queued"])
    (paused,) = await scene.rows("SELECT pause_why FROM channel WHERE paused_until > now() + interval '9 minutes'")
    assert paused == ("too fast",)
    await scene.alarm()
    await scene.due()
    await scene.send_all(until=lambda states: sorted(states) == ["accepted", "accepted", "queued", "queued"])
    assert len(scene.papers["robot"].sent) == 1
    await scene.execute("UPDATE channel SET paused_until = NULL")
    await scene.execute("UPDATE message SET ready_at = now() WHERE state = 'queued'")
    await scene.send_all()
    assert await scene.states() == ["accepted"] * 4


async def test_what_may_have_arrived_is_sent_again_under_its_id_as_a_repeat(scene: Notified) -> None:
    await ladder(scene)
    scene.papers["robot"].answers.append(LOST)
    alarms = await scene.alarm(count=3)
    await scene.due()
    await scene.send_all(until=lambda states: len(scene.papers["robot"].sent) == 1 and states == ["queued"] * 3)
    later = await scene.alarm()
    await scene.due()
    await scene.execute("UPDATE message SET ready_at = now()")
    await scene.send_all()
    by_id = {message.id: message for message in scene.papers["robot"].sent}
    first, *_ = scene.papers["robot"].sent
    assert by_id[first.id].repeat
    assert {line.id for line in by_id[first.id].lines} == {str(alarm) for alarm in alarms}
    (other,) = [message for message in scene.papers["robot"].sent if message.id != first.id]
    assert not other.repeat
    assert other.lines[0].id == str(later[0])


async def test_what_a_process_had_under_way_when_it_died_is_sent_again_as_a_repeat(scene: Notified) -> None:
    """The process is stopped after what it does was committed and before the request."""
    await ladder(scene)
    await scene.alarm()
    await scene.due()
    scene.papers["robot"].go_on.clear()
    async with running(scene.sender()):
        await asyncio.wait_for(scene.papers["robot"].connected.wait(), 10)
        assert await scene.states() == ["sending"]
        await scene.execute("UPDATE send SET until = now() - interval '1 second'")  # it is taken for dead
        assert await scene.sender().mend() == 1
        scene.papers["robot"].go_on.set()  # it was not: what it had belongs to another now
        await scene.settle()
    (message,) = scene.papers["robot"].sent
    assert message.repeat
    assert await scene.rows("SELECT outcome FROM send ORDER BY taken_at") == [("lost",), ("accepted",)]


async def test_what_is_acknowledged_before_the_request_is_not_sent(scene: Notified) -> None:
    """LESSONS.md, 18: pages after the acknowledgement. Of a merged message the others go on."""
    await ladder(scene)
    alarms = await scene.alarm(count=3)
    await scene.due()
    scene.papers["robot"].go_on.clear()
    async with running(scene.sender()):
        await asyncio.wait_for(scene.papers["robot"].connected.wait(), 10)
        assert await scene.acknowledge(alarms[1])
        scene.papers["robot"].go_on.set()
        await scene.settle()
    assert sorted(await scene.states()) == ["accepted", "accepted", "not wanted"]
    assert sorted(scene.papers["robot"].named) == sorted([str(alarms[0]), str(alarms[2])])
    assert sorted(await scene.rows("SELECT outcome FROM send")) == [("accepted",), ("not sent",)]


async def test_a_channel_that_cannot_be_made_is_said_and_hinders_no_other(scene: Notified) -> None:
    await scene.channels("robot", "mail")
    await scene.reach(guard=["robot"], second=["mail"])
    await scene.policy({"after_s": 0, "tell": [{"person": "guard"}, {"person": "second"}]})
    from contract.errors import ConfigError, Mistake

    make = scene.make

    def broken(row):
        if row.name == "robot":
            raise ConfigError([Mistake("channel", 0, "there is no such kind")])
        return make(row)

    scene.make = broken
    await scene.alarm()
    await scene.due()
    await scene.send_all(until=lambda states: sorted(states) == ["accepted", "queued"])
    assert len(scene.papers["mail"].sent) == 1
    assert await scene.rows("SELECT count(*) FROM channel WHERE pause_why <> ''") == [(1,)]


async def test_what_found_nobody_for_a_day_ends(scene: Notified) -> None:
    await ladder(scene)
    await scene.alarm()
    await scene.due()
    await scene.execute("UPDATE message SET created_at = now() - interval '25 hours'")
    await scene.sender().mend()
    assert await scene.states() == ["refused"]
