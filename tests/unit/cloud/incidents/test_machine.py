"""The life of an incident, written out whole, and what it means to the people who wait for the next step."""

import itertools

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from cloud.incidents.limits import LADDER, LIMITS, first_rung
from cloud.incidents.machine import GOING, NEEDS_WHY, OPEN, TABLE, Act, State, offered, step

R, D, X, A, T, S, V, C = (
    State.REPORTED, State.DISPATCHED, State.DECLINED, State.ACCEPTED, State.ARRIVED, State.RESOLVED, State.REVIEWED,
    State.CANCELLED,
)  # fmt: skip

# What each act makes of each state; None where it changes nothing.
EXPECTED = {
    #   dispatch accept decline arrive resolve review reopen cancel
    R: (D, A, None, None, None, None, None, C),
    D: (D, A, X, T, None, None, None, C),
    X: (D, A, None, None, None, None, None, C),
    A: (D, None, X, T, S, None, None, C),
    T: (D, None, None, None, S, None, None, C),
    S: (None, None, None, None, None, V, R, None),
    V: (None, None, None, None, None, None, None, None),
    C: (None, None, None, None, None, None, R, None),
}


@pytest.mark.parametrize(("state", "act"), list(itertools.product(State, Act)), ids=str)
def test_each_state_and_act(state: State, act: Act) -> None:
    expected = EXPECTED[state][list(Act).index(act)]
    assert step(state, act) is expected
    assert (act in offered(state)) is (expected is not None)


def test_the_table_has_every_state() -> None:
    assert set(EXPECTED) == set(State)
    assert {state for state, _ in TABLE} | set(TABLE.values()) == set(State)


def test_every_open_state_can_be_left_by_people_on_site_and_by_a_cancellation() -> None:
    for state in OPEN:
        assert Act.CANCEL in offered(state)
        assert State.RESOLVED in _reachable(state)


def _reachable(state: State) -> set[State]:
    found, ahead = {state}, [state]
    while ahead:
        here = ahead.pop()
        for act in offered(here):
            there = step(here, act)
            assert there is not None
            if there not in found:
                found.add(there)
                ahead.append(there)
    return found


@pytest.mark.parametrize("priority", LIMITS)
def test_every_state_in_which_something_has_to_come_has_a_limit(priority: str) -> None:
    limits = LIMITS[priority]
    assert {state for state in State if limits.of(state) is None} == {State.REVIEWED, State.CANCELLED}
    assert all((limits.of(state) or 1) > 0 for state in State)


def test_a_critical_incident_has_the_limits_that_people_are_told() -> None:
    critical = LIMITS["critical"]
    assert [critical.of(state) for state in (R, D, A, T)] == [60, 120, 600, 3600]


def test_the_worse_the_shorter() -> None:
    by_priority = [LIMITS[priority] for priority in ("critical", "high", "medium", "low")]
    for worse, better in itertools.pairwise(by_priority):
        assert all((worse.of(state) or 0) < (better.of(state) or 1) for state in State)


def test_the_ladder_begins_with_who_has_to_do_the_next_step() -> None:
    names = [rung.name for rung in LADDER]
    assert names == ["grid_worker", "guard", "manager", "community", "street"]
    told_next = {
        "nobody sent": LADDER[first_rung(R, ()) + 1].name,
        "a grid worker does not answer": LADDER[first_rung(D, ("grid_worker",)) + 1].name,
        "a guard is not there": LADDER[first_rung(A, ("operator",)) + 1].name,
        "both roles": LADDER[first_rung(D, ("operator", "grid_worker")) + 1].name,
        "nobody reviews": LADDER[first_rung(S, ("grid_worker",)) + 1].name,
    }
    assert list(told_next.values()) == ["manager", "guard", "manager", "guard", "manager"]


class Life(RuleBasedStateMachine):
    """An incident against plain facts: who was sent, who goes, whether it is done and looked at."""

    def __init__(self) -> None:
        super().__init__()
        self.state = State.REPORTED
        self.sent = self.going = self.there = self.declined = False
        self.closed = ""

    @rule(act=st.sampled_from(Act))
    def happen(self, act: Act) -> None:
        is_open = not self.closed
        allowed = {
            Act.DISPATCH: is_open,
            Act.ACCEPT: is_open and not self.going and not self.there,
            Act.DECLINE: is_open and self.sent and not self.there,
            Act.ARRIVE: is_open and self.sent and not self.there,
            Act.RESOLVE: is_open and (self.going or self.there),
            Act.REVIEW: self.closed == "resolved",
            Act.REOPEN: self.closed in {"resolved", "cancelled"},
            Act.CANCEL: is_open,
        }[act]
        new = step(self.state, act)
        assert (new is not None) is allowed
        if new is None:
            return
        self.state = new
        if act is Act.DISPATCH:
            self.sent, self.going, self.there, self.declined = True, False, False, False
        elif act is Act.ACCEPT:
            self.sent = self.going = True
            self.declined = False
        elif act is Act.DECLINE:
            self.sent = self.going = False
            self.declined = True
        elif act is Act.ARRIVE:
            self.there = True
        elif act in {Act.RESOLVE, Act.REVIEW, Act.CANCEL}:
            self.closed = {Act.RESOLVE: "resolved", Act.REVIEW: "reviewed", Act.CANCEL: "cancelled"}[act]
        else:
            self.closed = ""
            self.sent = self.going = self.there = self.declined = False

    @invariant()
    def agrees(self) -> None:
        if self.closed:
            assert self.state == self.closed
            assert self.state not in OPEN
            return
        assert self.state in OPEN
        assert (self.state in GOING) is self.sent
        expected = T if self.there else A if self.going else D if self.sent else X if self.declined else R
        assert self.state is expected


TestLife = Life.TestCase


def test_only_what_needs_no_word_is_one_press() -> None:
    assert {Act.DECLINE, Act.REOPEN, Act.CANCEL} == NEEDS_WHY
