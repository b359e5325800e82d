"""Ties the box's monotonic time to UTC, by what the cloud says when a session opens, or before that by the machine's
own clock where it is known to be right (decision 10)."""

from collections.abc import Callable, Sequence
from typing import Final

from contract.clock import mono_ns
from contract.records import ClockRecord
from edge.seams import BootTime

SOURCE: Final = "session"
SYSTEM_SOURCE: Final = "system"
MIN_TIME_NS: Final = 1_577_836_800_000_000_000
"""2020: this software is younger."""
MAX_TIME_NS: Final = 4_102_444_800_000_000_000
"""2100: whoever says so cannot be believed."""
MIN_UNCERTAINTY_NS: Final = 1_000_000
FRESH_NS: Final = 24 * 3600 * 1_000_000_000
"""A time heard longer ago than this does not judge commands."""
UNBOUNDED_NS: Final = 365 * 24 * 3600 * 1_000_000_000
"""Uncertainty of a boot of which only one neighbour is known."""


class CloudClock:
    """The offset between this boot's monotonic time and UTC.

    Data keep one clock record for the boot, so that their times do not jitter; it is replaced only when the cloud
    disagrees with it beyond both uncertainties. Once the cloud has spoken in a boot, the machine's clock counts for
    nothing. Commands are judged by what the cloud said last, never by the machine's clock.
    """

    def __init__(self, boot: bytes, restored: ClockRecord | None, now_ns: Callable[[], int] = mono_ns) -> None:
        self._boot, self._now_ns = boot, now_ns
        self.record = restored if restored is not None and restored.boot == boot else None
        self._heard = self.record if self.record is not None and self.record.source == SOURCE else None

    def observe(self, sent_ns: int, received_ns: int, utc_ns: int) -> ClockRecord | None:
        """Takes the cloud's time from one round trip; returns a new record where data need one, else None."""
        middle = (sent_ns + received_ns) // 2
        uncertainty = max((received_ns - sent_ns + 1) // 2, MIN_UNCERTAINTY_NS)
        self._heard = ClockRecord(self._boot, middle, utc_ns, uncertainty, SOURCE)
        return self._replace_by(self._heard)

    def observe_system(self, mono_ns: int, utc_ns: int, uncertainty_ns: int) -> ClockRecord | None:
        """Takes the machine's time, known to be right within `uncertainty_ns`; returns a record as `observe` does."""
        if self._heard is not None or not MIN_TIME_NS <= utc_ns <= MAX_TIME_NS:
            return None
        uncertainty = max(uncertainty_ns, MIN_UNCERTAINTY_NS)
        return self._replace_by(ClockRecord(self._boot, mono_ns, utc_ns, uncertainty, SYSTEM_SOURCE))

    def _replace_by(self, heard: ClockRecord) -> ClockRecord | None:
        if self.record is not None:
            difference = abs(_offset(heard) - _offset(self.record))
            if difference <= heard.uncertainty_ns + self.record.uncertainty_ns:
                return None
        self.record = heard
        return heard

    def utc_ns(self) -> int | None:
        """The cloud's time now; None when it was not heard in this boot, or not within the last 24 hours."""
        now = self._now_ns()
        if self._heard is None or now - self._heard.mono_ns > FRESH_NS:
            return None
        return now + _offset(self._heard)


def _offset(record: ClockRecord) -> int:
    return record.utc_ns - record.mono_ns


def clock_for(boots: Sequence[BootTime], boot: bytes) -> ClockRecord | None:
    """The clock record of a boot: its own, or one bounded by its neighbours' when it never got time.

    A boot began after what the one before it last saw, and ended before the next began. None when no later boot has
    a clock: then there is nothing to go by yet.
    """
    index = next((i for i, known in enumerate(boots) if known.boot == boot), None)
    if index is None:  # forgotten: it was before all that are known
        index, boots = 0, [BootTime(boot, 0, None), *boots]
    own = boots[index]
    if own.clock is not None:
        return own.clock
    latest = _bound(boots, range(index + 1, len(boots)))
    if latest is None:
        return None
    after, between = latest
    latest_begin = _offset(after) - sum(b.last_mono_ns for b in boots[index : index + 1 + between])
    earlier = _bound(boots, range(index - 1, -1, -1))
    if earlier is None:
        return ClockRecord(boot, 0, latest_begin, UNBOUNDED_NS, "bounded")
    before, between = earlier
    earliest_begin = _offset(before) + sum(b.last_mono_ns for b in boots[index - 1 - between : index])
    half = max((latest_begin - earliest_begin) // 2, MIN_UNCERTAINTY_NS)
    return ClockRecord(boot, 0, earliest_begin + half, half, "bounded")


def _bound(boots: Sequence[BootTime], order: range) -> tuple[ClockRecord, int] | None:
    """The nearest clock in an order of boots, and how many boots without one lie before it."""
    return next(((clock, n) for n, i in enumerate(order) if (clock := boots[i].clock) is not None), None)
