"""What is too old goes at every tier: summed up before, never what is still to be kept, and late rows are not lost."""

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest

from cloud.settings import Keep
from cloud.store import Database as Store
from cloud.store import Tier, landing, retention, streams
from cloud.upkeep import upkeep
from cloud.upkeep.upkeep import Upkeep
from contract.errors import Retryable
from contract.kinds import KINDS, PERSONAL_FIELDS, Lane
from contract.messages import Event, Quality
from contract.records import LossReceipt, StateRecord
from tests.contract.conftest import Estate, make_estate
from tests.support.blocks import Chain, body, clock, inventory
from tests.support.rows import as_readings
from tests.support.servers import PlainServer

NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)
DAY = timedelta(days=1)


async def bulk_series(estate: Estate) -> int:
    urgent = Chain(Lane.URGENT)
    await estate.ingest.take(estate.gateway, estate.area, Lane.URGENT, body(urgent.urgent(inventory(), clock(0))))
    ((series,),) = await estate.rows("SELECT min(id) FROM series WHERE lane = 'bulk'")
    return series


async def put(estate: Estate, series: int, *rows: tuple[datetime, float]) -> None:
    async with estate.store.transaction() as connection:
        await landing.put_readings(connection, as_readings([(series, at, value, 0) for at, value in rows]))


async def audited(estate: Estate) -> list[tuple]:
    counts = "SELECT who, object, sum((detail->>'count')::int) FROM audit"
    return await estate.rows(f"{counts} WHERE action = 'drop what is too old' GROUP BY 1, 2")


async def test_readings_go_with_their_time_and_their_hours_stay(estate: Estate) -> None:
    series, keep = await bulk_series(estate), Upkeep(estate.store, Keep(readings_days=30))
    old = NOW - 40 * DAY
    await put(estate, series, *((old + n * DAY, float(n)) for n in range(20)))
    async with estate.store.transaction() as connection:  # nothing goes before it is rolled up
        assert await retention.drop(connection, estate.store.tier, "readings", NOW - 30 * DAY) == (0, False)
    (dropped,) = (await keep.drop_old(NOW)).items()  # where a box brings late ones all the time too
    assert dropped == ("readings", 10)  # rows, or as many chunks of a day
    assert await estate.rows("SELECT min(value), count(*) FROM readings") == [(10.0, 10)]
    assert await estate.rows("SELECT min(first), sum(count) FROM readings_hour") == [(0.0, 20)]
    assert await keep.drop_old(NOW) == {}
    assert await audited(estate) == [("system", "readings", 10)]


async def test_readings_that_come_after_their_hour_was_dropped_are_added_to_it_once(estate: Estate) -> None:
    series, keep = await bulk_series(estate), Upkeep(estate.store, Keep(readings_days=30))
    old = NOW - 40 * DAY
    await put(estate, series, (old, 1.0), (old + timedelta(minutes=1), 3.0))
    await keep.roll_up_ripe(NOW)
    await keep.drop_old(NOW)
    for value in (8.0, 10.0):
        await put(estate, series, (old + timedelta(minutes=2), value))
        await keep.roll_up_ripe(NOW)
        await keep.roll_up_ripe(NOW)
    assert await estate.rows("SELECT count(*) FROM readings") == [(0,)]
    figures = "SELECT count, bad, min, max, mean, first, last FROM"
    assert await estate.rows(f"{figures} readings_hour") == [(4, 0, 1.0, 10.0, 5.5, 1.0, 3.0)]
    assert await estate.rows(f"{figures} readings_day") == [(4, 0, 1.0, 10.0, 5.5, 1.0, 3.0)]


