"""The owner of one radio: hears its sensors, connects one device at a time, outlives the radio's loss."""

import asyncio
import os
import re
from collections import deque
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

import structlog
from bleak.backends.device import BLEDevice
from bleak.backends.scanner import AdvertisementData

from contract.clock import mono_ns
from contract.errors import AnjuError
from contract.messages import Outcome, Sample
from contract.site import BleBus, ResolvedBle, Secret
from edge.backoff import backoff_s
from edge.counts import BusCounts
from edge.drivers.ble.adapter import Adapter, Lost
from edge.drivers.ble.bthome import KEY_BYTES
from edge.drivers.ble.config import DEFAULT_TIMING, Timing
from edge.drivers.ble.counters import PATTERN, Counters
from edge.drivers.ble.decode import on_air_patterns
from edge.drivers.ble.radio import Radio
from edge.drivers.ble.sensor import Heard, Sensor
from edge.drivers.ble.visits import Visits
from edge.secrets import read_secret

S = 1_000_000_000
MAX_WAITING = 10_000
"""Samples that wait while those who take them are slow; then the oldest go, and are counted as skipped."""
_NO_RSSI = -127
"""What bleak says where BlueZ knows none."""
_ABOUT = ("Connected", "ServicesResolved", "Paired", "Trusted", "Blocked")
"""What BlueZ tells of a device besides what it advertises."""
_PASSIVE_PATIENCE = 10

Consume = Callable[[Sequence[Sample]], Awaitable[None]]
log = structlog.get_logger(__name__)


