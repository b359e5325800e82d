"""One suite over every tier of the store: what the cloud promises of blocks, alarms and commands."""

import math
import time
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import msgspec
import pytest

from cloud.alarms.engine import NoSuchAlarmError
from cloud.alarms.timers import Timers
from cloud.ingest import checks
from cloud.ingest.refused import RefusedError
from cloud.store import Connection, alarms, boxes, commands, devices, gateways
from contract.columns import Row
from contract.errors import BlockError
from contract.kinds import Lane
from contract.messages import CommandResult, CommandStatus, Event, Quality
from contract.records import InventoryRecord, LossReceipt, StateRecord
from contract.session import NO_CURSOR, RefusalReason
from tests.contract.conftest import Estate
from tests.support.blocks import BOOT, SECOND, Chain, body, clock, inventory, position, smoke

NOW_NS = 0
AT = 1000 * SECOND


@pytest.fixture(autouse=True)
def now() -> None:
    """The box's clock is right at the beginning of each test, to the millisecond of a block."""
    global NOW_NS  # noqa: PLW0603  # read by the tests as the constant that it is to them
    NOW_NS = time.time_ns() // 1_000_000 * 1_000_000


async def send(estate: Estate, chain: Chain, *blocks: bytes):
    return await estate.ingest.take(estate.gateway, estate.area, chain.stream, body(*blocks))


async def settled(estate: Estate) -> tuple[Chain, Chain]:
    """Both chains of a box that has said what it has and what time it is."""
    urgent = Chain(Lane.URGENT)
    await send(estate, urgent, urgent.urgent(inventory(), clock(NOW_NS)))
    return urgent, Chain(Lane.BULK, inventory_id=inventory().inventory_id)


def rows(*values: float, device: str = "smoke-0", start: int = AT, quality: Quality = Quality.GOOD) -> list[Row]:
    index = position(inventory(), device, "temperature")
    return [Row(index, start + i * SECOND, value, quality) for i, value in enumerate(values)]


async def readings(estate: Estate) -> list[tuple]:
    """What has become rows, after all that landed has."""
    await estate.settler.settle_all()
    sql = "SELECT value, at, quality FROM readings ORDER BY at, value"
    return await estate.rows(sql)


async def test_readings_become_rows_with_their_own_times(estate: Estate) -> None:
    _, bulk = await settled(estate)
    reply = await send(estate, bulk, bulk.bulk(rows(20.5, 21.0)), bulk.bulk(rows(22.0, start=AT + 5 * SECOND)))
    assert reply.cursor.number == 2
    began = datetime.fromtimestamp(NOW_NS / 1e9, UTC)
    assert await readings(estate) == [
        (20.5, began, 0),
        (21.0, began + timedelta(seconds=1), 0),
        (22.0, began + timedelta(seconds=5), 0),
    ]
    assert await estate.rows("SELECT value FROM latest JOIN series ON id = series WHERE lane = 'bulk'") == [(22.0,)]


async def test_a_repeat_is_acknowledged_and_changes_nothing(estate: Estate) -> None:
    urgent, bulk = await settled(estate)
    block = bulk.bulk(rows(1.0))
    state = urgent.urgent(smoke("smoke", AT))
    for _ in range(3):
        assert (await send(estate, bulk, block)).cursor.number == 1
        assert (await send(estate, urgent, *urgent.sent)).cursor.number == 2
    assert len(await readings(estate)) == 1
    assert await estate.rows("SELECT count(*) FROM states") == [(1,)]
    assert state in urgent.sent
    assert await estate.rows("SELECT count(*) FROM alarm") == [(1,)]


async def test_a_gap_is_refused_with_the_cursor(estate: Estate) -> None:
    _, bulk = await settled(estate)
    first, _, third = bulk.bulk(rows(1.0)), bulk.bulk(rows(2.0)), bulk.bulk(rows(3.0))
    await send(estate, bulk, first)
    with pytest.raises(RefusedError) as refused:
        await send(estate, bulk, third)
    assert refused.value.refusal.reason == RefusalReason.GAP
    assert refused.value.refusal.cursor.number == 1
    await send(estate, bulk, *bulk.sent)
    assert [value for value, *_ in await readings(estate)] == [1.0, 2.0, 3.0]


