"""One series or event point each: what was reported last, and whether the next sample is news. Pure."""

from collections.abc import Mapping
from decimal import Decimal

from contract.kinds import PERSONAL_FIELDS, Lane, Point
from contract.messages import Event, Quality, Reading, Sample
from contract.profile import PointMap
from contract.records import StateRecord
from edge.normalise.counter import CountUp
from edge.normalise.personal import Tokenise
from edge.seams import CounterState

_S = 1_000_000_000
_GOOD, _FAULT = Quality.GOOD, Quality.FAULT
_FUZZ = 1e-9
"""Bounds are widened by this share, so that a decimal bound is not missed by a binary rounding."""
_MAX_DECIMALS = 9
_MAX_TEXT = 200
"""Longer texts in an event's fields are cut, and of all what cannot be shown is left out."""

Raw = int | float | str | None


class Track:
    """What every reported series has. `raw` is the raw value reported last, None until there was one in this run."""

    __slots__ = (
        "beat_ns",
        "device",
        "due_ns",
        "errors",
        "failed_ns",
        "point",
        "quality",
        "raw",
        "reported_ns",
        "value",
    )

    lane: Lane

    def __init__(self, device: str, point: str, mapped: PointMap) -> None:
        self.device, self.point = device, point
        self.beat_ns = 0 if mapped.report.always else round(mapped.report.heartbeat_s * _S)
        self.raw: Raw = None
        self.value: float | str | None = None
        self.quality = Quality.UNKNOWN
        self.reported_ns = self.due_ns = 0
        self.errors = self.failed_ns = 0
        """Failed reads in a row, and the time of the first of them."""

    def tell_anew(self) -> None:
        """The next sample is reported whatever it says: who knew of the last report may know nothing of it."""
        self.due_ns = 0

    def again(self, mono_ns: int) -> Reading | None:
        """What was reported last once more, for a device that may say nothing for hours; None where nothing was."""
        if not self.reported_ns:
            return None
        return self._report(self.value, self.quality, max(mono_ns, self.reported_ns))

    def fail(self, mono_ns: int) -> Reading | None:
        """The reading that says that the point cannot be read, if that is news."""
        is_due = not self.reported_ns <= mono_ns < self.due_ns
        if not is_due and self.quality is Quality.FAULT and self.value is None:
            return None
        self.raw, self.value = None, None
        return self._report(None, Quality.FAULT, mono_ns)

    def _report(self, value: float | str | None, quality: Quality, mono_ns: int) -> Reading:
        self.quality, self.reported_ns, self.due_ns = quality, mono_ns, mono_ns + self.beat_ns
        return Reading(self.device, self.point, value, quality, mono_ns, self.lane)


