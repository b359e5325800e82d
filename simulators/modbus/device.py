"""A simulated unit, built from the profile the box polls it by: values go in as words and units and come out raw."""

import asyncio
import math
import struct
from collections.abc import Sequence
from itertools import pairwise

from contract.errors import Permanent
from contract.kinds import KINDS, PointType
from contract.profile import DataType, ModbusLimits, ModbusPoint, ModbusRead, Table
from contract.site import ResolvedModbus
from simulators.bus import Value
from simulators.log import TruthLog
from simulators.modbus.pdu import ILLEGAL_ADDRESS, ILLEGAL_FUNCTION, ILLEGAL_VALUE, ModbusException

_FORMATS = {
    DataType.UINT16: ">H",
    DataType.INT16: ">h",
    DataType.UINT32: ">I",
    DataType.INT32: ">i",
    DataType.FLOAT32: ">f",
}


def raw_of(mapped: ModbusPoint, value: Value) -> int | float:
    """The raw value that a profile reads as this one; numbers are rounded to the nearest the register can hold.

    Raises Permanent for a word the profile does not have or a number its register cannot hold.
    """
    if mapped.states:
        raw = next((int(raw) for raw, word in mapped.states.items() if word == value), None)
        if raw is None:
            raise Permanent(f"{value!r} is none of: {', '.join(mapped.states.values())}")
        return raw
    if isinstance(value, str):
        raise Permanent(f"a number is wanted, not {value!r}")
    exact = (value - mapped.offset) / mapped.scale
    data_type = mapped.read.type if mapped.read else DataType.FLOAT32
    if data_type is DataType.FLOAT32:
        return exact
    try:
        struct.pack(_FORMATS[data_type], round(exact))
    except (struct.error, ValueError, OverflowError) as e:
        raise Permanent(f"{value} does not fit into {data_type} at scale {mapped.scale}") from e
    return round(exact)


def registers_of(data_type: DataType, raw: float) -> list[int]:
    """A raw number as registers, high word first."""
    number = raw if data_type is DataType.FLOAT32 else int(raw)
    packed = struct.pack(_FORMATS[data_type], number)
    return list(struct.unpack(f">{len(packed) // 2}H", packed))


class Memory:
    """The tables of one unit. Only addresses its profile maps exist, and the holes it says may be read over."""

    def __init__(self, limits: ModbusLimits) -> None:
        self._limits = limits
        self._cells: dict[Table, dict[int, int]] = {}

    def add(self, table: Table, address: int, count: int) -> None:
        """Makes cells that hold 0."""
        cells = self._cells.setdefault(table, {})
        for at in range(address, address + count):
            cells.setdefault(at, 0)

    def fill_holes(self) -> None:
        """Makes the cells between mapped ones that the model lets a client read over."""
        for table, cells in self._cells.items():
            known = sorted(cells)
            for low, high in pairwise(known):
                if high - low - 1 <= self._limits.max_gap:
                    self.add(table, low, high - low)

    def get(self, table: Table, address: int, count: int) -> list[int]:
        """Values as they are. Raises ModbusException where a cell or the table does not exist, or it is too many."""
        cells = self._cells.get(table)
        if cells is None:
            raise ModbusException(ILLEGAL_FUNCTION)
        if count > (self._limits.max_bits if table.is_bits else self._limits.max_registers):
            raise ModbusException(ILLEGAL_VALUE)
        try:
            return [cells[at] for at in range(address, address + count)]
        except KeyError:
            raise ModbusException(ILLEGAL_ADDRESS) from None

    def put(self, table: Table, address: int, values: Sequence[int]) -> None:
        """Sets values. Raises ModbusException as `get` does; nothing is set then."""
        self.get(table, address, len(values))
        for at, value in enumerate(values, address):
            self._cells[table][at] = value