async def test_another_history_is_a_fork(estate: Estate) -> None:
    _, bulk = await settled(estate)
    await send(estate, bulk, bulk.bulk(rows(1.0)))
    other = Chain(Lane.BULK, inventory_id=bulk.inventory_id)
    other.bulk(rows(9.0))
    for block in (other.sent[0], other.bulk(rows(10.0))):
        with pytest.raises(RefusedError) as refused:
            await send(estate, other, block)
        assert refused.value.refusal.reason == RefusalReason.FORK
    assert [value for value, *_ in await readings(estate)] == [1.0]


async def test_a_restored_disk_opens_a_new_epoch_and_repeats_nothing(estate: Estate) -> None:
    _, bulk = await settled(estate)
    for value in (1.0, 2.0, 3.0):
        await send(estate, bulk, bulk.bulk(rows(value)))
    restored = Chain(Lane.BULK, epoch=8, inventory_id=bulk.inventory_id)  # yesterday's blocks, then a new one
    restored.bulk(rows(2.0))
    restored.sealed_ns = bulk.sealed_ns
    new = restored.bulk(rows(4.0))
    reply = await send(estate, restored, restored.sent[0], new)
    assert (reply.cursor.epoch, reply.cursor.number) == (8, 2)
    assert sorted(value for value, *_ in await readings(estate)) == [1.0, 2.0, 3.0, 4.0]
    with pytest.raises(RefusedError) as refused:  # the other of two live boxes is told
        await send(estate, bulk, bulk.bulk(rows(5.0)))
    assert refused.value.refusal.reason == RefusalReason.CLOSED_EPOCH
    assert await estate.rows(
        "SELECT epoch, closed_at IS NULL FROM stream_epoch WHERE stream = 'bulk' ORDER BY epoch"
    ) == [
        (7, False),
        (8, True),
    ]


async def test_what_a_box_says_again_of_itself_uses_up_no_ids(estate: Estate) -> None:
    urgent, _ = await settled(estate)
    await send(estate, urgent, urgent.urgent(inventory(3)))
    sql = "SELECT device.id, key, series.id, point FROM series JOIN device ON device.id = device ORDER BY 3"
    known = await estate.rows(sql)
    for _ in range(3):
        await send(estate, urgent, urgent.urgent(inventory(2)), urgent.urgent(inventory(3)))
    assert await estate.rows(sql) == known
    assert await estate.rows("SELECT last_value FROM series_id_seq") == [(len(known),)]
    assert await estate.rows("SELECT last_value FROM device_id_seq") == [(4,)]
    await send(estate, urgent, urgent.urgent(inventory(2)))
    assert await estate.rows("SELECT key FROM device WHERE NOT active") == [("smoke-2",)]


async def test_a_box_that_names_ever_more_devices_is_told_to_stop(
    estate: Estate, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checks, "MOST_DEVICES", 4)
    urgent = Chain(Lane.URGENT)
    reply = await send(estate, urgent, urgent.urgent(inventory(4), clock(NOW_NS)))
    assert reply.quarantined == 1
    assert await estate.rows("SELECT count(*) FROM device") == [(0,)]
    await send(estate, urgent, urgent.urgent(inventory(3)))
    other = msgspec.structs.replace(inventory(3).devices[0], id="another")
    reply = await send(
        estate, urgent, urgent.urgent(InventoryRecord("西苑", (other,), ())), urgent.urgent(inventory(2))
    )
    assert reply.quarantined == 1
    assert await estate.rows("SELECT count(*), count(*) FILTER (WHERE active) FROM device") == [(4, 3)]
    assert [r for (r,) in await estate.rows("SELECT reason FROM quarantine ORDER BY id") if "5 devices" in r] != []


