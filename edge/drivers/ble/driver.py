"""The owner of one radio: hears its sensors, connects one device at a time, outlives the radio's loss."""

import asyncio
import os
import re
from collections import deque
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

import structlog
from bleak import BleakClient
from bleak.backends.characteristic import BleakGATTCharacteristic
from bleak.backends.device import BLEDevice
from bleak.backends.scanner import AdvertisementData

from contract.clock import mono_ns
from contract.errors import AnjuError, Permanent, Retryable
from contract.messages import CommandStatus, Outcome, Sample
from contract.profile.ble import BlePoint, BleWrite
from contract.site import BleBus, ResolvedBle, Secret
from edge.counts import BusCounts
from edge.drivers.ble.adapter import Adapter, Lost
from edge.drivers.ble.bthome import KEY_BYTES
from edge.drivers.ble.command import confirm, prepare, too_late
from edge.drivers.ble.config import DEFAULT_TIMING, Timing, backoff_s
from edge.drivers.ble.counters import Counters
from edge.drivers.ble.decode import Raw, on_air_patterns
from edge.drivers.ble.gatt import Gatt
from edge.drivers.ble.radio import WIRE_ERRORS, Broken, Radio, Unreached, disconnect, read, write
from edge.drivers.ble.sensor import Heard, Sensor
from edge.secrets import read_secret

