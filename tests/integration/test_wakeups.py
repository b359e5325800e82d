"""A process that cannot hear of changes says so, and makes up for what it missed."""

import asyncio
import time

from cloud.store import Database as Store
from cloud.store import wakeups
from contract.kinds import Lane
from contract.session import join_blocks
from tests.contract.conftest import make_estate
from tests.support.blocks import Chain, clock, inventory, smoke
from tests.support.servers import Database
from tests.support.waiting import eventually


class Ear:
    def __init__(self) -> None:
        self.heard: list[frozenset[str]] = []
        self.alive: list[bool] = []

    def topics(self) -> set[str]:
        return {topic for heard in self.heard for topic in heard}


async def listening(store: Store, ear: Ear) -> asyncio.Task[None]:
    task = asyncio.create_task(store.listen(ear.heard.append, ear.alive.append))
    await eventually(lambda: ear.alive == [True])
    return task


async def test_an_alarm_whose_wakeup_was_lost_is_heard_of_all_the_same(database_plain: Database, monkeypatch) -> None:
    monkeypatch.setattr(wakeups, "CHECK_EVERY_S", 0.2)
    async with Store.open(database_plain.url, 4) as store:
        estate, ear = await make_estate(store), Ear()
        task = await listening(store, ear)
        await asyncio.sleep(0.3)  # its first look at the alarms

        async def lost(*_: object) -> None:
            """As if the process died between COMMIT and NOTIFY."""

        monkeypatch.setattr(store, "wake", lost)
        urgent = Chain(Lane.URGENT)
        records = (inventory(), clock(time.time_ns()), smoke("smoke", 1_000_000_000_000))
        await estate.ingest.take(estate.gateway, estate.area, Lane.URGENT, join_blocks([urgent.urgent(*records)]))
        await eventually(lambda: "alarms" in ear.topics())
        task.cancel()


async def test_many_alarms_at_once_wake_the_pages(database_plain: Database) -> None:
    async with Store.open(database_plain.url, 4) as store:
        ear = Ear()
        task = await listening(store, ear)
        await store.wake(f"device:{n:036}" for n in range(200))
        await eventually(lambda: len(ear.topics()) == 200)
        await store.wake(f"device:{n:036}" for n in range(5000))
        await eventually(lambda: ear.heard[-1] == frozenset())
        task.cancel()


async def test_a_listener_that_lost_its_server_says_so_and_comes_back(fresh_plain_server) -> None:
    server = await asyncio.to_thread(fresh_plain_server)
    async with Store.open(server.url, 2) as store:
        ear = Ear()
        task = await listening(store, ear)
        await asyncio.to_thread(server.kill)
        await eventually(lambda: ear.alive[-1] is False)
        await asyncio.to_thread(server.start)
        await eventually(lambda: ear.alive[-1] is True, timeout_s=15)
        assert ear.heard[-1] == frozenset()
        task.cancel()
