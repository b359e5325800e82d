"""What is asked, made ready once: the bytes of each question, how its answer is decoded, how long the wire takes."""

import msgspec

from contract.modbus_plan import Read
from contract.modbus_time import Line
from edge.drivers.modbus.decode import Decode, decoder_of
from edge.drivers.modbus.frame import Question, read_question
from edge.drivers.modbus.wire import NEVER_NS


class Planned(msgspec.Struct, frozen=True, eq=False):
    """A read with its question, its decoder and the seconds that the frames take on the line (0 for a network)."""

    read: Read
    question: Question
    decode: Decode
    wire_s: float = 0.0


class Write(msgspec.Struct, frozen=True):
    """One order: a question that writes, not after `deadline_ns` (monotonic)."""

    question: Question
    deadline_ns: int = NEVER_NS


def planned(read: Read, line: Line | None) -> Planned:
    """A read made ready for a line, or for a network."""
    question = read_question(read.unit, read.table, read.address, read.count)
    return Planned(read, question, decoder_of(read), line.read_s(read, 0.0) if line else 0.0)
