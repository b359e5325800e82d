"""Random faults of every kind, in rounds: nothing is lost beyond what is stated, nothing twice, nothing out of order.

The long form (`make faults`) plays more than a thousand and writes build/faults.json, the short one each kind once.
ANJU_TEST_SEED repeats a run; each round names the seed with which it can be played alone:

    ANJU_TEST_SEED=<seed of the round> pytest -m faults tests/faults/test_faults.py -k one_round
"""

import os
import random
from collections import Counter
from pathlib import Path

import msgspec
import pytest

from tests.faults.damage import Damage
from tests.faults.kinds import PARTS
from tests.faults.mutants import MUTANTS
from tests.faults.rounds import Round, play

REPORT = Path(__file__).parents[2] / "build" / "faults.json"
STRICT_ROUNDS, STRICT_FAULTS = 16, 60
DAMAGE_ROUNDS, DAMAGE_FAULTS = 6, 24
MUTANT_FAULTS = 14
KINDS = sum(map(len, PARTS.values()))
DAMAGES = sum(map(len, Damage().parts.values()))
COUNTS = ("lost", "duplicated", "out_of_order", "foreign", "other")


def the_seed() -> int:
    """ANJU_TEST_SEED, or a new one; printed, so that a failed run can be repeated."""
    given = os.environ.get("ANJU_TEST_SEED")
    seed = int(given) if given else random.SystemRandom().randrange(1 << 32)
    print(f"ANJU_TEST_SEED={seed}")
    return seed


def told(seed: int, rounds: list[Round]) -> dict[str, object]:
    """What came of a run, as build/faults.json."""
    by_kind: Counter[str] = Counter()
    for one in rounds:
        by_kind.update(one.faults)
    counts = {name: sum(getattr(one.found, name) for one in rounds) for name in COUNTS}
    return {
        "seed": seed, "faults": by_kind.total(), **counts, "by_kind": dict(sorted(by_kind.items())),
        "answers": sum(one.answers for one in rounds), "took_s": round(sum(one.took_s for one in rounds)),
        "rounds": [{**msgspec.to_builtins(one), "log": one.log if one.found.mistakes else []} for one in rounds],
        "log": [f"round {one.seed}: {line}" for one in rounds for line in one.log],
    }  # fmt: skip


async def play_rounds(folder: Path, seed: int, strict: int, damage: int) -> list[Round]:
    """Strict rounds, then rounds of damage; the report is written after each."""
    rounds: list[Round] = []
    for n in range(strict + damage):
        of_round = random.Random(f"{seed}-{n}").randrange(1 << 32)
        place = folder / str(n)
        place.mkdir()
        place.chmod(0o755)
        is_damage = n >= strict
        made = await play(place, of_round, DAMAGE_FAULTS if is_damage else STRICT_FAULTS, damage=is_damage)
        print(f"round {n} of seed {of_round}: {made.took_s} s, {msgspec.json.encode(made.found).decode()[:300]}")
        rounds.append(made)
        REPORT.parent.mkdir(exist_ok=True)
        REPORT.write_bytes(msgspec.json.format(msgspec.json.encode(told(seed, rounds))))
    return rounds


def right(made: Round) -> None:
    """Fails with what is wrong."""
    assert not made.found.mistakes, f"ANJU_TEST_SEED={made.seed}\n" + "\n".join(made.found.mistakes[:40])


@pytest.fixture(autouse=True)
def open_folder(tmp_path: Path) -> None:
    """The database's server is another user, and must get to its disk beneath the test's folder."""
    for folder in (tmp_path, *list(tmp_path.parents)[:2]):
        folder.chmod(0o711)


@pytest.mark.timeout(400)
async def test_each_kind_of_fault_once(tmp_path: Path) -> None:
    made = await play(tmp_path, the_seed(), KINDS)
    right(made)
    assert sorted(made.faults) == sorted(kind for of_part in PARTS.values() for kind in of_part)
    assert made.answers > 200


@pytest.mark.timeout(400)
async def test_each_kind_of_damage_once(tmp_path: Path) -> None:
    made = await play(tmp_path, the_seed(), DAMAGES, damage=True)
    right(made)
    assert made.answers > 100


@pytest.mark.faults
@pytest.mark.timeout(5400)
async def test_a_thousand_faults(tmp_path: Path) -> None:
    rounds = await play_rounds(tmp_path, the_seed(), STRICT_ROUNDS, DAMAGE_ROUNDS)
    assert sum(sum(one.faults.values()) for one in rounds) >= 1000
    for made in rounds:
        right(made)


@pytest.mark.faults
@pytest.mark.timeout(600)
@pytest.mark.parametrize("damage", [False, True])
async def test_one_round(tmp_path: Path, damage: bool) -> None:
    right(await play(tmp_path, the_seed(), DAMAGE_FAULTS if damage else STRICT_FAULTS, damage=damage))


@pytest.mark.faults
@pytest.mark.timeout(600)
@pytest.mark.parametrize("mutant", MUTANTS)
async def test_a_broken_promise_is_found(tmp_path: Path, mutant: str) -> None:
    made = await play(tmp_path, the_seed(), MUTANT_FAULTS, only=MUTANTS[mutant][2], mutant=mutant)
    print(mutant, msgspec.json.encode(made.found).decode()[:400])
    assert made.found.mistakes, f"ANJU_TEST_SEED={made.seed}: nothing was found of {mutant!r}"
