"""One suite over every tier: alarms as people see them, from what boxes say and what time brings."""

import time
from datetime import UTC, datetime, timedelta

import pytest

from cloud.alarms.engine import NotNowError, Observation
from cloud.alarms.rules.memory import Seen
from cloud.ingest.ingest import Ingest
from cloud.store import lifecycle, people
from cloud.store.alarms import Hold, Subject
from tests.contract.conftest import Estate
from tests.support.alarm_cloud import LI, Cloud, lock, smoky
from tests.support.alarm_rules import heat_rule, lock_rule, smoke_rule
from tests.support.blocks import inventory


async def test_what_worsens_wakes_whoever_acknowledged_the_milder_thing(estate: Estate) -> None:
    cloud = await Cloud(estate, heat_rule("hot", 50.0, 70.0)).begin()
    await cloud.read(55.0)
    alarm = await cloud.the()
    assert (alarm.state, alarm.priority, alarm.stage, alarm.value, alarm.point) == (
        "UNACK", "medium", 1, "55", "temperature",
    )  # fmt: skip
    await cloud.act("acknowledge", alarm.id)
    await cloud.read(75.0, at_s=1)
    alarm = await cloud.the()
    assert (alarm.state, alarm.priority, alarm.stage, alarm.acked_by) == ("UNACK", "high", 2, None)
    assert cloud.told == [alarm.id, alarm.id]
    await cloud.act("acknowledge", alarm.id)
    await cloud.read(60.0, at_s=2)
    alarm = await cloud.the()
    assert (alarm.state, alarm.priority, alarm.stage) == ("ACKED", "medium", 1)
    await cloud.read(20.0, at_s=3)
    assert await cloud.active() == []
    assert [event for event, _ in await cloud.history(alarm.id)] == [
        "raise", "acknowledge", "worsen", "acknowledge", "lessen", "clear",
    ]  # fmt: skip
    assert await cloud.remembered() == 0


async def test_lessons_21_who_acknowledged_by_accident_takes_it_back_within_a_minute(estate: Estate) -> None:
    cloud = await Cloud(estate, smoke_rule()).begin()
    await cloud.send(smoky("smoke"))
    alarm = (await cloud.the()).id
    with pytest.raises(NotNowError, match="not acknowledged"):
        await cloud.act("undo_acknowledge", alarm)
    await cloud.act("acknowledge", alarm)
    async with estate.store.transaction() as connection:
        other = await people.put(connection, "li", LI, "-", None)
    with pytest.raises(NotNowError, match="somebody else"):
        await cloud.act("undo_acknowledge", alarm, person=other)
    cloud.now += timedelta(seconds=59)
    await cloud.act("undo_acknowledge", alarm)
    row = await cloud.the()
    assert (row.state, row.acked_by, row.acked_at) == ("UNACK", None, None)
    assert cloud.told == [alarm, alarm]
    await cloud.act("acknowledge", alarm)
    cloud.now += timedelta(seconds=61)
    with pytest.raises(NotNowError, match="more than a minute"):
        await cloud.act("undo_acknowledge", alarm)
    assert ("undo acknowledge",) in await estate.rows("SELECT action FROM audit")


async def test_lessons_21_an_acknowledgement_that_ended_the_alarm_is_taken_back_too(estate: Estate) -> None:
    cloud = await Cloud(estate, smoke_rule()).begin()
    await cloud.send(smoky("smoke"), smoky("clear", 1))
    alarm = (await cloud.the()).id
    await cloud.act("acknowledge", alarm)
    assert await cloud.active() == []
    await cloud.act("undo_acknowledge", alarm)
    row = await cloud.the()
    assert (row.state, row.ended_at) == ("RTNUN", None)
    await cloud.act("acknowledge", alarm)
    await cloud.send(smoky("smoke", 5))
    with pytest.raises(NotNowError, match="come again"):  # two active alarms of one source there are not
        await cloud.act("undo_acknowledge", alarm)


async def test_lessons_19_a_shelf_says_that_it_ends_and_ends_by_itself(estate: Estate) -> None:
    cloud = await Cloud(estate, lock_rule()).begin()
    await cloud.send(lock("unlocked"))
    alarm = (await cloud.the()).id
    assert await cloud.act("shelve", alarm, cloud.after(3600), "the locksmith is here")
    row = await cloud.the()
    assert (row.state, row.hold_why, row.held_by, row.hold_until) == (
        "SHLVD", "the locksmith is here", "王芳", cloud.after(3600),
    )  # fmt: skip
    await cloud.wait(3600 - 301)
    assert cloud.ending == []
    await cloud.wait(2)
    assert (cloud.ending, (await cloud.the()).state, cloud.told) == ([alarm], "SHLVD", [alarm])
    await cloud.wait(298)
    assert (await cloud.the()).state == "SHLVD"
    await cloud.wait(1.1)
    row = await cloud.the()
    assert (row.state, row.hold_until, row.hold_why) == ("UNACK", None, "")
    assert (cloud.told, cloud.ending) == ([alarm, alarm], [alarm])
    assert [event for event, _ in await cloud.history(alarm)] == ["raise", "shelve", "shelf ends soon", "unshelve"]


