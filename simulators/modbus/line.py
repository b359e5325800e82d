"""A serial line and its units: half-duplex, as slow as its baud rate, both ways, and deaf to what is damaged.

A pseudo-terminal or a TCP connection carries bytes at once; this class gives them the time that the wire would take.
An answer begins when the question's last byte has gone, after the silence that ends a frame and the unit's turnaround;
it arrives in pieces of a few bytes, as from a UART's buffer. Who speaks while another does spoils both.
Source: Modbus over serial line 1.02, section 2.
"""

import asyncio
import random
from collections.abc import Callable, Mapping
from types import MappingProxyType

from simulators.bus import Fault
from simulators.log import TruthLog
from simulators.modbus.faults import Faults
from simulators.modbus.pdu import (
    MULTIPLE_WRITES,
    SINGLE_WRITES,
    ModbusException,
    Reply,
    Unit,
    reply_to,
    write,
)
from simulators.modbus.rtu import (
    BROADCAST,
    CHARACTER_BITS,
    MAX_FRAME,
    character_s,
    frame,
    gap_s,
    question_size,
    whole_question,
)

TURNAROUND_S = 0.005
"""How long a unit thinks before it answers, where nothing else is said of it. Meters take 5 to 50 ms."""
_PIECE = 8
"""Bytes that arrive together: what a UART hands over at once."""
_MOST_NOISE = 3


