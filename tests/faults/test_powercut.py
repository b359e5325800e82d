"""Power cuts at random moments: what the outbox took as durable is delivered, in order, once; mutants are found out.

The long form (`make faults`) cuts eighty times, the short one ten. ANJU_TEST_SEED repeats a run's choices.
"""

import asyncio
import json
import os
import random
import subprocess
import sys
import time
from collections import Counter, defaultdict
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from contract.columns import Row
from contract.kinds import Lane
from contract.messages import Event
from contract.records import LossReceipt, StateRecord
from contract.site import Storage
from edge.outbox import Outbox
from tests.support.powercut import PowerCut
from tests.support.reference_stream import ReferenceStream, Refused
from tests.unit.edge.outbox.examples import INVENTORY

STEP = 1_000_000
"""Each life of the box counts on from the next multiple of it."""
MUTANT_CUTS = 25
"""A broken promise must be found within so many."""


class Rig:
    """A box whose power is cut, its cloud, and what it was promised."""

    def __init__(self, folder: Path, seed: int, mutant: str = "") -> None:
        self.seed, self.mutant = seed, mutant
        self.dice = random.Random(seed)
        self.log = folder / "box.log"
        self.disk = PowerCut(folder / "state", sync_s=0.001)
        self.cloud = {lane: ReferenceStream(lane) for lane in Lane}
        self.promised: dict[str, list[int]] = defaultdict(list)
        self.problems: list[str] = []
        self.lives = self.lost_writes = 0

    def live(self) -> None:
        """One life of the box, from its start to the power cut."""
        self.lives += 1
        with self.log.open("ab") as log, subprocess.Popen(
            [sys.executable, "-m", "tests.support.powercut_writer", json.dumps(self._told())],
            env=os.environ | self.disk.environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log,
        ) as box:  # fmt: skip
            assert box.stdin is not None
            assert box.stdout is not None
            for _ in range(self.dice.choice([2, 10, self.dice.randint(10, 300)])):
                line = box.stdout.readline()
                assert line, f"the box ended by itself: {self.log.read_text(errors='replace')[-3000:]}"
                answer = self._hear(json.loads(line))
                if answer is not None:
                    box.stdin.write(json.dumps(answer).encode() + b"\n")
                    box.stdin.flush()
            time.sleep(self.dice.choice([0.0, self.dice.uniform(0, 0.01)]))  # anywhere between two of its words
            self.lost_writes += self.disk.cut(self.dice.getrandbits(32), box.pid).lost
            for line in box.stdout:  # said before the cut; what goes to the cloud may still arrive
                if line.endswith(b"\n"):
                    said = json.loads(line)
                    if said["what"] != "blocks" or self.dice.random() < 0.5:
                        self._hear(said)
            with suppress(BrokenPipeError):
                box.stdin.close()
        if list(self.disk.folder.glob("*.damaged-*")):
            self.problems.append("a power cut damaged a file")

    def _told(self) -> dict[str, Any]:
        cursors = {lane: (c.cursor.epoch, c.cursor.number, c.cursor.checksum) for lane, c in self.cloud.items()}
        return {
            "folder": str(self.disk.folder), "boot": self.dice.randbytes(16).hex(), "first": self.lives * STEP,
            "mutant": self.mutant, "cursors": cursors,
        }  # fmt: skip

    def _hear(self, said: dict[str, Any]) -> dict[str, Any] | None:
        """Takes one line of the box; the answer, where it wants one."""
        if said["what"] == "put":
            self.promised[said["of"]] += range(said.get("first", said["n"]), said["n"] + 1)
        elif said["what"] == "open":
            promised, found = self.promised["state"], int(said["states"].get("smoke", 0))
            if promised and found < promised[-1]:
                self.problems.append(f"the state at start was {found}, and {promised[-1]} was promised")
        else:
            cloud = self.cloud[Lane(said["lane"])]
            try:
                for block in said["blocks"]:
                    cloud.take(bytes.fromhex(block))
            except Refused as refusal:
                return {"refused": str(refusal.args[0])}
            return {"cursor": [cloud.cursor.epoch, cloud.cursor.number, cloud.cursor.checksum]}
        return None

    async def judge(self) -> None:
        """Delivers what is left and compares what the cloud has with what was promised."""
        storage = Storage(seal_s=0.1, urgent_mb=8, bulk_mb=8)
        async with Outbox.open(self.disk.folder, boot=bytes(16), storage=storage, inventory=INVENTORY) as outbox:
            for lane, cloud in self.cloud.items():
                await outbox.reconcile(lane, cloud.cursor)
                while outbox.status(lane).pending_blocks:
                    try:
                        for block in await outbox.peek(lane, 1 << 20):
                            cloud.take(block)
                    except Refused:
                        await outbox.open_epoch(lane)
                    await outbox.acknowledge(lane, cloud.cursor)
        found = self._found()
        for of, promised in self.promised.items():
            if lost := set(promised) - set(found[of]):
                self.problems.append(f"{of}: {len(lost)} promised are lost: {sorted(lost)[:5]}")
        for of, numbers in found.items():
            if repeated := [n for n, count in Counter(numbers).items() if count > 1]:
                self.problems.append(f"{of}: {repeated[:5]} came twice")
            if numbers != sorted(numbers):
                self.problems.append(f"{of} is out of order")

    def _found(self) -> dict[str, list[int]]:
        found: dict[str, list[int]] = defaultdict(list)
        for item in (item for cloud in self.cloud.values() for item in cloud.items):
            if isinstance(item, Event):
                found[f"event {item.fields['writer']}"].append(int(item.fields["n"]))
            elif isinstance(item, StateRecord):
                found["state"].append(int(item.value or 0))
            elif isinstance(item, Row):
                found["reading"].append(int(item.value))
            elif isinstance(item, LossReceipt):
                self.problems.append(f"a power cut lost what it need not: {item.reason}")
        return found


def cut_often(folder: Path, cuts: int, mutant: str = "") -> Rig:
    """Lives and power cuts until one too many, or until a broken promise is found at a start."""
    seed = int(os.environ.get("ANJU_TEST_SEED", time.time_ns() % 2**32))
    rig = Rig(folder, seed, mutant)
    for _ in range(cuts):
        rig.live()
        if rig.problems:
            break
    asyncio.run(rig.judge())
    return rig


@pytest.mark.parametrize("cuts", [10, pytest.param(80, marks=[pytest.mark.faults, pytest.mark.timeout(900)])])
def test_what_is_taken_as_durable_outlives_power_cuts(tmp_path: Path, cuts: int) -> None:
    rig = cut_often(tmp_path, cuts)
    assert not rig.problems, f"ANJU_TEST_SEED={rig.seed}: {rig.problems}"
    promised = {of: len(numbers) for of, numbers in rig.promised.items()}
    print(f"seed {rig.seed}: {rig.lives} cuts, {rig.lost_writes} writes lost, promised and found: {promised}")
    assert rig.lost_writes, "no cut came between a write and its fsync: nothing was shown"
    assert len(promised) == 5
    assert min(promised.values()) > 0


@pytest.mark.parametrize("mutant", ["synchronous OFF", "synchronous NORMAL", "answers early"])
def test_an_outbox_that_breaks_its_promise_is_found_out(tmp_path: Path, mutant: str) -> None:
    rig = cut_often(tmp_path, MUTANT_CUTS, mutant.removeprefix("synchronous "))
    assert rig.problems, f"ANJU_TEST_SEED={rig.seed}: nothing was found in {rig.lives} power cuts"
