"""What the page and the metrics show: one snapshot of the box."""

from pathlib import Path

import msgspec

from contract.kinds import Lane
from edge.seams import StreamStatus, UplinkStatus


class BusStatus(msgspec.Struct, frozen=True):
    """A bus in numbers since this run began, as its driver counts them; 0 where it does not."""

    bus: str
    connected: bool = False
    silent_units: int = 0
    polls: int = 0
    failures: int = 0
    skipped: int = 0
    late: int = 0
    reconnects: int = 0
    answers: int = 0
    latency_sum_s: float = 0.0
    last_poll_ns: int = 0


class BoxStatus(msgspec.Struct, frozen=True):
    """A box at one moment. `utc_ns` is the cloud's time, None when the box does not know it."""

    version: str
    gateway: str
    estate: str
    cloud: str
    now_ns: int
    started_ns: int
    utc_ns: int | None
    uplink: UplinkStatus
    streams: dict[Lane, StreamStatus]
    buses: list[BusStatus]
    samples: int
    readings: dict[Lane, int]
    online: list[str]
    offline: list[str]
    unknown: list[str]
    written_bytes: int | None


def written_bytes() -> int | None:
    """Bytes this process sent to storage, all told: what wears the flash. None where the kernel does not say."""
    try:
        lines = Path("/proc/self/io").read_text().splitlines()
    except OSError:
        return None
    return next((int(line.partition(":")[2]) for line in lines if line.startswith("write_bytes:")), None)
