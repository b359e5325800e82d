"""What every simulated bus can do, whatever its protocol, and what can be wrong with it."""

from collections.abc import Iterator
from types import TracebackType
from typing import Annotated, ClassVar, Literal, Protocol, Self

import msgspec

from contract.errors import Permanent
from contract.site import ResolvedDevice

Value = str | float
"""A word of a state, or a number in the point's unit.

Of an event point 1 means that it happens now and 0 that it is over: a bus that is polled shows it in between, a bus of
messages sends one with the 1.
"""

FaultKind = Literal[
    "silent", "slow", "late", "exception", "cut", "garbage", "transaction", "transaction_0", "unit", "function",
    "length", "crc", "truncated", "noise", "echo", "jump", "flood",
]  # fmt: skip


class Fault(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What is wrong with a device, in words that mean the same on each bus that knows them.

    silent: it says nothing. slow: each answer comes after `delay_s`. late: each answer only when the next question has
    arrived, before its answer (the last stays away). exception: refused with `code`. cut: the connection is closed
    instead of an answer. garbage: bytes that are no frame or payload. truncated: the end of a frame or payload is
    missing. jump: its numbers are wild. flood: all its numbers change at each question; a device that speaks by itself
    does so `rate` times a second. Sound frames with one part wrong: `transaction` (the last question's),
    `transaction_0`, `unit`, `function`, `length` (one value short), `crc`. On a serial line: noise (stray bytes before
    and after an answer), echo (the line gives each question back before the answer).

    `times` ends a fault after so many questions, or messages of a device that speaks by itself. `share` is how many of
    them meet it, by the dice of the bus's seed.
    """

    kind: FaultKind
    delay_s: Annotated[float, msgspec.Meta(ge=0)] = 0.0
    code: Annotated[int, msgspec.Meta(ge=1, le=255)] = 4
    times: Annotated[int, msgspec.Meta(ge=1)] | None = None
    share: Annotated[float, msgspec.Meta(gt=0, le=1)] = 1.0
    rate: Annotated[float, msgspec.Meta(gt=0, le=10_000)] = 100.0


class SimulatedBus(Protocol):
    """One bus of a site file and the devices on it, as an async context manager: there while open.

    Made as `Class(bus, devices, log, speed, seed)`, which does no I/O: the bus's model (contract/site), its own
    devices, the truth log; `speed` divides every duration that a device keeps by itself (a door's seconds of being
    unlocked), never those of the wire; the same `seed` throws the same dice. `kinds` are the faults that it can do.
    `set`, `get` and `fail` work also before it is up, which is how a scenario is checked; every point has a value.
    """

    kinds: ClassVar[frozenset[str]]

    async def __aenter__(self) -> Self:
        """Comes up. Raises OSError where the machine does not let it."""

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Goes, leaving nothing behind."""

    @property
    def where(self) -> str:
        """Where it can be reached and who is on it, in a few words for people."""

    def set(self, device: str, point: str, value: Value) -> None:
        """A point takes a value now, noted in the truth log. Raises Permanent when it cannot be."""

    def get(self, device: str, point: str) -> Value:
        """What a point is now, as the wire can say it. Raises Permanent for a point there is not."""

    def fail(self, device: str, fault: Fault | None) -> None:
        """Gives a device (and what shares its unit) a fault, or takes it away. Raises Permanent for a foreign kind."""

    def cut(self) -> None:
        """Every connection to it breaks; it can be reached again at once."""

    async def power(self, is_on: bool) -> None:
        """It goes, as without power, or comes back. Harmless when it is so already."""

    def points(self) -> Iterator[tuple[ResolvedDevice, str]]:
        """Every point of its devices that `set` takes."""


def check_fault(fault: Fault, kinds: frozenset[str], protocol: str) -> None:
    """Raises Permanent for a fault that a bus of this protocol cannot do, or that lacks a part."""
    if fault.kind not in kinds:
        raise Permanent(f"a {protocol} bus cannot do {fault.kind!r}; it can do: {', '.join(sorted(kinds))}")
    if fault.kind == "slow" and not fault.delay_s:
        raise Permanent("a slow device needs delay_s")
