"""Faults that cost data by right, and what must hold all the same.

A flipped bit, a full disk, a card restored from an old image, two boxes of one identity, a database brought back to an
earlier point: what was only there is gone. But nothing is stored that was not answered, nothing twice; what a box gave
up it declares; and once all rests every state is what the devices say, with the alarms that this means.
"""

import asyncio
import os
import random
import shutil
import signal
import sys
import uuid
from bisect import bisect_left
from collections.abc import Sequence
from pathlib import Path

import asyncpg
import msgspec

from contract.clock import mono_ns
from contract.kinds import Lane
from contract.messages import Quality
from simulators.control import GetOrder
from simulators.demo.processes import Child, free_port, launched
from tests.faults.findings import Stored
from tests.faults.kinds import Fault, fill_box, fill_database, kill_box, kill_database, reset_connections
from tests.faults.rig import CLOUDS, Rig
from tests.support.reference import History, Observation, Row, Series

S = 1_000_000_000
TIME_NS = 150_000_000
"""How far a row's time may be from its answer's, as in the strict rounds and a half more for a box in trouble."""
LATE_NS = 10 * S
"""So far off a time may be while it is in doubt."""
KNOWN = 4
"""So many answers back may be the last that a box knows, where two ask."""
DELIVERED_S = 3.0
"""A box in a healthy system has delivered what is older."""
FILES = ("urgent.db", "urgent.db-wal", "bulk.db", "bulk.db-wal")


class Excuse(msgspec.Struct, frozen=True):
    """A span of time of which anything may be missing, and why."""

    from_ns: int
    to_ns: int
    why: str
    is_in_doubt: bool = False
    """What was told then may be stamped seconds off: by a wrong clock of the cloud's, or since two boxes told of it and
    no state is stamped before the one it followed."""


class Damage:
    """The faults of one round, and the spans of time that they excuse."""

    def __init__(self) -> None:
        self.excuses: list[Excuse] = []
        self._image: Path | None = None
        self._copy: tuple[Path, int] | None = None
        self.parts: dict[str, dict[str, Fault]] = {
            "box": {
                "bit flipped, box down": self.flip_cold, "bit flipped, box running": self.flip_hot,
                "box's disk full": fill_box, "old image restored": self.restore_image, "two boxes": self.second_box,
                "box killed": kill_box,
            },
            "network": {"connections reset": reset_connections},
            "cloud": {"clouds' clock wrong": self.step_clouds},
            "database": {
                "database brought back": self.bring_back, "database killed": kill_database,
                "database's disk full": fill_database,
            },
        }  # fmt: skip

    async def flip_cold(self, rig: Rig, dice: random.Random) -> None:
        """A bit of what a box kept is another when it starts again."""
        await rig.kill("box")
        _flip(rig, dice)
        await rig.start("box")

    async def flip_hot(self, rig: Rig, dice: random.Random) -> None:
        """A bit changes beneath a box that runs."""
        _flip(rig, dice)
        await asyncio.sleep(dice.uniform(0.2, 1.0))

    async def restore_image(self, rig: Rig, dice: random.Random) -> None:
        """The card is written anew with an image of it that was taken earlier, perhaps much earlier."""
        if self._image is None or dice.random() < 0.4:
            await rig.kill("box")
            self._image = rig.folder / "image"
            shutil.rmtree(self._image, ignore_errors=True)
            shutil.copytree(rig.state, self._image)
            await rig.start("box")
            return
        await _until_delivered(rig)
        await rig.kill("box")
        now = mono_ns()
        self.excuses.append(Excuse(now - round(DELIVERED_S * S), now, "only on the card that was overwritten"))
        shutil.rmtree(rig.state)
        shutil.copytree(self._image, rig.state)
        await rig.start("box")

    async def second_box(self, rig: Rig, dice: random.Random) -> None:
        """A copy of the card is put into another box, and both run; then the copy is taken out again."""
        await rig.kill("box")
        copy = rig.folder / "disk" / "copy"
        shutil.copytree(rig.state, copy)
        began = mono_ns()
        await rig.start("box")
        boot = rig.folder / "boot_id"  # two machines are never in one boot
        boot.write_text(f"{uuid.UUID(int=dice.getrandbits(128))}\n")
        words = (str(rig.site_file), str(copy), f"127.0.0.1:{free_port(0)}")
        command = (*rig.cable.prefix, sys.executable, "-m", "tests.support.another_machine", str(boot), *words)
        second = await Child.launch("copy", launched(*command), log=rig.folder / "copy.log")
        await asyncio.sleep(dice.uniform(2.0, 6.0))
        os.killpg(second.process.pid, signal.SIGKILL)
        await second.process.wait()
        shutil.rmtree(copy)
        self.excuses.append(
            Excuse(began, mono_ns(), "read by a box that was taken away with its card", is_in_doubt=True)
        )

    async def step_clouds(self, rig: Rig, dice: random.Random) -> None:
        """The clouds' clock is some seconds off and comes back; a box that opens a session meanwhile believes it."""
        began = mono_ns()
        rig.cloud_clock.off_by(dice.choice([-1, 1]) * dice.uniform(0.5, 5.0))
        rig.balancer.reset()  # so that sessions are opened by it
        await asyncio.sleep(dice.uniform(1.0, 3.0))
        rig.cloud_clock.off_by(0.0)
        rig.balancer.reset()
        await asyncio.sleep(1.0)
        self.excuses.append(Excuse(began, mono_ns(), "", is_in_doubt=True))

    async def bring_back(self, rig: Rig, dice: random.Random) -> None:
        """The database is as it was at an earlier time, with all that was acknowledged since gone."""
        kept = rig.folder / "database" / "kept"
        if self._copy is None or dice.random() < 0.4:
            await asyncio.to_thread(rig.server.stop)
            shutil.rmtree(kept, ignore_errors=True)
            await asyncio.to_thread(_copy_tree, rig.server.cluster, kept)
            self._copy = (kept, mono_ns() - round(DELIVERED_S * S))
            await rig.start("postgres")
            return
        for name in CLOUDS:
            if rig.runs(name):
                await rig.kill(name)
        await asyncio.to_thread(rig.server.stop)
        shutil.rmtree(rig.server.cluster)
        await asyncio.to_thread(_copy_tree, kept, rig.server.cluster)
        self.excuses.append(Excuse(self._copy[1], mono_ns(), "in the database that was brought back"))
        await rig.start("postgres")
        for name in CLOUDS:
            await rig.start(name)


