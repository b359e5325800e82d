"""What the engine makes of what is seen and of what people do, on one server: PostgreSQL alone."""

from collections.abc import AsyncIterator, Sequence
from datetime import datetime, timedelta
from uuid import uuid4

import pytest

from cloud.alarms.engine import NoSuchAlarmError, NotNowError
from cloud.alarms.retire import RulesInForce
from cloud.alarms.rules import Rule, stored
from cloud.alarms.rules.model import body_of
from cloud.alarms.rules.stored import InForce
from cloud.store import Connection, gateways, rules
from cloud.store import Database as Store
from cloud.store.alarms import Hold, Moved
from contract.columns import Row
from contract.errors import Retryable
from contract.kinds import Lane
from contract.messages import Event, Quality
from tests.contract.conftest import Estate, make_estate
from tests.support.alarm_cloud import Cloud, lock, mono, smoky
from tests.support.alarm_rules import forced_rule, heat_rule, lock_rule, smoke_rule
from tests.support.blocks import body, inventory, position
from tests.support.servers import Database


@pytest.fixture
async def estate(database_plain: Database) -> AsyncIterator[Estate]:
    async with Store.open(database_plain.url, 6) as store:
        yield await make_estate(store)


async def test_what_is_over_when_its_shelf_ends_has_ended(estate: Estate) -> None:
    cloud = await Cloud(estate, lock_rule()).begin()
    await cloud.send(lock("unlocked"))
    alarm = (await cloud.the()).id
    await cloud.act("shelve", alarm, cloud.after(600), "locksmith")
    await cloud.send(lock("locked", 1), lock("unlocked", 2), lock("locked", 3))
    assert (await cloud.the()).holds is False
    assert await cloud.act("unshelve", alarm)
    assert await cloud.active() == []
    assert cloud.told == [alarm]


async def test_what_is_about_life_is_shelved_for_15_minutes_at_most_and_never_out_of_service(estate: Estate) -> None:
    cloud = await Cloud(estate, smoke_rule()).begin()
    await cloud.send(smoky("smoke"))
    alarm = (await cloud.the()).id
    with pytest.raises(NotNowError, match="15 minutes"):
        await cloud.act("shelve", alarm, cloud.after(901), "steam")
    with pytest.raises(NotNowError, match="never taken out of service"):
        await cloud.act("take_out_of_service", alarm, cloud.after(60), "steam")
    await cloud.act("shelve", alarm, cloud.after(900), "steam")
    with pytest.raises(NotNowError, match="shelved already"):  # nor longer by shelving it on and on
        await cloud.act("shelve", alarm, cloud.after(899), "steam")
    await cloud.wait(901)
    assert (await cloud.the()).state == "UNACK"
    assert cloud.told == [alarm, alarm]


async def test_nobody_shelved_what_it_has_become(estate: Estate) -> None:
    cloud = await Cloud(estate, heat_rule("hot", 50.0, 70.0)).begin()
    await cloud.read(55.0)
    alarm = (await cloud.the()).id
    await cloud.act("shelve", alarm, cloud.after(3600), "a heater")
    await cloud.read(20.0, at_s=1)
    await cloud.read(75.0, at_s=2)
    row = await cloud.the()
    assert (row.state, row.priority, row.hold_until) == ("UNACK", "high", None)
    assert cloud.told == [alarm, alarm]


async def test_out_of_service_ends_by_itself_or_by_a_person(estate: Estate) -> None:
    cloud = await Cloud(estate, lock_rule()).begin()
    await cloud.send(lock("unlocked"))
    alarm = (await cloud.the()).id
    for bad, why in ((cloud.after(-1), "w"), (cloud.after(91 * 86400), "w"), (cloud.after(60), "  ")):
        with pytest.raises(NotNowError):
            await cloud.act("take_out_of_service", alarm, bad, why)
    await cloud.act("take_out_of_service", alarm, cloud.after(86400), "a new lock comes")
    assert not await cloud.act("acknowledge", alarm)
    await cloud.wait(86401)
    assert (await cloud.the()).state == "UNACK"
    await cloud.act("take_out_of_service", alarm, cloud.after(86400), "it does not")
    assert await cloud.act("return_to_service", alarm)
    assert (await cloud.the()).state == "UNACK"
    assert len(cloud.told) == 3


