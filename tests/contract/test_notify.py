"""What is promised of escalations and messages, at every tier of the store."""

from collections.abc import AsyncIterator

import pytest

from cloud.store import Database as Store
from cloud.store import notify
from tests.support.notify import REFUSED, START, Notified, ladder, make_notified
from tests.support.servers import Database


@pytest.fixture
async def scene(database: Database) -> AsyncIterator[Notified]:
    async with Store.open(database.url, min(6, database.max_connections)) as store:
        yield await make_notified(store)


async def test_row_18_it_is_escalated_until_somebody_acknowledges(scene: Notified) -> None:
    """LESSONS.md, 18: no escalation if unacknowledged."""
    await ladder(scene)
    await scene.alarm(now=START)
    assert await scene.told() == []
    seen = []
    for seconds in (0, 299, 300, 899, 900, 1799, 1800, 2100, 2700, 9999):
        await scene.due(seconds)
        seen.append([who for who, _ in await scene.told()])
    assert [len(names) for names in seen] == [1, 1, 2, 2, 3, 3, 4, 5, 6, 6]
    assert seen[-1] == ["guard", "manager", "supervisor", "guard", "manager", "supervisor"]
    assert [step for _, step in await scene.told()] == ["1.0.0", "1.0.1", "1.0.2", "1.1.0", "1.1.1", "1.1.2"]


async def test_row_20_a_storm_is_one_message_with_every_alarm_in_it(scene: Notified) -> None:
    await ladder(scene)
    alarms = await scene.alarm("low", 40) + await scene.alarm("critical", 2)
    await scene.due()
    await scene.send_all()
    (message,) = scene.papers["robot"].sent
    assert {line.id for line in message.lines} == {str(alarm) for alarm in alarms}
    assert message.title == "42 条：紧急 2、低 40"
    assert await scene.rows("SELECT outcome, lines FROM send") == [("accepted", 42)]


async def test_row_20_a_refused_message_goes_by_the_next_channel_then_to_the_next_person(scene: Notified) -> None:
    """LESSONS.md, 20: robots' limits lost alarms. Each result is kept."""
    await scene.channels("robot", "mail", "boss")
    await scene.reach(guard=["robot", "mail"], manager=["boss"])
    await scene.policy({"after_s": 0, "tell": [{"person": "guard"}]}, {"after_s": 3600, "tell": [{"role": "manager"}]})
    scene.papers["robot"].answers.append(REFUSED)
    scene.papers["mail"].answers.append(REFUSED)
    (alarm,) = await scene.alarm()
    await scene.due()
    await scene.send_all()
    assert await scene.states() == ["refused"]
    assert await scene.due() == 1  # the manager, an hour early
    await scene.send_all()
    async with scene.store.connect() as connection:
        tries = await notify.of_subject(connection, alarm)
    assert [(t.channel, t.outcome, t.code) for t in tries] == [
        ("robot", "refused", "errcode 1"),
        ("mail", "refused", "errcode 1"),
        ("boss", "accepted", ""),
    ]
    assert tries[0].reason == "there is no such group"
