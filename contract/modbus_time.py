"""What questions cost on a serial line: seconds by baud rate, the sum for a whole bus, and what that means. Pure.

Source: Modbus over serial line 1.02, sections 2.5.1 (a character has 11 bits with parity or two stop bits, 10 else;
frames are parted by 3.5 characters, and by 1.75 ms above 19200 baud).
"""

from collections.abc import Iterable
from typing import Final

import msgspec

from contract.modbus_plan import Read
from contract.profile.modbus import ModbusLimits

_GAP_CHARACTERS = 3.5
_FAST_BAUD = 19200
_FAST_GAP_S = 0.00175
_QUESTION_BYTES = 8
"""A read's whole frame: unit, function, address, count, CRC."""
_ANSWER_AROUND = 5
"""What an answer has besides its data: unit, function, byte count, CRC."""
_ROOM = 0.9
"""The share of its time that a line may well be used; the rest is for commands and repeats."""


class Line(msgspec.Struct, frozen=True):
    """A serial line: bits a second, bits a character (start, eight, parity, stop), silence between frames at least."""

    baud: int
    character_bits: int = 10
    least_gap_s: float = 0.0

    @property
    def character_s(self) -> float:
        """Seconds that a byte takes."""
        return self.character_bits / self.baud

    @property
    def gap_s(self) -> float:
        """The silence before each frame."""
        standard_s = _FAST_GAP_S if self.baud > _FAST_BAUD else _GAP_CHARACTERS * self.character_s
        return max(standard_s, self.least_gap_s)

    def read_s(self, read: Read, answer_s: float) -> float:
        """From the silence before a question to the last byte of its answer, which begins `answer_s` after it."""
        data = -(-read.count // 8) if read.table.is_bits else 2 * read.count
        characters = _QUESTION_BYTES + _ANSWER_AROUND + data
        return characters * self.character_s + 2 * self.gap_s + answer_s

    def narrow(self, limits: ModbusLimits, transaction_s: float) -> ModbusLimits:
        """What one question may ask for so that it takes no longer than `transaction_s`; at least one register."""
        fixed_s = (_QUESTION_BYTES + _ANSWER_AROUND) * self.character_s + 2 * self.gap_s + limits.answer_ms / 1000
        room = max(0, int((transaction_s - fixed_s) / self.character_s + 1e-9))
        return msgspec.structs.replace(
            limits,
            max_registers=min(limits.max_registers, max(1, room // 2)),
            max_bits=min(limits.max_bits, max(8, room * 8)),
        )


class Load(msgspec.Struct, frozen=True):
    """What a bus asks of its line: seconds for one round of what is read at each poll, and share for the rest."""

    units: int
    questions: int
    round_s: float
    slow_share: float

    def share(self, poll_s: float) -> float:
        """Seconds that the line needs of each second."""
        return self.round_s / poll_s + self.slow_share

    def least_poll_s(self) -> float | None:
        """A period that leaves the line some room; None when what is read more seldom is too much by itself."""
        room = _ROOM - self.slow_share
        return self.round_s / room if room > 0 else None


MOST_SHARE: Final = 1.0


def load_of(line: Line, plans: Iterable[tuple[ModbusLimits, list[Read]]]) -> Load:
    """The sum over the questions of each unit, with the limits of its model."""
    units = questions = 0
    round_s = slow_share = 0.0
    for limits, reads in plans:
        units += 1
        questions += len(reads)
        for read in reads:
            cost_s = line.read_s(read, limits.answer_ms / 1000)
            if read.every_s is None:
                round_s += cost_s
            else:
                slow_share += cost_s / read.every_s
    return Load(units, questions, round_s, slow_share)
