"""The outbox as the rest of the box sees it: takes readings and records, hands out blocks, never holds up the loop."""

import asyncio
import math
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Final, Never, Self

import structlog

from contract.clock import mono_ns
from contract.columns import Row
from contract.kinds import Lane
from contract.messages import Event, Reading
from contract.records import InventoryRecord, LossReceipt, Record, StateRecord
from contract.session import Cursor
from contract.site import SEAL_S, Storage
from edge.disk import DiskError
from edge.outbox.chain import Loss
from edge.outbox.file import SETTLE_BYTES, StreamFile
from edge.outbox.room import Measure, Room, measure_disk
from edge.outbox.sealers import RETRY_S, BulkSealer, UrgentSealer
from edge.outbox.stream import Stream
from edge.seams import BootTime, Standing, StreamStatus

log = structlog.get_logger(__name__)

TEND_S: Final = 30.0
"""How often the disk is looked after; so long a delivered block may still be on it."""
_BULK: Final = Lane.BULK
UNREADABLE_TRIES: Final = 10
"""When the oldest blocks could not be read so often in succession, the first of them is given up."""


class Outbox:
    """Two chained streams of blocks on disk. Make one with `open`; one at a time for a state folder."""

    def __init__(
        self,
        urgent: Stream,
        bulk: Stream,
        losses: asyncio.Event,
        *,
        inventory: InventoryRecord,
        seal_s: float,
        now_ns: Callable[[], int],
    ) -> None:
        self._urgent, self._bulk, self._losses, self._now_ns = urgent, bulk, losses, now_ns
        self._streams = {Lane.URGENT: urgent, Lane.BULK: bulk}
        self._records, self._rows = UrgentSealer(urgent, bulk), BulkSealer(bulk, seal_s)
        self._places = _places(inventory)
        self._states: list[StateRecord] = []
        self._has_unplaced = False
        self._tell_anew = asyncio.Event()

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
        measure: Measure = measure_disk,
    ) -> AsyncIterator[Self]:
        """The outbox of a state folder, sealing until the context ends; then all that waits is sealed.

        Announces the inventory on the urgent stream when its epoch has not carried it. Always opens: a damaged file is
        moved aside, and on a disk that cannot be written the outbox is in memory, which `status` says.
        """
        room, losses = Room(state_dir, storage.urgent_mb << 20, measure), asyncio.Event()
        urgent, bulk = (
            Stream(
                StreamFile(
                    state_dir / f"{lane}.db", lane, quota_bytes=mb << 20, boot=boot, inventory=inventory, now_ns=now_ns,
                    room=room, keep_days=storage.bulk_days if lane is Lane.BULK else 0,
                ),
                losses,
            )
            for lane, mb in ((Lane.URGENT, storage.urgent_mb), (Lane.BULK, storage.bulk_mb))
        )  # fmt: skip
        outbox = cls(urgent, bulk, losses, inventory=inventory, seal_s=storage.seal_s or SEAL_S, now_ns=now_ns)
        try:
            for stream in (urgent, bulk):
                await stream.worker.run(StreamFile.open)
                stream.changed()
            outbox._states = await urgent.worker.run(StreamFile.states)
            await outbox._announce()
            async with asyncio.TaskGroup() as tasks:
                records = tasks.create_task(outbox._records.run(), name="outbox urgent")
                rows = tasks.create_task(outbox._rows.run(), name="outbox bulk")
                others = [
                    tasks.create_task(outbox._declare_losses(), name="outbox losses"),
                    tasks.create_task(outbox._tend(), name="outbox disk"),
                ]
                try:
                    yield outbox
                finally:
                    for task in others:
                        task.cancel()
                    await asyncio.wait(others)
                    await outbox._seal_last(rows, records)
        finally:
            for stream in (urgent, bulk):
                await stream.worker.close()

    async def _seal_last(self, rows: asyncio.Task[None], records: asyncio.Task[None]) -> None:
        """Seals what waits; what bulk loses in that is still declared on urgent.

        The sealers are not cancelled: a block half-way through its thread would be sealed a second time.
        """
        for stream, sealing in ((self._bulk, rows), (self._urgent, records)):
            receipt = self._take_dropped(Lane.BULK)
            if receipt is not None:
                self._records.add([receipt], patient=True)
            stream.closing = True
            stream.wake.set()
            await asyncio.wait([sealing])

    async def _announce(self) -> None:
        with suppress(DiskError):  # it is then sent from memory when the cloud asks for it
            await self._bulk.worker.run(StreamFile.keep_inventory)
        try:
            await self._urgent.worker.run(lambda file: file.append_records(()))
            self._urgent.changed()
        except DiskError as e:
            self._urgent.fails(e)  # the next block that can be sealed carries it

    async def adopt(self, inventory: InventoryRecord) -> None:
        """Goes on with another inventory: announces it, and counts telemetry by it from now on.

        What waits is sealed by the old one first. Telemetry that only one of them knows must not come meanwhile.
        """
        names = {place: (device, point) for device, of in self._places.items() for point, place in of.items()}
        places = _places(inventory)

        def place_of(before: int) -> int | None:
            device, point = names[before]
            return places.get(device, {}).get(point)

        await self._rows.adopt(inventory, place_of)
        self._places = places  # nothing came between: the rows that waited were given their places just now
        await self._urgent.worker.run(lambda file: file.adopt(inventory))
        await self._announce()

    # Taking

    async def put(self, items: Sequence[Reading | Event]) -> None:
        """Takes them by their lane: states and events are on disk when this returns, telemetry within the interval.

        While the disk fails it returns at once, so that polling goes on; states are then kept in memory until they
        can be written. Telemetry that the inventory does not have is left out, and takes nothing else with it.
        """
        rows: list[Row] = []
        records: list[Record] = []
        places, bulk, make_row = self._places, _BULK, Row  # every reading comes by here
        for r in items:
            if type(r) is Reading and r.lane is bulk:
                value = r.value
                number = value if type(value) is float else _number(value)
                try:
                    rows.append(make_row(places[r.device][r.point], r.mono_ns, number, r.quality))
                except KeyError:
                    self._note_unplaced(r)
            elif isinstance(r, Event):
                records.append(r)
            else:
                records.append(StateRecord(r.device, r.point, _word(r.value), r.quality, r.mono_ns))
        # States first: they do not wait for a bulk that is behind.
        done = self._records.add(records, patient=False) if records else None
        if rows:
            await self._rows.add(rows)
        if done is not None and not self._urgent.failing:
            await done

    def _note_unplaced(self, reading: Reading) -> None:
        """Says once what should not happen: a series that was never announced means nothing to the cloud."""
        if not self._has_unplaced:
            log.error("telemetry of a series that no inventory has is left out", device=reading.device,
                      point=reading.point)  # fmt: skip
        self._has_unplaced = True

    async def record(self, record: Record) -> None:
        """Puts a record on the urgent stream; returns once it is on disk, or in memory where that took its place."""
        await self._records.add([record], patient=True)

    async def flush(self) -> None:
        """Seals the bulk readings in memory now; returns when they are on disk or the disk refused."""
        await self._rows.flush()

    # Looking after what is kept

    async def _declare_losses(self) -> Never:
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
            receipt = self._take_dropped(lane)
            if receipt is not None:
                await self.record(receipt)
                stream.lost_items += receipt.items
                if lane is Lane.URGENT:
                    self._tell_anew.set()
            if stream.file.undeclared:
                for loss_id, loss in await stream.worker.run(StreamFile.losses):
                    await self.record(self._receipt(loss))
                    stream.lost_items += loss.items
                    if lane is Lane.URGENT:
                        self._tell_anew.set()
                    await stream.worker.run(lambda file, loss_id=loss_id: file.declared(loss_id))  # type: ignore[misc]

    def _take_dropped(self, lane: Lane) -> LossReceipt | None:
        """The receipt for what did not even become a block since the last such receipt."""
        stream = self._streams[lane]
        items, stream.dropped = stream.dropped, 0
        if not items:
            return None
        return self._receipt(Loss(lane, 0, 0, 0, 0, items, "never written: the disk refused them for long"))

    def _receipt(self, loss: Loss) -> LossReceipt:
        return LossReceipt(
            loss.stream, loss.epoch, loss.first, loss.last, loss.checksum, loss.items, loss.reason, self._now_ns()
        )

    async def _tend(self) -> None:
        """Looks after the disk, for ever; while a disk refuses, what was dropped meanwhile is declared from here."""
        while True:
            for stream in self._streams.values():
                try:
                    await stream.worker.run(StreamFile.tend)
                except DiskError as e:
                    log.warning("the disk cannot be looked after", stream=stream.file.stream, problem=str(e))
                stream.changed()
            await asyncio.sleep(TEND_S)

    # Delivering

    async def peek(self, stream: Lane, max_bytes: int) -> list[bytes]:
        """The oldest blocks not yet acknowledged, consecutive, at least one if there is any, else up to `max_bytes`.

        A block that was damaged on disk, or stays unreadable, is given up and declared; the answer may be empty then.
        """
        of = self._streams[stream]
        try:
            blocks = await of.worker.run(lambda file: file.peek(max_bytes))
        except DiskError as e:
            of.unreadable += 1
            if of.unreadable < UNREADABLE_TRIES:
                raise
            of.unreadable = 0
            problem = f"it could not be read from disk: {e}"
            await of.worker.run(lambda file: file.give_up_unreadable(problem))
            blocks = []
        else:
            of.unreadable = 0
        of.changed()
        return blocks

    async def acknowledge(self, stream: Lane, cursor: Cursor) -> bool:
        """Lets delivered blocks go; False when the cursor says nothing new of this epoch.

        The tail is on disk with the next block, or within TEND_S.
        """
        of = self._streams[stream]
        before = of.file.chain.tail_number
        items = await of.worker.run(lambda file: file.acknowledge(cursor))
        if items is None:
            return False
        of.delivered_blocks += cursor.number - before
        of.delivered_items += items
        if of.file.unsettled_bytes > SETTLE_BYTES:
            with suppress(DiskError):  # tried again with the next block, or when the disk is looked after
                await of.worker.run(StreamFile.settle)
        of.changed()
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
        self._tell_anew.set()
        of.changed()

    async def wait_to_tell_anew(self) -> None:
        """Returns when the cloud may know another past than this box: after a new epoch, or when states were lost.

        A restored card, a restored database and a second box of one identity all end in one; what the cloud then takes
        for the state of things may be an older one, which nothing would correct until it changes.
        """
        await self._tell_anew.wait()
        self._tell_anew.clear()

    async def give_up_first(self, stream: Lane, reason: str) -> None:
        """Gives up the oldest pending block, which nobody will ever take, and declares it."""
        of = self._streams[stream]
        if of.file.chain.pending:
            await of.worker.run(lambda file: file.give_up(file.chain.tail_seq + 1, reason))
            of.changed()

    async def inventory(self, inventory_id: int) -> InventoryRecord | None:
        """The inventory that pending bulk blocks name, or None when this box does not have it any more."""
        return await self._bulk.worker.run(lambda file: file.inventory(inventory_id))

    async def boots(self) -> list[BootTime]:
        """The boots this box remembers, oldest first; the last is this one."""
        return await self._urgent.worker.run(StreamFile.boots)

    async def wait_for_blocks(self, stream: Lane) -> None:
        """Returns when at least one block is pending."""
        await self._streams[stream].some.wait()

    async def wait_for_more(self, stream: Lane, sealed_blocks: int) -> None:
        """Returns when more blocks were sealed in this run than `sealed_blocks`."""
        of = self._streams[stream]
        while of.sealed_blocks <= sealed_blocks:
            of.more.clear()
            await of.more.wait()

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
            waiting_items=len(self._records if stream is Lane.URGENT else self._rows),
            used_bytes=of.file.used_bytes,
            quota_bytes=of.file.quota_bytes,
            sealed_blocks=of.sealed_blocks,
            sealed_items=of.sealed_items,
            sealed_bytes=of.file.sealed_bytes,
            delivered_blocks=of.delivered_blocks,
            delivered_items=of.delivered_items,
            lost_items=of.lost_items,
            failing=of.failing or (of.file.in_memory and f"kept in memory only: {of.file.in_memory}"),
            stalled_since_ns=of.stalled_since_ns,
        )


def _places(inventory: InventoryRecord) -> dict[str, dict[str, int]]:
    """Where each series stands in an inventory, by device and point."""
    places: dict[str, dict[str, int]] = {}
    for place, series in enumerate(inventory.series):
        places.setdefault(series.device, {})[series.point] = place
    return places


def _word(value: float | str | None) -> str | None:
    """A state's value; a number here is a mistake of whoever made the reading."""
    if isinstance(value, float | int):
        raise TypeError(f"a state carries a word, not the number {value!r}")
    return value


def _number(value: float | str | None) -> float:
    if isinstance(value, str):
        raise TypeError(f"telemetry carries a number, not the word {value!r}")
    return math.nan if value is None else float(value)
