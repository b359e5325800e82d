"""What the box knows of one sensor: its advertisements into samples, what was refused, when it is silent. No I/O.

What repeats costs a comparison: it is handed on again only now and then, as a sign of life.
"""

from collections import Counter
from collections.abc import Mapping, Sequence

import msgspec
import structlog

from contract.kinds import KINDS, PointType
from contract.messages import Sample
from contract.profile.ble import BTHOME_BINARIES, BTHOME_EVENTS, BleRead, bthome_base
from contract.site import ResolvedBle
from edge.drivers.ble.bthome import UUID, Frame, Refused, check, parse
from edge.drivers.ble.config import Timing
from edge.drivers.ble.counters import Counters
from edge.drivers.ble.decode import Pattern, Raw, decode_all, full_uuid

S = 1_000_000_000
_PACKETS = 256
_PACKETS_AHEAD = 64
"""A packet's number so far ahead or less is newer, else older. Source: BTHome's receivers (16 packets/s for 4 s)."""

_TELL_AGAIN_NS = 3600 * S
"""A refusal of one kind is told so seldom: whoever sends what is refused must not fill the log."""

log = structlog.get_logger(__name__)


class Heard(msgspec.Struct, frozen=True):
    """An advertisement as BlueZ tells of it. `about` is what else it says of the device (connected, paired …).

    BlueZ tells of a device also when something else of it changed, with the data of before; and it keeps data of
    before for a device that is back. Only an `rssi` says that something was heard.
    """

    service: Mapping[str, bytes]
    manufacturer: Mapping[int, bytes]
    rssi: int | None
    about: tuple[object, ...] = ()


class _Source:
    """One kind of payload that the sensor sends, and what it said last."""

    __slots__ = ("data", "event_ns", "first_ns", "heard_ns", "packet", "values")

    def __init__(self) -> None:
        self.data: bytes | None = None
        self.first_ns = self.heard_ns = self.event_ns = 0
        self.packet: int | None = None
        self.values: dict[str, Raw] = {}


