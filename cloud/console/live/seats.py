"""How many streams there may be: each is a connection that stays."""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

MOST = 500
"""Of one process; beyond it, start another (the database is the only thing they share)."""
MOST_EACH = 6
"""Of one session: a browser needs one, and one that could not shared-work one a tab."""


class Seats:
    """The streams' seats in this process."""

    def __init__(self, most: int = MOST, most_each: int = MOST_EACH) -> None:
        self._most = most
        self._most_each = most_each
        self._taken: Counter[str] = Counter()

    @contextmanager
    def seat(self, who: str) -> Iterator[bool]:
        """A seat for a session, for as long as the block lasts; False where there is none."""
        if self._taken.total() >= self._most or self._taken[who] >= self._most_each:
            yield False
            return
        self._taken[who] += 1
        try:
            yield True
        finally:
            self._taken[who] -= 1
            if not self._taken[who]:
                del self._taken[who]
