"""The lifecycle of an alarm, written out whole, and what it means to the people who watch it."""

import itertools

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from cloud.alarms.machine import (
    NORM,
    STANDINGS,
    TABLE,
    Happening,
    Standing,
    State,
    step,
    wants_somebody,
)

# After ISA-18.2, figure of states: a row for each standing ("+" its condition holds, "-" it does not), a column for
# each happening; "." changes nothing. "!": people are told.
WRITTEN = """
       raise   again   worsen  lessen  clear   ack     undo    shelve  unshelve suppress release takeout return  remove
NORM-  UNACK+! .       .       .       .       .       RTNUN-! .       .        .        .       .       .       .
UNACK+ .       UNACK+  UNACK+! UNACK+  RTNUN-  ACKED+  .       SHLVD+  .        DSUPR+   .       OOSRV+  .       NORM-
ACKED+ .       UNACK+! UNACK+! ACKED+  NORM-   .       UNACK+! SHLVD+  .        DSUPR+   .       OOSRV+  .       NORM-
RTNUN- UNACK+! .       .       .       .       NORM-   .       SHLVD-  .        .        .       OOSRV-  .       NORM-
SHLVD+ .       SHLVD+  UNACK+! SHLVD+  SHLVD-  .       .       .       UNACK+!  .        .       OOSRV+  .       NORM-
SHLVD- SHLVD+  .       UNACK+! .       .       .       .       .       NORM-    .        .       OOSRV-  .       NORM-
DSUPR+ .       DSUPR+  DSUPR+  DSUPR+  NORM-   .       .       .       .        .        UNACK+! OOSRV+  .       NORM-
OOSRV+ .       OOSRV+  OOSRV+  OOSRV+  OOSRV-  .       .       .       .        .        .       .       UNACK+! NORM-
OOSRV- OOSRV+  .       .       .       .       .       .       .       .        .        .       .       NORM-   NORM-
"""
COLUMNS = (
    Happening.RAISE, Happening.AGAIN, Happening.WORSEN, Happening.LESSEN, Happening.CLEAR, Happening.ACKNOWLEDGE,
    Happening.UNDO, Happening.SHELVE, Happening.UNSHELVE, Happening.SUPPRESS, Happening.RELEASE, Happening.TAKE_OUT,
    Happening.RETURN, Happening.REMOVE,
)  # fmt: skip


def read(word: str) -> Standing | None:
    return None if word == "." else Standing(State(word[:-1]), word.endswith("+"))


ROWS = [line.split() for line in WRITTEN.strip().splitlines()[1:]]
EXPECTED = {(read(row[0]), COLUMNS[n]): word for row in ROWS for n, word in enumerate(row[1:])}


@pytest.mark.parametrize(("standing", "happening"), list(itertools.product(STANDINGS, Happening)), ids=str)
def test_each_standing_and_happening(standing: Standing, happening: Happening) -> None:
    word = EXPECTED[standing, happening]
    after = step(standing, happening)
    assert after == read(word.rstrip("!"))
    assert after is None or wants_somebody(standing, happening, after) is word.endswith("!")


def test_the_written_table_is_whole() -> None:
    assert len(EXPECTED) == len(STANDINGS) * len(Happening) == len(ROWS) * len(COLUMNS)
    assert set(TABLE) == set(STANDINGS)
    assert {after for row in TABLE.values() for after in row.values()} == set(STANDINGS)
    assert {standing.state for standing in STANDINGS} == set(State)


class Lifecycle(RuleBasedStateMachine):
    """An alarm against plain facts: whether the condition holds, who keeps it back, whether somebody has to see it."""

    def __init__(self) -> None:
        super().__init__()
        self.standing = NORM
        self.told = 0
        self.holds = False
        self.kept: State | None = None
        self.unseen = False
        self.should_have_told = 0

    @rule(happening=st.sampled_from(Happening))
    def happen(self, happening: Happening) -> None:
        after = step(self.standing, happening)
        if after is not None:
            self.told += wants_somebody(self.standing, happening, after)
            self.standing = after
        self._facts(happening)

    def _facts(self, happening: Happening) -> None:
        is_active = self.holds or self.unseen or self.kept is not None
        match happening:
            case Happening.RAISE if not self.holds:  # each new onset has to be seen, also one after an acknowledgement
                self.holds = True
                self._tell(self.kept is None)
            case Happening.AGAIN if self.holds:
                self._tell(self.kept is None and not self.unseen)
            case Happening.WORSEN if self.holds or self.kept is State.SHLVD:
                self.kept = None if self.kept is State.SHLVD else self.kept  # nobody shelved what it has become
                self.holds = True
                self._tell(self.kept is None)
            case Happening.CLEAR if self.holds:
                self.holds = False
                self.kept = None if self.kept is State.DSUPR else self.kept
            case Happening.ACKNOWLEDGE if self.kept is None:
                self.unseen = False
            case Happening.UNDO if self.kept is None and not self.unseen:
                self._tell(True)
            case Happening.SHELVE if is_active and self.kept is None:
                self._keep(State.SHLVD)
            case Happening.SUPPRESS if self.holds and self.kept is None:
                self._keep(State.DSUPR)
            case Happening.TAKE_OUT if is_active and self.kept is not State.OOSRV:
                self._keep(State.OOSRV)
            case Happening.UNSHELVE if self.kept is State.SHLVD:
                self._let_go()
            case Happening.RELEASE if self.kept is State.DSUPR:
                self._let_go()
            case Happening.RETURN if self.kept is State.OOSRV:
                self._let_go()
            case Happening.REMOVE:
                self.holds, self.unseen, self.kept = False, False, None

    def _tell(self, told: bool) -> None:
        if told:
            self.unseen = True
            self.should_have_told += 1

    def _keep(self, state: State) -> None:
        self.kept, self.unseen = state, False

    def _let_go(self) -> None:
        self.kept = None
        self._tell(self.holds)  # what still holds comes back to people, who acknowledged it before or not

    @invariant()
    def agrees(self) -> None:
        facts = {(False, False): State.NORM, (True, True): State.UNACK, (True, False): State.ACKED}
        state = self.kept or facts.get((self.holds, self.unseen), State.RTNUN)
        assert self.standing == Standing(state, self.holds)
        assert self.told == self.should_have_told


TestLifecycle = Lifecycle.TestCase
TestLifecycle.settings = settings(max_examples=300, stateful_step_count=40)