class BleDriver:
    """One radio, one owner. A sample's time is that of the arrival of what it says."""

    def __init__(
        self,
        bus: BleBus,
        devices: Sequence[ResolvedBle],
        consume: Consume,
        timing: Timing = DEFAULT_TIMING,
        state_dir: Path | None = None,
        read_key: Callable[[Secret], str] = read_secret,
    ) -> None:
        """The devices are those of this bus. `state_dir` is where the counters of encrypted sensors are kept.

        Without one that of ANJU_STATE. Raises AnjuError where a bindkey is missing or is none.
        """
        self.bus_id = bus.id
        self._bus, self._timing, self._consume = bus, timing, consume
        keys = {d.device.id: _key_of(d, read_key) for d in devices if d.device.bindkey is not None}
        folder = state_dir or (Path(state) if (state := os.environ.get("ANJU_STATE")) else None)
        self._counters = Counters(folder / PATTERN.replace("*", bus.id) if folder and keys else None)
        self._counters.restrict(set(keys))
        now_ns = mono_ns()
        self._sensors = {
            d.device.address: Sensor(d, keys.get(d.device.id), self._counters, timing, now_ns) for d in devices
        }
        self._visits = Visits(bus.id, list(self._sensors.values()), timing, self._put)
        self._waiting: deque[Sample] = deque()
        self._news = asyncio.Event()
        self._is_passive = bus.scan == "passive" and all(d.profile.is_heard for d in devices)
        """How to listen; once refused, never asked for again."""
        self._failures = 0
        self._is_lost = False
        self._any_heard_ns = now_ns
        self._foreign = 0
        self._silences = self._samples = self._skipped = self._reconnects = self._last_poll_ns = 0
        self._last_answer_ns = self._unanswered = 0

    # --- what it counts ---------------------------------------------------------------------------------------------

    def counts(self) -> BusCounts:
        """The numbers of this moment.

        A poll is an advertisement that says something new, a turn of a connected device, or a silence; `late` are
        frames refused (replayed, not encrypted, another's key), `skipped` samples lost because those who take them
        were slow.
        """
        sensors, visits = self._sensors.values(), self._visits
        silent = {sensor.id for sensor in sensors if sensor.is_silent} | set(visits.silent)
        return BusCounts(
            bus=self.bus_id,
            connected=visits.radio is not None,
            silent_units=len(silent),
            polls=visits.polls + self._silences + sum(sensor.frames for sensor in sensors),
            failures=visits.failures + self._silences,
            skipped=self._skipped,
            samples=self._samples,
            late=sum(sensor.refused.total() for sensor in sensors),
            reconnects=self._reconnects,
            answers=visits.answers,
            latency_sum_s=visits.latency_sum_s,
            latency_p99_s=visits.latencies.p99_s,
            last_poll_ns=self._last_poll_ns,
            last_answer_ns=self._last_answer_ns,
            unanswered=self._unanswered,
            why="" if visits.radio is not None else visits.why_lost,
        )

    @property
    def refused(self) -> dict[str, dict[str, int]]:
        """How many frames of which device were refused, by reason."""
        return {sensor.id: dict(sensor.refused) for sensor in self._sensors.values() if sensor.refused}

    # --- its life ---------------------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Hears and connects for ever, whatever becomes of the radio; cancelled to stop."""
        try:
            async with asyncio.TaskGroup() as tasks:
                for work in (self._keep_radio, self._hand_on, self._watch_silence, self._visits.take_turns):
                    tasks.create_task(self._for_ever(work), name=f"{self.bus_id} {work.__name__.strip('_')}")
        finally:
            self._visits.end_orders("the driver stopped")
            await asyncio.to_thread(self._counters.save, self._counters.unsaved())

    async def _for_ever(self, work: Callable[[], Awaitable[None]]) -> None:
        while True:
            try:
                await work()
            except Exception:
                # A fault of the box must not end the whole box, nor this bus for ever.
                log.exception("bus failed within the box; trying again for ever", bus=self.bus_id)
            await asyncio.sleep(self._timing.reconnect_max_s)

    async def _keep_radio(self) -> None:
        while True:
            why = ""
            try:
                await self._serve()
            except Lost as e:
                why = self._visits.why_lost = str(e)
            if not self._is_lost:
                log.warning("radio lost; looking for it again for ever", bus=self.bus_id, error=why)
            self._is_lost = True
            self._failures += 1
            timing = self._timing
            await asyncio.sleep(backoff_s(self._failures, timing.reconnect_s, timing.reconnect_max_s))

    async def _serve(self) -> None:
        """Listens until the radio is gone. Raises Lost, with the reason."""
        profiles = [sensor.item.profile for sensor in self._sensors.values()]
        formats = [format_ for profile in profiles for format_ in profile.formats.values()]
        patterns = on_air_patterns(formats, is_bthome=any(profile.is_bthome for profile in profiles))
        radio = Radio(
            self._bus.adapter,
            patterns,
            is_passive=self._is_passive and bool(patterns),
            heard=self._hear,
            timing=self._timing,
        )
        async with Adapter(self._bus.adapter) as adapter:
            freed = await adapter.disconnect_left_over(self._sensors.keys())
            if freed:
                log.info("links that a run before left were ended", bus=self.bus_id, devices=len(freed))
            why = "the driver stopped"
            try:
                await radio.open()
                self._is_passive = radio.is_passive
                self._came_back(radio)
                why = await adapter.wait_lost()
                raise Lost(why)
            finally:
                await self._visits.end(why)
                await radio.close()

    def _came_back(self, radio: Radio) -> None:
        if self._is_lost:
            self._reconnects += 1
            log.info("radio is back", bus=self.bus_id)
        self._is_lost, self._failures = False, 0
        self._any_heard_ns = mono_ns()
        self._visits.begin(radio)

    async def _hand_on(self) -> None:
        """Gives what came in to who takes it; what comes meanwhile waits, and is bounded."""
        while True:
            await self._news.wait()
            self._news.clear()
            batch = list(self._waiting)
            self._waiting.clear()
            await self._consume(batch)
            self._samples += len(batch)

    def _put(self, samples: Sequence[Sample]) -> None:
        if not samples:
            return
        self._waiting.extend(samples)
        while len(self._waiting) > MAX_WAITING:
            self._waiting.popleft()
            self._skipped += 1
        self._last_poll_ns = samples[-1].mono_ns
        if samples[-1].raw is not None:
            self._last_answer_ns, self._unanswered = self._last_poll_ns, 0
        self._news.set()

    # --- advertisements ---------------------------------------------------------------------------------------------

    def _hear(self, device: BLEDevice, said: AdvertisementData) -> None:
        """bleak tells of a device. Nothing is kept of those that are not the site's."""
        now_ns = self._any_heard_ns = mono_ns()
        sensor = self._sensors.get(device.address)
        if sensor is None:
            self._foreign += 1
            return
        self._last_answer_ns, self._unanswered = now_ns, 0
        properties = said.platform_data[1]
        about = tuple(
            properties.get(name) for name in ("Connected", "ServicesResolved", "Paired", "Trusted", "Blocked")
        )
        rssi = None if said.rssi == _NO_RSSI else said.rssi
        if rssi is not None:
            self._visits.heard(sensor.id, device, now_ns)
        try:
            self._put(sensor.hear(Heard(said.service_data, said.manufacturer_data, rssi, about), now_ns))
        except Exception:
            # Bytes that nobody thought of must not fill the log, nor end anything: this is called by bleak, not by us.
            sensor.refused["fault"] += 1
            if sensor.refused["fault"] == 1:
                log.exception("an advertisement failed within the box", bus=self.bus_id, device=sensor.id)

    async def _watch_silence(self) -> None:
        """Tells of sensors that fell silent, keeps counters, and begins anew a scan that hears nothing at all."""
        limits = [sensor.item.silent_after_s for sensor in self._sensors.values()]
        every_s = max(0.05, min([1.0, *(limit / 4 for limit in limits)]))
        saved_ns = mono_ns()
        while True:
            await asyncio.sleep(every_s)
            now_ns = mono_ns()
            because = "" if self._visits.radio else f"nothing heard: {self._visits.why_lost}"
            for sensor in self._sensors.values():
                failed = sensor.watch(now_ns, because)
                if failed:
                    self._silences += 1
                    self._unanswered += 1
                    self._put(failed)
            has_event = [sensor for sensor in self._sensors.values() if sensor.has_event]
            if has_event or now_ns - saved_ns > self._timing.save_s * S:
                for sensor in has_event:
                    sensor.has_event = False
                saved_ns = now_ns
                await asyncio.to_thread(self._counters.save, self._counters.unsaved())
            await self._restart_stalled(now_ns)

    async def _restart_stalled(self, now_ns: int) -> None:
        radio = self._visits.radio
        if radio is None:
            return
        patience_s = self._timing.stall_s * (_PASSIVE_PATIENCE if radio.is_passive else 1)
        if now_ns - self._any_heard_ns > patience_s * S:
            self._any_heard_ns = now_ns
            log.info("the radio heard nothing at all; it listens anew", bus=self.bus_id, seconds=patience_s)
            with suppress(Lost):  # whether it is gone is the adapter's to say
                await radio.restart()

    # --- commands ---------------------------------------------------------------------------------------------------

    async def execute(
        self, device: str, point: str, args: Mapping[str, str | int | float | bool], deadline_ns: int
    ) -> Outcome:
        """Writes a command and looks for its effect; see README.md for what is answered when."""
        return await self._visits.execute(device, point, args, deadline_ns)


def _key_of(item: ResolvedBle, read_key: Callable[[Secret], str]) -> bytes:
    """A device's bindkey. Raises AnjuError, which never repeats it."""
    assert item.device.bindkey is not None
    text = read_key(item.device.bindkey).strip()
    if not re.fullmatch(r"[0-9a-fA-F]{32}", text):
        raise AnjuError(
            f"the secret {item.device.bindkey.secret!r} is no bindkey of {item.device.id}: "
            f"it must be {2 * KEY_BYTES} hex digits."
        )
    return bytes.fromhex(text)