async def test_bulk_waits_for_clock_and_inventory(estate: Estate) -> None:
    urgent = Chain(Lane.URGENT)
    bulk = Chain(Lane.BULK, inventory_id=inventory().inventory_id)
    block = bulk.bulk(rows(1.0))
    with pytest.raises(RefusedError) as refused:
        await send(estate, bulk, block)
    assert refused.value.refusal.reason == RefusalReason.CLOCK
    assert refused.value.refusal.cursor == NO_CURSOR
    await send(estate, urgent, urgent.urgent(clock(NOW_NS)))
    with pytest.raises(RefusedError) as refused:
        await send(estate, bulk, block)
    assert refused.value.refusal.reason == RefusalReason.INVENTORY
    assert refused.value.refusal.inventory == inventory().inventory_id
    await send(estate, urgent, urgent.urgent(inventory()))
    await send(estate, bulk, block)
    assert len(await readings(estate)) == 1


async def test_what_makes_no_sense_is_set_aside_and_the_stream_goes_on(estate: Estate) -> None:
    urgent, bulk = await settled(estate)
    nonsense = [
        bulk.raw(b"\x00" * 10, 3),  # a wrong length
        bulk.bulk([Row(999, AT, 1.0, Quality.GOOD)]),  # a series that is not in the inventory
        bulk.bulk(rows(1.0, start=AT + 9_000 * SECOND)),  # a time two hours ahead
    ]
    reply = await send(estate, bulk, *nonsense, bulk.bulk(rows(5.0)))
    assert (reply.cursor.number, reply.quarantined) == (4, 3)
    assert [value for value, *_ in await readings(estate)] == [5.0]
    reply = await send(
        estate, urgent, urgent.raw(b"\xff\xff", 1), urgent.urgent(smoke("smoke", AT, "smoke-77"), smoke("smoke", AT))
    )
    assert (reply.cursor.number, reply.quarantined) == (3, 2)
    assert await estate.rows("SELECT count(*) FROM states") == [(1,)]  # what could be applied was
    assert [row[0] for row in await estate.rows("SELECT reason FROM quarantine ORDER BY id")][-1].startswith(
        "1 records cannot be kept. The first holds a name that the inventory does not have"
    )


async def test_damaged_bytes_are_sent_again(estate: Estate) -> None:
    _, bulk = await settled(estate)
    block = bytearray(bulk.bulk(rows(1.0)))
    block[90] ^= 1
    with pytest.raises(BlockError, match="checksum"):
        await send(estate, bulk, bytes(block))
    await send(estate, bulk, bulk.sent[0])
    assert len(await readings(estate)) == 1


async def test_a_loss_receipt_moves_the_cursor_over_the_loss(estate: Estate) -> None:
    urgent, bulk = await settled(estate)
    await send(estate, bulk, bulk.bulk(rows(1.0)))
    bulk.bulk(rows(2.0))
    bulk.bulk(rows(3.0))
    receipt = LossReceipt(Lane.BULK, bulk.epoch, 2, 3, bulk.previous, 2, "full", AT)
    kept = bulk.bulk(rows(4.0))
    await send(estate, urgent, urgent.urgent(receipt))
    assert (await send(estate, bulk, kept)).cursor.number == 4
    assert [value for value, *_ in await readings(estate)] == [1.0, 4.0]
    assert await estate.rows("SELECT first, last, items, reason FROM loss") == [(2, 3, 2, "full")]


async def test_a_loss_without_numbers_is_noted_and_one_said_twice_counts_once(estate: Estate) -> None:
    urgent, bulk = await settled(estate)
    await send(estate, bulk, bulk.bulk(rows(1.0)))
    unnumbered = LossReceipt(Lane.BULK, 0, 0, 0, 0, 40, "file was damaged", AT)
    numbered = LossReceipt(Lane.BULK, bulk.epoch, 2, 2, 99, 1, "full", AT)
    reply = await send(estate, urgent, urgent.urgent(unnumbered), urgent.urgent(numbered, numbered))
    assert reply.quarantined == 0
    assert await estate.rows("SELECT items FROM loss ORDER BY id") == [(40,), (1,)]
    assert await estate.rows("SELECT number, checksum FROM stream_cursor WHERE stream = 'bulk'") == [(2, 99)]


