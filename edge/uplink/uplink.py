"""Keeps a session with the cloud: what is pending goes up, urgent first; commands and the time come down."""

import asyncio
import math
import random
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, aclosing, asynccontextmanager, nullcontext, suppress
from typing import Final, Never

import msgspec
import structlog

from contract.block import split_block
from contract.clock import mono_ns
from contract.errors import Retryable
from contract.kinds import Lane
from contract.messages import Command
from contract.records import LossReceipt
from contract.session import Beat, BeatReply, BlocksReply, Cursor, GatewayReport, Refusal, RefusalReason
from edge.disk import DiskError
from edge.http.client import KEEP_S, Client, Traffic
from edge.http.proxy import HttpProxy
from edge.seams import Backlog, Signer, Standing, UplinkStatus
from edge.uplink.backoff import Backoff
from edge.uplink.clock import CloudClock, clock_for
from edge.uplink.meter import Meter
from edge.uplink.pace import BulkPace
from edge.uplink.reports import Reports
from edge.uplink.session import Busy, Opened, Requests, SessionLost, Unsound, decode_command
from edge.uplink.terms import PLAIN, Terms

log = structlog.get_logger(__name__)

REQUEST_BYTES: Final = 1 << 20
MIN_REQUEST_BYTES: Final = 16 << 10
"""Urgent blocks of one request; fewer while requests fail, so that a slow link commits something within its time-out.
How much bulk goes at once is its pace's matter."""
BULK_PATIENCE_S: Final = 10.0
"""So long a request of bulk waits for urgent to be delivered, all in all; then it goes too, so that neither can stop
the other for ever."""
CATCH_UP_BLOCKS: Final = 16
"""Where more wait, bulk does not go at its leisure even on a metered link: one head carries as many anyway."""
BUDGET_LOOK_S: Final = 60.0
MOST_LEFT_OUT: Final = 4
"""So many beats in a row may be left out for blocks that were sent: the next says again how many are kept."""
MOST_BUSY: Final = 3
"""After so many beats in a row that the cloud did not take, it counts as lost: alarms hardly reach it either, and what
sounds on the spot while the box is cut off must sound."""
TURN_S: Final = 10.0
"""So long a beat waits for a request of bulk; then it goes beside it: a box that is silent for long counts as lost."""
STEADY_NS: Final = 30_000_000_000
"""A session that lived this long was a good one: the next attempt comes soon."""
DISK_PATIENCE_S: Final = 5.0
"""So long the session waits for the disk to take its clock record; delivering goes on without, to make room."""
URGENT_CAP_S, URGENT_TOLD_S = 15.0, 60.0
"""Within a session urgent waits no longer than this between two tries, or so long as the cloud asks up to a minute:
a proxy that says an hour knows nothing of alarms. How boxes come back to a cloud that went away is another matter."""
SOONER_S: Final = (1.0, 5.0)
"""So long after a try that failed, a new urgent block may be tried already: an alarm must not wait for an old state."""
RENEW_AT: Final = 0.8
"""The token is renewed after this part of its life."""
DISK_RETRY_S: Final = 1.0
"""A stream whose file fails is tried again at least this often; the rest of the session knows nothing of it."""
SHARED_SAID_NS: Final = 3600 * 1_000_000_000
"""So long the box says that another one speaks under its identity."""


