"""One request of a box, from bytes to a committed cursor."""

from datetime import UTC, datetime
from uuid import UUID

import structlog
from prometheus_client import Counter, Histogram

from cloud.ingest.bulk import store_bulk
from cloud.ingest.chain import Incoming, read_block, walk
from cloud.ingest.urgent import Answer, UrgentWriter
from cloud.store import Connection, Database, UnkeepableError, streams
from cloud.store.changes import Evaluate
from contract.errors import AnjuError, BlockError
from contract.kinds import Lane
from contract.session import BlocksReply, Cursor, Refusal, iter_blocks

log = structlog.get_logger()
_BLOCKS = Counter("anju_ingest_blocks", "Blocks by stream and what became of them", ["stream", "outcome"])
_SECONDS = Histogram("anju_ingest_seconds", "Time of a request's transaction", ["stream"])


class RefusedError(AnjuError):
    """The blocks do not continue the stream; the box is told why and where the cloud stands (409)."""

    def __init__(self, refusal: Refusal) -> None:
        super().__init__(refusal.reason)
        self.refusal = refusal


class Ingest:
    """Takes the blocks of boxes. `evaluate` is the alarms' look at changes, `answer` takes commands' results."""

    def __init__(self, database: Database, evaluate: Evaluate, answer: Answer) -> None:
        self._database = database
        self._evaluate = evaluate
        self._answer = answer

    async def take(self, gateway: UUID, estate: int, stream: Lane, body: bytes) -> BlocksReply:
        """Stores what continues the stream and returns the cursor, committed.

        Raises BlockError for bytes damaged on the way, RefusedError when nothing could be taken, Retryable when the
        database cannot be had. A request that is sent again changes nothing.
        """
        blocks = _read(body, stream)
        try:
            reply, topics = await self._attempt(gateway, estate, stream, blocks)
        except UnkeepableError as e:
            log.warning("the database refuses a block", gateway=str(gateway), stream=stream, problem=str(e))
            reply, topics = await self._set_aside(gateway, estate, stream, blocks)
        await self._database.wake(topics)
        return reply

    async def _attempt(
        self, gateway: UUID, estate: int, stream: Lane, blocks: list[Incoming]
    ) -> tuple[BlocksReply, set[str]]:
        with _SECONDS.labels(stream).time():
            async with self._database.storing() as connection:
                return await self._store(connection, gateway, estate, stream, blocks)

    async def _set_aside(
        self, gateway: UUID, estate: int, stream: Lane, blocks: list[Incoming]
    ) -> tuple[BlocksReply, set[str]]:
        """Takes the next block alone; where it is the one that the database refuses, sets it aside and goes on."""
        async with self._database.connect() as connection:
            cursor = await streams.cursor_now(connection, gateway, stream)
        # Every epoch may be new here: what is decided on is decided again under the lock.
        first = list(walk(cursor, blocks, frozenset()).taken[:1])
        try:
            return await self._attempt(gateway, estate, stream, first)
        except UnkeepableError as e:
            async with self._database.transaction() as connection:
                return await self._store(connection, gateway, estate, stream, first, aside=str(e))

    async def _store(
        self, connection: Connection, gateway: UUID, estate: int, stream: Lane, blocks: list[Incoming], aside: str = ""
    ) -> tuple[BlocksReply, set[str]]:
        """Stores what continues the stream, or with `aside` sets it aside for that reason."""
        now = datetime.now(UTC)
        start = await streams.lock_cursor(connection, gateway, stream)
        known = {
            epoch
            for epoch in {block.header.epoch for block in blocks} - {start.epoch}
            if await streams.epoch_is_known(connection, gateway, stream, epoch)
        }
        found = walk(start, blocks, frozenset(known))
        _BLOCKS.labels(stream, "repeated").inc(found.repeats)
        boots = await streams.boots(connection, gateway, {block.header.boot for block in found.taken})
        topics: set[str] = set()
        refused, missing, taken = found.refused, 0, found.taken
        if aside:
            for block in taken:
                head = block.header
                await streams.quarantine(connection, gateway, stream, head.epoch, head.number, block.raw, aside)
            quarantined = len(taken)
        elif stream is Lane.BULK:
            stored = await store_bulk(connection, gateway, taken, boots, now)
            taken = taken[: stored.handled]
            refused, missing = stored.refused or refused, stored.missing_inventory
            quarantined = stored.quarantined
            topics |= {f"device:{device}" for device in stored.moved}
        else:
            applied = await UrgentWriter(connection, gateway, estate, boots, now, self._answer).apply(taken)
            quarantined = applied.quarantined
            topics |= applied.topics
            if applied.changes:
                topics |= await self._evaluate(connection, applied.changes)
        if not taken and refused:
            _BLOCKS.labels(stream, refused).inc()
            raise RefusedError(Refusal(refused, start, missing))
        if not taken:
            return BlocksReply(start), topics
        last = taken[-1]
        cursor = Cursor(last.header.epoch, last.header.number, last.checksum)
        if cursor.epoch != start.epoch:
            await streams.open_epoch(connection, gateway, stream, cursor.epoch, start.number)
            topics.add(f"gateways:{estate}")
        for boot, sealed_ns in _last_sealed(taken).items():
            await streams.seal(connection, gateway, stream, boot, sealed_ns)
        await streams.move_cursor(connection, gateway, stream, cursor)
        _BLOCKS.labels(stream, "taken").inc(len(taken) - quarantined)
        _BLOCKS.labels(stream, "quarantined").inc(quarantined)
        return BlocksReply(cursor, quarantined), topics


def _read(body: bytes, stream: Lane) -> list[Incoming]:
    blocks = [read_block(raw) for raw in iter_blocks(body)]
    if not blocks:
        raise BlockError("the request holds no block")
    for block in blocks:
        if block.header.stream is not stream:
            raise BlockError(f"a block of stream {block.header.stream} was sent to {stream}")
    return blocks


def _last_sealed(blocks: tuple[Incoming, ...]) -> dict[bytes, int]:
    return {block.header.boot: block.header.sealed_ns for block in blocks}
