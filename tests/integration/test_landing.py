"""Landing and settling on a real server: nothing lost, nothing twice, whatever is killed, shared or out of order."""

import asyncio
import math
import random
import time
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import asyncpg
import msgspec
import numpy as np
import pytest

from cloud.ingest import group, settle
from cloud.ingest.ingest import Ingest
from cloud.ingest.refused import RefusedError
from cloud.ingest.settle import Settler
from cloud.store import Connection, devices, gateways, landing
from cloud.store import Database as Store
from contract.columns import Row
from contract.errors import Retryable
from contract.kinds import Lane
from contract.messages import Quality
from contract.session import BlocksReply, Cursor, RefusalReason, join_blocks
from tests.contract.conftest import Estate, make_estate
from tests.support.blocks import SECOND, Chain, clock, inventory, position
from tests.support.servers import Database

AT = 1000 * SECOND
PLACE = position(inventory(), "smoke-0", "temperature")
OTHER_PLACE = position(inventory(), "smoke-1", "temperature")


@pytest.fixture
async def estate(database_plain: Database) -> AsyncIterator[Estate]:
    async with Store.open(database_plain.url, 8) as store:
        yield await make_estate(store)


class Box:
    """A box that has said what it has and what time it is, and its bulk chain."""

    def __init__(self, estate: Estate, gateway, number: int) -> None:
        self.estate = estate
        self.gateway = gateway
        self.bulk = Chain(Lane.BULK, inventory_id=inventory().inventory_id)
        self.value = number * 1000.0

    async def introduce(self) -> "Box":
        urgent = Chain(Lane.URGENT)
        await self.take(urgent, urgent.urgent(inventory(), clock(time.time_ns() - 3600 * SECOND)))
        return self

    def block(self, *, at: int | None = None) -> bytes:
        """Its next block: one reading of its own value."""
        self.value += 1
        at = AT + self.bulk.number * SECOND if at is None else at
        return self.bulk.bulk([Row(PLACE, at, self.value, Quality.GOOD)])

    async def take(self, chain: Chain, *blocks: bytes) -> BlocksReply:
        return await self.estate.ingest.take(self.gateway, self.estate.area, chain.stream, join_blocks(blocks))

    async def send(self, *blocks: bytes) -> BlocksReply:
        return await self.take(self.bulk, *blocks)


async def boxes(estate: Estate, count: int) -> list[Box]:
    made = []
    for number in range(count):
        async with estate.store.transaction() as connection:
            gateway = await gateways.put_gateway(connection, estate.area, bytes(32), f"box-{number}", "0.1.0")
        made.append(await Box(estate, gateway, number).introduce())
    return made


async def values(estate: Estate) -> list[float]:
    return [value for (value,) in await estate.rows("SELECT value FROM readings ORDER BY value")]


async def waiting(estate: Estate) -> int:
    async with estate.store.connect() as connection:
        return (await landing.depth(connection)).blocks


async def test_boxes_that_come_together_each_have_their_own_answer(estate: Estate) -> None:
    good, gap, nonsense, repeat, silent = await boxes(estate, 5)
    first = repeat.block()
    await repeat.send(first)
    gap.block()
    unknown = Chain(Lane.BULK, inventory_id=77)
    answers = await asyncio.gather(
        good.send(good.block(), good.block()),
        gap.send(gap.block()),
        nonsense.send(nonsense.bulk.raw(b"\xff" * 8, 3), nonsense.block()),
        repeat.send(first),
        silent.take(unknown, unknown.bulk([Row(PLACE, AT, 1.0, Quality.GOOD)])),
        return_exceptions=True,
    )
    taken, missing, odd, again, strange = answers
    assert isinstance(taken, BlocksReply)
    assert (taken.cursor.number, taken.quarantined) == (2, 0)
    assert isinstance(missing, RefusedError)
    assert (missing.refusal.reason, missing.refusal.cursor) == (RefusalReason.GAP, Cursor(0, 0, 0))
    assert isinstance(odd, BlocksReply)
    assert (odd.cursor.number, odd.quarantined) == (2, 1)
    assert isinstance(again, BlocksReply)
    assert again.cursor.number == 1
    assert isinstance(strange, RefusedError)
    assert (strange.refusal.reason, strange.refusal.inventory) == (RefusalReason.INVENTORY, 77)
    await estate.settler.settle_all()
    assert await values(estate) == [1.0, 2.0, 2001.0, 3001.0]


