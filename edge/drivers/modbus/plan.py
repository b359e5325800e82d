"""What is asked, made ready once: the bytes of each question, how its answer is decoded, how long the wire takes."""

from collections.abc import Container

import msgspec

from contract.kinds import KINDS, PointType
from contract.modbus_plan import Read
from contract.modbus_time import Line
from edge.drivers.modbus.decode import Decode, decoder_of
from edge.drivers.modbus.frame import Question, read_question
from edge.drivers.modbus.wire import NEVER_NS


class Planned(msgspec.Struct, frozen=True, eq=False):
    """A read with its question, its decoder and the seconds that the frames take on the line (0 for a network).

    `is_patient`: its answer may wait for others before it is handed on (see held.py).
    """

    read: Read
    question: Question
    decode: Decode
    wire_s: float = 0.0
    is_patient: bool = False


class Write(msgspec.Struct, frozen=True):
    """One order: a question that writes, not after `deadline_ns` (monotonic)."""

    question: Question
    deadline_ns: int = NEVER_NS


def planned(read: Read, line: Line | None, patient: Container[str] = ()) -> Planned:
    """A read made ready for a line, or for a network; `patient` are the points that may wait.

    On a line nothing waits: its next answer is far, and it asks for little of the box.
    """
    question = read_question(read.unit, read.table, read.address, read.count)
    is_patient = line is None and all(item.point in patient for item in read.items)
    return Planned(read, question, decoder_of(read), line.read_s(read, 0.0) if line else 0.0, is_patient)


def patient_points(kind: str) -> frozenset[str]:
    """The points of a kind that nothing on the box acts on at once: its telemetry."""
    return frozenset(name for name, point in KINDS[kind].points.items() if point.type is PointType.TELEMETRY)
