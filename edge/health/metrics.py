"""The snapshot as Prometheus metrics. Names end in their unit."""

from collections.abc import Iterator

from edge.health.exposition import Family, counter, gauge, summary
from edge.health.status import BoxStatus

S = 1e9


def metrics_of(box: BoxStatus) -> Iterator[Family]:
    """Yields the metrics of one moment."""
    info = gauge("anju_box_info", "What runs here.", labels=("gateway", "version"))
    info.add((box.gateway, box.version), 1)
    yield info
    yield gauge("anju_box_uptime_seconds", "Since this run began.", (box.now_ns - box.started_ns) / S)
    yield gauge("anju_box_clock_known", "Whether the cloud's time is known.", box.utc_ns is not None)
    devices = gauge("anju_box_devices", "Devices by link.", labels=("link",))
    for link, names in (("online", box.online), ("offline", box.offline), ("unknown", box.unknown)):
        devices.add((link,), len(names))
    yield devices
    yield counter("anju_box_samples", "Values read from devices, failed reads included.", box.samples)
    yield counter("anju_box_ignored_samples", "Samples of points that no profile has.", box.ignored)
    yield gauge("anju_box_failing_points", "Points whose last read failed.", len(box.errors))
    readings = counter("anju_box_readings", "Readings worth reporting.", labels=("stream",))
    for lane, count in box.readings.items():
        readings.add((lane,), count)
    yield readings
    yield counter("anju_box_events", "Events worth reporting.", box.events)
    yield gauge("anju_box_config_as_written", "Whether what runs is what the site file says.", not box.config_problem)
    restarts = counter("anju_box_bus_restarts", "Failures of a driver within the box.", labels=("bus",))
    for bus, times in box.restarts.items():
        restarts.add((bus,), times)
    yield restarts
    yield gauge("anju_box_tasks", "Tasks of the event loop: a number that grows for ever is a leak.", box.tasks)
    if box.written_bytes is not None:
        yield counter("anju_box_written_bytes", "Bytes written to storage (wear).", box.written_bytes)
    if box.written_day_bytes is not None:
        yield gauge("anju_box_written_day_bytes", "Bytes written to storage in a day (wear).", box.written_day_bytes)
    yield from _uplink(box)
    yield from _streams(box)
    yield from _buses(box)


def _uplink(box: BoxStatus) -> Iterator[Family]:
    up = box.uplink
    yield gauge("anju_box_uplink_connected", "Whether a session with the cloud is open.", up.connected)
    yield gauge("anju_box_uplink_state_seconds", "How long it has been so.", (box.now_ns - up.since_ns) / S)
    yield counter("anju_box_uplink_sessions", "Sessions opened.", up.sessions)
    yield counter("anju_box_uplink_sent_blocks", "Blocks sent and answered.", up.sent_blocks)
    yield counter("anju_box_uplink_sent_bytes", "Bytes of those blocks.", up.sent_bytes)
    yield counter("anju_box_uplink_quarantined_blocks", "Blocks the cloud set aside.", up.quarantined)
    wire = counter("anju_box_uplink_wire_bytes", "Bytes of the link with the cloud, all headers in.", labels=("way",))
    wire.add(("sent",), up.wire_sent_bytes)
    wire.add(("received",), up.wire_received_bytes)
    yield wire
    yield gauge("anju_box_uplink_month_bytes", "Bytes of this month, both ways.", up.month_bytes)
    if up.budget_bytes:
        yield gauge("anju_box_uplink_budget_bytes", "Bytes that a month may cost.", up.budget_bytes)
    yield gauge("anju_box_uplink_bulk_held", "Whether telemetry waits for the data budget's sake.", up.is_bulk_held)


def _streams(box: BoxStatus) -> Iterator[Family]:
    gauges = {
        "pending_blocks": "Sealed blocks not yet delivered.",
        "waiting_items": "Records or readings in memory, not yet sealed.",
        "used_bytes": "Bytes of the stream's file in use.",
        "quota_bytes": "Bytes it may use.",
    }
    counters = {
        "sealed_blocks": "Blocks sealed.",
        "sealed_items": "Records or readings sealed.",
        "sealed_bytes": "Bytes of those blocks; anju_box_written_bytes has all that is written for them.",
        "delivered_blocks": "Blocks the cloud committed.",
        "delivered_items": "Records or readings in those blocks.",
        "lost_items": "Records or readings given up and declared.",
    }
    for name, text in gauges.items():
        series = gauge(f"anju_box_outbox_{name}", text, labels=("stream",))
        for lane, stream in box.streams.items():
            series.add((lane,), getattr(stream, name))
        yield series
    for name, text in counters.items():
        series = counter(f"anju_box_outbox_{name}", text, labels=("stream",))
        for lane, stream in box.streams.items():
            series.add((lane,), getattr(stream, name))
        yield series
    failing = gauge("anju_box_outbox_failing", "Whether the disk refuses its blocks.", labels=("stream",))
    for lane, stream in box.streams.items():
        failing.add((lane,), bool(stream.failing))
    yield failing


def _buses(box: BoxStatus) -> Iterator[Family]:
    counters = {
        "polls": "Polls a unit answered, in full or not.",
        "failures": "Polls not answered in full.",
        "skipped": "Polls that were due and not made, because the bus was busy.",
        "late": "Answers thrown away because no open question was theirs.",
        "reconnects": "Connections made anew.",
    }
    for name, text in counters.items():
        series = counter(f"anju_box_bus_{name}", text, labels=("bus",))
        for bus in box.buses:
            series.add((bus.bus,), getattr(bus, name))
        yield series
    latency = summary("anju_box_bus_answer_seconds", "From question to answer.", labels=("bus",))
    connected = gauge("anju_box_bus_connected", "Whether the endpoint is connected.", labels=("bus",))
    silent = gauge("anju_box_bus_silent_units", "Units backed off for silence.", labels=("bus",))
    age = gauge("anju_box_bus_last_poll_age_seconds", "Since the last poll.", labels=("bus",))
    for bus in box.buses:
        latency.add((bus.bus,), bus.answers, bus.latency_sum_s)
        connected.add((bus.bus,), bus.connected)
        silent.add((bus.bus,), bus.silent_units)
        if bus.last_poll_ns:
            age.add((bus.bus,), (box.now_ns - bus.last_poll_ns) / S)
    yield from (latency, connected, silent, age)
