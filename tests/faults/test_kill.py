"""Kill -9 of box, cloud and database at random moments loses nothing, repeats nothing and keeps the order.

The long form (`make faults`) kills each ten times and writes build/faults.json; the short one kills each twice.
ANJU_TEST_SEED repeats a run's schedule.
"""

import asyncio
import os
import random
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import asyncpg
import msgspec
import pytest

from contract.clock import mono_ns
from simulators.control import SetOrder
from simulators.log import Answer, read_log
from tests.faults.findings import Findings, compare, read_database
from tests.faults.life import LAST, Life
from tests.faults.rig import TARGETS, Rig, Schedule, running
from tests.support.reference import histories
from tests.support.servers import PlainServer

REPORT = Path(__file__).parents[2] / "build" / "faults.json"
LAST_STATE, LAST_NUMBER = ("fault", "fault"), ("temperature", 99.9)
"""The last things the estate says, of a device that was quiet before: once both are stored, so is all before them."""


def the_seed() -> int:
    """ANJU_TEST_SEED, or a new one; printed, so that a failed run can be repeated."""
    given = os.environ.get("ANJU_TEST_SEED")
    seed = int(given) if given else random.SystemRandom().randrange(1 << 32)
    print(f"ANJU_TEST_SEED={seed}")
    return seed


async def live_and_die(rig: Rig, seed: int, times: int, pause_s: tuple[float, float]) -> None:
    """The estate lives while parts are killed, then rests, and says its last once all that it said before is sealed."""
    life = asyncio.create_task(Life(rig.control, rig.devices, seed).run(), name="life")
    try:
        await rig.until("the cloud has a first reading", lambda: has_rows(rig, "readings"))
        await Schedule(rig, seed, times, pause_s).run()
        await asyncio.sleep(random.Random(seed).uniform(*pause_s))
        assert not life.done(), life.result()
    finally:
        life.cancel()
        await asyncio.wait([life])
    rig.say("the estate rests")
    rest_ns = mono_ns()
    await rig.until("every question was answered twice since", lambda: is_asked_twice(rig, rest_ns))
    await rig.control.tell(SetOrder(LAST, *LAST_STATE))
    await rig.control.tell(SetOrder(LAST, *LAST_NUMBER))
    await rig.until("the database has the estate's last words", lambda: has_last(rig), within_s=120)
    rig.say("the database has everything")


async def has_rows(rig: Rig, table: str) -> bool:
    """Whether a table has any."""
    connection = await asyncpg.connect(rig.server.url)
    try:
        return bool(await connection.fetchval(f"SELECT EXISTS (SELECT 1 FROM {table})"))
    finally:
        await connection.close()


async def has_last(rig: Rig) -> bool:
    """Whether both streams have come to the end of what the estate said, and all that landed has become rows."""
    connection = await asyncpg.connect(rig.server.url)
    try:
        known = await connection.fetchval(
            """SELECT count(*) FROM latest JOIN series ON series.id = latest.series JOIN device ON device.id = device
               WHERE key = $1 AND (point = $2 AND state = $3 OR point = $4 AND value = $5)""",
            LAST, *LAST_STATE, *LAST_NUMBER,
        )  # fmt: skip
        settled = not await connection.fetchval("SELECT EXISTS (SELECT 1 FROM landing)")
        return settled and known == len((LAST_STATE, LAST_NUMBER))
    finally:
        await connection.close()


async def is_asked_twice(rig: Rig, since_ns: int) -> bool:
    """Whether each question was asked twice: who asks again has the first answer's states on disk."""
    log = [entry for entry in await asyncio.to_thread(read_log, rig.truth) if isinstance(entry, Answer)]
    asked = Counter(_question(entry) for entry in log if entry.read_ns > since_ns)
    return all(asked[question] >= 2 for question in set(map(_question, log)))


def _question(answer: Answer) -> tuple[str, int, str, int]:
    return answer.bus, answer.unit, answer.table, answer.address


async def prove(folder: Path, server: PlainServer, seed: int, times: int, pause_s: tuple[float, float]) -> Findings:
    """Kills each part so many times and compares what is stored with what the estate said."""
    began = time.monotonic()
    async with running(folder, server) as rig:
        await live_and_die(rig, seed, times, pause_s)
        await rig.stop()
        connection = await asyncpg.connect(server.url)
        try:
            stored = await read_database(connection)
        finally:
            await connection.close()
    log = read_log(rig.truth)
    truth = histories(log, rig.devices, rig.kills, rig.site.storage.seal_s)
    found = compare(truth, stored, [kill.at_ns for kill in rig.kills], rig.machine.owed_ns)
    told = {
        "seed": seed,
        "faults": dict.fromkeys(TARGETS, times),
        "took_s": round(time.monotonic() - began, 1),
        "answers": sum(isinstance(entry, Answer) for entry in log),
        **msgspec.to_builtins(found),
        "log": rig.said,
    }
    print(msgspec.json.format(msgspec.json.encode(told)).decode())
    if times >= LONG_TIMES:
        REPORT.parent.mkdir(exist_ok=True)
        REPORT.write_bytes(msgspec.json.format(msgspec.json.encode(told)))
    return found


LONG_TIMES = 10


async def test_each_part_is_killed_twice(fresh_plain_server: Callable[[], PlainServer], tmp_path: Path):
    found = await prove(tmp_path, fresh_plain_server(), the_seed(), 2, (0.3, 2.5))
    assert found.is_right, "\n".join(found.mistakes[:40])
    assert found.reports > 200
    assert found.alarm_transitions > 10


@pytest.mark.faults
@pytest.mark.timeout(900)
async def test_each_part_is_killed_ten_times(fresh_plain_server: Callable[[], PlainServer], tmp_path: Path):
    found = await prove(tmp_path, fresh_plain_server(), the_seed(), LONG_TIMES, (0.5, 7.0))
    assert found.is_right, "\n".join(found.mistakes[:40])
    assert found.reports > 5000
    assert found.alarm_transitions > 100
