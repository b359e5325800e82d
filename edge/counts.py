"""What a driver counts of its bus, for the page and the metrics. One list for who counts and who shows."""

from typing import Final

import msgspec

_UNIT_BITS: Final = 14
_HALVE_AT: Final = 4096
_QUARTERS: Final = 4
_FEW: Final = 2
"""So many questions in a row may stay unanswered on a line that lives."""


class Latencies:
    """How long answers took of late, in steps of a quarter of an octave from 16 µs. A few bytes, whatever comes."""

    __slots__ = ("_counts", "_total")

    def __init__(self) -> None:
        self._counts: dict[int, int] = {}
        self._total = 0

    def note(self, ns: int) -> None:
        """An answer took so long."""
        units = ns >> _UNIT_BITS
        step = units.bit_length() * _QUARTERS + (units >> max(units.bit_length() - 3, 0) & 3)
        self._counts[step] = self._counts.get(step, 0) + 1
        self._total += 1
        if self._total >= _HALVE_AT:  # what is old fades
            self._counts = {step: count // 2 for step, count in self._counts.items() if count > 1}
            self._total = sum(self._counts.values())

    @property
    def p99_s(self) -> float:
        """At most so long took 99 of a hundred, to a quarter of an octave; 0 where nothing was noted."""
        left = self._total + -self._total * 99 // 100
        for step in sorted(self._counts, reverse=True):
            left -= self._counts[step]
            if left < 0:
                return _most_units(step) * (1 << _UNIT_BITS) / 1e9
        return 0.0


def _most_units(step: int) -> int:
    """The first number of units above a step."""
    bits, quarter = divmod(step, _QUARTERS)
    if bits < 3:  # the numbers below 4 have steps of their own
        return quarter + 1
    return (_QUARTERS + quarter + 1) << (bits - 3)


class BusCounts(msgspec.Struct, frozen=True, kw_only=True):
    """A bus in numbers since this run began. All grow only, but `connected`, `why`, `silent_units`, `unanswered`,
    `last_poll_ns`, `last_answer_ns` and `latency_p99_s`.

    `why` says why it is not connected; `unanswered` counts the questions and silences since anything was heard last.

    `polls`: questions a unit answered in full or not; `failures`: those not answered in full; `skipped`: polls that
    were due and not made because the bus was busy; `samples`: values handed on; `late`: answers thrown away because
    they belonged to no open question; `latency_sum_s` over `answers` questions answered; `latency_p99_s`: 99 of a
    hundred of late took at most so long.
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
    latency_p99_s: float = 0.0
    last_poll_ns: int = 0
    last_answer_ns: int = 0
    unanswered: int = 0
    why: str = ""

    @property
    def is_heard(self) -> bool:
        """Whether its devices are heard, or have not had the time to be: an open port alone is no sign of life.

        Three in a row without an answer, and more than the silent units make by themselves, are a dead line.
        """
        if not self.connected:
            return False
        most = max(_FEW, self.silent_units) if self.last_answer_ns else 0
        return self.unanswered <= most
