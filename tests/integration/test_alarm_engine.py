"""What the engine makes of what is seen and of what people do, on one server: PostgreSQL alone."""

import asyncio
import shutil
from collections.abc import AsyncIterator, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from uuid import uuid4

import asyncpg
import pytest

from cloud.alarms.engine import NoSuchAlarmError, NotNowError, Observation
from cloud.alarms.retire import RulesInForce
from cloud.alarms.rules import Rule, stored
from cloud.alarms.rules.memory import Seen
from cloud.alarms.rules.model import body_of
from cloud.alarms.rules.stored import InForce
from cloud.store import Connection, gateways, migrate, people, rules
from cloud.store import Database as Store
from cloud.store.alarms import Hold, Moved, Subject
from cloud.store.due import keep_up
from contract.columns import Row
from contract.errors import Retryable
from contract.kinds import Lane
from contract.messages import Event, Quality
from tests.contract.conftest import Estate, estate_of, make_estate
from tests.support.alarm_cloud import Cloud, lock, mono, smoky
from tests.support.alarm_rules import book_of, forced_rule, heat_rule, lock_rule, smoke_rule
from tests.support.blocks import body, inventory, position
from tests.support.servers import Database
from tests.support.waiting import eventually


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


async def test_a_rule_of_an_area_or_of_some_devices_looks_there_only(estate: Estate) -> None:
    async with estate.store.transaction() as connection:
        other = await people.put_area(connection, None, "estate", "东苑小区", "Asia/Shanghai")
    here, there = smoke_rule("here", areas=[estate.area]), smoke_rule("there", areas=[other])
    cloud = await Cloud(estate, here, there, heat_rule("hot_here", areas=[estate.area])).begin()
    ((first,),) = await estate.rows("SELECT id FROM device WHERE key = 'smoke-0'")
    cloud.engine.take(book_of(*cloud.engine.book.rules, smoke_rule("first", devices=[first])), {})
    await cloud.send(smoky("smoke"), smoky("smoke", device="smoke-1"))
    await cloud.read(60.0)
    found = sorted((alarm.rule, alarm.device == first) for alarm in await cloud.active())
    assert found == [("first", True), ("here", False), ("here", True), ("hot_here", True)]


async def test_lessons_15_transactions_at_the_same_moment_make_one_alarm(estate: Estate) -> None:
    """Both messages of one fire, and what several boxes say of one place."""
    cloud = await Cloud(estate, smoke_rule()).begin()
    ((series,),) = await estate.rows(
        "SELECT series.id FROM series JOIN device ON device.id = device WHERE key = 'smoke-0' AND point = 'smoke'"
    )
    sources = (f"series:{series}", f"place:{estate.area}/3/2")

    async def see(source: str) -> str:
        subject = Subject(source, "smoke_detector", "smoke", estate.area, (estate.area,), "UTC", estate.gateway)
        try:
            async with estate.store.transaction() as connection:
                await cloud.engine.observe(connection, [Observation(subject, Seen(cloud.now, "smoke"))], now=cloud.now)
        except Retryable:
            return "again"
        return "done"

    for source in sources:
        came = await asyncio.gather(*(see(source) for _ in range(6)))
        assert "done" in came
        assert source.startswith("series") or set(came) == {"done"}  # what no cursor keeps apart waits in line
    rows = await estate.rows("SELECT source, count(*) FROM alarm GROUP BY 1 ORDER BY 1")
    assert rows == [(sources[1], 1), (sources[0], 1)]
    assert await estate.rows("SELECT count(*) FROM alarm_transition WHERE event = 'raise'") == [(2,)]
    assert len(cloud.told) >= 2


async def test_a_guard_does_not_wait_for_a_rule_nor_a_rule_for_a_guard_in_a_circle(estate: Estate) -> None:
    """Boxes, timers and people at the same alarms, each in the same order of locks."""
    cloud = await Cloud(estate, smoke_rule(), heat_rule("hot", off_delay_s=0.01)).begin()

    async def flap(n: int) -> None:
        await cloud.send(smoky("smoke", n), smoky("clear", n + 0.5))

    async def read(n: int) -> None:
        await cloud.read(60.0, 20.0, at_s=2 * n)

    async def acknowledge() -> None:
        for alarm in await cloud.active():
            await cloud.act("acknowledge", alarm.id)

    async def tick() -> None:
        async with estate.store.transaction() as connection:
            await cloud.timers.due_conditions(connection, 10, cloud.now)
        async with estate.store.transaction() as connection:
            await cloud.timers.due_alarms(connection, 10, cloud.now)

    for n in range(15):
        cloud.now += timedelta(seconds=2)
        await asyncio.gather(flap(2 * n), read(n), acknowledge(), tick(), tick())  # nobody is sent away
    ended = await estate.rows("SELECT count(*) FROM alarm WHERE rule = 'hot' AND state = 'NORM'")
    assert ended[0][0] > 0