class Uplink:
    """One box's conversation with its cloud. `run` never ends; nothing it meets out there ends the box."""

    def __init__(
        self,
        url: str,
        identity: Signer,
        outbox: Backlog,
        clock: CloudClock,
        on_command: Callable[[Command], Awaitable[None]],
        *,
        version: str,
        ca: ssl.SSLContext | None = None,
        proxy: HttpProxy | None = None,
        backoff: Callable[[], Backoff] = Backoff,
        terms: Terms = PLAIN,
        meter: Callable[[Traffic], Meter] | None = None,
        report: Callable[[], GatewayReport] | None = None,
    ) -> None:
        """`meter` makes the count of a month's bytes, `report` says how the box is; without them neither is told."""
        self._url, self._identity, self._outbox, self._clock = url, identity, outbox, clock
        self._on_command, self._version, self._make_backoff = on_command, version, backoff
        self.terms, self._report = terms, report
        # Longer than the pause between two beats, so that a beat needs no new connection.
        self._http = Client(url, trust=ca, proxy=proxy, keep_s=max(KEEP_S, 2 * terms.beat_s))
        self.traffic = self._http.traffic
        self.meter = meter(self.traffic) if meter is not None else None
        self._pace = BulkPace(self._let_urgent_pass, terms.max_bytes_s)
        self._patience_s = BULK_PATIENCE_S
        self._bulk_at: float | None = None
        self._turn: asyncio.Lock | nullcontext[None] = asyncio.Lock() if terms.is_metered else nullcontext()
        """On a metered link beats and bulk go one after the other: for both at once a connection would be made."""
        self._heard_s = -math.inf
        """When the cloud last heard blocks of this box."""
        self._urgent_bytes = REQUEST_BYTES
        self._gap: Cursor | None = None
        self._waiting: set[Lane] = set()
        self._shared_ns: int | None = None
        self.status = UplinkStatus(connected=False, since_ns=mono_ns())

    def look(self) -> UplinkStatus:
        """The status of this moment, with what the link has carried."""
        meter, traffic = self.meter, self.traffic
        traffic.look()
        if meter is not None:
            meter.look()
        return msgspec.structs.replace(
            self.status,
            wire_sent_bytes=traffic.sent_bytes,
            wire_received_bytes=traffic.received_bytes,
            month_bytes=meter.month_bytes if meter is not None else 0,
            budget_bytes=meter.budget_bytes if meter is not None else 0,
        )

    async def run(self) -> Never:
        """Opens a session, serves it until it is lost, waits, and opens the next, for ever."""
        backoff = self._make_backoff()
        async with self._http as http:
            while True:
                requests = Requests(http, self._url, self._clock.utc_ns)
                try:
                    opened = await requests.open(self._identity, self._version, self.terms.beat_s)
                    # A task of its own: a TaskGroup leaves its marks on the task it is in (see below).
                    await asyncio.create_task(self._serve(requests, opened, backoff), name="uplink session")
                except* Retryable as group:
                    problem = _first(group)
                _raise_if_cancelled()
                if self.status.connected and mono_ns() - self.status.since_ns > STEADY_NS:
                    backoff.reset()
                self._disconnected(problem)
                await asyncio.sleep(backoff.next_s(problem.after_s))

    async def _serve(self, requests: Requests, opened: Opened, backoff: Backoff) -> Never:
        await self._keep_clock(opened)
        self._connected()
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._renew(requests, opened), name="uplink renew")
            tasks.create_task(self._listen(requests), name="uplink down")
            tasks.create_task(self._beat(requests), name="uplink beat")
            for stream, cursor in ((Lane.URGENT, opened.reply.urgent), (Lane.BULK, opened.reply.bulk)):
                tasks.create_task(self._send_all(requests, stream, cursor, backoff), name=f"uplink {stream}")
        raise AssertionError("each task of a session runs until it is lost")

    # Time

    async def _keep_clock(self, opened: Opened) -> None:
        """The clock record that data need is on the urgent stream, on disk, before any bulk leaves."""
        if opened.time_ns is None:
            log.error("the cloud's time cannot be right and is not used", utc_ns=str(opened.reply.time_ns))
            return
        record = self._clock.observe(opened.sent_ns, opened.received_ns, opened.time_ns)
        if record is not None:
            try:
                async with asyncio.timeout(DISK_PATIENCE_S):
                    await self._outbox.record(record)
            except TimeoutError:
                log.warning("the clock record waits for the disk")

    async def _renew(self, requests: Requests, opened: Opened) -> Never:
        while True:
            await asyncio.sleep(opened.expires_s * RENEW_AT)
            opened = await requests.open(self._identity, self._version, self.terms.beat_s)
            await self._keep_clock(opened)

    async def _beat(self, requests: Requests) -> Never:
        """Says that the box lives, also when it has nothing else to say; now and then also how it is."""
        reports, left_out, busy = Reports(self._report, self.terms.report_least_s), MOST_LEFT_OUT, 0
        while True:
            urgent, bulk = (self._outbox.status(lane).pending_blocks for lane in (Lane.URGENT, Lane.BULK))
            report = reports.due()
            async with self._turn_of_beat():
                rest_s = 0.0
                if self.terms.is_metered and report is None and left_out < MOST_LEFT_OUT:
                    rest_s = self._heard_s + self.terms.beat_s - asyncio.get_running_loop().time()
                if rest_s <= 0:  # else the cloud has heard of it by its blocks
                    try:
                        reply = await self._tell(requests, Beat(urgent, bulk, report), reports)
                    except Busy:  # the loops of the streams wait as long as the cloud asks for
                        busy += 1
                        if busy >= MOST_BUSY:
                            raise
                    else:
                        left_out, busy = -1, 0
                        if reply.is_identity_shared:
                            self._heard_another()
            left_out += 1
            await asyncio.sleep(rest_s if rest_s > 0 else self.terms.beat_s)

    async def _tell(self, requests: Requests, beat: Beat, reports: Reports) -> BeatReply:
        """Beats; where the cloud cannot read the report, without it: that the box lives it must know all the same."""
        if beat.report is None:
            return await requests.beat(beat)
        try:
            reply = await requests.beat(beat)
        except Unsound as e:
            log.warning("the cloud does not take this box's report", problem=str(e), hint="update the one or the other")
            reports.refused()
            return await requests.beat(msgspec.structs.replace(beat, report=None))
        reports.said(beat.report)
        return reply

    @asynccontextmanager
    async def _turn_of_beat(self) -> AsyncIterator[None]:
        async with AsyncExitStack() as stack:
            with suppress(TimeoutError):
                async with asyncio.timeout(TURN_S):
                    await stack.enter_async_context(self._turn)
            yield

    # Down

    async def _listen(self, requests: Requests) -> Never:
        """Hands over each command. A down stream that the cloud (or a proxy) ends is opened again in the session."""
        backoff = self._make_backoff()
        while True:
            async with aclosing(requests.listen(self.terms.heartbeat_s)) as lines:
                async for line in lines:
                    backoff.reset()
                    try:
                        command = decode_command(line)
                    except msgspec.MsgspecError as e:
                        log.warning("a line of the down stream is no command", problem=str(e))
                        continue
                    await self._on_command(command)
            await asyncio.sleep(backoff.next_s())

    # Up

    async def _send_all(self, requests: Requests, stream: Lane, cursor: Cursor, session_backoff: Backoff) -> Never:
        """Sends what is pending, one request at a time, for as long as the session lasts.

        What is wrong with this stream's file, or with its blocks, is waited out here and slows no other stream.
        """
        backoff, agreed = self._make_backoff(), False
        if stream is Lane.URGENT:
            backoff = backoff.within(URGENT_CAP_S, URGENT_TOLD_S)
        is_cut = False
        while True:
            known = None
            try:
                if not agreed:
                    await self._agree(stream, cursor)
                    agreed = True
                await self._outbox.wait_for_blocks(stream)
                if stream is Lane.BULK:
                    await self._until_bulk_may_go()
                known = self._outbox.status(stream).sealed_blocks
                blocks = await self._outbox.peek(
                    stream, self._pace.request_bytes if stream is Lane.BULK else self._urgent_bytes
                )
                if not blocks:
                    continue
                answer = await self._send(requests, stream, blocks)
                if isinstance(answer, BlocksReply):
                    await self._committed(stream, blocks, answer)
                else:
                    await self._refused(stream, blocks, answer)
            except DiskError as e:
                self._troubled(stream, str(e))
                await asyncio.sleep(min(backoff.next_s(), DISK_RETRY_S))
                continue
            except (Busy, Unsound) as e:
                # peek checks each block anew, so a copy of ours that is damaged is found before the next attempt.
                self._troubled(stream, str(e))
                is_cut = await self._rest(stream, backoff.next_s(e.after_s), None if is_cut else known)
                continue
            if isinstance(answer, BlocksReply):
                is_cut = False
                backoff.reset()
                session_backoff.reset()
            else:
                await asyncio.sleep(backoff.next_s())

    async def _rest(self, stream: Lane, wait_s: float, known: int | None) -> bool:
        """Waits, on the urgent stream only until more than the `known` blocks are sealed; True when that cut it short.

        None where the wait before was cut: then this one is not, so that many new blocks are no storm of tries.
        """
        if stream is Lane.BULK or known is None:
            await asyncio.sleep(wait_s)
            return False
        soon_s = min(wait_s, random.uniform(*SOONER_S))  # noqa: S311  # jitter, no secret
        await asyncio.sleep(soon_s)
        try:
            async with asyncio.timeout(wait_s - soon_s):
                await self._outbox.wait_for_more(stream, known)
        except TimeoutError:
            return False
        return True

    async def _agree(self, stream: Lane, cursor: Cursor) -> None:
        """Takes up the cloud's cursor, once a session."""
        if await self._outbox.reconcile(stream, cursor) is Standing.DIVERGED:
            log.warning("the cloud goes on elsewhere than this box: a restored disk or cloud", stream=stream)
            await self._begin_anew(stream, cursor)

    async def _begin_anew(self, stream: Lane, cursor: Cursor) -> None:
        """A new chain. What the cloud had acknowledged and knows no more is gone, here too, and is declared.

        In this order: who dies in between finds the same again, and a receipt may come twice.
        """
        acked = self._outbox.acked(stream)
        if cursor.epoch == acked.epoch and cursor.number < acked.number:
            why = "the cloud was brought back to an earlier time"
            receipt = LossReceipt(
                stream, acked.epoch, cursor.number + 1, acked.number, acked.checksum, 0, why, mono_ns()
            )
            await self._outbox.record(receipt)
        await self._outbox.open_epoch(stream)

    async def _send(self, requests: Requests, stream: Lane, blocks: list[bytes]) -> BlocksReply | Refusal:
        """One request, of bulk at its pace. After one that failed the next is smaller."""
        clock = asyncio.get_running_loop().time
        began = clock()
        if stream is Lane.URGENT:
            try:
                answer = await requests.send(stream, blocks)
            except Retryable:
                self._urgent_bytes = max(self._urgent_bytes // 2, MIN_REQUEST_BYTES)
                raise
            self._urgent_bytes = min(self._urgent_bytes * 2, REQUEST_BYTES)
            self._heard_s = began
            return answer
        patience_s = self._patience_s
        try:
            async with self._turn:
                self._bulk_at = began = clock()
                answer = await requests.send(stream, blocks, self._pace)
        except Retryable:
            self._pace.failed()
            raise
        self._heard_s = began
        self._pace.answered(sum(map(len, blocks)), clock() - began - (patience_s - self._patience_s))
        return answer

    async def _until_bulk_may_go(self) -> None:
        """Waits while bulk is held back: by the month's budget, by a metered link's leisure, by what is urgent."""
        while self.meter is not None and self.meter.holds_bulk:
            self.status = msgspec.structs.replace(self.status, is_bulk_held=True)
            await asyncio.sleep(BUDGET_LOOK_S)
        if self.status.is_bulk_held:
            self.status = msgspec.structs.replace(self.status, is_bulk_held=False)
        if self._bulk_at is not None and self._outbox.status(Lane.BULK).pending_blocks < CATCH_UP_BLOCKS:
            await asyncio.sleep(self._bulk_at + self.terms.bulk_every_s - asyncio.get_running_loop().time())
        self._patience_s = BULK_PATIENCE_S
        await self._let_urgent_pass()

    async def _let_urgent_pass(self) -> None:
        """Waits until nothing urgent is pending, for as long as the patience of this request of bulk lasts."""
        if not self._outbox.status(Lane.URGENT).pending_blocks or self._patience_s <= 0:
            return
        clock = asyncio.get_running_loop().time
        began = clock()
        try:
            async with asyncio.timeout(self._patience_s):
                await self._outbox.wait_until_delivered(Lane.URGENT)
        except TimeoutError:
            log.info("urgent blocks wait for long; bulk goes on beside them")
        self._patience_s -= clock() - began

    async def _committed(self, stream: Lane, blocks: list[bytes], reply: BlocksReply) -> None:
        if reply.quarantined:
            log.error("the cloud set blocks aside that it could not take", stream=stream, blocks=reply.quarantined)
        moved = await self._acknowledge(stream, reply.cursor)
        self.status = msgspec.structs.replace(
            self.status,
            sent_blocks=self.status.sent_blocks + len(blocks),
            sent_bytes=self.status.sent_bytes + sum(map(len, blocks)),
            quarantined=self.status.quarantined + reply.quarantined,
        )
        self._flows(stream)
        if stream is Lane.BULK:
            self._gap = None
        if not moved and reply.cursor != self._outbox.acked(stream):
            raise SessionLost("the cloud acknowledged something else than what was sent")

    async def _acknowledge(self, stream: Lane, cursor: Cursor) -> bool:
        """Acknowledges, however long the disk refuses it; the blocks need not be sent again for that."""
        while True:
            try:
                return await self._outbox.acknowledge(stream, cursor)
            except DiskError as e:
                self._troubled(stream, str(e))
                await asyncio.sleep(DISK_RETRY_S)

    async def _refused(self, stream: Lane, blocks: list[bytes], refusal: Refusal) -> None:
        """Does what a refusal asks for; then the blocks are sent again."""
        self._troubled(stream, f"the cloud refused the blocks: {refusal.reason}")
        if refusal.reason == RefusalReason.GAP:
            await self._close_gap(stream, refusal.cursor)
        elif refusal.reason == RefusalReason.FORK:
            await self._begin_anew(stream, refusal.cursor)
        elif refusal.reason == RefusalReason.CLOSED_EPOCH:
            self._heard_another()
            await self._outbox.open_epoch(stream)
        elif refusal.reason == RefusalReason.INVENTORY:
            inventory = await self._outbox.inventory(refusal.inventory)
            if inventory is None:
                await self._outbox.give_up_first(stream, f"its inventory {refusal.inventory} is not known any more")
            else:
                await self._outbox.record(inventory)
        elif refusal.reason == RefusalReason.CLOCK:
            boot = split_block(blocks[0])[0].boot
            own = self._clock.record
            record = own if own and own.boot == boot else clock_for(await self._outbox.boots(), boot)
            if record is None:
                raise Busy("the boot of the oldest blocks has no clock record yet")
            await self._outbox.record(record)
        else:
            raise Busy(f"the cloud refused blocks for a reason unknown here: {refusal.reason}; update this box")

    async def _close_gap(self, stream: Lane, cursor: Cursor) -> None:
        standing = await self._outbox.reconcile(stream, cursor)
        if standing is Standing.BEHIND and self._gap == cursor:
            standing = Standing.DIVERGED  # what was on its way then has arrived, and the gap is still there
        elif standing is Standing.BEHIND:
            # Receipts for what was given up may be on their way: sent again only once they are there.
            self._patience_s = BULK_PATIENCE_S
            await self._let_urgent_pass()
            if not self._outbox.status(Lane.URGENT).pending_blocks:
                self._gap = cursor
        if standing is Standing.DIVERGED:
            await self._begin_anew(stream, cursor)

    # What is said of it

    def _connected(self) -> None:
        log.info("cloud connected", url=self._url, gateway=self._identity.gateway)
        self.status = msgspec.structs.replace(
            self.status, connected=True, since_ns=mono_ns(), problem=self._shared(), sessions=self.status.sessions + 1
        )

    def _troubled(self, stream: Lane, problem: str) -> None:
        """Says once that a stream's blocks wait, until they flow again."""
        if stream not in self._waiting:
            log.warning("blocks wait", stream=stream, problem=problem)
        self._waiting.add(stream)
        self.status = msgspec.structs.replace(self.status, problem=problem)

    def _flows(self, stream: Lane) -> None:
        if stream in self._waiting:
            log.info("blocks flow again", stream=stream)
            self._waiting.discard(stream)
        if not self._waiting:
            self.status = msgspec.structs.replace(self.status, problem=self._shared())

    def _heard_another(self) -> None:
        if not self._shared():
            log.error(
                "another box speaks under this box's identity, or this disk was restored",
                gateway=self._identity.gateway, hint="if two boxes share this identity, enrol one of them anew",
            )  # fmt: skip
        self._shared_ns = mono_ns()
        if not self._waiting:
            self.status = msgspec.structs.replace(self.status, problem=self._shared())

    @property
    def is_shared(self) -> bool:
        """Whether another box was heard under this one's identity within the last hour."""
        return bool(self._shared())

    def _shared(self) -> str:
        """What people are told for an hour after another box was heard under this one's identity."""
        if self._shared_ns is None or mono_ns() - self._shared_ns > SHARED_SAID_NS:
            return ""
        return "another box speaks under this box's identity (or this disk was restored): enrol one of them anew"

    def _disconnected(self, problem: Retryable) -> None:
        said = str(problem)
        if self.status.connected:
            log.warning("cloud lost; everything is kept until it is back", problem=said)
            self.status = msgspec.structs.replace(self.status, connected=False, since_ns=mono_ns())
        elif said != self.status.problem:
            log.warning("cloud not connected", problem=said)
        self.status = msgspec.structs.replace(self.status, problem=said)


def _raise_if_cancelled() -> None:
    """For the session's end: a TaskGroup whose task fails in the moment it is cancelled from outside forgets the
    cancelling before Python 3.13.

    Ask this outside the task that the group was in: one that fails by itself leaves `cancelling()` at 1 there.
    Source: cpython#116720.
    """
    task = asyncio.current_task()
    if task is not None and task.cancelling():
        raise asyncio.CancelledError


def _first(group: BaseExceptionGroup[Retryable]) -> Retryable:
    """The first problem of a group, however deep."""
    error: BaseException = group
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    assert isinstance(error, Retryable)
    return error
