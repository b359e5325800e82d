"""The uplink over real HTTP against a cloud that follows the rules, and against one that does not."""

import asyncio
import contextlib
import gzip
import shutil
import sqlite3
from contextlib import asynccontextmanager, suppress

import msgspec
import pytest
import structlog
from aiohttp import web
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from contract.errors import Retryable
from contract.kinds import Lane
from contract.messages import Command
from contract.records import ClockRecord, InventoryRecord, LossReceipt, StateRecord
from contract.session import NO_CURSOR, BlocksReply, Cursor, RefusalReason, SessionReply
from contract.site import Storage
from edge.outbox import Outbox
from edge.outbox import outbox as outbox_module
from edge.provision.identity import Enrolment, Identity, public_bytes
from edge.uplink import CloudClock, Uplink, session
from edge.uplink import uplink as uplink_module
from edge.uplink.backoff import Backoff
from edge.uplink.system_clock import SystemTime, keep_system_time
from edge.uplink.terms import Terms
from tests.support.fake_cloud import FakeCloud
from tests.support.waiting import eventually
from tests.unit.edge.outbox.examples import BOOT, INVENTORY, state, telemetry

KEY = Ed25519PrivateKey.generate()
STORAGE = Storage(seal_s=0.1, urgent_mb=8, bulk_mb=8)


@asynccontextmanager
async def box(folder, cloud, *, boot=BOOT, commands=None, proxy=None, **more):
    """An outbox and an uplink that serves it."""
    folder.mkdir(exist_ok=True)
    cloud.gateways.get("gw") or cloud.enrol("gw", public_bytes(KEY))

    async def on_command(command):
        commands.append(command)

    async with Outbox.open(folder, boot=boot, storage=STORAGE, inventory=INVENTORY) as outbox:
        restored = (await outbox.boots())[-1].clock
        identity = Identity(Enrolment("gw", "Test estate", cloud.url), KEY)
        uplink = Uplink(
            cloud.url, identity, outbox, CloudClock(boot, restored), on_command, version="0", proxy=proxy,
            backoff=lambda: Backoff(0.02, 0.1), **more,
        )  # fmt: skip
        task = asyncio.create_task(uplink.run())
        outbox.uplink = uplink
        try:
            yield outbox
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)


async def delivered(outbox, timeout_s=10):
    async with asyncio.timeout(timeout_s):
        await outbox.flush()
        for stream in Lane:
            await outbox.wait_until_delivered(stream)


def words(cloud):
    """What the cloud knows of states: their times, in order."""
    return [r.mono_ns for r in cloud.gateways["gw"].urgent.items if isinstance(r, StateRecord)]


def values(cloud):
    return [row.value for row in cloud.gateways["gw"].bulk.items]


async def fill(outbox, start, count):
    for n in range(start, start + count):
        await outbox.put([state("smoke", n), telemetry(float(n), n * 1_000_000)])
    await outbox.flush()


async def test_everything_arrives_with_its_inventory_and_its_clock(tmp_path):
    async with FakeCloud() as cloud:
        async with box(tmp_path, cloud) as outbox:
            await fill(outbox, 0, 20)
            await delivered(outbox)
            assert outbox.uplink.status.connected
        gateway = cloud.gateways["gw"]
        assert words(cloud) == values(cloud) == list(range(20))
        assert gateway.urgent.items[0] == INVENTORY
        assert gateway.refusals == []
        (clock,) = [r for r in gateway.urgent.items if isinstance(r, ClockRecord)]
        assert (clock.boot, clock.source) == (BOOT, "session")
        assert clock.uncertainty_ns < 1_000_000_000
        # Within one boot the clock is kept over restarts, so that times do not jitter.
        async with box(tmp_path, cloud) as outbox:
            await fill(outbox, 20, 1)
            await delivered(outbox)
        assert sum(isinstance(r, ClockRecord) for r in gateway.urgent.items) == 1


