"""Readings a second from boxes' outboxes to rows, everything on this machine.

Several boxes, each the real outbox (fsync on) and the real uplink in a process of its own, over TLS and the boxes'
front to the real cloud and its PostgreSQL. The time is from the first reading until the last is a row of `readings`
that plain SQL sees; roll-ups and the rules run meanwhile.
"""

import asyncio
import json
import os
import sys
import time
from pathlib import Path
from statistics import median

from cloud.identity.gateways import Gateways
from cloud.store import Database
from contract.errors import AnjuError
from tests.bench.boxes import System, system
from tests.bench.figures import Figure, spread

BOXES = 4
READINGS = 500_000
"""Of each box."""
ROUNDS = 3
_SETTLED_WITHIN_S = 120.0


async def end_to_end(folder: Path) -> list[Figure]:
    """Readings a second, and where the CPU goes."""
    rates, notes = [], []
    async with system(folder, fronts=1) as there, Database.open(there.database_url, 2) as database:
        for n in range(ROUNDS):
            states = [folder / f"box-{n}-{i}" for i in range(BOXES)]
            for state in states:
                await _enrol(there, database, state)
            rate, note = await _measured(there, database, states)
            rates.append(rate)
            notes.append(note)
            print(f"{rate:,.0f} readings/s; {note}")
    note = f"{BOXES} boxes × {READINGS:,} readings on {os.cpu_count()} cores; {spread(rates)}; {notes[-1]}"
    return [Figure(name="end_to_end.readings_per_s", value=median(rates), unit="readings/s", note=note)]


async def _enrol(there: System, database: Database, state: Path) -> None:
    claim = await Gateways(database, there.url).make_claim("测速小区", "bench")
    anju = str(Path(sys.executable).with_name("anju"))
    enrol = ("enrol", "--cloud", there.url, "--claim", claim, "--ca", str(there.ca), "--state", str(state))
    process = await asyncio.create_subprocess_exec(anju, *enrol, stdout=asyncio.subprocess.DEVNULL)
    if await process.wait():
        raise AnjuError("a box could not be enrolled")


async def _measured(there: System, database: Database, states: list[Path]) -> tuple[float, str]:
    rows = await _rows(database)
    cpu, began = there.cpu_s(), time.monotonic()
    processes = [
        await asyncio.create_subprocess_exec(
            sys.executable, "-m", "tests.bench.end_to_end_box", str(state), there.url, str(there.ca), str(READINGS),
            stdout=asyncio.subprocess.PIPE,
        )
        for state in states
    ]  # fmt: skip
    said = [(await process.communicate())[0] for process in processes]
    found = [json.loads(lines.splitlines()[-1]) for lines in said]  # after what it logged
    acknowledged_s = time.monotonic() - began
    wanted = rows + len(states) * READINGS
    while await _landed(database):
        if time.monotonic() - began > acknowledged_s + _SETTLED_WITHIN_S:
            raise AnjuError("blocks are landed and never become rows")
        await asyncio.sleep(0.05)
    took_s = time.monotonic() - began
    there_now = await _rows(database)
    if there_now != wanted or any(box["quarantined"] for box in found):
        raise AnjuError(f"{there_now - rows} rows of {wanted - rows} readings; quarantined: {found}")
    front, cloud, stored = (after - before for before, after in zip(cpu, there.cpu_s(), strict=True))
    boxes, total = sum(box["cpu_s"] for box in found), wanted - rows
    share = ", ".join(
        f"{name} {1e6 * used / total:.2f}"
        for name, used in (("boxes", boxes), ("front", front), ("cloud", cloud), ("database", stored))
    )
    note = (
        f"acknowledged after {acknowledged_s:.1f} s, all rows after {took_s:.1f} s;"
        f" µs of CPU a reading: {share}; {sum(box['bytes'] for box in found) / total:.2f} bytes a reading"
    )
    return total / took_s, note


async def _landed(database: Database) -> bool:
    async with database.connect() as connection:
        return bool(await connection.fetchval("SELECT EXISTS (SELECT FROM landing)"))


async def _rows(database: Database) -> int:
    async with database.connect() as connection:
        return int(await connection.fetchval("SELECT count(*) FROM readings"))


if __name__ == "__main__":
    import tempfile

    with tempfile.TemporaryDirectory(prefix="anju-bench-") as name:
        print(asyncio.run(end_to_end(Path(name))))
