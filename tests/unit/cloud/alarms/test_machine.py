"""The lifecycle of an alarm, written out whole, and what it means to the people who watch it."""

import itertools

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from cloud.alarms.machine import TABLE, Happening, State, step

N, U, A, R = State.NORM, State.UNACK, State.ACKED, State.RTNUN

# After ISA-18.2, figure of states: what each happening makes of each state; None where it changes nothing.
EXPECTED = {
    #       raise  clear  acknowledge
    N: (U, None, None),
    U: (None, R, A),
    A: (None, N, None),
    R: (U, None, N),
}


@pytest.mark.parametrize(("state", "happening"), list(itertools.product(State, Happening)), ids=str)
def test_each_state_and_happening(state: State, happening: Happening) -> None:
    column = (Happening.RAISE, Happening.CLEAR, Happening.ACKNOWLEDGE).index(happening)
    assert step(state, happening) is EXPECTED[state][column]


def test_the_table_has_every_state_and_no_step_that_stays() -> None:
    assert set(EXPECTED) == set(State)
    assert {state for state, _ in TABLE} | set(TABLE.values()) == set(State)
    assert all(state is not new for (state, _), new in TABLE.items())


class Lifecycle(RuleBasedStateMachine):
    """An alarm against two plain facts: whether the condition holds, and whether somebody still has to see it."""

    def __init__(self) -> None:
        super().__init__()
        self.state = State.NORM
        self.holds = False
        self.unseen = False

    @rule(happening=st.sampled_from(Happening))
    def happen(self, happening: Happening) -> None:
        if happening is Happening.RAISE and not self.holds:
            self.holds = self.unseen = True  # each new onset has to be seen, also one after an acknowledgement
        elif happening is Happening.CLEAR:
            self.holds = False
        elif happening is Happening.ACKNOWLEDGE:
            self.unseen = False
        self.state = step(self.state, happening) or self.state

    @invariant()
    def agrees(self) -> None:
        facts = {(False, False): N, (True, True): U, (True, False): A, (False, True): R}
        assert self.state is facts[self.holds, self.unseen]


TestLifecycle = Lifecycle.TestCase
