"""Group commit of bulk: requests that come while a transaction is under way are stored together in the next.

A transaction costs the same for one box as for twenty, so the rate grows with the load. Each box has an answer of its
own: what it sent is refused, set aside or taken whatever the others sent. A box whose cursor somebody else holds is
left to a transaction of its own, and so are all where the database refuses something of one.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from uuid import UUID

import structlog
from prometheus_client import Gauge, Histogram

from cloud.ingest.allowance import Allowance
from cloud.ingest.bulk import Bad, Brought, Checked, check, decode
from cloud.ingest.chain import MAX_TAKEN_BYTES, Incoming, Walk, walk
from cloud.ingest.counts import BLOCKS, READINGS, SECONDS
from cloud.ingest.inventories import Inventories
from cloud.ingest.refused import RefusedError, RevokedError
from cloud.store import Connection, Database, UnkeepableError, gateways, group, landing, newest, streams
from cloud.store.changes import EvaluateBulk, Looked, Readings, look_at_nothing
from cloud.store.columns import Columns
from cloud.store.newest import Newest
from cloud.store.streams import Boot
from contract.errors import AnjuError, BlockError, Retryable
from contract.kinds import Lane
from contract.session import BlocksReply, Cursor, Refusal

log = structlog.get_logger()
_BOXES = Histogram("anju_ingest_group_boxes", "Boxes whose bulk was committed together", buckets=(1, 2, 5, 10, 20, 50))
_WAITING = Gauge("anju_ingest_waiting", "Bulk requests that wait to be stored")

GROUPS_AT_ONCE = 2
"""One group's rows are made while the other's are written."""
MOST_BOXES = 64
MOST_BYTES = 24 << 20
"""Of a group, after decompression."""
MOST_WAITING_BYTES = 128 << 20
"""Of all requests that wait, after decompression; further boxes keep what they have and come back."""
MOST_WAIT_S = 10.0
"""A request that would wait longer than this, by how long commits take just now, is told to come back instead."""
WAKE_EVERY_S = 1.0
"""Pages need a new reading no sooner; a thousand boxes would have them rendered without end."""
_BEHIND_S = 30.0
_FORGETS = 0.3
_THREAD_BYTES = 64 << 10
"""Requests above it are decoded beside the event loop."""
_BULK = Lane.BULK

Block = tuple[Incoming, Columns | BlockError]
"""A block with its readings, or with why it has none."""


class Request:
    """What one box sent, and the answer it waits for."""

    def __init__(self, gateway: UUID, estate: int, blocks: Sequence[Incoming]) -> None:
        self.gateway = gateway
        self.estate = estate
        self.blocks = blocks
        self.bytes = min(MAX_TAKEN_BYTES, sum(block.size for block in blocks))
        self.decoded: dict[int, Columns | BlockError] = {}
        self.answer: asyncio.Future[BlocksReply] = asyncio.get_running_loop().create_future()

    def decode(self) -> None:
        """Decodes ahead of the transaction what one may take at most."""
        size = 0
        for i, block in enumerate(self.blocks):
            size += block.size
            if i and size > MAX_TAKEN_BYTES:
                break
            self.decoded[i] = _columns(block)

    def columns(self, taken: Sequence[Incoming]) -> tuple[Block, ...]:
        """Blocks of this request with their readings."""
        places = {id(block): i for i, block in enumerate(self.blocks)}
        found = []
        for block in taken:
            at = places[id(block)]
            if at not in self.decoded:
                self.decoded[at] = _columns(block)
            found.append((block, self.decoded[at]))
        return tuple(found)

    def settle(self, outcome: BlocksReply | AnjuError) -> None:
        """Answers, unless nobody waits any more."""
        if self.answer.done():
            return
        if isinstance(outcome, BlocksReply):
            self.answer.set_result(outcome)
        else:
            self.answer.set_exception(outcome)


class GroupCommit:
    """Stores the bulk requests of all boxes of this process. `landed` is told how many readings each
    group landed, and says whether they become rows in time; `allowance` is told what was taken of whom. `evaluate` is
    the alarms' look at readings, within their transaction.
    """

    def __init__(
        self,
        database: Database,
        landed: Callable[[int], bool],
        allowance: Allowance,
        evaluate: EvaluateBulk = look_at_nothing,
    ) -> None:
        self._database = database
        self._landed = landed
        self._allowance = allowance
        self._evaluate = evaluate
        self._inventories = Inventories()
        self._waiting: deque[Request] = deque()
        self._bytes = 0
        self._under_way: set[UUID] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._groups = 0
        self._with_cursor: set[UUID] = set()
        self._apart = asyncio.Semaphore(1)
        self._commit_s = 0.0
        self._topics: set[str] = set()
        self._waking = False

    async def take(self, gateway: UUID, estate: int, blocks: Sequence[Incoming]) -> BlocksReply:
        """Stores what continues the stream and returns the cursor, committed.

        Raises RefusedError when nothing could be taken, Retryable when the database cannot be had or too much waits.
        """
        request = Request(gateway, estate, blocks)
        self._admit(request)
        try:
            if request.bytes > _THREAD_BYTES:
                await asyncio.to_thread(request.decode)
            else:
                request.decode()
            self._waiting.append(request)
            _WAITING.set(len(self._waiting))
            if self._groups < GROUPS_AT_ONCE:
                self._groups += 1
                self._spawn(self._work())
            return await request.answer
        finally:
            self._bytes -= request.bytes

    def _admit(self, request: Request) -> None:
        """Raises Retryable where a request would not be stored soon."""
        if not self._landed(0):
            raise Retryable("readings become rows more slowly than they come", after_s=_BEHIND_S)
        wait_s = self._commit_s * (1 + len(self._waiting) / MOST_BOXES) if self._waiting else 0.0
        if wait_s > MOST_WAIT_S:
            raise Retryable(f"the database is slow: this would wait for {wait_s:.0f} s", after_s=wait_s)
        if self._bytes and self._bytes + request.bytes > MOST_WAITING_BYTES:
            raise Retryable("too many boxes at once", after_s=max(1.0, wait_s))
        self._bytes += request.bytes

    def _spawn(self, work: "asyncio._CoroutineLike[None]") -> None:
        task = asyncio.create_task(work, name="group commit")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _work(self) -> None:
        try:
            while members := self._next():
                try:
                    await self._commit(members, wait=False)
                finally:
                    self._under_way -= {member.gateway for member in members}
        finally:
            self._groups -= 1

    def _next(self) -> list[Request]:
        """The next group: in the order they came, one request a box, none of a box that is being stored."""
        members: list[Request] = []
        left: list[Request] = []
        size = 0
        while self._waiting and len(members) < MOST_BOXES and (not members or size < MOST_BYTES):
            request = self._waiting.popleft()
            if request.answer.done():  # nobody waits any more
                continue
            if request.gateway in self._under_way:
                left.append(request)
                continue
            self._under_way.add(request.gateway)
            members.append(request)
            size += request.bytes
        self._waiting.extendleft(reversed(left))
        _WAITING.set(len(self._waiting))
        return members

    async def _commit(self, members: list[Request], *, wait: bool) -> None:
        """Stores requests of as many boxes and answers each."""
        try:
            stored = await self._attempt(members, wait=wait)
        except UnkeepableError as e:
            if len(members) == 1:
                await self._set_aside(members[0], str(e))
                return
            log.warning("the database refuses something of a group; storing its boxes one by one", problem=str(e))
            for member in members:
                await self._commit([member], wait=True)
            return
        except AnjuError as e:
            for member in members:
                member.settle(e)
            return
        except BaseException:  # a mistake of ours, or the end of the process: no box may wait for ever
            for member in members:
                member.settle(Retryable("storing failed"))
            raise
        for member in members:
            if member.gateway in stored.outcomes:
                member.settle(stored.outcomes[member.gateway])
            else:
                self._spawn(self._commit_apart(member))
        self._wake(stored)

    async def _commit_apart(self, member: Request) -> None:
        """Waits for a box whose cursor somebody else has, without holding up the others."""
        async with self._apart:
            await self._commit([member], wait=True)

    async def _set_aside(self, member: Request, reason: str) -> None:
        """Takes a box's next block alone; where it is the one that the database refuses, sets it aside."""
        log.warning("the database refuses a block", gateway=str(member.gateway), stream=_BULK, problem=reason)
        try:
            async with self._database.connect() as connection:
                cursor = await streams.cursor_now(connection, member.gateway, _BULK)
            # Every epoch may be new here: what is decided on is decided again under the lock.
            first = Request(member.gateway, member.estate, walk(cursor, member.blocks, frozenset()).taken[:1])
            try:
                stored = await self._attempt([first], wait=True)
            except UnkeepableError as e:
                stored = await self._attempt([first], wait=True, aside=str(e))
        except AnjuError as e:
            member.settle(e)
            return
        member.settle(stored.outcomes[member.gateway])
        self._wake(stored)

    def _wake(self, stored: "_Stored") -> None:
        """Wakes whoever looks at these boxes' devices: at once, but no more than once in a while."""
        self._topics |= stored.topics
        if self._topics and not self._waking:
            self._waking = True
            self._spawn(self._wake_all())

    async def _wake_all(self) -> None:
        try:
            while self._topics:
                topics, self._topics = self._topics, set()
                await self._database.wake(topics)
                await asyncio.sleep(WAKE_EVERY_S)
        finally:
            self._waking = False

    async def _attempt(self, members: Sequence[Request], *, wait: bool, aside: str = "") -> "_Stored":
        await self._make_cursors(members)
        began = asyncio.get_running_loop().time()
        async with self._database.storing() as connection:
            stored = await self._store(connection, members, wait=wait, aside=aside)
        took_s = asyncio.get_running_loop().time() - began
        self._commit_s += _FORGETS * (took_s - self._commit_s)
        SECONDS.labels(_BULK).observe(took_s)
        _BOXES.observe(len(members))
        stored.count()
        stored.looked.committed()
        for gateway, blocks in stored.taken.items():
            set_aside = [bad.block for box, bad in stored.bad if box == gateway]
            self._allowance.take(gateway, blocks, set_aside, began + took_s)
        self._landed(stored.readings)
        return stored

    async def _make_cursors(self, members: Sequence[Request]) -> None:
        new = {member.gateway for member in members} - self._with_cursor
        if new:
            async with self._database.storing() as connection:
                await group.create_cursors(connection, new, _BULK)
            self._with_cursor |= new

    async def _store(self, connection: Connection, members: Sequence[Request], *, wait: bool, aside: str) -> "_Stored":
        """Stores what continues each stream, or with `aside` sets it aside for that reason."""
        now = datetime.now(UTC)
        stored = _Stored()
        cursors = await group.lock_cursors(connection, [m.gateway for m in members], _BULK, wait=wait)
        active = await gateways.lock_active(connection, cursors.keys())
        stored.outcomes |= {gateway: RevokedError() for gateway in cursors.keys() - active}
        mine = [member for member in members if member.gateway in active]
        walks = await self._walk(connection, mine, cursors)
        boots, inventories = await self._context(connection, mine, walks)
        for member in mine:
            found = walks[member.gateway]
            blocks = member.columns(found.taken) if not aside else ()
            checked = check(member.gateway, blocks, boots.get(member.gateway, {}), inventories[member.gateway], now)
            if aside:
                bad = tuple(Bad(block, aside) for block in found.taken)
                checked = Checked(len(bad), None, 0, (), bad, (), 0)
            stored.add(member, cursors[member.gateway], found, checked)
        for gateway, one in stored.bad:
            head = one.block.header
            await streams.quarantine(connection, gateway, _BULK, head.epoch, head.number, one.block.raw, one.reason)
        if stored.arrived:
            await landing.land(connection, stored.arrived)
            known = await self._move_newest(connection, stored)
            stored.looked = await self._evaluate(connection, readings_of(stored.brought, known))
            stored.topics |= stored.looked.topics
        if stored.cursors:
            await group.open_epochs(connection, stored.opened, _BULK)
            await group.seal(connection, stored.sealed, _BULK)
            await group.move_cursors(connection, stored.cursors, _BULK)
        return stored

    async def _walk(
        self, connection: Connection, members: Sequence[Request], cursors: dict[UUID, Cursor]
    ) -> dict[UUID, Walk]:
        other = {
            (member.gateway, block.header.epoch)
            for member in members
            for block in member.blocks
            if block.header.epoch != cursors[member.gateway].epoch
        }
        known = await group.known_epochs(connection, list(other), _BULK) if other else set()
        return {
            member.gateway: walk(
                cursors[member.gateway],
                member.blocks,
                frozenset(epoch for gateway, epoch in known if gateway == member.gateway),
            )
            for member in members
        }

    async def _context(
        self, connection: Connection, members: Sequence[Request], walks: dict[UUID, Walk]
    ) -> tuple[dict[UUID, dict[bytes, Boot]], dict[UUID, dict[int, "group.Inventory"]]]:
        """The boots and inventories that the boxes' blocks name."""
        heads = [(member.gateway, block.header) for member in members for block in walks[member.gateway].taken]
        boots: dict[UUID, dict[bytes, Boot]] = {}
        inventories: dict[UUID, dict[int, group.Inventory]] = {member.gateway: {} for member in members}
        if heads:
            asked = list({(gateway, head.boot) for gateway, head in heads})
            for (gateway, boot), known in (await group.boots(connection, asked, _BULK)).items():
                boots.setdefault(gateway, {})[boot] = known
            counted = await self._inventories.get(connection, {(gateway, head.inventory) for gateway, head in heads})
            for (gateway, number), inventory in counted.items():
                inventories[gateway][number] = inventory
        return boots, inventories

    async def _move_newest(self, connection: Connection, stored: "_Stored") -> dict[UUID, Newest]:
        """Returns how they were before."""
        known = await newest.of_boxes(connection, [gateway for gateway, _ in stored.newest])
        moved: dict[UUID, Newest] = {}
        for gateway, parts in stored.newest:
            of_box = known.get(gateway)
            for inventory, brought in parts:
                before = of_box or newest.NONE
                of_box, series = before.moved_by(brought)
                stored.topics |= inventory.topics_of(series)
            if of_box is not None:
                moved[gateway] = of_box
        await newest.put(connection, moved)
        return known