async def test_smoke_raises_one_alarm_and_its_life_is_kept(estate: Estate) -> None:
    urgent, _ = await settled(estate)
    await send(estate, urgent, urgent.urgent(smoke("clear", AT)))
    await send(estate, urgent, urgent.urgent(smoke("smoke", AT + SECOND)))
    await send(
        estate, urgent, urgent.urgent(smoke("smoke", AT + 2 * SECOND))
    )  # a heartbeat is no second alarm (LESSONS 15)
    async with estate.store.transaction() as connection:
        (active,) = await alarms.list_active(connection, [estate.area])
        assert (active.state, active.priority, active.kind, active.building) == (
            "UNACK",
            "critical",
            "smoke_detector",
            "3",
        )
        assert await estate.engine.acknowledge(connection, active.id, [estate.area], estate.person, "王芳")
        assert not await estate.engine.acknowledge(connection, active.id, [estate.area], estate.person, "王芳")
        with pytest.raises(NoSuchAlarmError):
            await estate.engine.acknowledge(connection, active.id, [estate.area + 1], estate.person, "王芳")
    await send(estate, urgent, urgent.urgent(smoke("clear", AT + 3 * SECOND)))
    async with estate.store.connect() as connection:
        assert await alarms.list_active(connection, [estate.area]) == []
        steps = [(t.event, t.to_state, t.who) for t in await alarms.history(connection, active.id)]
    assert steps == [("raise", "UNACK", "system"), ("acknowledge", "ACKED", "王芳"), ("clear", "NORM", "system")]
    assert ("acknowledge", "王芳") in await estate.rows("SELECT action, who FROM audit")


async def test_returned_but_not_acknowledged_stays_until_someone_sees_it(estate: Estate) -> None:
    urgent, _ = await settled(estate)
    await send(estate, urgent, urgent.urgent(smoke("smoke", AT)))
    await send(estate, urgent, urgent.urgent(smoke("clear", AT + SECOND)))
    async with estate.store.transaction() as connection:
        (active,) = await alarms.list_active(connection, [estate.area])
        assert active.state == "RTNUN"
        assert await alarms.count_unacknowledged(connection, [estate.area]) == {"critical": 1}
        await estate.engine.acknowledge(connection, active.id, [estate.area], estate.person, "王芳")
        assert await alarms.list_active(connection, [estate.area]) == []


async def test_an_old_alarm_that_is_already_over_is_late_and_pages_nobody(estate: Estate) -> None:
    urgent = Chain(Lane.URGENT)
    hour_ago = NOW_NS - 3600 * SECOND
    block = urgent.urgent(inventory(), clock(hour_ago), smoke("smoke", AT), smoke("clear", AT + SECOND))
    await send(estate, urgent, block)
    assert await estate.rows("SELECT state, late FROM alarm") == [("NORM", True)]
    assert await estate.rows("SELECT event, to_state FROM alarm_transition") == [("late", "NORM")]


async def test_a_short_alarm_that_is_fresh_is_shown_though_it_is_over(estate: Estate) -> None:
    urgent, _ = await settled(estate)
    await send(estate, urgent, urgent.urgent(smoke("smoke", AT), smoke("clear", AT + SECOND)))
    assert await estate.rows("SELECT state, late FROM alarm") == [("RTNUN", False)]


async def test_a_clock_that_was_corrected_backwards_hides_no_fire(estate: Estate) -> None:
    urgent = Chain(Lane.URGENT)
    await send(estate, urgent, urgent.urgent(inventory(), clock(NOW_NS + 240 * SECOND), smoke("clear", AT)))
    await send(estate, urgent, urgent.urgent(clock(NOW_NS), smoke("smoke", AT + SECOND)))
    assert await estate.rows("SELECT state FROM alarm") == [("UNACK",)]
    assert await estate.rows("SELECT state FROM latest WHERE state IS NOT NULL") == [("smoke",)]
    times = await estate.rows("SELECT value, at FROM states ORDER BY at, value DESC")
    assert [value for value, _ in times] == ["clear", "smoke"]
    assert times[0][1] < times[1][1]


