"""The boxes of a simulated month in the database: enrolled, with what they have; what they say becomes changes."""

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from uuid import UUID

import numpy as np

from cloud.store import Connection, boxes, gateways, people, streams
from cloud.store.boxes import Beaten
from cloud.store.changes import Change, Happened, Readings
from cloud.store.group import Inventory
from cloud.store.newest import NONE, Newest
from cloud.store.streams import StateRow
from contract.kinds import KINDS, Lane, PointType
from contract.messages import Quality
from simulators.month.estate import Device, Estate, inventory
from simulators.month.story import Said

_LITTLE = timedelta(microseconds=1)


class Box:
    """A box as the cloud knows it, with what its devices said last."""

    def __init__(self, number: UUID, estate: int, devices: Sequence[Device]) -> None:
        self.id, self.estate = number, estate
        self.devices = {device.key: device for device in devices}
        self.ids: dict[str, int] = {}
        self.series: dict[tuple[str, str], int] = {}
        self.places: dict[tuple[str, str], int] = {}
        self.inventory_id = 0
        self.inventory = Inventory(np.zeros(0, np.int32), np.zeros(0, np.int32))
        self.newest = NONE
        self.words: dict[tuple[str, str], str] = {}
        self._marks: dict[int, datetime] = {}

    def all_states(self, at: datetime) -> list[Said]:
        """Every state told anew, as after a start."""
        return [Said(at, device, point, word) for (device, point), word in self.words.items()]

    def changes(self, said: Iterable[Said]) -> list[Change | Happened]:
        """States and events, as the ingest hands them on: each state is stamped after the one that it followed."""
        found: list[Change | Happened] = []
        for one in said:
            device, kind = self.ids[one.device], self.devices[one.device].kind
            if isinstance(one.value, dict):
                found.append(Happened(device, self.id, self.estate, kind, one.point, one.at, one.value))
            elif isinstance(one.value, str):
                series = self.series[one.device, one.point]
                at = max(one.at, self._marks[series] + _LITTLE) if series in self._marks else one.at
                self._marks[series] = at
                found.append(
                    Change(
                        series=series, device=device, gateway=self.id, estate=self.estate, kind=kind, point=one.point,
                        state=one.value, quality=int(Quality.GOOD), at=at,
                    )
                )  # fmt: skip
        return found

    def readings(self, said: Iterable[Said]) -> Readings | None:
        """Numbers, in order of place and time; None without any. They are newer than all before."""
        rows = sorted(
            (self.places[one.device, one.point], round(one.at.timestamp() * 1e6), float(one.value))
            for one in said
            if isinstance(one.value, int | float)
        )
        if not rows:
            return None
        places = np.array([row[0] for row in rows], np.uint32)
        at_us = np.array([row[1] for row in rows], np.int64)
        value = np.array([row[2] for row in rows], np.float64)
        quality = np.zeros(len(rows), np.uint8)
        readings = Readings(self.id, self.inventory_id, self.inventory, places, at_us, value, quality, self.newest)
        last = np.append(places[1:] != places[:-1], True)
        series = self.inventory.series[places[last]]
        order = np.argsort(series)
        new = Newest(series[order], at_us[last][order], value[last][order], quality[last][order])
        self.newest = self.newest.moved_by(new)[0]
        return readings


async def enrol(connection: Connection, estate: Estate) -> list[Box]:
    """Puts an estate with its boxes and devices in, as they would put themselves in."""
    area = await people.put_area(connection, None, "estate", estate.name, "Asia/Shanghai")
    made = []
    for number in range(estate.boxes):
        record = inventory(estate, number)
        name = f"month-{estate.number}-{number}"
        gateway = await gateways.put_gateway(connection, area, name.encode().ljust(32, b"\0"), name, "0.0.0")
        await streams.put_inventory(connection, gateway, area, record)
        box = Box(gateway, area, estate.of_box(number))
        for source in await streams.sources(connection, gateway):
            box.ids[source.key] = source.device
            if source.series is not None and source.point is not None:
                box.series[source.key, source.point] = source.series
        bulk = [(one.device, one.point) if one.lane is Lane.BULK else None for one in record.series]
        box.places = {key: place for place, key in enumerate(bulk) if key is not None}
        box.inventory_id = record.inventory_id
        box.inventory = Inventory(
            np.array([box.series[key] if key else 0 for key in bulk], np.int32),
            np.array([box.ids[key[0]] if key else 0 for key in bulk], np.int32),
        )
        for device in estate.of_box(number):
            for point in KINDS[device.kind].points.values():
                if point.type is PointType.STATE:
                    box.words[device.key, point.name] = point.words[0].code
        made.append(box)
    return made


async def keep_latest(connection: Connection, changes: Sequence[Change | Happened]) -> None:
    """The newest states, as the ingest keeps them before anybody looks at changes."""
    rows = {
        one.series: StateRow(one.series, one.at, one.state, one.quality) for one in changes if isinstance(one, Change)
    }
    if rows:
        await streams.put_latest(connection, list(rows.values()))


async def beat(connection: Connection, ids: Iterable[UUID], at: datetime) -> None:
    """These boxes were heard at a time that is ahead of the database's clock: "less than no time ago"."""
    ago = datetime.now(UTC) - at
    heard = Beaten(None, None, ago, oldest_at=None, oldest_ago=ago, newest_at=None, shared=False)
    if beaten := dict.fromkeys(ids, heard):
        await boxes.beats(connection, beaten)
