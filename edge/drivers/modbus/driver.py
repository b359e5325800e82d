"""The owner of one Modbus TCP endpoint: polls its units by the schedule, carries out commands, reconnects for ever."""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Mapping, Sequence
from itertools import groupby

import structlog

from contract.clock import mono_ns
from contract.errors import Permanent, Retryable
from contract.messages import Outcome, Sample
from contract.profile import ModbusLimits
from contract.site import ModbusTcpBus, ResolvedModbus
from edge.counts import BusCounts
from edge.drivers.modbus.command import execute
from edge.drivers.modbus.config import DEFAULT_TIMING, Timing, backoff_s
from edge.drivers.modbus.decode import decode_read
from edge.drivers.modbus.plan import Read, Write, plan_unit, split_read
from edge.drivers.modbus.poll import Poll, S, Schedule
from edge.drivers.modbus.wire import ILLEGAL_ADDRESS, BadAnswer, Disconnected, Refused, Silent, Wire

MAX_ORDERS = 64
"""Orders that may wait for the bus; more are turned away at once."""

log = structlog.get_logger(__name__)


class _Order:
    """A question or order of a command, which goes before the polls."""

    __slots__ = ("done", "what")

    def __init__(self, what: Read | Write) -> None:
        self.what = what
        self.done: asyncio.Future[list[Sample]] = asyncio.get_running_loop().create_future()


