"""The report policy: which samples become readings or events, and with what value and quality."""

from collections.abc import Iterable, Mapping, Sequence

from contract.kinds import KINDS, PointType
from contract.messages import Event, Reading, Sample
from contract.profile import ModbusProfile, Profile
from contract.records import StateRecord
from contract.site import ResolvedDevice
from edge.normalise.link import OFFLINE, Link
from edge.normalise.personal import Tokenise
from edge.normalise.tracks import EventTrack, NumberTrack, StateTrack, Track
from edge.seams import CounterState

FAULT_AFTER_ERRORS = 3
"""Failed reads of a point in a row, while its device answers else, until it is reported as a fault."""


MOST_GONE = 1000
"""Counters of devices that are away of which the count is remembered."""


class _Device:
    """A device's link and its points."""

    __slots__ = ("events", "is_polled", "link", "tracks")

    def __init__(self, link: Link, *, is_polled: bool) -> None:
        self.link, self.is_polled = link, is_polled
        self.tracks: dict[str, StateTrack | NumberTrack] = {}
        self.events: dict[str, EventTrack] = {}


class Normaliser:
    """Turns samples into readings and events worth reporting. No I/O, no clock.

    A value is reported when it is the first, when it changed (telemetry: by more than the deadband; a state: once it
    held as long as the profile wants), when its quality changed, or when its heartbeat is due. A point that fails
    FAULT_AFTER_ERRORS times in a row while its device gives other values is reported likewise: quality fault, no value.
    `restored` are the last states on disk: what they say is not said again after a restart until it changes or its
    heartbeat is due; `counters` likewise what counters had come to. `tokenise` makes tokens of personal fields.
    `ignored` counts samples of points nobody knows.
    """

    def __init__(
        self,
        devices: Sequence[ResolvedDevice],
        restored: Iterable[StateRecord] = (),
        counters: Mapping[tuple[str, str], CounterState] | None = None,
        *,
        tokenise: Tokenise,
    ) -> None:
        self.ignored = 0
        self._tokenise = tokenise
        self._devices: dict[str, _Device] = {}
        self._made_of: dict[str, tuple[Profile, float]] = {}
        self._pending: set[StateTrack] = set()
        self._gone: dict[tuple[str, str], CounterState] = {}
        """What counters had come to whose device is not there at the moment."""
        self.adopt(devices, restored, counters)

    def adopt(
        self,
        devices: Sequence[ResolvedDevice],
        restored: Iterable[StateRecord] = (),
        counters: Mapping[tuple[str, str], CounterState] | None = None,
    ) -> None:
        """Goes on with these devices. One whose model stays the same keeps what was reported of it.

        Counters go on in any case, also of a device that is away for a while: nobody takes back what was consumed.
        Where something cannot be made, nothing changes.
        """
        before = {(record.device, record.point): record for record in restored}
        counts = {**self.counters(), **(counters or {})}
        made: dict[str, _Device] = {}
        made_of: dict[str, tuple[Profile, float]] = {}
        for item in devices:
            name = item.device.id
            of = made_of[name] = (item.profile, item.silent_after_s)
            same = self._made_of.get(name) == of
            made[name] = self._devices[name] if same else self._make(item, before, counts)
        self._devices, self._made_of = made, made_of
        away = [(key, state) for key, state in counts.items() if key[0] not in made]
        self._gone = dict(away[-MOST_GONE:])
        self._pending = {
            track for here in self._devices.values() for track in here.tracks.values()
            if isinstance(track, StateTrack) and track.is_pending
        }  # fmt: skip

    def _make(
        self,
        item: ResolvedDevice,
        before: Mapping[tuple[str, str], StateRecord],
        counters: Mapping[tuple[str, str], CounterState],
    ) -> _Device:
        """A device of which nothing was reported in this run."""
        device, points = item.device.id, KINDS[item.profile.kind].points
        record = before.get((device, "link"))
        before_word, before_ns = (record.value, record.mono_ns) if record is not None else (None, 0)
        link = Link(device, item.silent_after_s, before_word, before_ns, item.link_heartbeat_s)
        is_polled = isinstance(item.profile, ModbusProfile)
        here = _Device(link, is_polled=is_polled)
        for name, mapped in item.profile.points.items():
            point = points[name]
            if name == "link":
                continue
            match point.type:
                case PointType.STATE:
                    state = here.tracks[name] = StateTrack(device, name, mapped, point)
                    if (record := before.get((device, name))) is not None:
                        state.restore(record)
                case PointType.TELEMETRY:
                    here.tracks[name] = NumberTrack(device, name, mapped, counters.get((device, name)))
                case PointType.EVENT:
                    here.events[name] = EventTrack(
                        device, point, mapped, is_polled=is_polled, tokenise=self._tokenise
                    )  # fmt: skip
        return here

    def take(self, samples: Iterable[Sample]) -> list[Reading | Event]:
        """What samples bring, in their order. Samples of one series must be ordered by time."""
        taken: list[Reading | Event] = []
        name, here, seen_ns = "", None, -1
        for sample in samples:
            if sample.device != name:
                name, seen_ns = sample.device, -1
                here = self._devices.get(name)
            if here is None:
                self.ignored += 1
                continue
            raw, mono_ns = sample.raw, sample.mono_ns
            if raw is None:
                seen_ns = -1
                self._take_failure(here, sample, taken)
                continue
            if sample.point == "link":
                self._take_link(here.link, sample, taken)
                continue
            if mono_ns != seen_ns and not sample.is_kept:  # one poll's samples carry few times
                seen_ns = mono_ns
                if (changed := here.link.good(mono_ns)) is not None:
                    taken.append(changed)
            track = here.tracks.get(sample.point)
            if track is None:
                self._take_event(here, sample, taken)
                continue
            reading = track.take(raw, mono_ns, is_kept=sample.is_kept)
            if reading is not None:
                taken.append(reading)
            elif isinstance(track, StateTrack) and track.is_pending:
                self._pending.add(track)
        return taken

    def _take_failure(self, here: _Device, sample: Sample, taken: list[Reading | Event]) -> None:
        changed = here.link.failed(sample.mono_ns)
        if changed is not None:
            taken.append(changed)
        track = here.tracks.get(sample.point)
        if track is None:
            self.ignored += sample.point != "link" and sample.point not in here.events
            return
        if self._is_unreadable(track, here.link, sample.mono_ns):
            reading = track.fail(sample.mono_ns)
            if reading is not None:
                taken.append(reading)

    def _take_link(self, link: Link, sample: Sample, taken: list[Reading | Event]) -> None:
        """What the transport itself knows of a device: a last will, an availability message."""
        if sample.raw not in {"online", "offline"}:
            self.ignored += 1
            return
        # That it was on line once, as kept by somebody, is no sign of life; that it went is true until it says else.
        if sample.raw == "online" and sample.is_kept:
            return
        changed = link.good(sample.mono_ns) if sample.raw == "online" else link.told_offline(sample.mono_ns)
        if changed is not None:
            taken.append(changed)

    def _take_event(self, here: _Device, sample: Sample, taken: list[Reading | Event]) -> None:
        track = here.events.get(sample.point)
        if track is None:
            self.ignored += 1
            return
        event = track.take(sample)
        if event is not None:
            taken.append(event)

    @staticmethod
    def _is_unreadable(track: Track, link: Link, mono_ns: int) -> bool:
        """Takes note of a failed read; whether it is to be reported that the point cannot be read.

        Where the whole device is silent, its link says so and its points only go stale.
        """
        if not track.errors:
            track.failed_ns = mono_ns
        track.errors += 1
        return track.errors >= FAULT_AFTER_ERRORS and link.is_heard_since(track.failed_ns)

    def tick(self, now_ns: int) -> list[Reading]:
        """What time alone brings: devices that fell silent, heartbeats of links, states that have held long enough."""
        readings = [reading for here in self._devices.values() if (reading := here.link.tick(now_ns)) is not None]
        for track in list(self._pending):
            if (reading := track.tick(now_ns)) is not None:
                readings.append(reading)
            if not track.is_pending:
                self._pending.discard(track)
        return readings

    def tell_anew(self, now_ns: int) -> list[Reading]:
        """Everything is news again, since the cloud may know an older state of things (a restored disk or database).

        What is polled is told at its next read; the states of what speaks by itself, or was lost, at once, as they were
        heard last in this boot: an alarm may have been the last that was heard. Numbers wait for the next one in any
        case: nothing was measured now.
        """
        readings = []
        for here in self._devices.values():
            here.link.tell_anew()
            is_asked = here.is_polled and here.link.word != OFFLINE
            for track in here.tracks.values():
                is_said = isinstance(track, StateTrack) and not is_asked and track.reported_ns <= now_ns
                reading = track.again(now_ns) if is_said else None
                if reading is None:
                    track.tell_anew()
                else:
                    readings.append(reading)
        return readings

    def online(self, since_ns: int = 0) -> frozenset[str]:
        """The devices that are on line and were heard in this run, at this time or later."""
        return frozenset(name for name, here in self._devices.items() if here.link.is_good_since(since_ns))

    def counters(self) -> dict[tuple[str, str], CounterState]:
        """What the counters have come to, to be kept over a restart."""
        return self._gone | {
            (device, name): state
            for device, here in self._devices.items()
            for name, track in here.tracks.items()
            if isinstance(track, NumberTrack) and (state := track.counter) is not None
        }
