"""What the box writes to its disk in a day: what wears a memory card out."""

from collections import deque
from collections.abc import Callable
from typing import Final

from edge.health.status import written_bytes

HOUR_NS: Final = 3_600_000_000_000
DAY_NS: Final = 24 * HOUR_NS
AFTER_NS: Final = 600_000_000_000
"""Before that, what a start writes would make a day look worse than it is."""


class Wear:
    """Bytes written over the last day, or since the start where that is less. `look` is to be called now and then.

    Counted by the kernel for this process (`write_bytes`): logs of SQLite and its checkpoints included; what the file
    system's journal and the card's own blocks add to it is not.
    """

    def __init__(self, now_ns: int, written: Callable[[], int | None] = written_bytes) -> None:
        self._written = written
        self._seen = deque([(now_ns, written() or 0)], maxlen=25)

    def look(self, now_ns: int) -> None:
        """Remembers what was written until now, once an hour."""
        if now_ns - self._seen[-1][0] >= HOUR_NS and (written := self._written()) is not None:
            self._seen.append((now_ns, written))

    def day_bytes(self, now_ns: int) -> float | None:
        """Bytes a day; None in the first minutes, and where the kernel does not say."""
        written = self._written()
        since_ns, before = next((seen for seen in self._seen if now_ns - seen[0] <= DAY_NS), self._seen[-1])
        if written is None or now_ns - since_ns < AFTER_NS:
            return None
        return (written - before) * DAY_NS / (now_ns - since_ns)
