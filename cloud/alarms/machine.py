"""The lifecycle of an alarm after ISA-18.2 / IEC 62682, as a table. Pure.

NORM nothing wrong · UNACK wrong, nobody has acknowledged · ACKED wrong, somebody has · RTNUN returned to normal
before anybody did. Acknowledging is not clearing: only the condition clears.
"""

from enum import StrEnum


class State(StrEnum):
    """Where an alarm is. Shelved, suppressed and out of service (see the database) come with their screens."""

    NORM = "NORM"
    UNACK = "UNACK"
    ACKED = "ACKED"
    RTNUN = "RTNUN"


class Happening(StrEnum):
    """What can happen to an alarm."""

    RAISE = "raise"
    """The condition holds."""
    CLEAR = "clear"
    """The condition no longer holds."""
    ACKNOWLEDGE = "acknowledge"
    """A person has seen it and takes it."""


TABLE: dict[tuple[State, Happening], State] = {
    (State.NORM, Happening.RAISE): State.UNACK,
    (State.UNACK, Happening.ACKNOWLEDGE): State.ACKED,
    (State.UNACK, Happening.CLEAR): State.RTNUN,
    (State.ACKED, Happening.CLEAR): State.NORM,
    (State.RTNUN, Happening.ACKNOWLEDGE): State.NORM,
    (State.RTNUN, Happening.RAISE): State.UNACK,
}
"""Every transition there is; what is not here changes nothing."""


def step(state: State, happening: Happening) -> State | None:
    """The state after something happened, or None when it changes nothing (a second acknowledgement)."""
    return TABLE.get((state, happening))
