"""A box of the end-to-end benchmark: readings as fast as its outbox and its cloud take them.

usage: python -m tests.bench.end_to_end_box STATE CLOUD CA READINGS

Prints one line of JSON once all are acknowledged: how many, in how many blocks and bytes, and this process's CPU.
"""

import asyncio
import json
import ssl
import sys
import time
from pathlib import Path

import uvloop

from contract.clock import boot_id
from contract.kinds import Lane
from contract.messages import Command
from contract.records import ClockRecord
from contract.site import Storage
from edge.outbox import Outbox
from edge.provision import load_identity
from edge.uplink import CloudClock, Uplink
from tests.bench.catchup_box import EARLIER_BOOT, inventory, minutes
from tests.bench.corpus import START_NS, corpus

MOST_WAITING = 8
"""Blocks that are sealed and not acknowledged: a box that produces no faster than its cloud takes it."""
_MINUTE_NS = 60 * 10**9


async def work(state: Path, cloud: str, ca: Path, readings: int) -> dict[str, float]:
    """Seals the corpus's hour over and over, a block a minute of it, and delivers it meanwhile."""
    hour = corpus().blocks
    count = minute = 0
    storage = Storage(urgent_mb=64, bulk_mb=512)
    async with Outbox.open(state, boot=EARLIER_BOOT, storage=storage, inventory=inventory()) as outbox:
        ago_ns = (readings // sum(map(len, hour)) + 2) * len(hour) * _MINUTE_NS
        await outbox.record(ClockRecord(EARLIER_BOOT, START_NS, time.time_ns() - ago_ns, 1_000_000, "system"))
        uplink = Uplink(
            cloud, load_identity(state, cloud), outbox, CloudClock(boot_id(), None), _nothing, version="bench",
            ca=ssl.create_default_context(cafile=str(ca)),
        )  # fmt: skip
        running = asyncio.create_task(uplink.run(), name="uplink")
        for some in minutes(hour, readings):
            await outbox.put(some)
            await outbox.flush()
            count, minute = count + len(some), minute + 1
            while outbox.status(Lane.BULK).pending_blocks > MOST_WAITING:  # noqa: ASYNC110  # a benchmark may look
                await asyncio.sleep(0.002)
        await outbox.wait_until_delivered(Lane.BULK)
        status = uplink.status
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
    return {
        "readings": count, "blocks": minute, "bytes": status.sent_bytes, "quarantined": status.quarantined,
        "cpu_s": time.process_time(),
    }  # fmt: skip


async def _nothing(_: Command) -> None:
    """No orders come."""


if __name__ == "__main__":
    found = work(Path(sys.argv[1]), sys.argv[2], Path(sys.argv[3]), int(sys.argv[4]))
    print(json.dumps(uvloop.run(found)))
