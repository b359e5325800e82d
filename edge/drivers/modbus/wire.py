"""One connection to a Modbus endpoint or line, one question at a time; every answer is checked before it counts.

What is common to every carrier: the wait for an answer. TCP is in tcp.py, RTU over serial and over TCP in line.py.
"""

import asyncio
from typing import Protocol

from contract.clock import mono_ns
from edge.drivers.modbus.errors import GivenUp, Silent, TooLate
from edge.drivers.modbus.frame import Question


class Wire(Protocol):
    """What the driver needs of a connection. `late` counts what arrived and belonged to no open question."""

    late: int

    @property
    def connected(self) -> bool:
        """Whether it stands, as far as is known."""

    async def connect(self, timeout_s: float) -> None:
        """Opens it. Raises Disconnected, saying why not."""

    def close(self) -> None:
        """Closes it; harmless when there is none. A question under way fails with Disconnected."""

    async def ask(self, question: Question, timeout_s: float, not_after_ns: int = NEVER_NS) -> bytes:
        """The data of the answer (frame.check_answer), which may begin up to `timeout_s` after the question ended.

        Raises Silent, BadAnswer, Busy, Refused, GivenUp or Disconnected, and TooLate, before anything is sent, when
        that would be after `not_after_ns` (monotonic).
        """

    def hurry(self, timeout_s: float) -> None:
        """Gives the question under way no more than so long from its beginning on; then it fails with GivenUp."""


NEVER_NS = 1 << 63
