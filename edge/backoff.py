"""How long to wait before the next attempt, everywhere on the box."""

import random


def backoff_s(failures: int, shortest_s: float, longest_s: float) -> float:
    """Seconds to wait after so many failures in a row (1 or more): doubling, capped, and jittered by up to half."""
    full = min(longest_s, shortest_s * 2.0 ** min(failures - 1, 32))
    return full * random.uniform(0.5, 1.0)  # noqa: S311  # spreads retries, guards nothing


class Pauses:
    """Pauses after something that may bring itself about again: short after a calm, doubling while there is none."""

    def __init__(self, shortest_s: float, longest_s: float) -> None:
        self._shortest_s, self._longest_s = shortest_s, longest_s
        self._last_s = shortest_s / 2

    def next_s(self, calm_s: float) -> float:
        """Seconds to pause now that it came again, so long after the last pause."""
        is_calm = calm_s > self._last_s
        self._last_s = self._shortest_s if is_calm else min(2 * self._last_s, self._longest_s)
        return self._last_s
