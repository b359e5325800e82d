"""Modbus RTU: one question at a time on a line that every unit hears and nothing but silence divides.

RTU has no transactions, so a late answer to an older question looks like one to the question under way. It is told
apart by unit, function and byte count; and a question that was not answered is not asked again in the same shape
before its answer could not come any more. Until then the unit is first asked for another number of values, and what
it says to that only shows that it is back in step.
"""

import asyncio

from contract.clock import mono_ns
from contract.modbus_time import Line
from edge.drivers.modbus.errors import BadAnswer, Busy, Disconnected, GivenUp, Refused, Silent, TooLate
from edge.drivers.modbus.frame import RTU_AROUND, Question, check_answer, other_shapes
from edge.drivers.modbus.port import Port
from edge.drivers.modbus.rtu import LEAST, Listener
from edge.drivers.modbus.wire import NEVER_NS, Wait

OWED_S = 2.0
"""An answer that did not come so long after its question, or after two of its time-outs, will not come any more."""
MOST_OWED = 1024
NOISE_S = 0.5
"""A line that is not quiet for so long is not asked."""
_PATIENCE = 1.5
"""An answer that has begun may take so many times what its bytes take on the line."""


class RtuWire:
    """The master of one line. `late` counts frames and bursts of bytes that belonged to no open question."""

    def __init__(self, port: Port, line: Line) -> None:
        self.late = 0
        self._port, self._line = port, line
        self._wait = Wait()
        self._listener: Listener | None = None
        self._heard_s = self._sent_s = float("-inf")
        """When the line was last heard, and when our last byte will have gone."""
        self._latest_s = 0.0
        self._stray_bytes = 0
        self._why = ""
        """Why the port went by itself."""
        self._has_echo = False
        self._owed: dict[tuple[int, bytes], float] = {}
        """By unit and beginning of the answer: until when an unanswered question's answer may still come."""

    @property
    def connected(self) -> bool:
        """Whether the port is open, as far as is known."""
        return self._port.is_open

    async def connect(self, timeout_s: float) -> None:
        """Opens the port. Raises Disconnected."""
        self._has_echo = False
        self._why = ""
        await self._port.open(self._came, self._lost, timeout_s)

    def close(self) -> None:
        """Closes the port; a question under way fails."""
        self._port.close()
        self._wait.stop()
        self._wait.fail(Disconnected("the port was closed", sent=True))

    def hurry(self, timeout_s: float) -> None:
        """Gives the question under way no more than this, unless its answer has begun."""
        if self._listener is not None and not self._listener.has_begun:
            self._wait.hurry(timeout_s + len(self._listener.sent) * self._line.character_s)

    async def ask(self, question: Question, timeout_s: float, not_after_ns: int = NEVER_NS) -> bytes:
        """The data of the answer; see Wire."""
        if self._is_owed(question):
            await self._get_in_step(question, timeout_s)
        return await self._ask(question, timeout_s, not_after_ns)

    async def _get_in_step(self, question: Question, timeout_s: float) -> None:
        """Asks the unit for another number of values than it may still answer for. Raises Silent or BadAnswer."""
        other = next((other for other in other_shapes(question) if not self._is_owed(other)), None)
        if other is None:
            raise Silent("no answer, and older ones may still come")
        try:
            await self._ask(other, timeout_s, NEVER_NS)
        except (Refused, Busy):
            return  # an answer all the same

    async def _ask(self, question: Question, timeout_s: float, not_after_ns: int) -> bytes:
        """One question over the line."""
        await self._until_quiet()
        if not self._port.is_open:
            raise Disconnected(self._why or f"{self._port.where} is not open", sent=False)
        if not_after_ns != NEVER_NS and mono_ns() > not_after_ns:
            raise TooLate("its time to be done passed while it waited for the bus; nothing was written")
        self.late += self._port.flush() > 0
        self._stray_bytes = 0
        now = asyncio.get_running_loop().time()
        listener = self._listener = Listener(question, self._has_echo)
        sending_s = len(listener.sent) * self._line.character_s
        self._sent_s = now + sending_s
        answer_s = (question.size + RTU_AROUND) * self._line.character_s
        self._latest_s = self._sent_s + timeout_s + _PATIENCE * answer_s + self._port.pause_s
        self._port.write(listener.sent)
        try:
            pdu = await self._wait.answer(sending_s + timeout_s)
        except TimeoutError:
            self._owe(question, timeout_s)
            if listener.unexplained:
                raise BadAnswer(f"no sound answer, only {listener.unexplained} bytes of something else") from None
            raise Silent(f"no answer within {timeout_s:.3g} s") from None
        except GivenUp:
            self._owe(question, timeout_s)
            raise
        finally:
            self._listener = None
            self.late += listener.strays
            self._has_echo |= listener.echoed
        self._note_answer(question, listener)
        return check_answer(question, pdu)

    async def _until_quiet(self) -> None:
        """Waits for the silence that parts frames. Raises BadAnswer when there is none."""
        loop = asyncio.get_running_loop()
        began = loop.time()
        while (rest := max(self._heard_s, self._sent_s) + self._line.gap_s - loop.time()) > 0:
            if loop.time() - began > NOISE_S:
                raise BadAnswer("the line is never quiet; look at its wiring, termination and for a second master")
            await asyncio.sleep(rest)

    def _is_owed(self, question: Question) -> bool:
        until = self._owed.get((question.unit, question.start))
        return until is not None and not question.is_write and asyncio.get_running_loop().time() < until

    def _owe(self, question: Question, timeout_s: float) -> None:
        """The answer to this question may still come."""
        now = asyncio.get_running_loop().time()
        if len(self._owed) >= MOST_OWED:
            self._owed = {key: until for key, until in self._owed.items() if until > now}
        self._owed[question.unit, question.start] = now + max(OWED_S, 2 * timeout_s)

    def _note_answer(self, question: Question, listener: Listener) -> None:
        """The unit answers in order, so nothing older will come of it."""
        if not question.is_write:
            self._has_echo = listener.echoed
            for key in [key for key in self._owed if key[0] == question.unit]:
                del self._owed[key]

    def _came(self, data: bytes) -> None:
        """Takes what the line says."""
        now = asyncio.get_running_loop().time()
        listener = self._listener
        if listener is None or not self._wait.is_open:
            self._note_stray(len(data), now)
            return
        self._heard_s = now
        pdu = listener.feed(data)
        if pdu is not None:
            self._wait.give(pdu)
        elif listener.has_begun:
            self._wait.go_on(min(now + self._port.pause_s, self._latest_s))

    def _note_stray(self, count: int, now: float) -> None:
        """Counts what came unasked once a burst, and what is more than a glitch only."""
        before = self._stray_bytes if now - self._heard_s <= self._port.pause_s else 0
        self._stray_bytes = before + count
        self.late += before < LEAST <= self._stray_bytes
        self._heard_s = now

    def _lost(self, why: str) -> None:
        self._why = why
        self._wait.fail(Disconnected(why, sent=True))