async def test_what_was_kept_while_the_cloud_was_away_goes_when_it_is_back(tmp_path):
    async with FakeCloud() as cloud, box(tmp_path, cloud) as outbox:
        await fill(outbox, 0, 5)
        await delivered(outbox)
        await cloud.stop()
        await fill(outbox, 5, 50)
        await eventually(lambda: not outbox.uplink.status.connected)
        assert "cannot be reached" in outbox.uplink.status.problem
        await cloud.start()
        await delivered(outbox)
        assert words(cloud) == values(cloud) == list(range(55))


async def test_an_answer_lost_on_the_way_is_no_second_delivery(tmp_path):
    async with FakeCloud() as cloud, box(tmp_path, cloud) as outbox:
        cloud.cut_after_commit = 3
        await fill(outbox, 0, 30)
        await delivered(outbox)
        assert words(cloud) == values(cloud) == list(range(30))
        assert cloud.cut_after_commit == 0


@pytest.mark.parametrize("status", [429, 503, 500, 502, 400, 413])
async def test_pressure_and_faults_of_the_cloud_are_waited_out(tmp_path, status):
    async with FakeCloud() as cloud, box(tmp_path, cloud) as outbox:
        for _ in range(3):
            cloud.faults.append(lambda _: web.Response(status=status, headers={"Retry-After": "0.05"}))
        await fill(outbox, 0, 10)
        await delivered(outbox)
        assert words(cloud) == values(cloud) == list(range(10))
        assert cloud.sessions == 1


async def test_retry_after_is_obeyed(tmp_path):
    async with FakeCloud() as cloud, box(tmp_path, cloud) as outbox:
        await delivered(outbox)
        cloud.faults.append(lambda _: web.Response(status=503, headers={"Retry-After": "0.7"}))
        started = asyncio.get_running_loop().time()
        await outbox.put([state("smoke", 1)])
        await delivered(outbox)
        assert asyncio.get_running_loop().time() - started >= 0.7


async def test_a_new_alarm_cuts_the_wait_of_an_old_state_short_and_only_once(tmp_path, monkeypatch):
    monkeypatch.setattr(uplink_module, "SOONER_S", (0.1, 0.2), raising=False)

    def refuse(_):
        return web.Response(status=503, headers={"Retry-After": "3"})

    async with FakeCloud() as cloud, box(tmp_path, cloud) as outbox:
        await delivered(outbox)
        clock = asyncio.get_running_loop().time
        cloud.faults.extend([refuse, refuse])
        await outbox.put([state("clear", 1)])
        await eventually(lambda: len(cloud.faults) == 1)
        await asyncio.sleep(0.5)
        assert len(cloud.faults) == 1, "without anything new it waits as it was told"
        began = clock()
        await outbox.put([state("smoke", 2)])
        await eventually(lambda: not cloud.faults)
        assert clock() - began < 1.5, "the first wait was cut short"
        await outbox.put([state("clear", 3)])
        await delivered(outbox)
        assert clock() - began >= 3, "the second was not"
        assert words(cloud) == [1, 2, 3]


async def test_a_revoked_token_opens_a_new_session(tmp_path):
    async with FakeCloud() as cloud, box(tmp_path, cloud) as outbox:
        await delivered(outbox)
        cloud.tokens.clear()
        await fill(outbox, 0, 3)
        await delivered(outbox)
        assert words(cloud) == [0, 1, 2]
        assert cloud.sessions == 2


async def test_the_token_is_renewed_before_it_ends(tmp_path, monkeypatch):
    monkeypatch.setattr(session, "MIN_EXPIRES_S", 0.1)
    async with FakeCloud(expires_s=0.2) as cloud, box(tmp_path, cloud) as outbox:
        await cloud.until(lambda: cloud.sessions >= 4)
        assert outbox.uplink.status.sessions == 1