@pytest.mark.parametrize("tier", [Tier.PLAIN, Tier.APACHE])
async def test_a_late_row_that_comes_while_its_day_is_dropped_is_not_lost(
    request: pytest.FixtureRequest, tier: Tier
) -> None:
    old, url = NOW - 40 * DAY, request.getfixturevalue(f"database_{tier}").url
    async with Store.open(url, 4) as store:
        estate = await make_estate(store)
        series, keep = await bulk_series(estate), Upkeep(store, Keep(readings_days=30))
        await put(estate, series, (old, 1.0))
        await keep.roll_up_ripe(NOW)

        async def drop() -> tuple[int, bool]:
            async with store.transaction() as connection:
                return await retention.drop(connection, store.tier, "readings", NOW - 30 * DAY)

        async with store.transaction() as connection:
            rows = [(series, old + timedelta(minutes=1), 3.0, 0)]
            await landing.put_readings(connection, as_readings(rows))
            dropping = asyncio.create_task(drop())
            async with asyncio.timeout(10):
                while not dropping.done() and not await estate.rows("SELECT FROM pg_locks WHERE NOT granted"):  # noqa: ASYNC110
                    await asyncio.sleep(0.01)
        assert await dropping == (0, False)  # it is not summed up yet
        await keep.drop_old(NOW)
        assert await estate.rows("SELECT sum(count)::int FROM readings_hour") == [(2,)]
        assert await estate.rows("SELECT count(*) FROM readings") == [(0,)]


async def test_who_went_through_which_door_becomes_a_count(estate: Estate) -> None:
    await bulk_series(estate)
    ((door,),) = await estate.rows("SELECT id FROM device WHERE key = 'door-0'")
    old = datetime(2026, 3, 1, 15, 30, tzinfo=UTC)  # in China half an hour before midnight
    who = {"credential": "ab12", "granted": True}
    async with estate.store.transaction() as connection:
        await streams.put_events(
            connection,
            [
                (door, old, "access", who),
                (door, old + timedelta(minutes=10), "access", who),
                (door, old + timedelta(hours=1), "access", who),
                (door, old, "duress", {"credential": "ab12"}),
                (door, old, "forced_open", {}),
                (door, NOW - DAY, "access", who),
            ],
        )
    keep = Upkeep(estate.store, Keep())
    assert await keep.drop_old(NOW) == {"personal events": 4}
    assert await estate.rows("SELECT point, at FROM events ORDER BY at") == [
        ("forced_open", old),
        ("access", NOW - DAY),
    ]
    first = datetime(2026, 2, 28, 16, tzinfo=UTC)
    assert await estate.rows("SELECT at, point, count FROM events_day ORDER BY at, point") == [
        (first, "access", 2),
        (first, "duress", 1),
        (first + DAY, "access", 1),
    ]
    async with estate.store.transaction() as connection:
        await streams.put_events(connection, [(door, old, "access", who)])  # weeks late
    await keep.drop_old(NOW)
    assert await estate.rows("SELECT count FROM events_day WHERE at = $1 AND point = 'access'", first) == [(3,)]


def test_the_events_that_say_who_it_was_are_those_that_the_store_knows() -> None:
    points = {p.name for kind in KINDS.values() for p in kind.points.values() if PERSONAL_FIELDS & set(p.fields)}
    assert points == {"access", "passage"}
    assert {"credential", "plate"} == PERSONAL_FIELDS


async def test_a_box_that_sends_nonsense_cannot_fill_the_disk_and_old_losses_go(
    estate: Estate, monkeypatch: pytest.MonkeyPatch
) -> None:
    block = bytes(1000)
    for number in range(5):
        async with estate.store.transaction() as connection:
            await streams.quarantine(connection, estate.gateway, Lane.BULK, 1, number, block, "nonsense")
    await estate.rows("UPDATE quarantine SET at = $1 RETURNING id", NOW)
    await estate.rows("UPDATE quarantine SET at = $1 WHERE number = 0 RETURNING id", NOW - 91 * DAY)
    await estate.rows(
        "INSERT INTO loss (gateway, stream, epoch, first, last, items, reason, at)"
        " VALUES ($1, 'bulk', 1, 1, 1, 1, 'full', $2), ($1, 'bulk', 2, 1, 1, 1, 'full', $3) RETURNING id",
        estate.gateway, NOW, NOW - 1101 * DAY,
    )  # fmt: skip
    monkeypatch.setattr(upkeep, "MOST_QUARANTINE_BYTES", 3500)
    assert await Upkeep(estate.store, Keep()).drop_old(NOW) == {"quarantine": 2, "losses": 1}
    assert await estate.rows("SELECT number FROM quarantine ORDER BY id") == [(2,), (3,), (4,)]