class NumberTrack(Track):
    """Telemetry: scaled, bounded, reported beyond its deadband."""

    __slots__ = (
        "_counter", "_deadband", "_high", "_low", "_offset", "_offset_10", "_relative", "_scale", "_scale_10", "_ten",
    )  # fmt: skip

    lane = Lane.BULK

    def __init__(self, device: str, point: str, mapped: PointMap, counter: CounterState | None = None) -> None:
        super().__init__(device, point, mapped)
        self._counter = CountUp(mapped.counter, counter) if mapped.counter is not None else None
        self._scale, self._offset = mapped.scale, mapped.offset
        decimals = max(_decimals(mapped.scale), _decimals(mapped.offset))
        self._ten = 10**decimals if decimals <= _MAX_DECIMALS else 0
        """The power of ten that makes scale and offset whole; 0 where they are no short decimals."""
        self._scale_10, self._offset_10 = (
            int(Decimal(repr(part)) * self._ten) for part in (mapped.scale, mapped.offset)
        )
        self._low = -float("inf") if mapped.minimum is None else mapped.minimum - _FUZZ * (1 + abs(mapped.minimum))
        self._high = float("inf") if mapped.maximum is None else mapped.maximum + _FUZZ * (1 + abs(mapped.maximum))
        # In raw numbers, so that a sample that is not worth reporting costs one comparison.
        self._deadband = mapped.report.deadband / abs(mapped.scale or 1.0) * (1 + _FUZZ)
        self._relative = mapped.report.relative

    @property
    def counter(self) -> CounterState | None:
        """What a counter must keep over a restart; None for what does not count."""
        return self._counter.state if self._counter is not None else None

    def take(self, raw: Raw, mono_ns: int, *, is_kept: bool) -> Reading | None:
        """The reading that a raw value brings, if it is news. The hottest path of the box: nothing here is free."""
        self.errors = 0
        is_due = not self.reported_ns <= mono_ns < self.due_ns
        if self._counter is not None:
            raw = self._count(raw, mono_ns, is_kept=is_kept)
            if raw is None:
                return None  # in doubt until the next read; the heartbeat is due again then
        if raw == self.raw and not is_due and not is_kept:
            return None
        value: float | None
        if type(raw) is int and self._ten:  # exact: the nearest float to the decimal number that the device means
            value = (raw * self._scale_10 + self._offset_10) / self._ten
        elif isinstance(raw, (int, float)) and raw - raw == 0:  # int | float is made anew at each call
            value = raw * self._scale + self._offset
        else:
            value = None
        quality = _GOOD if value is not None and self._low <= value <= self._high else _FAULT
        if is_kept:
            if self.quality is not Quality.UNKNOWN or value is None:
                return None
            quality = Quality.STALE
        elif not is_due and quality is self.quality and not self._is_news(raw, value):
            return None
        self.raw, self.value, self.quality = raw, value, quality
        self.reported_ns, self.due_ns = mono_ns, mono_ns + self.beat_ns
        return Reading(self.device, self.point, value, quality, mono_ns, Lane.BULK)

    def _count(self, raw: Raw, mono_ns: int, *, is_kept: bool) -> Raw:
        """The grown count of a counter's raw one; None while it is in doubt. What is no number stays as it is."""
        if self._counter is None or not isinstance(raw, (int, float)) or raw - raw != 0:
            return raw
        return self._counter.old(raw) if is_kept else self._counter.take(raw, mono_ns)

    def _is_news(self, raw: Raw, value: float | None) -> bool:
        """Whether a value of unchanged quality differs enough from the one reported last."""
        before, raw_before = self.value, self.raw
        if value is None or before is None or isinstance(before, str):
            return value is not before
        if raw is None or raw_before is None or isinstance(raw, str) or isinstance(raw_before, str):
            return True
        return abs(raw - raw_before) > self._deadband and (
            not self._relative or abs(value - before) > self._relative * abs(before) * (1 + _FUZZ)
        )


