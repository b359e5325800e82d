"""The box's own `link` state of each device: on line at the first good read, off line by failures or by silence."""

from contract.kinds import Lane
from contract.messages import Quality, Reading
from contract.site import LINK_HEARTBEAT_S

OFFLINE_AFTER_FAILURES = 3
"""Polls in a row without one good value. One lost answer is no news; three are."""
_S = 1_000_000_000
ONLINE, OFFLINE = "online", "offline"


class Link:
    """One device's link. `word` is None until anything is known. Its readings never go back in time."""

    __slots__ = (
        "_beat_ns", "_device", "_failed_ns", "_failures", "_good_ns", "_is_due", "_is_own", "_is_seen", "_limit_ns",
        "_reported_ns", "word",
    )  # fmt: skip

    def __init__(
        self,
        device: str,
        silent_after_s: float,
        word: str | None = None,
        reported_ns: int = 0,
        heartbeat_s: float = LINK_HEARTBEAT_S,
    ) -> None:
        self.word = word
        self._device = device
        self._limit_ns, self._beat_ns = round(silent_after_s * _S), round(heartbeat_s * _S)
        self._reported_ns = reported_ns
        self._good_ns = 0
        """Time of the last good value, or of the first look at this link."""
        self._failures = 0
        self._failed_ns = 0
        self._is_seen = False
        """Whether there was a good value in this run; only then is `online` repeated."""
        self._is_own = False
        """Whether `_reported_ns` is a time of this run."""
        self._is_due = False

    def good(self, mono_ns: int) -> Reading | None:
        """A value was read."""
        self._failures = 0
        self._is_seen = True
        self._good_ns = max(self._good_ns, mono_ns)
        return self._become(ONLINE, mono_ns) if self.word != ONLINE else None

    def is_good_since(self, mono_ns: int) -> bool:
        """Whether a good value was read in this run, at this time or later, and the device is on line."""
        return self.word == ONLINE and self._is_seen and self._good_ns >= mono_ns

    def is_heard_since(self, mono_ns: int) -> bool:
        """Whether the device is on line and a value of it was read after this time."""
        return self.word == ONLINE and self._is_seen and self._good_ns > mono_ns

    def failed(self, mono_ns: int) -> Reading | None:
        """A read failed; all failures of one poll carry one time and count once."""
        self._good_ns = self._good_ns or mono_ns
        if mono_ns != self._failed_ns:
            self._failed_ns = mono_ns
            self._failures += 1
        if self.word != OFFLINE and self._failures >= OFFLINE_AFTER_FAILURES:
            return self._become(OFFLINE, mono_ns)
        return None

    def told_offline(self, mono_ns: int) -> Reading | None:
        """Whoever carries its messages says that it went."""
        return self._become(OFFLINE, mono_ns) if self.word != OFFLINE else None

    def tell_anew(self) -> None:
        """The heartbeat is due, whatever was said before."""
        self._is_due = True

    def tick(self, now_ns: int) -> Reading | None:
        """What time alone brings: off line by silence, or a heartbeat of what is known."""
        self._good_ns = self._good_ns or now_ns
        if self.word != OFFLINE and now_ns - self._good_ns > self._limit_ns:
            return self._become(OFFLINE, now_ns)
        # A state restored from another boot has a time this boot has not reached: it is due at once.
        is_due = self._is_due or now_ns - self._reported_ns >= self._beat_ns or self._reported_ns > now_ns
        if self.word is None or not is_due or (self.word == ONLINE and not self._is_seen):
            return None
        return self._become(self.word, now_ns)

    def _become(self, word: str, mono_ns: int) -> Reading:
        # A read is a little older than the tick that may have come before it is taken.
        self._reported_ns = max(mono_ns, self._reported_ns) if self._is_own else mono_ns
        self._is_own, self._is_due, self.word = True, False, word
        return Reading(self._device, "link", word, Quality.GOOD, self._reported_ns, Lane.URGENT)
