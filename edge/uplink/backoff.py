"""How long to wait before the next attempt."""

import random

FIRST_S = 0.5
CAP_S = 60.0


class Backoff:
    """Waits that double up to a minute, each with jitter, so that boxes do not all return at the same moment."""

    def __init__(self, first_s: float = FIRST_S, cap_s: float = CAP_S) -> None:
        self._first_s, self._cap_s = first_s, cap_s
        self._next_s = first_s

    def reset(self) -> None:
        """The last attempt worked."""
        self._next_s = self._first_s

    def next_s(self, at_least_s: float | None = None) -> float:
        """Seconds to wait now; never less than the other side asked for."""
        wait = self._next_s * random.uniform(0.5, 1.0)  # noqa: S311  # jitter, no secret
        self._next_s = min(self._next_s * 2, self._cap_s)
        return max(wait, min(at_least_s or 0.0, 10 * self._cap_s))
