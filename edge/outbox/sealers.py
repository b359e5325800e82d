"""What waits in memory for its block, and the two loops that seal it: urgent at once, bulk each seal interval."""

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Final

import msgspec
import structlog

from contract.columns import Row
from contract.errors import BlockError
from contract.kinds import Lane
from contract.records import InventoryRecord, Record
from edge.disk import DiskError, DiskFullError
from edge.outbox.file import StreamFile
from edge.outbox.stream import Stream

log = structlog.get_logger(__name__)

MAX_BATCH: Final = 1_000
"""Most records that one urgent block takes when many wait for the same fsync."""
MAX_PENDING_RECORDS: Final = 20_000
MAX_PENDING_ROWS: Final = 100_000
"""What is kept in memory while the disk fails; above it the oldest go, are counted, and are declared."""
SEAL_ROWS: Final = 20_000
"""So many buffered readings are sealed before their time."""
BLOCK_ROWS: Final = 30_000
"""Most readings of one block: sealing takes 0.2 KB of memory for each, which counts when many wait for a disk."""
RETRY_S: Final = 1.0
"""How long to wait after the disk refused a block."""
_WAYS: Final[tuple[tuple[Lane, Callable[[StreamFile], object]], ...]] = (
    (Lane.BULK, StreamFile.give_way),
    (Lane.URGENT, lambda file: file.room.release()),
    (Lane.URGENT, StreamFile.give_way),
)


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


class UrgentSealer:
    """Seals records at once; what comes while an fsync is under way shares the next (group commit)."""

    def __init__(self, stream: Stream, bulk: Stream) -> None:
        self._stream, self._bulk = stream, bulk
        self._waiting: deque[Waiting] = deque()
        self._batch_limit = MAX_BATCH
        self._ways = 0
        """How many of _WAYS were gone for the block that is to be sealed."""
        self._batch: list[Waiting] = []
        """What is on its way to the disk."""

    def __len__(self) -> int:
        return len(self._waiting)

    def add(self, records: Sequence[Record], *, patient: bool) -> asyncio.Future[None]:
        """Takes at least one record; the future is done once all are on disk (see Waiting)."""
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.extend(Waiting(record, None, patient=patient) for record in records[:-1])
        self._waiting.append(Waiting(records[-1], done, patient=patient))
        self._bound()
        self._stream.wake.set()
        return done

    async def run(self) -> None:
        """Seals until the stream is closing and nothing waits any more, or the disk refuses that."""
        stream = self._stream
        while True:
            await stream.wake.wait()
            stream.wake.clear()
            while self._waiting:
                batch = [self._waiting.popleft() for _ in range(min(len(self._waiting), self._batch_limit))]
                self._batch, records = batch, [waiting.record for waiting in batch]
                try:
                    with stream.watched(self._let_go):
                        await stream.worker.run(lambda file, of=records: file.append_records(of), ballast=False)  # type: ignore[misc]
                except BlockError:
                    if len(batch) > 1:
                        self._waiting.extendleft(reversed(batch))
                        self._batch_limit = len(batch) // 2
                        continue
                    log.exception("a record is too large for a block and is dropped")
                    stream.dropped += 1
                except DiskError as e:
                    self._waiting.extendleft(reversed(batch))
                    if await self._overcome(e):
                        continue
                    if stream.closing:
                        lost = len(self._waiting)
                        log.error("records are lost: the disk refused them", records=lost, problem=str(e))  # noqa: TRY400
                        return
                    await asyncio.sleep(RETRY_S)
                    continue
                self._batch, self._batch_limit, self._ways = [], MAX_BATCH, 0
                stream.sealed(len(batch))
                for waiting in batch:
                    waiting.free()
            if stream.closing:
                return

    async def _overcome(self, error: DiskError) -> bool:
        """True when it can be tried again at once.

        On a full disk first bulk gives way to urgent, then the ballast, then urgent's own oldest go; in the end the
        stream goes on in memory.
        """
        if isinstance(error, DiskFullError) and self._ways < len(_WAYS):
            lane, way = _WAYS[self._ways]
            stream = self._bulk if lane is Lane.BULK else self._stream
            self._ways += 1
            with suppress(DiskError):
                await stream.worker.run(way)
            stream.changed()
            return True  # whatever that gave: meanwhile there may be room
        self._ways = 0
        self._stream.fails(error)
        self._let_go()
        return await self._stream.left_disk()

    def _let_go(self) -> None:
        """While the disk fails, lets go on who is not patient."""
        for waiting in (*self._batch, *self._waiting):
            if not waiting.patient:
                waiting.free()

    def _bound(self) -> None:
        """While the disk fails, the oldest states above the bound go; records that someone waits for stay."""
        excess = len(self._waiting) - MAX_PENDING_RECORDS
        if excess <= 0 or not self._stream.failing:
            return
        kept: deque[Waiting] = deque()
        for waiting in self._waiting:
            if excess > 0 and not waiting.patient:
                waiting.free()
                excess -= 1
                self._stream.dropped += 1
            else:
                kept.append(waiting)
        self._waiting = kept


