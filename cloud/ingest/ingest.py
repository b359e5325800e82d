"""One request of a box, from bytes to a committed cursor."""

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime
from uuid import UUID

import msgspec
import structlog

from cloud.ingest.allowance import RATES, Allowance
from cloud.ingest.chain import Incoming, read_block, walk
from cloud.ingest.counts import BLOCKS, SECONDS
from cloud.ingest.group import GroupCommit
from cloud.ingest.refused import RefusedError, RevokedError
from cloud.ingest.urgent import Answer, UrgentWriter
from cloud.store import Connection, Database, UnkeepableError, gateways, group, streams
from cloud.store.changes import Evaluate, EvaluateBulk, look_at_nothing
from contract.errors import BlockError, Retryable
from contract.kinds import Lane
from contract.session import BlocksReply, Cursor, Refusal, iter_blocks

log = structlog.get_logger()
_THREAD_BYTES = 64 << 10
"""Requests above it are read beside the event loop, which they would hold up for milliseconds."""
MOST_S = 30.0
"""A transaction over urgent blocks lasts no longer: it has the box's cursor and a place of the few that may store."""
_CROWDED_S = 30.0
_AGAIN_S = 5.0


class _TooLongError(Retryable):
    """A transaction was given up as too long."""


class _Stored(msgspec.Struct, frozen=True):
    """What a transaction over urgent blocks took, what of it was set aside, its answer, and the topics to wake."""

    taken: tuple[Incoming, ...]
    aside: tuple[Incoming, ...]
    reply: BlocksReply
    topics: set[str]


