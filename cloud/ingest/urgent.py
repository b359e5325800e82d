"""Urgent blocks into rows: records in their order, each to the place it concerns."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime, timedelta
from uuid import UUID

import msgspec

from cloud.ingest.chain import Incoming
from cloud.ingest.checks import problem_of, problem_with_known
from cloud.store import Connection, gateways, streams
from cloud.store.changes import Change, Happened
from cloud.store.streams import Boot, Source, StateRow
from contract.errors import BlockError
from contract.kinds import Lane
from contract.messages import CommandResult, Event, Quality
from contract.records import (
    ClockRecord,
    ConfigReport,
    InventoryRecord,
    LossReceipt,
    Record,
    StateRecord,
    decode_records,
)
from contract.session import Cursor

Answer = Callable[[Connection, UUID, Sequence[CommandResult]], Awaitable[set[str]]]
"""Takes commands' results and returns the topics to wake."""
_AHEAD = timedelta(minutes=5)
"""A record further ahead of the cloud's clock is stamped on receipt."""
_OLDEST = timedelta(days=400)
"""So is one that is older than any box keeps; each week of it would be a chunk of its own."""
_LITTLE = timedelta(microseconds=1)
MAX_RECORDS = 5_000
"""A box seals a thousand at most."""
_THREAD_BYTES = 64 << 10
"""Blocks that become more together are read beside the event loop."""


class LeftOutError(BlockError):
    """Some records of a block could not be kept, by their places in it; the others were."""

    def __init__(self, problem: str, places: list[int]) -> None:
        super().__init__(problem)
        self.places = places


class CheckedRecords(msgspec.Struct, frozen=True):
    """A block's records, and of each why it cannot be kept; None for one that can, as far as it shows itself."""

    records: tuple[Record, ...]
    problems: tuple[str | None, ...]


class Applied(msgspec.Struct, frozen=True):
    """What urgent blocks brought: changes for the alarms, topics to wake, and which blocks were set aside."""

    changes: tuple[Change | Happened, ...]
    topics: frozenset[str]
    aside: tuple[Incoming, ...]


