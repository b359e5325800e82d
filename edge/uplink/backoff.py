"""How long to wait before the next attempt."""

import random
from typing import Final, Self

FIRST_S: Final = 2.0
CAP_S: Final = 120.0
LEAST_SHARE: Final = 0.25
"""Of a wait, jitter leaves at least so much."""
SPREAD: Final = 0.5
"""Who was told when to come back comes later by up to this share of it: all were told the same."""
MOST_TOLD_S: Final = 600.0
"""Nobody is obeyed beyond this: a box must not be sent away for a day."""


class Backoff:
    """Waits that double up to two minutes, each with jitter, so that boxes do not all return at the same moment.

    30,000 boxes that lost their cloud in one moment for an hour come back at 400 a second, never more than 500, and all
    within two minutes; after a restart of ten seconds at 4,600 at most (tests/unit/edge/uplink/test_backoff.py).
    """

    def __init__(self, first_s: float = FIRST_S, cap_s: float = CAP_S, most_told_s: float = MOST_TOLD_S) -> None:
        self._first_s, self._cap_s, self._most_told_s = first_s, cap_s, most_told_s
        self._next_s = first_s

    def within(self, cap_s: float, most_told_s: float) -> Self:
        """Another one, bounded tighter: by `cap_s`, or by `most_told_s` where the other side asked for it."""
        return type(self)(self._first_s, min(self._cap_s, cap_s), min(self._most_told_s, most_told_s))

    def reset(self) -> None:
        """The last attempt worked."""
        self._next_s = self._first_s

    def next_s(self, told_s: float | None = None) -> float:
        """Seconds to wait now; never less than the other side asked for, and then with jitter above it."""
        own_s = self._next_s * random.uniform(LEAST_SHARE, 1.0)  # noqa: S311  # jitter, no secret
        self._next_s = min(self._next_s * 2, self._cap_s)
        if not told_s:
            return own_s
        told_s = min(told_s, self._most_told_s)
        return told_s + random.uniform(0.0, max(SPREAD * told_s, own_s))  # noqa: S311  # likewise
