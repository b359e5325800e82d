"""One suite over every tier of the store: what administering the cloud does to boxes, devices and their alarms."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from uuid import UUID

import msgspec
import pytest

from cloud.commands.commands import CommandRefusedError
from cloud.identity.beats import Beats
from cloud.identity.gateways import ClaimRefusedError, Gateways, ReplaceError
from cloud.ingest.refused import RevokedError
from cloud.store import Connection, alarms, boxes, devices, gateways, people, streams
from cloud.store import Database as Store
from contract.errors import Retryable
from contract.kinds import Lane
from contract.records import LossReceipt
from contract.session import SILENT_AFTER_BEATS, Beat, BusReport, EnrolRequest, GatewayReport
from tests.contract.conftest import Estate, make_estate
from tests.support.blocks import SECOND, Chain, body, clock, inventory, smoke
from tests.support.servers import Database

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
    door = await device(estate, "door-0")
    async with estate.store.connect() as connection:
        assert await devices.doors_near(connection, estate.area, "3", "2", [estate.area])
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
        assert await devices.doors_near(connection, estate.area, "3", "2", [estate.area]) == []
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


# Revoked while blocks are on their way, and replaced -----------------------------------------------------------------


async def test_a_revoked_box_stores_nothing_more(estate: Estate) -> None:
    await settled(estate)
    assert await Gateways(estate.store, "http://localhost").revoke(estate.gateway, "王芳")
    for chain in (Chain(Lane.URGENT, epoch=9), Chain(Lane.BULK, epoch=9)):
        block = chain.urgent(smoke("smoke", AT)) if chain.stream is Lane.URGENT else chain.bulk([])
        with pytest.raises(RevokedError):
            await estate.ingest.take(estate.gateway, estate.area, chain.stream, body(block))


async def test_revoking_waits_for_what_is_being_stored(database_plain: Database) -> None:
    async with Store.open(database_plain.url, 4) as store:
        estate = await make_estate(store)
        async with store.transaction() as storing:
            await streams.lock_cursor(storing, estate.gateway, Lane.URGENT)
            assert await gateways.lock_active(storing, [estate.gateway]) == {estate.gateway}
            revoking = asyncio.create_task(Gateways(store, "http://localhost").revoke(estate.gateway, "王芳"))
            waiting = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'"
            async with asyncio.timeout(10):
                while await estate.rows(waiting) != [(1,)]:  # noqa: ASYNC110  # the server tells nobody
                    await asyncio.sleep(0.01)
            assert await gateways.lock_active(storing, [estate.gateway]) == {estate.gateway}
        assert await revoking
        async with store.transaction() as later:
            await streams.lock_cursor(later, estate.gateway, Lane.URGENT)
            assert await gateways.lock_active(later, [estate.gateway]) == set()


async def new_box(estate: Estate, key: bytes = bytes(range(32))) -> UUID:
    async with estate.store.transaction() as connection:
        return await gateways.put_gateway(connection, estate.area, key, "new box", "0.1.0")


async def test_a_box_takes_the_place_of_another_with_its_devices_and_their_history(estate: Estate) -> None:
    await settled(estate)
    devices_before = await estate.rows("SELECT id, key FROM device ORDER BY id")
    series_before = await estate.rows("SELECT id FROM series ORDER BY id")
    administer, new = Gateways(estate.store, "http://localhost"), await new_box(estate)
    assert await administer.replace(estate.gateway, new, "王芳") == 3
    chain = Chain(Lane.URGENT, boot=bytes(range(16, 32)))
    chain.urgent(inventory(), clock(time.time_ns(), boot=chain.boot))
    chain.urgent(smoke("clear", AT))
    await estate.ingest.take(new, estate.area, chain.stream, body(*chain.sent))
    assert await estate.rows("SELECT id, key FROM device ORDER BY id") == devices_before
    assert await estate.rows("SELECT id FROM series ORDER BY id") == series_before
    assert await estate.rows("SELECT DISTINCT gateway, active FROM device") == [(new, True)]
    # The alarm went on, and its end came from the new box.
    steps = "SELECT from_state, to_state FROM alarm_transition ORDER BY id"
    assert await estate.rows(steps) == [("NORM", "UNACK"), ("UNACK", "RTNUN")]
    assert await estate.rows("SELECT replaced_by, revoked_at IS NULL FROM gateway WHERE id = $1", estate.gateway) == [
        (new, False)
    ]
    async with estate.store.connect() as connection:
        box = await boxes.box(connection, new, [estate.area])
    assert box is not None
    assert box.replaced == [estate.gateway]
    assert ("replace", "王芳") in await estate.rows("SELECT action, who FROM audit")
    with pytest.raises(ReplaceError, match="was revoked"):
        await administer.replace(estate.gateway, new, "王芳")


async def test_a_box_with_devices_of_its_own_takes_nobodys_place(estate: Estate) -> None:
    await settled(estate)
    administer, new = Gateways(estate.store, "http://localhost"), await new_box(estate)
    with pytest.raises(ReplaceError, match="has reported devices of its own"):
        await administer.replace(new, estate.gateway, "王芳")
    with pytest.raises(ReplaceError, match="by another one of its estate"):
        await administer.replace(new, new, "王芳")
    async with estate.store.transaction() as connection:
        other = await people.put_area(connection, None, "estate", "东苑", "Asia/Shanghai")
        await connection.execute("UPDATE gateway SET estate = $2 WHERE id = $1", new, other)
    with pytest.raises(ReplaceError, match="by another one of its estate"):
        await administer.replace(estate.gateway, new, "王芳")


async def test_a_box_that_names_devices_just_now_takes_nobodys_place(database_plain: Database) -> None:
    async with Store.open(database_plain.url, 4) as store:
        estate = await make_estate(store)
        await settled(estate)
        new = await new_box(estate)
        async with store.transaction() as storing:
            await streams.lock_cursor(storing, new, Lane.URGENT)
            await streams.put_inventory(storing, new, estate.area, inventory())
            replacing = asyncio.create_task(Gateways(store, "http://localhost").replace(estate.gateway, new, "王芳"))
            waiting = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'"
            async with asyncio.timeout(10):
                while not replacing.done() and await estate.rows(waiting) != [(1,)]:  # noqa: ASYNC110  # likewise
                    await asyncio.sleep(0.01)
        with pytest.raises(ReplaceError, match="has reported devices of its own"):
            await replacing


async def test_a_claim_that_names_a_box_gives_its_devices_to_who_enrols(estate: Estate) -> None:
    await settled(estate)
    administer = Gateways(estate.store, "http://localhost")
    claim = await administer.make_replacing_claim(estate.gateway, "王芳")
    request = EnrolRequest(claim, bytes(range(32)), "new box", "0.1.0")
    reply = await administer.enrol(request, "192.0.2.1")
    assert reply == await administer.enrol(request, "192.0.2.1")  # the power failed before it had the answer
    assert await estate.rows("SELECT DISTINCT gateway FROM device") == [(UUID(reply.gateway),)]
    with pytest.raises(ReplaceError):
        await administer.make_replacing_claim(estate.gateway, "王芳")


async def test_a_claim_in_the_place_of_a_box_that_was_revoked_is_none(estate: Estate) -> None:
    administer = Gateways(estate.store, "http://localhost")
    claim = await administer.make_replacing_claim(estate.gateway, "王芳")
    await administer.revoke(estate.gateway, "王芳")
    with pytest.raises(ClaimRefusedError, match="which this claim replaces, was revoked"):
        await administer.enrol(EnrolRequest(claim, bytes(range(32)), "new box", "0.1.0"), "192.0.2.1")


async def test_a_wiped_box_begins_a_chain_of_its_own_and_keeps_its_devices(estate: Estate) -> None:
    await settled(estate)
    before = await estate.rows("SELECT id, key FROM device ORDER BY id")
    again = Chain(Lane.URGENT, epoch=4711, boot=bytes(range(16, 32)))
    again.urgent(inventory(), clock(time.time_ns(), boot=again.boot))
    again.urgent(smoke("clear", AT))
    await estate.ingest.take(estate.gateway, estate.area, again.stream, body(*again.sent))
    assert await estate.rows("SELECT id, key FROM device ORDER BY id") == before
    async with estate.store.connect() as connection:
        newest, first = await boxes.epochs(connection, estate.gateway, 10)
    assert (newest.epoch, newest.is_first, newest.closed_at) == (4711, False, None)
    assert (first.is_first, first.last_number) == (True, 2)


# What boxes say of themselves ----------------------------------------------------------------------------------------


REPORT = GatewayReport(
    version="0.1.0", uptime_s=60, sent_bytes=1, received_bytes=2, month_bytes=3, budget_bytes=0, is_metered=False,
    is_bulk_held=False, written_bytes_a_day=4, disk_free_bytes=5, disk_total_bytes=6, is_in_memory=False,
    clock_source="session", clock_uncertainty_ns=7, machine_clock_off_ns=None, lost_items=0, is_identity_shared=False,
    buses=(BusReport("rs485\x00-a", "modbus", is_up=True, devices=2, silent=0, poll_p99_ms=1.5, problem="a\x00b"),),
)  # fmt: skip


def session(estate: Estate) -> gateways.Gateway:
    return gateways.Gateway(estate.gateway, estate.area, datetime.now(UTC), b"")


async def test_beats_are_written_together_with_the_time_at_which_they_came(estate: Estate) -> None:
    beats = Beats(estate.store)
    beats.take(session(estate), Beat(1, 2))
    beats.take(session(estate), Beat(3, 4, REPORT))
    await beats.write()
    rows = await estate.rows("SELECT urgent_backlog, bulk_backlog, now() - seen_at < INTERVAL '5 seconds' FROM gateway")
    assert rows == [(3, 4, True)]
    async with estate.store.connect() as connection:
        box = await boxes.box(connection, estate.gateway, [estate.area])
        assert await boxes.box(connection, estate.gateway, [estate.area + 1]) is None
    assert box is not None
    assert box.report is not None
    assert (box.report.uptime_s, box.report.buses[0].id, box.report.buses[0].problem) == (60, "rs485-a", "ab")
    await beats.write()  # nothing to write


async def test_a_box_that_goes_on_at_another_process_is_no_copy(estate: Estate) -> None:
    slow, quick = Beats(estate.store), Beats(estate.store)
    slow.take(session(estate), Beat())
    quick.take(later := session(estate), Beat())
    await quick.write()
    await slow.write()  # what it heard before
    assert await estate.rows("SELECT shared, session_at FROM gateway_now") == [(False, later.session_at)]
    slow.take(msgspec.structs.replace(later, session_at=later.session_at - timedelta(minutes=1)), Beat())
    await slow.write()
    assert await estate.rows("SELECT shared FROM gateway_now") == [(True,)]


async def test_beats_wait_for_a_database_that_is_away(estate: Estate) -> None:
    beats, whole = Beats(estate.store), estate.store.transaction
    beats.take(session(estate), Beat(1, 2, REPORT))
    estate.store.transaction = _away  # type: ignore[method-assign]
    with pytest.raises(Retryable):
        await beats.write()
    beats.take(session(estate), Beat(5, 6))
    estate.store.transaction = whole  # type: ignore[method-assign]
    await beats.write()
    assert await estate.rows("SELECT urgent_backlog FROM gateway") == [(5,)]
    assert await estate.rows("SELECT count(*) FROM gateway_report") == [(1,)]


@asynccontextmanager
async def _away() -> AsyncIterator[Connection]:
    raise Retryable("the database is away")
    yield


async def test_what_was_given_up_is_seen_by_somebody_up_to_what_their_page_showed(estate: Estate) -> None:
    async with estate.store.transaction() as connection:
        for n in (1, 2, 3):
            receipt = LossReceipt(Lane.BULK, 7, n, n, 0, 10 * n, "storage was full", 0)
            await streams.put_loss(connection, estate.gateway, receipt, datetime.now(UTC))
        unseen = await boxes.unseen_losses(connection, estate.gateway)
        assert (unseen.count, unseen.items) == (3, 60)
        assert await boxes.see_losses(connection, estate.gateway, unseen.last - 1, estate.person) == (2, 30)
        left, *seen = await boxes.losses(connection, estate.gateway, 10)
    assert (left.items, left.seen_by) == (30, None)
    assert {loss.seen_by for loss in seen} == {"王芳"}


@pytest.mark.parametrize("beat_s", [20.0, 60.0])
async def test_a_box_is_silent_after_three_beats_of_its_own(estate: Estate, beat_s: float) -> None:
    async with estate.store.transaction() as connection:
        await gateways.seen(connection, estate.gateway, beat_s=beat_s)
        for after_s, is_silent in (
            (SILENT_AFTER_BEATS * beat_s - 2, False),
            (SILENT_AFTER_BEATS * beat_s + 2, True),
        ):
            await connection.execute("UPDATE gateway SET seen_at = now() - $1::float8 * INTERVAL '1 second'", after_s)
            assert bool(await boxes.silent(connection, [estate.area])) is is_silent
