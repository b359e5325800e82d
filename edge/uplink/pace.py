"""At what pace bulk goes, so that an alarm need not wait behind it: measured on the way, and never above a cap."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final

QUEUE_S: Final = 0.2
"""What is under way may take the link so long: whatever is urgent stands behind it in somebody's queue."""
MIN_WINDOW_BYTES: Final = 8 << 10
MAX_WINDOW_BYTES: Final = 4 << 20
MIN_PART_BYTES: Final = 2 << 10
MAX_PART_BYTES: Final = 128 << 10
REQUEST_S: Final = 1.0
"""So long a request of bulk should take; what was sent of one that fails is sent again."""
FIRST_REQUEST_BYTES: Final = 64 << 10
MIN_REQUEST_BYTES: Final = 8 << 10
MAX_REQUEST_BYTES: Final = 128 << 10
"""Some 60,000 readings, which the cloud decodes while an alarm waits for its turn. With a MiB the slowest alarm waits
twice as long (the benchmark `catchup.urgent_p99_ms`), and a backlog hardly goes faster."""
BURST_S: Final = 0.5
"""Of a cap, so much may go at once after a pause."""


class Bucket:
    """A token bucket: so many bytes a second, and what BURST_S brings at once."""

    def __init__(self, bytes_s: float, time: Callable[[], float], sleep: Callable[[float], Awaitable[None]]) -> None:
        self._bytes_s, self._time, self._sleep = bytes_s, time, sleep
        self._room = self._burst = bytes_s * BURST_S
        self._at = time()

    async def take(self, size: int) -> None:
        """Returns when so many bytes may go. More than a burst goes too, and is paid for before the next."""
        now = self._time()
        self._room = min(self._burst, self._room + (now - self._at) * self._bytes_s) - size
        self._at = now
        if self._room < 0:
            await self._sleep(-self._room / self._bytes_s)


class BulkPace:
    """The pace of bulk's bodies on one link (edge.http.client.Pace), and how large its requests are.

    `let_urgent_pass` returns when nothing urgent waits; it bounds how long it waits itself.
    """

    def __init__(
        self,
        let_urgent_pass: Callable[[], Awaitable[None]],
        max_bytes_s: float | None = None,
        *,
        time: Callable[[], float] | None = None,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._let_urgent_pass = let_urgent_pass
        self._bucket = Bucket(max_bytes_s, time or asyncio.get_running_loop().time, sleep) if max_bytes_s else None
        self._max_part = MAX_PART_BYTES
        if max_bytes_s:
            self._max_part = min(MAX_PART_BYTES, max(MIN_PART_BYTES // 4, int(max_bytes_s * BURST_S / 2)))
        self.window_bytes = 0
        self.part_bytes = 0
        self._set_window(2 * MIN_WINDOW_BYTES)
        self.request_bytes = FIRST_REQUEST_BYTES

    async def let_through(self, size: int) -> None:
        """Waits for the cap, and then for what is urgent."""
        if self._bucket is not None:
            await self._bucket.take(size)
        await self._let_urgent_pass()

    def drained(self, size: int, took_s: float, rtt_s: float) -> None:
        """The window follows what the link takes: what is on the way there and back, and QUEUE_S in queues."""
        self._set_window(size / max(took_s, 1e-3) * (rtt_s + QUEUE_S))

    def _set_window(self, wanted: float) -> None:
        # Not more than doubled: what goes through in a moment says little.
        most = min(MAX_WINDOW_BYTES, 2 * self.window_bytes) if self.window_bytes else MAX_WINDOW_BYTES
        self.window_bytes = int(max(MIN_WINDOW_BYTES, min(wanted, most)))
        self.part_bytes = min(max(MIN_PART_BYTES, self.window_bytes // 2), self._max_part)

    def answered(self, size: int, took_s: float) -> None:
        """A request of so many bytes was answered: the next is as large as takes REQUEST_S, or nearly."""
        if 2 * size < self.request_bytes:  # a small one says nothing of a large one
            return
        fits = size * REQUEST_S / max(took_s, 1e-3)
        fits = min(max(fits, self.request_bytes // 2), 2 * self.request_bytes)
        self.request_bytes = int(min(max(fits, MIN_REQUEST_BYTES), MAX_REQUEST_BYTES))

    def failed(self) -> None:
        """A request failed: the next is half as large, for slow links and strict proxies."""
        self.request_bytes = max(MIN_REQUEST_BYTES, self.request_bytes // 2)
