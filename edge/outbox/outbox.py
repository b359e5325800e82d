"""The outbox as the rest of the box sees it: takes readings and records, hands out blocks, never holds up the loop."""

import asyncio
import math
from collections import deque
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from enum import StrEnum
from pathlib import Path
from typing import Final, Self

import msgspec
import structlog

from contract.block import Row
from contract.clock import mono_ns
from contract.errors import BlockError
from contract.kinds import Lane
from contract.messages import Quality, Reading
from contract.records import InventoryRecord, LossReceipt, Record, StateRecord
from contract.session import Cursor
from contract.site import Storage
from edge.outbox.file import BootTime, Loss, StreamFile
from edge.outbox.worker import DiskError, FileWorker

log = structlog.get_logger(__name__)

MAX_BATCH: Final = 1_000
"""Most records that one urgent block takes when many wait for the same fsync."""
MAX_PENDING_RECORDS: Final = 20_000
MAX_PENDING_ROWS: Final = 100_000
"""What is kept in memory while the disk fails; above it the oldest go, are counted, and are declared once it works."""
SEAL_ROWS: Final = 20_000
"""So many buffered readings are sealed before their time."""
RETRY_S: Final = 1.0
"""How long to wait after the disk refused a block."""


class Standing(StrEnum):
    """How a stream stands against the cloud's cursor."""

    AGREES = "agrees"
    """What is pending continues the cloud's chain (what the cloud had already was acknowledged)."""
    BEHIND = "behind"
    """The cloud is before our tail: receipts on the urgent stream may still bring it there."""
    DIVERGED = "diverged"
    """The cloud goes on elsewhere: a restored disk, a restored cloud, or a second box. A new epoch must be opened."""


class StreamStatus(msgspec.Struct, frozen=True):
    """A stream in numbers, since this run began; `used_bytes` as of the last block sealed or acknowledged."""

    pending_blocks: int
    waiting_items: int
    used_bytes: int
    quota_bytes: int
    sealed_blocks: int
    sealed_items: int
    delivered_blocks: int
    lost_items: int
    failing: str


class _Stream:
    """A stream's worker, its counters, and the events that others wait for."""

    def __init__(self, file: StreamFile) -> None:
        self.worker, self.file = FileWorker(file), file
        self.sealed_blocks = self.sealed_items = self.delivered_blocks = self.dropped = self.lost_items = 0
        self.used_bytes = 0
        self.failing = ""
        self.wake, self.some, self.none, self.progress = (asyncio.Event() for _ in range(4))

    def refresh(self) -> None:
        """Sets the events by what is pending now."""
        (self.some.set if self.file.chain.pending else self.some.clear)()
        (self.none.clear if self.file.chain.pending else self.none.set)()

    def works(self) -> None:
        if self.failing:
            log.info("outbox can write again", stream=self.file.stream)
            self.failing = ""

    def fails(self, error: DiskError) -> None:
        if not self.failing:
            log.error(
                "outbox cannot write; what is new is kept in memory and tried again", stream=self.file.stream,
                problem=str(error), hint="make room on the disk, or check it",
            )  # fmt: skip
        self.failing = str(error)


class _Waiting:
    """A record that waits for its block. `done` is set once it is on disk; who is not `patient` is also freed when the
    disk fails, and such records may be dropped when there are too many.
    """

    __slots__ = ("done", "patient", "record")

    def __init__(self, record: Record, done: asyncio.Future[None] | None, *, patient: bool) -> None:
        self.record, self.done, self.patient = record, done, patient

    def free(self) -> None:
        if self.done is not None and not self.done.done():
            self.done.set_result(None)


