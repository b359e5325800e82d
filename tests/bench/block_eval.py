"""What a block of readings without transitions costs the rules: 1,000 rules of every form, 50,000 series in 100 boxes.

Measured is all that evaluation does of a block: the bands of its box, what the rules remember of the box (a statement
over PostgreSQL for each group commit), comparing, and keeping what changes are compared with. Receiving, decoding and
storing are not in it. As in the service, several boxes share a transaction.
"""

import time
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import numpy as np

from cloud.alarms.engine import Engine
from cloud.alarms.rules import Rule, RuleBook
from cloud.alarms.rules.load import pack
from cloud.alarms.rules.model import body_of, rule_of
from cloud.store import Connection, Database
from cloud.store.changes import Readings
from cloud.store.group import Inventory
from cloud.store.newest import NONE
from contract.kinds import KINDS, PointType
from tests.bench.figures import Figure, spread
from tests.bench.ingest_server import bench_server

MOST_US = 300.0
BOXES, SERIES, RULES, READINGS = 100, 500, 1000, 1000
GROUP = 20
"""Boxes that share a transaction: what a busy process has."""
PENDING = 1
"""Series of each box beyond every limit: some ten conditions that wait for their delay."""
ROUNDS = 15
KINDS_USED = ("electricity_meter", "environment", "water_meter", "smoke_detector", "water_level")
NUMBERS = [
    (kind, point.name)
    for kind in KINDS_USED
    for point in KINDS[kind].points.values()
    if point.type is PointType.TELEMETRY and point.name not in {"rssi", "battery"}
]
_BEYOND, _DAY_S = 1e6, 86_400.0


