"""One stream as the event loop sees it: its worker, its counters, and the events that others wait for."""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Final

import structlog

from contract.clock import mono_ns
from edge.disk import DiskError
from edge.outbox.file import StreamFile
from edge.outbox.worker import FileWorker

log = structlog.get_logger(__name__)

MEMORY_AFTER_NS: Final = 3_000_000_000
"""When the disk has refused every block for so long, the stream goes on in memory, so that alarms leave the box."""
STALL_S: Final = 5.0
"""A disk that has not answered for so long counts as one that refuses, until it answers: nobody waits for it."""


class Stream:
    """A stream's worker, its counters, and the events that others wait for.

    `losses` is set when something was given up or dropped that is not yet declared.
    """

    def __init__(self, file: StreamFile, losses: asyncio.Event) -> None:
        self.worker, self.file = FileWorker(file), file
        self.sealed_blocks = self.sealed_items = self.delivered_blocks = self.delivered_items = 0
        self.dropped = 0
        """Items that did not even become a block, not yet declared."""
        self.lost_items = 0
        self.failing = ""
        self.stalled_since_ns = 0
        """Since when the disk, which has taken a block, does not answer; 0 where it does."""
        self._failing_since_ns = 0
        self.unreadable = 0
        """Times in succession that the oldest blocks could not be read."""
        self.closing = False
        """What waits is to be sealed, and nothing comes after it."""
        self.wake = asyncio.Event()
        """Something is to be sealed."""
        self.some, self.none = asyncio.Event(), asyncio.Event()
        """Blocks are pending, or none are."""
        self.more = asyncio.Event()
        """A block was sealed."""
        self.progress = asyncio.Event()
        """The sealer went once through what there was."""
        self._losses = losses

    def changed(self) -> None:
        """Sets the events by what is pending and what is lost now."""
        is_set, is_clear = (self.some, self.none) if self.file.chain.pending else (self.none, self.some)
        is_set.set()
        is_clear.clear()
        if self.file.undeclared or self.dropped:
            self._losses.set()

    def sealed(self, items: int) -> None:
        """The disk took a block; says so once after it had refused."""
        if self.failing:
            log.info("outbox can write again", stream=self.file.stream)
            self.failing = ""
        self.sealed_blocks += 1
        self.sealed_items += items
        self.more.set()
        self.changed()

    def fails(self, error: DiskError) -> None:
        """The disk refused a block; says so once until it works again."""
        if not self.failing:
            log.error(
                "outbox cannot write; what is new is kept in memory and tried again", stream=self.file.stream,
                problem=str(error), hint="make room on the disk, or check it",
            )  # fmt: skip
            self._failing_since_ns = mono_ns()
        self.failing = str(error)

    @contextmanager
    def watched(self, let_go: Callable[[], None]) -> Iterator[None]:
        """While a block is on its way to the disk: lets go on who waits for it once the disk hangs."""

        def stalls() -> None:
            self.stalled_since_ns = began_ns
            self.fails(DiskError(f"{self.file.path}: the disk has not answered for {STALL_S:.0f} s"))
            let_go()

        began_ns = mono_ns()
        watch = asyncio.get_running_loop().call_later(STALL_S, stalls)
        try:
            yield
        finally:
            watch.cancel()
            self.stalled_since_ns = 0

    async def left_disk(self) -> bool:
        """Goes on in memory when the disk has refused for long; True when it just did."""
        if self.closing or self.file.in_memory or mono_ns() - self._failing_since_ns < MEMORY_AFTER_NS:
            return False
        problem = self.failing
        with suppress(DiskError):
            return await self.worker.run(lambda file: file.leave_disk(problem))
        return False