S = 1_000_000_000
MAX_ORDERS = 16
"""Commands under way or waiting for the radio; more are turned away at once."""
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
        self._counters = Counters(folder / f"ble-counters-{bus.id}.json" if folder and keys else None)
        self._counters.restrict(set(keys))
        now_ns = mono_ns()
        self._sensors = {
            d.device.address: Sensor(d, keys.get(d.device.id), self._counters, timing, now_ns) for d in devices
        }
        self._by_id = {sensor.id: sensor for sensor in self._sensors.values()}
        self._gatts = {d.device.id: Gatt(d, timing, now_ns) for d in devices if d.profile.is_connected}
        self._locks = {device: asyncio.Lock() for device in self._gatts}
        self._waiting: deque[Sample] = deque()
        self._news, self._turn = asyncio.Event(), asyncio.Event()
        self._radio: Radio | None = None
        self._why_lost = "the radio was not found yet"
        self._orders: set[asyncio.Task[Outcome]] = set()
        self._why_ended = ""
        self._is_passive = bus.scan == "passive" and all(d.profile.is_heard for d in devices)
        """How to listen; once refused, never asked for again."""
        self._failures = 0
        self._is_lost = False
        self._no_connect_before_ns = 0
        self._any_heard_ns = now_ns
        self._foreign = 0
        self.polls = self.failures = self.samples = self.skipped = self.answers = self.reconnects = 0
        self.last_poll_ns = 0
        self.latency_sum_s = 0.0

    # --- what it counts ---------------------------------------------------------------------------------------------

    def counts(self) -> BusCounts:
        """The numbers of this moment.

        A poll is an advertisement that says something new, a turn of a connected device, or a silence; `late` are
        frames refused (replayed, not encrypted, another's key), `skipped` samples lost because those who take them
        were slow.
        """
        silent = sum(sensor.is_silent for sensor in self._sensors.values())
        silent += sum(gatt.failures > 0 and not self._by_id[d].is_silent for d, gatt in self._gatts.items())
        return BusCounts(
            bus=self.bus_id,
            connected=self._radio is not None,
            silent_units=silent,
            polls=self.polls + sum(sensor.frames for sensor in self._sensors.values()),
            failures=self.failures,
            skipped=self.skipped,
            samples=self.samples,
            late=sum(sensor.refused.total() for sensor in self._sensors.values()),
            reconnects=self.reconnects,
            answers=self.answers,
            latency_sum_s=self.latency_sum_s,
            last_poll_ns=self.last_poll_ns,
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
                for work in (self._keep_radio, self._hand_on, self._watch_silence, self._take_turns):
                    tasks.create_task(self._for_ever(work), name=f"{self.bus_id} {work.__name__.strip('_')}")
        finally:
            self._end_orders("the driver stopped")
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
            try:
                await self._serve()
            except Lost as e:
                self._why_lost = str(e)
            if not self._is_lost:
                log.warning("radio lost; looking for it again for ever", bus=self.bus_id, error=self._why_lost)
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
            try:
                await radio.open()
                self._is_passive = radio.is_passive
                self._came_back(radio)
                self._why_lost = "the driver stopped"  # unless it is lost before that
                self._why_lost = await adapter.wait_lost()
                raise Lost(self._why_lost)
            finally:
                self._radio = None
                self._end_orders(self._why_lost)
                await radio.close()
                for gatt in self._gatts.values():
                    await self._let_go(gatt)

    def _came_back(self, radio: Radio) -> None:
        if self._is_lost:
            self.reconnects += 1
            log.info("radio is back", bus=self.bus_id)
        self._is_lost, self._failures = False, 0
        self._any_heard_ns = mono_ns()
        self._radio = radio
        self._turn.set()

    async def _hand_on(self) -> None:
        """Gives what came in to who takes it; what comes meanwhile waits, and is bounded."""
        while True:
            await self._news.wait()
            self._news.clear()
            batch = list(self._waiting)
            self._waiting.clear()
            await self._consume(batch)
            self.samples += len(batch)

    def _put(self, samples: Sequence[Sample]) -> None:
        if not samples:
            return
        self._waiting.extend(samples)
        while len(self._waiting) > MAX_WAITING:
            self._waiting.popleft()
            self.skipped += 1
        self.last_poll_ns = samples[-1].mono_ns
        self._news.set()

    # --- advertisements ---------------------------------------------------------------------------------------------

    def _hear(self, device: BLEDevice, said: AdvertisementData) -> None:
        """bleak tells of a device. Nothing is kept of those that are not the site's."""
        now_ns = self._any_heard_ns = mono_ns()
        sensor = self._sensors.get(device.address)
        if sensor is None:
            self._foreign += 1
            return
        properties = said.platform_data[1]
        about = tuple(
            properties.get(name) for name in ("Connected", "ServicesResolved", "Paired", "Trusted", "Blocked")
        )
        rssi = None if said.rssi == _NO_RSSI else said.rssi
        gatt = self._gatts.get(sensor.id)
        if gatt is not None and rssi is not None:
            gatt.device, gatt.heard_ns = device, now_ns
            if gatt.is_waiting:
                gatt.is_waiting, gatt.due_ns = False, now_ns
                self._turn.set()
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
            because = "" if self._radio else f"nothing heard: {self._why_lost}"
            for sensor in self._sensors.values():
                failed = sensor.watch(now_ns, because)
                if failed:
                    self.polls += 1
                    self.failures += 1
                    self._put(failed)
            has_event = [sensor for sensor in self._sensors.values() if sensor.has_event]
            if has_event or now_ns - saved_ns > self._timing.save_s * S:
                for sensor in has_event:
                    sensor.has_event = False
                saved_ns = now_ns
                await asyncio.to_thread(self._counters.save, self._counters.unsaved())
            await self._restart_stalled(now_ns)

    async def _restart_stalled(self, now_ns: int) -> None:
        radio = self._radio
        if radio is None:
            return
        patience_s = self._timing.stall_s * (_PASSIVE_PATIENCE if radio.is_passive else 1)
        if now_ns - self._any_heard_ns > patience_s * S:
            self._any_heard_ns = now_ns
            log.info("the radio heard nothing at all; it listens anew", bus=self.bus_id, seconds=patience_s)
            with suppress(Lost):  # whether it is gone is the adapter's to say
                await radio.restart()

    # --- connected devices ------------------------------------------------------------------------------------------

    async def _take_turns(self) -> None:
        """Reads connected devices, the one whose turn is longest due first, one after the other."""
        polled = [gatt for gatt in self._gatts.values() if gatt.is_polled]
        while True:
            self._turn.clear()
            now_ns = mono_ns()
            gatt = min(polled, key=lambda g: g.due_ns, default=None)
            if gatt is None:
                await self._turn.wait()
                continue
            start_ns = max(gatt.due_ns, self._no_connect_before_ns if gatt.client is None else 0)
            if start_ns > now_ns:
                with suppress(TimeoutError):
                    async with asyncio.timeout((start_ns - now_ns) / S):
                        await self._turn.wait()
                continue
            await self._take_turn(gatt)

    async def _take_turn(self, gatt: Gatt) -> None:
        radio, began_ns = self._radio, mono_ns()
        self.polls += 1
        if radio is None or not gatt.is_near(began_ns):
            gatt.put_off(began_ns)
            self._tell_failed(gatt, "it is not heard, so that it cannot be connected" if radio else self._why_lost)
            return
        try:
            async with self._locks[gatt.id]:
                client = await self._client(gatt, radio)
                try:
                    await self._read_all(gatt, client)
                finally:
                    if not gatt.stays:
                        await disconnect(client)
        except (Retryable, Permanent) as e:
            now_ns = mono_ns()
            gatt.failed(now_ns)
            if isinstance(e, Unreached):
                pause = 1 / self._timing.connect_share - 1
                self._no_connect_before_ns = now_ns + round((now_ns - began_ns) * pause)
            self._tell_failed(gatt, str(e))
        else:
            gatt.answered(mono_ns())

    def _tell_failed(self, gatt: Gatt, why: str) -> None:
        self.failures += 1
        now_ns = mono_ns()
        self._put([Sample(gatt.id, point, None, now_ns, why) for point in dict.fromkeys(gatt.points)])

    async def _client(self, gatt: Gatt, radio: Radio) -> BleakClient:
        """The connection to a device: the one that stays, or a new one. Raises Unreached or Lost."""
        if gatt.client is not None and gatt.client.is_connected:
            return gatt.client
        await self._let_go(gatt)
        if gatt.device is None:
            raise Unreached("it is not heard, so that it cannot be connected")

        def gone(client: BleakClient) -> None:
            if gatt.client is client:
                gatt.client, gatt.broken = None, client
                gatt.due_ns = mono_ns()
                self._turn.set()

        client = await radio.connect(gatt.device, gone)
        if gatt.stays:
            gatt.client = client
            try:
                await self._subscribe(gatt, client)
            except BaseException:
                gatt.client = None
                await disconnect(client)
                raise
        return client

    @staticmethod
    async def _let_go(gatt: Gatt) -> None:
        """Ends the connection that stays, and what is left of one that broke."""
        clients = [client for client in (gatt.client, gatt.broken) if client is not None]
        gatt.client = gatt.broken = None
        for client in clients:
            await disconnect(client)

    async def _subscribe(self, gatt: Gatt, client: BleakClient) -> None:
        """Asks for what the device tells by itself. Raises Broken."""

        def told(characteristic: BleakGATTCharacteristic, data: bytearray) -> None:
            samples = gatt.samples(characteristic.uuid, bytes(data), mono_ns(), is_told=True)
            self._remember(gatt.id, samples)
            self._put(samples)

        for uuid in gatt.notifying:
            try:
                async with asyncio.timeout(self._timing.answer_s):
                    await client.start_notify(uuid, told)
            except TimeoutError:
                raise Broken(f"no answer within {self._timing.answer_s:g} s") from None
            except WIRE_ERRORS as e:
                raise Broken(f"it does not notify {uuid}: {e}") from e

    async def _read_all(self, gatt: Gatt, client: BleakClient) -> None:
        """Reads every characteristic once. One that is refused fails alone; raises what ends the connection's use.

        All failures have one time, that of the last.
        """
        refused: dict[str, str] = {}
        for uuid in gatt.reads:
            try:
                await self._read_one(gatt, client, uuid)
            except Permanent as e:
                refused |= dict.fromkeys(gatt.reads[uuid], str(e))
        now_ns = mono_ns()
        self._put([Sample(gatt.id, point, None, now_ns, why) for point, why in refused.items()])
        self.failures += bool(refused)
        if not gatt.reads:
            self._put([Sample(gatt.id, "link", "online", now_ns)])  # it is connected, and only tells what happens

    async def _read_one(self, gatt: Gatt, client: BleakClient, uuid: str) -> list[Sample]:
        began_ns = mono_ns()
        try:
            data = await read(client, uuid, self._timing.answer_s)
        except Broken:
            await disconnect(client)  # what answers late must not be taken for an answer to the next question
            raise
        now_ns = mono_ns()
        gatt.failures = 0  # before anyone hears of the answer
        self.answers += 1
        self.latency_sum_s += (now_ns - began_ns) / S
        samples = gatt.samples(uuid, data, now_ns)
        self._remember(gatt.id, samples)
        self._put(samples)
        return samples

    def _remember(self, device: str, samples: Sequence[Sample]) -> None:
        seen = self._by_id[device].seen
        for sample in samples:
            if sample.raw is not None:
                seen[sample.point] = (sample.raw, sample.mono_ns)

    # --- commands ---------------------------------------------------------------------------------------------------

    async def execute(
        self, device: str, point: str, args: Mapping[str, str | int | float | bool], deadline_ns: int
    ) -> Outcome:
        """Writes a command and looks for its effect; see README.md for what is answered when."""
        sensor = self._by_id.get(device)
        prepared = prepare(sensor.item.profile if sensor else None, point, args)
        if isinstance(prepared, Outcome):
            return prepared
        if late := too_late(deadline_ns):
            return late
        if len(self._orders) >= MAX_ORDERS:
            return Outcome(CommandStatus.FAILED, f"{MAX_ORDERS} commands wait for this radio already")
        if self._radio is None:
            return Outcome(CommandStatus.FAILED, self._why_lost)
        sent: list[int] = []
        task = asyncio.create_task(self._carry_out(self._gatts[device], *prepared, deadline_ns, sent), name=point)
        self._orders.add(task)
        task.add_done_callback(self._orders.discard)
        try:
            await asyncio.wait({task})
        finally:
            task.cancel()
        if task.cancelled():
            status = CommandStatus.SENT_NOT_CONFIRMED if sent else CommandStatus.FAILED
            return Outcome(status, self._why_ended)
        return task.result()

    async def _carry_out(self, gatt: Gatt, mapped: BlePoint, data: bytes, deadline_ns: int, sent: list[int]) -> Outcome:
        """Connects, writes and looks. Notes in `sent` when something may have reached the device."""
        radio, profile = self._radio, self._by_id[gatt.id].item.profile
        if radio is None or mapped.write is None:
            return Outcome(CommandStatus.FAILED, self._why_lost)
        doubt = ""
        try:
            async with self._locks[gatt.id]:
                if late := too_late(deadline_ns):
                    return late
                client = await self._client(gatt, radio)
                try:
                    if late := too_late(deadline_ns):
                        return late
                    try:
                        await self._send(client, mapped.write, data, sent)
                    except Broken as e:
                        doubt = str(e)
                    if _is_read_back(gatt, mapped):
                        return await self._confirm_connected(gatt, client, mapped, doubt)
                finally:
                    gatt.due_ns = mono_ns()  # what became of it is of interest
                    self._turn.set()
                    if not gatt.stays:
                        await disconnect(client)
        except Permanent as e:
            return Outcome(CommandStatus.FAILED, f"the device refused it: {e}")
        except Retryable as e:
            return Outcome(CommandStatus.SENT_NOT_CONFIRMED if sent else CommandStatus.FAILED, str(e))
        except Exception:
            log.exception("a command failed within the box", bus=self.bus_id, device=gatt.id)
            status = CommandStatus.SENT_NOT_CONFIRMED if sent else CommandStatus.FAILED
            return Outcome(status, "an error within the box; its log has the details")
        return await confirm(profile, mapped.confirm, self._look_heard(gatt.id), self._timing.confirm_every_s, doubt)

    async def _send(self, client: BleakClient, where: BleWrite, data: bytes, sent: list[int]) -> None:
        sent.append(mono_ns())
        try:
            await write(client, where.characteristic, data, self._timing.answer_s, response=where.response)
        except Permanent:
            sent.clear()
            raise

    async def _confirm_connected(self, gatt: Gatt, client: BleakClient, mapped: BlePoint, doubt: str) -> Outcome:
        """Reads the effect back over the connection that is there."""
        assert mapped.confirm is not None
        uuid = next(uuid for uuid, reads in gatt.reads.items() if mapped.confirm.point in reads)

        async def look(point: str, _after_ns: int) -> Raw | None:
            samples = await self._read_one(gatt, client, uuid)
            return next((sample.raw for sample in samples if sample.point == point), None)

        profile = self._by_id[gatt.id].item.profile
        return await confirm(profile, mapped.confirm, look, self._timing.confirm_every_s, doubt)

    def _look_heard(self, device: str) -> Callable[[str, int], Awaitable[Raw | None]]:
        seen = self._by_id[device].seen

        async def look(point: str, after_ns: int) -> Raw | None:
            raw, at_ns = seen.get(point, (None, 0))
            return raw if at_ns > after_ns else None

        return look

    def _end_orders(self, why: str) -> None:
        self._why_ended = why
        for task in list(self._orders):
            task.cancel()


def _is_read_back(gatt: Gatt, mapped: BlePoint) -> bool:
    """Whether a command's effect is read over the connection rather than heard."""
    return mapped.confirm is not None and any(mapped.confirm.point in reads for reads in gatt.reads.values())


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