def _copy_tree(source: Path, target: Path) -> None:
    """A copy with its owners: the server's user is not ours."""
    shutil.copytree(source, target)
    for path in (target, *target.rglob("*")):
        status = (source / path.relative_to(target)).stat()
        os.chown(path, status.st_uid, status.st_gid)


def _flip(rig: Rig, dice: random.Random) -> None:
    files = [path for name in FILES if (path := rig.state / name).exists() and path.stat().st_size]
    if not files:
        return
    path = dice.choice(files)
    at = dice.randrange(path.stat().st_size)
    with path.open("r+b") as file:
        file.seek(at)
        byte = file.read(1)[0]
        file.seek(at)
        file.write(bytes([byte ^ (1 << dice.randrange(8))]))
    rig.say(f"a bit of {path.name} flipped, at {at} of {path.stat().st_size}")


async def _until_delivered(rig: Rig) -> None:
    """The database has what the box read a moment ago."""
    since = mono_ns()

    async def has_newer() -> bool:
        try:
            connection = await asyncpg.connect(rig.server.url, timeout=5)
        except (OSError, asyncpg.PostgresError, TimeoutError):
            return False
        try:
            late_s = await connection.fetchval("SELECT extract(epoch FROM clock_timestamp() - max(at)) FROM latest")
            return late_s is not None and float(late_s) < (mono_ns() - since) / S + DELIVERED_S / 2
        finally:
            await connection.close()

    await rig.until("what the box reads is delivered", has_newer)


# What must hold all the same


class Weighed(msgspec.Struct):
    """What was found; `missing`: answers that were news and are not stored, without an excuse."""

    rows: int = 0
    lost: int = 0
    duplicated: int = 0
    out_of_order: int = 0
    foreign: int = 0
    other: int = 0
    missing: int = 0
    declared: int = 0
    excused: int = 0
    mistakes: list[str] = []

    def wrong(self, kind: str, said: str) -> None:
        """Notes a mistake."""
        setattr(self, kind, getattr(self, kind) + 1)
        self.mistakes.append(f"{kind}: {said}")


def weigh(
    histories: dict[Series, History], stored: Stored, excuses: Sequence[Excuse], kills_ns: Sequence[int],
    declared: Sequence[str], last: dict[Series, str], seal_s: float,
) -> Weighed:  # fmt: skip
    """Holds what is stored against what was answered.

    `declared` are the reasons of the receipts; `last` each state point's word once all rested.
    """
    found = Weighed(declared=len(declared))
    missing: list[str] = []
    for series, history in histories.items():
        rows = sorted(stored.series.get(series, []), key=lambda row: row.mono_ns)
        seen = sorted((o for run in history.runs for o in run), key=lambda o: o.answered_ns)
        news = _news(history, seen) if history.lane is Lane.BULK else []
        unused = _match(found, series, rows, seen, news, stored.slack_ns, excuses)
        found.rows += len(rows)
        for one in news:
            if id(one) not in unused:
                continue
            if _excused(one, excuses, kills_ns, seal_s):
                found.excused += 1
            else:
                found.missing += 1
                missing.append(f"{series}: {one.value!r} answered at {one.answered_ns}")
    if found.missing and not declared:
        found.lost += found.missing
        found.mistakes += [f"lost, and nothing declared: {what}" for what in missing]
    for series, word in last.items():
        newest = stored.latest.get(series)
        if newest is None or newest.value != word or newest.quality != Quality.GOOD:
            found.wrong("other", f"{series}: the device says {word}, the cloud knows {newest}")
        if series[1] == "smoke" and bool(stored.active.get(series)) != _is_alarm(stored, series):
            found.wrong("other", f"{series}: alarms and states do not agree")
        if stored.active.get(series, 0) > 1:
            found.wrong("duplicated", f"{series}: {stored.active[series]} active alarms")
    for series in stored.series.keys() - histories.keys():
        if series[1] != "link":
            found.wrong("foreign", f"{series}: never answered")
    return found


