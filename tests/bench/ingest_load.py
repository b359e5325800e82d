"""The load that the ingest is measured with: boxes of 500 series, a reading a series and a minute, a block a minute.

The same readings as blocks (for us), as columns (for a plain table) and as lines (for InfluxDB).
"""

import random
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from uuid import UUID

import numpy as np
import numpy.typing as npt

from cloud.alarms.engine import Engine
from cloud.alarms.fewer import Fewer
from cloud.alarms.rules import RuleBook
from cloud.alarms.rules.load import pack
from cloud.alarms.rules.model import Rule, Stage, Text, Texts, Threshold
from cloud.commands.commands import Commands
from cloud.ingest.ingest import Ingest
from cloud.store import Database, gateways, people
from contract.block import Header, checksum_of, encode_block
from contract.columns import Row, encode_columns
from contract.kinds import Lane
from contract.messages import Quality
from contract.records import ClockRecord, DeviceEntry, InventoryRecord, Place, SeriesEntry, encode_records
from contract.session import join_blocks

BOXES = 100
DEVICES = 100
POINTS = ("temperature", "humidity", "pm25", "noise", "co2")
SERIES = DEVICES * len(POINTS)
MINUTES = 40
READINGS = BOXES * SERIES * MINUTES
SEED = 20261124
_NOBODY = UUID(int=0)
_NS = 1_000_000_000
_MINUTE_NS = 60 * _NS
_BOOT = bytes(range(16))
_UP_NS = 1000 * _NS
_DECIMALS = (1, 1, 0, 1, 0)
_LEVELS = (18.0, 55.0, 38.0, 52.0, 640.0)


def inventory() -> InventoryRecord:
    """What each box has: environment sensors."""
    devices = tuple(
        DeviceEntry(f"env-{i}", f"环境{i}", "environment", "test", "bus-1", Place("1", "1", str(i)), ())
        for i in range(DEVICES)
    )
    series = tuple(SeriesEntry(device.id, point, Lane.BULK, 750.0) for device in devices for point in POINTS)
    return InventoryRecord("小区", devices, series)


INVENTORY = inventory()


@dataclass
class Minute:
    """One block of a box, and its readings as columns by place: microseconds since 1970, value."""

    block: bytes
    at_us: npt.NDArray[np.int64]
    value: npt.NDArray[np.float64]


@dataclass
class BoxLoad:
    """One box's hour; `gateway`, `estate` and `series` (ids by place) once it is known to a database."""

    minutes: list[Minute]
    began_ns: int
    gateway: UUID = _NOBODY
    estate: int = 0
    series: npt.NDArray[np.int32] = field(default_factory=lambda: np.zeros(0, np.int32))


def make_load(boxes: int = BOXES, minutes: int = MINUTES) -> list[BoxLoad]:
    """All boxes' blocks, the newest reading a minute ago."""
    dice = random.Random(SEED)
    began_ns = (time.time_ns() - (minutes + 1) * _MINUTE_NS) // 1_000_000 * 1_000_000
    load = [_box(dice, began_ns, minutes) for _ in range(boxes)]
    for i, box in enumerate(load):  # as a database would count them; what it really does is known once it has them
        box.series = np.arange(1 + i * SERIES, 1 + (i + 1) * SERIES, dtype=np.int32)
    return load


def _box(dice: random.Random, began_ns: int, minutes: int) -> BoxLoad:
    previous, made = 0, []
    level = [_LEVELS[i % len(POINTS)] + dice.uniform(-5, 5) for i in range(SERIES)]
    phase = [dice.randrange(60_000) * 1_000_000 for _ in range(SERIES)]
    for minute in range(minutes):
        base_ns = _UP_NS + minute * _MINUTE_NS
        rows = []
        for i in range(SERIES):
            level[i] += dice.gauss(0, 0.3)
            rows.append(Row(i, base_ns + phase[i], round(level[i], _DECIMALS[i % len(POINTS)]), Quality.GOOD))
        sealed_ns = base_ns + _MINUTE_NS
        header = Header(Lane.BULK, 7, minute + 1, previous, _BOOT, INVENTORY.inventory_id, base_ns, sealed_ns, SERIES)
        block = encode_block(header, encode_columns(rows, base_ns))
        previous = checksum_of(block)
        at_us = (np.array([row.mono_ns for row in rows], np.int64) - _UP_NS + began_ns) // 1000
        made.append(Minute(block, at_us, np.array([row.value for row in rows], np.float64)))
    return BoxLoad(made, began_ns)


_TEXT = Text(title="-", meaning="-", do=["-"], who="-")
WATCHING = tuple(
    Rule(
        name=f"bench_{point}", kinds=["environment"], text=Texts(zh=_TEXT, en=_TEXT),
        form=Threshold(
            form="threshold", points=[point], side="above", hysteresis=5.0,
            stages=[Stage(at=10 * level, priority="low"), Stage(at=20 * level, priority="high")],
        ),
    )
    for point, level in zip(POINTS, _LEVELS, strict=True)
)  # fmt: skip
"""A rule on each point of this load, beside those of the first day; they are at rest, as rules are."""


def ruled(store: Database, landed: Callable[[int], bool] = lambda _: True) -> Ingest:
    """An ingest with all rules on."""
    engine = Engine(RuleBook((*pack().rules, *WATCHING)))
    stage = Fewer(store, engine)
    return Ingest(store, stage.evaluate, Commands(store).answer, landed, evaluate_bulk=engine.evaluate_bulk)


async def introduce(store: Database, ingest: Ingest, load: Sequence[BoxLoad]) -> None:
    """Makes the boxes known to a database: enrolled, their inventory and clock sent."""
    for i, box in enumerate(load):
        async with store.transaction() as connection:
            box.estate = await people.put_area(connection, None, "estate", f"小区 {i // 10}", "Asia/Shanghai")
            box.gateway = await gateways.put_gateway(connection, box.estate, bytes(32), f"box-{i}", "0.1.0")
        records = (INVENTORY, ClockRecord(_BOOT, _UP_NS, box.began_ns, 1_000_000, "bench"))
        header = Header(Lane.URGENT, 7, 1, 0, _BOOT, 0, 0, _UP_NS, len(records))
        block = encode_block(header, encode_records(records))
        await ingest.take(box.gateway, box.estate, Lane.URGENT, join_blocks([block]))
        async with store.connect() as connection:
            ids = await connection.fetchval("SELECT series FROM inventory WHERE gateway = $1", box.gateway)
        box.series = np.array(ids, np.int32)


def in_order(load: Sequence[BoxLoad]) -> Iterator[tuple[BoxLoad, Minute]]:
    """The minutes of all boxes as they would come."""
    for minutes in zip(*(box.minutes for box in load), strict=True):
        yield from zip(load, minutes, strict=True)