async def test_a_restored_disk_opens_a_new_epoch_and_repeats_are_dropped(tmp_path):
    live, saved = tmp_path / "live", tmp_path / "saved"
    async with FakeCloud() as cloud:
        async with box(live, cloud) as outbox:
            await fill(outbox, 0, 5)
            await cloud.until(lambda: len(words(cloud)) == 5)
            await delivered(outbox)
        shutil.copytree(live, saved)
        async with box(live, cloud) as outbox:
            await fill(outbox, 5, 5)
            await delivered(outbox)
        epoch = cloud.gateways["gw"].urgent.cursor.epoch
        async with box(saved, cloud) as outbox:
            await fill(outbox, 10, 5)
            await delivered(outbox)
            assert outbox.head(Lane.URGENT).epoch != epoch
        assert words(cloud) == values(cloud) == list(range(15))


async def test_a_second_box_of_one_identity_is_told_and_loses_nothing(tmp_path):
    one, two = tmp_path / "one", tmp_path / "two"
    async with FakeCloud() as cloud:
        async with box(one, cloud) as outbox:
            await fill(outbox, 0, 3)
            await delivered(outbox)
        shutil.copytree(one, two)
        with structlog.testing.capture_logs() as logs:
            async with box(one, cloud) as first:
                await fill(first, 3, 3)
                await delivered(first)
                assert first.uplink.status.problem == ""
                async with box(two, cloud, boot=b"the other's boot") as second:
                    await fill(second, 100, 3)
                    await delivered(second)
                    await fill(first, 6, 3)
                    await delivered(first)
                    # Long after its blocks flow again, it is still said.
                    assert "another box speaks under this box's identity" in first.uplink.status.problem
        assert sorted(words(cloud)) == [*range(9), 100, 101, 102]
        assert RefusalReason.CLOSED_EPOCH in cloud.gateways["gw"].refusals
        said = [entry for entry in logs if "another box speaks under this box's identity" in entry["event"]]
        assert said
        assert all((entry["log_level"], entry["gateway"]) == ("error", "gw") for entry in said)


async def test_a_cloud_that_forgot_everything_gets_inventory_and_clock_again(tmp_path):
    async with FakeCloud() as cloud, box(tmp_path, cloud) as outbox:
        await fill(outbox, 0, 3)
        await delivered(outbox)
        await cloud.stop()
        await fill(outbox, 3, 4)
        cloud.enrol("gw", public_bytes(KEY))
        await cloud.start()
        await delivered(outbox)
        gateway = cloud.gateways["gw"]
        assert words(cloud) == values(cloud) == [3, 4, 5, 6]
        assert isinstance(gateway.urgent.items[0], InventoryRecord)
        assert RefusalReason.CLOCK in gateway.refusals


async def test_blocks_of_a_boot_without_time_are_bounded_by_the_next(tmp_path):
    async with FakeCloud() as cloud:
        async with Outbox.open(tmp_path, boot=b"a boot w/o clock", storage=STORAGE, inventory=INVENTORY) as outbox:
            await fill(outbox, 0, 3)
        async with box(tmp_path, cloud) as outbox:
            await delivered(outbox)
        clocks = cloud.gateways["gw"].clocks
        assert clocks[b"a boot w/o clock"].source == "bounded"
        assert values(cloud) == [0, 1, 2]


async def test_bulk_that_was_given_up_does_not_stop_the_stream(tmp_path):
    async with FakeCloud() as cloud, box(tmp_path, cloud) as outbox:
        await fill(outbox, 0, 3)
        await delivered(outbox)
        await cloud.stop()
        for n in range(3, 9):
            await fill(outbox, n, 1)
        await outbox.give_up_first(Lane.BULK, "test")
        await outbox.give_up_first(Lane.BULK, "test")
        await cloud.start()
        await delivered(outbox)
        gateway = cloud.gateways["gw"]
        assert words(cloud) == list(range(9))
        assert values(cloud) == [0, 1, 2, 5, 6, 7, 8]
        assert [(r.stream, r.items) for r in gateway.urgent.items if isinstance(r, LossReceipt)] == [(Lane.BULK, 1)] * 2