def _is_alarm(stored: Stored, series: Series) -> bool:
    """Nobody acknowledges: an alarm that was ever raised is still there."""
    return any(row.value == "smoke" and row.quality == Quality.GOOD for row in stored.series.get(series, []))


def _match(
    found: Weighed, series: Series, rows: Sequence[Row], seen: Sequence[Observation], news: Sequence[Observation],
    slack_ns: int, excuses: Sequence[Excuse],
) -> set[int]:  # fmt: skip
    """Finds for each row an answer of its own, and for what was news a row; the ids of the answers without one.

    As many of both as there can be: a mistake is what no way of pairing them explains.
    """
    times = [one.answered_ns for one in seen]
    fits = [_fitting(row, seen, times, slack_ns, excuses) for row in rows]
    fits_back: list[list[int]] = [[] for _ in seen]
    for number, answers in enumerate(fits):
        for answer in answers:
            fits_back[answer].append(number)
    of_answer: dict[int, int] = {}
    of_row: dict[int, int] = {}
    is_news = {id(one) for one in news}
    for answer, one in enumerate(seen):
        if id(one) in is_news:
            _pair(answer, fits_back, of_answer, of_row)
    for number, row in enumerate(rows):
        if number in of_row or _pair(number, fits, of_row, of_answer):
            continue
        if row.quality == Quality.GOOD or row.value is not None:
            found.wrong("duplicated" if fits[number] else "foreign", f"{series}: {row.value!r} of {row.mono_ns}")
    return {id(one) for answer, one in enumerate(seen) if answer not in of_answer}


def _fitting(
    row: Row, seen: Sequence[Observation], times: Sequence[int], slack_ns: int, excuses: Sequence[Excuse]
) -> list[int]:
    """The answers that a row may tell of, the nearest first."""
    off_ns = TIME_NS + slack_ns
    if any(e.is_in_doubt and e.from_ns - LATE_NS <= row.mono_ns <= e.to_ns + LATE_NS for e in excuses):
        off_ns += LATE_NS
    found = []
    at = bisect_left(times, row.mono_ns - off_ns)
    while at < len(seen) and seen[at].earliest_ns <= row.mono_ns + off_ns:
        if (seen[at].quality, seen[at].value) == (row.quality, row.value) or _close(seen[at], row):
            found.append(at)
        at += 1
    return sorted(found, key=lambda answer: _off_ns(seen[answer], row))


def _pair(start: int, fits: Sequence[Sequence[int]], paired: dict[int, int], taken: dict[int, int]) -> bool:
    """Pairs `start` with one of the other side, moving others to another of theirs if need be (an augmenting path).

    Who is paired stays paired, on both sides.
    """
    came_from: dict[int, int] = {}
    queue = [start]
    for mine in queue:
        for theirs in fits[mine]:
            if theirs in came_from:
                continue
            came_from[theirs] = mine
            if theirs in taken:
                queue.append(taken[theirs])
                continue
            while True:
                mine = came_from[theirs]
                before = paired.get(mine)
                paired[mine], taken[theirs] = theirs, mine
                if before is None:
                    return True
                theirs = before
    return False


def _off_ns(one: Observation, row: Row) -> int:
    return abs(one.answered_ns - row.mono_ns)


def _close(one: Observation, row: Row) -> bool:
    if not (isinstance(one.value, float) and isinstance(row.value, float)) or one.quality != row.quality:
        return False
    return abs(one.value - row.value) <= 1e-9 * max(1.0, abs(one.value))


def _news(history: History, seen: Sequence[Observation]) -> list[Observation]:
    """Answers that any box had to report, whatever it knew: further than any deadband from those before.

    From some of them, since of two boxes each knows its own answers only.
    """
    far = 2 * float(history.deadband) + 1
    return [
        now
        for at, now in enumerate(seen)
        if at >= KNOWN and now.quality == Quality.GOOD and now.sure
        and all(abs(now.raw - before.raw) > far for before in seen[at - KNOWN : at])
    ]  # fmt: skip


def _excused(one: Observation, excuses: Sequence[Excuse], kills_ns: Sequence[int], seal_s: float) -> bool:
    young_ns = round((seal_s + 1.0) * S)
    if any(kill - young_ns <= one.answered_ns <= kill for kill in kills_ns):
        return True
    return any(excuse.why and excuse.from_ns <= one.answered_ns <= excuse.to_ns for excuse in excuses)


async def last_words(rig: Rig) -> dict[Series, str]:
    """What each state point of the estate is."""
    last: dict[Series, str] = {}
    for device in rig.devices:
        for point, mapped in device.profile.points.items():
            if mapped.read is not None and mapped.states:
                last[device.device.id, point] = str(await rig.control.tell(GetOrder(device.device.id, point)))
    return last
