"""What the driver needs of a connection, whatever carries it, and the wait for an answer that all carriers share.

TCP is in tcp.py, RTU (on a serial port or over TCP) in line.py.
"""

import asyncio
from typing import Final, Protocol

from edge.drivers.modbus.errors import GivenUp
from edge.drivers.modbus.frame import Question

NEVER_NS: Final = 1 << 63
"""A time to be done that does not pass."""
_EARLY_S = 0.0005
"""Timers fire as much as this too early, for their clocks count whole milliseconds."""


class Wire(Protocol):
    """A connection with at most one question under way. `late` counts what came and belonged to no open question."""

    late: int

    @property
    def connected(self) -> bool:
        """Whether it stands, as far as is known."""

    async def connect(self, timeout_s: float) -> None:
        """Opens it. Raises Disconnected, saying why it could not."""

    def close(self) -> None:
        """Closes it; harmless when there is none."""

    async def ask(self, question: Question, timeout_s: float, not_after_ns: int = NEVER_NS) -> bytes:
        """The data of the answer (see check_answer), which may begin until `timeout_s` after the question's end.

        Raises Silent, BadAnswer, Busy, Refused, GivenUp or Disconnected; and TooLate, with nothing sent, when it could
        only go out after `not_after_ns` (monotonic).
        """

    def hurry(self, timeout_s: float) -> None:
        """The question under way gets `timeout_s` from its beginning on, if it had more; it fails with GivenUp."""


class Wait:
    """The wait for one answer at a time, on one timer that is set anew only when it must fire earlier.

    An asyncio.timeout for each question would cost more than the question.
    """

    def __init__(self) -> None:
        self._answer: asyncio.Future[bytes] | None = None
        self._asked_s = self._until_s = self._fires_s = 0.0
        self._is_hurried = False
        self._timer: asyncio.TimerHandle | None = None

    @property
    def is_open(self) -> bool:
        """Whether a question waits for its answer."""
        return self._answer is not None and not self._answer.done()

    async def answer(self, timeout_s: float) -> bytes:
        """What `give` gives. Raises what `fail` is told, or TimeoutError after `timeout_s`."""
        loop = asyncio.get_running_loop()
        self._asked_s = loop.time()
        self._is_hurried = False
        self._answer = loop.create_future()
        self._set(self._asked_s + timeout_s)
        try:
            return await self._answer
        finally:
            self._answer = None

    def give(self, pdu: bytes) -> None:
        """The answer has come; harmless when nobody waits."""
        if self._answer is not None and not self._answer.done():
            self._answer.set_result(pdu)

    def fail(self, error: Exception) -> None:
        """There will be no answer; harmless when nobody waits."""
        if self._answer is not None and not self._answer.done():
            self._answer.set_exception(error)

    def go_on(self, until_s: float) -> None:
        """It may last until then (the loop's clock), no longer and no shorter."""
        self._is_hurried = False
        self._set(until_s)

    def hurry(self, timeout_s: float) -> None:
        """No more than so long from the beginning on, if it may last longer now; GivenUp then."""
        until_s = self._asked_s + timeout_s
        if self.is_open and until_s < self._until_s:
            self._is_hurried = True
            self._set(until_s)

    def stop(self) -> None:
        """No timer is left."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _set(self, until_s: float) -> None:
        self._until_s = until_s
        if self._timer is not None:
            if self._fires_s <= until_s:
                return
            self._timer.cancel()
        self._fire_at(until_s)

    def _fire_at(self, when_s: float) -> None:
        self._fires_s = when_s
        self._timer = asyncio.get_running_loop().call_at(when_s, self._fire)

    def _fire(self) -> None:
        self._timer = None
        if not self.is_open:
            return
        if asyncio.get_running_loop().time() + _EARLY_S < self._until_s:
            self._fire_at(self._until_s)
        else:
            self.fail(GivenUp("its answer was waited for no longer: a command came") if self._is_hurried
                      else TimeoutError())  # fmt: skip
