"""Counters that roll over or start anew, as one number that only grows."""

from contract.profile import Counter
from edge.seams import CounterState

_S = 1_000_000_000
Raw = int | float


class CountUp:
    """Adds up a device's count over roll-overs and resets. Raw counts in, raw counts out; None for a doubtful one.

    A fall is a roll-over when the device then counted on no faster than it can (`most_per_s`; without it, by less than
    half its range), and else a reset: the device began anew at 0. One odd answer is neither: a fall, or a jump faster
    than `most_per_s`, is believed when the next read bears it out.
    """

    __slots__ = ("_after", "_at_ns", "_carried", "_doubtful", "_last", "_most_per_s", "_range")

    def __init__(self, counter: Counter, state: CounterState | None = None) -> None:
        self._range, self._most_per_s = counter.rolls_over_at, counter.most_per_s
        self._last: Raw | None = state.last if state else None
        self._carried: Raw = state.carried if state else 0
        self._at_ns = 0
        """Time of `_last`; 0 when it was before this run."""
        self._doubtful: Raw | None = None
        self._after = 0

    def take(self, raw: Raw, mono_ns: int) -> Raw | None:
        """The grown count, or None while it is in doubt."""
        if self._last is not None and not self._is_borne_out(raw, mono_ns):
            self._doubtful, self._after = raw, mono_ns
            return None
        if self._last is not None and raw < self._last:
            self._carried += self._range if self._range is not None and self._rolled(raw, mono_ns) else self._last
        self._last, self._at_ns, self._doubtful = raw, mono_ns, None
        return raw + self._carried

    def old(self, raw: Raw) -> Raw:
        """What an old count that somebody kept comes to. It changes nothing: it says nothing of the device today."""
        return raw + self._carried

    def _is_borne_out(self, raw: Raw, mono_ns: int) -> bool:
        """Whether a count follows from the last one, or from a doubtful one before it."""
        assert self._last is not None
        if raw >= self._last and not self._is_too_fast(raw - self._last, self._at_ns, mono_ns):
            return True
        before = self._doubtful
        return before is not None and before <= raw and not self._is_too_fast(raw - before, self._after, mono_ns)

    def _is_too_fast(self, step: Raw, since_ns: int, mono_ns: int) -> bool:
        """Faster than the device can count; one count more is rounding. Unknown where the time before is not known."""
        if self._most_per_s is None or since_ns == 0:
            return False
        return step > self._most_per_s * max(0, mono_ns - since_ns) / _S + 1

    def _rolled(self, raw: Raw, mono_ns: int) -> bool:
        assert self._range is not None
        assert self._last is not None
        step = raw + self._range - self._last
        if self._most_per_s is None or self._at_ns == 0:
            return step < self._range / 2
        return not self._is_too_fast(step, self._at_ns, mono_ns)

    @property
    def state(self) -> CounterState | None:
        """What to keep; None before the first count."""
        return None if self._last is None else CounterState(self._last, self._carried)
