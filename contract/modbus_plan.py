"""Which questions a box asks a Modbus unit: the reads of all its points and channels, merged into few. Pure.

It stands here and not in the driver because the site file's check sums up what they cost on the line.
"""

from collections.abc import Iterable, Iterator, Sequence

import msgspec

from contract.profile.modbus import ModbusLimits, ModbusProfile, ModbusRead, Table


class Item(msgspec.Struct, frozen=True):
    """One point of one device within a question: `offset` registers or bits from its start, and how it lies there."""

    device: str
    point: str
    offset: int
    read: ModbusRead


class Read(msgspec.Struct, frozen=True):
    """One question: `count` registers or bits of a table of a unit from `address`, each `every_s` seconds.

    `every_s` is None for what is read at each poll of the bus.
    """

    unit: int
    table: Table
    address: int
    count: int
    items: tuple[Item, ...]
    every_s: float | None = None


Channel = tuple[str, int]
"""A device's id and its channel on the unit."""


def plan_unit(unit: int, profile: ModbusProfile, channels: Sequence[Channel], limits: ModbusLimits) -> list[Read]:
    """The fewest questions that read every readable point of the devices on one unit, which share a profile.

    Spans gaps up to the limits' max_gap and asks for no more than its max_registers or max_bits, save for one value
    that is larger by itself. `limits` are the profile's, or what the line leaves of them.
    """
    singles = (
        read for channel in channels for name in profile.points for read in plan_point(unit, profile, channel, name)
    )
    return list(_merge(singles, limits, limits.max_gap))


def plan_point(unit: int, profile: ModbusProfile, channel: Channel, name: str) -> list[Read]:
    """The one question that reads one point, or none when the point is only written."""
    read = profile.points[name].read
    if read is None:
        return []
    device, number = channel
    item = Item(device, name, 0, read)
    return [Read(unit, read.table, read.address + read.stride * number, read.count, (item,), read.every_s)]


def split_read(read: Read, limits: ModbusLimits) -> list[Read]:
    """A question the unit refused, as smaller ones: without its gaps, or else each value alone; itself when it is one.

    For models whose gaps cannot be read although the profile says so: one wrong line costs one point, not the unit.
    """
    singles = [
        Read(
            read.unit, read.table, read.address + item.offset, item.read.count,
            (msgspec.structs.replace(item, offset=0),), read.every_s,
        )
        for item in read.items
    ]  # fmt: skip
    runs = list(_merge(singles, limits, 0))
    return runs if len(runs) > 1 else list(_merge(singles, limits, -1))


def _merge(singles: Iterable[Read], limits: ModbusLimits, max_gap: int) -> Iterator[Read]:
    """Questions joined where the limits allow; a gap of -1 joins only what asks for the very same registers."""
    last: Read | None = None
    for read in sorted(singles, key=lambda r: (r.every_s or 0, r.table, r.address, r.count)):
        if last is None or not _may_join(last, read, limits, max_gap):
            if last is not None:
                yield last
            last = read
            continue
        end = max(last.address + last.count, read.address + read.count)
        shift = read.address - last.address
        items = tuple(msgspec.structs.replace(item, offset=item.offset + shift) for item in read.items)
        last = msgspec.structs.replace(last, count=end - last.address, items=last.items + items)
    if last is not None:
        yield last


def _may_join(last: Read, read: Read, limits: ModbusLimits, max_gap: int) -> bool:
    if (last.table, last.every_s) != (read.table, read.every_s):
        return False
    if (read.address, read.count) == (last.address, last.count):
        return True
    most = limits.max_bits if read.table.is_bits else limits.max_registers
    end = max(last.address + last.count, read.address + read.count)
    gap = read.address - (last.address + last.count)
    return max_gap >= 0 and gap <= max_gap and end - last.address <= most
