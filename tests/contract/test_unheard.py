"""A point of which nothing is heard any more raises its alarm, though its device answers; heard again it clears."""

from datetime import UTC, datetime, timedelta

import msgspec
import pytest

from cloud.alarms import unheard
from cloud.alarms.engine import Engine
from cloud.alarms.rules import Rule, RuleBook
from cloud.alarms.rules.load import pack
from cloud.alarms.rules.model import Silence, body_of, rule_of
from contract.columns import Row
from contract.kinds import Lane
from tests.contract.conftest import Estate
from tests.support.blocks import SECOND, Chain, body, clock, inventory, position

pytestmark = pytest.mark.parametrize("database", ["plain"], indirect=True)
STALE_S = 750.0
"""Of the series of tests.support.blocks."""
RECORD = inventory(2)


def rule_of_silence(**fields: object) -> Rule:
    form = Silence(form="silence", subject="point", point="temperature", intervals=4)
    rule = next(rule for rule in pack().rules if rule.name == "silent")
    at_once = {"name": "mute", "on_delay_s": 0.0, "off_delay_s": 0.0}
    return rule_of(body_of(rule) | {"form": msgspec.to_builtins(form)} | at_once | fields)


async def hear(estate: Estate, chain: Chain, device: str, mono_s: int) -> None:
    rows = [Row(position(RECORD, device, "temperature"), mono_s * SECOND, 21.5, 0)]
    await estate.ingest.take(estate.gateway, estate.area, Lane.BULK, body(chain.bulk(rows)))


async def alarms_of(estate: Estate) -> list[tuple]:
    return await estate.rows(
        "SELECT rule, device.key, holds, raised_at FROM alarm JOIN device ON device.id = device ORDER BY 2"
    )


async def test_a_point_that_falls_silent_is_told_once_and_clears_when_it_is_heard(estate: Estate) -> None:
    engine = Engine(RuleBook([rule_of_silence()]))
    began = datetime.now(UTC) - timedelta(seconds=1000)
    urgent, bulk = Chain(Lane.URGENT), Chain(Lane.BULK)
    record = clock(int(began.timestamp() * SECOND))
    await estate.ingest.take(estate.gateway, estate.area, Lane.URGENT, body(urgent.urgent(RECORD, record)))
    bulk.inventory_id = (await estate.rows("SELECT max(inventory_id) FROM inventory"))[0][0]
    for device in ("smoke-0", "smoke-1"):
        await hear(estate, bulk, device, 1000)

    async def look(after_s: float) -> int:
        now = began + timedelta(seconds=after_s)
        async with estate.store.transaction() as connection:
            await connection.execute("UPDATE gateway SET seen_at = $1", now)
            told, _ = await unheard.look(connection, engine, now=now)
        return told

    assert await look(4 * STALE_S - 1) == 0
    await hear(estate, bulk, "smoke-1", 1500)
    assert await look(4 * STALE_S + 1) == 1
    ((rule, device, holds, raised_at),) = await alarms_of(estate)
    assert (rule, device, holds) == ("mute", "smoke-0", True)
    assert abs(raised_at - began - timedelta(seconds=4 * STALE_S)) < timedelta(milliseconds=10)
    assert await look(4 * STALE_S + 60) == 0  # it is known
    await hear(estate, bulk, "smoke-0", 1900)
    assert await look(4 * STALE_S + 70) == 1
    assert [row[2] for row in await alarms_of(estate)] == [False]
    assert await look(4 * STALE_S + 80) == 0
    assert await estate.rows("SELECT count(*) FROM condition") == [(0,)]


@pytest.mark.parametrize(
    ("scope", "told"),
    [
        ({"kinds": ["door"]}, 0),
        ({"except_kinds": ["smoke_detector"]}, 0),
        ({"areas": [999_999]}, 0),
        ({"devices": [999_999]}, 0),
        ({}, 2),
    ],
)
async def test_a_rule_looks_where_it_is_meant_to(estate: Estate, scope: dict[str, object], told: int) -> None:
    engine = Engine(RuleBook([rule_of_silence(**scope)]))
    began = datetime.now(UTC) - timedelta(days=1)
    urgent, bulk = Chain(Lane.URGENT), Chain(Lane.BULK)
    record = clock(int(began.timestamp() * SECOND))
    await estate.ingest.take(estate.gateway, estate.area, Lane.URGENT, body(urgent.urgent(RECORD, record)))
    bulk.inventory_id = (await estate.rows("SELECT max(inventory_id) FROM inventory"))[0][0]
    for device in ("smoke-0", "smoke-1"):
        await hear(estate, bulk, device, 1000)
    for silent, expected in ((True, 0), (False, told)):  # of a silent box that itself is told
        async with estate.store.transaction() as connection:
            seen_at = datetime.now(UTC) - timedelta(seconds=90 if silent else 0)
            await connection.execute("UPDATE gateway SET seen_at = $1", seen_at)
            assert (await unheard.look(connection, engine))[0] == expected