async def test_a_detector_that_alarmed_and_then_was_lost_is_still_an_alarm(estate: Estate) -> None:
    urgent = Chain(Lane.URGENT)
    block = urgent.urgent(inventory(), clock(NOW_NS - 300 * SECOND), smoke("smoke", AT), smoke(None, AT + SECOND))
    await send(estate, urgent, block)
    assert await estate.rows("SELECT state, late FROM alarm") == [("UNACK", False)]


async def test_bulk_cannot_write_a_state(estate: Estate) -> None:
    _, bulk = await settled(estate)
    index = position(inventory(), "smoke-0", "smoke")
    reply = await send(estate, bulk, bulk.bulk([Row(index, AT, 0.0, Quality.GOOD)]))
    assert reply.quarantined == 1
    assert await estate.rows("SELECT count(*) FROM latest WHERE value IS NOT NULL") == [(0,)]


async def test_a_reading_from_the_future_is_not_the_newest_for_an_hour(estate: Estate) -> None:
    _, bulk = await settled(estate)
    await send(estate, bulk, bulk.bulk(rows(1.0, start=AT + 3000 * SECOND)))
    assert await estate.rows("SELECT at <= now() FROM latest WHERE value IS NOT NULL") == [(True,)]


async def test_what_the_database_refuses_is_set_aside_alone(estate: Estate) -> None:
    urgent, _ = await settled(estate)
    nul = msgspec.msgpack.encode([["no\x00tag", 1]])  # its decoding error names what the database cannot keep
    reply = await send(estate, urgent, urgent.raw(nul, 1), urgent.urgent(smoke("smoke", AT)))
    assert reply.quarantined == 1
    assert await estate.rows("SELECT count(*) FROM alarm") == [(1,)]


async def test_a_request_that_would_swell_is_taken_in_parts(estate: Estate) -> None:
    _, bulk = await settled(estate)
    swelling = [bulk.raw(bytes(4 << 20), 1) for _ in range(5)]
    reply = await send(estate, bulk, *swelling)
    assert (reply.cursor.number, reply.quarantined) == (3, 3)
    reply = await send(estate, bulk, *swelling)
    assert reply.cursor.number == 5


async def test_a_box_answers_with_final_words_only(estate: Estate) -> None:
    urgent, _ = await settled(estate)
    ((door,),) = await estate.rows("SELECT id FROM device WHERE key = 'door-0'")
    order = await estate.commands.order(door, "unlock", {"seconds": 5}, [estate.area], estate.person, "王芳")
    await send(estate, urgent, urgent.urgent(CommandResult(str(order), CommandStatus.SENT, "", AT)))
    assert await estate.rows("SELECT status, answered_at FROM command") == [("queued", None)]


async def test_orders_go_to_the_newest_connection_only(estate: Estate) -> None:
    await settled(estate)
    ((door,),) = await estate.rows("SELECT id FROM device WHERE key = 'door-0'")
    old, new = (commands.Down(uuid4(), estate.gateway, b"", is_new) for is_new in (True, False))
    async with estate.store.transaction() as connection:
        await commands.open_downs(connection, [old])
        await commands.open_downs(connection, [new])
    await estate.commands.order(door, "unlock", {"seconds": 5}, [estate.area], estate.person, "王芳")
    async with estate.store.transaction() as connection:
        assert await commands.take_waiting(connection, [old]) == []
        (waiting,) = await commands.take_waiting(connection, [old, new])
        assert waiting.down == new.id


