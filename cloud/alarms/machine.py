"""The lifecycle of an alarm after ISA-18.2 / IEC 62682, as a table. Pure.

NORM nothing wrong · UNACK wrong, nobody has acknowledged · ACKED wrong, somebody has · RTNUN returned to normal
before anybody did · SHLVD kept from people for a while by one of them · DSUPR suppressed by design: another alarm
says why · OOSRV out of service. Acknowledging is not clearing: only the condition clears. Behind the last three the
condition goes on; `Standing.holds` says whether it holds.
"""

from enum import StrEnum

import msgspec


class State(StrEnum):
    """Where an alarm is."""

    NORM = "NORM"
    UNACK = "UNACK"
    ACKED = "ACKED"
    RTNUN = "RTNUN"
    SHLVD = "SHLVD"
    DSUPR = "DSUPR"
    OOSRV = "OOSRV"


class Happening(StrEnum):
    """What can happen to an alarm."""

    RAISE = "raise"
    """The condition holds."""
    AGAIN = "again"
    """What holds already happened once more: a panic button pressed a second time."""
    WORSEN = "worsen"
    """The condition is worse than the alarm says."""
    LESSEN = "lessen"
    """The condition is less bad, and not over."""
    CLEAR = "clear"
    """The condition no longer holds."""
    ACKNOWLEDGE = "acknowledge"
    """A person has seen it and takes it."""
    UNDO = "undo"
    """They take that back. Whether they may is the engine's to know."""
    SHELVE = "shelve"
    """A person wants to hear no more of it for a limited time."""
    UNSHELVE = "unshelve"
    """That time is over, or a person ended it."""
    SUPPRESS = "suppress"
    """Another alarm says why."""
    RELEASE = "release"
    """That one has ended, or is no reason any more."""
    TAKE_OUT = "take out of service"
    """People work on it."""
    RETURN = "return to service"
    """They are done, or their time is."""
    REMOVE = "rule removed"
    """Its rule is no more, or looks there no more."""


class Standing(msgspec.Struct, frozen=True):
    """An alarm's state, and whether its condition holds."""

    state: State
    holds: bool

    @property
    def is_held(self) -> bool:
        """Whether something keeps it from people."""
        return self.state in {State.SHLVD, State.DSUPR, State.OOSRV}


NORM, RTNUN = Standing(State.NORM, False), Standing(State.RTNUN, False)
UNACK, ACKED = Standing(State.UNACK, True), Standing(State.ACKED, True)
SHLVD, SHLVD_OVER = Standing(State.SHLVD, True), Standing(State.SHLVD, False)
OOSRV, OOSRV_OVER = Standing(State.OOSRV, True), Standing(State.OOSRV, False)
DSUPR = Standing(State.DSUPR, True)
"""What is over needs no suppressing: it ends."""
STANDINGS = (NORM, UNACK, ACKED, RTNUN, SHLVD, SHLVD_OVER, DSUPR, OOSRV, OOSRV_OVER)
"""Every one that there is."""

_H = Happening
TABLE: dict[Standing, dict[Happening, Standing]] = {
    NORM: {_H.RAISE: UNACK, _H.UNDO: RTNUN},
    UNACK: {
        _H.AGAIN: UNACK, _H.WORSEN: UNACK, _H.LESSEN: UNACK, _H.CLEAR: RTNUN, _H.ACKNOWLEDGE: ACKED,
        _H.SHELVE: SHLVD, _H.SUPPRESS: DSUPR, _H.TAKE_OUT: OOSRV, _H.REMOVE: NORM,
    },
    ACKED: {
        _H.AGAIN: UNACK, _H.WORSEN: UNACK, _H.LESSEN: ACKED, _H.CLEAR: NORM, _H.UNDO: UNACK,
        _H.SHELVE: SHLVD, _H.SUPPRESS: DSUPR, _H.TAKE_OUT: OOSRV, _H.REMOVE: NORM,
    },
    RTNUN: {
        _H.RAISE: UNACK, _H.ACKNOWLEDGE: NORM,
        _H.SHELVE: SHLVD_OVER, _H.TAKE_OUT: OOSRV_OVER, _H.REMOVE: NORM,
    },
    SHLVD: {
        _H.AGAIN: SHLVD, _H.WORSEN: UNACK, _H.LESSEN: SHLVD, _H.CLEAR: SHLVD_OVER,
        _H.UNSHELVE: UNACK, _H.TAKE_OUT: OOSRV, _H.REMOVE: NORM,
    },
    SHLVD_OVER: {
        _H.RAISE: SHLVD, _H.WORSEN: UNACK,
        _H.UNSHELVE: NORM, _H.TAKE_OUT: OOSRV_OVER, _H.REMOVE: NORM,
    },
    DSUPR: {
        _H.AGAIN: DSUPR, _H.WORSEN: DSUPR, _H.LESSEN: DSUPR, _H.CLEAR: NORM,
        _H.RELEASE: UNACK, _H.TAKE_OUT: OOSRV, _H.REMOVE: NORM,
    },
    OOSRV: {
        _H.AGAIN: OOSRV, _H.WORSEN: OOSRV, _H.LESSEN: OOSRV, _H.CLEAR: OOSRV_OVER,
        _H.RETURN: UNACK, _H.REMOVE: NORM,
    },
    OOSRV_OVER: {_H.RAISE: OOSRV, _H.RETURN: NORM, _H.REMOVE: NORM},
}  # fmt: skip
"""Every step there is; what is not here changes nothing, and cannot be done by a person."""


def step(standing: Standing, happening: Happening) -> Standing | None:
    """How it stands after something happened; None where that changes nothing (a second acknowledgement)."""
    return TABLE[standing].get(happening)


def wants_somebody(before: Standing, happening: Happening, after: Standing) -> bool:
    """Whether people are to be told: it came, came back from what held it, worsened, or is nobody's again.

    What comes once more to an alarm that nobody has taken yet is no news: they are being told already.
    """
    if after.state is State.UNACK:
        return before.state is not State.UNACK or happening is Happening.WORSEN
    return happening is Happening.UNDO
