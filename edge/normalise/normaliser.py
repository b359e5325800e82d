"""The report policy: which samples become readings, and with what value and quality."""

from collections.abc import Callable, Iterable, Sequence
from decimal import Decimal

from contract.kinds import KINDS, Lane, PointType
from contract.messages import Quality, Reading, Sample
from contract.profile import PointMap
from contract.records import StateRecord
from contract.site import ResolvedDevice
from edge.normalise.link import Link

_S = 1_000_000_000
_FUZZ = 1e-9
"""Bounds are widened by this share, so that a decimal bound is not missed by a binary rounding."""
_MAX_DECIMALS = 9
FAULT_AFTER_ERRORS = 3
"""Failed reads of a point in a row, while its device answers else, until it is reported as a fault."""

Raw = int | float | str | None


class _Track:
    """One series: its map as plain numbers, and what was reported last. `raw` is None until anything was."""

    __slots__ = (
        "_decimals", "_high", "_low", "_offset", "_scale", "_states", "beat_ns", "deadband", "device", "errors",
        "failed_ns", "lane", "point", "quality", "raw", "reported_ns", "value", "value_of",
    )  # fmt: skip

    def __init__(self, device: str, point: str, mapped: PointMap, point_type: PointType) -> None:
        self.device, self.point = device, point
        self.lane = Lane.BULK if point_type is PointType.TELEMETRY else Lane.URGENT
        self.beat_ns = round(mapped.report.heartbeat_s * _S)
        self.value_of: Callable[[Raw], tuple[float | str | None, Quality]]
        self.value_of = self._number if point_type is PointType.TELEMETRY else self._word
        self._states = mapped.states
        self._scale, self._offset = mapped.scale, mapped.offset
        self._decimals = min(_MAX_DECIMALS, max(_decimals(mapped.scale), _decimals(mapped.offset)))
        self._low = -float("inf") if mapped.minimum is None else mapped.minimum - _FUZZ * (1 + abs(mapped.minimum))
        self._high = float("inf") if mapped.maximum is None else mapped.maximum + _FUZZ * (1 + abs(mapped.maximum))
        # In raw numbers, so that a sample that is not worth reporting costs one comparison.
        self.deadband = mapped.report.deadband / abs(mapped.scale or 1.0) * (1 + _FUZZ)
        self.raw: Raw = None
        self.value: float | str | None = None
        self.quality = Quality.UNKNOWN
        self.reported_ns = 0
        self.errors = self.failed_ns = 0
        """Failed reads in a row, and the time of the first of them."""

    def _word(self, raw: Raw) -> tuple[str | None, Quality]:
        """The word of a raw value; none, with quality fault, for one the profile does not know."""
        whole = int(raw) if isinstance(raw, float) and raw.is_integer() else raw
        word = self._states.get(whole) if isinstance(whole, int) else None
        return word, Quality.FAULT if word is None else Quality.GOOD

    def _number(self, raw: Raw) -> tuple[float | None, Quality]:
        """Scaled, with the decimals the scale has; quality fault outside the plausible, none for what is no number."""
        if not isinstance(raw, int | float) or raw - raw != 0:
            return None, Quality.FAULT
        value = raw * self._scale + self._offset
        if isinstance(raw, int):
            value = round(value, self._decimals)
        return value, Quality.GOOD if self._low <= value <= self._high else Quality.FAULT


