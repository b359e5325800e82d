"""A box that was cut off brings its backlog: a million readings of one estate, with alarms in between.

The real outbox and uplink in a process of their own, over TLS and Caddy to the real cloud and its PostgreSQL, all on
this machine. The time is from the first packet until the last reading is acknowledged; each alarm's from the call that
puts it into the outbox (fsync included) until the acknowledgement, which comes after COMMIT.
"""

import asyncio
import json
import shutil
import sys
from pathlib import Path
from statistics import median
from typing import Any

from contract.errors import AnjuError
from tests.bench.catchup_box import ALARM_EVERY_S, READINGS, fill
from tests.bench.figures import Figure, percentile, spread
from tests.bench.tls_cloud import tls_cloud

ROUNDS = 15


async def catchup(folder: Path) -> list[Figure]:
    """Seconds for the backlog, and p99 of the alarms meanwhile."""
    backlog = folder / "backlog"
    backlog.mkdir()
    await fill(backlog)
    took: list[float] = []
    alarms: list[float] = []
    async with tls_cloud(folder) as cloud:
        for n in range(ROUNDS):
            state = folder / f"box-{n}"
            await cloud.enrol(state)
            for file in backlog.iterdir():
                shutil.copy(file, state / file.name)
            found = await _measured(state, cloud.url, cloud.ca)
            took.append(found["took_s"])
            alarms += [1000 * s for s in found["alarms_s"]]
    note = (
        f"{READINGS:,} readings in {found['blocks']} blocks, {found['sent_bytes'] / 1e6:.1f} MB: {spread(took, ' s')}"
    )
    urgent = (
        f"{len(alarms)} alarms, one each {ALARM_EVERY_S:g} s of it: p50 {percentile(alarms, 50):.0f} ms, p99 of all"
    )
    return [
        Figure(name="catchup.million_s", value=median(took), unit="s", most=10, note=note),
        Figure(name="catchup.urgent_p99_ms", value=percentile(alarms, 99), unit="ms", most=200, note=urgent),
    ]


async def _measured(state: Path, url: str, ca: Path) -> dict[str, Any]:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.bench.catchup_box", str(state), url, str(ca), stdout=asyncio.subprocess.PIPE
    )
    said, _ = await process.communicate()
    if process.returncode:
        raise AnjuError("the box of the catch-up failed; see above")
    found: dict[str, Any] = json.loads(said.splitlines()[-1])
    if found["quarantined"] or found["problem"]:
        raise AnjuError(f"the catch-up met trouble: {found}")
    return found