async def test_lessons_19_what_flaps_is_told_a_few_times_and_ends_once(estate: Estate) -> None:
    cloud = await Cloud(estate, smoke_rule()).begin()
    for n in range(10):
        cloud.now += timedelta(seconds=4)
        await cloud.send(smoky("smoke", 4 * n), smoky("clear", 4 * n + 2))
    alarm = await cloud.the()
    assert (alarm.state, alarm.chattering, alarm.repeats) == ("UNACK", True, 9)
    assert len(cloud.told) == 3
    await cloud.wait(57)
    assert (await cloud.the()).state == "UNACK"
    await cloud.wait(2)
    row = await cloud.the()
    assert (row.state, row.chattering) == ("RTNUN", False)
    assert [event for event, _ in await cloud.history(alarm.id)] == [
        "raise", "clear", "raise", "clear", "chattering", "raise", "clear",
    ]  # fmt: skip


async def test_what_comes_back_once_in_a_while_does_not_chatter(estate: Estate) -> None:
    cloud = await Cloud(estate, smoke_rule()).begin()
    for n in range(4):
        await cloud.send(smoky("smoke", 40 * n), smoky("clear", 40 * n + 1))
        cloud.now += timedelta(seconds=40)
    row = await cloud.the()
    assert (row.state, row.chattering, row.repeats) == ("RTNUN", False, 3)


async def test_a_second_press_wakes_whoever_acknowledged_the_first(estate: Estate) -> None:
    cloud = await Cloud(estate, forced_rule(priority="critical")).begin()
    await cloud.send(Event("door-0", "forced_open", {"by": "nobody's business"}, mono(0)))
    alarm = await cloud.the()
    assert (alarm.source.split(":")[0], alarm.point, alarm.value) == ("device", "forced_open", "")
    await cloud.act("acknowledge", alarm.id)
    cloud.now += timedelta(seconds=100)
    await cloud.send(Event("door-0", "forced_open", {}, mono(100)))
    assert (await cloud.the()).state == "UNACK"
    assert cloud.told == [alarm.id, alarm.id]
    await cloud.wait(599)
    assert (await cloud.the()).state == "UNACK"
    await cloud.wait(2)
    assert (await cloud.the()).state == "RTNUN"


async def test_what_an_event_says_of_people_is_in_no_alarm(estate: Estate) -> None:
    cloud = await Cloud(estate, forced_rule()).begin()
    await cloud.send(Event("door-0", "forced_open", {"credential": "ab12cd"}, mono(0)))
    for table in ("alarm", "alarm_transition", "condition"):
        assert "ab12cd" not in str(await estate.rows(f"SELECT to_jsonb(t)::text FROM {table} AS t"))


async def test_what_has_its_cause_elsewhere_is_beneath_it_and_comes_back(estate: Estate) -> None:
    cloud = await Cloud(estate, lock_rule(), smoke_rule()).begin()
    await cloud.send(smoky("smoke"))
    cause = (await cloud.the()).id
    cloud.holds = {"unlocked": Hold("DSUPR", None, "its gateway is silent", cause)}
    await cloud.send(lock("unlocked"))
    beneath = next(alarm for alarm in await cloud.active() if alarm.rule == "unlocked")
    assert (beneath.state, beneath.cause) == ("DSUPR", cause)
    async with estate.store.transaction() as connection:
        topics = await cloud.engine.release(connection, [beneath.id], "the gateway is back", now=cloud.now)
    assert f"alarms:{estate.area}" in topics
    assert cloud.told == [cause, beneath.id]
    async with estate.store.transaction() as connection:
        await cloud.engine.hold(connection, {beneath.id: Hold("DSUPR", None, "again", cause)}, now=cloud.now)
    await cloud.send(lock("locked", 5))
    assert [alarm.id for alarm in await cloud.active()] == [cause]


async def test_what_was_folded_beneath_its_cause_in_the_same_breath_is_told_to_nobody(estate: Estate) -> None:
    cloud = await Cloud(estate, lock_rule()).begin()

    async def fold(connection: Connection, moved: Sequence[Moved], *, now: datetime | None) -> set[str]:
        raised = {one.alarm: Hold("DSUPR", None, "folded") for one in moved if one.to_state == "UNACK"}
        return await cloud.engine.hold(connection, raised, now=now) if raised else set()

    cloud.engine.raised = fold
    await cloud.send(lock("unlocked"))
    assert ((await cloud.the()).state, cloud.told) == ("DSUPR", [])


async def test_those_who_fold_hear_of_what_was_raised_worsened_and_cleared(estate: Estate) -> None:
    cloud = await Cloud(estate, smoke_rule()).begin()
    await cloud.send(smoky("smoke"))
    await cloud.act("acknowledge", (await cloud.the()).id)
    await cloud.send(smoky("clear", 1))
    assert [(one.from_state, one.to_state, one.event, one.holds) for one in cloud.moved] == [
        ("NORM", "UNACK", "raise", True),
        ("ACKED", "NORM", "clear", False),
    ]
    subject = cloud.moved[0].subject
    assert (subject.kind, subject.point, subject.estate, subject.areas, subject.zone, subject.gateway) == (
        "smoke_detector", "smoke", estate.area, (estate.area,), "Asia/Shanghai", estate.gateway,
    )  # fmt: skip
    assert subject == cloud.moved[1].subject