class UrgentWriter:
    """Applies the urgent blocks of one request, within its transaction."""

    def __init__(
        self,
        connection: Connection,
        gateway: UUID,
        estate: int,
        boots: dict[bytes, Boot],
        now: datetime,
        answer: Answer,
    ) -> None:
        self._connection = connection
        self._gateway = gateway
        self._estate = estate
        self._boots = boots
        self._now = now
        self._answer = answer
        self._series: dict[tuple[str, str], Source] = {}
        self._devices: dict[str, Source] = {}
        self._states: list[tuple[Source, StateRow]] = []
        self._events: list[Happened] = []
        self._results: list[CommandResult] = []
        self._topics: set[str] = set()

    async def apply(self, blocks: tuple[Incoming, ...]) -> Applied:
        """Applies consecutive blocks; what makes no sense is set aside and the rest goes on."""
        await self._load_sources()
        aside: list[Incoming] = []
        news = [
            block
            for block in blocks
            if block.header.sealed_ns > self._boots[block.header.boot].sealed_ns  # else known already
        ]
        if sum(block.body_bytes for block in news) > _THREAD_BYTES:
            read = await asyncio.to_thread(_read_all, news)
        else:
            read = _read_all(news)
        sound = [checked.records for _, checked in read if not isinstance(checked, BlockError)]
        self._take_first_clocks(sound)
        if any(isinstance(record, LossReceipt) and record.stream is Lane.BULK for part in sound for record in part):
            # Before any boot's row is touched: bulk takes its cursor first too, and so they never wait in a circle.
            await streams.lock_cursor(self._connection, self._gateway, Lane.BULK)
        for block, checked in read:
            head = block.header
            try:
                if isinstance(checked, BlockError):
                    raise checked
                await self._apply_block(head.boot, checked)
            except BlockError as e:
                left_out = e.places if isinstance(e, LeftOutError) else None
                await streams.quarantine(
                    self._connection, self._gateway, Lane.URGENT, head.epoch, head.number, block.raw, str(e), left_out
                )
                aside.append(block)
        changes = await self._store()
        return Applied(tuple(changes), frozenset(self._topics), tuple(aside))

    async def _apply_block(self, boot: bytes, checked: CheckedRecords) -> None:
        """Applies what can be; then raises LeftOutError when some could not, so that people can look at those."""
        refused: list[tuple[int, str]] = []
        for place, (record, problem) in enumerate(zip(checked.records, checked.problems, strict=True)):
            problem = problem or problem_with_known(record, self._devices.keys(), self._series.keys())
            if problem is None and not await self._apply_record(boot, record):
                problem = "a name that the inventory does not have"
            if problem is not None:
                refused.append((place, problem))
        if refused:
            place, problem = refused[0]
            first = f"number {place + 1}, {_kind(checked.records[place])}"
            what = f"{len(refused)} records cannot be kept. The first holds {problem}: {first}"
            raise LeftOutError(what, [place for place, _ in refused])

    def _take_first_clocks(self, bodies: list[tuple[Record, ...]]) -> None:
        """What a boot said before its first clock record has its time from that one.

        A box reads its devices before it reaches the cloud. Stamped on receipt, those states would seem newer than the
        ones after the record, and the rules would take the newer ones for history.
        """
        for record in (record for records in bodies for record in records if isinstance(record, ClockRecord)):
            known = self._boots.get(record.boot)
            if known is not None and known.utc_ns is None and problem_of(record) is None:
                self._boots[record.boot] = _with_clock(known, record)

    async def _load_sources(self) -> None:
        found = await streams.sources(self._connection, self._gateway)
        self._devices = {source.key: source for source in found}
        self._series = {(source.key, source.point): source for source in found if source.point is not None}

    def _time(self, boot: bytes, mono_ns: int) -> datetime:
        utc_ns = self._boots[boot].utc_at(mono_ns)
        if utc_ns is None:
            return self._now
        try:
            at = datetime.fromtimestamp(utc_ns / 1e9, UTC)
        except (OverflowError, ValueError, OSError):
            return self._now
        return at if self._now - _OLDEST <= at <= self._now + _AHEAD else self._now

    async def _apply_record(self, boot: bytes, record: Record) -> bool:
        """Applies one record; False when it names something that the inventory does not have."""
        match record:
            case StateRecord():
                source = self._series.get((record.device, record.point))
                if source is None or source.series is None:
                    return False
                at = self._time(boot, record.mono_ns)
                row = StateRow(source.series, at, record.value, int(record.quality))
                self._states.append((source, row))
            case Event():
                device = self._devices.get(record.device)
                if device is None:
                    return False
                at = self._time(boot, record.mono_ns)
                self._events.append(
                    Happened(
                        device=device.device,
                        gateway=self._gateway,
                        estate=device.estate,
                        kind=device.kind,
                        point=record.point,
                        at=at,
                        fields=record.fields,
                    )
                )
                self._topics.add(f"device:{device.device}")
            case InventoryRecord():
                gone = await streams.put_inventory(self._connection, self._gateway, self._estate, record)
                await self._load_sources()
                if gone:
                    self._topics |= {f"alarms:{self._estate}", *(f"device:{device}" for device in gone)}
                self._topics.add(f"devices:{self._estate}")
            case ClockRecord():
                await streams.set_clock(self._connection, self._gateway, record)
                known = self._boots.get(record.boot, Boot(record.boot))
                self._boots[record.boot] = _with_clock(known, record)
            case CommandResult():
                self._results.append(record)
            case LossReceipt():
                await self._apply_loss(boot, record)
            case ConfigReport():
                await gateways.seen(self._connection, self._gateway, record.version, record.site_digest)
                self._topics.add(f"gateways:{self._estate}")
        return True

    async def _apply_loss(self, boot: bytes, receipt: LossReceipt) -> None:
        """Notes the loss and moves the stream's cursor over it, so that what comes after can be taken."""
        await streams.put_loss(self._connection, self._gateway, receipt, self._time(boot, receipt.mono_ns))
        self._topics.add(f"gateways:{self._estate}")
        if receipt.epoch == 0:  # no block numbers are known: what was lost was never part of the chain
            return
        if receipt.stream is Lane.URGENT:  # of an epoch before this one: its cursor has moved on
            return
        cursor = await streams.lock_cursor(self._connection, self._gateway, receipt.stream)
        if cursor.epoch != receipt.epoch:
            known = await streams.epoch_is_known(self._connection, self._gateway, receipt.stream, receipt.epoch)
            if known or receipt.first != 1:
                return
            await streams.open_epoch(self._connection, self._gateway, receipt.stream, receipt.epoch, cursor.number)
        elif not receipt.first <= cursor.number + 1 <= receipt.last:
            return
        moved = Cursor(receipt.epoch, receipt.last, receipt.checksum)
        await streams.move_cursor(self._connection, self._gateway, receipt.stream, moved)

    async def _store(self) -> list[Change | Happened]:
        if self._events:
            rows = [(event.device, event.at, event.point, event.fields) for event in self._events]
            await streams.put_events(self._connection, rows)
        if self._results:
            self._topics |= await self._answer(self._connection, self._gateway, self._results)
        return [*await self._put_states(), *self._events]

    async def _put_states(self) -> list[Change]:
        if not self._states:
            return []
        # The order of the stream is the truth. A clock that was corrected backwards must not make a later state look
        # like history, or a fire would go unheard: each state is stamped after the one it followed,
        # by a microsecond at least: whoever reads them later knows which was the last.
        marks = await streams.latest_at(self._connection, {row.series for _, row in self._states})
        return await self._store_states(self._stamped(marks))

    def _stamped(self, marks: dict[int, datetime]) -> list[tuple[Source, StateRow]]:
        ordered: list[tuple[Source, StateRow]] = []
        for source, row in self._states:
            at = max(row.at, marks[row.series] + _LITTLE) if row.series in marks else row.at
            marks[row.series] = at
            ordered.append((source, msgspec.structs.replace(row, at=at)))
        return ordered

    async def _store_states(self, ordered: list[tuple[Source, StateRow]]) -> list[Change]:
        await streams.put_states(self._connection, [row for _, row in ordered])
        await streams.put_latest(self._connection, list({row.series: row for _, row in ordered}.values()))
        self._topics |= {f"device:{source.device}" for source, _ in ordered}
        return [
            Change(
                series=row.series,
                device=source.device,
                gateway=self._gateway,
                estate=source.estate,
                kind=source.kind,
                point=source.point or "",
                state=row.state if row.quality == Quality.GOOD else None,
                quality=row.quality,
                at=row.at,
            )
            for source, row in ordered
        ]