async def test_a_delay_runs_out_to_the_moment_and_never_for_what_was_short(estate: Estate) -> None:
    cloud = await Cloud(estate, lock_rule(on_delay_s=30.0)).begin()
    await cloud.send(lock("unlocked"))
    await cloud.wait(29.9)
    assert await cloud.active() == []
    await cloud.send(lock("locked", 29.9))
    await cloud.wait(60)
    assert (await cloud.active(), await cloud.remembered()) == ([], 0)
    await cloud.send(lock("unlocked", 60))
    await cloud.wait(0.2)
    alarm = await cloud.the()
    assert alarm.raised_at == cloud.start + timedelta(seconds=90)
    assert cloud.told == [alarm.id]


async def test_what_is_held_from_the_start_is_kept_from_people_and_comes_back(estate: Estate) -> None:
    cloud = await Cloud(estate, lock_rule(), smoke_rule()).begin()
    cloud.holds = {
        "unlocked": Hold("OOSRV", cloud.after(60), "maintenance"),
        "smoke": Hold("OOSRV", cloud.after(60), "maintenance"),
    }
    await cloud.send(lock("unlocked"), smoky("smoke"))
    by_rule = {alarm.rule: alarm for alarm in await cloud.active()}
    assert {rule: alarm.state for rule, alarm in by_rule.items()} == {"unlocked": "OOSRV", "smoke": "UNACK"}
    assert cloud.told == [by_rule["smoke"].id]  # what is about life is never out of service
    cloud.holds = {}
    await cloud.wait(61)
    assert {alarm.state for alarm in await cloud.active()} == {"UNACK"}
    assert cloud.told == [by_rule["smoke"].id, by_rule["unlocked"].id]


async def test_old_readings_that_are_over_are_history_and_what_holds_is_told_once_the_box_has_caught_up(
    estate: Estate,
) -> None:
    cloud = await Cloud(estate, heat_rule()).begin()
    cloud.now += timedelta(hours=2)
    await cloud.read(20.0, 60.0, 61.0, 20.0)
    (row,) = await estate.rows("SELECT state, late, value, raised_at FROM alarm")
    assert row == ("NORM", True, "60", cloud.start + timedelta(seconds=1))
    await cloud.read(70.0, at_s=600)
    assert (await cloud.active(), cloud.told) == ([], [])
    await estate.rows("UPDATE stream_cursor SET moved_at = $1", cloud.after(25))  # it sends and sends
    await cloud.wait(31)
    assert (await cloud.active(), cloud.told) == ([], [])
    await cloud.read(71.0, at_s=7230)
    await cloud.wait(31)
    alarm = await cloud.the()
    assert (cloud.told, alarm.raised_at) == ([alarm.id], cloud.start + timedelta(seconds=600))


async def test_a_reading_that_is_older_than_the_newest_moves_nothing(estate: Estate) -> None:
    cloud = await Cloud(estate, heat_rule()).begin()
    await cloud.read(20.0, at_s=10)
    await cloud.read(90.0, at_s=5)
    assert (await cloud.active(), await cloud.remembered()) == ([], 0)
    await cloud.read(90.0, at_s=11)
    assert (await cloud.the()).value == "90"


async def test_a_thousand_changes_of_one_request_are_a_handful_of_statements(estate: Estate) -> None:
    cloud = await Cloud(estate, smoke_rule()).begin()
    await cloud.send(inventory(detectors=300))
    said: list[str] = []
    evaluate = cloud.engine.evaluate

    async def counted(connection, changes):
        def note(record) -> None:
            if record.query.startswith("--"):  # else the library asks what a type is, once
                said.append(record.query.splitlines()[0])

        connection.add_query_logger(note)
        try:
            return await evaluate(connection, changes, now=cloud.now)
        finally:
            connection.remove_query_logger(note)

    cloud.ingest = Ingest(estate.store, counted, estate.commands.answer)
    await cloud.send(*(smoky("smoke", device=f"smoke-{n}") for n in range(300)))
    assert len(await cloud.active()) == 300
    assert len(said) <= 8, said
    assert len(cloud.told) == 300


async def test_the_database_takes_no_second_active_alarm_of_a_rule_and_source(estate: Estate) -> None:
    cloud = await Cloud(estate, smoke_rule()).begin()
    await cloud.send(smoky("smoke"))
    with pytest.raises(Exception, match="alarm_active"):
        await estate.rows(
            "INSERT INTO alarm (rule, source, estate, priority, state, holds, value, raised_at)"
            " SELECT rule, source, estate, priority, state, holds, value, raised_at FROM alarm"
        )


async def test_a_condition_of_a_place_is_one_for_all_boxes(estate: Estate) -> None:
    cloud = await Cloud(estate, smoke_rule(kinds=["smoke_detector"])).begin()
    place = Subject(f"place:{estate.area}/3/2", "smoke_detector", "smoke", estate.area, (estate.area,), "UTC")
    for word in ("clear", "smoke", "smoke", "clear"):
        async with estate.store.transaction() as connection:
            await cloud.engine.observe(connection, [Observation(place, Seen(cloud.now, word))], now=cloud.now)
        cloud.now += timedelta(seconds=1)
    row = await cloud.the()
    assert (row.state, row.source, row.device, row.kind) == ("RTNUN", place.source, None, "")
    assert await cloud.remembered() == 0


async def test_time_is_the_databases(estate: Estate) -> None:
    async with estate.store.connect() as connection:
        before = time.time()
        at = await lifecycle.time(connection, None)
        assert abs(at.timestamp() - before) < 5
        given = datetime(2020, 1, 1, tzinfo=UTC)
        assert await lifecycle.time(connection, given) == given