class Sensor:
    """One sensor of the site. `life_ns` is its last sign of life through advertisements; `seen` each point's last."""

    def __init__(self, item: ResolvedBle, key: bytes | None, counters: Counters, timing: Timing, now_ns: int) -> None:
        self.item, self.id, self.address = item, item.device.id, item.device.address
        self.refused: Counter[str] = Counter()
        self.frames = 0
        self.has_event = False
        """A frame with an event was taken since somebody looked; its counter belongs on disk."""
        self.seen: dict[str, tuple[Raw, int]] = {}
        self.life_ns = self._told_ns = now_ns
        self.is_silent = False
        self._key, self._resets, self._counters, self._timing = key, item.device.counter_resets, counters, timing
        self._counter = -1 if key is None else counters.last(self.id, key, self._resets)
        self._limit_ns = round(item.silent_after_s * S)
        self._again_ns = round(min(timing.again_s, item.silent_after_s / 2) * S)
        self._gap_ns = round(timing.event_gap_s * S)
        self._about: tuple[object, ...] = ()
        self._complained: dict[str, int] = {}
        """When a refusal was told, by its reason."""
        self._bad, self._bad_reason = b"", ""
        """The frame refused last since one was taken, and why: its repetitions are not looked at again."""
        self._sources: dict[str, _Source] = {}
        self._numbers: dict[str, list[str]] = {}
        self._binaries: dict[str, list[str]] = {}
        self._events: dict[str, list[str]] = {}
        self._formats: list[tuple[str, str | int, Pattern, dict[str, BleRead]]] = []
        self._rssi = [name for name, point in item.profile.points.items() if point.read and point.read.rssi]
        self._sort_points()

    def _sort_points(self) -> None:
        profile = self.item.profile
        standard = KINDS[profile.kind].points
        for name, mapped in profile.points.items():
            said = mapped.read.bthome if mapped.read else None
            if not said:
                continue
            base = bthome_base(said)
            if base in BTHOME_EVENTS:
                self._events.setdefault(said, []).append(name)
            elif base in BTHOME_BINARIES and standard[name].type is not PointType.TELEMETRY:
                self._binaries.setdefault(said, []).append(name)
            else:
                self._numbers.setdefault(said, []).append(name)
        for name, format_ in profile.formats.items():
            reads = {p: m.read for p, m in profile.points.items() if m.read is not None and m.read.format == name}
            where: str | int = format_.company if format_.company is not None else full_uuid(format_.service or "")
            self._formats.append((name, where, Pattern(format_), reads))
        self._has_bthome = profile.is_bthome

    @property
    def is_heard(self) -> bool:
        """Whether its advertisements say something, so that its silence means something."""
        return self._has_bthome or bool(self._formats)

    @property
    def heard_points(self) -> list[str]:
        """The points that its advertisements carry."""
        points = self.item.profile.points.items()
        return [name for name, mapped in points if mapped.read is not None and not mapped.read.characteristic]

    # --- advertisements ---------------------------------------------------------------------------------------------

    def hear(self, heard: Heard, now_ns: int) -> Sequence[Sample]:
        """The samples that an advertisement brings; none for most that repeat."""
        is_same_device, self._about = heard.about == self._about, heard.about
        if heard.rssi is None:
            return ()
        samples: list[Sample] = []
        if self._has_bthome and (data := heard.service.get(UUID)) is not None:
            source = self._sources.setdefault("", _Source())
            if data == source.data:
                if is_same_device:
                    self._repeat(source, now_ns, samples)
            elif data == self._bad:
                self.refused[self._bad_reason] += 1
            else:
                self._take_bthome(source, data, now_ns, samples)
        for name, where, pattern, reads in self._formats:
            found = heard.manufacturer.get(where) if isinstance(where, int) else heard.service.get(where)
            if found is None:
                continue
            source = self._sources.setdefault(name, _Source())
            if found == source.data:
                if is_same_device:
                    self._repeat(source, now_ns, samples)
            elif pattern.fits(found):
                self._take_format(source, found, reads, now_ns, samples)
        if samples:
            samples.extend(Sample(self.id, name, heard.rssi, now_ns) for name in self._rssi)
        return samples

    def _repeat(self, source: _Source, now_ns: int, samples: list[Sample]) -> None:
        """The last packet again. One that is encrypted proves life only for a while: anybody could repeat it."""
        gap_ns, source.heard_ns = now_ns - source.heard_ns, now_ns
        if self._key is not None and source is self._sources.get("") and now_ns - source.first_ns > self._limit_ns:
            self._refuse(Refused("replayed", "its last frame comes again and again: an impostor, or it hangs"), now_ns)
            return
        if source.event_ns and gap_ns > self._gap_ns and self._key is None and source.packet is None:
            self._take_bthome(source, source.data or b"", now_ns, samples)
            return
        self._alive(now_ns)
        if now_ns - self._told_ns >= self._again_ns:
            self._told_ns = now_ns
            for one in self._sources.values():
                if one.heard_ns == now_ns:
                    samples.extend(Sample(self.id, point, raw, now_ns) for point, raw in one.values.items())

    def _take_bthome(self, source: _Source, data: bytes, now_ns: int, samples: list[Sample]) -> None:
        try:
            counter = check(data, self._key, self._counter)
            frame = parse(data, self.address, self._key, counter)
        except Refused as e:
            self._bad, self._bad_reason = data, e.reason
            self._refuse(e, now_ns)
            return
        if counter is not None and self._key is not None:
            self._counter = counter
            self._counters.note(self.id, self._key, self._resets, counter)
        elif self._is_older(source, frame.packet, now_ns):
            return
        self._accept(source, data, now_ns)
        source.packet, source.event_ns = frame.packet, 0
        source.values = self._values_of(frame)
        if not source.values and not frame.events:
            self._refuse(Refused("foreign", "its frames say nothing that its profile names: another model?"), now_ns)
            return
        samples.extend(self._samples(source.values, now_ns))
        for said, (event, fields) in frame.events.items():
            for point in self._events.get(said, ()):
                self.has_event = True
                source.event_ns = now_ns
                samples.append(Sample(self.id, point, event, now_ns, fields=fields))

    def _values_of(self, frame: Frame) -> dict[str, Raw]:
        values: dict[str, Raw] = {}
        for said, number in frame.numbers.items():
            values.update(dict.fromkeys(self._numbers.get(said, ()), number))
        for said, binary in frame.binaries.items():
            values.update(dict.fromkeys(self._binaries.get(said, ()), binary))
        return values

    def _is_older(self, source: _Source, packet: int | None, now_ns: int) -> bool:
        """Whether a plain packet is a repetition of one before the last, by its number and the time."""
        if packet is None or source.packet is None or now_ns - source.heard_ns > self._gap_ns:
            return False
        return not 0 < (packet - source.packet) % _PACKETS < _PACKETS_AHEAD

    def _take_format(
        self, source: _Source, data: bytes, reads: Mapping[str, BleRead], now_ns: int, samples: list[Sample]
    ) -> None:
        values, errors = decode_all(reads, data)
        self._accept(source, data, now_ns)
        source.values = values
        samples.extend(self._samples(values, now_ns))
        samples.extend(Sample(self.id, point, None, now_ns, why) for point, why in errors.items())

    def _accept(self, source: _Source, data: bytes, now_ns: int) -> None:
        source.data = data
        source.first_ns = source.heard_ns = self._told_ns = now_ns
        self.frames += 1
        self._bad = b""
        self._alive(now_ns)

    def _samples(self, values: Mapping[str, Raw], now_ns: int) -> list[Sample]:
        for point, raw in values.items():
            self.seen[point] = (raw, now_ns)
        return [Sample(self.id, point, raw, now_ns) for point, raw in values.items()]

    def _refuse(self, why: Refused, now_ns: int) -> None:
        """Counts a frame that changes nothing, and tells the first of its kind, and one an hour after it."""
        self.refused[why.reason] += 1
        told_ns = self._complained.get(why.reason)
        if told_ns is None or now_ns - told_ns > _TELL_AGAIN_NS:
            self._complained[why.reason] = now_ns
            log.warning("a sensor's frames are refused", device=self.id, reason=why.reason, hint=str(why))

    # --- silence ----------------------------------------------------------------------------------------------------

    def _alive(self, now_ns: int) -> None:
        self.life_ns = now_ns
        self.is_silent = False

    def watch(self, now_ns: int, because: str = "") -> list[Sample]:
        """Failed samples of what it should have sent, once each time its limit has passed in silence."""
        since_ns = max(self.life_ns, self._told_ns)
        if not self.is_heard or now_ns - since_ns <= self._limit_ns:
            return []
        self._told_ns = now_ns
        self.is_silent = True
        why = because or f"nothing heard for {(now_ns - self.life_ns) / S:.0f} s"
        return [Sample(self.id, point, None, now_ns, why) for point in self.heard_points]
