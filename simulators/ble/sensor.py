"""A simulated sensor, built from the profile the box reads it by: what it advertises, and what it is when connected."""

import asyncio
import random
from collections.abc import Callable, Sequence

from contract.errors import Permanent
from contract.kinds import KINDS, PointType
from contract.profile.ble import BTHOME_BINARIES, BTHOME_EVENTS, BlePoint, BleRead, BleType, bthome_base
from contract.site import ResolvedBle
from simulators.ble import bthome
from simulators.ble.encode import Raw, bytes_of, put, raw_of, value_of
from simulators.ble.peripheral import Advertisement, AttError, Characteristic, Service, full_uuid
from simulators.bus import Fault, Value
from simulators.log import TruthLog

_WRITE_NOT_PERMITTED, _INVALID_LENGTH = 0x03, 0x0D
_SERVICE = "a1ce0000-5eed-4b1e-8000-00805f9b34fb"
"""All characteristics of a simulated sensor are under this service; the box finds them by their own UUIDs."""


class SimulatedSensor:
    """One sensor. `counter` is that of encryption, and its packet number where it is plain."""

    def __init__(
        self, device: ResolvedBle, log: TruthLog, speed: float, key: bytes | None, dice: random.Random,
        changed: Callable[["SimulatedSensor"], None],
    ) -> None:  # fmt: skip
        """`changed` is called when it has something new to say."""
        self.device = device
        self.key = key
        self.counter = 0
        self.fault: Fault | None = None
        self.drop: Callable[[], None] = lambda: None
        """Breaks its link."""
        self._log, self._speed, self._dice, self._changed = log, speed, dice, changed
        self._id, self._points = device.device.id, device.profile.points
        self._raws: dict[str, Raw] = {name: _first(name, p, device) for name, p in self._points.items() if p.read}
        self._happened: dict[str, str] = {}
        self._timers: dict[str, asyncio.TimerHandle] = {}
        self._tell: Callable[[str, bytes], None] | None = None
        self._is_asked = any(p.read is not None and p.read.characteristic for p in self._points.values())

    @property
    def address(self) -> str:
        """As the site file says."""
        return self.device.device.address

    def close(self) -> None:
        """Lets nothing happen any more."""
        for timer in self._timers.values():
            timer.cancel()

    # --- what it is -------------------------------------------------------------------------------------------------

    def set(self, point: str, value: Value) -> None:
        """A point takes a value, or an event happens. Raises Permanent when it cannot."""
        mapped = self._mapped(point)
        event = self._event_of(mapped)
        if event is not None:
            if value == 1:
                self._happened[bthome_base(event)] = str(next(iter(mapped.when), BTHOME_EVENTS[bthome_base(event)][0]))
                self._note(point, 1)
                self._changed(self)
            return
        if mapped.when:
            raw: Raw = mapped.when[0] if value == 1 else next(n for n in range(99) if n not in mapped.when)
        else:
            raw = raw_of(mapped, value)
        before = self._raws[point]
        self._raws[point] = raw
        try:
            self._check(mapped)
        except Permanent:
            self._raws[point] = before
            raise
        self._note(point, value_of(mapped, raw))
        if mapped.read is not None and mapped.read.characteristic and self._tell is not None and mapped.read.notify:
            self._tell(mapped.read.characteristic, self._value(mapped.read.characteristic))
        self._changed(self)

    def get(self, point: str) -> Value:
        """What a point is now. Raises Permanent for one there is not."""
        mapped = self._mapped(point)
        return 0.0 if self._event_of(mapped) else value_of(mapped, self._raws[point])

    def _mapped(self, point: str) -> BlePoint:
        mapped = self._points.get(point)
        if mapped is None or mapped.read is None:
            raise Permanent(f"{self._id} has no point {point!r} to read")
        return mapped

    @staticmethod
    def _event_of(mapped: BlePoint) -> str | None:
        name = mapped.read.bthome if mapped.read else None
        return name if name and bthome_base(name) in BTHOME_EVENTS else None

    def _check(self, mapped: BlePoint) -> None:
        """Raises Permanent where the bytes could not say what the points are now."""
        assert mapped.read is not None
        if mapped.read.characteristic:
            self._value(mapped.read.characteristic)
        else:
            self._sent(0)

    def _note(self, point: str, value: Value) -> None:
        self._log.change(self._id, point, value)

    # --- what it sends ----------------------------------------------------------------------------------------------

    def take_fault(self) -> Fault | None:
        """The fault that the next question or message meets, if it meets one."""
        fault = self.fault
        if fault is None or (fault.share < 1 and self._dice.random() >= fault.share):
            return None
        if fault.times is not None:
            left = fault.times - 1
            self.fault = None if left < 1 else Fault(
                kind=fault.kind, delay_s=fault.delay_s, code=fault.code, times=left, share=fault.share, rate=fault.rate
            )  # fmt: skip
        return fault

    def advertisement(self) -> Advertisement | None:
        """The next packet; None where it says nothing."""
        # A device that is asked for its values counts questions, not what it sends besides.
        fault = self.fault if self._is_asked else self.take_fault()
        kind = fault.kind if fault else ""
        if kind == "silent":
            return None
        self.counter += 1
        if kind in {"jump", "flood"}:
            self._jump()
        sent = self._sent(self.counter)
        self._happened.clear()
        if kind in {"garbage", "truncated"}:
            manufacturer = {company: self._spoilt(kind, data) for company, data in sent.manufacturer.items()}
            service = {uuid: self._spoilt(kind, data) for uuid, data in sent.service.items()}
            return Advertisement(name=sent.name, manufacturer=manufacturer, service=service, rssi=sent.rssi)
        return sent

    def _spoilt(self, kind: str, data: bytes) -> bytes:
        return self._dice.randbytes(12) if kind == "garbage" else data[: len(data) // 2]

    def _sent(self, counter: int) -> Advertisement:
        profile = self.device.profile
        manufacturer: dict[int, bytes] = {}
        service: dict[str, bytes] = {}
        if profile.is_bthome:
            body = bthome.payload(self._objects(), packet_id=None if self.key else counter)
            service[full_uuid(bthome.UUID)] = bthome.service_data(body, self.address, self.key, counter)
        for name, one in profile.formats.items():
            data = bytearray(one.shortest)
            for match in one.match:
                data[match.at : match.at + len(match.bytes) // 2] = bytes.fromhex(match.bytes)
            for point, mapped in self._points.items():
                if mapped.read is not None and mapped.read.format == name:
                    put(data, mapped.read, self._raws[point])
            if one.company is not None:
                manufacturer[one.company] = bytes(data)
            else:
                service[full_uuid(one.service or "")] = bytes(data)
        rssi = next((self._raws[n] for n, p in self._points.items() if p.read and p.read.rssi), -60)
        return Advertisement(name=profile.model, manufacturer=manufacturer, service=service, rssi=int(float(rssi)))

    def _objects(self) -> list[bytes]:
        objects = []
        for name, mapped in sorted(self._points.items()):
            said = mapped.read.bthome if mapped.read else None
            if not said or self._event_of(mapped):
                continue
            base = bthome_base(said)
            is_number = KINDS[self.device.profile.kind].points[name].type is PointType.TELEMETRY
            if base in BTHOME_BINARIES and not is_number:
                objects.append(bthome.binary(base, bool(self._raws[name])))
            else:
                objects.append(bthome.number(base, float(self._raws[name])))
        if "button" in self._happened:
            objects.append(bytes((bthome.BUTTON, bthome.PRESSES[self._happened["button"]])))
        return objects

    def _jump(self) -> None:
        """Every number becomes another that it could be."""
        for name, mapped in self._points.items():
            if mapped.read is None or KINDS[self.device.profile.kind].points[name].type is not PointType.TELEMETRY:
                continue
            low = 0.0 if mapped.minimum is None else mapped.minimum
            high = 100.0 if mapped.maximum is None else mapped.maximum
            before = self._raws[name]
            self._raws[name] = raw_of(mapped, self._dice.uniform(low, high))
            try:
                self._check(mapped)
            except Permanent:
                self._raws[name] = before

    # --- what it is when connected ----------------------------------------------------------------------------------

    @property
    def services(self) -> Sequence[Service]:
        """One service with all the characteristics its profile names."""
        flags: dict[str, set[str]] = {}
        for mapped in self._points.values():
            if mapped.read is not None and mapped.read.characteristic:
                of_it = flags.setdefault(full_uuid(mapped.read.characteristic), set())
                of_it |= {"read", "notify"} if mapped.read.notify else {"read"}
            if mapped.write is not None:
                of_it = flags.setdefault(full_uuid(mapped.write.characteristic), set())
                of_it |= {"write"} if mapped.write.response else {"write-without-response"}
        return [Service(_SERVICE, tuple(Characteristic(uuid, tuple(sorted(has))) for uuid, has in flags.items()))]

    async def accept(self) -> bool:
        """Lets itself be connected, in 10 ms or so unless it is slow or silent."""
        fault = self.fault
        if fault is not None and fault.kind == "silent":
            self.take_fault()
            await asyncio.Event().wait()
        await asyncio.sleep(fault.delay_s if fault is not None and fault.kind == "slow" else 0.01)
        return True

    def linked(self, tell: Callable[[str, bytes], None] | None) -> None:
        """It is connected, or no more."""
        self._tell = tell

    async def read(self, characteristic: str) -> bytes:
        """Its value. Raises AttError."""
        kind = await self._meet_fault()
        value = self._value(characteristic)
        return b"" if kind == "garbage" else value[:-1] if kind == "truncated" else value

    async def write(self, characteristic: str, value: bytes) -> None:
        """Does what the profile's commands say that these bytes order. Raises AttError."""
        await self._meet_fault()
        orders = [
            (name, mapped) for name, mapped in self._points.items()
            if mapped.write is not None and full_uuid(mapped.write.characteristic) == characteristic
        ]  # fmt: skip
        if not orders:
            raise AttError(_WRITE_NOT_PERMITTED)
        self._log.write(self.device.bus.id, 0, characteristic, 0, list(value))
        for name, mapped in orders:
            assert mapped.write is not None
            prefix, write = bytes.fromhex(mapped.write.prefix), mapped.write
            rest = value[len(prefix) :]
            if not value.startswith(prefix) or (write.type.size and len(rest) != write.type.size):
                continue
            if write.argument is None and rest != bytes_of(write, write.value or 0):
                continue
            self._obey(name, int.from_bytes(rest, write.order) if write.type.is_whole else 0)
            return
        raise AttError(_INVALID_LENGTH)

    async def _meet_fault(self) -> str:
        fault = self.take_fault()
        if fault is None:
            return ""
        if fault.kind == "silent":
            await asyncio.Event().wait()
        if fault.kind == "slow":
            await asyncio.sleep(fault.delay_s)
        if fault.kind == "exception":
            raise AttError(fault.code)
        if fault.kind == "cut":
            self.drop()
            await asyncio.Event().wait()
        if fault.kind in {"jump", "flood"}:
            self._jump()
        return fault.kind

    def _value(self, characteristic: str) -> bytes:
        data = bytearray()
        for name, mapped in self._points.items():
            if mapped.read is not None and full_uuid(mapped.read.characteristic or "") == full_uuid(characteristic):
                put(data, mapped.read, self._raws[name])
        return bytes(data)

    def _obey(self, name: str, number: int) -> None:
        mapped = self._points[name]
        if mapped.confirm is None or mapped.write is None:
            return
        point = mapped.confirm.point
        self.set(point, mapped.confirm.state)
        if (running := self._timers.pop(point, None)) is not None:
            running.cancel()
        if mapped.write.argument == "seconds":
            word = KINDS[self.device.profile.kind].points[point].words[0].code
            loop = asyncio.get_running_loop()
            self._timers[point] = loop.call_later(number / self._speed, self.set, point, word)


def _first(name: str, mapped: BlePoint, device: ResolvedBle) -> Raw:
    """What a point is before anyone set it: its kind's normal word, a plausible number, nothing that happened."""
    read: BleRead | None = mapped.read
    if mapped.states:
        normal = KINDS[device.profile.kind].points[name].words[0].code
        return next((raw for raw, word in mapped.states.items() if word == normal), next(iter(mapped.states)))
    if read is not None and read.type is BleType.TEXT:
        return ""
    if read is not None and read.rssi:
        return -60
    if mapped.when:
        return next(n for n in range(99) if n not in mapped.when)
    low = 0.0 if mapped.minimum is None or mapped.minimum < 0 else mapped.minimum
    return raw_of(mapped, low) if mapped.offset == 0 or mapped.minimum is not None else raw_of(mapped, mapped.offset)