def readings_of(brought: Sequence[tuple[UUID, Brought]], known: Mapping[UUID, Newest]) -> list[Readings]:
    """What boxes' blocks bring, beside the newest readings of each box before them."""
    return [
        Readings(
            gateway=gateway,
            inventory_id=of.inventory_id,
            inventory=of.inventory,
            places=of.places,
            at_us=of.at_us,
            value=of.value,
            quality=of.quality,
            known=known.get(gateway, newest.NONE),
        )
        for gateway, of in brought
    ]


class _Stored:
    """What a transaction stores and answers, box by box."""

    def __init__(self) -> None:
        self.outcomes: dict[UUID, BlocksReply | RefusedError | RevokedError] = {}
        self.topics: set[str] = set()
        self.arrived: list[landing.Arrived] = []
        self.newest: list[tuple[UUID, tuple[tuple[group.Inventory, Newest], ...]]] = []
        self.brought: list[tuple[UUID, Brought]] = []
        self.looked = Looked()
        self.bad: list[tuple[UUID, Bad]] = []
        self.cursors: dict[UUID, Cursor] = {}
        self.taken: dict[UUID, Sequence[Incoming]] = {}
        self.opened: list[tuple[UUID, int, int]] = []
        self.sealed: dict[tuple[UUID, bytes], int] = {}
        self._counted: dict[str, int] = {}
        self.readings = 0

    def add(self, member: Request, start: Cursor, found: Walk, checked: Checked) -> None:
        """What a box's blocks come to."""
        taken = found.taken[: checked.handled]
        refused = checked.refused or found.refused
        self._count("repeated", found.repeats)
        if not taken:
            if refused:
                self._count(refused, 1)
                self.outcomes[member.gateway] = RefusedError(Refusal(refused, start, checked.missing_inventory))
            else:
                self.outcomes[member.gateway] = BlocksReply(start)
            return
        last = taken[-1]
        cursor = Cursor(last.header.epoch, last.header.number, last.checksum)
        self.outcomes[member.gateway] = BlocksReply(cursor, len(checked.bad))
        self.cursors[member.gateway] = cursor
        self.taken[member.gateway] = taken
        if cursor.epoch != start.epoch:
            self.opened.append((member.gateway, cursor.epoch, start.number))
            self.topics.add(f"gateways:{member.estate}")
        for block in taken:
            self.sealed[member.gateway, block.header.boot] = block.header.sealed_ns
        self.arrived += checked.arrived
        if checked.newest:
            self.newest.append((member.gateway, checked.newest))
        self.brought += [(member.gateway, of) for of in checked.brought]
        self.bad += [(member.gateway, bad) for bad in checked.bad]
        self._count("taken", len(taken) - len(checked.bad))
        self._count("quarantined", len(checked.bad))
        self.readings += checked.readings

    def _count(self, outcome: str, blocks: int) -> None:
        self._counted[outcome] = self._counted.get(outcome, 0) + blocks

    def count(self) -> None:
        """Tells the metrics, once it is committed."""
        for outcome, blocks in self._counted.items():
            BLOCKS.labels(_BULK, outcome).inc(blocks)
        READINGS.inc(self.readings)


def _columns(block: Incoming) -> Columns | BlockError:
    try:
        return decode(block)
    except BlockError as e:
        return e
