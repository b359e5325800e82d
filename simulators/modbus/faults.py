"""Which fault a question meets: by unit, so many times, by the dice."""

import random

from simulators.bus import Fault

TCP_KINDS = frozenset(
    {"silent", "slow", "late", "exception", "cut", "garbage", "truncated", "jump", "flood", "transaction",
     "transaction_0", "unit", "function", "length"}
)  # fmt: skip
"""What a unit behind Modbus TCP can do wrong."""
SERIAL_KINDS = frozenset(
    {"silent", "slow", "late", "exception", "cut", "garbage", "truncated", "jump", "flood", "unit", "function",
     "length", "crc", "noise", "echo"}
)  # fmt: skip
"""What a unit on a serial line can do wrong; echo and noise are of the line, met when this unit is asked."""


class Faults:
    """The faults of a bus's units. The same dice, the same course."""

    def __init__(self, dice: random.Random) -> None:
        self.dice = dice
        self.by_unit: dict[int, Fault] = {}
        self._left: dict[int, int] = {}

    def fail(self, unit: int, fault: Fault | None) -> None:
        """Gives a unit a fault, or takes it away."""
        self._left.pop(unit, None)
        if fault is None:
            self.by_unit.pop(unit, None)
            return
        self.by_unit[unit] = fault
        if fault.times is not None:
            self._left[unit] = fault.times

    def take(self, unit: int) -> Fault | None:
        """The fault that the question at hand meets, counting it."""
        fault = self.by_unit.get(unit)
        if fault is None or (fault.share < 1 and self.dice.random() >= fault.share):
            return None
        if fault.times is not None:
            self._left[unit] -= 1
            if self._left[unit] <= 0:
                self.fail(unit, None)
        return fault
