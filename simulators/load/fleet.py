"""All processes of a load, from one place."""

import asyncio
import sys
from contextlib import suppress
from types import TracebackType
from typing import Self

import msgspec

from contract.errors import AnjuError
from simulators.load.plan import Plan, Tick

MOST_LINE = 16 << 20
_END_S = 10.0


class Fleet:
    """So many boxes in a few processes of their own: `async with Fleet(plan, boxes, processes) as fleet`."""

    def __init__(self, plan: Plan, boxes: int, processes: int) -> None:
        self._plans = []
        for n in range(processes):
            first, last = boxes * n // processes, boxes * (n + 1) // processes
            self._plans.append(msgspec.structs.replace(plan, first=plan.first + first, count=last - first))
        self.boxes = boxes
        self._processes: list[asyncio.subprocess.Process] = []
        self._readers: list[asyncio.Task[None]] = []
        self._connected = [0] * processes
        self._news = asyncio.Event()
        self.done = Tick()
        """What was done since it began, or since `forget`."""

    @property
    def pids(self) -> list[int]:
        """The processes."""
        return [process.pid for process in self._processes]

    @property
    def connected(self) -> int:
        """Boxes that have a session and a down stream."""
        return sum(self._connected)

    async def __aenter__(self) -> Self:
        for n, plan in enumerate(self._plans):
            process = await asyncio.create_subprocess_exec(
                sys.executable, "-m", "simulators.load.worker", stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE, limit=MOST_LINE,
            )  # fmt: skip
            self._processes.append(process)
            assert process.stdin is not None
            process.stdin.write(msgspec.json.encode(plan))
            process.stdin.write_eof()
            self._readers.append(asyncio.create_task(self._read(n, process), name=f"load {n}"))
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for process in self._processes:
            with suppress(ProcessLookupError):
                process.kill()
        for reader in self._readers:
            reader.cancel()
        await asyncio.gather(*self._readers, return_exceptions=True)
        for process in self._processes:
            await process.wait()

    async def _read(self, n: int, process: asyncio.subprocess.Process) -> None:
        assert process.stdout is not None
        while line := await process.stdout.readline():
            tick = msgspec.json.decode(line, type=Tick)
            self._connected[n] = tick.connected
            self.done.add(tick)
            self._news.set()

    async def next_second(self) -> None:
        """Waits until a process has told something. Raises AnjuError where one has ended."""
        self._news.clear()
        news = asyncio.create_task(self._news.wait())
        await asyncio.wait([news, *self._readers], timeout=_END_S, return_when=asyncio.FIRST_COMPLETED)
        news.cancel()
        for reader in self._readers:
            if reader.done():
                reader.result()
                raise AnjuError("a process of the load has ended; what it said is above")

    async def until_connected(self) -> None:
        """Waits until all boxes are connected at the same time."""
        while self.connected < self.boxes:
            await self.next_second()

    def forget(self) -> None:
        """Counts from now on."""
        self.done = Tick()