class BulkSealer:
    """Seals readings each seal interval, earlier when they are many or when asked."""

    def __init__(self, stream: Stream, seal_s: float) -> None:
        self._stream, self._seal_s = stream, seal_s
        self._rows: list[Row] = []
        self._sealing = asyncio.Lock()
        """Held while rows are on their way into a block, and while what they are counted by changes."""

    def __len__(self) -> int:
        return len(self._rows)

    async def adopt(self, inventory: InventoryRecord, place_of: Callable[[int], int | None]) -> None:
        """Counts readings by another inventory from now on, also those that wait: `place_of` gives each its new place.

        Readings of series that the new inventory does not have were sealed before, or are dropped and counted.
        """
        await self.flush()
        async with self._sealing:
            await self._stream.worker.run(lambda file: file.adopt(inventory))
            places = [(row, place_of(row.series)) for row in self._rows]
            self._rows = [msgspec.structs.replace(row, series=place) for row, place in places if place is not None]
            self._stream.dropped += len(places) - len(self._rows)

    async def add(self, rows: Sequence[Row]) -> None:
        """Takes readings. Where they come faster than the disk takes them, whoever polls waits for it here, but not for
        a disk that hangs.
        """
        self._rows += rows
        if len(self._rows) >= MAX_PENDING_ROWS and not self._stream.failing:
            await self.flush()
        elif len(self._rows) >= SEAL_ROWS and not self._stream.failing:  # a disk that refuses is not asked at each read
            self._stream.wake.set()
        self._bound()

    async def flush(self) -> None:
        """Seals the readings in memory now; returns when they are on disk, or the disk refused or hangs."""
        if self._stream.stalled_since_ns:
            return
        self._stream.progress.clear()
        self._stream.wake.set()
        await self._stream.progress.wait()

    async def run(self) -> None:
        """Seals until the stream is closing; what the disk refuses then is lost and counted."""
        stream = self._stream
        while True:
            try:
                async with asyncio.timeout(self._seal_s):
                    await stream.wake.wait()
            except TimeoutError:
                pass
            stream.wake.clear()
            while self._rows:
                async with self._sealing:
                    is_sealed = await self._seal()
                if not is_sealed:
                    break
            stream.progress.set()
            if stream.closing:
                self._drop(len(self._rows))
                return

    async def _seal(self) -> bool:
        """One block of what waits; False when the disk refuses and there is nothing to do but wait."""
        stream = self._stream
        rows, self._rows = self._rows[:BLOCK_ROWS], self._rows[BLOCK_ROWS:]
        try:
            with stream.watched(stream.progress.set):
                await stream.worker.run(lambda file: file.append_rows(rows), ballast=False)
        except BlockError:
            log.exception("readings that do not fit in a block are dropped", readings=len(rows))
            stream.dropped += len(rows)
        except DiskError as e:
            self._rows = rows + self._rows
            stream.fails(e)
            self._bound()
            return await stream.left_disk()
        else:
            stream.sealed(len(rows))
        return True

    def _bound(self) -> None:
        """While the disk fails, the oldest readings above the bound go."""
        if self._stream.failing:
            self._drop(len(self._rows) - MAX_PENDING_ROWS)

    def _drop(self, count: int) -> None:
        if count > 0:
            if not self._stream.dropped:
                log.error("readings are lost: the disk refuses them", readings=count)
            del self._rows[:count]
            self._stream.dropped += count
