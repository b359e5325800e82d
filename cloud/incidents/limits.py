"""How long each step of an incident may take, by its priority, and who is told when it takes longer. Data.

The limit of a state is the time within which the next step has to come. When it is over, the next of LADDER is told,
and has the same time; at its upper end the last one is told again every `again_s`.
"""

import msgspec

from cloud.incidents.machine import State


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """The limits of a priority, in seconds."""

    dispatch_s: int
    """From the report until somebody is sent."""
    accept_s: int
    """Until who was sent says that they are going."""
    arrive_s: int
    """Until they are there."""
    resolve_s: int
    """Until it is dealt with."""
    review_s: int
    """Until somebody has looked at how it went."""
    again_s: int
    """How often the last one of the ladder is told, for as long as nothing is done."""

    def of(self, state: State) -> int | None:
        """The limit that runs in a state; None where nothing has to come any more."""
        match state:
            case State.REPORTED | State.DECLINED:
                return self.dispatch_s
            case State.DISPATCHED:
                return self.accept_s
            case State.ACCEPTED:
                return self.arrive_s
            case State.ARRIVED:
                return self.resolve_s
            case State.RESOLVED:
                return self.review_s
            case State.REVIEWED | State.CANCELLED:
                return None


LIMITS: dict[str, Limits] = {
    "critical": Limits(
        dispatch_s=60, accept_s=120, arrive_s=600, resolve_s=3600, review_s=24 * 3600, again_s=900
    ),
    "high": Limits(
        dispatch_s=180, accept_s=300, arrive_s=1200, resolve_s=4 * 3600, review_s=72 * 3600, again_s=3600
    ),
    "medium": Limits(
        dispatch_s=1800, accept_s=1800, arrive_s=2 * 3600, resolve_s=24 * 3600, review_s=7 * 86400, again_s=8 * 3600
    ),
    "low": Limits(
        dispatch_s=8 * 3600, accept_s=8 * 3600, arrive_s=24 * 3600, resolve_s=72 * 3600, review_s=14 * 86400,
        again_s=24 * 3600,
    ),
}  # fmt: skip


class Rung(msgspec.Struct, frozen=True):
    """Who is told: who holds a role at the estate or at the nearest area above it, of one of `levels` where it says."""

    name: str
    role: str
    levels: tuple[str, ...] = ()


LADDER: tuple[Rung, ...] = (
    Rung("grid_worker", "grid_worker"),
    Rung("guard", "operator"),
    Rung("manager", "manager"),
    Rung("community", "supervisor", ("estate", "grid", "community")),
    Rung("street", "supervisor", ("street", "county", "city", "province")),
)
"""From who goes to who answers for it. A rung that nobody holds is passed over at once."""
GUARD = 1
"""The rung that hears of a report first: sending somebody is the guard's to do."""
REVIEWER = 2
"""The rung that hears first of a review that is overdue."""


def first_rung(state: State, assignee_roles: tuple[str, ...]) -> int:
    """The rung that has to do the next step of a state: the next one above it is told when it does not.

    Where somebody was sent that is the lowest rung whose role they hold; where nobody was, the guard; for a review the
    manager.
    """
    if state is State.RESOLVED:
        return REVIEWER - 1
    if state in {State.REPORTED, State.DECLINED}:
        return GUARD
    held = [i for i, rung in enumerate(LADDER) if rung.role in assignee_roles]
    return held[0] if held else 0
