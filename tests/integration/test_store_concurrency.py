"""What the cloud's database does when several things happen at once, or when it is not what it was."""

import asyncio
import threading
import time
from collections.abc import AsyncIterator

import pytest

from cloud.ingest import checks, ingest
from cloud.ingest import urgent as writer
from cloud.store import Database as Store
from contract.columns import Row
from contract.errors import Retryable
from contract.kinds import Lane
from contract.messages import Quality
from contract.records import InventoryRecord, LossReceipt, Record
from contract.session import join_blocks
from tests.contract.conftest import Estate, make_estate
from tests.support.blocks import SECOND, Chain, clock, inventory, position, smoke
from tests.support.servers import ApacheServer, Database, apache_folders

AT = 1000 * SECOND


@pytest.fixture
async def estate(database_plain: Database) -> AsyncIterator[Estate]:
    async with Store.open(database_plain.url, 8) as store:
        yield await make_estate(store)


async def take(estate: Estate, chain: Chain, *blocks: bytes):
    return await estate.ingest.take(estate.gateway, estate.area, chain.stream, join_blocks(blocks))


async def test_a_receipt_on_urgent_and_readings_on_bulk_do_not_wait_in_a_circle(estate: Estate) -> None:
    urgent, bulk = Chain(Lane.URGENT), Chain(Lane.BULK, inventory_id=inventory().inventory_id)
    await take(estate, urgent, urgent.urgent(inventory(), clock(time.time_ns())))
    index = position(inventory(), "smoke-0", "temperature")
    for n in range(20):
        reading = bulk.bulk([Row(index, AT + n * SECOND, float(n), Quality.GOOD)])
        receipt = LossReceipt(Lane.BULK, bulk.epoch, 10_000 + n, 10_000 + n, 1, 1, "of no block we have", AT)
        said = urgent.urgent(clock(time.time_ns()), receipt, smoke("clear", AT + n * SECOND))
        await asyncio.gather(take(estate, bulk, reading), take(estate, urgent, said))  # neither is sent away
    await estate.settler.settle_all()
    assert await estate.rows("SELECT (SELECT count(*) FROM readings), (SELECT count(*) FROM loss)") == [(20, 20)]


async def test_one_block_sent_many_times_at_once_counts_once(estate: Estate) -> None:
    urgent = Chain(Lane.URGENT)
    await take(estate, urgent, urgent.urgent(inventory(), clock(time.time_ns())))
    block = urgent.urgent(smoke("smoke", AT))
    replies = await asyncio.gather(*(take(estate, urgent, block) for _ in range(6)))
    assert {reply.cursor.number for reply in replies} == {2}
    assert await estate.rows("SELECT count(*) FROM states") == [(1,)]
    assert await estate.rows("SELECT count(*) FROM alarm") == [(1,)]


async def test_a_transaction_over_urgent_blocks_that_takes_too_long_lets_go_of_its_box(
    estate: Estate, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ingest, "MOST_S", 0.3)
    chain = Chain(Lane.URGENT)
    block = chain.urgent(inventory(), clock(0))
    async with estate.store.transaction() as connection:
        await connection.execute("LOCK TABLE device")
        with pytest.raises(Retryable, match="longer than"):
            await take(estate, chain, block)
    assert (await take(estate, chain, block)).cursor.number == 1


async def test_a_large_inventory_is_looked_at_beside_the_event_loop(
    estate: Estate, monkeypatch: pytest.MonkeyPatch
) -> None:
    threads: set[threading.Thread] = set()

    def problem_of(record: Record) -> str | None:
        if isinstance(record, InventoryRecord):
            threads.add(threading.current_thread())
        return checks.problem_of(record)

    monkeypatch.setattr(writer, "problem_of", problem_of)
    chain = Chain(Lane.URGENT)
    await take(estate, chain, chain.urgent(inventory(detectors=1000), clock(0)))
    assert threads
    assert threading.current_thread() not in threads


async def test_a_server_with_timescaledb_that_is_not_loaded_is_used_as_plain() -> None:
    server = ApacheServer(apache_folders().take(), settings={"shared_preload_libraries": ""})
    await asyncio.to_thread(server.start)
    try:
        async with Store.open(server.url, 2) as store:
            assert store.tier == "plain"
    finally:
        await asyncio.to_thread(server.remove)


async def test_a_database_that_moves_to_timescaledb_gets_hypertables_with_its_data() -> None:
    server = ApacheServer(apache_folders().take(), settings={"shared_preload_libraries": ""})
    await asyncio.to_thread(server.start)
    try:
        async with Store.open(server.url, 4) as store:
            estate = await make_estate(store)
            urgent = Chain(Lane.URGENT)
            await take(estate, urgent, urgent.urgent(inventory(), clock(time.time_ns()), smoke("smoke", AT)))
    finally:
        await asyncio.to_thread(server.stop)
    loaded = ApacheServer(server.data_dir)
    await asyncio.to_thread(loaded.start)
    try:
        async with Store.open(loaded.url, 2) as store, store.connect() as connection:
            assert store.tier == "apache"
            assert await connection.fetchval("SELECT count(*) FROM states") == 1
            assert await connection.fetchval("SELECT count(*) FROM timescaledb_information.hypertables") == 7
    finally:
        await asyncio.to_thread(loaded.remove)