async def test_a_box_that_invents_boots_and_losses_cannot_fill_the_disk(
    estate: Estate, monkeypatch: pytest.MonkeyPatch
) -> None:
    await bulk_series(estate)
    for n in range(5):
        urgent, boot = Chain(Lane.URGENT, epoch=100 + n, boot=bytes([n] * 16)), bytes([n] * 16)
        loss = LossReceipt(Lane.BULK, 0, 0, 0, 0, n, "full", 1)
        said = body(urgent.urgent(clock(1_000_000_000, boot=boot), loss))
        await estate.ingest.take(estate.gateway, estate.area, Lane.URGENT, said)
    now = datetime.now(UTC)
    monkeypatch.setattr(upkeep, "MOST_BOOTS", 2)
    monkeypatch.setattr(upkeep, "MOST_LOSSES", 2)
    monkeypatch.setattr(retention, "ROWS_AT_ONCE", 2)
    assert await Upkeep(estate.store, Keep()).drop_old(now) == {"losses": 3, "boots": 8}
    kept = [(bytes([n] * 16),) for n in (3, 4)]
    assert await estate.rows("SELECT boot FROM boot ORDER BY boot") == kept
    assert await estate.rows("SELECT boot FROM stream_seal ORDER BY boot") == kept
    assert await estate.rows("SELECT items FROM loss ORDER BY id") == [(3,), (4,)]


async def test_states_are_kept_for_years_and_alarms_for_ever(estate: Estate) -> None:
    urgent = Chain(Lane.URGENT)
    smoke = StateRecord("smoke-0", "smoke", "smoke", Quality.GOOD, 1)
    event = Event("door-0", "forced_open", {}, 1)
    began_ns = int((datetime.now(UTC) - 300 * DAY).timestamp() * 1e9)
    await estate.ingest.take(
        estate.gateway, estate.area, Lane.URGENT, body(urgent.urgent(inventory(), clock(began_ns), smoke, event))
    )
    now, keep = datetime.now(UTC), Upkeep(estate.store, Keep())
    await keep.roll_up_ripe(now)
    assert await keep.drop_old(now + 790 * DAY) == {}
    dropped = await keep.drop_old(now + 900 * DAY)
    assert dropped.keys() == {"states", "events", "states_hour"}
    assert await estate.rows("SELECT (SELECT count(*) FROM states), (SELECT count(*) FROM events)") == [(0, 0)]
    assert await estate.rows("SELECT count(*) FROM alarm_transition") == [(1,)]
    assert await estate.rows("SELECT count(*) > 0 FROM states_day") == [(True,)]


async def test_the_task_rolls_up_by_itself_and_outlives_a_database_that_goes_away(
    fresh_plain_server: Callable[[], PlainServer],
) -> None:
    server = await asyncio.to_thread(fresh_plain_server)
    async with Store.open(server.url, 2) as store:
        estate = await make_estate(store)
        series, old = await bulk_series(estate), datetime.now(UTC) - 3 * DAY
        rolling = asyncio.create_task(Upkeep(store, Keep(), every_s=0.02).roll_up())

        async def rolled_up(hours: int) -> None:
            async with asyncio.timeout(20):
                while await estate.rows("SELECT count(*) FROM readings_hour") != [(hours,)]:  # noqa: ASYNC110
                    await asyncio.sleep(0.02)

        try:
            await put(estate, series, (old, 1.0))
            await rolled_up(1)
            await asyncio.to_thread(server.kill)
            with pytest.raises(Retryable):
                await estate.rows("SELECT 1")
            await asyncio.to_thread(server.start)
            await put(estate, series, (old + DAY, 2.0))
            await rolled_up(2)
            assert not rolling.done()
        finally:
            rolling.cancel()
            await asyncio.gather(rolling, return_exceptions=True)
