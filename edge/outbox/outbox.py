"""The outbox as the rest of the box sees it: takes readings and records, hands out blocks, never holds up the loop."""

import asyncio
import math
from collections import deque
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final, Self

import structlog

from contract.block import Row
from contract.clock import mono_ns
from contract.errors import BlockError
from contract.kinds import Lane
from contract.messages import Quality, Reading
from contract.records import InventoryRecord, LossReceipt, Record, StateRecord
from contract.session import Cursor
from contract.site import Storage
from edge.outbox.chain import Loss
from edge.outbox.file import StreamFile
from edge.outbox.stream import Stream, Waiting
from edge.outbox.worker import DiskError
from edge.seams import BootTime, Standing, StreamStatus

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


class Outbox:
    """Two chained streams of blocks on disk. Make one with `open`; one at a time for a state folder."""

    def __init__(
        self, streams: dict[Lane, Stream], inventory: InventoryRecord, seal_s: float, now_ns: Callable[[], int]
    ) -> None:
        self._streams, self._urgent, self._bulk = streams, streams[Lane.URGENT], streams[Lane.BULK]
        self._positions = {(s.device, s.point): i for i, s in enumerate(inventory.series)}
        self._seal_s = seal_s
        self._states: list[StateRecord] = []
        self._waiting: deque[Waiting] = deque()
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
            lane: Stream(
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
            if len(self._rows) >= MAX_PENDING_ROWS and not self._bulk.failing:
                await self.flush()  # faster than the disk: whoever polls waits for it
            elif len(self._rows) >= SEAL_ROWS:
                self._bulk.wake.set()
            self._bound_rows()
        if states:
            done = self._add(states, patient=False)
            if not self._urgent.failing:
                await done

    async def record(self, record: Record) -> None:
        """Puts a record on the urgent stream; returns once it is on disk, however long that takes."""
        await self._add([record], patient=True)

    def _add(self, records: Sequence[Record], *, patient: bool) -> asyncio.Future[None]:
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.extend(Waiting(record, None, patient=patient) for record in records[:-1])
        self._waiting.append(Waiting(records[-1], done, patient=patient))
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
                self._sealed(stream, len(batch))
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
                self._sealed(stream, len(rows))
            stream.progress.set()
            if self._closing:
                if self._rows:
                    log.error("readings are lost: the disk refused them", readings=len(self._rows))
                return

    def _sealed(self, stream: Stream, items: int) -> None:
        stream.sealed_blocks += 1
        stream.sealed_items += items
        self._changed(stream)

    def _changed(self, stream: Stream) -> None:
        stream.refresh()
        if stream.file.undeclared or stream.dropped:
            self._losses.set()

    def _bound_rows(self) -> None:
        excess = len(self._rows) - MAX_PENDING_ROWS
        if excess > 0 and self._bulk.failing:
            del self._rows[:excess]
            self._bulk.dropped += excess

    def _bound_records(self) -> None:
        """While the disk fails, the oldest states above the bound go; records that someone waits for stay."""
        excess = len(self._waiting) - MAX_PENDING_RECORDS
        if excess <= 0 or not self._urgent.failing:
            return
        kept: deque[Waiting] = deque()
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
        self._changed(self._streams[stream])
        return blocks

    async def acknowledge(self, stream: Lane, cursor: Cursor) -> bool:
        """Deletes delivered blocks and durably moves the tail; False when the cursor says nothing new of this epoch."""
        of = self._streams[stream]
        before = of.file.chain.tail_number
        items = await of.worker.run(lambda file: file.acknowledge(cursor))
        if not items:
            return False
        of.delivered_blocks += cursor.number - before
        of.delivered_items += items
        self._changed(of)
        return True

    async def reconcile(self, stream: Lane, cursor: Cursor) -> Standing:
        """Compares the cloud's cursor with our chain, and acknowledges what the cloud turns out to have."""
        of = self._streams[stream]
        chain = of.file.chain
        if cursor.epoch != chain.epoch and chain.tail_number == 0:
            return Standing.AGREES
        if cursor.epoch != chain.epoch or cursor.number < chain.tail_number:
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
        self._changed(of)

    async def give_up_first(self, stream: Lane, reason: str) -> None:
        """Gives up the oldest pending block, which nobody will ever take, and declares it."""
        of = self._streams[stream]
        if of.file.chain.pending:
            await of.worker.run(lambda file: file.give_up(file.chain.tail_seq + 1, reason))
            self._changed(of)

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
            used_bytes=of.file.used_bytes,
            quota_bytes=of.file.quota_bytes,
            sealed_blocks=of.sealed_blocks,
            sealed_items=of.sealed_items,
            delivered_blocks=of.delivered_blocks,
            delivered_items=of.delivered_items,
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