class SimulatedUnit:
    """One Modbus unit and the devices on it (several on a panel with channels).

    A command with a confirm point takes effect at once: the point shows the confirmed state, and where the command's
    argument is `seconds` it goes back to the kind's normal word after as many (divided by `speed`).
    """

    def __init__(self, devices: Sequence[ResolvedModbus], log: TruthLog, speed: float = 1.0) -> None:
        self._devices = {device.device.id: device for device in devices}
        self._log, self._speed = log, speed
        profile = devices[0].profile
        self._bus, self._unit = devices[0].bus.id, devices[0].device.unit
        self._memory = Memory(profile.modbus)
        self._values: dict[tuple[str, str], Value] = {}
        self._timers: dict[tuple[str, str], asyncio.TimerHandle] = {}
        self._orders: dict[tuple[Table, int], tuple[ResolvedModbus, str]] = {}
        # A panel has all its channels, whether or not a detector is connected to each.
        for mapped in profile.points.values():
            for channel in range(profile.modbus.channels):
                if mapped.read:
                    at = mapped.read.address + mapped.read.stride * channel
                    self._memory.add(mapped.read.table, at, mapped.read.type.registers)
                if mapped.write:
                    self._memory.add(mapped.write.table, mapped.write.address + mapped.write.stride * channel, 1)
        self._memory.fill_holes()
        for device in devices:
            self._settle(device)

    def _settle(self, device: ResolvedModbus) -> None:
        """Every point at rest: the kind's normal word, or the number nearest 0 that is plausible."""
        points = KINDS[device.profile.kind].points
        for name, mapped in device.profile.points.items():
            if mapped.write:
                at = mapped.write.address + mapped.write.stride * device.device.channel
                self._orders[mapped.write.table, at] = (device, name)
            if mapped.read and points[name].type is PointType.STATE:
                words = set(mapped.states.values())
                self.set(device.device.id, name, next(w.code for w in points[name].words if w.code in words))
            elif mapped.read:
                low = -math.inf if mapped.minimum is None else mapped.minimum
                high = math.inf if mapped.maximum is None else mapped.maximum
                self.set(device.device.id, name, min(max(0.0, low), high))

    def set(self, device: str, point: str, value: Value) -> None:
        """Sets a point in words or units and logs the change, if it is one. Raises Permanent when it cannot be."""
        found = self._devices[device]
        mapped = found.profile.points.get(point)
        if mapped is None or mapped.read is None:
            raise Permanent(f"{found.profile.id} has no point {point!r} to set")
        raw = raw_of(mapped, value)
        self._store(mapped.read, found.device.channel, raw)
        shown = value if isinstance(value, str) else round(raw * mapped.scale + mapped.offset, 9)
        if self._values.get((device, point)) != shown:
            self._values[device, point] = shown
            self._log.change(device, point, shown)

    def get(self, device: str, point: str) -> Value:
        """What a point is now, as its register can say it. Raises KeyError for a point there is not."""
        return self._values[device, point]

    def close(self) -> None:
        """Stops what still runs."""
        for timer in self._timers.values():
            timer.cancel()

    def read(self, table: Table, address: int, count: int) -> list[int]:
        """As a server asks."""
        return self._memory.get(table, address, count)

    def write(self, table: Table, address: int, values: list[int]) -> None:
        """As a client orders: keeps the values and does what the profile's commands say."""
        if not table.is_writable:
            raise ModbusException(ILLEGAL_FUNCTION)
        orders = [(*self._orders[table, at], value) for at, value in enumerate(values, address)
                  if (table, at) in self._orders]  # fmt: skip
        for device, name, value in orders:
            write = device.profile.points[name].write
            if write is not None and write.argument and not write.minimum <= value <= write.maximum:
                raise ModbusException(ILLEGAL_VALUE)
        self._memory.put(table, address, values)
        self._log.write(self._bus, self._unit, table, address, values)
        for device, name, value in orders:
            self._obey(device, name, value)

    def _obey(self, device: ResolvedModbus, name: str, value: int) -> None:
        mapped = device.profile.points[name]
        confirm, write = mapped.confirm, mapped.write
        if confirm is None or write is None or (write.argument is None and value != write.value):
            return
        key = (device.device.id, confirm.point)
        self.set(*key, confirm.state)
        if (running := self._timers.pop(key, None)) is not None:
            running.cancel()
        if write.argument == "seconds":
            words = KINDS[device.profile.kind].points[confirm.point].words
            self._timers[key] = asyncio.get_running_loop().call_later(
                value / self._speed, self._return_to, key, words[0].code
            )

    def _return_to(self, key: tuple[str, str], word: str) -> None:
        del self._timers[key]
        self.set(*key, word)

    def _store(self, read: ModbusRead, channel: int, raw: float) -> None:
        address = read.address + read.stride * channel
        if read.table.is_bits:
            self._memory.put(read.table, address, [int(raw)])
        elif read.bit is not None:
            (old,) = self._memory.get(read.table, address, 1)
            self._memory.put(read.table, address, [old & ~(1 << read.bit) | int(raw) << read.bit])
        else:
            self._memory.put(read.table, address, registers_of(read.type, raw))
