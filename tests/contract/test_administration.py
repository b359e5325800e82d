"""One suite over every tier of the store: what administering the cloud does to boxes, devices and their alarms."""

import asyncio
import time

import pytest

from cloud.commands.commands import CommandRefusedError
from cloud.identity.gateways import Gateways
from cloud.store import alarms, devices, gateways, people
from contract.kinds import Lane
from tests.contract.conftest import Estate
from tests.support.blocks import SECOND, Chain, body, clock, inventory, smoke

AT = 1000 * SECOND


async def settled(estate: Estate) -> None:
    """A box that has two detectors, one of which smokes, and a door."""
    chain = Chain(Lane.URGENT)
    chain.urgent(inventory(), clock(time.time_ns()))
    chain.urgent(smoke("smoke", AT), smoke("clear", AT, "smoke-1"))
    await estate.ingest.take(estate.gateway, estate.area, chain.stream, body(*chain.sent))


async def device(estate: Estate, key: str) -> int:
    ((found,),) = await estate.rows("SELECT id FROM device WHERE key = $1", key)
    return int(found)


async def test_a_revoked_box_leaves_no_alarm_and_no_command_behind(estate: Estate) -> None:
    await settled(estate)
    administer = Gateways(estate.store, "http://localhost")
    door, detector = await device(estate, "door-0"), await device(estate, "smoke-0")
    async with estate.store.connect() as connection:
        assert await devices.doors_near(connection, detector, [estate.area])
    heard: list[str] = []
    estate.store.wake = lambda topics: _note(heard, topics)  # type: ignore[method-assign]
    assert await administer.revoke(estate.gateway, "王芳")
    assert await estate.rows("SELECT state, acked_by FROM alarm") == [("NORM", None)]
    steps = "SELECT from_state, to_state, event, who, why FROM alarm_transition ORDER BY id"
    assert (await estate.rows(steps))[1:] == [("UNACK", "NORM", "revoked", "王芳", "gateway revoked")]
    assert await estate.rows("SELECT DISTINCT active FROM device") == [(False,)]
    assert {f"alarms:{estate.area}", f"devices:{estate.area}", f"gateways:{estate.area}"} <= set(heard)
    assert {f"gateway:{estate.gateway}", f"device:{door}"} <= set(heard)
    async with estate.store.connect() as connection:
        assert await devices.search(connection, [estate.area], [], {}, 10) == []
        assert await devices.doors_near(connection, detector, [estate.area]) == []
        gone = await devices.get(connection, door, [estate.area])
        assert gone is not None  # its history can still be read
        assert gone.commands == []
        assert await alarms.list_active(connection, [estate.area]) == []
    with pytest.raises(CommandRefusedError):
        await estate.commands.order(door, "unlock", {}, [estate.area], estate.person, "王芳")
    assert not await administer.revoke(estate.gateway, "王芳")
    assert ("revoke", "王芳") in await estate.rows("SELECT action, who FROM audit")


async def _note(heard: list[str], topics: object) -> None:
    heard.extend(topics)  # type: ignore[call-overload]


async def test_an_order_needs_a_device_that_is_still_there(estate: Estate) -> None:
    await settled(estate)
    door = await device(estate, "door-0")
    await estate.rows("UPDATE device SET active = false WHERE id = $1", door)
    with pytest.raises(CommandRefusedError):
        await estate.commands.order(door, "unlock", {}, [estate.area], estate.person, "王芳")
    await estate.rows("UPDATE device SET active = true WHERE id = $1", door)
    order = await estate.commands.order(
        door, "unlock", {"seconds": 5}, [estate.area], estate.person, "王芳", address="192.0.2.1"
    )
    ((kept,),) = await estate.rows("SELECT detail FROM audit WHERE address = '192.0.2.1'")
    assert kept["command"] == str(order)


async def test_a_box_has_few_nonces_at_once_and_the_oldest_go(estate: Estate) -> None:
    for n in range(gateways.MOST_NONCES + 3):
        async with estate.store.transaction() as connection:
            assert await gateways.put_nonce(connection, bytes([n]) * 32, estate.gateway)
        await asyncio.sleep(0)
    assert await estate.rows("SELECT count(*) FROM gateway_nonce") == [(gateways.MOST_NONCES,)]
    async with estate.store.transaction() as connection:
        assert not await gateways.take_nonce(connection, bytes([2]) * 32, estate.gateway)
        assert await gateways.take_nonce(connection, bytes([3]) * 32, estate.gateway)


@pytest.mark.parametrize(
    ("words", "found"),
    [
        ([], ["单元门", "烟感0", "烟感1"]),
        (["门"], ["单元门"]),
        (["3号楼", "2层"], ["烟感1"]),
        (["building", "SMOKE"], ["烟感0", "烟感1"]),
        (["西苑", "detector", "1"], ["烟感0", "烟感1"]),  # the first is on floor 1
        (["%"], []),
        (["_"], ["烟感0", "烟感1"]),  # of smoke_detector
        (["\\"], []),
        (["烟感9"], []),
        (["' OR 1=1 --"], []),
    ],
)
async def test_devices_are_found_by_name_place_and_kind(estate: Estate, words: list[str], found: list[str]) -> None:
    await settled(estate)
    kinds = {"smoke_detector": "smoke_detector 烟感 smoke detector"}
    async with estate.store.connect() as connection:
        rows = await devices.search(connection, [estate.area], words, kinds, 10)
        assert sorted(row.name for row in rows) == found
        assert len(await devices.search(connection, [estate.area], words, kinds, 1)) == min(1, len(found))
        assert await devices.search(connection, [estate.area + 1], words, kinds, 10) == []


async def test_devices_are_told_from_those_of_others(estate: Estate) -> None:
    await settled(estate)
    door = await device(estate, "door-0")
    async with estate.store.connect() as connection:
        assert await devices.among(connection, [door, door + 1000, devices.MOST_ID], [estate.area]) == [door]
        assert await devices.among(connection, [door], [estate.area + 1]) == []


async def test_people_are_listed_with_what_they_may_do(estate: Estate) -> None:
    async with estate.store.transaction() as connection:
        await people.grant(connection, estate.person, "auditor", estate.area)
        assert await people.put(connection, "wang", "another", "-", None) is None
        (listed,) = await people.list_people(connection)
    assert (listed.login, listed.roles, listed.logged_in_at) == (
        "wang",
        ["auditor 西苑小区", "operator 西苑小区"],
        None,
    )
