"""What a driver counts of its bus, for the page and the metrics. One list for who counts and who shows."""

import msgspec


class BusCounts(msgspec.Struct, frozen=True, kw_only=True):
    """A bus in numbers since this run began. All grow only, save `connected`, `silent_units` and `last_poll_ns`.

    `polls`: questions a unit answered in full or not; `failures`: those not answered in full; `skipped`: polls that
    were due and not made because the bus was busy; `samples`: values handed on; `late`: answers thrown away because
    they belonged to no open question; `latency_sum_s` over `answers` questions answered.
    """

    bus: str
    connected: bool = False
    silent_units: int = 0
    polls: int = 0
    failures: int = 0
    skipped: int = 0
    samples: int = 0
    late: int = 0
    reconnects: int = 0
    answers: int = 0
    latency_sum_s: float = 0.0
    last_poll_ns: int = 0
