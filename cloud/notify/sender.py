"""Brings queued messages to their channels. Any number of processes may run it side by side.

A message that waits is taken with its channel locked, so that the channel's bucket is seen as it is; that it is being
sent is committed before the request, so that after a crash it is sent again and says that it is a repeat. What a
service refuses goes on by the person's next channel, then to the next step of the escalation.
"""

import asyncio
from collections import Counter as Count
from collections.abc import Callable, Collection, Mapping
from uuid import UUID

import msgspec
import structlog
from prometheus_client import Counter, Histogram

from cloud.notify import bucket
from cloud.notify.channel import Channel, NotWantedError, Result
from cloud.notify.compose import AT_ONCE, Composed, Composer, Describe
from cloud.notify.gate import Gate
from cloud.store import Connection, Database, notify
from cloud.store.notices import Wanted
from cloud.store.notify import QueuedMessage
from cloud.store.oncall import ChannelRow
from contract.errors import ConfigError, Retryable

log = structlog.get_logger()
_SENDS = Counter("anju_notify_sends", "Requests to channels by what became of them", ["kind", "outcome"])
_WAITED = Histogram(
    "anju_notify_seconds", "From a message's being queued to its being accepted", ["priority"],
    buckets=(0.1, 0.25, 0.5, 1, 2, 5, 10, 30, 60, 300),
)  # fmt: skip
EVERY_S = 0.25
LASTS_S = 60.0
"""A request without an end after that long is lost with its process; a channel's own time-outs are shorter."""
_GIVE_UP_S = 45.0
_MEND_EVERY_S = 5.0
_MOST = 16
_MOST_A_CHANNEL = 4
_AGAIN_S = 1.0
_BROKEN_S = 5.0
_MISCONFIGURED_S = 60.0
_FINISH_S = 5.0

Make = Callable[[ChannelRow], Channel]
"""A channel of its row. Raises ConfigError."""


class _Taken(msgspec.Struct, frozen=True):
    """A request that is to be made now."""

    row: ChannelRow
    channel: Channel
    composed: Composed


