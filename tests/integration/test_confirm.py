"""Two boxes that report smoke at the same moment, each in a transaction of its own, confirm one fire, once."""

import asyncio

from cloud.store import Database as Store
from tests.contract.conftest import make_estate
from tests.support.desk import Desk
from tests.support.servers import Database


async def test_two_boxes_at_the_same_moment_confirm_one_fire(database_plain: Database) -> None:
    async with Store.open(database_plain.url, 6) as store:
        desk = Desk(await make_estate(store))
        one, two = await desk.box("a", 1), await desk.box("b", 1)
        async with store.transaction() as first:
            await desk.fewer.evaluate(first, [one.change("smoke-0", "smoke", "smoke")], now=desk.now)
            second = asyncio.create_task(two.says("smoke-0", "smoke", "smoke"))
            done, _ = await asyncio.wait({second}, timeout=0.3)
            assert not done, "it waits for the place: else neither would know of the other"
        await second
        assert await desk.alarms("rule", "state") == [
            ("fire_confirmed", "UNACK"), ("smoke", "UNACK"), ("smoke", "UNACK"),
        ]  # fmt: skip


async def test_many_boxes_of_many_places_never_wait_in_a_circle(database_plain: Database) -> None:
    async with Store.open(database_plain.url, 12) as store:
        desk = Desk(await make_estate(store))
        boxes = [await desk.box(f"b{n}", 4) for n in range(8)]
        for n, box in enumerate(boxes):  # each box has detectors in four units, in an order of its own
            async with store.transaction() as connection:
                for k in range(4):
                    unit, device = str((n * 3 + k) % 4), box.series[f"smoke-{k}", "smoke"][1]
                    await connection.execute("UPDATE device SET unit = $1 WHERE id = $2", unit, device)
        said = [[(f"smoke-{k}", "smoke", "smoke") for k in range(4)] for _ in boxes]
        await asyncio.gather(*(box.says_all(words) for box, words in zip(boxes, said, strict=True)))
        alarms = await desk.alarms("rule")
        assert alarms.count(("fire_confirmed",)) == 4
        assert alarms.count(("smoke",)) == 32
