"""Blocks as a box would seal them, made by hand for the cloud's tests."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from contract.block import Header, checksum_of, encode_block
from contract.columns import Row, encode_columns
from contract.kinds import Lane
from contract.messages import Quality
from contract.records import (
    ClockRecord,
    DeviceEntry,
    InventoryRecord,
    Place,
    Record,
    SeriesEntry,
    StateRecord,
    encode_records,
)
from contract.session import join_blocks

BOOT = bytes(range(16))
SECOND = 1_000_000_000


def inventory(detectors: int = 2) -> InventoryRecord:
    """An estate with some smoke detectors (smoke-0 …) and one door (door-0)."""
    devices = [
        DeviceEntry(f"smoke-{i}", f"烟感{i}", "smoke_detector", "test", "bus-1", Place("3", "2", str(i + 1)), ())
        for i in range(detectors)
    ]
    devices.append(DeviceEntry("door-0", "单元门", "door", "test", "bus-1", Place("3", "2", "1"), ("unlock",)))
    series = [
        SeriesEntry(device.id, point, lane, 750.0)
        for device in devices
        for point, lane in (
            [("link", Lane.URGENT), ("smoke", Lane.URGENT), ("temperature", Lane.BULK)]
            if device.kind == "smoke_detector"
            else [("link", Lane.URGENT), ("lock", Lane.URGENT)]
        )
    ]
    return InventoryRecord("西苑", tuple(devices), tuple(series))


def position(record: InventoryRecord, device: str, point: str) -> int:
    """Where a series stands in an inventory."""
    return next(i for i, s in enumerate(record.series) if (s.device, s.point) == (device, point))


@dataclass
class Chain:
    """One stream of blocks under one epoch."""

    stream: Lane
    epoch: int = 7
    inventory_id: int = 0
    boot: bytes = BOOT
    number: int = 0
    previous: int = 0
    sealed_ns: int = 1000 * SECOND
    sent: list[bytes] = field(default_factory=list)

    def urgent(self, *records: Record) -> bytes:
        """A block of records."""
        return self._seal(encode_records(records), len(records), 0)

    def bulk(self, rows: Sequence[Row]) -> bytes:
        """A block of readings."""
        base = min((row.mono_ns for row in rows), default=0)
        return self._seal(encode_columns(rows, base), len(rows), base)

    def raw(self, body: bytes, items: int) -> bytes:
        """A block with any body, sound as a block."""
        return self._seal(body, items, 0)

    def _seal(self, body: bytes, items: int, base_ns: int) -> bytes:
        self.number += 1
        self.sealed_ns += SECOND
        inventory_id = self.inventory_id if self.stream is Lane.BULK else 0
        header = Header(
            self.stream, self.epoch, self.number, self.previous, self.boot, inventory_id, base_ns, self.sealed_ns, items
        )
        block = encode_block(header, body)
        self.previous = checksum_of(block)
        self.sent.append(block)
        return block


def body(*blocks: bytes) -> bytes:
    """A request of these blocks."""
    return join_blocks(blocks)


def clock(utc_ns: int, mono_ns: int = 1000 * SECOND, boot: bytes = BOOT) -> ClockRecord:
    """At mono_ns it was utc_ns."""
    return ClockRecord(boot, mono_ns, utc_ns, 1_000_000, "test")


def smoke(value: str | None, mono_ns: int, device: str = "smoke-0") -> StateRecord:
    """A smoke detector's state."""
    return StateRecord(device, "smoke", value, Quality.GOOD if value else Quality.UNKNOWN, mono_ns)