async def block_eval(_: Path) -> list[Figure]:
    """`alarms.block_eval_us`: of one block, as its share of a group of GROUP boxes."""
    async with bench_server() as server, server.database() as url, Database.open(url, 4) as store:
        boxes = await _estates(store)
        engine = Engine(RuleBook(_rules(await _areas(store))))
        load = _Load(boxes)
        await _look(store, engine, load, GROUP)  # the bands are made, and what changes are compared with is known
        quiet = [await _look(store, engine, load, GROUP) for _ in range(ROUNDS)]
        alone = [await _look(store, engine, load, 1) for _ in range(5)]
        columns = [_compare(engine, load) for _ in range(5)]
        await _look(store, engine, load, GROUP, beyond=PENDING)
        (waiting,) = await _rows(store, "SELECT count(*) FROM condition")
        if waiting[0] < 10 * BOXES:
            raise RuntimeError(f"only {waiting[0]} conditions are pending")
        pending = [await _look(store, engine, load, GROUP, beyond=PENDING) for _ in range(5)]
        (raised,) = await _rows(store, "SELECT count(*) FROM alarm")
        if raised[0]:
            raise RuntimeError(f"{raised[0]} alarms were raised by blocks without transitions")
    note = (
        f"{RULES} rules, {BOXES * SERIES} series in {BOXES} boxes, blocks of {READINGS} readings, {GROUP} boxes a "
        f"transaction: {spread(quiet, ' µs')}; a box alone in its transaction {spread(alone, ' µs')}; comparing only, "
        f"without the database {spread(columns, ' µs')}; with a series of each box beyond every limit, "
        f"{waiting[0] / BOXES:.0f} conditions pending a box, {spread(pending, ' µs')}; {server.kind}"
    )
    return [Figure(name="alarms.block_eval_us", value=sorted(quiet)[ROUNDS // 2], unit="µs", most=MOST_US, note=note)]


class _Load:
    """Blocks of noise in the middle of what is usual, a box after the other, minute after minute."""

    def __init__(self, boxes: Sequence[tuple[UUID, Inventory]]) -> None:
        self.boxes = boxes
        self._random = np.random.default_rng(5)
        self._at = datetime.now(UTC) - timedelta(hours=2)

    def blocks(self, beyond: int) -> list[Readings]:
        """A block of each box; the first `beyond` of its series lie beyond every limit."""
        self._at += timedelta(seconds=40)
        each = READINGS // SERIES
        places = np.repeat(np.arange(SERIES, dtype=np.uint32), each)
        base_us = int(self._at.timestamp() * 1e6)
        found = []
        for gateway, inventory in self.boxes:
            at_us = base_us + np.tile(np.arange(each, dtype=np.int64) * 20_000_000, SERIES)
            value = 50 + self._random.normal(0, 0.05, READINGS)
            value[: beyond * each] += _BEYOND
            found.append(Readings(gateway, 1, inventory, places, at_us, value, np.zeros(READINGS, np.uint8), NONE))
        return found


async def _look(store: Database, engine: Engine, load: _Load, group: int, beyond: int = 0) -> float:
    """Microseconds of a block."""
    blocks, took_s = load.blocks(beyond), 0.0
    for start in range(0, len(blocks), group):
        async with store.transaction() as connection:
            began = time.perf_counter()
            looked = await engine.evaluate_bulk(connection, blocks[start : start + group])
            took_s += time.perf_counter() - began
        began = time.perf_counter()
        looked.committed()
        took_s += time.perf_counter() - began
    return 1e6 * took_s / len(blocks)


def _compare(engine: Engine, load: _Load) -> float:
    """Microseconds of a block without the statement that asks what the rules remember."""
    blocks, took_s = load.blocks(0), 0.0
    for block in blocks:
        bands = engine._watched._kept[block.gateway, block.inventory_id]
        began = time.perf_counter()
        bands.crossing(block, {}).keep()
        took_s += time.perf_counter() - began
    return 1e6 * took_s / len(blocks)


def _rules(areas: Sequence[int]) -> list[Rule]:
    """Rules of every form, of which the values of _Load are no concern; half of them for one estate each."""
    base = body_of(pack().rules[0])
    forms: list[Any] = []
    for n in range(RULES):
        kind, point = NUMBERS[n // 10 % len(NUMBERS)]
        stages = [{"at": 1000.0 + n, "priority": "low"}, {"at": 2000.0 + n, "priority": "high"}]
        choice = n % 10
        if choice < 4:
            form = {"form": "threshold", "points": [point], "side": "above", "stages": stages, "hysteresis": 5.0}
        elif choice == 4:
            low = [{"at": -100.0, "priority": "low"}]
            form = {"form": "threshold", "points": [point], "side": "below", "stages": low}
        elif choice == 5:
            form = {"form": "rate", "points": [point], "direction": "rises", "over_s": 600.0, "stages": stages}
        elif choice == 6:
            form, kind = {"form": "state", "point": "fault", "words": ["fault"]}, "pump"
        elif choice == 7:
            form, kind = {"form": "event", "point": "breach", "stands_s": 900.0}, "intrusion"
        elif choice == 8:
            form, kind = {"form": "count", "point": "access", "times": 5, "within_s": 120.0}, "door"
        else:
            of = [{"kind": "smoke_detector", "point": "smoke", "words": ["smoke"]}]
            form, kind = {"form": "k_of_n", "k": 2, "of": of, "within": "unit", "within_s": 300.0}, "smoke_detector"
        where = {"areas": [areas[n // 20 % len(areas)]]} if n // 10 % 2 else {}
        when = {"when": {"from": "23:00", "to": "06:00"}} if n % 7 == 0 else {}
        forms.append(
            base | {"name": f"rule-{n}", "kinds": [kind], "form": form, "on_delay_s": _DAY_S if choice < 5 else 0.0,
                    "curve": "", "except_kinds": [], "priorities": {}} | where | when
        )  # fmt: skip
    return [rule_of(form) for form in forms]


async def _areas(store: Database) -> list[int]:
    return [row[0] for row in await _rows(store, "SELECT id FROM area ORDER BY id")]


async def _rows(store: Database, sql: str) -> list[Any]:
    async with store.connect() as connection:
        return [tuple(row) for row in await connection.fetch(sql)]


async def _estates(store: Database) -> list[tuple[UUID, Inventory]]:
    """A hundred estates of one box each, with SERIES numbers."""
    async with store.transaction() as connection:
        await _put(connection)
        rows = await connection.fetch(
            "SELECT device.gateway, array_agg(series.id ORDER BY series.id) AS series, "
            "array_agg(device.id ORDER BY series.id) AS devices "
            "FROM series JOIN device ON device.id = series.device GROUP BY 1 ORDER BY 1"
        )
    boxes = [(r["gateway"], Inventory(np.array(r["series"], np.int32), np.array(r["devices"], np.int32))) for r in rows]
    if {len(inventory.series) for _, inventory in boxes} != {SERIES} or len(boxes) != BOXES:
        raise RuntimeError(f"there are {len(boxes)} boxes, not {BOXES} of {SERIES} series each")
    return boxes


async def _put(connection: Connection) -> None:
    await connection.execute(
        "INSERT INTO area (level, name, path) SELECT 'estate', 'estate ' || n, '/' || n FROM generate_series(1, $1) n",
        BOXES,
    )
    await connection.execute("UPDATE area SET path = '/' || id || '/'")
    await connection.execute(
        "INSERT INTO gateway (estate, public_key, hostname, version) "
        "SELECT id, decode(repeat('00', 32), 'hex'), name, '1' FROM area"
    )
    for n in range(SERIES):
        kind, point = NUMBERS[n % len(NUMBERS)]
        await connection.execute(
            "WITH made AS (INSERT INTO device (gateway, estate, key, name, kind, profile, bus) "
            "SELECT id, estate, $1, $1, $2, 'bench', 'bus' FROM gateway RETURNING id) "
            "INSERT INTO series (device, point, lane, stale_after_s) SELECT id, $3, 'bulk', 900 FROM made",
            f"device-{n}", kind, point,
        )  # fmt: skip
