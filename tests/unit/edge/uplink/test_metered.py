"""An uplink that is paid for by the byte: what its beats tell, when telemetry waits, and when it need not."""

import asyncio
import itertools
from types import SimpleNamespace

import msgspec
import pytest

from contract.kinds import Lane
from contract.session import BusReport, GatewayReport
from contract.site import Cloud
from edge.uplink import uplink as uplink_module
from edge.uplink.terms import Terms, terms_of
from tests.support.fake_cloud import FakeCloud
from tests.support.waiting import eventually
from tests.unit.edge.outbox.examples import state, telemetry
from tests.unit.edge.uplink.test_uplink import box, delivered, fill, values, words

REPORT = GatewayReport(
    version="0", uptime_s=1, sent_bytes=1, received_bytes=1, month_bytes=1, budget_bytes=0, is_metered=True,
    is_bulk_held=False, written_bytes_a_day=0, disk_free_bytes=1, disk_total_bytes=1, is_in_memory=False,
    clock_source="session", clock_uncertainty_ns=1, machine_clock_off_ns=None, lost_items=0, is_identity_shared=False,
    buses=(BusReport("bus", "modbus-tcp", True, 1, 0, 1.0),),
)  # fmt: skip


def test_the_terms_of_a_site():
    plain = terms_of(Cloud(url="https://cloud"))
    assert (plain.beat_s, plain.heartbeat_s, plain.bulk_every_s, plain.max_bytes_s, plain.month_bytes) == (
        20.0, 10.0, 0.0, None, 0
    )  # fmt: skip
    metered = terms_of(Cloud(url="https://cloud", metered=True, max_kbit_s=128, budget_mb_month=300))
    assert (metered.beat_s, metered.heartbeat_s, metered.bulk_every_s) == (60.0, 120.0, 300.0)
    assert (metered.max_bytes_s, metered.month_bytes) == (16_000, 300_000_000)
    assert (plain.report_least_s, metered.report_least_s) == (0.0, 300.0)


async def test_a_report_goes_with_the_first_beat_and_when_something_of_weight_changed(tmp_path):
    said = {"report": REPORT}

    def changed(**changes):
        said["report"] = msgspec.structs.replace(said["report"], **changes)

    more = {"terms": Terms(beat_s=0.02), "report": lambda: said["report"]}
    async with FakeCloud() as cloud, box(tmp_path, cloud, **more):
        await eventually(lambda: len(cloud.gateways["gw"].beats) >= 4)
        beats = cloud.gateways["gw"].beats
        assert [beat.report for beat in beats[:4]] == [REPORT, None, None, None]
        changed(uptime_s=5.0, sent_bytes=7, month_bytes=9)
        known = len(beats)
        await eventually(lambda: len(beats) >= known + 3)
        assert not any(beat.report for beat in beats[known:]), "what always changes can wait for its hour"
        changed(is_in_memory=True)
        await eventually(lambda: beats[-1].report is not None or any(beat.report for beat in beats[known:]))
        told = [beat.report for beat in beats[known:] if beat.report]
        assert [report.is_in_memory for report in told] == [True]


async def test_a_report_that_the_cloud_does_not_take_ends_no_session_and_is_tried_again_later(tmp_path, monkeypatch):
    said = {"report": REPORT}
    more = {"terms": Terms(beat_s=0.02), "report": lambda: said["report"]}
    async with FakeCloud() as cloud:
        cloud.refused_reports = []
        async with box(tmp_path, cloud, **more):
            await eventually(lambda: len(cloud.gateways["gw"].beats) >= 3)
            said["report"] = msgspec.structs.replace(REPORT, is_in_memory=True)
            known = len(cloud.gateways["gw"].beats)
            await eventually(lambda: len(cloud.gateways["gw"].beats) >= known + 3)
            assert (cloud.sessions, cloud.refused_reports) == (1, [REPORT])
            refused, cloud.refused_reports = cloud.refused_reports, None
            monkeypatch.setattr("edge.uplink.reports.REPORT_EVERY_S", 0.1)
            await eventually(lambda: any(beat.report for beat in cloud.gateways["gw"].beats))
            assert (cloud.sessions, refused) == (1, [REPORT])


async def test_a_bus_that_comes_and_goes_brings_no_report_with_each_beat_of_a_metered_link(tmp_path):
    made = itertools.count()

    def report():
        bus = msgspec.structs.replace(REPORT.buses[0], is_up=bool(next(made) % 2))
        return msgspec.structs.replace(REPORT, buses=(bus,))

    def told(beats):
        return sum(beat.report is not None for beat in beats)

    async with FakeCloud() as cloud:
        async with box(tmp_path, cloud, terms=Terms(beat_s=0.02, report_least_s=300.0), report=report):
            beats = cloud.gateways["gw"].beats
            await eventually(lambda: len(beats) >= 10)
            assert told(beats) == 1
        async with box(tmp_path, cloud, terms=Terms(beat_s=0.02, report_least_s=0.1), report=report):
            await eventually(lambda: told(beats) >= 4)