async def test_bulk_given_up_before_the_cloud_ever_knew_of_it(tmp_path):
    async with FakeCloud() as cloud:
        async with Outbox.open(tmp_path, boot=BOOT, storage=STORAGE, inventory=INVENTORY) as outbox:
            for n in range(4):
                await fill(outbox, n, 1)
            await outbox.give_up_first(Lane.BULK, "test")
            epoch = outbox.head(Lane.BULK).epoch
        async with box(tmp_path, cloud) as outbox:
            await delivered(outbox)
            assert outbox.head(Lane.BULK).epoch == epoch
        assert values(cloud) == [1, 2, 3]


async def test_a_gap_waits_for_receipts_that_are_on_their_way(tmp_path, monkeypatch):
    """A new epoch for every gap would do as well, but then the cloud knows repeats by their boot alone."""
    monkeypatch.setattr(uplink_module, "BULK_PATIENCE_S", 0.2)
    async with FakeCloud() as cloud, box(tmp_path, cloud) as outbox:
        await fill(outbox, 0, 1)
        await delivered(outbox)
        epoch = outbox.head(Lane.BULK).epoch

        def refuse_urgent(request):
            cloud.faults.append(refuse_urgent)
            return web.Response(status=503) if request.path.endswith(Lane.URGENT) else None

        await cloud.stop()
        for n in range(1, 4):
            await outbox.put([telemetry(float(n), n * 1_000_000)])
            await outbox.flush()
        await outbox.give_up_first(Lane.BULK, "test")
        cloud.faults.append(refuse_urgent)
        await cloud.start()
        refusals = cloud.gateways["gw"].refusals
        await eventually(lambda: refusals.count(RefusalReason.GAP) >= 3)
        assert outbox.head(Lane.BULK).epoch == epoch
        cloud.faults.clear()
        await delivered(outbox)
        assert outbox.head(Lane.BULK).epoch == epoch
        assert values(cloud) == [0, 2, 3]


async def test_a_gap_that_no_receipt_closes_opens_a_new_epoch(tmp_path):
    async with FakeCloud() as cloud, box(tmp_path, cloud) as outbox:
        for n in range(3):
            await fill(outbox, n, 1)
        await delivered(outbox)
        bulk = cloud.gateways["gw"].bulk
        bulk.cursor = Cursor(bulk.cursor.epoch, 1, bulk.blocks[0].checksum)  # as after a restored database
        epoch = bulk.cursor.epoch
        await fill(outbox, 3, 2)
        await delivered(outbox)
        assert values(cloud) == list(range(5))
        losses = [r for r in cloud.gateways["gw"].urgent.items if isinstance(r, LossReceipt)]
        assert [(r.stream, r.epoch, r.first, r.last) for r in losses] == [(Lane.BULK, epoch, 2, 3)]
        assert "earlier time" in losses[0].reason


async def test_urgent_first_and_bulk_not_for_ever_behind_it(tmp_path, monkeypatch):
    monkeypatch.setattr(uplink_module, "BULK_PATIENCE_S", 0.3)
    async with FakeCloud() as cloud:
        async with Outbox.open(tmp_path, boot=BOOT, storage=STORAGE, inventory=INVENTORY) as outbox:
            await fill(outbox, 0, 300)
        async with box(tmp_path, cloud) as outbox:
            await delivered(outbox)
            orders = cloud.gateways["gw"].orders
            assert orders == sorted(orders, key=lambda lane: lane is Lane.BULK)
            # Now urgent alone is refused for ever.

            def refuse_urgent(request):
                cloud.faults.append(refuse_urgent)
                return web.Response(status=503) if request.path.endswith(Lane.URGENT) else None

            cloud.faults.append(refuse_urgent)
            await outbox.put([state("smoke", 1000)])
            await eventually(lambda: outbox.uplink.status.problem != "")
            await outbox.put([telemetry(1000.0, 1)])
            await cloud.until(lambda: values(cloud)[-1] == 1000.0)
            assert 1000 not in words(cloud)
            cloud.faults.clear()
            await delivered(outbox)
            assert words(cloud)[-1] == 1000


