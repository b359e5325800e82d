"""The process of the catch-up benchmark that is measured: an outbox with a backlog and the uplink that delivers it.

usage: python -m tests.bench.catchup_box STATE CLOUD CA

Prints one line of JSON: seconds until the backlog is acknowledged, and how long each alarm took from the call that puts
it until the cloud's acknowledgement, which comes after COMMIT.
"""

import asyncio
import json
import ssl
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import uvloop

from contract.clock import boot_id, mono_ns
from contract.columns import Row
from contract.kinds import Lane
from contract.messages import Command, Quality, Reading
from contract.records import ClockRecord, DeviceEntry, InventoryRecord, Place, SeriesEntry
from contract.site import Storage
from edge.outbox import Outbox
from edge.provision import load_identity
from edge.uplink import CloudClock, Uplink
from tests.bench.corpus import SOURCES, START_NS, corpus

READINGS = 1_000_000
STORAGE = Storage(urgent_mb=64, bulk_mb=512)
ALARM_EVERY_S = 0.1
EARLIER_BOOT = b"the boot before."
_MINUTE_NS = 60 * 10**9
FIRE = "smoke_detector-0"


def inventory() -> InventoryRecord:
    """The corpus's devices as an estate announces them."""
    devices, series = [], []
    for number, (kind, source) in enumerate(_sources()):
        name = f"{kind}-{number}"
        devices.append(DeviceEntry(name, name, kind, "bench", "bus", Place(), ()))
        series += [SeriesEntry(name, one.point, Lane.BULK, 750.0) for one in source]
    devices.append(DeviceEntry(FIRE, "烟感", "smoke_detector", "bench", "bus", Place(), ()))
    series.append(SeriesEntry(FIRE, "smoke", Lane.URGENT, 750.0))
    return InventoryRecord("测速小区", tuple(devices), tuple(series))


def _sources() -> Iterator[tuple[str, tuple]]:  # type: ignore[type-arg]
    for kind, count, sources in SOURCES:
        for _ in range(count):
            yield kind, sources


def minutes(hour: Sequence[Sequence[Row]], most: int) -> Iterator[list[Reading]]:
    """So many readings, a minute of the corpus at a time, its hour over and over; times go on from START_NS."""
    places = [(f"{kind}-{n}", source.point) for n, (kind, sources) in enumerate(_sources()) for source in sources]
    count = minute = 0
    while count < most:
        late_ns = minute // len(hour) * len(hour) * _MINUTE_NS
        rows = hour[minute % len(hour)][: most - count]
        yield [Reading(*places[r.series], r.value, r.quality, r.mono_ns + late_ns, Lane.BULK) for r in rows]
        count, minute = count + len(rows), minute + 1


async def fill(state: Path) -> int:
    """Puts a backlog into an outbox: the corpus's hour over and over, minute by minute, in a boot that has gone by."""
    hour = corpus().blocks
    count = 0
    async with Outbox.open(state, boot=EARLIER_BOOT, storage=STORAGE, inventory=inventory()) as outbox:
        ago_ns = READINGS // sum(map(len, hour)) * 60 * _MINUTE_NS + 120 * _MINUTE_NS
        await outbox.record(ClockRecord(EARLIER_BOOT, START_NS, time.time_ns() - ago_ns, 1_000_000, "system"))
        for readings in minutes(hour, READINGS):
            await outbox.put(readings)
            await outbox.flush()
            count += len(readings)
    return count


async def deliver(state: Path, cloud: str, ca: Path) -> dict[str, object]:
    """Connects, and delivers all of it while alarms are raised."""
    boot = boot_id()
    async with Outbox.open(state, boot=boot, storage=STORAGE, inventory=inventory()) as outbox:
        uplink = Uplink(
            cloud, load_identity(state, cloud), outbox, CloudClock(boot, None), _nothing, version="bench",
            ca=ssl.create_default_context(cafile=str(ca)),
        )  # fmt: skip
        blocks = outbox.status(Lane.BULK).pending_blocks
        began = time.monotonic()
        running = asyncio.create_task(uplink.run(), name="uplink")
        while not uplink.status.connected:  # noqa: ASYNC110  # a benchmark may look
            await asyncio.sleep(0.001)
        connected = time.monotonic() - began
        await outbox.wait_until_delivered(Lane.URGENT)  # what was there before: inventory and clock
        alarms, lasting = [], asyncio.create_task(outbox.wait_until_delivered(Lane.BULK), name="bulk")
        while not lasting.done():
            at = time.monotonic()
            word = "clear" if len(alarms) % 2 else "smoke"
            await outbox.put([Reading(FIRE, "smoke", word, Quality.GOOD, mono_ns(), Lane.URGENT)])
            await outbox.wait_until_delivered(Lane.URGENT)
            alarms.append(time.monotonic() - at)
            await asyncio.wait([lasting], timeout=max(0.0, ALARM_EVERY_S - alarms[-1]))
        took = time.monotonic() - began
        status = uplink.status
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
    return {"took_s": took, "connect_s": connected, "blocks": blocks, "alarms_s": alarms, "problem": status.problem,
            "sent_bytes": status.sent_bytes, "quarantined": status.quarantined}  # fmt: skip


async def _nothing(_: Command) -> None:
    """No orders come."""


if __name__ == "__main__":
    print(json.dumps(uvloop.run(deliver(Path(sys.argv[1]), sys.argv[2], Path(sys.argv[3])))))