async def test_on_a_metered_link_who_sends_blocks_need_not_beat(tmp_path):
    async with FakeCloud() as cloud, box(tmp_path, cloud, terms=Terms(is_metered=True, beat_s=0.3)) as outbox:
        await delivered(outbox)
        gateway = cloud.gateways["gw"]
        await eventually(lambda: gateway.beats and gateway.beats[-1].urgent_blocks == 0)
        known = len(gateway.beats)
        for n in range(30):  # for as long as four beats, after which one goes all the same
            await outbox.put([state("smoke" if n % 2 else "clear", n)])
            await outbox.wait_until_delivered(Lane.URGENT)
            await asyncio.sleep(0.05)
        assert len(gateway.beats) <= known + 1 + 1
        await eventually(lambda: len(gateway.beats) > known + 1)


async def test_telemetry_goes_together_on_a_metered_link_and_alarms_at_once(tmp_path):
    terms = Terms(is_metered=True, beat_s=5, bulk_every_s=1.0)
    async with FakeCloud() as cloud, box(tmp_path, cloud, terms=terms) as outbox:
        await fill(outbox, 0, 1)
        await delivered(outbox)
        gateway = cloud.gateways["gw"]
        before = gateway.orders.count(Lane.BULK)
        for n in range(1, 5):
            await fill(outbox, n, 1)
            await asyncio.sleep(0.05)
        await outbox.wait_until_delivered(Lane.URGENT)
        assert words(cloud) == [0, 1, 2, 3, 4]
        assert values(cloud) == [0]
        await delivered(outbox)
        assert values(cloud) == [0, 1, 2, 3, 4]
        assert gateway.orders.count(Lane.BULK) == before + 1


async def test_a_backlog_goes_without_leisure(tmp_path):
    terms = Terms(is_metered=True, beat_s=5, bulk_every_s=60.0)
    async with FakeCloud() as cloud, box(tmp_path, cloud, terms=terms) as outbox:
        await fill(outbox, 0, 1)
        await delivered(outbox)
        await cloud.stop()
        for n in range(1, 21):
            await fill(outbox, n, 1)
        await cloud.start()
        await eventually(lambda: len(values(cloud)) == 21, 15)


async def test_without_budget_telemetry_is_kept_and_alarms_go(tmp_path, monkeypatch):
    monkeypatch.setattr(uplink_module, "BUDGET_LOOK_S", 0.05)
    meter = SimpleNamespace(holds_bulk=True, month_bytes=7, budget_bytes=9, look=lambda: None)
    async with FakeCloud() as cloud, box(tmp_path, cloud, meter=lambda _: meter) as outbox:
        await fill(outbox, 0, 3)
        await outbox.wait_until_delivered(Lane.URGENT)
        await eventually(lambda: outbox.uplink.look().is_bulk_held)
        assert (outbox.uplink.look().month_bytes, outbox.uplink.look().budget_bytes) == (7, 9)
        assert words(cloud) == [0, 1, 2]
        assert values(cloud) == []
        meter.holds_bulk = False
        await delivered(outbox)
        assert values(cloud) == [0, 1, 2]
        assert not outbox.uplink.look().is_bulk_held


@pytest.mark.parametrize("max_bytes_s", [4_000.0])
async def test_a_cap_holds_telemetry_and_not_alarms(tmp_path, max_bytes_s):
    async with FakeCloud() as cloud, box(tmp_path, cloud, terms=Terms(max_bytes_s=max_bytes_s)) as outbox:
        await delivered(outbox)
        clock = asyncio.get_running_loop().time
        for n in range(8):
            await outbox.put([telemetry(n + k / 977, n * 10**9 + k * 1_000_000) for k in range(200)])
            await outbox.flush()
        began, kept = clock(), outbox.status(Lane.BULK).pending_blocks
        assert kept
        await outbox.put([state("smoke", 10**12)])
        await outbox.wait_until_delivered(Lane.URGENT)
        assert clock() - began < 0.5
        sent = outbox.uplink.status.sent_bytes
        await delivered(outbox, 20)
        assert outbox.uplink.status.sent_bytes - sent <= max_bytes_s * (clock() - began + 1)


async def test_a_beat_does_not_wait_for_a_request_of_bulk_that_takes_long(tmp_path, monkeypatch):
    monkeypatch.setattr(uplink_module, "TURN_S", 0.1)
    held, is_held = asyncio.Event(), asyncio.Event()

    async def hold(request):
        is_held.set()
        await held.wait()

    async with FakeCloud() as cloud, box(tmp_path, cloud, terms=Terms(is_metered=True, beat_s=0.02)) as outbox:
        await delivered(outbox)
        cloud.faults.append(hold)
        await outbox.put([telemetry(1.0, 1)])
        await outbox.flush()
        await is_held.wait()
        beats = cloud.gateways["gw"].beats
        known = len(beats)
        await eventually(lambda: len(beats) >= known + 3)
        held.set()
        await delivered(outbox)
