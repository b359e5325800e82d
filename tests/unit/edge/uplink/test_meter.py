"""The data budget: what a month carried is known over restarts, and the last of it is kept for what is urgent."""

import asyncio
from datetime import UTC, datetime
from types import SimpleNamespace
from zoneinfo import ZoneInfo

import pytest
import structlog

from contract.site import Cloud
from contract.site.common import URGENT_SHARE
from edge.uplink import meter as meter_module
from edge.uplink.meter import KEEP_BYTES, TRAFFIC_FILE, Meter
from edge.uplink.terms import terms_of
from tests.support.waiting import eventually

MB = 1_000_000
SHANGHAI = ZoneInfo("Asia/Shanghai")


class Counts:
    """What a link carried, as edge.http.client.Traffic has it."""

    def __init__(self):
        self.sent_bytes = self.received_bytes = 0

    def look(self):
        """Nothing is to be looked at here."""


def at(*when, zone=SHANGHAI):
    return round(datetime(*when, tzinfo=zone).timestamp() * 1e9)


NOVEMBER = at(2026, 11, 24)


def metered(folder, budget_mb=100, now=NOVEMBER, **more):
    box = SimpleNamespace(traffic=Counts(), utc_ns=now)
    terms = terms_of(Cloud(url="https://cloud", budget_mb_month=budget_mb, **({"metered": True} | more)))
    box.meter = Meter(folder, "Asia/Shanghai", terms, box.traffic, lambda: box.utc_ns)
    return box


def test_both_ways_count_and_a_new_month_in_the_estates_zone_begins_at_nothing(tmp_path):
    box = metered(tmp_path, now=at(2026, 11, 30, 23, 59))
    box.traffic.sent_bytes, box.traffic.received_bytes = 3 * MB, MB
    box.meter.look()
    assert box.meter.month_bytes == 4 * MB
    box.utc_ns = at(2026, 11, 30, 16, 1, zone=UTC)  # a minute after midnight in Shanghai
    box.traffic.sent_bytes += 7
    box.meter.look()
    assert box.meter.month_bytes == 7


def test_a_clock_that_was_wrong_for_a_moment_gives_no_second_budget(tmp_path):
    box = metered(tmp_path)
    box.traffic.sent_bytes = MB
    box.meter.look()
    box.utc_ns = at(2026, 10, 3)
    box.meter.look()
    assert box.meter.month_bytes == MB
    box.utc_ns = None
    box.traffic.sent_bytes += 1
    box.meter.look()
    assert box.meter.month_bytes == MB + 1


def test_telemetry_stops_where_the_rest_is_needed_for_what_is_urgent_and_goes_again(tmp_path):
    box = metered(tmp_path, budget_mb=100, now=at(2026, 11, 24, 12))
    kept = round(6.5 * MB) + 100 * MB // URGENT_SHARE
    assert box.meter.reserved_bytes == kept
    box.traffic.sent_bytes = 100 * MB - kept
    assert not box.meter.holds_bulk
    with structlog.testing.capture_logs() as logs:
        box.traffic.sent_bytes += 1
        assert box.meter.holds_bulk
        assert box.meter.holds_bulk
        box.utc_ns = at(2026, 11, 24, 12, 1)
        assert box.meter.holds_bulk, "a minute gives less than is worth a head"
        box.utc_ns = at(2026, 11, 24, 18)
        assert not box.meter.holds_bulk, "each day that passes needs no keeping in touch any more"
        box.traffic.sent_bytes += 90 * MB
        assert box.meter.holds_bulk
        box.utc_ns = at(2026, 12, 1)
        assert not box.meter.holds_bulk
    assert [entry["log_level"] for entry in logs if "telemetry" in entry["event"]] == ["warning", "info"] * 2


def test_a_box_that_keeps_in_touch_as_often_as_it_likes_keeps_more_for_it(tmp_path):
    box = metered(tmp_path, budget_mb=400, now=at(2026, 11, 24, 12), metered=False)
    assert box.meter.reserved_bytes == round(6.5 * 5 * MB) + 40 * MB


def test_without_a_budget_nothing_is_held(tmp_path):
    box = metered(tmp_path, budget_mb=0)
    box.traffic.sent_bytes = 10**15
    assert not box.meter.holds_bulk
    assert box.meter.reserved_bytes == 0


async def test_what_a_month_carried_is_known_after_a_restart_and_costs_few_writes(tmp_path, monkeypatch):
    monkeypatch.setattr(meter_module, "LOOK_S", 0.01)
    box = metered(tmp_path)
    keeping = asyncio.create_task(box.meter.keep())
    box.traffic.received_bytes = KEEP_BYTES - 1
    await eventually(lambda: box.meter.month_bytes == KEEP_BYTES - 1)
    await asyncio.sleep(0)
    assert not (tmp_path / TRAFFIC_FILE).exists()
    box.traffic.received_bytes += 1
    await eventually((tmp_path / TRAFFIC_FILE).exists)
    assert metered(tmp_path).meter.month_bytes == KEEP_BYTES
    box.traffic.received_bytes += 5
    keeping.cancel()
    await asyncio.gather(keeping, return_exceptions=True)
    assert metered(tmp_path).meter.month_bytes == KEEP_BYTES + 5


@pytest.mark.parametrize("content", [b"", b"{", b'{"month": "2026-11", "bytes": -1}', b"\xff" * 10_000])
def test_a_damaged_file_is_said_and_counts_from_nothing(tmp_path, content):
    (tmp_path / TRAFFIC_FILE).write_bytes(content)
    with structlog.testing.capture_logs() as logs:
        assert metered(tmp_path).meter.month_bytes == 0
    assert "not known any more" in logs[0]["event"]