async def test_requests_of_one_box_at_once_are_taken_in_turn_and_count_once(estate: Estate) -> None:
    (box,) = await boxes(estate, 1)
    one, two = box.block(), box.block()
    replies = await asyncio.gather(
        box.send(one), box.send(one), box.send(one, two), box.send(two), box.send(one, two), return_exceptions=True
    )
    assert {reply.cursor.number for reply in replies if isinstance(reply, BlocksReply)} <= {1, 2}
    assert all(isinstance(reply, BlocksReply | RefusedError) for reply in replies)
    await box.send(one, two)
    await estate.settler.settle_all()
    assert await values(estate) == [1.0, 2.0]


async def test_a_box_that_somebody_holds_up_holds_up_no_other(estate: Estate, database_plain: Database) -> None:
    held, free = await boxes(estate, 2)
    await held.send(held.block())
    holder = await asyncpg.connect(database_plain.url)
    async with holder.transaction():
        await holder.execute("SELECT FROM stream_cursor WHERE gateway = $1 FOR UPDATE", held.gateway)
        slow = asyncio.create_task(held.send(held.block()))
        for _ in range(3):
            assert (await free.send(free.block())).cursor.number
        assert not slow.done()
    await holder.close()
    assert (await slow).cursor.number == 2


async def test_what_the_database_refuses_of_one_box_fails_no_other(estate: Estate) -> None:
    bad, good = await boxes(estate, 2)
    async with estate.store.connect() as connection:
        await connection.execute(
            f"ALTER TABLE landing ADD CHECK (gateway <> '{bad.gateway}' OR octet_length(block) < 190)"
        )
    many = bad.bulk.bulk([Row(PLACE, AT + n * SECOND, 0.1 * n * n, Quality.GOOD) for n in range(200)])
    assert len(many) > 190
    after = bad.block()
    replies = await asyncio.gather(bad.send(many, after), good.send(good.block()))
    assert (replies[0].quarantined, replies[1].cursor.number) == (1, 1)
    await bad.send(after)
    await estate.settler.settle_all()
    assert await values(estate) == [1.0, 1001.0]
    assert await estate.rows("SELECT gateway, reason LIKE '%check constraint%' FROM quarantine") == [
        (bad.gateway, True)
    ]


async def test_a_settler_that_dies_between_taking_and_adding_loses_and_doubles_nothing(
    estate: Estate, database_plain: Database
) -> None:
    (box,) = await boxes(estate, 1)
    for _ in range(5):
        await box.send(box.block())
    async with estate.store.connect() as connection:
        places = await landing.following(connection, landing.FIRST, 10)
        (series,) = [row["id"] for row in await connection.fetch(_SERIES, box.gateway)]
    dying = await asyncpg.connect(database_plain.url)
    await dying.execute("BEGIN")
    counted = np.full(len(inventory().series), series, np.int32)
    for taken in await landing.take(dying, places):
        await landing.put_readings(dying, landing.readings_of(taken.block, taken.offset_ns, counted))
    assert await estate.settler.settle_all() == 0  # others pass over what it has
    assert await values(estate) == []
    async with estate.store.connect() as connection:
        await connection.execute("SELECT pg_terminate_backend($1, 5000)", dying.get_server_pid())
    dying.terminate()
    assert await estate.settler.settle_all() == 5
    assert await values(estate) == [1.0, 2.0, 3.0, 4.0, 5.0]
    assert await waiting(estate) == 0


