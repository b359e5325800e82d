"""Rounds of random faults: each from an empty database on, judged by what the simulated devices know.

In a round the estate lives while one fault after the other comes to each part, those of different parts at the same
time. Then everything is mended, the estate rests, and what is stored is compared with what was answered.
"""

import asyncio
import random
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import asyncpg
import msgspec

from contract.clock import mono_ns
from contract.errors import AnjuError
from contract.site import SEAL_S
from simulators.control import SetOrder
from simulators.log import Answer, read_log
from tests.faults.damage import Damage, Weighed, last_words, weigh
from tests.faults.findings import Findings, compare, read_database
from tests.faults.kinds import PARTS, Fault
from tests.faults.life import LAST, Life
from tests.faults.rig import Rig, running
from tests.support.reference import histories

LAST_STATE, LAST_NUMBER = ("fault", "fault"), ("temperature", 99.9)
"""The last things the estate says, of a device that was quiet before: once both are stored, so is all before them."""
PAUSE_S = (0.2, 1.5)
Parts = dict[str, dict[str, Fault]]


class Round(msgspec.Struct):
    """What came of one round."""

    seed: int
    took_s: float
    faults: dict[str, int]
    answers: int
    restarts: int
    found: Findings | Weighed
    log: list[str]


async def play(
    folder: Path, seed: int, faults: int, *, only: Sequence[str] = (), mutant: str = "", damage: bool = False
) -> Round:
    """One round of so many faults, of the kinds named in `only` or of all. Raises AnjuError where it does not end.

    With `damage` the faults are those that may cost data (damage.py).
    """
    began = time.monotonic()
    damaged = Damage() if damage else None
    parts = damaged.parts if damaged else PARTS
    async with running(folder, seed, mutant) as rig:
        try:
            happened = await _live(rig, seed, _order(random.Random(seed), parts, faults, only), parts)
            await _rest(rig)
            last = await last_words(rig)
            connection = await asyncpg.connect(rig.server.url)
            try:
                stored = await read_database(connection)
                declared = [row["reason"] for row in await connection.fetch("SELECT reason FROM loss")]
            finally:
                await connection.close()
        finally:
            (folder / "said.log").write_text("\n".join(rig.said), encoding="utf-8")
        log = await asyncio.to_thread(read_log, rig.truth)
        seal_s, kills_ns = rig.site.storage.seal_s or SEAL_S, [kill.at_ns for kill in rig.kills]
        truth = await asyncio.to_thread(histories, log, rig.devices, rig.kills, seal_s)
        found: Findings | Weighed
        if damaged:
            found = await asyncio.to_thread(weigh, truth, stored, damaged.excuses, kills_ns, declared, last, seal_s)
        else:
            found = await asyncio.to_thread(compare, truth, stored, kills_ns, rig.machine.owed_ns)
        answers = sum(isinstance(entry, Answer) for entry in log)
        took_s = round(time.monotonic() - began, 1)
        return Round(seed, took_s, dict(happened), answers, rig.restarts, found, rig.said)


async def _live(rig: Rig, seed: int, order: dict[str, list[str]], parts: Parts) -> Counter[str]:
    """The estate lives while parts break."""
    life = asyncio.create_task(Life(rig.control, rig.devices, seed).run(), name="life")
    happened: Counter[str] = Counter()
    try:
        await rig.until("the cloud has a first reading", lambda: has_rows(rig, "readings"))
        dice = random.Random(seed)
        try:
            async with asyncio.TaskGroup() as group:
                for part, kinds in order.items():
                    own = random.Random(dice.random())
                    group.create_task(_break(rig, part, kinds, own, happened, parts), name=part)
        except* AnjuError as problems:
            raise problems.exceptions[0] from None
        await asyncio.sleep(dice.uniform(*PAUSE_S))
        assert not life.done(), life.result()
    finally:
        life.cancel()
        await asyncio.wait([life])
    return happened


def _order(dice: random.Random, parts: Parts, faults: int, only: Sequence[str]) -> dict[str, list[str]]:
    """Which kinds come to each part, one after the other: of each kind as many as of any other, in a random order."""
    kinds = [(part, kind) for part, of_part in parts.items() for kind in of_part if not only or kind in only]
    drawn: list[tuple[str, str]] = []
    while len(drawn) < faults:
        drawn += dice.sample(kinds, len(kinds))
    order: dict[str, list[str]] = {part: [] for part in parts}
    for part, kind in drawn[:faults]:
        order[part].append(kind)
    return order


async def _break(
    rig: Rig, part: str, kinds: list[str], dice: random.Random, happened: Counter[str], parts: Parts
) -> None:
    for kind in kinds:
        await asyncio.sleep(dice.uniform(*PAUSE_S))
        if part == "box" and not await rig.is_polling():  # a kill before that would show nothing
            await rig.until("the box polls", rig.is_polling)
            await asyncio.sleep(dice.uniform(*PAUSE_S))
        rig.say(kind)
        await parts[part][kind](rig, dice)
        happened[kind] += 1


async def _rest(rig: Rig) -> None:
    """All is mended; the estate rests, and says its last once all that it said before is sealed."""
    rig.say("the estate rests")
    rest_ns = mono_ns()
    await rig.until("every question was answered twice since", lambda: is_asked_twice(rig, rest_ns))
    await rig.control.tell(SetOrder(LAST, *LAST_STATE))
    await rig.control.tell(SetOrder(LAST, *LAST_NUMBER))
    await rig.until("the database has the estate's last words", lambda: has_last(rig), within_s=180)
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
