"""Blocks that were set aside are stored once, whole or not at all, and undo nothing that came after them."""

import asyncio
import time
from collections.abc import AsyncIterator

import pytest

from cloud.ingest.quarantine import replay
from cloud.store import Database as Store
from contract.columns import Row
from contract.kinds import Lane
from contract.messages import Event, Quality
from contract.session import join_blocks
from tests.contract.conftest import Estate, make_estate
from tests.support.blocks import SECOND, Chain, clock, inventory, position, smoke
from tests.support.servers import Database

AT = 1000 * SECOND
PLACE = position(inventory(), "smoke-0", "temperature")


@pytest.fixture
async def estate(database_plain: Database) -> AsyncIterator[Estate]:
    async with Store.open(database_plain.url, 8) as store:
        yield await make_estate(store)


async def send(estate: Estate, chain: Chain, *blocks: bytes):
    return await estate.ingest.take(estate.gateway, estate.area, chain.stream, join_blocks(blocks))


async def introduced(estate: Estate) -> tuple[Chain, Chain]:
    urgent = Chain(Lane.URGENT)
    await send(estate, urgent, urgent.urgent(inventory(), clock(time.time_ns() - 600 * SECOND)))
    return urgent, Chain(Lane.BULK, inventory_id=inventory().inventory_id)


async def again(estate: Estate) -> list[str]:
    """Replays all that waits; what was said of each."""
    waiting = await estate.rows("SELECT id FROM quarantine WHERE replayed_at IS NULL ORDER BY id")
    return [await _replay(estate, number) for (number,) in waiting]


async def _replay(estate: Estate, number: int) -> str:
    return await replay(estate.store, estate.engine.evaluate, estate.commands.answer, number)


async def test_readings_that_the_clock_made_impossible_are_stored_once_it_is_right(estate: Estate) -> None:
    urgent, bulk = await introduced(estate)
    later = bulk.bulk([Row(PLACE, AT + 7200 * SECOND, 21.5, Quality.GOOD)])
    assert (await send(estate, bulk, later, bulk.bulk([Row(PLACE, AT, 20.0, Quality.GOOD)]))).quarantined == 1
    ((reason,),) = await estate.rows("SELECT reason FROM quarantine")
    assert await again(estate) == [reason]  # nothing has changed
    await send(estate, urgent, urgent.urgent(clock(time.time_ns() - 7800 * SECOND)))
    ((number,),) = await estate.rows("SELECT id FROM quarantine")
    assert sorted(await asyncio.gather(*(_replay(estate, number) for _ in range(3)))) == [
        "",
        *["it was stored already"] * 2,
    ]
    await estate.settler.settle_all()
    assert await estate.rows("SELECT value FROM readings ORDER BY value") == [(20.0,), (21.5,)]
    assert await estate.rows("SELECT value FROM latest WHERE value IS NOT NULL") == [(21.5,)]
    assert await again(estate) == []


async def test_only_the_records_that_were_left_out_are_stored_later(estate: Estate) -> None:
    urgent, _ = await introduced(estate)
    told = Event("door-0", "access", {"granted": True}, AT)
    unknown = smoke("smoke", AT, "smoke-2")
    assert (await send(estate, urgent, urgent.urgent(told, unknown, smoke("clear", AT)))).quarantined == 1
    assert await estate.rows("SELECT left_out FROM quarantine") == [([1],)]
    assert "does not have" in (await again(estate))[0]
    await send(estate, urgent, urgent.urgent(inventory(detectors=3)))
    assert await again(estate) == [""]
    assert await estate.rows("SELECT value FROM states ORDER BY value") == [("clear",), ("smoke",)]
    assert await estate.rows("SELECT count(*) FROM events") == [(1,)]
    assert await estate.rows("SELECT state FROM alarm") == [("UNACK",)]  # it still is the newest that is known


async def test_old_news_becomes_history_and_raises_nothing(estate: Estate) -> None:
    urgent, _ = await introduced(estate)
    await send(estate, urgent, urgent.urgent(smoke("smoke", AT, "smoke-2")))
    await send(estate, urgent, urgent.urgent(inventory(detectors=3), smoke("clear", AT + 60 * SECOND, "smoke-2")))
    assert await again(estate) == [""]
    assert await estate.rows("SELECT value FROM states ORDER BY at") == [("smoke",), ("clear",)]
    assert await estate.rows("SELECT state FROM latest WHERE state IS NOT NULL") == [("clear",)]
    assert await estate.rows("SELECT count(*) FROM alarm") == [(0,)]


async def test_nothing_of_a_block_is_stored_where_one_record_still_cannot_be(estate: Estate) -> None:
    urgent, _ = await introduced(estate)
    await send(estate, urgent, urgent.urgent(smoke("smoke", AT, "smoke-2"), smoke("smoke", AT, "smoke-9")))
    await send(estate, urgent, urgent.urgent(inventory(detectors=3)))
    assert "smoke-9" in (await again(estate))[0]
    assert await estate.rows("SELECT count(*) FROM states") == [(0,)]
    assert await estate.rows("SELECT count(*) FROM quarantine WHERE replayed_at IS NULL") == [(1,)]


async def test_why_a_record_was_left_out_says_which_it_is_but_not_who_it_was(estate: Estate) -> None:
    urgent, _ = await introduced(estate)
    who = Event("door-9", "access", {"credential": "ab12cd", "granted": True}, AT)
    await send(estate, urgent, urgent.urgent(smoke("clear", AT), who))
    ((reason,),) = await estate.rows("SELECT reason FROM quarantine")
    assert reason.endswith("does not have: number 2, of kind event from door-9")


async def test_an_old_inventory_does_not_come_back(estate: Estate) -> None:
    urgent, _ = await introduced(estate)
    await send(estate, urgent, urgent.urgent(inventory(), smoke("smoke", AT, "smoke-2")))
    async with estate.store.connect() as connection:
        await connection.execute("UPDATE quarantine SET left_out = NULL")  # as if the database had refused it whole
    await send(estate, urgent, urgent.urgent(inventory(detectors=3)))
    assert "drop this block" in (await again(estate))[0]
    assert await estate.rows("SELECT active FROM device WHERE key = 'smoke-2'") == [(True,)]


async def test_a_block_that_is_nonsense_stays_nonsense(estate: Estate) -> None:
    urgent, bulk = await introduced(estate)
    await send(estate, bulk, bulk.raw(b"\x00" * 10, 3))
    await send(estate, urgent, urgent.raw(b"\xff\xff", 1))
    said = await again(estate)
    assert len(said) == 2
    assert all(said)
    assert await _replay(estate, 999) == "there is no such block any more"
