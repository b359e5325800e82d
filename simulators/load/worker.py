"""One process of a load: takes its plan on standard input, tells what it did on standard output, a line a second.

usage: python -m simulators.load.worker
"""

import asyncio
import resource
import ssl
import sys
from itertools import islice
from pathlib import Path
from urllib.parse import urlsplit

import msgspec

from contract.errors import AnjuError
from simulators.load.box import Box
from simulators.load.estate import inventory
from simulators.load.plan import Plan, Tick, read_identities
from simulators.load.wire import Server

TELL_EVERY_S = 1.0


def server_of(plan: Plan) -> Server:
    """Where the boxes of a plan connect. Raises AnjuError."""
    url = urlsplit(plan.cloud)
    if url.scheme not in {"http", "https"} or not url.hostname:
        raise AnjuError(f"{plan.cloud!r} is no address of a cloud; for example https://anju.example.org")
    tls = None
    if url.scheme == "https":
        tls = ssl.create_default_context(cafile=plan.ca or None)
    host, _, port = plan.address.rpartition(":")
    return Server(host or url.hostname, int(port or url.port or (443 if tls else 80)), tls, plan.cloud)


async def work(plan: Plan) -> None:
    """Lives all boxes of a plan, for ever; each connects in its turn."""
    tick = Tick()
    server, shared = server_of(plan), inventory(plan.detectors)
    shown = shared, shared.inventory_id
    last = None if plan.count is None else plan.first + plan.count
    identities = list(islice(read_identities(Path(plan.boxes)), plan.first, last))
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(_tell(tick), name="tell")
        for n, identity in enumerate(identities):
            box = Box(identity, server, plan, shown, tick, hash((plan.seed, plan.first + n)))
            tasks.create_task(box.run(), name=f"box {n}")
            await asyncio.sleep(1 / plan.connect_per_s)


async def _tell(tick: Tick) -> None:
    while True:
        await asyncio.sleep(TELL_EVERY_S)
        sys.stdout.buffer.write(msgspec.json.encode(tick) + b"\n")
        sys.stdout.buffer.flush()
        tick.counts, tick.ms, tick.problems = {}, {}, {}


def main() -> None:
    """Lives until it is killed, with as many sockets as the machine allows."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    import uvloop

    uvloop.run(work(msgspec.json.decode(sys.stdin.buffer.read(), type=Plan)))


if __name__ == "__main__":
    main()
