"""The snapshot as Prometheus metrics. Names end in their unit."""

from collections.abc import Callable, Iterator

from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric, SummaryMetricFamily
from prometheus_client.registry import Collector

from edge.health.status import BoxStatus

S = 1e9


class BoxCollector(Collector):
    """Makes every metric from one snapshot, when asked."""

    def __init__(self, snapshot: Callable[[], BoxStatus]) -> None:
        self._snapshot = snapshot

    def collect(self) -> Iterator[Metric]:
        """Yields the metrics of this moment."""
        box = self._snapshot()
        info = GaugeMetricFamily("anju_box_info", "What runs here.", labels=("gateway", "version"))
        info.add_metric((box.gateway, box.version), 1)
        yield info
        yield GaugeMetricFamily("anju_box_uptime_seconds", "Since this run began.", (box.now_ns - box.started_ns) / S)
        yield GaugeMetricFamily("anju_box_clock_known", "Whether the cloud's time is known.", box.utc_ns is not None)
        devices = GaugeMetricFamily("anju_box_devices", "Devices by link.", labels=("link",))
        for link, names in (("online", box.online), ("offline", box.offline), ("unknown", box.unknown)):
            devices.add_metric((link,), len(names))
        yield devices
        yield CounterMetricFamily("anju_box_samples", "Values read from devices, failed reads included.", box.samples)
        yield CounterMetricFamily("anju_box_ignored_samples", "Samples of points that no profile has.", box.ignored)
        yield GaugeMetricFamily("anju_box_failing_points", "Points whose last read failed.", len(box.errors))
        readings = CounterMetricFamily("anju_box_readings", "Readings worth reporting.", labels=("stream",))
        for lane, count in box.readings.items():
            readings.add_metric((lane,), count)
        yield readings
        yield CounterMetricFamily("anju_box_events", "Events worth reporting.", box.events)
        yield GaugeMetricFamily(
            "anju_box_config_as_written", "Whether what runs is what the site file says.", not box.config_problem
        )
        restarts = CounterMetricFamily("anju_box_bus_restarts", "Failures of a driver within the box.", labels=("bus",))
        for bus, times in box.restarts.items():
            restarts.add_metric((bus,), times)
        yield restarts
        if box.written_bytes is not None:
            yield CounterMetricFamily("anju_box_written_bytes", "Bytes written to storage (wear).", box.written_bytes)
        yield from _uplink(box)
        yield from _streams(box)
        yield from _buses(box)


def _uplink(box: BoxStatus) -> Iterator[Metric]:
    up = box.uplink
    yield GaugeMetricFamily("anju_box_uplink_connected", "Whether a session with the cloud is open.", up.connected)
    yield GaugeMetricFamily("anju_box_uplink_state_seconds", "How long it has been so.", (box.now_ns - up.since_ns) / S)
    yield CounterMetricFamily("anju_box_uplink_sessions", "Sessions opened.", up.sessions)
    yield CounterMetricFamily("anju_box_uplink_sent_blocks", "Blocks sent and answered.", up.sent_blocks)
    yield CounterMetricFamily("anju_box_uplink_sent_bytes", "Bytes of those blocks.", up.sent_bytes)
    yield CounterMetricFamily("anju_box_uplink_quarantined_blocks", "Blocks the cloud set aside.", up.quarantined)


def _streams(box: BoxStatus) -> Iterator[Metric]:
    gauges = {
        "pending_blocks": "Sealed blocks not yet delivered.",
        "waiting_items": "Records or readings in memory, not yet sealed.",
        "used_bytes": "Bytes of the stream's file in use.",
        "quota_bytes": "Bytes it may use.",
    }
    counters = {
        "sealed_blocks": "Blocks sealed.",
        "sealed_items": "Records or readings sealed.",
        "delivered_blocks": "Blocks the cloud committed.",
        "delivered_items": "Records or readings in those blocks.",
        "lost_items": "Records or readings given up and declared.",
    }
    for name, text in gauges.items():
        gauge = GaugeMetricFamily(f"anju_box_outbox_{name}", text, labels=("stream",))
        for lane, stream in box.streams.items():
            gauge.add_metric((lane,), getattr(stream, name))
        yield gauge
    for name, text in counters.items():
        counter = CounterMetricFamily(f"anju_box_outbox_{name}", text, labels=("stream",))
        for lane, stream in box.streams.items():
            counter.add_metric((lane,), getattr(stream, name))
        yield counter
    failing = GaugeMetricFamily("anju_box_outbox_failing", "Whether the disk refuses its blocks.", labels=("stream",))
    for lane, stream in box.streams.items():
        failing.add_metric((lane,), bool(stream.failing))
    yield failing


def _buses(box: BoxStatus) -> Iterator[Metric]:
    counters = {
        "polls": "Polls a unit answered, in full or not.",
        "failures": "Polls not answered in full.",
        "skipped": "Polls that were due and not made, because the bus was busy.",
        "late": "Answers thrown away because no open question was theirs.",
        "reconnects": "Connections made anew.",
    }
    for name, text in counters.items():
        counter = CounterMetricFamily(f"anju_box_bus_{name}", text, labels=("bus",))
        for bus in box.buses:
            counter.add_metric((bus.bus,), getattr(bus, name))
        yield counter
    latency = SummaryMetricFamily("anju_box_bus_answer_seconds", "From question to answer.", labels=("bus",))
    connected = GaugeMetricFamily("anju_box_bus_connected", "Whether the endpoint is connected.", labels=("bus",))
    silent = GaugeMetricFamily("anju_box_bus_silent_units", "Units backed off for silence.", labels=("bus",))
    age = GaugeMetricFamily("anju_box_bus_last_poll_age_seconds", "Since the last poll.", labels=("bus",))
    for bus in box.buses:
        latency.add_metric((bus.bus,), bus.answers, bus.latency_sum_s)
        connected.add_metric((bus.bus,), bus.connected)
        silent.add_metric((bus.bus,), bus.silent_units)
        if bus.last_poll_ns:
            age.add_metric((bus.bus,), (box.now_ns - bus.last_poll_ns) / S)
    yield from (latency, connected, silent, age)


def registry_of(snapshot: Callable[[], BoxStatus]) -> CollectorRegistry:
    """A registry of this box alone."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(BoxCollector(snapshot))
    return registry
