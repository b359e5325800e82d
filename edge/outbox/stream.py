"""One stream as the event loop sees it: its worker, its counters, and the events that others wait for."""

import asyncio

import structlog

from contract.records import Record
from edge.outbox.file import StreamFile
from edge.outbox.worker import DiskError, FileWorker

log = structlog.get_logger(__name__)


class Stream:
    """A stream's worker, its counters, and the events that others wait for."""

    def __init__(self, file: StreamFile) -> None:
        self.worker, self.file = FileWorker(file), file
        self.sealed_blocks = self.sealed_items = self.delivered_blocks = self.delivered_items = 0
        self.dropped = 0
        """Items that did not even become a block, not yet declared."""
        self.lost_items = 0
        self.failing = ""
        self.wake = asyncio.Event()
        """Something is to be sealed."""
        self.some, self.none = asyncio.Event(), asyncio.Event()
        """Blocks are pending, or none are."""
        self.progress = asyncio.Event()
        """The sealer went once through what there was."""

    def refresh(self) -> None:
        """Sets the events by what is pending now."""
        is_set, is_clear = (self.some, self.none) if self.file.chain.pending else (self.none, self.some)
        is_set.set()
        is_clear.clear()

    def works(self) -> None:
        """The disk took a block; says so once after it had refused."""
        if self.failing:
            log.info("outbox can write again", stream=self.file.stream)
            self.failing = ""

    def fails(self, error: DiskError) -> None:
        """The disk refused a block; says so once until it works again."""
        if not self.failing:
            log.error(
                "outbox cannot write; what is new is kept in memory and tried again", stream=self.file.stream,
                problem=str(error), hint="make room on the disk, or check it",
            )  # fmt: skip
        self.failing = str(error)


class Waiting:
    """A record that waits for its block; `done` is set once it is on disk.

    Who is not `patient` is also freed when the disk fails, and such records may be dropped when there are too many.
    """

    __slots__ = ("done", "patient", "record")

    def __init__(self, record: Record, done: asyncio.Future[None] | None, *, patient: bool) -> None:
        self.record, self.done, self.patient = record, done, patient

    def free(self) -> None:
        """Lets go on who waits."""
        if self.done is not None and not self.done.done():
            self.done.set_result(None)
