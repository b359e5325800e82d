"""The life of an incident, as a table. Pure.

reported → dispatched → accepted → arrived → resolved → reviewed. Who cannot go declines, and the next one is sent. What
was resolved too early is reopened; what was none is cancelled, with the reason. Each step names what has to come next,
which is what the time limit of a state is about (`limits.py`).
"""

from enum import StrEnum


class State(StrEnum):
    """Where an incident is."""

    REPORTED = "reported"
    """Known; nobody has been sent."""
    DISPATCHED = "dispatched"
    """Somebody was sent and has not answered."""
    DECLINED = "declined"
    """Whoever was sent cannot go, and nobody else was sent yet."""
    ACCEPTED = "accepted"
    """Somebody is on the way."""
    ARRIVED = "arrived"
    """Somebody is there."""
    RESOLVED = "resolved"
    """Dealt with; nobody has looked at how it went."""
    REVIEWED = "reviewed"
    CANCELLED = "cancelled"
    """It was none, or one too many."""


class Act(StrEnum):
    """What a person does to an incident."""

    DISPATCH = "dispatch"
    """Send somebody, or somebody else."""
    ACCEPT = "accept"
    """I am going: who was sent, or anybody who takes it over."""
    DECLINE = "decline"
    ARRIVE = "arrive"
    RESOLVE = "resolve"
    REVIEW = "review"
    REOPEN = "reopen"
    CANCEL = "cancel"


TABLE: dict[tuple[State, Act], State] = {
    (State.REPORTED, Act.DISPATCH): State.DISPATCHED,
    (State.REPORTED, Act.ACCEPT): State.ACCEPTED,
    (State.REPORTED, Act.CANCEL): State.CANCELLED,
    (State.DISPATCHED, Act.DISPATCH): State.DISPATCHED,
    (State.DISPATCHED, Act.ACCEPT): State.ACCEPTED,
    (State.DISPATCHED, Act.DECLINE): State.DECLINED,
    (State.DISPATCHED, Act.ARRIVE): State.ARRIVED,  # a hand on the extinguisher has none for the telephone
    (State.DISPATCHED, Act.CANCEL): State.CANCELLED,
    (State.DECLINED, Act.DISPATCH): State.DISPATCHED,
    (State.DECLINED, Act.ACCEPT): State.ACCEPTED,
    (State.DECLINED, Act.CANCEL): State.CANCELLED,
    (State.ACCEPTED, Act.DISPATCH): State.DISPATCHED,
    (State.ACCEPTED, Act.DECLINE): State.DECLINED,
    (State.ACCEPTED, Act.ARRIVE): State.ARRIVED,
    (State.ACCEPTED, Act.RESOLVE): State.RESOLVED,
    (State.ACCEPTED, Act.CANCEL): State.CANCELLED,
    (State.ARRIVED, Act.DISPATCH): State.DISPATCHED,
    (State.ARRIVED, Act.RESOLVE): State.RESOLVED,
    (State.ARRIVED, Act.CANCEL): State.CANCELLED,
    (State.RESOLVED, Act.REVIEW): State.REVIEWED,
    (State.RESOLVED, Act.REOPEN): State.REPORTED,
    (State.CANCELLED, Act.REOPEN): State.REPORTED,
}
"""Every step there is; what is not here changes nothing."""

OPEN = frozenset({State.REPORTED, State.DISPATCHED, State.DECLINED, State.ACCEPTED, State.ARRIVED})
"""Somebody still has to do something on site."""
GOING = frozenset({State.DISPATCHED, State.ACCEPTED, State.ARRIVED})
"""Somebody has it: was sent, goes, or is there."""
NEEDS_WHY = frozenset({Act.DECLINE, Act.REOPEN, Act.CANCEL})
"""What nobody does without saying why."""


def step(state: State, act: Act) -> State | None:
    """The state after an act, or None where it cannot be done now (a second acceptance, a review of what is open)."""
    return TABLE.get((state, act))


def offered(state: State) -> tuple[Act, ...]:
    """What can be done now, in the order of Act."""
    return tuple(act for act in Act if (state, act) in TABLE)
