"""Pending delays over several real processes, of which some are killed: who is told of what, and when.

Run as a module with a database's address it is one such process: it sees to what is due until it is killed.
"""

import asyncio
import random
import signal
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID

from cloud.alarms.engine import Engine
from cloud.alarms.timers import Timers
from cloud.store import Connection, Database, gateways, people
from tests.support.alarm_rules import book_of, lock_rule

DELAY_S = 30.0
PROCESSES = 3


@dataclass(frozen=True)
class Fired:
    """What came of pending delays: seconds between the moment and that in which people are told, one a telling."""

    pending: int
    alarms: int
    raises: int
    told: int
    missed: int
    errors_s: list[float]
    acknowledged_s: list[float]


async def fire(url: str, pending: int, span_s: float, kills: int, *, seed: int = 1) -> Fired:
    """Lets delays run out over a span, in PROCESSES processes of which one is killed so many times.

    Meanwhile a guard acknowledges one alarm after the other.
    """
    dice = random.Random(seed)
    async with Database.open(url, 4) as database:
        area, person = await _make(database, pending)
        children = list(await asyncio.gather(*(_child(url) for _ in range(PROCESSES))))
        waits: list[float] = []
        try:
            async with database.transaction() as connection:
                await connection.execute(_SET_OFF, timedelta(seconds=2), span_s, timedelta(seconds=DELAY_S))
            acknowledging = asyncio.create_task(_acknowledge(database, area, person, waits))
            await asyncio.sleep(2 + span_s / (2 * kills + 2))
            for _ in range(kills):
                place = dice.randrange(PROCESSES)
                children[place].kill()
                await children[place].wait()
                children[place] = await _child(url)
                await asyncio.sleep(span_s / (kills + 2))
            await _until_done(database)
            acknowledging.cancel()
            await asyncio.gather(acknowledging, return_exceptions=True)
        finally:
            for child in children:
                child.kill()
                await child.wait()
        return await _outcome(database, pending, waits)


_SET_OFF = """
INSERT INTO condition (rule, source, gateway, pending, since, due_at, memory)
SELECT 'unlocked', 'series:' || id, (SELECT id FROM gateway), 1, due - $3::interval, due,
       jsonb_build_object('raw', 1, 'value', 'unlocked')
FROM (SELECT id, clock_timestamp() + $1::interval + random() * $2::float * interval '1 second' AS due FROM series) AS s
"""
_MAKE = """
WITH made AS (
    INSERT INTO device (gateway, estate, key, name, kind, profile, bus)
    SELECT $1, $2, 'door-' || n, 'door', 'door', 'test', 'bus-1' FROM generate_series(1, $3::int) AS n RETURNING id
)
INSERT INTO series (device, point, lane, stale_after_s) SELECT id, 'lock', 'urgent', 750 FROM made
"""


async def _make(database: Database, pending: int) -> tuple[int, int]:
    async with database.transaction() as connection:
        area = await people.put_area(connection, None, "estate", "西苑小区", "Asia/Shanghai")
        gateway = await gateways.put_gateway(connection, area, bytes(32), "box", "0.1.0")
        person = await people.put(connection, "wang", "王芳", "-", None)
        assert person is not None
        await connection.execute(_MAKE, gateway, area, pending)
        await connection.execute(
            "CREATE TABLE told (alarm uuid NOT NULL, at timestamptz NOT NULL DEFAULT clock_timestamp())"
        )
    return area, person


async def _child(url: str) -> asyncio.subprocess.Process:
    """A process that sees to what is due; returns once it does."""
    child = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.support.timer_processes", url, stdout=asyncio.subprocess.PIPE
    )
    assert child.stdout is not None
    while (line := await child.stdout.readline()) and line.strip() != b"keeping up":
        pass
    return child


async def _acknowledge(database: Database, area: int, person: int, waits: list[float]) -> None:
    """A guard who acknowledges one alarm after the other; how long each took is kept in `waits`."""
    engine, loop = Engine(book_of(lock_rule())), asyncio.get_running_loop()
    while True:
        async with database.connect() as connection:
            alarm = await connection.fetchval("SELECT id FROM alarm WHERE state = 'UNACK' ORDER BY random() LIMIT 1")
        if alarm is not None:
            began = loop.time()
            async with database.transaction() as connection:
                await engine.acknowledge(connection, alarm, [area], person, "王芳")
            waits.append(loop.time() - began)
        await asyncio.sleep(0.05)


async def _until_done(database: Database) -> None:
    """Returns when nothing is pending; gives up when nothing has moved for a while."""
    left, since = -1, asyncio.get_running_loop().time()
    while asyncio.get_running_loop().time() - since < 10:
        async with database.connect() as connection:
            now = await connection.fetchval("SELECT count(*) FROM condition WHERE due_at IS NOT NULL")
        if not now:
            return
        if now != left:
            left, since = now, asyncio.get_running_loop().time()
        await asyncio.sleep(0.1)


async def _outcome(database: Database, pending: int, waits: Sequence[float]) -> Fired:
    async with database.connect() as connection:
        alarms = await connection.fetchval("SELECT count(*) FROM alarm")
        raises = await connection.fetchval("SELECT count(*) FROM alarm_transition WHERE event = 'raise'")
        missed = await connection.fetchval(
            "SELECT count(*) FROM series WHERE NOT EXISTS (SELECT FROM alarm WHERE alarm.series = series.id)"
        )
        rows = await connection.fetch(
            "SELECT extract(epoch FROM told.at - alarm.raised_at)::float AS error"
            " FROM told JOIN alarm ON alarm.id = told.alarm"
        )
    errors = [row["error"] for row in rows]
    return Fired(pending, alarms, raises, len(errors), missed, errors, list(waits))


async def _announce(connection: Connection, alarms: Sequence[UUID]) -> None:
    await connection.execute("INSERT INTO told (alarm) SELECT unnest($1::uuid[])", list(alarms))


async def _keep_up(url: str) -> None:
    async with Database.open(url, 3) as database:
        engine = Engine(book_of(lock_rule(on_delay_s=DELAY_S)), announce=_announce)
        timers = Timers(engine)
        print("keeping up", flush=True)
        await asyncio.gather(timers.keep_conditions(database), timers.keep_alarms(database))


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    asyncio.run(_keep_up(sys.argv[1]))
