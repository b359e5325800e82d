"""A simulated estate that never rests: states toggle at random, telemetry changes before each poll."""

import asyncio
import heapq
import random
from collections.abc import Iterator
from contextlib import suppress
from fractions import Fraction
from pathlib import Path
from typing import Self

import msgspec

from contract.clock import mono_ns
from contract.kinds import KINDS, PointType
from contract.profile import ModbusPoint
from contract.site import ResolvedDevice
from simulators.control import Answered, GetOrder, Order, SetOrder

TOGGLE_S = (0.3, 3.0)
CHANGE_S = 0.1
"""Shorter than any poll, so that each poll finds another number."""
LAST = "last"
"""The device whose points stay as they are until all others rest."""


class Control:
    """One connection to a running simulator, for many orders."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer
        self._turn = asyncio.Lock()

    @classmethod
    async def connect(cls, path: Path) -> Self:
        """Raises OSError when no simulator listens."""
        return cls(*await asyncio.open_unix_connection(path))

    async def tell(self, order: Order) -> str | float | None:
        """Gives one order and returns the value it is answered with. Raises ValueError when it is refused."""
        async with self._turn:
            self._writer.write(msgspec.json.encode(order) + b"\n")
            answer = msgspec.json.decode(await self._reader.readline(), type=Answered)
        if not answer.ok:
            raise ValueError(answer.error)
        return answer.value

    async def close(self) -> None:
        """Ends the connection."""
        self._writer.close()
        with suppress(OSError):
            await self._writer.wait_closed()


def _numbers(mapped: ModbusPoint, dice: random.Random) -> Iterator[float]:
    """Values of a number without end, in its unit: one counts up by more than the deadband, or wanders in small steps
    and now and then lies outside the plausible, so that the deadband and the bounds matter too.
    """
    scale, deadband = Fraction(str(mapped.scale)), Fraction(str(mapped.report.deadband))
    low, high = (Fraction(str(bound)) for bound in (mapped.minimum, mapped.maximum))
    step = int(deadband / scale)
    if mapped.minimum == 0:
        while True:
            raw = int(low / scale)
            while raw * scale <= high:
                yield float(raw * scale)
                raw += step + 1
    raw = int(20 / scale)
    while True:
        raw = min(max(raw + dice.randint(-step - 3, step + 3), int(low / scale)), int(high / scale))
        yield float(raw * scale) if dice.random() > 0.05 else float(high + 5 + dice.randint(0, 9))


class Life:
    """What changes in the estate, until it rests. The same seed makes the same life, but for its pace."""

    def __init__(self, control: Control, devices: list[ResolvedDevice], seed: int) -> None:
        self._control = control
        self._dice = random.Random(seed)
        self._states: list[tuple[str, str, list[str]]] = []
        self._numbers: list[tuple[str, str, Iterator[float]]] = []
        for device in devices:
            if device.device.id == LAST:
                continue
            for name, mapped in device.profile.points.items():
                if mapped.read is None:
                    continue
                if KINDS[device.profile.kind].points[name].type is PointType.STATE:
                    self._states.append((device.device.id, name, list(mapped.states.values())))
                else:
                    own = random.Random(self._dice.random())
                    self._numbers.append((device.device.id, name, _numbers(mapped, own)))

    async def run(self) -> None:
        """Lives for ever; cancelled to rest. An order that was given is then answered all the same."""
        loop = asyncio.get_running_loop()
        now = loop.time()
        due = [(now + self._dice.uniform(*TOGGLE_S), i, 1) for i in range(len(self._states))]
        due += [(now + CHANGE_S * i / len(self._numbers), i, -1) for i in range(len(self._numbers))]
        heapq.heapify(due)
        while True:
            at, i, word = heapq.heappop(due)
            await asyncio.sleep(max(0.0, at - loop.time()))
            if word < 0:
                device, point, numbers = self._numbers[i]
                order, next_at = SetOrder(device, point, next(numbers)), at + CHANGE_S
            else:
                device, point, words = self._states[i]
                order = SetOrder(device, point, words[word])
                word, next_at = (word + 1) % len(words), at + self._dice.uniform(*TOGGLE_S)
            heapq.heappush(due, (max(next_at, loop.time()), i, word))
            await asyncio.shield(asyncio.ensure_future(self._control.tell(order)))


async def barrier_ns(control: Control) -> int:
    """A time by which the simulator has answered, and logged, all that reached it before this was called."""
    await control.tell(GetOrder(LAST, "smoke"))
    return mono_ns()
