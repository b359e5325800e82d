"""A simulated unit, built from the profile the box polls it by: values go in as words and units and come out raw."""

import asyncio
import math
from collections import defaultdict
from collections.abc import Iterator, Sequence
from itertools import pairwise

from contract.errors import Permanent
from contract.kinds import KINDS, PointType
from contract.profile import ModbusLimits, ModbusRead, ModbusWrite, Table
from contract.site import ResolvedModbus
from simulators.bus import Value
from simulators.log import TruthLog
from simulators.modbus.encode import Raw, raw_from, raw_of, registers_of, value_of
from simulators.modbus.pdu import ILLEGAL_ADDRESS, ILLEGAL_FUNCTION, ILLEGAL_VALUE, ModbusException


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
    argument is `seconds` it goes back to the kind's normal word after as many (divided by `speed`). A register that is
    both written and read shows what was written. `refuses` are the functions that the model does not know.
    """

    def __init__(self, devices: Sequence[ResolvedModbus], log: TruthLog, speed: float = 1.0) -> None:
        self._devices = {device.device.id: device for device in devices}
        self._log, self._speed = log, speed
        profile = devices[0].profile
        self._bus, self._unit = devices[0].bus.id, devices[0].device.unit
        self._memory = Memory(profile.modbus)
        self._values: dict[tuple[str, str], Value] = {}
        self._timers: dict[tuple[str, str], asyncio.TimerHandle] = {}
        self._orders: dict[tuple[Table, int], list[tuple[ResolvedModbus, str]]] = defaultdict(list)
        writes = [mapped.write for mapped in profile.points.values() if mapped.write]
        self.refuses = frozenset({5, 6}) if writes and all(write.multiple for write in writes) else frozenset()
        # A panel has all its channels, whether or not a detector is connected to each.
        for mapped in profile.points.values():
            for channel in range(profile.modbus.channels):
                for where in (mapped.read, mapped.write):
                    if where:
                        self._memory.add(where.table, _at(where, channel), _size(where))
        self._memory.fill_holes()
        for device in devices:
            self._settle(device)

    def _settle(self, device: ResolvedModbus) -> None:
        """Every point at rest: the kind's normal word, no event, or the number nearest 0 that is plausible."""
        points = KINDS[device.profile.kind].points
        for name, mapped in device.profile.points.items():
            if mapped.write:
                self._orders[mapped.write.table, _at(mapped.write, device.device.channel)].append((device, name))
            if mapped.read and points[name].type is PointType.STATE:
                words = set(mapped.states.values())
                self.set(device.device.id, name, next(w.code for w in points[name].words if w.code in words))
            elif mapped.read and points[name].type is PointType.EVENT:
                self.set(device.device.id, name, 0.0)
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
        self._note(device, point, value_of(mapped, raw))

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
        self._memory.get(table, address, len(values))
        orders = list(self._ordered(table, address, values))
        for device, name, number in orders:
            write = device.profile.points[name].write
            if write is not None and write.argument and not write.minimum <= number <= write.maximum:
                raise ModbusException(ILLEGAL_VALUE)
        self._memory.put(table, address, values)
        self._log.write(self._bus, self._unit, table, address, values)
        self._show_what_was_written(table, range(address, address + len(values)))
        for device, name, number in orders:
            self._obey(device, name, number)

    def _ordered(self, table: Table, address: int, values: list[int]) -> Iterator[tuple[ResolvedModbus, str, float]]:
        """The commands that these values are, each with its raw value, or its argument in the unit people use."""
        for at in range(address, address + len(values)):
            for device, name in self._orders.get((table, at), ()):
                write = device.profile.points[name].write
                assert write is not None
                begin = at - address
                words = values[begin : begin + _size(write)]
                if len(words) < _size(write):
                    continue  # half a value orders nothing
                raw = words[0] if table.is_bits else raw_from(write, words)
                assert not isinstance(raw, str)
                if write.argument:
                    yield device, name, raw * write.scale + write.offset
                elif raw == write.value:
                    yield device, name, raw

    def _show_what_was_written(self, table: Table, span: range) -> None:
        """Points that are read where something was written are what was written."""
        for device in self._devices.values():
            for name, mapped in device.profile.points.items():
                if mapped.read is None or mapped.read.table is not table:
                    continue
                at = _at(mapped.read, device.device.channel)
                if at < span.stop and at + _size(mapped.read) > span.start:
                    raw = self._load(mapped.read, device.device.channel)
                    self._note(device.device.id, name, value_of(mapped, raw))

    def _obey(self, device: ResolvedModbus, name: str, number: float) -> None:
        mapped = device.profile.points[name]
        confirm, write = mapped.confirm, mapped.write
        if confirm is None or write is None:
            return
        key = (device.device.id, confirm.point)
        self.set(*key, confirm.state)
        if (running := self._timers.pop(key, None)) is not None:
            running.cancel()
        if write.argument == "seconds":
            words = KINDS[device.profile.kind].points[confirm.point].words
            self._timers[key] = asyncio.get_running_loop().call_later(
                number / self._speed, self._return_to, key, words[0].code
            )

    def _return_to(self, key: tuple[str, str], word: str) -> None:
        del self._timers[key]
        self.set(*key, word)

    def _note(self, device: str, point: str, value: Value) -> None:
        if self._values.get((device, point)) != value:
            self._values[device, point] = value
            self._log.change(device, point, value)

    def _store(self, read: ModbusRead, channel: int, raw: Raw) -> None:
        address = _at(read, channel)
        if read.table.is_bits:
            self._memory.put(read.table, address, [int(raw)])
        elif read.bit is not None:
            (old,) = self._memory.get(read.table, address, 1)
            mask = ((1 << read.bits) - 1) << read.bit
            self._memory.put(read.table, address, [old & ~mask | int(raw) << read.bit & mask])
        else:
            self._memory.put(read.table, address, registers_of(read, raw))

    def _load(self, read: ModbusRead, channel: int) -> Raw:
        words = self._memory.get(read.table, _at(read, channel), _size(read))
        if read.table.is_bits:
            return words[0]
        if read.bit is not None:
            return words[0] >> read.bit & (1 << read.bits) - 1
        return raw_from(read, words)


def _at(where: ModbusRead | ModbusWrite, channel: int) -> int:
    """The address of a channel's value."""
    return where.address + where.stride * channel


def _size(where: ModbusRead | ModbusWrite) -> int:
    """How many registers or bits a value takes."""
    if where.table.is_bits:
        return 1
    return where.count if isinstance(where, ModbusRead) else where.type.registers
