"""What the box tells its cloud of itself, with a beat now and then: put together from what its stages say."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from contract.kinds import Lane
from contract.session import MAX_BUSES_REPORTED, BusReport, GatewayReport
from contract.site import AnyBus, ResolvedDevice
from edge.counts import BusCounts
from edge.health.status import BoxStatus
from edge.outbox.room import measure_disk
from edge.uplink import CloudClock, Uplink, machine_off_ns

_S: Final = 1e9
_MOST: Final = (1 << 62) - 1


def report_of(
    box: BoxStatus, uplink: Uplink, clock: CloudClock, buses: Sequence[AnyBus], devices: Sequence[ResolvedDevice],
    state_dir: Path,
) -> GatewayReport:  # fmt: skip
    """The report of this moment. What cannot be known at the moment is 0."""
    uptime_s = max(0.0, (box.now_ns - box.started_ns) / _S)
    link, terms, time_of = box.uplink, uplink.terms, clock.record
    try:
        total, free = measure_disk(state_dir)
    except OSError:
        total = free = 0
    return GatewayReport(
        version=box.version[:50],
        uptime_s=uptime_s,
        sent_bytes=link.wire_sent_bytes,
        received_bytes=link.wire_received_bytes,
        month_bytes=link.month_bytes,
        budget_bytes=link.budget_bytes,
        is_metered=terms.is_metered,
        is_bulk_held=link.is_bulk_held,
        written_bytes_a_day=round(box.written_day_bytes or 0),
        disk_free_bytes=free,
        disk_total_bytes=total,
        is_in_memory=any(stream.failing for stream in box.streams.values()),
        clock_source=time_of.source if time_of is not None else "",
        clock_uncertainty_ns=min(time_of.uncertainty_ns, _MOST) if time_of is not None else 0,
        machine_clock_off_ns=_within(machine_off_ns(box.utc_ns)) if box.utc_ns is not None else None,
        lost_items=sum(box.streams[lane].lost_items for lane in Lane),
        is_identity_shared=uplink.is_shared,
        buses=tuple(_bus_reports(box, buses, devices))[:MAX_BUSES_REPORTED],
    )


def _bus_reports(box: BoxStatus, buses: Sequence[AnyBus], devices: Sequence[ResolvedDevice]) -> list[BusReport]:
    counts: Mapping[str, BusCounts] = {of.bus: of for of in box.buses}
    away = {*box.offline, *box.unknown}
    by_bus: dict[str, list[str]] = {}
    for item in devices:
        by_bus.setdefault(item.bus.id, []).append(item.device.id)
    reports = []
    for bus in buses:
        count, here = counts.get(bus.id, BusCounts(bus=bus.id)), by_bus.get(bus.id, [])
        reports.append(
            BusReport(
                bus.id[:100],
                bus.protocol,
                count.connected,
                len(here),
                sum(device in away for device in here),
                round(count.latency_p99_s * 1000, 1),
                box.problems.get(bus.id, "")[:500],
            )
        )
    # Those in trouble first, where there are too many to tell of all.
    return sorted(reports, key=lambda of: (of.is_up and not of.problem and not of.silent, of.id))


def _within(number: int) -> int:
    return max(-_MOST, min(number, _MOST))