class Outbox:
    """Two chained streams of blocks on disk. Make one with `open`; one at a time for a state folder."""

    def __init__(
        self, streams: dict[Lane, _Stream], inventory: InventoryRecord, seal_s: float, now_ns: Callable[[], int]
    ) -> None:
        self._streams, self._urgent, self._bulk = streams, streams[Lane.URGENT], streams[Lane.BULK]
        self._positions = {(s.device, s.point): i for i, s in enumerate(inventory.series)}
        self._seal_s = seal_s
        self._states: list[StateRecord] = []
        self._waiting: deque[_Waiting] = deque()
        self._batch_limit = MAX_BATCH
        self._rows: list[Row] = []
        self._losses = asyncio.Event()
        self._now_ns = now_ns
        self._closing = False

    @classmethod
    @asynccontextmanager
    async def open(
        cls,
        state_dir: Path,
        *,
        boot: bytes,
        storage: Storage,
        inventory: InventoryRecord,
        now_ns: Callable[[], int] = mono_ns,
    ) -> AsyncIterator[Self]:
        """The outbox of a state folder, sealing until the context ends; then all that waits is sealed.

        Announces the inventory on the urgent stream when its epoch has not carried it. Raises DiskError
        when the disk does not let it open; a damaged file is moved aside instead.
        """
        quotas = {Lane.URGENT: storage.urgent_mb, Lane.BULK: storage.bulk_mb}
        streams = {
            lane: _Stream(
                StreamFile(
                    state_dir / f"{lane}.db", lane, quota_bytes=mb << 20, boot=boot, inventory=inventory, now_ns=now_ns
                )
            )
            for lane, mb in quotas.items()
        }
        outbox = cls(streams, inventory, storage.seal_s, now_ns)
        try:
            for stream in streams.values():
                await stream.worker.run(StreamFile.open)
                stream.refresh()
            outbox._states = await outbox._urgent.worker.run(StreamFile.states)
            await outbox._bulk.worker.run(StreamFile.keep_inventory)
            await outbox._announce()
            async with asyncio.TaskGroup() as tasks:
                sealers = [
                    tasks.create_task(outbox._seal_urgent(), name="outbox urgent"),
                    tasks.create_task(outbox._seal_bulk(), name="outbox bulk"),
                ]
                losses = tasks.create_task(outbox._declare_losses(), name="outbox losses")
                try:
                    yield outbox
                finally:
                    losses.cancel()
                    await asyncio.wait([losses])
                    # Not cancelled: a block half-way through its thread would be sealed a second time.
                    outbox._closing = True
                    for stream in streams.values():
                        stream.wake.set()
                    await asyncio.wait(sealers)
        finally:
            for stream in streams.values():
                await stream.worker.close()

    async def _announce(self) -> None:
        try:
            await self._urgent.worker.run(lambda file: file.append_records(()))
            self._urgent.refresh()
        except DiskError as e:
            self._urgent.fails(e)  # the next block that can be sealed carries it

    # Taking

    async def put(self, readings: Sequence[Reading]) -> None:
        """Takes readings by their lane: states are on disk when this returns, telemetry within the seal interval.

        While the disk fails it returns at once, so that polling goes on; states are then kept in memory until they
        can be written. Raises KeyError for telemetry that the inventory does not have.
        """
        rows, states = [], []
        for r in readings:
            if r.lane is Lane.URGENT:
                states.append(StateRecord(r.device, r.point, _word(r.value), r.quality, r.mono_ns))
            else:
                rows.append(Row(self._positions[r.device, r.point], r.mono_ns, _number(r.value), Quality(r.quality)))
        if rows:
            self._rows += rows
            self._bound_rows()
            if len(self._rows) >= SEAL_ROWS:
                self._bulk.wake.set()
        if states:
            done = self._add(states, patient=False)
            if not self._urgent.failing:
                await done

    async def record(self, record: Record) -> None:
        """Puts a record on the urgent stream; returns once it is on disk, however long that takes."""
        await self._add([record], patient=True)

    def _add(self, records: Sequence[Record], *, patient: bool) -> asyncio.Future[None]:
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.extend(_Waiting(record, None, patient=patient) for record in records[:-1])
        self._waiting.append(_Waiting(records[-1], done, patient=patient))
        self._bound_records()
        self._urgent.wake.set()
        return done

    async def flush(self) -> None:
        """Seals the bulk readings in memory now; returns when they are on disk or the disk refused."""
        self._bulk.progress.clear()
        self._bulk.wake.set()
        await self._bulk.progress.wait()

    # Sealing

    async def _seal_urgent(self) -> None:
        """Seals what waits at once; what comes while an fsync is under way shares the next (group commit)."""
        stream = self._urgent
        while True:
            await stream.wake.wait()
            stream.wake.clear()
            while self._waiting:
                batch = [self._waiting.popleft() for _ in range(min(len(self._waiting), self._batch_limit))]
                records = [waiting.record for waiting in batch]
                try:
                    await stream.worker.run(lambda file, records=records: file.append_records(records))  # type: ignore[misc]
                except BlockError:
                    if len(batch) > 1:
                        self._waiting.extendleft(reversed(batch))
                        self._batch_limit = len(batch) // 2
                        continue
                    log.exception("a record is too large for a block and is dropped")
                    stream.dropped += 1
                except DiskError as e:
                    self._waiting.extendleft(reversed(batch))
                    self._urgent_failed(e)
                    if self._closing:
                        log.exception("records are lost: the disk refused them", records=len(self._waiting))
                        return
                    await asyncio.sleep(RETRY_S)
                    continue
                self._batch_limit = MAX_BATCH
                stream.works()
                await self._sealed(stream, len(batch))
                for waiting in batch:
                    waiting.free()
            if self._closing:
                return

    def _urgent_failed(self, error: DiskError) -> None:
        self._urgent.fails(error)
        for waiting in self._waiting:
            if not waiting.patient:
                waiting.free()

    async def _seal_bulk(self) -> None:
        """Seals the readings in memory each seal interval, earlier when they are many or when asked."""
        stream = self._bulk
        while True:
            try:
                async with asyncio.timeout(self._seal_s):
                    await stream.wake.wait()
            except TimeoutError:
                pass
            stream.wake.clear()
            while self._rows:
                rows, self._rows = self._rows[:MAX_PENDING_ROWS], self._rows[MAX_PENDING_ROWS:]
                try:
                    await stream.worker.run(lambda file, rows=rows: file.append_rows(rows))  # type: ignore[misc]
                except DiskError as e:
                    stream.fails(e)
                    self._rows = rows + self._rows
                    self._bound_rows()
                    break
                stream.works()
                await self._sealed(stream, len(rows))
            stream.progress.set()
            if self._closing:
                if self._rows:
                    log.error("readings are lost: the disk refused them", readings=len(self._rows))
                return

    async def _sealed(self, stream: _Stream, items: int) -> None:
        stream.sealed_blocks += 1
        stream.sealed_items += items
        await self._changed(stream)

    async def _changed(self, stream: _Stream) -> None:
        stream.refresh()
        stream.used_bytes = await stream.worker.run(StreamFile.used_bytes)
        if stream.file.undeclared or stream.dropped:
            self._losses.set()

    def _bound_rows(self) -> None:
        excess = len(self._rows) - MAX_PENDING_ROWS
        if excess > 0:
            del self._rows[:excess]
            self._bulk.dropped += excess

    def _bound_records(self) -> None:
        """Above the bound the oldest states go. Who waits for a record keeps it: there are few, and they wait."""
        excess = len(self._waiting) - MAX_PENDING_RECORDS
        if excess <= 0:
            return
        kept: deque[_Waiting] = deque()
        for waiting in self._waiting:
            if excess > 0 and not waiting.patient:
                waiting.free()
                excess -= 1
                self._urgent.dropped += 1
            else:
                kept.append(waiting)
        self._waiting = kept

    async def _declare_losses(self) -> None:
        """Puts a receipt on the urgent stream for everything that was given up, for ever."""
        while True:
            try:
                await self._declare_once()
            except DiskError:  # the sealer has said so
                await asyncio.sleep(RETRY_S)
                continue
            await self._losses.wait()
            self._losses.clear()

    async def _declare_once(self) -> None:
        for lane, stream in self._streams.items():
            if stream.dropped:
                items, stream.dropped = stream.dropped, 0
                reason = "the disk refused them and too many waited in memory"
                await self._declare(Loss(lane, 0, 0, 0, 0, items, reason))
                stream.lost_items += items
            if stream.file.undeclared:
                for loss_id, loss in await stream.worker.run(StreamFile.losses):
                    await self._declare(loss)
                    stream.lost_items += loss.items
                    await stream.worker.run(lambda file, loss_id=loss_id: file.declared(loss_id))  # type: ignore[misc]

    async def _declare(self, loss: Loss) -> None:
        receipt = LossReceipt(
            loss.stream, loss.epoch, loss.first, loss.last, loss.checksum, loss.items, loss.reason, self._now_ns()
        )
        await self.record(receipt)

    # Delivering

    async def peek(self, stream: Lane, max_bytes: int) -> list[bytes]:
        """The oldest blocks not yet acknowledged, consecutive, at least one if there is any, else up to `max_bytes`.

        A block that was damaged on disk is given up and declared.
        """
        blocks = await self._streams[stream].worker.run(lambda file: file.peek(max_bytes))
        await self._changed(self._streams[stream])
        return blocks

    async def acknowledge(self, stream: Lane, cursor: Cursor) -> bool:
        """Deletes delivered blocks and durably moves the tail; False when the cursor says nothing new of this epoch."""
        of = self._streams[stream]
        before = of.file.chain.tail_number
        moved = await of.worker.run(lambda file: file.acknowledge(cursor))
        if moved:
            of.delivered_blocks += cursor.number - before
            await self._changed(of)
        return moved

    async def reconcile(self, stream: Lane, cursor: Cursor) -> Standing:
        """Compares the cloud's cursor with our chain, and acknowledges what the cloud turns out to have."""
        of = self._streams[stream]
        chain = of.file.chain
        if cursor.epoch != chain.epoch:
            return Standing.AGREES if chain.tail_number == 0 else Standing.DIVERGED
        if cursor.number < chain.tail_number:
            return Standing.BEHIND if stream is Lane.BULK else Standing.DIVERGED
        if await of.worker.run(lambda file: file.checksum_at(cursor.number)) != cursor.checksum:
            return Standing.DIVERGED
        await self.acknowledge(stream, cursor)
        return Standing.AGREES

    async def open_epoch(self, stream: Lane) -> None:
        """A new chain for all that is pending, the inventory first on the urgent one. No block is written anew."""
        of = self._streams[stream]
        await of.worker.run(StreamFile.open_epoch)
        log.warning("a new epoch was opened", stream=stream, epoch=of.file.chain.epoch, pending=of.file.chain.pending)
        await self._changed(of)

    async def give_up_first(self, stream: Lane, reason: str) -> None:
        """Gives up the oldest pending block, which nobody will ever take, and declares it."""
        of = self._streams[stream]
        if of.file.chain.pending:
            await of.worker.run(lambda file: file.give_up(file.chain.tail_seq + 1, reason))
            await self._changed(of)

    async def inventory(self, inventory_id: int) -> InventoryRecord | None:
        """The inventory that pending bulk blocks name, or None when this box does not have it any more."""
        return await self._bulk.worker.run(lambda file: file.inventory(inventory_id))

    async def boots(self) -> list[BootTime]:
        """The boots this box remembers, oldest first; the last is this one."""
        return await self._urgent.worker.run(StreamFile.boots)

    async def wait_for_blocks(self, stream: Lane) -> None:
        """Returns when at least one block is pending."""
        await self._streams[stream].some.wait()

    async def wait_until_delivered(self, stream: Lane) -> None:
        """Returns when no block is pending."""
        await self._streams[stream].none.wait()

    # What it says of itself

    def restored_states(self) -> list[StateRecord]:
        """The last state of each series as it was on disk at start; times of another boot are 0."""
        return self._states

    def head(self, stream: Lane) -> Cursor:
        """Epoch and number of the block sealed last; its checksum is 0 where it waits for its place in a new epoch."""
        chain = self._streams[stream].file.chain
        return Cursor(chain.epoch, chain.head_number, chain.head_checksum if chain.pending else chain.tail_checksum)

    def acked(self, stream: Lane) -> Cursor:
        """The last block that is no longer here: delivered, or given up."""
        return self._streams[stream].file.chain.tail

    def status(self, stream: Lane) -> StreamStatus:
        """The stream in numbers."""
        of = self._streams[stream]
        return StreamStatus(
            pending_blocks=of.file.chain.pending,
            waiting_items=len(self._waiting) if stream is Lane.URGENT else len(self._rows),
            used_bytes=of.used_bytes,
            quota_bytes=of.file.quota_bytes,
            sealed_blocks=of.sealed_blocks,
            sealed_items=of.sealed_items,
            delivered_blocks=of.delivered_blocks,
            lost_items=of.lost_items,
            failing=of.failing,
        )


def _word(value: float | str | None) -> str | None:
    """A state's value; a number here is a mistake of whoever made the reading."""
    if isinstance(value, float | int):
        raise TypeError(f"a state carries a word, not the number {value!r}")
    return value


def _number(value: float | str | None) -> float:
    if isinstance(value, str):
        raise TypeError(f"telemetry carries a number, not the word {value!r}")
    return math.nan if value is None else float(value)