class StateTrack(Track):
    """A state: words by the profile, debounced where it says so."""

    __slots__ = ("_enter_ns", "_leave_ns", "_normal", "_pending", "_since_ns", "_states")

    lane = Lane.URGENT

    def __init__(self, device: str, point: str, mapped: PointMap, kind_of: Point) -> None:
        super().__init__(device, point, mapped)
        self._states: Mapping[int | str, str] = mapped.states
        self._normal = kind_of.words[0].code
        self._enter_ns, self._leave_ns = round(mapped.debounce.enter_s * _S), round(mapped.debounce.leave_s * _S)
        self._pending: int | float | str | None = None
        """The raw value of a state that has not held for long enough, and since when it was seen."""
        self._since_ns = 0

    @property
    def is_pending(self) -> bool:
        """Whether a change waits to have held for long enough."""
        return self._pending is not None

    def restore(self, record: StateRecord) -> None:
        """Takes up what was reported before this run."""
        self.value, self.quality, self.reported_ns = record.value, record.quality, record.mono_ns
        self.due_ns = record.mono_ns + self.beat_ns

    def take(self, raw: Raw, mono_ns: int, *, is_kept: bool) -> Reading | None:
        """The reading that a raw value brings, if it is news."""
        self.errors = 0
        # A restored state has a value but no raw one; a time this boot has not reached is of another boot.
        is_due = not self.reported_ns <= mono_ns < self.due_ns
        if raw == self.raw and self._pending is None and not is_due:
            return None
        if mono_ns < self.reported_ns and self.raw is not None:  # read a moment before it was said again, taken after
            mono_ns = self.reported_ns
        word = self._word_of(raw)
        if is_kept:
            return self._keep(word, mono_ns)
        hold_ns = self._hold_ns(word)
        if hold_ns and word != self.value and self.value is not None and self.quality is Quality.GOOD:
            if self._pending is None or self._word_of(self._pending) != word:
                self._since_ns = mono_ns
            self._pending = raw  # another number for the same word goes on with it
            if mono_ns - self._since_ns < hold_ns:
                return self._report(self.value, self.quality, mono_ns) if is_due else None
            mono_ns = max(self._since_ns, self.reported_ns)
        self._pending = None
        quality = Quality.FAULT if word is None else Quality.GOOD
        if not is_due and quality is self.quality and word == self.value:
            return None
        self.raw, self.value = raw, word
        return self._report(word, quality, mono_ns)

    def tick(self, now_ns: int) -> Reading | None:
        """A change that has held for long enough by now, though nothing was said since."""
        # Nothing else: a heartbeat said now would be younger than a read that was made before and comes after it.
        if self._pending is None or now_ns - self._since_ns < self._hold_ns(self._word_of(self._pending)):
            return None
        return self.take(self._pending, now_ns, is_kept=False)

    def fail(self, mono_ns: int) -> Reading | None:
        """As any; what was pending is forgotten."""
        self._pending = None
        return super().fail(mono_ns)

    def _keep(self, word: str | None, mono_ns: int) -> Reading | None:
        """A state somebody kept for us: known to have been so once, so it is stale, and only said where it is news."""
        if word is None or word == self.value:
            return None
        self.raw, self.value = None, word
        return self._report(word, Quality.STALE, mono_ns)

    def _word_of(self, raw: Raw) -> str | None:
        whole = int(raw) if isinstance(raw, float) and raw.is_integer() else raw
        return None if isinstance(whole, float) or whole is None else self._states.get(whole)

    def _hold_ns(self, word: str | None) -> int:
        if word is None:
            return 0
        return self._leave_ns if word == self._normal else self._enter_ns


class EventTrack:
    """Something that happens: at each message that says so, or, where it is polled, when its raw value says so anew.

    Polled with `when`: it happens as the raw value becomes one of those; also at the first read of a run, for what is
    pressed while the box restarts must not be lost. Polled without `when`: at every change after the first read.
    """

    __slots__ = ("_device", "_fields", "_is_polled", "_point", "_raw", "_tokenise", "_when")

    def __init__(self, device: str, kind_of: Point, mapped: PointMap, *, is_polled: bool, tokenise: Tokenise) -> None:
        self._device, self._point = device, kind_of.name
        self._fields, self._when = frozenset(kind_of.fields), frozenset(mapped.when)
        self._is_polled, self._tokenise = is_polled, tokenise
        self._raw: Raw = None

    def take(self, sample: Sample) -> Event | None:
        """The event that a sample is, if it is one. Fields that the kind does not name are left out."""
        if sample.is_kept or not (self._happened(sample.raw) if self._is_edge(sample) else self._says_so(sample.raw)):
            return None
        fields = {
            name: self._field(name, value) for name, value in (sample.fields or {}).items() if name in self._fields
        }
        return Event(self._device, self._point, fields, sample.mono_ns)

    def _is_edge(self, sample: Sample) -> bool:
        return self._is_polled or sample.fields is None

    def _says_so(self, raw: Raw) -> bool:
        return not self._when or raw in self._when

    def _happened(self, raw: Raw) -> bool:
        before, self._raw = self._raw, raw
        if self._when:
            return raw in self._when and before not in self._when
        return before is not None and raw != before

    def _field(self, name: str, value: str | float | bool) -> str | int | float | bool:
        if name in PERSONAL_FIELDS:
            # JSON knows one sort of number: 17 and 17.0 are one card.
            is_whole = isinstance(value, float) and value.is_integer()
            return self._tokenise(str(int(value) if is_whole else value))
        if isinstance(value, str):  # a NUL would be refused by the cloud, and the event with it
            return "".join(char for char in value[:_MAX_TEXT] if char.isprintable())
        return value


def _decimals(number: float) -> int:
    """How many decimals a number is written with."""
    exponent = Decimal(repr(number)).normalize().as_tuple().exponent
    return max(0, -exponent) if isinstance(exponent, int) else 0
