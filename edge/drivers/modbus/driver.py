"""The owner of one Modbus bus: polls its units by the schedule, carries out commands, reconnects for ever."""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from itertools import groupby

import structlog

from contract.clock import mono_ns
from contract.errors import Permanent, Retryable
from contract.messages import Outcome, Sample
from contract.modbus_plan import plan_unit, split_read
from contract.profile import ModbusLimits
from contract.site import AnyModbusBus, ResolvedModbus
from edge.backoff import backoff_s
from edge.counts import BusCounts, Latencies
from edge.drivers.modbus.command import execute
from edge.drivers.modbus.config import DEFAULT_TIMING, Timing
from edge.drivers.modbus.errors import ILLEGAL_ADDRESS, Busy, Disconnected, GivenUp, Refused, Silent, Unreachable
from edge.drivers.modbus.held import Held
from edge.drivers.modbus.plan import Planned, Write, patient_points, planned
from edge.drivers.modbus.poll import Poll, S, Schedule
from edge.drivers.modbus.turn import Answer, Turn
from edge.drivers.modbus.wires import wire_of

MAX_ORDERS = 64
"""Orders that may wait for the bus; more are turned away at once."""

log = structlog.get_logger(__name__)


class _Order:
    """A question or order of a command, which goes before the polls."""

    __slots__ = ("done", "what")

    def __init__(self, what: Planned | Write) -> None:
        self.what = what
        self.done: asyncio.Future[list[Sample]] = asyncio.get_running_loop().create_future()


