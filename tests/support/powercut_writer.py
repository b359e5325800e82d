"""A process that writes to a real outbox until its power is cut, and says on a pipe what it was promised.

Lines of JSON. It says `open` with the states it found; `put` with what, and the number of the last (or from `first` on)
that the outbox took as durable; `blocks` to be answered by the cloud (the test) with a `cursor` or `refused`.
"""

import asyncio
import json
import os
import sqlite3
import sys
from pathlib import Path
from typing import Any

import structlog

from contract.kinds import Lane
from contract.messages import Event, Quality, Reading
from contract.session import Cursor
from contract.site import Storage
from edge.disk import connect
from edge.outbox import Outbox, sealers, store
from edge.seams import Standing
from tests.unit.edge.outbox.examples import INVENTORY

WRITERS = 3
PEEK_BYTES = 3_000


def say(what: str, **more: Any) -> None:
    """One line, out at once."""
    os.write(1, json.dumps({"what": what} | more).encode() + b"\n")


def break_promise(mutant: str) -> None:
    """Makes the outbox one that promises more than it keeps."""
    if mutant == "answers early":
        add = sealers.UrgentSealer.add

        def add_and_answer(self: sealers.UrgentSealer, *arguments: Any, **options: Any) -> asyncio.Future[None]:
            add(self, *arguments, **options)
            loop = asyncio.get_running_loop()
            done: asyncio.Future[None] = loop.create_future()
            loop.call_soon(done.set_result, None)
            return done

        sealers.UrgentSealer.add = add_and_answer  # type: ignore[method-assign]
    elif mutant:

        def connect_and_forget(path: Path) -> sqlite3.Connection:
            db = connect(path)
            db.execute(f"PRAGMA synchronous = {mutant}")
            return db

        vars(store)["connect"] = connect_and_forget


async def main() -> None:
    """Runs until it is killed."""
    told = json.loads(sys.argv[1])
    break_promise(told["mutant"])
    first = told["first"]
    storage = Storage(seal_s=0.1, urgent_mb=8, bulk_mb=8)
    async with Outbox.open(
        Path(told["folder"]), boot=bytes.fromhex(told["boot"]), storage=storage, inventory=INVENTORY
    ) as outbox:
        say("open", states={s.point: s.value for s in outbox.restored_states()})
        for lane in Lane:
            if await outbox.reconcile(lane, Cursor(*told["cursors"][lane])) is not Standing.AGREES:
                await outbox.open_epoch(lane)
        async with asyncio.TaskGroup() as tasks:
            for writer in range(WRITERS):
                tasks.create_task(put_events(outbox, writer, first))
            tasks.create_task(put_states(outbox, first))
            tasks.create_task(put_readings(outbox, first))
            tasks.create_task(deliver(outbox))


async def put_events(outbox: Outbox, writer: int, n: int) -> None:
    """Events of one writer, one after the other; several writers share a commit."""
    while True:
        n += 1
        await outbox.put([Event("smoke-1", "pressed", {"writer": writer, "n": n}, n)])
        say("put", of=f"event {writer}", n=n)


async def put_states(outbox: Outbox, n: int) -> None:
    """A state whose word is its number, which is to be found again at the next start."""
    while True:
        n += 1
        await outbox.put([Reading("smoke-1", "smoke", str(n), Quality.GOOD, n, Lane.URGENT)])
        say("put", of="state", n=n)


async def put_readings(outbox: Outbox, n: int) -> None:
    """Telemetry, many at a time; durable once it was flushed."""
    while True:
        batch = range(n + 1, n + 200)
        n = batch[-1]
        await outbox.put([Reading("smoke-1", "temperature", float(i), Quality.GOOD, i, Lane.BULK) for i in batch])
        await outbox.flush()
        if not outbox.status(Lane.BULK).failing:
            say("put", of="reading", first=batch[0], n=n)


async def deliver(outbox: Outbox) -> None:
    """Hands blocks to the cloud and does what it answers."""
    loop = asyncio.get_running_loop()
    while True:
        for lane in Lane:
            blocks = await outbox.peek(lane, PEEK_BYTES)
            if not blocks:
                continue
            say("blocks", lane=lane, blocks=[block.hex() for block in blocks])
            answer = json.loads(await loop.run_in_executor(None, sys.stdin.readline))
            if "cursor" in answer:
                await outbox.acknowledge(lane, Cursor(*answer["cursor"]))
            else:
                await outbox.open_epoch(lane)
        await asyncio.sleep(0.001)


if __name__ == "__main__":
    structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))
    asyncio.run(main())
