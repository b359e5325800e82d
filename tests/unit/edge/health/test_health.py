"""The page and the metrics of a box, and that nothing depends on them."""

import re

import aiohttp
import pytest
from prometheus_client.parser import text_string_to_metric_families

from contract.errors import AnjuError
from contract.kinds import Lane
from edge.health import BoxStatus, BusStatus, serve_health
from edge.health.page import render_page
from edge.health.server import parse_listen
from edge.seams import StreamStatus, UplinkStatus

S = 1_000_000_000


def status(**changes) -> BoxStatus:
    stream = StreamStatus(3, 1, 4096, 8 << 20, 10, 20, 7, 14, 0, "")
    fields = {
        "version": "0.1", "gateway": "gw-1", "estate": "<Estate>", "cloud": "https://cloud", "now_ns": 100 * S,
        "started_ns": 10 * S, "utc_ns": 1_800_000_000 * S,
        "uplink": UplinkStatus(connected=True, since_ns=40 * S, sent_blocks=7), "streams": dict.fromkeys(Lane, stream),
        "buses": [BusStatus("bus", True, 1, 50, 2, 1, 0, 1, 48, 0.5, 99 * S), BusStatus("other")],
        "samples": 100, "readings": {Lane.URGENT: 5, Lane.BULK: 60}, "online": ["a", "b"], "offline": ["c"],
        "unknown": [], "written_bytes": 12345,
    }  # fmt: skip
    return BoxStatus(**fields | changes)


def test_page_says_how_it_is_in_both_languages():
    page = render_page(status())
    assert "已连接 connected · 1 min 0 s" in page
    assert "&lt;Estate&gt;" in page
    assert "<Estate>" not in page
    assert "离线 offline" in page
    assert "2027-01-15 08:00:00 UTC" in page
    lost = render_page(status(uplink=UplinkStatus(connected=False, since_ns=0, problem="no <network>"), utc_ns=None))
    assert "未连接 not connected · 1 min 40 s" in lost
    assert "no &lt;network&gt;" in lost
    assert "not known yet" in lost


async def test_serves_metrics_that_parse_and_end_in_units():
    async with serve_health("127.0.0.1:0", status) as port, aiohttp.ClientSession() as http:
        async with http.get(f"http://127.0.0.1:{port}/metrics") as response:
            text = await response.text()
        async with http.get(f"http://127.0.0.1:{port}/") as response:
            assert response.headers["Content-Security-Policy"].startswith("default-src 'none'")
    samples = {
        (sample.name, *sorted(sample.labels.values())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }
    assert samples["anju_box_outbox_pending_blocks", "bulk"] == 3
    assert samples["anju_box_readings_total", "bulk"] == 60
    assert samples["anju_box_bus_polls_total", "bus"] == 50
    assert samples["anju_box_bus_answer_seconds_sum", "bus"] == 0.5
    assert samples["anju_box_bus_last_poll_age_seconds", "bus"] == 1.0
    assert ("anju_box_bus_last_poll_age_seconds", "other") not in samples
    assert samples["anju_box_written_bytes_total",] == 12345
    assert not re.search(r"^anju_box_\S+ NaN", text, re.MULTILINE)


async def test_a_taken_port_is_said_and_the_box_goes_on():
    async with serve_health("127.0.0.1:0", status) as port, serve_health(f"127.0.0.1:{port}", status) as second:
        assert second == 0


@pytest.mark.parametrize("text", ["8081", "host:", "host:http", "host:70000"])
def test_a_bad_address_is_told(text):
    with pytest.raises(AnjuError, match="write host:port"):
        parse_listen(text)
