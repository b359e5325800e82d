"""What a simulated box has to say: some smoke detectors that measure temperature too, and one door."""

import random
import secrets

from contract.block import Header, checksum_of, encode_block
from contract.clock import boot_id, mono_ns
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

_BOOT = boot_id()
_STALE_S = 750.0


def inventory(detectors: int) -> InventoryRecord:
    """So many detectors on one bus, and a door. The same for every box."""
    devices = [
        DeviceEntry(f"smoke-{n}", f"烟感{n}", "smoke_detector", "load", "bus-1", Place("1", "1", str(n)), ())
        for n in range(detectors)
    ]
    door = DeviceEntry("door", "单元门", "door", "load", "bus-1", Place("1", "1", "1"), ("unlock",))
    series = [
        SeriesEntry(device.id, point, lane, _STALE_S)
        for device in devices
        for point, lane in (("link", Lane.URGENT), ("smoke", Lane.URGENT), ("temperature", Lane.BULK))
    ]
    series += [SeriesEntry(door.id, point, Lane.URGENT, _STALE_S) for point in ("link", "lock")]
    return InventoryRecord("load", (*devices, door), tuple(series))


class Chain:
    """One stream of blocks, under an epoch of its own."""

    __slots__ = ("_epoch", "_inventory", "_number", "_previous", "_stream", "pending")

    def __init__(self, stream: Lane, inventory_id: int = 0) -> None:
        self._stream, self._inventory = stream, inventory_id
        self._epoch = secrets.randbits(62) | 1
        self._number = self._previous = 0
        self.pending: list[bytes] = []
        """Sealed, and not acknowledged."""

    def records(self, records: list[Record]) -> None:
        """Seals records."""
        self._seal(encode_records(records), len(records), 0)

    def rows(self, rows: list[Row]) -> None:
        """Seals readings."""
        base_ns = min(row.mono_ns for row in rows)
        self._seal(encode_columns(rows, base_ns), len(rows), base_ns)

    def _seal(self, body: bytes, items: int, base_ns: int) -> None:
        self._number += 1
        header = Header(
            self._stream, self._epoch, self._number, self._previous, _BOOT, self._inventory, base_ns, mono_ns(), items
        )
        block = encode_block(header, body)
        self._previous = checksum_of(block)
        self.pending.append(block)


class Estate:
    """The devices of one box, and what they do."""

    __slots__ = ("_burning", "_dice", "_last_ns", "_places", "bulk", "urgent")

    def __init__(self, shared: InventoryRecord, inventory_id: int, dice: random.Random) -> None:
        self._dice = dice
        self._burning = -1
        self._last_ns = mono_ns()
        self._places = [n for n, series in enumerate(shared.series) if series.lane is Lane.BULK]
        self.urgent, self.bulk = Chain(Lane.URGENT), Chain(Lane.BULK, inventory_id)

    def introduce(self, shared: InventoryRecord, utc_ns: int) -> None:
        """Seals what the cloud needs to know first: what there is, and what time it was."""
        self.urgent.records([shared, ClockRecord(_BOOT, mono_ns(), utc_ns, 1_000_000, "cloud")])

    def event(self) -> None:
        """A detector smells smoke, or, if one does, no more: sealed as an urgent block."""
        detector, value = self._burning, "clear"
        if detector < 0:
            detector, value = self._dice.randrange(len(self._places)), "smoke"
        self._burning = detector if value == "smoke" else -1
        self.urgent.records([StateRecord(f"smoke-{detector}", "smoke", value, Quality.GOOD, mono_ns())])

    def measure(self, readings: int) -> None:
        """Seals what was measured since the last time: so many readings, of all detectors in turn, in tenths of °C."""
        now_ns = mono_ns()
        step_ns = (now_ns - self._last_ns) // readings
        gauss, places = self._dice.gauss, self._places
        times = range(self._last_ns + step_ns, now_ns + 1, step_ns)
        self.bulk.rows(
            [
                Row(places[n % len(places)], at_ns, round(gauss(21, 0.5), 1), Quality.GOOD)
                for n, at_ns in enumerate(times[:readings])
            ]
        )
        self._last_ns = now_ns
