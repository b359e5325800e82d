"""A year of an estate's data, put into a database the way the cloud does it: rows, marks, roll-ups, retention.

`anju-sim load-year` fills a database that pages and queries can be tried on. Days older than readings are kept get two
readings an hour of each series, which is all that a roll-up needs, and are dropped again as soon as they are rolled up.
States are repeated every hour only: a row each five minutes of each would be sixty million rows, and all alike.
"""

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from uuid import UUID, uuid4

import msgspec
import numpy as np
import numpy.typing as npt

from cloud.store import Database, gateways, landing, lifecycle, newest, people, retention, rollups, streams
from cloud.store.landing import Readings
from cloud.store.lifecycle import Live, Step
from cloud.store.newest import Newest
from cloud.store.streams import StateRow
from contract.kinds import Lane
from contract.messages import Quality
from contract.records import DeviceEntry, InventoryRecord, Place, SeriesEntry

_DAY, _HOUR = timedelta(days=1), timedelta(hours=1)
_MIX = (
    ("electricity_meter", 100, ("energy", "power", "voltage_a", "voltage_b", "current_a", "current_b"), ()),
    ("smoke_detector", 100, ("temperature", "obscuration"), ("smoke", "fault")),
    ("environment", 40, ("temperature", "humidity", "pm25", "noise", "co2"), ()),
    ("door", 50, (), ("contact", "lock")),
    ("hydrant", 10, ("pressure",), ()),
)
"""Kind, how many of 300 devices, telemetry, states beside the link."""
_NORMAL = {"link": "online", "smoke": "clear", "fault": "ok", "contact": "closed", "lock": "locked"}
_OTHER = {"link": "offline", "smoke": "smoke", "fault": "fault", "contact": "open", "lock": "unlocked"}
_LEVEL = {
    "energy": 0.0, "power": 1.2, "voltage_a": 230.0, "voltage_b": 230.0, "current_a": 5.0, "current_b": 5.0,
    "temperature": 22.0, "obscuration": 0.4, "humidity": 55.0, "pm25": 35.0, "noise": 48.0, "co2": 650.0,
    "pressure": 0.3,
}  # fmt: skip
_FAST_DAYS = 8
_FAST_S = 10
_BELIEVED_S = 9000.0


class Load(msgspec.Struct, frozen=True, kw_only=True):
    """What to load: how many devices, for how many days, of which the last `rows_days` keep their readings.

    Each series is read every `every_s` seconds then, and each tenth meter's power every ten seconds in the last days.
    """

    estate: str = "一年小区"
    devices: int = 300
    days: int = 365
    rows_days: int = 90
    every_s: int = 300
    alarms: int = 2000
    seed: int = 1


class Loaded(msgspec.Struct, frozen=True):
    """What was loaded: the estate, and how many rows of each kind went in."""

    estate: int
    series: int
    readings: int
    states: int
    events: int
    alarms: int


async def load_year(database: Database, load: Load, until: datetime, say: Callable[[str], None]) -> Loaded:
    """Loads an estate's days up to the hour of `until`, the oldest first."""
    return await _Loader(database, load, until.replace(minute=0, second=0, microsecond=0), say).run()


async def load_into(database_url: str, load: Load, until: datetime, say: Callable[[str], None]) -> Loaded:
    """The same into the database at an address, which is brought to the present form first."""
    async with Database.open(database_url, 2) as database:
        return await load_year(database, load, until, say)