async def test_a_reading_that_is_not_good_neither_raises_nor_clears(estate: Estate) -> None:
    cloud = await Cloud(estate, heat_rule()).begin()
    index = position(inventory(), "smoke-0", "temperature")
    for n, (value, quality) in enumerate([(90.0, Quality.FAULT), (float("inf"), Quality.GOOD)]):
        rows = [Row(index, mono(n), value, quality)]
        await cloud.ingest.take(estate.gateway, estate.area, Lane.BULK, body(cloud.bulk.bulk(rows)))
    assert (await cloud.active(), await cloud.remembered()) == ([], 0)


async def test_what_is_said_about_an_alarm_is_kept_and_audited(estate: Estate) -> None:
    cloud = await Cloud(estate, smoke_rule()).begin()
    await cloud.send(smoky("smoke"))
    alarm = (await cloud.the()).id
    assert await cloud.act("assign", alarm, estate.person, "王芳")
    assert not await cloud.act("assign", alarm, estate.person, "王芳")
    assert await cloud.act("comment", alarm, "cooking; on my way")
    with pytest.raises(NotNowError):
        await cloud.act("comment", alarm, " ")
    assert await cloud.act("label", alarm, "false")
    row = await cloud.the()
    assert (row.assignee, row.label) == ("王芳", "false")
    assert await estate.rows("SELECT who, text FROM alarm_comment") == [("王芳", "cooking; on my way")]
    assert [event for event, _ in await cloud.history(alarm)] == ["raise", "assign", "label"]
    acts = {action for (action,) in await estate.rows("SELECT action FROM audit")}
    assert {"assign", "comment", "label"} <= acts
    with pytest.raises(NoSuchAlarmError):
        await cloud.act("label", uuid4(), "real")
    async with estate.store.transaction() as connection:
        with pytest.raises(NoSuchAlarmError):
            await cloud.engine.comment(connection, alarm, [estate.area + 1], estate.person, "王芳", "x")


async def test_an_alarm_of_a_box_ends_with_it(estate: Estate) -> None:
    cloud = await Cloud(estate, lock_rule(), lock_rule("slow", on_delay_s=60.0)).begin()
    await cloud.send(lock("unlocked"))
    alarm = (await cloud.the()).id
    await cloud.act("shelve", alarm, cloud.after(60), "w")
    async with estate.store.transaction() as connection:
        await gateways.revoke(connection, estate.gateway, "test", "gateway revoked")
    assert (await cloud.active(), await cloud.remembered()) == ([], 0)
    await cloud.wait(120)
    assert (await cloud.active(), cloud.told) == ([], [alarm])


async def test_what_a_rule_left_behind_ends_with_it(estate: Estate) -> None:
    cloud = await Cloud(estate, lock_rule(), smoke_rule(), lock_rule("slow", on_delay_s=600.0)).begin()
    in_force = RulesInForce(estate.store, cloud.engine)

    async def put(rule: Rule, body: dict | None) -> InForce:
        async with estate.store.transaction() as connection:
            await rules.put(connection, rule.name, body, "王芳", "test", estate.person)
            return await stored.in_force(connection)

    smoky_rule, slow = smoke_rule(), lock_rule("slow", on_delay_s=600.0)
    for rule in (lock_rule(), slow, smoky_rule):
        before = await put(rule, body_of(rule))
    await cloud.send(lock("unlocked"), smoky("smoke"), smoky("smoke", device="smoke-1"))
    assert (len(await cloud.active()), await cloud.remembered()) == (3, 4)
    assert await in_force.end_removed(before, before.versions.keys(), cloud.now) == 0
    ((second,),) = await estate.rows("SELECT id FROM device WHERE key = 'smoke-1'")
    await put(smoky_rule, body_of(smoke_rule(devices=[second])))
    await put(slow, None)
    now = await put(lock_rule(), None)
    with pytest.raises(Retryable, match="changed again"):  # a process that is behind leaves them alone
        await in_force.end_removed(before, before.versions.keys(), cloud.now)
    cloud.engine.take(now.book, now.versions)
    assert await in_force.end_removed(now, {"smoke"}, cloud.now) == 2
    alarm = await cloud.the()
    assert (alarm.device, alarm.rule, await cloud.remembered()) == (second, "smoke", 1)
    ended = await estate.rows("SELECT event, to_state FROM alarm_transition WHERE to_state = 'NORM'")
    assert ended == [("rule removed", "NORM"), ("rule removed", "NORM")]