async def test_a_down_stream_stands_while_its_session_holds_and_no_newer_one_is_there(estate: Estate) -> None:
    old, new, foreign = (commands.Down(uuid4(), estate.gateway, session, True) for session in (b"s", b"s", b"x"))
    async with estate.store.transaction() as connection:
        await gateways.open_session(connection, b"s", estate.gateway, timedelta(minutes=1))
        await commands.open_downs(connection, [old])
        assert await commands.standing_downs(connection, [old, new, foreign]) == {old.id}
        await commands.open_downs(connection, [new])
        assert await commands.standing_downs(connection, [old, new, foreign]) == {new.id}
        await commands.open_downs(connection, [foreign])
        assert await commands.standing_downs(connection, [old, new, foreign]) == set()
        await commands.open_downs(connection, [new])
        await gateways.revoke(connection, estate.gateway, "test", "test")
        assert await commands.standing_downs(connection, [new]) == set()


async def test_a_state_that_is_lost_neither_raises_nor_clears(estate: Estate) -> None:
    urgent, _ = await settled(estate)
    await send(estate, urgent, urgent.urgent(smoke("smoke", AT)))
    await send(estate, urgent, urgent.urgent(smoke(None, AT + SECOND)))
    assert await estate.rows("SELECT state FROM alarm") == [("UNACK",)]


async def test_history_cannot_be_rewritten(estate: Estate) -> None:
    urgent, _ = await settled(estate)
    await send(estate, urgent, urgent.urgent(smoke("smoke", AT)))
    for sql in (
        "DELETE FROM alarm_transition",
        "UPDATE alarm_transition SET who = 'x'",
        "DELETE FROM alarm_transition",
    ):
        with pytest.raises(Exception, match="keeps history"):
            await estate.rows(sql)


async def test_events_are_kept_with_their_fields(estate: Estate) -> None:
    urgent, _ = await settled(estate)
    await send(estate, urgent, urgent.urgent(Event("door-0", "access", {"credential": "ab12", "granted": True}, AT)))
    async with estate.store.connect() as connection:
        ((door,),) = [tuple(r) for r in await connection.fetch("SELECT id FROM device WHERE key = 'door-0'")]
        (event,) = await devices.recent_events(connection, door, datetime.fromtimestamp(0, UTC), 5)
    assert (event.point, event.fields) == ("access", {"credential": "ab12", "granted": True})


async def test_a_command_goes_down_once_and_its_answer_comes_up(estate: Estate) -> None:
    urgent, _ = await settled(estate)
    ((door,),) = await estate.rows("SELECT id FROM device WHERE key = 'door-0'")
    order = await estate.commands.order(door, "unlock", {"seconds": 5}, [estate.area], estate.person, "王芳")
    async with estate.store.transaction() as connection:
        new = commands.Down(uuid4(), estate.gateway, b"", True)
        down = msgspec.structs.replace(new, is_new=False)
        await commands.open_downs(connection, [new])
        (waiting,) = await commands.take_waiting(connection, [down])
        assert (waiting.device, waiting.point, waiting.args) == ("door-0", "unlock", {"seconds": 5})
        assert await commands.take_waiting(connection, [down]) == []
        assert len(await commands.take_waiting(connection, [new])) == 1
    result = CommandResult(str(order), CommandStatus.EXECUTED, "", AT)
    await send(estate, urgent, urgent.urgent(result, result))
    async with estate.store.connect() as connection:
        row = await commands.get(connection, order, [estate.area])
        assert row is not None
        assert (row.status, row.who) == ("executed", "王芳")
        assert await commands.get(connection, order, [estate.area + 1]) is None


async def test_a_chart_has_gaps_where_nothing_good_was_read(estate: Estate) -> None:
    _, bulk = await settled(estate)
    later = rows(30.0, start=AT + 120 * SECOND)
    bad = rows(math.nan, start=AT + 60 * SECOND, quality=Quality.FAULT)
    await send(estate, bulk, bulk.bulk([*rows(10.0, 20.0), *bad, *later]))
    ((door,),) = await estate.rows("SELECT id FROM device WHERE key = 'smoke-0'")
    async with estate.store.connect() as connection:
        found = await devices.series_of(connection, door, "temperature")
        assert found is not None
        start = datetime.fromtimestamp(NOW_NS / 1e9 - 60, UTC)
        buckets = await devices.chart(connection, found[0], start, start + timedelta(hours=1), timedelta(seconds=60))
    assert sum(b.count for b in buckets) == 3
    assert (min(b.min for b in buckets), max(b.max for b in buckets)) == (10.0, 30.0)