class Normaliser:
    """Turns samples into readings worth reporting. Holds the last reported value of each series; no I/O, no clock.

    A value is reported when it is the first, when it changed (telemetry: by more than the deadband), when its quality
    changed, or when its heartbeat is due. A point that fails FAULT_AFTER_ERRORS times in a row while its device gives
    other values is reported likewise: quality fault, no value. `restored` are the last states on disk: what they say is
    not said again after a restart until it changes or its heartbeat is due. `ignored` counts samples of points nobody
    knows.
    """

    def __init__(self, devices: Sequence[ResolvedDevice], restored: Iterable[StateRecord] = ()) -> None:
        self.ignored = 0
        self._tracks: dict[str, dict[str, _Track]] = {}
        self._links: dict[str, Link] = {}
        before = {(record.device, record.point): record for record in restored}
        for item in devices:
            device, points = item.device.id, KINDS[item.profile.kind].points
            tracks = self._tracks[device] = {}
            for name, mapped in item.profile.points.items():
                kind_of = points[name].type
                if name == "link" or kind_of not in {PointType.STATE, PointType.TELEMETRY}:
                    continue
                track = tracks[name] = _Track(device, name, mapped, kind_of)
                record = before.get((device, name))
                if record is not None and kind_of is PointType.STATE:
                    track.value, track.quality, track.reported_ns = record.value, record.quality, record.mono_ns
            link = before.get((device, "link"))
            self._links[device] = Link(
                device, item.silent_after_s, link.value if link else None, link.mono_ns if link else 0
            )

    def take(self, samples: Iterable[Sample]) -> list[Reading]:
        """The readings that samples bring, in their order. Samples of one series must be ordered by time."""
        readings: list[Reading] = []
        tracks, links = self._tracks, self._links
        for sample in samples:
            device, raw, mono_ns = sample.device, sample.raw, sample.mono_ns
            link = links.get(device)
            if link is None:
                self.ignored += 1
                continue
            changed = link.failed(mono_ns) if raw is None else link.good(mono_ns)
            if changed is not None:
                readings.append(changed)
            track = tracks[device].get(sample.point)
            if track is None:
                self.ignored += sample.point != "link"
                continue
            if raw is None:
                if self._is_unreadable(track, link, mono_ns):
                    readings.append(Reading(device, sample.point, None, Quality.FAULT, mono_ns, track.lane))
                continue
            track.errors = 0
            # A restored state has a value but no raw one; a time this boot has not reached is of another boot.
            is_due = not track.reported_ns <= mono_ns < track.reported_ns + track.beat_ns
            if raw == track.raw and not is_due:
                continue
            value, quality = track.value_of(raw)
            if not is_due and quality is track.quality and not self._is_news(track, raw, value):
                continue
            track.raw, track.value, track.quality, track.reported_ns = raw, value, quality, mono_ns
            readings.append(Reading(device, sample.point, value, quality, mono_ns, track.lane))
        return readings

    @staticmethod
    def _is_unreadable(track: _Track, link: Link, mono_ns: int) -> bool:
        """Takes note of a failed read; whether it is to be reported that the point cannot be read.

        Where the whole device is silent, its link says so and its points only go stale.
        """
        if not track.errors:
            track.failed_ns = mono_ns
        track.errors += 1
        if track.errors < FAULT_AFTER_ERRORS or not link.is_heard_since(track.failed_ns):
            return False
        is_due = not track.reported_ns <= mono_ns < track.reported_ns + track.beat_ns
        if not is_due and track.quality is Quality.FAULT and track.value is None:
            return False
        track.raw, track.value, track.quality, track.reported_ns = None, None, Quality.FAULT, mono_ns
        return True

    @staticmethod
    def _is_news(track: _Track, raw: Raw, value: float | str | None) -> bool:
        """Whether a value of unchanged quality differs enough from the one reported last."""
        if track.lane is Lane.URGENT or value is None or not isinstance(raw, int | float):
            return value != track.value
        return not isinstance(track.raw, int | float) or abs(raw - track.raw) > track.deadband

    def tick(self, now_ns: int) -> list[Reading]:
        """What time alone brings: devices that fell silent, and the heartbeats of links."""
        return [reading for link in self._links.values() if (reading := link.tick(now_ns)) is not None]


def _decimals(number: float) -> int:
    """How many decimals a number is written with."""
    exponent = Decimal(repr(number)).normalize().as_tuple().exponent
    return max(0, -exponent) if isinstance(exponent, int) else 0
