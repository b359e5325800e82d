"""Finds the answer to a question in what comes down an RTU line: among noise, echoes and older answers. Pure.

RTU marks its frames by silence only, which a serial converter or a busy kernel does not keep. So an answer is known by
what it must be: unit, function, byte count and check sum, wherever it begins in what came.
"""

from edge.drivers.modbus.frame import EXCEPTION_BIT, EXCEPTION_PDU, RTU_AROUND, Question, crc16, rtu_frame

MAX_HELD = 1024
"""Bytes kept while no answer is found in them; a line that babbles does not fill the memory."""
LEAST = 4
"""So many bytes are an answer that began; fewer are the glitches of a line that changes its direction."""


class Listener:
    """What came since a question was sent; `sent` is its frame.

    `has_echo` says whether this line is known to give back what is sent (an RS-485 adapter with local echo).
    `echoed` says whether it did now: noticed at any question but a write of one value, whose echo looks like its
    answer; there the first of two is taken out on a line that is known for it. `strays` counts whole frames that were
    thrown away: answers to older questions.
    """

    __slots__ = ("_has_echo", "_heard", "_is_coming", "_is_its_own_echo", "_question", "echoed", "sent", "strays")

    def __init__(self, question: Question, has_echo: bool = False) -> None:
        self.sent = rtu_frame(question.unit, question.pdu)
        self.echoed = False
        self.strays = 0
        self._question = question
        self._has_echo = has_echo
        self._is_its_own_echo = question.start == question.pdu
        self._heard = bytearray()
        self._is_coming = False

    @property
    def has_begun(self) -> bool:
        """Whether enough has come, besides echo and strays, for an answer to have begun, whole or not."""
        heard = self._heard
        return self._is_coming or (len(heard) >= LEAST and not self.sent.startswith(heard))

    @property
    def unexplained(self) -> int:
        """How many bytes came that are no answer, no echo and no whole frame."""
        return len(self._heard)

    def feed(self, data: bytes) -> bytes | None:
        """The PDU of the answer, once it is there."""
        self._heard += data
        self._drop_echo()
        if self._is_its_own_echo and self._has_echo and not self.echoed:
            return None
        pdu = self._find()
        if pdu is None and not self._is_coming and len(self._heard) > RTU_AROUND and crc16(self._heard) == 0:
            self.strays += 1
            self._heard.clear()
        del self._heard[:-MAX_HELD]
        return pdu

    def _drop_echo(self) -> None:
        """Takes the question's own frame out of what came."""
        if self.echoed or (self._is_its_own_echo and not self._has_echo):
            return
        at = self._heard.find(self.sent)
        if at >= 0:
            self.echoed = True
            del self._heard[: at + len(self.sent)]

    def _find(self) -> bytes | None:
        """The PDU of a good answer or an exception in what came; notes whether one may still be coming."""
        question, heard, unit = self._question, self._heard, bytes((self._question.unit,))
        self._is_coming = False
        refused = bytes((question.function | EXCEPTION_BIT,))
        for start, size in ((question.start, question.size), (refused, EXCEPTION_PDU)):
            at = -1
            while (at := heard.find(unit + start, at + 1)) >= 0:
                end = at + size + RTU_AROUND
                if end > len(heard):
                    self._is_coming = True
                elif crc16(heard[at:end]) == 0:
                    self.strays += at > RTU_AROUND
                    return bytes(heard[at + 1 : at + 1 + size])
        return None
