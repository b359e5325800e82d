"""Connections to devices, in their turn and for commands. One turn at a time; commands go before the next turn."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress

import structlog
from bleak import BleakClient
from bleak.backends.characteristic import BleakGATTCharacteristic
from bleak.backends.device import BLEDevice

from contract.clock import mono_ns
from contract.errors import Permanent, Retryable
from contract.messages import CommandStatus, Outcome, Sample
from contract.profile.ble import BlePoint, BleWrite
from edge.counts import Latencies
from edge.drivers.ble.command import confirm, prepare, too_late
from edge.drivers.ble.config import Timing
from edge.drivers.ble.decode import Raw
from edge.drivers.ble.gatt import Gatt
from edge.drivers.ble.radio import WIRE_ERRORS, Broken, Radio, Unreached, disconnect, read, write
from edge.drivers.ble.sensor import Sensor

S = 1_000_000_000
MAX_ORDERS = 16
"""Commands under way or waiting for the radio; more are turned away at once."""

log = structlog.get_logger(__name__)


class Visits:
    """Whoever must be connected, by device. `radio` is there while it can be used, else `why_lost` says why not.

    The counters are those of BusCounts.
    """

    def __init__(
        self, bus_id: str, sensors: Sequence[Sensor], timing: Timing, put: Callable[[Sequence[Sample]], None]
    ) -> None:
        """`put` takes the samples of what is read and told."""
        now_ns = mono_ns()
        self._bus_id, self._timing, self._put = bus_id, timing, put
        self._by_id = {sensor.id: sensor for sensor in sensors}
        self.gatts = {s.id: Gatt(s.item, timing, now_ns) for s in sensors if s.item.profile.is_connected}
        self.radio: Radio | None = None
        self.why_lost = "the radio was not found yet"
        self.polls = self.failures = self.answers = 0
        self.latency_sum_s = 0.0
        self.latencies = Latencies()
        self._locks = {device: asyncio.Lock() for device in self.gatts}
        self._wake = asyncio.Event()
        self._orders: set[asyncio.Task[Outcome]] = set()
        self._why_ended = ""
        self._no_connect_before_ns = 0

    @property
    def silent(self) -> list[str]:
        """The devices whose last turn went wrong."""
        return [device for device, gatt in self.gatts.items() if gatt.failures]

    def begin(self, radio: Radio) -> None:
        """There is a radio."""
        self.radio = radio
        self.why_lost = "the driver stopped"  # unless it is lost before that
        self._wake.set()

    async def end(self, why: str) -> None:
        """The radio is gone: commands are answered, and what is left of connections is let go."""
        radio, self.radio, self.why_lost = self.radio, None, why
        self.end_orders(why)
        if radio is not None:
            await radio.close()
        # All at once: where bluetoothd hangs, each takes as long as it may.
        await asyncio.gather(*(self._let_go(gatt) for gatt in self.gatts.values()))

    def heard(self, device: str, how: BLEDevice, now_ns: int) -> None:
        """A device was heard, so that it can be connected; one whose turn was put off has it now."""
        gatt = self.gatts.get(device)
        if gatt is None:
            return
        gatt.device, gatt.heard_ns = how, now_ns
        if gatt.is_waiting:
            gatt.is_waiting, gatt.due_ns = False, now_ns
            self._wake.set()

    async def take_turns(self) -> None:
        """Reads connected devices, the one whose turn is longest due first, one after the other."""
        polled = [gatt for gatt in self.gatts.values() if gatt.is_polled]
        while True:
            self._wake.clear()
            now_ns = mono_ns()
            gatt = min(polled, key=lambda g: g.due_ns, default=None)
            if gatt is None:
                await self._wake.wait()
                continue
            start_ns = max(gatt.due_ns, self._no_connect_before_ns if gatt.client is None else 0)
            if start_ns > now_ns:
                with suppress(TimeoutError):
                    async with asyncio.timeout((start_ns - now_ns) / S):
                        await self._wake.wait()
                continue
            await self._take_turn(gatt)

    async def _take_turn(self, gatt: Gatt) -> None:
        radio, began_ns = self.radio, mono_ns()
        self.polls += 1
        if radio is None or not gatt.is_near(began_ns):
            gatt.put_off(began_ns)
            self._tell_failed(gatt, "it is not heard, so that it cannot be connected" if radio else self.why_lost)
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
                self._wake.set()

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
        self.latencies.note(now_ns - began_ns)
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
        """As the driver's `execute`."""
        sensor = self._by_id.get(device)
        prepared = prepare(sensor.item.profile if sensor else None, point, args)
        if isinstance(prepared, Outcome):
            return prepared
        if late := too_late(deadline_ns):
            return late
        if len(self._orders) >= MAX_ORDERS:
            return Outcome(CommandStatus.FAILED, f"{MAX_ORDERS} commands wait for this radio already")
        if self.radio is None:
            return Outcome(CommandStatus.FAILED, self.why_lost)
        sent: list[int] = []
        task = asyncio.create_task(self._carry_out(self.gatts[device], *prepared, deadline_ns, sent), name=point)
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
        radio, profile = self.radio, self._by_id[gatt.id].item.profile
        if radio is None or mapped.write is None:
            return Outcome(CommandStatus.FAILED, self.why_lost)
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
                    self._wake.set()
                    if not gatt.stays:
                        await disconnect(client)
        except Permanent as e:
            return Outcome(CommandStatus.FAILED, f"the device refused it: {e}")
        except Retryable as e:
            return Outcome(CommandStatus.SENT_NOT_CONFIRMED if sent else CommandStatus.FAILED, str(e))
        except Exception:
            log.exception("a command failed within the box", bus=self._bus_id, device=gatt.id)
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

    def end_orders(self, why: str) -> None:
        """Ends the commands that are under way: they are answered, with this reason."""
        self._why_ended = why
        for task in list(self._orders):
            task.cancel()


def _is_read_back(gatt: Gatt, mapped: BlePoint) -> bool:
    """Whether a command's effect is read over the connection rather than heard."""
    return mapped.confirm is not None and any(mapped.confirm.point in reads for reads in gatt.reads.values())