def _with_clock(boot: Boot, record: ClockRecord) -> Boot:
    return msgspec.structs.replace(
        boot, mono_ns=record.mono_ns, utc_ns=record.utc_ns, uncertainty_ns=record.uncertainty_ns
    )


def _kind(record: Record) -> str:
    """What a record is, but not what it says: reasons are audited for ever, and an event may say who it was."""
    kind = f"of kind {record.__struct_config__.tag}"
    return f"{kind} from {record.device[:100]}" if isinstance(record, StateRecord | Event) else kind


def check_records(records: tuple[Record, ...]) -> CheckedRecords:
    """Looks at each record. An inventory of 5,000 devices takes half a second."""
    return CheckedRecords(records, tuple(problem_of(record) for record in records))


def _read_all(blocks: Sequence[Incoming]) -> list[tuple[Incoming, CheckedRecords | BlockError]]:
    read = [(block, try_records(block)) for block in blocks]
    return [(block, said if isinstance(said, BlockError) else check_records(said)) for block, said in read]


def try_records(block: Incoming) -> tuple[Record, ...] | BlockError:
    """A block's records, or why it has none."""
    try:
        return _records(block)
    except BlockError as e:
        return e


def _records(block: Incoming) -> tuple[Record, ...]:
    try:
        records = decode_records(block.body())
    except (msgspec.DecodeError, RecursionError) as e:
        raise BlockError(f"body holds no records: {e}") from e
    if len(records) != block.header.items or len(records) > MAX_RECORDS:
        raise BlockError(f"{len(records)} records; the header says {block.header.items}, at most {MAX_RECORDS} may be")
    return records
