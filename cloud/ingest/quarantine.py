"""Stores a block that was set aside, once the reason is gone: read by this version, the clock and inventory of now.

All of it or nothing. What was stored once is never stored again, and what is old news by now becomes history: it moves
no latest value and raises no alarm over what came after it.
"""

import asyncio
from datetime import UTC, datetime

import msgspec

from cloud.ingest.bulk import check, decode
from cloud.ingest.chain import Incoming, read_block
from cloud.ingest.group import readings_of
from cloud.ingest.urgent import Answer, UrgentWriter, check_records, try_records
from cloud.store import Connection, Database, UnkeepableError, group, landing, newest, streams
from cloud.store.changes import Change, Evaluate, EvaluateBulk, Happened, Looked, look_at_nothing
from cloud.store.streams import SetAside, Source, StateRow
from contract.errors import BlockError, Permanent
from contract.kinds import Lane
from contract.records import ClockRecord, ConfigReport, InventoryRecord, Record
from contract.session import RefusalReason

_REFUSED = {
    RefusalReason.CLOCK: "the boot of this block has no clock record, so nobody knows when it was",
    RefusalReason.INVENTORY: "the inventory that this block counts its series by is not known",
}


class NotReplayableError(Permanent):
    """A block that was set aside cannot be stored, and why."""


async def replay(
    database: Database, evaluate: Evaluate, answer: Answer, number: int, evaluate_bulk: EvaluateBulk = look_at_nothing
) -> str:
    """Stores block `number` of the quarantine; returns why that cannot be done, "" where it was. Raises Retryable."""
    looked = Looked()
    try:
        async with database.storing() as connection:
            found = await streams.lock_set_aside(connection, number)
            if found is None or found.replayed:
                return "it was stored already" if found else "there is no such block any more"
            try:
                block = read_block(found.block)
                if found.stream is Lane.BULK:
                    topics, looked = await _replay_bulk(connection, found, block, evaluate_bulk)
                else:
                    topics = await _replay_urgent(connection, found, block, evaluate, answer)
            except BlockError as e:
                raise NotReplayableError(str(e)) from e  # past the transaction, which is rolled back by it
            await streams.mark_replayed(connection, number)
    except (NotReplayableError, UnkeepableError) as e:
        return str(e)
    looked.committed()
    await database.wake(topics)
    return ""


async def _replay_bulk(
    connection: Connection, found: SetAside, block: Incoming, evaluate: EvaluateBulk
) -> tuple[set[str], Looked]:
    gateway, head = found.gateway, block.header
    await streams.lock_cursor(connection, gateway, Lane.BULK)  # who has it is alone with the box's newest readings
    known = await group.boots(connection, [(gateway, head.boot)], Lane.BULK)
    boots = {head.boot: msgspec.structs.replace(known[gateway, head.boot], sealed_ns=0)}  # it was handled, not stored
    counted = await group.inventories(connection, [(gateway, head.inventory)])
    inventories = {number: inventory for (_, number), inventory in counted.items()}
    checked = check(gateway, ((block, decode(block)),), boots, inventories, datetime.now(UTC))
    if checked.refused:
        raise NotReplayableError(_REFUSED[checked.refused])
    for bad in checked.bad:
        raise NotReplayableError(bad.reason)
    if not checked.arrived:
        return set(), Looked()
    await landing.land(connection, checked.arrived)
    before = await newest.of_boxes(connection, [gateway])
    of_box = before.get(gateway, newest.NONE)
    topics: set[str] = set()
    for inventory, brought in checked.newest:
        of_box, series = of_box.moved_by(brought)
        topics |= inventory.topics_of(series)
    await newest.put(connection, {gateway: of_box})
    looked = await evaluate(connection, readings_of([(gateway, of) for of in checked.brought], before))
    return topics | looked.topics, looked


async def _replay_urgent(
    connection: Connection, found: SetAside, block: Incoming, evaluate: Evaluate, answer: Answer
) -> set[str]:
    records = try_records(block)
    if isinstance(records, BlockError):
        raise records
    if found.left_out is not None:
        records = tuple(records[place] for place in found.left_out)
    if found.newer_inventory and any(isinstance(record, InventoryRecord) for record in records):
        raise NotReplayableError("the box has said anew what it has since then: drop this block")
    await streams.lock_cursor(connection, found.gateway, Lane.URGENT)
    await streams.lock_cursor(connection, found.gateway, Lane.BULK)  # in the order of everybody else
    boots = await streams.boots(connection, found.gateway, Lane.URGENT, {block.header.boot})
    writer = LateWriter(connection, found.gateway, found.estate, boots, found.at, answer)
    changes, topics = await writer.apply_late(block.header.boot, records)
    return topics | (await evaluate(connection, changes) if changes else set())


class LateWriter(UrgentWriter):
    """Applies records long after they came."""

    async def apply_late(self, boot: bytes, records: tuple[Record, ...]) -> tuple[list[Change | Happened], set[str]]:
        """Applies all records; returns what is still news of them, and the topics to wake. Raises BlockError for any
        that cannot be kept.
        """
        await self._load_sources()
        self._take_first_clocks([records])
        await self._apply_block(boot, await asyncio.to_thread(check_records, records))
        changes = await self._store()
        return changes, self._topics

    async def _apply_record(self, boot: bytes, record: Record) -> bool:
        if isinstance(record, ConfigReport):  # what the box ran then
            return True
        if isinstance(record, ClockRecord):
            known = (await streams.boots(self._connection, self._gateway, Lane.URGENT, {record.boot}))[record.boot]
            if known.mono_ns is not None and known.mono_ns >= record.mono_ns:
                return True
        return await super()._apply_record(boot, record)

    def _stamped(self, marks: dict[int, datetime]) -> list[tuple[Source, StateRow]]:
        self._marks = dict(marks)
        return self._states  # at their own time: what came after them stands

    async def _store_states(self, ordered: list[tuple[Source, StateRow]]) -> list[Change]:
        changes = await super()._store_states(sorted(ordered, key=lambda item: item[1].at))
        return [
            change for change in changes if change.series not in self._marks or change.at > self._marks[change.series]
        ]