class Ingest:
    """Takes the blocks of boxes. `evaluate` is the alarms' look at changes, `evaluate_bulk` that at readings, `answer`
    takes commands' results, `landed` is told how many readings each commit landed, and says whether they become rows in
    time; `crowds` says of which boxes so many wait for that that no more are taken of them.
    """

    def __init__(
        self,
        database: Database,
        evaluate: Evaluate,
        answer: Answer,
        landed: Callable[[int], bool] = lambda _: True,
        crowds: Callable[[UUID], bool] = lambda _: False,
        evaluate_bulk: EvaluateBulk = look_at_nothing,
    ) -> None:
        self._database = database
        self._evaluate = evaluate
        self._answer = answer
        self._crowds = crowds
        self._allowances = {stream: Allowance(rate) for stream, rate in RATES.items()}
        self._bulk = GroupCommit(database, landed, self._allowances[Lane.BULK], evaluate_bulk)

    def admit(self, gateway: UUID, stream: Lane) -> None:
        """Raises Retryable where a box has to wait until more is taken of it; ask before its request is read."""
        if wait_s := self._allowances[stream].wait_s(gateway, asyncio.get_running_loop().time()):
            raise Retryable(f"this box has sent more than any has to say: it may go on in {wait_s:.0f} s", wait_s)
        if stream is Lane.BULK and self._crowds(gateway):
            raise Retryable("too many readings of this box wait to become rows", _CROWDED_S)

    async def take(self, gateway: UUID, estate: int, stream: Lane, body: bytes) -> BlocksReply:
        """Stores what continues the stream and returns the cursor, committed.

        Raises BlockError for bytes damaged on the way, RefusedError when nothing could be taken, Retryable when the
        database cannot be had. A request that is sent again changes nothing.
        """
        if len(body) > _THREAD_BYTES:
            blocks = await asyncio.to_thread(_read, body, stream)
        else:
            blocks = _read(body, stream)
        if stream is Lane.BULK:
            return await self._bulk.take(gateway, estate, blocks)
        return await self._take_urgent(gateway, estate, blocks)

    async def _take_urgent(self, gateway: UUID, estate: int, blocks: list[Incoming]) -> BlocksReply:
        try:
            reply, topics = await self._attempt(gateway, estate, blocks)
        except UnkeepableError as e:
            log.warning("the database refuses a block", gateway=str(gateway), stream=Lane.URGENT, problem=str(e))
            reply, topics = await self._set_aside(gateway, estate, blocks)
        except _TooLongError:  # on a slow disk one block may still do, and the stream goes on
            reply, topics = await self._attempt(gateway, estate, await self._next(gateway, blocks))
        await self._database.wake(topics)
        return reply

    async def _attempt(
        self, gateway: UUID, estate: int, blocks: list[Incoming], aside: str = ""
    ) -> tuple[BlocksReply, set[str]]:
        try:
            with SECONDS.labels(Lane.URGENT).time():
                async with asyncio.timeout(MOST_S), self._database.storing() as connection:
                    stored = await self._store(connection, gateway, estate, blocks, aside)
        except TimeoutError as e:
            raise _TooLongError(f"storing took longer than {MOST_S:g} s", after_s=_AGAIN_S) from e
        now_s = asyncio.get_running_loop().time()
        self._allowances[Lane.URGENT].take(gateway, stored.taken, stored.aside, now_s)
        return stored.reply, stored.topics

    async def _set_aside(self, gateway: UUID, estate: int, blocks: list[Incoming]) -> tuple[BlocksReply, set[str]]:
        """Takes the next block alone; where it is the one that the database refuses, sets it aside and goes on."""
        first = await self._next(gateway, blocks)
        try:
            return await self._attempt(gateway, estate, first)
        except UnkeepableError as e:
            return await self._attempt(gateway, estate, first, aside=str(e))

    async def _next(self, gateway: UUID, blocks: list[Incoming]) -> list[Incoming]:
        """The next block of the stream, alone."""
        async with self._database.connect() as connection:
            cursor = await streams.cursor_now(connection, gateway, Lane.URGENT)
        # Every epoch may be new here: what is decided on is decided again under the lock.
        return list(walk(cursor, blocks, frozenset()).taken[:1])

    async def _store(
        self, connection: Connection, gateway: UUID, estate: int, blocks: list[Incoming], aside: str
    ) -> "_Stored":
        """Stores what continues the stream, or with `aside` sets it aside for that reason."""
        now = datetime.now(UTC)
        stream = Lane.URGENT
        start = await streams.lock_cursor(connection, gateway, stream)
        if not await gateways.lock_active(connection, [gateway]):
            raise RevokedError
        other = [(gateway, epoch) for epoch in {block.header.epoch for block in blocks} - {start.epoch}]
        known = await group.known_epochs(connection, other, stream) if other else set()
        found = walk(start, blocks, frozenset(epoch for _, epoch in known))
        taken = found.taken
        BLOCKS.labels(stream, "repeated").inc(found.repeats)
        if not taken:
            if found.refused:
                BLOCKS.labels(stream, found.refused).inc()
                raise RefusedError(Refusal(found.refused, start))
            return _Stored((), (), BlocksReply(start), set())
        topics: set[str] = set()
        if aside:
            for block in taken:
                head = block.header
                await streams.quarantine(connection, gateway, stream, head.epoch, head.number, block.raw, aside)
            set_aside = taken
        else:
            boots = await streams.boots(connection, gateway, stream, {block.header.boot for block in taken})
            applied = await UrgentWriter(connection, gateway, estate, boots, now, self._answer).apply(taken)
            set_aside = applied.aside
            topics |= applied.topics
            if applied.changes:
                topics |= await self._evaluate(connection, applied.changes)
        last = taken[-1]
        cursor = Cursor(last.header.epoch, last.header.number, last.checksum)
        if cursor.epoch != start.epoch:
            await streams.open_epoch(connection, gateway, stream, cursor.epoch, start.number)
            topics.add(f"gateways:{estate}")
        for boot, sealed_ns in _last_sealed(taken).items():
            await streams.seal(connection, gateway, stream, boot, sealed_ns)
        await streams.move_cursor(connection, gateway, stream, cursor)
        BLOCKS.labels(stream, "taken").inc(len(taken) - len(set_aside))
        BLOCKS.labels(stream, "quarantined").inc(len(set_aside))
        return _Stored(taken, set_aside, BlocksReply(cursor, len(set_aside)), topics)


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