class Line:
    """The units of one line. `out` is given what the master hears, when it would; `on_cut` is called by fault cut.

    `questions` counts those that a unit understood, `collisions` who spoke while another did, `early` questions that
    began before the silence after the last answer was long enough. `bits` a character has, and `turnarounds_s` is how
    long a unit thinks. Baud 0 is a line without wire time.
    """

    def __init__(
        self, units: Mapping[int, Unit], log: TruthLog, bus: str, baud: int, seed: int, out: Callable[[bytes], None],
        on_cut: Callable[[], None], bits: int = CHARACTER_BITS,
        turnarounds_s: Mapping[int, float] = MappingProxyType({}),
    ) -> None:  # fmt: skip
        self.units = units
        self.turnarounds_s = {unit: turnarounds_s.get(unit, TURNAROUND_S) for unit in units}
        self.questions: dict[int, int] = dict.fromkeys(units, 0)
        self.collisions = self.early = 0
        self.random = random.Random(f"{seed}/{bus}")  # noqa: S311  # reproducible noise
        self.faults = Faults(self.random)
        self._log, self._bus, self._out, self._on_cut = log, bus, out, on_cut
        self._character_s, self._gap_s = character_s(baud, bits), gap_s(baud, bits)
        self._is_on = False
        self._begun = bytearray()
        self._question_ends = self._answer_ended = float("-inf")
        self._timers: set[asyncio.TimerHandle] = set()
        self._frame_timer: asyncio.TimerHandle | None = None
        self._sending: _Sending | None = None
        self._kept: list[tuple[Reply, bytes]] = []

    def wire_s(self, count: int) -> float:
        """Seconds that so many bytes take."""
        return count * self._character_s

    def answer_s(self, unit: int, asked: int, answered: int) -> float:
        """Seconds from a question's first byte to its answer's last, both in bytes of the whole frame."""
        return self.wire_s(asked) + self._gap_s + self.turnarounds_s[unit] + self.wire_s(answered)

    def power(self, is_on: bool) -> None:
        """Whether the units have power; what they were about to say is not said."""
        self._is_on = is_on
        for timer in self._timers:
            timer.cancel()
        self._timers.clear()
        self._forget()
        self._sending = None
        self._kept.clear()
        self._question_ends = self._answer_ended = float("-inf")

    def received(self, data: bytes) -> None:
        """Takes what the master says now."""
        if not self._is_on or not data:
            return
        now = asyncio.get_running_loop().time()
        is_echoed = any(fault.kind == "echo" for fault in self.faults.by_unit.values())
        if self._sending is not None:
            self.collisions += 1
            self._sending.is_spoilt = True
            data = self.random.randbytes(len(data))
        elif not self._begun and now - self._answer_ended < self._gap_s:
            self.early += 1
        self._question_ends = max(now, self._question_ends) + self.wire_s(len(data))
        if is_echoed:
            self._at(self._question_ends, self._out, data)
        self._begun += data
        if len(self._begun) > 2 * MAX_FRAME:
            self._begun.clear()  # a master that does not stop is understood by nobody
        size = question_size(bytes(self._begun))
        is_whole = size is not None and len(self._begun) >= size
        self._wait_no_more()
        self._frame_timer = self._at(self._question_ends + (0 if is_whole else self._gap_s), self._end_of_question)

    def _end_of_question(self) -> None:
        """The question's last byte has gone; a second one may lie behind it, sent before this moment."""
        begun = bytes(self._begun)
        self._forget()
        size = question_size(begun)
        question = whole_question(begun if size is None else begun[:size])
        if question is None:
            return
        self._understood(question[0], question[1:-2])
        if size is not None and len(begun) > size:
            self._begun += begun[size:]
            self._frame_timer = self._at(self._question_ends + self._gap_s, self._end_of_question)

    def _forget(self) -> None:
        self._begun.clear()
        self._wait_no_more()

    def _wait_no_more(self) -> None:
        if self._frame_timer is not None:
            self._frame_timer.cancel()
            self._timers.discard(self._frame_timer)
            self._frame_timer = None

    def _understood(self, number: int, pdu: bytes) -> None:
        if number == BROADCAST:
            self._all_obey(pdu)
            return
        begin = self._question_ends + self._gap_s + self.turnarounds_s.get(number, 0.0)
        unit = self.units.get(number)
        fault = self.faults.take(number)
        kind = fault.kind if fault is not None else ""
        kept, self._kept = self._kept, []
        for reply, sound in kept:
            begin = self._answer_at(begin, sound, reply) + self._gap_s
        if unit is None:
            return  # nobody on a line speaks for one who is not there
        self.questions[number] += 1
        if kind == "silent":
            return
        if kind == "cut":
            self._on_cut()
            return
        reply = reply_to(number, unit, pdu, fault, self.random)
        sound = frame(reply.unit, reply.pdu)
        if kind == "late":
            self._kept.append((reply, sound))
            return
        if kind == "slow" and fault is not None:
            begin += fault.delay_s
        self._answer_at(begin, self._spoilt(sound, fault), reply)

    def _all_obey(self, pdu: bytes) -> None:
        """A broadcast: every unit writes, none answers."""
        if pdu[0] not in SINGLE_WRITES and pdu[0] not in MULTIPLE_WRITES:
            return
        for number, unit in self.units.items():
            fault = self.faults.take(number)
            if fault is not None and fault.kind in {"silent", "cut"}:
                continue
            try:
                write(unit, pdu)
            except ModbusException:
                continue

    def _spoilt(self, sound: bytes, fault: Fault | None) -> bytes:
        """The frame's bytes with what a fault does to them."""
        match fault.kind if fault is not None else "":
            case "crc":
                return sound[:-1] + bytes((sound[-1] ^ 0x5A,))
            case "truncated":
                return sound[: len(sound) // 2]
            case "garbage":
                return self.random.randbytes(16)
            case "noise":
                before, after = (self.random.randint(1, _MOST_NOISE) for _ in range(2))
                return self.random.randbytes(before) + sound + self.random.randbytes(after)
        return sound

    def _answer_at(self, begin: float, data: bytes, reply: Reply) -> float:
        """Says something from `begin` (the loop's clock) on; returns when its last byte will have gone."""
        self._at(begin, self._begin, _Sending(begin, data, reply))
        return begin + self.wire_s(len(data))

    def _begin(self, sending: "_Sending") -> None:
        now = asyncio.get_running_loop().time()
        if self._sending is not None:  # drowned by the other, which it spoils
            self.collisions += 1
            self._sending.is_spoilt = True
            return
        if now < self._question_ends:  # into the middle of a question
            self.collisions += 1
            sending.is_spoilt = True
            self._begun[:] = self.random.randbytes(len(self._begun))
        self._sending = sending
        self._go_on(sending)

    def _go_on(self, sending: "_Sending") -> None:
        """Hands over the bytes whose time has come, and waits for the next few."""
        now = asyncio.get_running_loop().time()
        due = len(sending.data)
        if self._character_s:
            come = int((now - sending.begin) / self._character_s + 1e-6)
            due = due if come >= due else come - come % _PIECE
        piece = sending.data[sending.gone : due]
        if piece:
            self._out(self.random.randbytes(len(piece)) if sending.is_spoilt else piece)
            sending.gone = due
        if due < len(sending.data):
            following = min(due + _PIECE, len(sending.data))
            self._at(sending.begin + self.wire_s(following), self._go_on, sending)
            return
        self._sending = None
        self._answer_ended = sending.begin + self.wire_s(len(sending.data))
        if not sending.is_spoilt:
            sending.reply.note(self._log, self._bus)

    def _at(self, when: float, callback: Callable[..., None], *arguments: object) -> asyncio.TimerHandle:
        """Calls at a time of the loop's clock, unless the power goes before."""

        def call() -> None:
            self._timers.discard(timer)
            callback(*arguments)

        timer = asyncio.get_running_loop().call_at(when, call)
        self._timers.add(timer)
        return timer


class _Sending:
    """An answer under way: since when (the loop's clock), how much of it has gone, whether another spoke into it."""

    __slots__ = ("begin", "data", "gone", "is_spoilt", "reply")

    def __init__(self, begin: float, data: bytes, reply: Reply) -> None:
        self.begin, self.data, self.reply = begin, data, reply
        self.gone = 0
        self.is_spoilt = False