async def test_commands_come_down_and_a_dead_stream_is_opened_again(tmp_path):
    commands: list[Command] = []
    async with FakeCloud() as cloud, box(tmp_path, cloud, commands=commands) as outbox:
        await delivered(outbox)
        gateway = cloud.gateways["gw"]
        first = Command("c1", "door-1", "unlock", {"seconds": 5}, 10)
        gateway.commands.put_nowait(first)
        gateway.commands.put_nowait(b"{not json")
        gateway.commands.put_nowait(None)  # the cloud ends the response
        gateway.commands.put_nowait(Command("c2", "door-1", "unlock", {}, 10))
        await eventually(lambda: len(commands) >= 2)
        assert commands[0] == first
        assert [command.id for command in commands] == ["c1", "c2"]
        assert cloud.sessions == 1


async def test_a_cloud_that_takes_no_beat_any_more_is_lost(tmp_path):
    async with FakeCloud() as cloud, box(tmp_path, cloud, terms=Terms(beat_s=0.02)) as outbox:
        await eventually(lambda: outbox.uplink.status.connected)
        cloud.takes_no_beat = True
        await eventually(lambda: not outbox.uplink.status.connected)
        assert "503" in outbox.uplink.status.problem
        cloud.takes_no_beat, known = False, len(cloud.gateways["gw"].beats)
        await eventually(lambda: len(cloud.gateways["gw"].beats) > known + 5)
        assert outbox.uplink.status.connected


async def test_a_silent_down_stream_is_dead_after_three_heartbeats(tmp_path):
    async with FakeCloud(heartbeat_s=60) as cloud, box(tmp_path, cloud, terms=Terms(heartbeat_s=0.1)):
        await cloud.until(lambda: cloud.sessions >= 2)


async def test_a_bulk_that_cannot_be_read_slows_neither_alarms_nor_the_session(tmp_path, monkeypatch):
    monkeypatch.setattr(uplink_module, "DISK_RETRY_S", 0.02)
    monkeypatch.setattr(outbox_module, "UNREADABLE_TRIES", 20)
    async with FakeCloud() as cloud, box(tmp_path, cloud) as outbox:
        await delivered(outbox)
        peek = outbox._bulk.file.peek

        def bad(_):
            raise sqlite3.OperationalError("disk I/O error")

        monkeypatch.setattr(outbox._bulk.file, "peek", bad)
        await outbox.put([telemetry(1.0, 1)])
        await outbox.flush()
        await eventually(lambda: "disk I/O error" in outbox.uplink.status.problem)
        await outbox.put([state("smoke", 7)])
        await cloud.until(lambda: words(cloud) == [7], timeout_s=1)
        # It stays so: the block is given up, and said to be.
        await cloud.until(lambda: any(isinstance(r, LossReceipt) for r in cloud.gateways["gw"].urgent.items))
        monkeypatch.setattr(outbox._bulk.file, "peek", peek)
        await outbox.put([telemetry(2.0, 2)])
        await delivered(outbox)
        assert values(cloud) == [2.0]
        assert cloud.sessions == 1