async def test_a_device_that_the_box_no_longer_names_keeps_its_history(estate: Estate) -> None:
    urgent, _ = await settled(estate)
    await send(estate, urgent, urgent.urgent(inventory(detectors=1)))
    assert await estate.rows("SELECT key, active FROM device ORDER BY key") == [
        ("door-0", True),
        ("smoke-0", True),
        ("smoke-1", False),
    ]
    assert urgent.boot == BOOT


async def believed(estate: Estate, key: str) -> dict[str, bool]:
    """Whether each point of a device can be believed."""
    async with estate.store.connect() as connection:
        device = await connection.fetchval("SELECT id FROM device WHERE key = $1", key)
        return {point.point: not point.stale for point in (await devices.points(connection, [device]))[device]}


async def beat(connection: Connection, estate: Estate, urgent: int, bulk: int) -> bool:
    """A beat of the box, in a session of now; whether it was silent before."""
    beaten = boxes.Beaten(urgent, bulk, timedelta(0), datetime.now(UTC), timedelta(0), datetime.now(UTC), shared=False)
    (heard,) = await boxes.beats(connection, {estate.gateway: beaten})
    return heard.was_silent


async def test_nothing_behind_a_silent_box_is_believed(estate: Estate) -> None:
    urgent, bulk = await settled(estate)
    online = StateRecord("smoke-0", "link", "online", Quality.GOOD, AT)
    await send(estate, urgent, urgent.urgent(online, smoke("smoke", AT)))
    await send(estate, bulk, bulk.bulk(rows(20.0)))
    async with estate.store.transaction() as connection:
        await beat(connection, estate, 3, 4)
    assert await believed(estate, "smoke-0") == {"link": True, "smoke": True, "temperature": True}
    async with estate.store.transaction() as connection:
        assert await boxes.silent(connection, [estate.area]) == []
        await connection.execute("UPDATE gateway SET seen_at = now() - INTERVAL '66 seconds'")
        assert [(s.hostname, s.devices) for s in await boxes.silent(connection, [estate.area])] == [("box", 3)]
        (row,) = await boxes.list_boxes(connection, [estate.area])
        assert (row.silent, row.urgent_backlog, row.bulk_backlog) == (True, 3, 4)
        (alarm,) = await alarms.list_active(connection, [estate.area])
        assert alarm.stale
    assert not any((await believed(estate, "smoke-0")).values())
    async with estate.store.transaction() as connection:
        assert await beat(connection, estate, 0, 0)  # it was silent until now
        assert not await beat(connection, estate, 0, 0)


async def test_an_offline_device_is_not_believed_and_raises_an_alarm(estate: Estate) -> None:
    urgent, _ = await settled(estate)
    async with estate.store.transaction() as connection:
        await beat(connection, estate, 0, 0)
    link = [StateRecord("smoke-0", "link", word, Quality.GOOD, AT + i) for i, word in enumerate(("online", "offline"))]
    await send(estate, urgent, urgent.urgent(link[0], smoke("clear", AT)), urgent.urgent(link[1]))
    assert await believed(estate, "smoke-0") == {"link": True, "smoke": False, "temperature": False}
    async with estate.store.transaction() as connection:
        assert await alarms.list_active(connection, [estate.area]) == []
        later = datetime.now(UTC) + timedelta(seconds=31)
        await Timers(estate.engine).due_conditions(connection, 10, now=later)
        (alarm,) = await alarms.list_active(connection, [estate.area])
    assert (alarm.rule, alarm.priority, alarm.kind, alarm.stale) == ("silent", "high", "smoke_detector", False)
