"""One turn of a unit: what of its questions was answered, and when its turn comes again. No I/O."""

from collections import deque

from contract.errors import Permanent, Retryable
from contract.messages import Sample
from edge.drivers.modbus.errors import BadAnswer, Busy, GivenUp, Refused, Silent
from edge.drivers.modbus.plan import Planned
from edge.drivers.modbus.poll import Poll, S, Schedule

Answer = bytes | Retryable | Permanent
"""The data of a good answer, or what is wrong with the answer of this one unit."""


class Turn:
    """A poll while its questions are asked. `todo` is what is still to be asked, oldest first."""

    __slots__ = ("_poll", "_put_off_by", "_silent", "_waited_ns", "failed", "is_answered", "samples", "todo")

    def __init__(self, poll: Poll) -> None:
        self.todo = deque(poll.reads)
        self.samples: list[Sample] = []
        self.failed: list[tuple[Planned, str]] = []
        self.is_answered = False
        self._poll = poll
        self._silent: list[Planned] = []
        self._waited_ns = 0
        self._put_off_by: Busy | GivenUp | None = None

    def take(self, read: Planned, answer: Answer, asked_ns: int, now_ns: int) -> None:
        """Notes what came of the question that was `todo`'s first. Raises an error that is not of this unit."""
        self.todo.popleft()
        match answer:
            case bytes():
                self.is_answered = True
                self.samples.extend(read.decode(answer, now_ns))
            case Refused():
                self.is_answered = True
                self.failed.append((read, str(answer)))
            case Busy() | GivenUp():
                self.is_answered |= isinstance(answer, Busy)
                self._put_off_by = answer
                self.failed.extend((rest, str(answer)) for rest in (read, *self.todo))
                self.todo.clear()
            case Silent() | BadAnswer():
                self._waited_ns += now_ns - asked_ns
                self._silent.append(read)
                self.failed.append((read, str(answer)))
                if not self.is_answered:  # a silent unit is asked once a turn, not once a question
                    self.failed.extend((rest, str(answer)) for rest in self.todo)
                    self.todo.clear()
            case _:
                raise answer

    def ask_in_parts(self, read: Planned, parts: list[Planned]) -> None:
        """The question that is `todo`'s first is asked in parts, now and from now on."""
        self.is_answered = True
        self.todo.popleft()
        self.todo.extendleft(reversed(parts))
        at = self._poll.reads.index(read)
        self._poll.reads[at : at + 1] = parts

    def end(self, schedule: Schedule, now_ns: int) -> None:
        """Gives the poll its next turn, by what was answered of this one; `failed` is what is to be told as failed."""
        poll, silent = self._poll, self._silent
        if self._put_off_by is not None:
            is_busy = isinstance(self._put_off_by, Busy)
            if (schedule.put_back_busy if is_busy else schedule.put_back_cut)(poll, now_ns):
                self.failed.clear()
                return
            silent = silent if is_busy else [self.failed[-1][0]]
        if self.is_answered and len(silent) < len(poll.reads):
            for read in silent:
                part = schedule.part(poll, read, now_ns)
                schedule.put_back_silent(part, now_ns, self._waited_ns / S / len(silent))
            schedule.put_back(poll, now_ns)
        else:
            schedule.put_back_silent(poll, now_ns, self._waited_ns / S)