class Sender:
    """Sends what waits, for ever."""

    def __init__(
        self, database: Database, make: Make, describe: Describe, origin: str, *,
        roles: Collection[str] = (), wanted: Mapping[str, Wanted] | None = None, minute_s: float = bucket.MINUTE_S,
    ) -> None:  # fmt: skip
        """`roles` may acknowledge by a link. `wanted` says of subjects other than alarms which still want somebody.

        `minute_s` is shorter in tests, whose stand-ins count in shorter minutes.
        """
        self._database = database
        self._make = make
        self._composer = Composer(describe, origin, roles)
        self._wanted = dict(wanted or {})
        self._minute_s = minute_s
        self._channels: dict[int, tuple[ChannelRow, Channel]] = {}
        self._busy: Count[int] = Count()
        self._sends: set[asyncio.Task[None]] = set()
        self._woken = asyncio.Event()

    def wake(self) -> None:
        """Something may wait: look at once."""
        self._woken.set()

    async def run(self) -> None:
        """Sends for ever. A database that cannot be had is waited for."""
        loop = asyncio.get_running_loop()
        mend_at, is_well = loop.time(), True
        try:
            while True:
                try:
                    if loop.time() >= mend_at:
                        mend_at = loop.time() + _MEND_EVERY_S
                        await self.mend()
                    pause_s = await self._take_all()
                except Retryable as e:
                    if is_well:
                        log.warning("cannot look for messages; trying again", problem=str(e))
                    is_well, pause_s = False, _AGAIN_S
                except Exception:
                    log.exception("messages could not be taken; trying again")
                    is_well, pause_s = False, _BROKEN_S
                else:
                    is_well = True
                await self._rest(pause_s)
        finally:
            await self._finish()

    async def _finish(self) -> None:
        """Lets requests under way have their answers: what has none counts as lost and is sent again, as a repeat."""
        if self._sends:
            await asyncio.wait(self._sends, timeout=_FINISH_S)
        for left in self._sends:
            left.cancel()
        await asyncio.gather(*self._sends, return_exceptions=True)

    async def mend(self) -> int:
        """Sends again what processes had under way that died; returns how many requests that were."""
        async with self._database.transaction() as connection:
            lost = await notify.lose_sends(connection)
            if lost:
                await _turn(connection, lost)
            await notify.give_up(connection)
        if lost:
            log.warning("requests to channels had no end: their messages go again, as repeats", requests=len(lost))
        return len(lost)

    async def _rest(self, pause_s: float) -> None:
        self._woken.clear()
        try:
            async with asyncio.timeout(pause_s):
                await self._woken.wait()
        except TimeoutError:
            return

    async def _take_all(self) -> float:
        """Begins all requests that may begin now; returns when to look again."""
        pause_s = EVERY_S
        async with self._database.connect() as connection:
            waiting = await notify.waiting_channels(connection)
        for channel in waiting:
            while self._busy.total() < _MOST and self._busy[channel] < _MOST_A_CHANNEL:
                taken = await self._take(channel)
                if not isinstance(taken, _Taken):
                    pause_s = min(pause_s, taken)
                    break
                self._busy[channel] += 1
                sending = asyncio.create_task(self._deliver(taken), name=f"message to {taken.row.name}")
                self._sends.add(sending)
                sending.add_done_callback(self._sends.discard)
        return pause_s

    async def _take(self, channel_id: int) -> _Taken | float:
        """The next request of a channel, its messages marked as being sent; or when to look again."""
        try:
            async with self._database.transaction() as connection:
                return await self._take_in(connection, channel_id)
        except _NotYetError as e:
            return e.wait_s

    async def _take_in(self, connection: Connection, channel_id: int) -> _Taken | float:
        row = await notify.lock_channel(connection, channel_id)
        if row is None:
            return EVERY_S
        try:
            channel = self._channel(row)
        except ConfigError as e:
            log.warning("a channel cannot be used as it is configured", channel=row.name, problem=str(e))
            await notify.pause(connection, row.id, _MISCONFIGURED_S, f"its configuration cannot be used: {e}")
            return EVERY_S
        ends, now = await notify.recent_sends(connection, row.id)
        wait_s = bucket.wait_s(ends, now, channel.limits, urgent=True, full=True, minute_s=self._minute_s)
        if wait_s:
            return wait_s
        found = await notify.next_messages(connection, row.id, AT_ONCE, personal=row.personal)
        queued = await _still_wanted(connection, found)
        if not queued:
            return 0.0 if found else EVERY_S
        composed = await self._composer.compose(connection, row, channel, queued)
        urgent = any(entry.priority in {"critical", "high"} for entry in composed.queued)
        full = len(composed.queued) < len(queued)
        wait_s = bucket.wait_s(ends, now, channel.limits, urgent=urgent, full=full, minute_s=self._minute_s)
        if wait_s:  # its links go with the transaction
            raise _NotYetError(wait_s)
        await notify.open_send(
            connection, composed.send, row.id, [entry.id for entry in composed.queued],
            len(composed.message.lines), LASTS_S, repeat=composed.repeat,
        )  # fmt: skip
        return _Taken(row, channel, composed)

    def _channel(self, row: ChannelRow) -> Channel:
        known = self._channels.get(row.id)
        if known is None or (known[0].kind, known[0].config) != (row.kind, row.config):
            known = (row, self._make(row))
            self._channels[row.id] = known
        return known[1]

    async def _deliver(self, taken: _Taken) -> None:
        try:
            gate = Gate(self._database, taken.composed.send, taken.composed.about, self._wanted)
            result = await self._send(taken, gate)
            await self._settle(taken, gate, result)
        except Exception:
            log.exception("a message could not be sent", channel=taken.row.name)
        finally:
            self._busy[taken.row.id] -= 1
            self._woken.set()

    async def _send(self, taken: _Taken, gate: Gate) -> Result | None:
        """What the service said; None: nothing was sent, for nobody needs it or nobody can tell."""
        try:
            async with asyncio.timeout(_GIVE_UP_S):
                return await taken.channel.send(taken.composed.message, lambda: gate)
        except NotWantedError:
            return None
        except (Retryable, TimeoutError) as e:
            if not gate.begun:
                return None if isinstance(e, Retryable) else Result(accepted=False, code="time-out", again=True)
            return Result(accepted=False, reason=str(e), code="time-out", again=True, uncertain=True)

    async def _settle(self, taken: _Taken, gate: Gate, result: Result | None) -> None:
        """Keeps what became of a request; where the database cannot be had for long it counts as lost."""
        for _ in range(round((LASTS_S - _GIVE_UP_S) / _AGAIN_S)):
            try:
                async with self._database.transaction() as connection:
                    await self._keep(connection, taken, gate, result)
            except Retryable as e:
                log.warning("what became of a message is not kept yet", channel=taken.row.name, problem=str(e))
                await asyncio.sleep(_AGAIN_S)
            else:
                return

    async def _keep(self, connection: Connection, taken: _Taken, gate: Gate, result: Result | None) -> None:
        send, row = taken.composed.send, taken.row
        if result is None:
            known = gate.wanted
            code = "busy" if known is None else "not wanted"
            if await notify.end_send(connection, send, "not sent", code):
                wanted = {about for _, about in taken.composed.about} if known is None else known
                await notify.release(connection, send, wanted, EVERY_S if known is None else 0.0)
            _SENDS.labels(row.kind, code).inc()
            return
        outcome = "accepted" if result.accepted else "uncertain" if result.uncertain else "refused"
        _SENDS.labels(row.kind, outcome).inc()
        if not await notify.end_send(connection, send, outcome, result.code, result.reason, again=result.again):
            return
        if result.accepted:
            await notify.accept(connection, send)
            return
        log.warning(
            "a channel did not take a message", channel=row.name, outcome=outcome, code=result.code,
            problem=result.reason, lines=len(taken.composed.message.lines),
        )  # fmt: skip
        if result.retry_after_s:
            await notify.pause(connection, row.id, result.retry_after_s, result.reason)
        await _turn(connection, [send])


async def _still_wanted(connection: Connection, found: list[QueuedMessage]) -> list[QueuedMessage]:
    """Those that somebody still needs; the others end here."""
    wanting = await notify.wanting(connection, {m.subject_id for m in found if m.subject == "alarm"})
    wanted = [m for m in found if m.subject != "alarm" or m.subject_id in wanting]
    if len(wanted) < len(found):
        kept = {m.id for m in wanted}
        await notify.drop_messages(connection, [m.id for m in found if m.id not in kept])
    return wanted


async def _turn(connection: Connection, sends: Collection[UUID]) -> None:
    """What requests did not bring goes on by other channels, or where there is none, to other people."""
    turned = await notify.advance(connection, sends)
    failed = {(one.subject_id, one.step) for one in turned if one.subject == "alarm" and not one.is_new}
    if failed:
        await notify.hasten(connection, failed)


class _NotYetError(Exception):
    """It may go later."""

    def __init__(self, wait_s: float) -> None:
        self.wait_s = wait_s
