"""How a question over Modbus can fail, each way an error of its own, for each is treated in its own way."""

from contract.errors import AnjuError, Permanent, Retryable

ILLEGAL_ADDRESS, ACKNOWLEDGE, BUSY, NO_PATH, NO_ANSWER = 2, 5, 6, 10, 11

EXCEPTIONS = {
    1: "illegal function",
    ILLEGAL_ADDRESS: "illegal address",
    3: "illegal value",
    4: "device failure",
    ACKNOWLEDGE: "acknowledged, still working",
    BUSY: "device busy",
    8: "memory parity error",
    NO_PATH: "gateway has no path to the unit; look at the gateway's own settings",
    NO_ANSWER: "gateway got no answer from the unit",
}
"""What a unit or gateway says when it refuses. Source: Modbus application protocol 1.1b3, section 7."""


class Silent(Retryable):
    """No answer within the time-out."""


class Unreachable(Silent):
    """A gateway says that the unit gives no answer, or that there is no way to it."""


class BadAnswer(Retryable):
    """Something came that is no answer to the question."""


class Busy(Retryable):
    """The unit lives and asks for time: it is working on it (`is_taken`), or cannot take the question now."""

    def __init__(self, code: int) -> None:
        super().__init__(f"exception {code}: {EXCEPTIONS[code]}")
        self.is_taken = code == ACKNOWLEDGE


class GivenUp(Retryable):
    """The wait for an answer was cut short, because a command wants the bus."""


class Disconnected(Retryable):
    """There is no connection. `sent` says whether the question may have reached the other side."""

    def __init__(self, problem: str, sent: bool) -> None:
        super().__init__(problem)
        self.sent = sent


class TooLate(Permanent):
    """A write whose time had passed; nothing was sent."""


class Refused(Permanent):
    """The unit answered with a Modbus exception that asking again does not change."""

    def __init__(self, code: int) -> None:
        super().__init__(f"exception {code}: {EXCEPTIONS.get(code, 'not in the standard')}")
        self.code = code


def refusal(code: int) -> AnjuError:
    """What an exception code means to who asked."""
    if code in {NO_PATH, NO_ANSWER}:
        return Unreachable(f"exception {code}: {EXCEPTIONS[code]}")
    return Busy(code) if code in {ACKNOWLEDGE, BUSY} else Refused(code)
