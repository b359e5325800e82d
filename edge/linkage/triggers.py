"""One device that can trigger: whether it is in alarm, and whether that counts. Pure."""

from contract.messages import Event, Quality, Reading
from contract.site import ResolvedDevice, SitePlace
from contract.site.linkage import Cause
from edge.zones import Doubt

_S = 1_000_000_000
EVENT_NS = 60 * _S
"""So long something that only happens (a button pressed) counts."""
LOST_NS = 600 * _S
"""So long an alarm still counts whose detector was lost after it."""
LIFE_SAFETY = frozenset({"fire", "gas"})
_LOST = frozenset({Doubt.OFFLINE, Doubt.FAULT})


class Trigger:
    """What was heard of one device since the box started. It is in alarm only while it says so and can be believed.

    With one exception: what it warns of may destroy it. So a detector of fire or gas that was in alarm, and believed,
    when it went off line or failed still counts for LOST_NS, as the alarm that a fire panel latches does. One that
    cleared while it could be believed does not, nor one that never alarmed.
    """

    __slots__ = (
        "_alarmed", "_cleared_ns", "_fault", "_happened_ns", "_link", "_lost_ns", "_quality", "_read_ns", "_stale_ns",
        "_testing", "_told_ns", "_value", "cause", "device", "is_alarm", "is_lost", "kind", "name", "place", "since_ns",
        "zone",
    )  # fmt: skip

    def __init__(self, item: ResolvedDevice, cause: Cause, zone: str = "") -> None:
        self.device, self.kind, self.cause, self.zone = item.device.id, item.profile.kind, cause, zone
        self.name = item.device.name
        self.place = place_words(item.device.place)
        self.is_alarm = False
        self.since_ns = 0
        """When `is_alarm` became what it is."""
        self.is_lost = False
        """Whether it is in alarm only because it was when it was lost."""
        self._alarmed = False
        """Whether it was in alarm when it could be believed last."""
        self._lost_ns = self._told_ns = self._cleared_ns = 0
        """When it was lost after its alarm (0: it was not); the time of what it said last, and of what cleared it."""
        self._stale_ns = round(item.profile.stale_after_s(cause.point) * _S) if cause.word else 0
        self._value: float | str | None = None
        self._quality = Quality.UNKNOWN
        self._read_ns = self._happened_ns = 0
        self._link: str | None = None
        self._fault = self._testing = False

    def take(self, item: Reading | Event) -> bool:
        """Takes note of what was heard; False when it is of no concern here."""
        point = item.point
        if isinstance(item, Event):
            if point != self.cause.point or self.cause.word:
                return False
            self._happened_ns = self._told_ns = item.mono_ns
            return True
        if point == self.cause.point:
            self._value, self._quality, self._read_ns = item.value, item.quality, item.mono_ns
        elif point == "link":
            self._link = item.value if isinstance(item.value, str) else None
        elif point == "fault":
            self._fault = item.value == "fault"
        elif point == "test":
            self._testing = item.value == "testing"
        else:
            return False
        self._told_ns = item.mono_ns
        return True

    def doubt(self, now_ns: int) -> Doubt:
        """Why it does not count, whatever it says."""
        if self._link == "offline":
            return Doubt.OFFLINE
        if self._fault or self._quality is Quality.FAULT:
            return Doubt.FAULT
        if self._testing:
            return Doubt.TESTING
        if not self.cause.word:
            return Doubt.NONE if self._link or self._happened_ns else Doubt.UNSEEN
        if self._quality is Quality.UNKNOWN:
            return Doubt.UNSEEN
        if self._quality is Quality.STALE or now_ns - self._read_ns > self._stale_ns:
            return Doubt.STALE
        return Doubt.NONE

    def may_count(self, now_ns: int) -> bool:
        """Whether an alarm of it counts, or would."""
        return self.is_lost or self.doubt(now_ns) is Doubt.NONE

    def look(self, now_ns: int) -> bool:
        """Whether it is in alarm now, which `is_alarm` and `since_ns` then say too."""
        if self.cause.word:
            says_so = self._value == self.cause.word
        else:
            says_so = bool(self._happened_ns) and now_ns - self._happened_ns <= EVENT_NS
        doubt = self.doubt(now_ns)
        self._note_loss(doubt, says_so, now_ns)
        self.is_lost = bool(self._lost_ns) and now_ns - self._lost_ns <= LOST_NS
        is_alarm = self.is_lost or (says_so and doubt is Doubt.NONE)
        if is_alarm is not self.is_alarm:
            self.is_alarm, self.since_ns = is_alarm, now_ns
        return is_alarm

    def forget_loss(self) -> None:
        """A person has seen to it: what was lost before counts no more."""
        self._alarmed, self._lost_ns, self._cleared_ns = False, 0, 0

    def _note_loss(self, doubt: Doubt, says_so: bool, now_ns: int) -> None:
        """Whether it was lost in alarm: or by a panel that shows a fault in its place, both in one read."""
        if doubt is Doubt.NONE:
            if self._alarmed and not says_so:
                self._cleared_ns = self._told_ns
            self._alarmed, self._lost_ns = says_so, 0
        elif doubt is Doubt.TESTING:
            self._alarmed, self._lost_ns, self._cleared_ns = False, 0, 0
        elif doubt in _LOST and not self._lost_ns and self.cause.hazard in LIFE_SAFETY:
            is_cleared_by_it = bool(self._cleared_ns) and self._cleared_ns == self._told_ns
            self._lost_ns = now_ns if self._alarmed or is_cleared_by_it else 0


def place_words(place: SitePlace) -> str:
    """A place as people say it: 3号楼 2单元 7层 走廊. What is a word already stays as it is."""
    parts = ((place.building, "号楼"), (place.unit, "单元"), (place.floor, "层"), (place.spot, ""))
    words = (str(part) + (of if str(part).lstrip("-").isdecimal() else "") for part, of in parts if part != "")
    return " ".join(words)