async def test_an_acknowledgement_that_the_disk_refuses_is_tried_again_in_place(tmp_path, monkeypatch):
    monkeypatch.setattr(uplink_module, "DISK_RETRY_S", 0.02)
    async with FakeCloud() as cloud, box(tmp_path, cloud) as outbox:
        await delivered(outbox)
        requests = len(cloud.gateways["gw"].orders)
        acknowledge, refused = outbox._urgent.file.acknowledge, []

        def refuses(cursor):
            if len(refused) < 5:
                refused.append(cursor)
                raise sqlite3.OperationalError("database or disk is full")
            return acknowledge(cursor)

        monkeypatch.setattr(outbox._urgent.file, "acknowledge", refuses)
        await outbox.put([state("smoke", 7)])
        await delivered(outbox)
        assert len(refused) == 5
        assert (words(cloud), cloud.sessions) == ([7], 1)
        assert len(cloud.gateways["gw"].orders) == requests + 1


async def test_bulk_that_waits_for_a_clock_ends_no_session(tmp_path):
    async with FakeCloud() as cloud:
        cloud.utc_ns = lambda: 2**70  # a time that cannot be is not used, and nothing breaks of it
        async with box(tmp_path, cloud) as outbox:
            await fill(outbox, 0, 1)
            await eventually(lambda: "no clock record" in outbox.uplink.status.problem)
            await outbox.put([state("smoke", 7)])
            await cloud.until(lambda: words(cloud)[-1] == 7)
            assert cloud.sessions == 1
            assert not any(isinstance(r, ClockRecord) for r in cloud.gateways["gw"].urgent.items)


@pytest.mark.parametrize("expires_s", [0.0, -1.0, 1e-9, 1e308])
async def test_a_token_that_is_said_to_last_no_time_is_not_renewed_in_a_loop(tmp_path, expires_s):
    async with FakeCloud(expires_s=expires_s) as cloud, box(tmp_path, cloud) as outbox:
        await fill(outbox, 0, 2)
        await delivered(outbox)
        await asyncio.sleep(0.1)
        assert (words(cloud), cloud.sessions) == ([0, 1], 1)


@pytest.mark.parametrize(("said", "taken"), [(0.0, 60.0), (900.0, 900.0), (1e308, 86400.0), (float("inf"), 86400.0)])
def test_a_token_lasts_within_reason(said, taken):
    reply = SessionReply("t", said, 0, NO_CURSOR, NO_CURSOR)
    assert session.Opened(reply, 0, 0).expires_s == taken


async def test_a_cursor_that_cannot_be_moves_nothing(tmp_path):
    async with FakeCloud() as cloud, box(tmp_path, cloud) as outbox:
        await delivered(outbox)

        def strange(_):
            head = outbox.head(Lane.URGENT)
            return web.Response(body=msgspec.json.encode(BlocksReply(Cursor(head.epoch, head.number, 2**63))))

        cloud.faults.append(strange)
        await outbox.put([state("smoke", 1)])
        await delivered(outbox)
        assert words(cloud) == [1]


async def test_an_answer_without_end_is_not_read_to_its_end(tmp_path):
    sent = []

    async def endless(request):
        response = web.StreamResponse()
        await response.prepare(request)
        with contextlib.suppress(ConnectionError):
            while len(sent) < 1_000:
                await response.write(b" " * 65_536)
                sent.append(65_536)
        return response

    async with FakeCloud() as cloud, box(tmp_path, cloud) as outbox:
        await delivered(outbox)
        cloud.faults.append(endless)
        await outbox.put([state("smoke", 1)])
        await delivered(outbox)
        assert words(cloud) == [1]
        assert len(sent) < 500


async def test_an_answer_that_would_unpack_to_much_is_not_unpacked(tmp_path):
    bomb = gzip.compress(b" " * (10 << 20) + msgspec.json.encode(BlocksReply(NO_CURSOR)))
    assert len(bomb) < session.MAX_REPLY_BYTES
    headers = {"Content-Encoding": "gzip"}
    async with FakeCloud() as cloud, box(tmp_path, cloud) as outbox:
        await delivered(outbox)
        cloud.faults.append(lambda _: web.Response(body=bomb, headers=headers))
        with structlog.testing.capture_logs() as logs:
            await outbox.put([state("smoke", 1)])
            await delivered(outbox)
        assert any("JSON is malformed" in str(entry.get("problem")) for entry in logs)
        assert words(cloud) == [1]


