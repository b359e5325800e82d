"""The owner of one broker's connection: takes what devices say, carries out commands, reconnects for ever."""

import asyncio
import hashlib
import heapq
import ipaddress
import socket
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

import structlog

from contract.clock import mono_ns
from contract.messages import CommandStatus, Outcome, Sample
from contract.site import MqttBus, ResolvedMqtt
from edge.backoff import backoff_s
from edge.counts import BusCounts
from edge.drivers.mqtt.command import Commands, encode
from edge.drivers.mqtt.config import DEFAULT_LIMITS, DEFAULT_TIMING, Limits, Timing
from edge.drivers.mqtt.inbox import Arrived, Inbox
from edge.drivers.mqtt.life import OFFLINE, ONLINE, Lives
from edge.drivers.mqtt.plan import Plan
from edge.drivers.mqtt.read import Reader
from edge.drivers.mqtt.topics import fill, words_of
from edge.drivers.mqtt.wire import Lost, Session, connect

S: Final = 1_000_000_000
AT_ONCE: Final = 32
"""Messages taken in one go, before the connection has its turn again."""

log = structlog.get_logger(__name__)


class MqttDriver:
    """One broker, one owner. The counters are those of BusCounts, in a bus of messages' own sense.

    `polls` are messages of its devices, and silences and losses noticed; `failures` those of them that were of no use;
    `skipped` were too many at once; `late` came a second time, or belong to no device.
    """

    def __init__(
        self,
        bus: MqttBus,
        devices: Sequence[ResolvedMqtt],
        consume: Callable[[Sequence[Sample]], Awaitable[None]],
        timing: Timing = DEFAULT_TIMING,
        limits: Limits = DEFAULT_LIMITS,
    ) -> None:
        """The devices are those of this bus."""
        self.bus_id = bus.id
        self.client_id = bus.client_id or client_id_of(bus.id)
        self.losses = self.samples = self.reconnects = self.last_poll_ns = 0
        self._unanswered = 0
        self._why = ""
        self._bus, self._timing, self._consume = bus, timing, consume
        self._devices = {device.device.id: device for device in devices}
        self._plan = Plan(devices, self.client_id)
        self._lives = Lives({d.device.id: d.silent_after_s for d in devices}, self._plan.own_links)
        self._inbox = Inbox(self._plan.find, limits)
        self._commands = Commands(self.client_id, timing)
        self._reader = Reader(bus.id, self._plan, self._lives, self._commands.answer)
        self._session: Session | None = None
        self._keeps_session = bus.version == "5" and bus.session_s > 0
        self._is_lost = self._was_connected = False
        self._failures_in_a_row = 0
        self._is_settled = False
        self._settle_ns = 0
        self._refused: dict[str, str] = {}

    def counts(self) -> BusCounts:
        """The numbers of this moment."""
        reader = self._reader
        return BusCounts(
            bus=self.bus_id,
            connected=self._session is not None,
            silent_units=self._lives.silent,
            polls=reader.messages + self.losses,
            failures=reader.malformed + self.losses,
            skipped=self._inbox.dropped,
            samples=self.samples,
            late=reader.repeats + self._inbox.foreign,
            reconnects=self.reconnects,
            answers=reader.messages - reader.malformed,
            last_poll_ns=self.last_poll_ns,
            last_answer_ns=self.last_poll_ns,
            unanswered=self._unanswered,
            why=self._why,
        )

    async def run(self) -> None:
        """Takes messages for ever, whatever becomes of the connection; cancelled to stop."""
        if risk := risk_of(self._bus):
            log.warning(risk, bus=self.bus_id, broker=self._bus.endpoint)
        try:
            while True:
                try:
                    await self._serve_connection()
                except Exception:
                    log.exception("the driver failed; it begins anew", bus=self.bus_id)
                finally:
                    self._session = None
                self._failures_in_a_row += 1
                timing = self._timing
                await asyncio.sleep(backoff_s(self._failures_in_a_row, timing.reconnect_s, timing.reconnect_max_s))
        finally:
            self._commands.stop("the driver stopped")

    async def execute(
        self, device: str, point: str, args: Mapping[str, str | int | float | bool], deadline_ns: int
    ) -> Outcome:
        """Publishes a command, then waits until its confirm point shows the effect or its time has passed."""
        found = self._devices.get(device)
        if found is None:
            return Outcome(CommandStatus.FAILED, f"this bus has no device {device!r}")
        if self._session is None:
            return Outcome(CommandStatus.FAILED, f"no connection to the broker {self._bus.endpoint}")
        if self._lives[device].is_said_offline:
            # A broker that keeps sessions would hand it over once the device is back, whenever that is.
            return Outcome(CommandStatus.FAILED, "the device is off line; nothing was written")
        return await self._commands.execute(found, point, args, deadline_ns, self._publish)

    async def _publish(self, topic: str, payload: bytes, expires_s: float | None) -> None:
        if self._session is None:
            raise Lost(f"no connection to the broker {self._bus.endpoint}")
        await self._session.publish(topic, payload, expires_s=expires_s)

    async def _serve_connection(self) -> None:
        """Connects and serves; returns when the connection is lost or could not be had."""
        state = f"anju/{self.client_id}/state"
        try:
            async with connect(
                self._bus, self.client_id, (state, OFFLINE.encode()), self._inbox, self._timing.timeout_s
            ) as session:
                self._is_settled = False
                self._reader.begin_connection(keeps_session=self._keeps_session)
                self._note_refused(await session.subscribe(self._plan.filters))
                self._session = session
                self._note_connected()
                await session.publish(state, ONLINE.encode(), retain=True)
                await self._serve(session)
        except Lost as e:
            self._session = None
            if not self._is_lost:
                log.warning("bus lost; trying again for ever", bus=self.bus_id, broker=self._bus.endpoint, why=str(e))
            self._is_lost, self._why = True, str(e)
            while await self._take(self._inbox.take(AT_ONCE)):
                pass
            self._lives.forget_words()
            self.losses += 1
            await self._hand_on(self._failed(self._devices, str(e), mono_ns()))

    def _note_connected(self) -> None:
        self._settle_ns = mono_ns() + round(self._timing.settle_s * S)
        self._why = ""
        if self._is_lost:
            self._is_lost = False
            log.info("bus is back", bus=self.bus_id)
        self.reconnects += self._was_connected
        self._was_connected = True

    def _note_refused(self, refused: Mapping[str, str]) -> None:
        """Says once which topics the broker does not let the box hear."""
        for topic, why in refused.items():
            if topic not in self._refused:
                hint = f"let {self._bus.user or 'anonymous clients'} read it in the broker's access list"
                log.warning("the broker refuses a topic", bus=self.bus_id, topic=topic, why=why, hint=hint)
        self._refused = dict(refused)

    async def _serve(self, session: Session) -> None:
        """Takes messages and watches silences until the connection is lost, which is raised."""
        refresh = asyncio.create_task(self._refresh(session), name=f"refresh {self.bus_id}")
        try:
            watch_ns = self._settle_ns
            while True:
                await self._wait(session, watch_ns)
                await self._take(self._inbox.take(AT_ONCE))
                if mono_ns() >= watch_ns:
                    await self._watch(self._inbox.oldest_ns() or mono_ns())
                    watch_ns = mono_ns() + round(self._timing.watch_s * S)
                if session.lost and not len(self._inbox):
                    raise Lost(session.lost)
        finally:
            refresh.cancel()

    async def _wait(self, session: Session, until_ns: int) -> None:
        """Returns at once while messages wait, else when one comes, the connection goes, or it is time."""
        self._inbox.wake.clear()
        if len(self._inbox) or session.lost:
            await asyncio.sleep(0)  # the connection has its turn
            return
        try:
            async with asyncio.timeout(max(0.0, (until_ns - mono_ns()) / S)):
                await self._inbox.wake.wait()
        except TimeoutError:
            return

    async def _refresh(self, session: Session) -> None:
        """Asks every device that can be asked to say all it knows, one after the other, and again as its model wants.

        Devices that are asked again have each a phase of their own.
        """
        due: list[tuple[int, int, str]] = []
        for i, (name, device) in enumerate(self._devices.items(), 1):
            await self._ask(session, device)
            if device.profile.refresh_s is not None:
                period_ns = round(device.profile.refresh_s * S)
                due.append((mono_ns() + period_ns * i // len(self._devices), period_ns, name))
        heapq.heapify(due)
        while due:
            due_ns, period_ns, name = due[0]
            await asyncio.sleep(max(0.0, (due_ns - mono_ns()) / S))
            await self._ask(session, self._devices[name])
            heapq.heapreplace(due, (mono_ns() + period_ns, period_ns, name))

    async def _ask(self, session: Session, device: ResolvedMqtt) -> None:
        words = words_of(device, self.client_id)
        for message in device.profile.refresh:
            topic, payload = fill(message.topic, words), encode(message, words)
            with suppress(Lost):  # whoever serves the connection says so, if it is gone
                await session.publish(topic, payload, expires_s=self._timing.timeout_s)

    async def _watch(self, now_ns: int) -> None:
        """Devices that fell silent, and those whose standing link vouches for them.

        `now_ns` is not after any message that still waits, so that each series stays in order of time.
        """
        if not self._is_settled:
            self._is_settled = True
            self._failures_in_a_row = 0
            self._reader.end_repeats()
        samples: list[Sample] = []
        for device, word in self._lives.watch(now_ns):
            if word == OFFLINE:
                self.losses += 1
                self._unanswered += 1
                silent_s = self._devices[device].silent_after_s
                samples.extend(self._failed([device], f"no message for {silent_s:g} s", now_ns))
            samples.append(Sample(device, "link", word, now_ns))
        await self._hand_on(samples)

    async def _take(self, messages: Sequence[Arrived]) -> bool:
        """What some messages bring, handed on in their order; whether there were any."""
        samples: list[Sample] = []
        for message in messages:
            self.last_poll_ns, self._unanswered = message.mono_ns, 0
            samples.extend(self._reader.read(message))
        await self._hand_on(samples)
        self._commands.see(samples)
        return bool(messages)

    def _failed(self, devices: Sequence[str] | Mapping[str, Any], error: str, now_ns: int) -> list[Sample]:
        return [Sample(device, point, None, now_ns, error) for device in devices for point in self._plan.points[device]]

    async def _hand_on(self, samples: list[Sample]) -> None:
        if samples:
            await self._consume(samples)
            self.samples += len(samples)


def risk_of(bus: MqttBus) -> str:
    """A sentence where anybody on the network may speak for a device; empty for a broker of this machine."""
    with suppress(ValueError):
        if ipaddress.ip_address(bus.host).is_loopback:
            return ""
    if bus.host == "localhost":
        return ""
    if not bus.user:
        return (
            "the broker is used without a login: whoever else it lets in can say that it burns, which opens doors,"
            " and can open them; give the box and each device a login, and each its own topics"
        )
    if not bus.tls:
        return "the broker is used without TLS: its login and every alarm can be read and changed on the way; set tls"
    return ""


def client_id_of(bus: str) -> str:
    """A name for the broker that stays the same over restarts and differs between boxes, without telling which."""
    try:
        machine = Path("/etc/machine-id").read_text(encoding="ascii").strip()
    except (OSError, UnicodeDecodeError):
        machine = socket.gethostname()
    return "anju-" + hashlib.blake2b(f"{machine}/{bus}".encode(), digest_size=7, person=b"anju-mqtt").hexdigest()
