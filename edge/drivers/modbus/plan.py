"""Which questions to ask a unit: the reads of all its points and channels, merged into few. Pure."""

from collections.abc import Iterable, Sequence

import msgspec

from contract.profile import DataType, ModbusLimits, Table
from contract.site import ResolvedModbus


class Item(msgspec.Struct, frozen=True):
    """One point of one device within a question: `offset` registers or bits from its start."""

    device: str
    point: str
    offset: int
    type: DataType
    bit: int | None = None


class Read(msgspec.Struct, frozen=True):
    """One question: `count` registers or bits of a table of a unit from `address`, and what lies in the answer."""

    unit: int
    table: Table
    address: int
    count: int
    items: tuple[Item, ...]


class Write(msgspec.Struct, frozen=True):
    """One order: `value` to a coil (0 or 1) or a holding register of a unit, not after `deadline_ns` (monotonic)."""

    unit: int
    table: Table
    address: int
    value: int
    deadline_ns: int


def plan_unit(devices: Sequence[ResolvedModbus]) -> list[Read]:
    """The fewest questions that read every readable point of the devices on one unit.

    Spans gaps up to the profile's max_gap and never asks for more than its max_registers or max_bits. All devices of a
    unit have one profile (the site file's check).
    """
    singles = [read for device in devices for name in device.profile.points for read in plan_point(device, name)]
    return _merge(singles, devices[0].profile.modbus, devices[0].profile.modbus.max_gap)


def plan_point(device: ResolvedModbus, name: str) -> list[Read]:
    """The one question that reads one point, or none when the point is only written."""
    read = device.profile.points[name].read
    if read is None:
        return []
    address = read.address + read.stride * device.device.channel
    item = Item(device.device.id, name, 0, read.type, read.bit)
    return [Read(device.device.unit, read.table, address, read.type.registers, (item,))]


def split_read(read: Read, limits: ModbusLimits) -> list[Read]:
    """A question the unit refused, as smaller ones: without its gaps, or else each value alone; itself when it is one.

    For models whose gaps cannot be read although the profile says so: one wrong line costs one point, not the unit.
    """
    singles = [
        Read(
            read.unit, read.table, read.address + item.offset, item.type.registers,
            (msgspec.structs.replace(item, offset=0),),
        )
        for item in read.items
    ]  # fmt: skip
    runs = _merge(singles, limits, 0)
    return runs if len(runs) > 1 else _merge(singles, limits, -1)


def _merge(singles: Iterable[Read], limits: ModbusLimits, max_gap: int) -> list[Read]:
    """Questions joined where the limits allow; a gap of -1 joins only what asks for the very same registers."""
    merged: list[Read] = []
    for read in sorted(singles, key=lambda r: (r.table, r.address, r.count)):
        most = limits.max_bits if read.table.is_bits else limits.max_registers
        last = merged[-1] if merged else None
        if last is None or last.table != read.table:
            merged.append(read)
            continue
        end = max(last.address + last.count, read.address + read.count)
        gap = read.address - (last.address + last.count)
        same = (read.address, read.count) == (last.address, last.count)
        if not same and (gap > max_gap or max_gap < 0 or end - last.address > most):
            merged.append(read)
            continue
        shift = read.address - last.address
        items = tuple(msgspec.structs.replace(item, offset=item.offset + shift) for item in read.items)
        merged[-1] = Read(last.unit, last.table, last.address, end - last.address, last.items + items)
    return merged