async def test_settlers_side_by_side_share_the_work(estate: Estate, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(settle, "BATCH_READINGS", 3)
    many = await boxes(estate, 6)
    settlers = [Settler(estate.store) for _ in range(3)]
    landed = 0
    for _ in range(4):
        await asyncio.gather(*(box.send(*(box.block() for _ in range(5))) for box in many))
        landed += 30
        await asyncio.gather(*(one.settle_all() for one in settlers))
    await estate.settler.settle_all()
    assert len(await values(estate)) == len(set(await values(estate))) == landed
    assert await waiting(estate) == 0


async def test_a_box_that_sends_without_end_keeps_no_other_waiting(
    estate: Estate, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(settle, "BATCH_READINGS", 1)
    mad, other = await boxes(estate, 2)
    await asyncio.gather(mad.send(mad.block(), mad.block()), other.send(other.block()))
    put = landing.put_readings

    async def put_and_send(connection: Connection, readings: landing.Readings) -> None:
        await put(connection, readings)
        await mad.send(mad.block(), mad.block())  # faster than it is settled

    monkeypatch.setattr(settle, "AT_ONCE", 1)
    monkeypatch.setattr(landing, "put_readings", put_and_send)
    async with asyncio.timeout(20):
        await Settler(estate.store).settle_all()
    assert 1001.0 in await values(estate)


async def test_a_landed_block_that_makes_no_sense_any_more_is_set_aside_alone(estate: Estate) -> None:
    (box,) = await boxes(estate, 1)
    await box.send(box.block(), box.block(), box.block())
    async with estate.store.connect() as connection:
        await connection.execute(
            "UPDATE landing SET block = overlay(block PLACING '\\x00'::bytea FROM 90)"
            " WHERE id = (SELECT min(id) + 1 FROM landing)"
        )
    await estate.settler.settle_all()
    assert await values(estate) == [1.0, 3.0]
    ((reason,),) = await estate.rows("SELECT reason FROM quarantine")
    assert "checksum" in reason
    assert await waiting(estate) == 0


async def test_what_readings_refuse_is_set_aside_and_the_rest_becomes_rows(estate: Estate) -> None:
    (box,) = await boxes(estate, 1)
    await box.send(*(box.block() for _ in range(3)))
    async with estate.store.connect() as connection:
        await connection.execute("ALTER TABLE readings ADD CHECK (value <> 2)")
    await estate.settler.settle_all()
    assert await values(estate) == [1.0, 3.0]
    assert await estate.rows("SELECT number FROM quarantine") == [(2,)]


async def test_a_chart_is_the_same_before_and_after_settling(estate: Estate) -> None:
    (box,) = await boxes(estate, 1)
    ((series,),) = await estate.rows(_SERIES, box.gateway)
    began = datetime.now(UTC) - timedelta(hours=1, minutes=5)

    async def chart() -> list[devices.Bucket]:
        async with estate.store.connect() as connection:
            return await devices.chart(connection, series, began, began + timedelta(hours=1), timedelta(seconds=10))

    await box.send(*(box.block() for _ in range(25)))
    await estate.settler.settle_all()
    await box.send(*(box.block() for _ in range(25)))  # some buckets have rows and landed readings
    await box.send(box.bulk.bulk([Row(PLACE, AT, math.nan, Quality.GOOD), Row(OTHER_PLACE, AT, 9.0, Quality.GOOD)]))
    before = await chart()
    assert sum(bucket.count for bucket in before) == 50
    await estate.settler.settle_all()
    after = await chart()
    assert [msgspec.structs.replace(b, mean=0.0) for b in before] == [
        msgspec.structs.replace(b, mean=0.0) for b in after
    ]
    assert [b.mean for b in before] == pytest.approx([b.mean for b in after])


async def test_readings_of_weeks_ago_land_rightly_and_are_not_the_newest(estate: Estate) -> None:
    (box,) = await boxes(estate, 1)
    month_ns = 30 * 86_400 * SECOND
    boot = bytes(16)
    urgent = Chain(Lane.URGENT, epoch=8, sealed_ns=2000 * SECOND)
    await box.take(urgent, urgent.urgent(clock(time.time_ns() - month_ns, boot=boot)))
    await box.send(box.block())
    box.bulk.boot = boot
    box.bulk.sealed_ns = AT
    await box.send(box.block(at=AT))
    await estate.settler.settle_all()
    found = await estate.rows("SELECT value, at < now() - INTERVAL '29 days' FROM readings ORDER BY at")
    assert found == [(2.0, True), (1.0, False)]
    assert await estate.rows("SELECT value FROM latest WHERE value IS NOT NULL") == [(1.0,)]


async def test_newest_readings_are_those_of_the_rows(estate: Estate) -> None:
    (box,) = await boxes(estate, 1)
    dice = random.Random(20261124)
    for _ in range(30):
        rows = [
            Row(place, AT + dice.randrange(3000) * SECOND, round(dice.uniform(0, 99), 1), dice.choice(list(Quality)))
            for place in (PLACE, OTHER_PLACE)
            for _ in range(dice.randrange(3))
        ]
        await box.send(box.bulk.bulk(sorted(rows, key=lambda row: (row.series, row.mono_ns))))
    await estate.settler.settle_all()
    newest_rows = await estate.rows(
        "SELECT DISTINCT ON (series) series, max(at) OVER (PARTITION BY series) FROM readings ORDER BY series"
    )
    assert await estate.rows("SELECT series, at FROM latest WHERE value IS NOT NULL ORDER BY series") == newest_rows
    wrong = await estate.rows(
        """SELECT latest.* FROM latest WHERE value IS NOT NULL AND NOT EXISTS (SELECT FROM readings
           WHERE readings.series = latest.series AND readings.at = latest.at AND readings.value = latest.value)"""
    )
    assert wrong == []
    now = await estate.rows("SELECT series, at, value, quality FROM series_now WHERE lane = 'bulk' ORDER BY series")
    assert now == await estate.rows(
        "SELECT series, at, value, quality FROM latest WHERE value IS NOT NULL ORDER BY series"
    )


async def test_a_database_that_is_slow_has_boxes_come_back(estate: Estate, monkeypatch: pytest.MonkeyPatch) -> None:
    held, other, third = await boxes(estate, 3)
    monkeypatch.setattr(group, "MOST_WAITING_BYTES", 1)
    async with estate.store.transaction() as connection:
        await connection.execute("LOCK TABLE landing")
        first = asyncio.create_task(held.send(held.block()))
        while not first.done() and not await _is_blocked(connection):  # noqa: ASYNC110  # it tells nobody
            await asyncio.sleep(0.01)
        with pytest.raises(Retryable) as told:
            await other.send(other.block())
        assert told.value.after_s
    assert (await first).cursor.number == 1
    await third.send(third.block())


async def test_while_nothing_is_settled_for_long_bulk_waits_in_the_boxes(
    estate: Estate, monkeypatch: pytest.MonkeyPatch
) -> None:
    (box,) = await boxes(estate, 1)
    ingest = Ingest(estate.store, estate.engine.evaluate, estate.commands.answer, estate.settler.landed)
    monkeypatch.setattr(box.estate, "ingest", ingest)
    await box.send(box.block())
    async with estate.store.connect() as connection:
        await connection.execute("UPDATE landing SET landed_at = now() - INTERVAL '1 hour'")
    await estate.settler.measure()
    waiting_block = box.block()
    with pytest.raises(Retryable, match="more slowly"):
        await box.send(waiting_block)
    await estate.settler.settle_all()
    await estate.settler.measure()
    assert (await box.send(waiting_block)).cursor.number == 2


async def test_a_box_of_which_too_much_waits_is_sent_away_before_everybody(
    estate: Estate, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, other = await boxes(estate, 2)
    ingest = Ingest(
        estate.store, estate.engine.evaluate, estate.commands.answer, estate.settler.landed, estate.settler.crowds
    )
    monkeypatch.setattr(settle, "MOST_OF_A_BOX", 1)
    await one.send(one.block(), one.block())
    await other.send(other.block())
    await estate.settler.measure()
    with pytest.raises(Retryable, match="of this box"):
        ingest.admit(one.gateway, Lane.BULK)
    ingest.admit(one.gateway, Lane.URGENT)
    ingest.admit(other.gateway, Lane.BULK)
    await estate.settler.settle_all()
    await estate.settler.measure()
    ingest.admit(one.gateway, Lane.BULK)


async def _is_blocked(connection: Connection) -> bool:
    return bool(await connection.fetchval("SELECT count(*) FROM pg_locks WHERE NOT granted"))


_SERIES = """
SELECT series.id FROM series JOIN device ON device.id = series.device
WHERE gateway = $1 AND key = 'smoke-0' AND point = 'temperature'
"""
