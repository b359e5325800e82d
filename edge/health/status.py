"""What the page and the metrics show: one snapshot of the box."""

from pathlib import Path

import msgspec

from contract.kinds import Lane
from edge.counts import BusCounts
from edge.seams import StreamStatus, UplinkStatus


class PointError(msgspec.Struct, frozen=True):
    """A point whose last read failed, and why."""

    device: str
    point: str
    error: str


class BoxStatus(msgspec.Struct, frozen=True):
    """A box at one moment. `utc_ns` is the cloud's time, None when the box does not know it.

    `ignored` counts samples of points that no profile has; `errors` are the points whose last read failed.
    """

    version: str
    gateway: str
    estate: str
    cloud: str
    now_ns: int
    started_ns: int
    utc_ns: int | None
    uplink: UplinkStatus
    streams: dict[Lane, StreamStatus]
    buses: list[BusCounts]
    samples: int
    ignored: int
    readings: dict[Lane, int]
    online: list[str]
    offline: list[str]
    unknown: list[str]
    errors: list[PointError]
    written_bytes: int | None


def written_bytes() -> int | None:
    """Bytes this process sent to storage, all told: what wears the flash. None where the kernel does not say."""
    try:
        lines = Path("/proc/self/io").read_text().splitlines()
    except OSError:
        return None
    return next((int(line.partition(":")[2]) for line in lines if line.startswith("write_bytes:")), None)
