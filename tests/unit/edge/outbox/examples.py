"""A small inventory and readings of it."""

from contract.kinds import Lane
from contract.messages import Quality, Reading
from contract.records import DeviceEntry, InventoryRecord, Place, SeriesEntry

BOOT = bytes(range(16))
INVENTORY = InventoryRecord(
    "Test estate",
    (DeviceEntry("smoke-1", "Smoke 1", "smoke_detector", "panel", "bus", Place(), ()),),
    (
        SeriesEntry("smoke-1", "link", Lane.URGENT, 750.0),
        SeriesEntry("smoke-1", "smoke", Lane.URGENT, 750.0),
        SeriesEntry("smoke-1", "temperature", Lane.BULK, 750.0),
    ),
)


def state(word: str, mono_ns: int, point: str = "smoke", device: str = "smoke-1") -> Reading:
    return Reading(device, point, word, Quality.GOOD, mono_ns, Lane.URGENT)


def telemetry(value: float, mono_ns: int) -> Reading:
    return Reading("smoke-1", "temperature", value, Quality.GOOD, mono_ns, Lane.BULK)


class Ticking:
    """A monotonic clock that goes on by a millisecond each time it is read."""

    def __init__(self) -> None:
        self.now = 1_000_000_000

    def __call__(self) -> int:
        self.now += 1_000_000
        return self.now