async def test_an_unknown_gateway_is_said_and_tried_again(tmp_path, monkeypatch):
    async with FakeCloud() as cloud, box(tmp_path, cloud) as outbox:
        await delivered(outbox)
        gateway = cloud.gateways.pop("gw")
        cloud.tokens.clear()
        await outbox.put([state("smoke", 1)])
        await eventually(lambda: "does not know this gateway" in outbox.uplink.status.problem)
        assert gateway.urgent.cursor != NO_CURSOR


async def test_killed_at_any_point_nothing_is_lost_or_doubled(tmp_path):
    """Copies of the state folder, taken while blocks are under way, go on where they were."""
    async with FakeCloud() as cloud:
        folder, sent = tmp_path / "0", 0
        for run in range(1, 6):
            async with box(folder, cloud) as outbox:
                cloud.cut_after_commit = run % 3
                for _ in range(7):
                    await outbox.put([state("smoke", sent)])
                    sent += 1
                shutil.copytree(folder, tmp_path / str(run))
            folder = tmp_path / str(run)
        async with box(folder, cloud) as outbox:
            await delivered(outbox)
        assert words(cloud) == list(range(sent))


async def test_it_can_be_stopped_in_the_moment_its_session_fails(tmp_path, monkeypatch):
    """A TaskGroup whose task fails while it is being cancelled forgets the cancelling: the box would never stop."""
    serving = asyncio.Event()

    async def fails_when_cancelled():
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            raise Retryable("the connection was cut") from None

    async def serve(*_):
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(fails_when_cancelled())
            serving.set()

    monkeypatch.setattr(Uplink, "_serve", serve)
    async with asyncio.timeout(5), FakeCloud() as cloud, box(tmp_path, cloud):
        await serving.wait()


async def test_it_says_that_it_lives_and_what_it_keeps(tmp_path):
    async with FakeCloud() as cloud, box(tmp_path / "box", cloud, terms=Terms(beat_s=0.05)) as outbox:
        await outbox.put([state("smoke", 1)])
        await delivered(outbox)
        beats = cloud.gateways["gw"].beats
        known = len(beats)
        await eventually(lambda: len(beats) >= known + 3)
        assert (beats[-1].urgent_blocks, beats[-1].bulk_blocks) == (0, 0)


async def test_row_22_a_box_that_booted_in_1970_and_got_time_an_hour_later_ends_with_right_times(tmp_path):
    """Also for what was sealed before, by a box that never reached the cloud in that boot."""
    hour_ns, truth_ns = 3600 * 10**9, 1_800_000_000 * 10**9
    first = b"booted in 1970!!"

    async def at_once(_: float) -> None:
        raise Enough

    async with Outbox.open(tmp_path, boot=first, storage=STORAGE, inventory=INVENTORY) as outbox:
        await outbox.put([state("smoke", 60 * 10**9), telemetry(1.0, 60 * 10**9)])
        await outbox.flush()
        right = SystemTime(hour_ns, truth_ns + hour_ns, 5_000_000)
        with suppress(Enough):
            await keep_system_time(CloudClock(first, None), outbox.record, at_once, lambda: right)
    async with FakeCloud() as cloud, box(tmp_path, cloud, boot=b"the boot after!!") as outbox:
        await delivered(outbox)
        gateway = cloud.gateways["gw"]
        clock = gateway.clocks[first]
        assert clock.source == "system"
        for (sealed,) in (gateway.bulk.items, [r for r in gateway.urgent.items if isinstance(r, StateRecord)]):
            assert sealed.mono_ns - clock.mono_ns + clock.utc_ns == truth_ns + 60 * 10**9
        assert gateway.refusals == []


class Enough(Exception):  # noqa: N818
    """Ends a loop that has no end."""
