"""What the page and the metrics show: one snapshot of the box."""

from collections.abc import Mapping
from pathlib import Path

import msgspec

from contract.kinds import Lane
from edge.counts import BusCounts
from edge.seams import StreamStatus, UplinkStatus
from edge.zones import ZoneView


class PointError(msgspec.Struct, frozen=True):
    """A point whose last read failed, and why."""

    device: str
    point: str
    error: str


class BoxStatus(msgspec.Struct, frozen=True):
    """A box at one moment. `utc_ns` is the cloud's time, None when the box does not know it.

    `ignored` counts samples of points that no profile has; `errors` are the points whose last read failed. `config`
    names the configuration that runs, `config_problem` says why it is not what the site file says, `config_note` what
    became of the edit before; `restarts` counts by bus how often its driver failed within the box, and `problems` say
    what keeps one from being started. `tasks` counts those of the event loop. `written_bytes` were written since the
    start, `written_day_bytes` in a day (see Wear), and `endurance_tb` is what the disk bears in its life, where the
    site file says so. `names` are what devices are called, by id, where that is not their id. A device is `unknown`,
    too, while its bus is lost: it was on line, and nobody can say whether it still is.
    """

    version: str
    gateway: str
    estate: str
    timezone: str
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
    events: int
    online: list[str]
    offline: list[str]
    unknown: list[str]
    errors: list[PointError]
    written_bytes: int | None
    tasks: int
    config: str
    config_problem: str
    restarts: Mapping[str, int]
    problems: Mapping[str, str]
    written_day_bytes: float | None = None
    endurance_tb: float | None = None
    config_note: str = ""
    zones: list[ZoneView] = []
    names: Mapping[str, str] = {}


def written_bytes() -> int | None:
    """Bytes this process sent to storage, all told: what wears the flash. None where the kernel does not say."""
    try:
        lines = Path("/proc/self/io").read_text().splitlines()
    except OSError:
        return None
    return next((int(line.partition(":")[2]) for line in lines if line.startswith("write_bytes:")), None)


def age_words(ns: float) -> str:
    """A duration as people say it: its largest unit and the next."""
    s = max(0, int(ns / 1e9))
    for size, name, below, below_name in ((86400, "d", 3600, "h"), (3600, "h", 60, "min"), (60, "min", 1, "s")):
        if s >= size:
            return f"{s // size} {name} {s % size // below} {below_name}"
    return f"{s} s"
