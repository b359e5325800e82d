"""Telemetry that waits a moment for its neighbours': what follows an answer costs much less for many at once. Pure."""

from typing import Final

from contract.messages import Sample
from edge.drivers.modbus.plan import Planned
from edge.drivers.modbus.poll import Poll

HOLD_NS: Final = 20_000_000
"""So long at most an answer waits while the bus has more to ask; its block is sealed seconds later."""
QUICK_S: Final = 0.005
"""Nothing waits for an answer that may take longer than this."""
MOST_POINTS: Final = 1000


class Held:
    """Good answers of one bus that are not decoded yet, oldest first: of telemetry only, for a state waits for nothing.

    They are taken, and handed on in their order, before anything else of this bus is handed on.
    """

    __slots__ = ("_answers", "_points", "_since_ns")

    def __init__(self) -> None:
        self._answers: list[tuple[Planned, bytes, int]] = []
        self._points = self._since_ns = 0

    def __bool__(self) -> bool:
        return bool(self._answers)

    def add(self, read: Planned, data: bytes, now_ns: int) -> None:
        """Holds the data of the answer to a question that is patient."""
        if not self._answers:
            self._since_ns = now_ns
        self._answers.append((read, data, now_ns))
        self._points += len(read.read.items)

    def may_wait_for(self, poll: Poll | None, now_ns: int) -> bool:
        """Whether the poll that comes next is soon answered, as far as is known, and what is held may wait for it."""
        return (
            poll is not None
            and now_ns - self._since_ns < HOLD_NS
            and self._points < MOST_POINTS
            and poll.seen
            and not poll.failures
            and poll.slowest_s < QUICK_S
        )

    def take(self) -> list[Sample]:
        """The samples of all that was held; nothing is held then."""
        answers, self._answers, self._points = self._answers, [], 0
        return [sample for read, data, now_ns in answers for sample in read.decode(data, now_ns)]