async def test_alarms_of_the_release_before_can_clear(database_plain: Database, tmp_path: Path) -> None:
    for file in migrate.FOLDER.glob("000[1-8]_*.sql"):
        shutil.copy(file, tmp_path)
    connection = await asyncpg.connect(database_plain.url)
    try:
        await migrate.migrate(connection, "plain", tmp_path)
        await connection.execute(_OLD_ALARM)
    finally:
        await connection.close()
    async with Store.open(database_plain.url, 4) as store:
        ((area, gateway, person),) = await estate_of(store, 0, uuid4(), 0).rows(
            "SELECT area.id, gateway.id, person.id FROM area, gateway, person"
        )
        cloud = Cloud(estate_of(store, area, gateway, person), smoke_rule())
        row = await cloud.the()
        assert (row.state, row.holds, row.source, row.gateway) == ("UNACK", True, "series:1", gateway)
        await cloud.begin()
        await cloud.send(smoky("clear", 1))
        assert (await cloud.the()).state == "RTNUN"


_OLD_ALARM = """
WITH a AS (
    INSERT INTO area (level, name, path) VALUES ('estate', 'x', '/1/') RETURNING id
), p AS (
    INSERT INTO person (login, name, password_hash) VALUES ('wang', '王芳', '-')
), g AS (
    INSERT INTO gateway (estate, public_key, hostname, version)
    SELECT id, decode(repeat('00', 32), 'hex'), 'box', '0' FROM a RETURNING id, estate
), d AS (
    INSERT INTO device (gateway, estate, key, name, kind, profile, bus)
    SELECT id, estate, 'smoke-0', 'd', 'smoke_detector', 't', 'b' FROM g RETURNING id, estate
), s AS (
    INSERT INTO series (device, point, lane, stale_after_s) SELECT id, 'smoke', 'urgent', 750 FROM d RETURNING id
)
INSERT INTO alarm (rule, series, device, estate, priority, state, value, raised_at)
SELECT 'smoke', s.id, d.id, d.estate, 'critical', 'UNACK', 'smoke', now() - INTERVAL '1 day' FROM s, d
"""


async def test_an_alarm_of_a_device_that_the_box_names_no_more_ends(estate: Estate) -> None:
    cloud = await Cloud(estate, smoke_rule(), smoke_rule("slow", on_delay_s=60.0)).begin()
    await cloud.send(smoky("smoke"), smoky("smoke", device="smoke-1"))
    await cloud.send(inventory(detectors=1))
    alarms = {(alarm.rule, alarm.device_name) for alarm in await cloud.active()}
    assert alarms == {("smoke", "烟感0")}
    assert await cloud.remembered() == 2
    assert ("device removed",) in await estate.rows("SELECT event FROM alarm_transition")


async def test_lessons_20_a_restart_ends_no_shelf(estate: Estate) -> None:
    before = await Cloud(estate, lock_rule()).begin()
    await before.send(lock("unlocked"))
    alarm = (await before.the()).id
    await before.act("shelve", alarm, before.after(600), "locksmith")
    after = Cloud(estate, lock_rule())  # a new process knows what the database knows
    after.now = before.now
    await after.wait(599)
    assert ((await after.the()).state, after.told) == ("SHLVD", [])
    await after.wait(2)
    assert ((await after.the()).state, after.told) == ("UNACK", [alarm])


async def test_who_keeps_up_goes_on_after_the_database_was_away_and_after_mistakes(estate: Estate) -> None:
    came: list[int] = []

    async def due(connection: Connection, limit: int) -> int:
        came.append(limit)
        if len(came) == 1:
            raise Retryable("away")
        if len(came) == 2:
            raise ZeroDivisionError
        return 1 if len(came) < 5 else 0

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("cloud.store.due._AGAIN_S", 0.01)
        patch.setattr("cloud.store.due._BROKEN_S", 0.01)
        task = asyncio.create_task(keep_up(due, estate.store, "test", at_once=7, every_s=0.01))
        await eventually(lambda: len(came) >= 7 or task.done())
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    assert set(came) == {7}


async def test_a_delay_that_was_made_longer_meanwhile_runs_out_by_the_new_one(estate: Estate) -> None:
    cloud = await Cloud(estate, lock_rule(on_delay_s=10.0)).begin()
    await cloud.send(lock("unlocked"))
    cloud.engine.take(book_of(lock_rule(on_delay_s=30.0)), {})
    await cloud.wait(11)
    assert (await cloud.active(), await cloud.remembered()) == ([], 1)
    for _ in range(21):
        await cloud.wait(1)
    assert (await cloud.the()).raised_at == cloud.start + timedelta(seconds=30)