class ModbusDriver:
    """One bus, one owner: every byte to the endpoint goes through `run`. The counters are those of BusCounts.

    A sample's time is that of the arrival of its answer, so it is never before the change it shows.
    """

    def __init__(
        self,
        bus: ModbusTcpBus,
        devices: Sequence[ResolvedModbus],
        consume: Callable[[Sequence[Sample]], Awaitable[None]],
        timing: Timing = DEFAULT_TIMING,
    ) -> None:
        """The devices are those of this bus."""
        self.bus_id = bus.id
        self.polls = self.failures = self.samples = self.answers = self.reconnects = self.last_poll_ns = 0
        self.latency_sum_s = 0.0
        self._bus, self._timing, self._consume = bus, timing, consume
        self._devices = {device.device.id: device for device in devices}
        self._limits: dict[int, ModbusLimits] = {d.device.unit: d.profile.modbus for d in devices}
        self._wire = Wire(bus.host, bus.port)
        self._schedule = Schedule(self._make_polls(), bus.poll_s, bus.timeout_s, timing)
        self._orders: deque[_Order] = deque()
        self._wake = asyncio.Event()
        self._suspect: tuple[int, int] | None = None
        """The unit asked when the connection went, and how often in a row: it may be the cause."""
        self._reconnect_failures = 0
        self._own_failures = 0
        self._is_lost = False

    @property
    def connected(self) -> bool:
        """Whether the connection to the endpoint stands."""
        return self._wire.connected

    @property
    def skipped(self) -> int:
        """Polls that were due and not made because the bus was busy."""
        return self._schedule.skipped

    @property
    def late(self) -> int:
        """Answers thrown away because they belonged to no open question."""
        return self._wire.late

    @property
    def silent_units(self) -> int:
        """How many units give no answer now."""
        return self._schedule.silent_units

    def counts(self) -> BusCounts:
        """The numbers of this moment."""
        return BusCounts(
            bus=self.bus_id,
            connected=self.connected,
            silent_units=self.silent_units,
            polls=self.polls,
            failures=self.failures,
            skipped=self.skipped,
            samples=self.samples,
            late=self.late,
            reconnects=self.reconnects,
            answers=self.answers,
            latency_sum_s=self.latency_sum_s,
            last_poll_ns=self.last_poll_ns,
        )

    async def run(self) -> None:
        """Polls for ever, whatever becomes of the connection; cancelled to stop."""
        try:
            while True:
                try:
                    await self._serve_connection()
                except Exception:
                    # A fault of the box must not end the whole box, nor this bus for ever.
                    log.exception("bus failed within the box; trying again for ever", bus=self.bus_id)
                    self._own_failures += 1
                    self._wire.close()
                    self._refuse_orders("an error within the box; its log has the details")
                self._reconnect_failures += 1
                failures, timing = max(self._reconnect_failures, self._own_failures), self._timing
                await asyncio.sleep(backoff_s(failures, timing.reconnect_s, timing.reconnect_max_s))
        finally:
            self._wire.close()
            self._refuse_orders("the driver stopped")

    async def _serve_connection(self) -> None:
        """Connects and serves; returns when the connection is lost or could not be had."""
        try:
            await self._wire.connect(self._bus.timeout_s)
            await self._serve()
        except Disconnected as e:
            if not self._is_lost:
                log.warning("bus lost; trying again for ever", bus=self.bus_id, why=str(e))
            self._is_lost = True
            self._wire.close()
            self._refuse_orders(str(e))
            await self._hand_on(self._failed(self._all_reads, str(e)))

    async def execute(
        self, device: str, point: str, args: Mapping[str, str | int | float | bool], deadline_ns: int
    ) -> Outcome:
        """Writes a command, then polls its confirm point until it shows the effect or its time has passed."""
        found, every_s = self._devices.get(device), self._timing.confirm_every_s
        return await execute(found, point, args, deadline_ns, self._order, every_s)

    async def _order(self, what: Read | Write) -> list[Sample]:
        """Has the bus's owner ask or write next. Raises what the wire raises."""
        if not self._wire.connected:
            raise Disconnected(f"no connection to {self._bus.host}:{self._bus.port}", sent=False)
        if len(self._orders) >= MAX_ORDERS:
            raise Disconnected(f"{MAX_ORDERS} orders already wait for this bus", sent=False)
        order = _Order(what)
        self._orders.append(order)
        self._wake.set()
        return await order.done

    async def _serve(self) -> None:
        """An order, then the poll whose turn it is, and again; sleeps until there is one. Ends by an error only.

        One poll after each order: many orders, or one to a silent unit, must not take the bus from all others.
        """
        self._restart_schedule()
        while True:
            await self._serve_order()
            poll = self._schedule.take(mono_ns()) if self._all_reads else None
            if poll is not None:
                await self._make_poll(poll)
                continue
            self._wake.clear()
            if not self._orders:
                await self._sleep_until(self._schedule.next_ns if self._all_reads else None)

    async def _sleep_until(self, due_ns: int | None) -> None:
        try:
            async with asyncio.timeout(None if due_ns is None else max(0.0, (due_ns - mono_ns()) / S)):
                await self._wake.wait()
        except TimeoutError:
            return

    async def _serve_order(self) -> None:
        """The oldest order that somebody still waits for, if there is one."""
        while self._orders and self._orders[0].done.done():
            self._orders.popleft()
        if not self._orders:
            return
        order = self._orders.popleft()
        timeout_s = self._schedule.order_timeout_s(order.what.unit)
        samples: list[Sample] = []
        try:
            if isinstance(order.what, Write):
                await self._wire.write(order.what, timeout_s)
            else:
                words = await self._wire.read(order.what, timeout_s)
                samples = decode_read(order.what, words, mono_ns())
            await self._hand_on(samples)
        except Disconnected as e:
            _settle(order, e)
            raise
        except asyncio.CancelledError:
            _settle(order, Disconnected("the driver stopped", sent=True))
            raise
        except (Retryable, Permanent) as e:
            _settle(order, e)
            return
        except Exception:
            _settle(order, Disconnected("an error within the box; its log has the details", sent=True))
            raise
        _settle(order, samples)

    async def _make_poll(self, poll: Poll) -> None:
        """One turn of one unit. What it answered is handed on even when other questions failed."""
        self.polls += 1
        samples: list[Sample] = []
        failed: list[tuple[Read, str]] = []
        silent: list[Read] = []
        is_answered = False
        waited_ns = 0
        todo = deque(poll.reads)
        is_first = True
        try:
            while todo:
                if self._orders and not is_first:
                    # A command's read-back is newer than what this poll has read: keep each series in order.
                    handed, samples = samples, []
                    await self._hand_on(handed)
                    await self._serve_order()
                is_first = False
                read = todo.popleft()
                started_ns = mono_ns()
                try:
                    words = await self._wire.read(read, self._schedule.timeout_s(poll))
                except Refused as e:
                    is_answered = True
                    self._note_answer(poll, mono_ns() - started_ns)
                    if e.code == ILLEGAL_ADDRESS and len(parts := split_read(read, self._limits[poll.unit])) > 1:
                        at = poll.reads.index(read)
                        poll.reads[at : at + 1] = parts
                        todo.extendleft(reversed(parts))
                    else:
                        failed.append((read, str(e)))
                except (Silent, BadAnswer) as e:
                    waited_ns += mono_ns() - started_ns
                    silent.append(read)
                    failed.append((read, str(e)))
                    if not is_answered:  # a silent unit is asked once a turn, not once a question
                        failed.extend((rest, str(e)) for rest in todo)
                        break
                else:
                    now_ns = mono_ns()
                    is_answered = True
                    self._note_answer(poll, now_ns - started_ns)
                    samples.extend(decode_read(read, words, now_ns))
        except Disconnected as e:
            if e.sent:
                unit, times = self._suspect or (poll.unit, 0)
                self._suspect = (poll.unit, times + 1 if unit == poll.unit else 1)
            self.failures += 1
            await self._hand_on(samples)
            raise
        now_ns = self.last_poll_ns = mono_ns()
        for read, error in failed:
            samples.extend(Sample(item.device, item.point, None, now_ns, error) for item in read.items)
        self.failures += bool(failed)
        if is_answered and len(silent) < len(poll.reads):
            for read in silent:
                part = self._schedule.part(poll, read, now_ns)
                self._schedule.put_back_silent(part, now_ns, waited_ns / S / len(silent))
            self._schedule.put_back(poll, now_ns)
        else:
            self._schedule.put_back_silent(poll, now_ns, waited_ns / S)
        await self._hand_on(samples)
        self._own_failures = 0

    def _note_answer(self, poll: Poll, latency_ns: int) -> None:
        self._schedule.answered(poll, latency_ns / S)
        self._reconnect_failures = 0
        self.answers += 1
        self.latency_sum_s += latency_ns / S
        if self._suspect and self._suspect[0] == poll.unit:
            self._suspect = None
        if self._is_lost:
            self._is_lost = False
            self.reconnects += 1
            log.info("bus is back", bus=self.bus_id)

    def _failed(self, reads: Sequence[Read], error: str) -> list[Sample]:
        now_ns = mono_ns()
        return [Sample(item.device, item.point, None, now_ns, error) for read in reads for item in read.items]

    async def _hand_on(self, samples: list[Sample]) -> None:
        if samples:
            await self._consume(samples)
            self.samples += len(samples)

    def _make_polls(self) -> list[Poll]:
        """All units due at once, their questions merged anew."""
        now_ns = mono_ns()
        by_unit = sorted(self._devices.values(), key=lambda d: d.device.unit)
        plans = [(unit, plan_unit(list(group))) for unit, group in groupby(by_unit, key=lambda d: d.device.unit)]
        self._all_reads = [read for _, reads in plans for read in reads]
        return [Poll(unit, reads, now_ns) for unit, reads in plans if reads]

    def _restart_schedule(self) -> None:
        """After a reconnect everyone is asked anew, save the unit whose question may have cut the connection."""
        self._schedule.renew(self._make_polls())
        if self._suspect is not None:
            self._schedule.hold_back(*self._suspect, now_ns=mono_ns())

    def _refuse_orders(self, why: str) -> None:
        while self._orders:
            _settle(self._orders.popleft(), Disconnected(why, sent=False))


def _settle(order: _Order, result: list[Sample] | Exception) -> None:
    """Answers an order, unless who gave it no longer waits."""
    if order.done.done():
        return
    if isinstance(result, Exception):
        order.done.set_exception(result)
    else:
        order.done.set_result(result)