class _Loader:
    def __init__(self, database: Database, load: Load, until: datetime, say: Callable[[str], None]) -> None:
        self._database = database
        self._load = load
        self._until = until
        self._say = say
        self._gateway = UUID(int=0)
        self._chance = np.random.default_rng(load.seed)
        self._numbers: list[tuple[int, str]] = []
        self._states: list[tuple[int, str]] = []
        self._doors: list[int] = []
        self._counted = {"readings": 0, "states": 0, "events": 0}

    async def run(self) -> Loaded:
        area, self._gateway = await self._make_estate()
        midnight = self._until.replace(hour=0)
        first = midnight - self._load.days * _DAY
        kept_from = midnight - self._load.rows_days * _DAY
        day = first
        while day < self._until:
            await self._load_day(day, min(day + _DAY, self._until), whole=day >= kept_from)
            await self._roll_up()
            if day < kept_from:
                async with self._database.transaction() as connection:
                    await retention.drop(connection, self._database.tier, "readings", day + _DAY)
            if (day - first).days % 30 == 0:
                self._say(f"{day:%Y-%m-%d}: {self._counted['readings']:,} readings so far")
            day += _DAY
        await self._newest()
        ended = await self._alarms(area)
        return Loaded(area, len(self._numbers) + len(self._states), alarms=ended, **self._counted)

    async def _make_estate(self) -> tuple[int, UUID]:
        record = _inventory(self._load)
        async with self._database.transaction() as connection:
            area = await people.put_area(connection, None, "estate", self._load.estate, "Asia/Shanghai")
            gateway = await gateways.put_gateway(connection, area, self._chance.bytes(32), "year", "0.0.0")
            await streams.put_inventory(connection, gateway, area, record)
            sources = await streams.sources(connection, gateway)
        telemetry = {(s.device, s.point) for s in record.series if s.lane is Lane.BULK}
        for source in sources:
            if source.series is not None and source.point is not None:
                of = self._numbers if (source.key, source.point) in telemetry else self._states
                of.append((source.series, source.point))
            if source.kind == "door" and source.point == "lock":
                self._doors.append(source.device)
        self._numbers.sort()
        self._states.sort()
        return area, gateway

    async def _load_day(self, day: datetime, end: datetime, *, whole: bool) -> None:
        every_s = self._load.every_s if whole else 1800
        fast_from = self._until - _FAST_DAYS * _DAY
        parts = []
        for n, (series, point) in enumerate(self._numbers):
            fast = whole and day >= fast_from and point == "power" and n % 10 == 1
            parts.append(self._readings(n, series, point, day, end, _FAST_S if fast else every_s))
        columns = [np.concatenate([part[i] for part in parts]) for i in range(3)]
        quality = np.where(self._chance.random(len(columns[0])) < 0.001, Quality.FAULT, Quality.GOOD).astype(np.uint8)
        readings = Readings(columns[0], columns[1], columns[2], quality)
        for start in range(0, len(readings), 100_000):
            piece = slice(start, start + 100_000)
            r = Readings(readings.series[piece], readings.at_us[piece], readings.value[piece], readings.quality[piece])
            async with self._database.transaction() as connection:
                await landing.put_readings(connection, r)
        states = list(self._state_rows(day, end))
        async with self._database.transaction() as connection:
            await streams.put_states(connection, states)
            if end == self._until:
                await streams.put_latest(connection, list({row.series: row for row in states}.values()))
            await streams.put_events(connection, events := self._access(day))
        self._counted["readings"] += len(readings)
        self._counted["states"] += len(states)
        self._counted["events"] += len(events)

    def _readings(
        self, n: int, series: int, point: str, day: datetime, end: datetime, every_s: int
    ) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.int64], npt.NDArray[np.float64]]:
        """A day of one series: a daily and a yearly wave with noise; a counter goes up."""
        second = np.arange(n * 7 % every_s, int((end - day).total_seconds()), every_s)
        t = second + day.timestamp()
        level = _LEVEL[point]
        if point == "energy":
            value = (t - self._until.timestamp() + 400 * 86400) / 3600 * (0.5 + n % 5 * 0.2)
        else:
            wave = 0.1 * np.sin(t * (2 * np.pi / 86400) + n) + 0.15 * np.sin(t * (2 * np.pi / (365 * 86400)))
            value = level * (1 + wave + 0.02 * self._chance.standard_normal(len(t)))
        return np.full(len(t), series, np.int32), (t * 1e6).astype(np.int64), np.round(value, 3)

    def _state_rows(self, day: datetime, end: datetime) -> Sequence[StateRow]:
        rows = []
        hours = int((end - day) / _HOUR)
        odd = self._chance.random((len(self._states), hours)) < 0.002
        for (series, point), is_odd in zip(self._states, odd, strict=True):
            at = day + timedelta(seconds=series % 3600)
            for hour, other in enumerate(is_odd):
                word = (_OTHER if other else _NORMAL)[point]
                rows.append(StateRow(series, at + hour * _HOUR, word, int(Quality.GOOD)))
        return rows

    def _access(self, day: datetime) -> list[tuple[int, datetime, str, object]]:
        if self._until - day > 90 * _DAY:
            return []
        seconds = self._chance.integers(0, 86400, (len(self._doors), 40))
        fields = {"credential": "01be0000", "granted": True, "reader": "in"}
        return [
            (door, day + timedelta(seconds=int(second)), "access", fields)
            for door, of_door in zip(self._doors, seconds, strict=True)
            for second in of_door
            if day + timedelta(seconds=int(second)) < self._until
        ]

    async def _roll_up(self) -> None:
        while True:
            async with self._database.transaction() as connection:
                buckets = await rollups.ripe_buckets(connection, self._until - _HOUR, 1000)
            if not buckets:
                return
            for bucket in buckets:
                async with self._database.transaction() as connection:
                    await rollups.roll_up(connection, bucket, self._until - _HOUR, 24)

    async def _newest(self) -> None:
        ids = np.array([series for series, _ in self._numbers], np.int32)
        at_us = np.full(len(ids), int(self._until.timestamp() * 1e6), np.int64)
        value = np.array([_LEVEL[point] for _, point in self._numbers])
        async with self._database.transaction() as connection:
            await newest.put(connection, {self._gateway: Newest(ids, at_us, value, np.zeros(len(ids), np.uint8))})

    async def _alarms(self, area: int) -> int:
        smoke = [series for series, point in self._states if point == "smoke"]
        made: list[Live] = []
        steps: list[Step] = []
        async with self._database.transaction() as connection:
            device_of = {s.series: s.device for s in await streams.sources(connection, self._gateway)}
            for n in range(self._load.alarms):
                series = smoke[n % len(smoke)]
                at = self._until - (n + 1) * self._load.days * _DAY / (self._load.alarms + 1)
                active = n < min(12, len(smoke))
                alarm = Live(
                    id=uuid4(), rule="smoke" if active else "past", rule_version=0, source=f"series:{series}",
                    series=series, device=device_of[series], gateway=self._gateway, estate=area, priority="critical",
                    state="UNACK" if active else "NORM", holds=active, stage=1, value="smoke", raised_at=at,
                )  # fmt: skip
                made.append(alarm)
                steps.append(Step(alarm.id, at, "NORM", "UNACK", "raise", "system"))
                if not active:
                    steps.append(Step(alarm.id, at + _HOUR, "UNACK", "NORM", "clear", "system"))
            await lifecycle.add(connection, made, None)
            await lifecycle.add_steps(connection, steps)
        return self._load.alarms


def _inventory(load: Load) -> InventoryRecord:
    devices, series = [], []
    for kind, of_300, telemetry, states in _MIX:
        for n in range(max(1, of_300 * load.devices // 300)):
            key = f"{kind}-{n}"
            place = Place(str(n % 12 + 1), str(n % 3 + 1), str(n % 18 + 1))
            commands = ("unlock",) if kind == "door" else ()
            devices.append(DeviceEntry(key, f"{kind} {n}", kind, "year", "bus-1", place, commands))
            series += [SeriesEntry(key, point, Lane.BULK, 2.5 * load.every_s) for point in telemetry]
            series += [SeriesEntry(key, point, Lane.URGENT, _BELIEVED_S) for point in ("link", *states)]
    return InventoryRecord(load.estate, tuple(devices), tuple(series))