class ModbusDriver:
    """One bus, one owner: every byte to the endpoint goes through `run`. The counters are those of BusCounts.

    A sample's time is that of the arrival of its answer, so it is never before the change it shows.
    """

    def __init__(
        self,
        bus: AnyModbusBus,
        devices: Sequence[ResolvedModbus],
        consume: Callable[[Sequence[Sample]], Awaitable[None]],
        timing: Timing = DEFAULT_TIMING,
    ) -> None:
        """The devices are those of this bus."""
        self.bus_id = bus.id
        self.polls = self.failures = self.samples = self.answers = self.reconnects = self.last_poll_ns = 0
        self.last_answer_ns = self.unanswered = 0
        self.why = ""
        self._is_tried = asyncio.Event()
        """Whether it was tried to connect."""
        self.latency_sum_s = 0.0
        self._latencies = Latencies()
        self._bus, self._timing, self._consume = bus, timing, consume
        self._devices = {device.device.id: device for device in devices}
        self._limits: dict[int, ModbusLimits] = {d.device.unit: bus.limits_of(d.profile) for d in devices}
        self._all_reads: list[Planned] = []
        self._wire = wire_of(bus)
        self._schedule = Schedule(self._make_polls(), bus.timeout_s, timing)
        self._held = Held()
        self._orders: deque[_Order] = deque()
        self._mute: set[int] = set()
        """Units that did not answer the last order."""
        self._polled: Poll | None = None
        """The poll whose answer is waited for now."""
        self._sleeper: asyncio.Future[None] | None = None
        self._suspect: tuple[int, int] | None = None
        """The unit asked when the connection went, and how often in a row: it may be the cause."""
        self._unheard_since_ns = 0
        """When the first question after the last answer stayed unanswered; 0 while there is none."""
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
            latency_p99_s=self._latencies.p99_s,
            last_poll_ns=self.last_poll_ns,
            last_answer_ns=self.last_answer_ns,
            unanswered=self.unanswered,
            why=self.why,
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
            try:
                await self._wire.connect(self._bus.timeout_s)
            finally:
                self._is_tried.set()
            self.why = ""
            await self._serve()
        except Disconnected as e:
            if not self._is_lost:
                log.warning("bus lost; trying again for ever", bus=self.bus_id, why=str(e))
            self._is_lost = True
            self.why = str(e)
            self._wire.close()
            self._refuse_orders(str(e))
            now_ns, why = mono_ns(), str(e)
            await self._hand_on([sample for read in self._all_reads for sample in _failed(read, why, now_ns)])

    async def execute(
        self, device: str, point: str, args: Mapping[str, str | int | float | bool], deadline_ns: int
    ) -> Outcome:
        """Writes a command, then polls its confirm point until it shows the effect or its time has passed."""
        return await execute(self._devices.get(device), point, args, deadline_ns, self._order, self._timing)

    async def _order(self, what: Planned | Write) -> list[Sample]:
        """Has the bus's owner ask or write next. Raises what the wire raises."""
        if not self._is_tried.is_set():  # an order of the box's first moment: what was held is held on
            with suppress(TimeoutError):
                await asyncio.wait_for(self._is_tried.wait(), self._bus.timeout_s)
        if not self._wire.connected:
            raise Disconnected(f"no connection to {self._bus.endpoint}", sent=False)
        if len(self._orders) >= MAX_ORDERS:
            raise Disconnected(f"{MAX_ORDERS} orders already wait for this bus", sent=False)
        order = _Order(what)
        self._orders.append(order)
        self._wake()
        if self._polled is not None:
            self._wire.hurry(self._schedule.brief_s(self._polled))
        return await order.done

    async def _serve(self) -> None:
        """An order, then the poll whose turn it is, and again; sleeps until there is one. Ends by an error only.

        One poll after each order: many orders, or one to a silent unit, must not take the bus from all others.
        """
        self._restart_schedule()
        while True:
            if self._orders:
                await self._serve_order()
            now_ns = mono_ns()
            poll = self._schedule.take(now_ns)
            if self._held and not self._held.may_wait_for(poll, now_ns):
                await self._hand_on([])
            if poll is not None:
                await self._make_poll(poll)
            elif not self._orders:
                await self._sleep_until(self._schedule.next_ns)

    async def _sleep_until(self, due_ns: int | None) -> None:
        """Until then (for ever without a time), or until an order comes. An asyncio.timeout would cost as a poll."""
        loop = asyncio.get_running_loop()
        sleeper = self._sleeper = loop.create_future()
        timer = None if due_ns is None else loop.call_later(max(0.0, (due_ns - mono_ns()) / S), self._wake)
        try:
            await sleeper
        finally:
            self._sleeper = None
            if timer is not None:
                timer.cancel()

    def _wake(self) -> None:
        if self._sleeper is not None and not self._sleeper.done():
            self._sleeper.set_result(None)

    async def _serve_order(self) -> None:
        """One order that somebody still waits for, if there is one.

        What opens a door goes before what looks whether another has opened, and who answers before who is silent: no
        door waits for those that are dead. Else the oldest goes first. Each command waits for its own read-back, so
        there is an end to what goes before.
        """
        for order in [order for order in self._orders if order.done.done()]:
            self._orders.remove(order)
        if not self._orders:
            return
        order = min(self._orders, key=self._rank) if len(self._orders) > 1 else self._orders[0]
        self._orders.remove(order)
        what, samples = order.what, list[Sample]()
        timeout_s = self._schedule.order_timeout_s(what.question.unit)
        try:
            if isinstance(what, Write):
                await self._wire.ask(what.question, timeout_s, what.deadline_ns)
            else:
                samples = what.decode(await self._wire.ask(what.question, timeout_s), mono_ns())
            self._mute.discard(what.question.unit)
            await self._hand_on(samples)
        except Disconnected as e:
            _settle(order, e)
            raise
        except asyncio.CancelledError:
            _settle(order, Disconnected("the driver stopped", sent=True))
            raise
        except (Retryable, Permanent) as e:
            if isinstance(e, Silent):
                self._mute.add(what.question.unit)
                e = self._explained(e, timeout_s)
            _settle(order, e)
            return
        except Exception:
            _settle(order, Disconnected("an error within the box; its log has the details", sent=True))
            raise
        _settle(order, samples)

    def _rank(self, order: _Order) -> tuple[bool, bool]:
        unit = order.what.question.unit
        return not isinstance(order.what, Write), unit in self._mute or self._schedule.is_silent(unit)

    async def _make_poll(self, poll: Poll) -> None:
        """One turn of one unit. What it answered is handed on even when other questions failed."""
        self.polls += 1
        read, asked_ns = poll.reads[0], mono_ns()
        turn = None
        try:
            answer = await self._ask_poll(poll, read)
            now_ns = mono_ns()
            if len(poll.reads) == 1 and isinstance(answer, bytes):  # as most are; what follows costs more than the read
                self._note_answer(poll, read, now_ns - asked_ns)
                self._schedule.put_back(poll, now_ns)
                if read.is_patient:
                    self._held.add(read, answer, now_ns)
                    self.last_poll_ns, self._own_failures = now_ns, 0
                    return
                samples = read.decode(answer, now_ns)
            else:
                turn = Turn(poll)
                self._take(turn, poll, read, answer, asked_ns, now_ns)
                await self._ask_rest(turn, poll)
                now_ns = mono_ns()
                turn.end(self._schedule, now_ns)
                self.failures += bool(turn.failed)
                samples = turn.samples
                samples.extend(sample for read, error in turn.failed for sample in _failed(read, error, now_ns))
        except Disconnected as e:
            if e.sent:
                unit, times = self._suspect or (poll.unit, 0)
                self._suspect = (poll.unit, times + 1 if unit == poll.unit else 1)
            self.failures += 1
            await self._hand_on(turn.samples if turn else [])
            raise
        self.last_poll_ns = now_ns
        await self._hand_on(samples)
        self._own_failures = 0
        if turn is not None and not turn.is_answered:
            self._note_silence(now_ns)

    async def _ask_rest(self, turn: Turn, poll: Poll) -> None:
        """Asks the other questions of a turn, letting a command pass before each. Raises Disconnected."""
        while turn.todo:
            if self._orders:
                # A command's read-back is newer than what this poll has read: keep each series in order.
                handed, turn.samples = turn.samples, []
                await self._hand_on(handed)
                await self._serve_order()
            read, asked_ns = turn.todo[0], mono_ns()
            answer = await self._ask_poll(poll, read)
            self._take(turn, poll, read, answer, asked_ns, mono_ns())

    def _take(self, turn: Turn, poll: Poll, read: Planned, answer: Answer, asked_ns: int, now_ns: int) -> None:
        """Notes what came of a question; one that the unit refuses as a whole is asked in parts from now on."""
        if isinstance(answer, bytes | Refused | Busy):
            self._note_answer(poll, read, now_ns - asked_ns)
        if isinstance(answer, Refused) and answer.code == ILLEGAL_ADDRESS and len(parts := self._split(read)) > 1:
            turn.ask_in_parts(read, parts)
        else:
            turn.take(read, answer, asked_ns, now_ns)

    async def _ask_poll(self, poll: Poll, read: Planned) -> Answer:
        """What a unit answers in the time the schedule gives it, which is brief where a command wants the bus.

        Raises Disconnected.
        """
        timeout_s = full_s = self._schedule.timeout_s(poll)
        if self._orders:
            timeout_s = min(full_s, self._schedule.brief_s(poll))
        self._polled = poll
        try:
            return await self._wire.ask(read.question, timeout_s)
        except Disconnected:
            raise
        except Unreachable as e:
            return e
        except Silent as e:
            if timeout_s != full_s:
                return GivenUp("its answer was waited for no longer: a command came")
            return self._explained(e, timeout_s)
        except (Retryable, Permanent) as e:
            return e
        finally:
            self._polled = None

    def _explained(self, error: Silent, waited_s: float) -> Silent:
        """A silence that was waited for more briefly than the site file says, with the reason."""
        if isinstance(error, Unreachable) or waited_s >= self._bus.timeout_s:
            return error
        return Silent(f"{error} (the wait is shortened from {self._bus.timeout_s:g} s for what is silent or was quick)")

    def _note_silence(self, now_ns: int) -> None:
        """Raises Disconnected when nobody at all answers for long: a converter may hang with its connection open."""
        self.unanswered += 1
        since_ns = self._unheard_since_ns = self._unheard_since_ns or now_ns
        if now_ns - since_ns > self._timing.unheard_s * S:
            self._unheard_since_ns = 0
            raise Disconnected(f"nothing was heard for {self._timing.unheard_s:g} s; it is opened anew", sent=False)

    def _split(self, read: Planned) -> list[Planned]:
        """A question in parts, where its unit refuses the whole."""
        parts = split_read(read.read, self._limits[read.read.unit])
        return [planned(part, self._bus.line) for part in parts] if len(parts) > 1 else [read]

    def _note_answer(self, poll: Poll, read: Planned, latency_ns: int) -> None:
        self.last_answer_ns = now_ns = mono_ns()
        self._schedule.answered(poll, max(0.0, latency_ns / S - read.wire_s), now_ns)
        self._reconnect_failures = self._unheard_since_ns = self.unanswered = 0
        self.answers += 1
        self._mute.discard(poll.unit)
        self.latency_sum_s += latency_ns / S
        self._latencies.note(latency_ns)
        if self._suspect and self._suspect[0] == poll.unit:
            self._suspect = None
        if self._is_lost:
            self._is_lost = False
            self.reconnects += 1
            log.info("bus is back", bus=self.bus_id)

    async def _hand_on(self, samples: list[Sample]) -> None:
        """What was read, after what is held, which is older."""
        if self._held:
            samples = self._held.take() + samples
        if samples:
            await self._consume(samples)
            self.samples += len(samples)

    def _make_polls(self) -> list[Poll]:
        """All units due at once, their questions merged anew; a poll for each period a unit has."""
        now_ns, line = mono_ns(), self._bus.line
        polls: dict[tuple[int, float], list[Planned]] = {}
        by_unit = sorted(self._devices.values(), key=lambda d: d.device.unit)
        for unit, group in groupby(by_unit, key=lambda d: d.device.unit):
            devices = list(group)
            channels = [(item.device.id, item.device.channel) for item in devices]
            patient = patient_points(devices[0].profile.kind)
            for read in plan_unit(unit, devices[0].profile, channels, self._limits[unit]):
                polls.setdefault((unit, read.every_s or self._bus.poll_s), []).append(planned(read, line, patient))
        self._all_reads = [read for reads in polls.values() for read in reads]
        return [Poll(unit, reads, now_ns, period_s) for (unit, period_s), reads in polls.items()]

    def _restart_schedule(self) -> None:
        """After a reconnect everyone is asked anew, save the unit whose question may have cut the connection."""
        self._schedule.renew(self._make_polls())
        if self._suspect is not None:
            self._schedule.hold_back(*self._suspect, now_ns=mono_ns())

    def _refuse_orders(self, why: str) -> None:
        while self._orders:
            _settle(self._orders.popleft(), Disconnected(why, sent=False))


def _failed(read: Planned, error: str, now_ns: int) -> list[Sample]:
    return [Sample(item.device, item.point, None, now_ns, error) for item in read.read.items]


def _settle(order: _Order, result: list[Sample] | Exception) -> None:
    """Answers an order, unless who gave it no longer waits."""
    if order.done.done():
        return
    if isinstance(result, Exception):
        order.done.set_exception(result)
    else:
        order.done.set_result(result)
