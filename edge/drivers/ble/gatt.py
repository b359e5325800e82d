"""What is read of a connected device, and when: characteristics by profile, its turn, its backing off. No I/O."""

from collections.abc import Mapping

from bleak import BleakClient
from bleak.backends.device import BLEDevice

from contract.kinds import KINDS, PointType
from contract.messages import Sample
from contract.profile.ble import BleRead
from contract.site import ResolvedBle
from edge.backoff import backoff_s
from edge.drivers.ble.config import Timing
from edge.drivers.ble.decode import decode_all, full_uuid

S = 1_000_000_000


class Gatt:
    """One device that is connected for its characteristics. `due_ns` is its turn; `device` how bleak reaches it."""

    def __init__(self, item: ResolvedBle, timing: Timing, now_ns: int) -> None:
        profile = item.profile
        self.id = item.device.id
        self.stays = profile.gatt.stay
        self.device: BLEDevice | None = None
        self.client: BleakClient | None = None
        self.broken: BleakClient | None = None
        """A client whose connection went by itself: bleak keeps its place on the D-Bus until it is told to go."""
        self.heard_ns = 0
        self.due_ns = now_ns + round(timing.fresh_s * S)
        self.failures = 0
        self.is_waiting = True
        """Its turn came while it could not be tried; it has it as soon as it is heard."""
        self.reads: dict[str, dict[str, BleRead]] = {}
        self.notifying: dict[str, dict[str, BleRead]] = {}
        self.events: set[str] = set()
        self._timing, self._every_s = timing, profile.gatt.every_s
        points = KINDS[profile.kind].points
        for name, mapped in profile.points.items():
            read = mapped.read
            if read is None or read.characteristic is None:
                continue
            uuid = full_uuid(read.characteristic)
            if read.notify:
                self.notifying.setdefault(uuid, {})[name] = read
                if points[name].type is PointType.EVENT:
                    self.events.add(name)
            self.reads.setdefault(uuid, {})[name] = read
        for uuid in [uuid for uuid, reads in self.notifying.items() if self.events & reads.keys()]:
            # bluetoothd tells what is read as if the device had told it: an event would happen at each read.
            self.reads.pop(uuid)

    @property
    def points(self) -> list[str]:
        """All points that a connection gives."""
        return [point for reads in (*self.reads.values(), *self.notifying.values()) for point in reads]

    @property
    def is_polled(self) -> bool:
        """Whether it has turns: a device with commands alone is connected for them only."""
        return bool(self.reads or self.notifying)

    def is_near(self, now_ns: int) -> bool:
        """Whether it can be connected: it is, or it was heard a moment ago."""
        is_fresh = self.device is not None and now_ns - self.heard_ns < self._timing.fresh_s * S
        return is_fresh or (self.client is not None and self.client.is_connected)

    def answered(self, now_ns: int) -> None:
        """Its turn went well."""
        self.failures, self.is_waiting = 0, False
        self.due_ns = now_ns + round(self._every_s * S)

    def failed(self, now_ns: int) -> None:
        """Its turn went wrong: the next comes sooner than its period at first, and later each time."""
        self.failures += 1
        longest_s = max(self._timing.backoff_s, min(self._every_s, self._timing.backoff_max_s))
        self.due_ns = now_ns + round(backoff_s(self.failures, self._timing.backoff_s, longest_s) * S)

    def put_off(self, now_ns: int) -> None:
        """Its turn came while it could not even be tried: the next comes in its period, or as soon as it is heard."""
        self.failures += 1
        self.is_waiting = True
        self.due_ns = now_ns + round(self._every_s * S)

    def samples(self, uuid: str, data: bytes, now_ns: int, *, is_told: bool = False) -> list[Sample]:
        """The samples of a characteristic's value; `is_told` where the device told it by itself."""
        reads: Mapping[str, BleRead] = (self.notifying if is_told else self.reads).get(uuid, {})
        values, errors = decode_all(reads, data)
        samples = [
            Sample(self.id, point, raw, now_ns, fields={} if is_told and point in self.events else None)
            for point, raw in values.items()
        ]
        return samples + [Sample(self.id, point, None, now_ns, why) for point, why in errors.items()]
