"""How long to wait before the next attempt, everywhere on the box."""

import random


def backoff_s(failures: int, shortest_s: float, longest_s: float) -> float:
    """Seconds to wait after so many failures in a row (1 or more): doubling, capped, and jittered by up to half."""
    full = min(longest_s, shortest_s * 2.0 ** min(failures - 1, 32))
    return full * random.uniform(0.5, 1.0)  # noqa: S311  # spreads retries, guards nothing
