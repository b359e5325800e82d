"""The estates of a simulated month: which devices there are, where, and behind which box and bus."""

import random
from collections.abc import Iterable, Sequence

import msgspec

from contract.kinds import KINDS, PointType
from contract.records import DeviceEntry, InventoryRecord, Place, SeriesEntry

_UNITS, _FLOORS = 2, 9
_SHARE = {
    "smoke_detector": 0.36, "heat_detector": 0.03, "manual_call_point": 0.05, "gas_detector": 0.08,
    "panic_button": 0.04,
    "door": 0.12, "vehicle_gate": 0.015, "hydrant": 0.03, "water_level": 0.015, "water_leak": 0.03, "pump": 0.02,
    "electricity_meter": 0.06, "water_meter": 0.07, "elevator": 0.03, "camera_event": 0.02, "intrusion": 0.01,
    "environment": 0.02,
}  # fmt: skip
"""Of an estate's devices, by kind. Assumption: homes with smoke and gas detectors, one panic button in ten homes."""
_BUS = {
    "smoke_detector": "fire", "heat_detector": "fire", "manual_call_point": "fire", "gas_detector": "fire",
    "panic_button": "radio", "water_leak": "radio", "hydrant": "radio", "water_level": "radio", "environment": "radio",
    "door": "access", "vehicle_gate": "access", "elevator": "access", "camera_event": "access", "intrusion": "access",
    "pump": "meters", "electricity_meter": "meters", "water_meter": "meters",
}  # fmt: skip
ON_BATTERY = frozenset({"panic_button", "water_leak", "hydrant", "water_level"})
LOOKED_AT = {
    "hydrant": ("pressure",), "water_level": ("level",), "water_meter": ("flow",),
    "electricity_meter": ("voltage_a", "voltage_b", "voltage_c"),
}  # fmt: skip
"""Telemetry that a rule of the pack looks at, beside batteries."""


class Device(msgspec.Struct, frozen=True):
    """A device: where it is, and behind which box (by number within the estate) and bus."""

    key: str
    kind: str
    building: str
    unit: str
    floor: str
    box: int
    bus: str


class Estate(msgspec.Struct, frozen=True):
    """An estate and its devices, in a fixed order."""

    number: int
    name: str
    boxes: int
    devices: tuple[Device, ...]

    def of_kind(self, *kinds: str) -> list[Device]:
        """Its devices of some kinds."""
        return [device for device in self.devices if device.kind in kinds]

    def of_box(self, box: int) -> list[Device]:
        """The devices behind a box."""
        return [device for device in self.devices if device.box == box]


def make_estate(number: int, seed: int, least: int = 100, most: int = 300) -> Estate:
    """An estate of between `least` and `most` devices; the same number and seed, the same estate."""
    dice = random.Random(f"estate {seed}/{number}")  # noqa: S311  # a simulation's
    wanted = dice.randint(least, most)
    buildings = max(2, wanted // 40)
    boxes = 1 + (wanted > 180)
    devices = []
    for kind, share in _SHARE.items():
        for n in range(max(2 if kind == "smoke_detector" else 1, round(share * wanted))):
            building = n % buildings
            unit = n // buildings % _UNITS
            place = str(building + 1), str(unit + 1), str(dice.randint(1, _FLOORS))
            devices.append(Device(f"{kind}-{n}", kind, *place, building % boxes, f"{_BUS[kind]}-{building // 2}"))
    return Estate(number, f"月{number + 1:02}小区", boxes, tuple(devices))


def inventory(estate: Estate, box: int) -> InventoryRecord:
    """What a box says that it has."""
    devices, series = [], []
    for device in estate.of_box(box):
        kind = KINDS[device.kind]
        place = Place(device.building, device.unit, device.floor)
        devices.append(DeviceEntry(device.key, device.key, device.kind, "month", device.bus, place, ()))
        series += [SeriesEntry(device.key, point, kind.points[point].lane, 900.0) for point in points_of(device)]
    return InventoryRecord(estate.name, tuple(devices), tuple(series))


def points_of(device: Device) -> Sequence[str]:
    """States, and what telemetry a rule looks at."""
    return tuple(_points(device))


def _points(device: Device) -> Iterable[str]:
    for point in KINDS[device.kind].points.values():
        is_watched = point.name in LOOKED_AT.get(device.kind, ())
        if point.type is PointType.STATE or is_watched or (point.name == "battery" and device.kind in ON_BATTERY):
            yield point.name
