"""One device that can trigger: whether it is in alarm, and whether that counts. Pure."""

from contract.messages import Event, Quality, Reading
from contract.site import ResolvedDevice, SitePlace
from contract.site.linkage import Cause
from edge.zones import Doubt

_S = 1_000_000_000
EVENT_NS = 60 * _S
"""So long something that only happens (a button pressed) counts."""


class Trigger:
    """What was heard of one device since the box started. It is in alarm only while it says so and can be believed."""

    __slots__ = (
        "_fault", "_happened_ns", "_link", "_quality", "_read_ns", "_stale_ns", "_testing", "_value", "cause", "device",
        "is_alarm", "kind", "name", "place", "since_ns", "zone",
    )  # fmt: skip

    def __init__(self, item: ResolvedDevice, cause: Cause, zone: str = "") -> None:
        self.device, self.kind, self.cause, self.zone = item.device.id, item.profile.kind, cause, zone
        self.name = item.device.name
        self.place = place_words(item.device.place)
        self.is_alarm = False
        self.since_ns = 0
        """When `is_alarm` became what it is."""
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
            self._happened_ns = item.mono_ns
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

    def look(self, now_ns: int) -> bool:
        """Whether it is in alarm now, which `is_alarm` and `since_ns` then say too."""
        if self.cause.word:
            says_so = self._value == self.cause.word
        else:
            says_so = bool(self._happened_ns) and now_ns - self._happened_ns <= EVENT_NS
        is_alarm = says_so and self.doubt(now_ns) is Doubt.NONE
        if is_alarm is not self.is_alarm:
            self.is_alarm, self.since_ns = is_alarm, now_ns
        return is_alarm


def place_words(place: SitePlace) -> str:
    """A place as people say it: 3号楼 2单元 7层 走廊. What is a word already stays as it is."""
    parts = ((place.building, "号楼"), (place.unit, "单元"), (place.floor, "层"), (place.spot, ""))
    words = (str(part) + (of if str(part).lstrip("-").isdecimal() else "") for part, of in parts if part != "")
    return " ".join(words)
