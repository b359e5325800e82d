"""What is known of who is on line: last wills and availability messages, and who was heard when. Pure, no clock.

A word that a broker kept says who is off line, for the last will that put it there is true until the device says else.
That somebody was on line once proves nothing: broker and device may have lost their power together. So on line is who
is heard, or says so now; from then on its own last will stands for it.
"""

from collections.abc import Iterator, Mapping, Sequence

ONLINE, OFFLINE = "online", "offline"
_S = 1_000_000_000
_VOUCHES = 3
"""How often within its silence limit a device whose own link stands at online is reported as alive."""


class Life:
    """One device: the words of its links, when it was heard last, and what was told of it."""

    __slots__ = ("_is_heard_here", "_limit_ns", "_own", "_said_ns", "_words", "heard_ns", "told")

    def __init__(self, silent_after_s: float, own: Sequence[bool]) -> None:
        """`own` says of each of its links whether it speaks of this device alone."""
        self._limit_ns = round(silent_after_s * _S)
        self._own = list(own)
        self._words: list[tuple[str, bool] | None] = [None] * len(self._own)
        """Of each link: what it says, and whether that is known to be so now."""
        self._is_heard_here = False
        self._said_ns = 0
        self.heard_ns: int | None = None
        self.told: str | None = None

    def forget_words(self) -> None:
        """The broker is lost: what its links say now nobody knows."""
        self._words = [None] * len(self._own)
        self._is_heard_here = False
        self.told = None

    def heard(self, mono_ns: int) -> None:
        """A message of its own came. Whoever speaks is there, whatever a link says, and a kept online holds for it."""
        self.heard_ns = self._said_ns = mono_ns
        self.told = ONLINE
        self._is_heard_here = True
        self._words = [(ONLINE, True) if word is not None and word[0] == ONLINE else None for word in self._words]

    def says(self, number: int, word: str, mono_ns: int, *, is_kept: bool) -> str | None:
        """A link says online or offline. What is to be told of the device, or None for nothing new."""
        self._words[number] = (word, not is_kept or self._is_heard_here)
        verdict = self.verdict(mono_ns)
        if verdict is None or (verdict == self.told and (is_kept or verdict == OFFLINE)):
            return None
        self.told, self._said_ns = verdict, mono_ns
        return verdict

    def verdict(self, now_ns: int) -> str | None:
        """Whether it is on line, as far as anything tells; None where nothing does."""
        known = [word for word in self._words if word is not None]
        if any(word == OFFLINE for word, _ in known):
            return OFFLINE
        own = [word for word, is_own in zip(self._words, self._own, strict=True) if is_own]
        if any(word is not None and word[1] for word in own):
            return ONLINE
        return ONLINE if self.heard_ns is not None and now_ns - self.heard_ns <= self._limit_ns else None

    def watch(self, now_ns: int) -> str | None:
        """What time alone brings: OFFLINE once it fell silent, ONLINE to vouch for it again, or None."""
        verdict = self.verdict(now_ns)
        if verdict == ONLINE:
            if self.told == ONLINE and now_ns - self._said_ns <= self._limit_ns // _VOUCHES:
                return None
            if self.told == ONLINE and not self._is_vouched:
                return None  # it was heard, which its samples have told already
            self.told, self._said_ns = ONLINE, now_ns
            return ONLINE
        if verdict is None and self.told == ONLINE:
            self.told = OFFLINE
            return OFFLINE
        return None

    @property
    def is_said_offline(self) -> bool:
        """Whether a link of it stands at off line."""
        return any(word is not None and word[0] == OFFLINE for word in self._words)

    @property
    def _is_vouched(self) -> bool:
        return any(word == (ONLINE, True) and own for word, own in zip(self._words, self._own, strict=True))


class Lives:
    """All devices of a bus."""

    def __init__(self, limits_s: Mapping[str, float], own_links: Mapping[str, Sequence[bool]]) -> None:
        self._lives = {device: Life(limit_s, own_links[device]) for device, limit_s in limits_s.items()}

    def __getitem__(self, device: str) -> Life:
        return self._lives[device]

    @property
    def silent(self) -> int:
        """How many are known to be off line, or fell silent."""
        return sum(life.told == OFFLINE for life in self._lives.values())

    def forget_words(self) -> None:
        """The broker is lost."""
        for life in self._lives.values():
            life.forget_words()

    def watch(self, now_ns: int) -> Iterator[tuple[str, str]]:
        """Devices of which time alone brings news, each with ONLINE or OFFLINE."""
        for device, life in self._lives.items():
            word = life.watch(now_ns)
            if word is not None:
                yield device, word
