"""Who is told next, and who is sent. Pure: of those who hold the roles, the nearest."""

from collections.abc import Collection, Iterable, Mapping, Sequence

import msgspec

from cloud.incidents.limits import LADDER, Rung
from cloud.store.incidents import Holder

ROLES = tuple({rung.role: None for rung in LADDER})
SENT = ("grid_worker", "operator", "manager")
"""Who may be sent, in this order."""


class Candidate(msgspec.Struct, frozen=True):
    """Somebody who can be sent, and how many open incidents they have."""

    person: int
    name: str
    role: str
    busy: int


def holding(rung: Rung, holders: Iterable[Holder]) -> list[Holder]:
    """Who stands on a rung: of the holders of one estate those at the nearest node that has any."""
    fitting = [
        holder for holder in holders if holder.role == rung.role and (not rung.levels or holder.level in rung.levels)
    ]
    nearest = max((holder.depth for holder in fitting), default=0)
    return [holder for holder in fitting if holder.depth == nearest]


def next_rung(rung: int, holders: Sequence[Holder]) -> tuple[int, list[Holder]]:
    """The first rung above `rung` that somebody holds, and who; at the upper end the highest that anybody holds.

    With nobody at all it stays where it is.
    """
    for above in (*range(rung + 1, len(LADDER)), *range(min(rung, len(LADDER) - 1), -1, -1)):
        if told := holding(LADDER[above], holders):
            return above, told
    return rung, []


def is_top(rung: int, holders: Sequence[Holder]) -> bool:
    """Whether nobody stands above a rung."""
    return not any(holding(above, holders) for above in LADDER[rung + 1 :])


def candidates(holders: Sequence[Holder], busy: Mapping[int, int], without: Collection[int] = ()) -> list[Candidate]:
    """Who can be sent, the first choice first: by role, then the nearest, then who has least to do."""
    found: dict[int, Holder] = {}
    for holder in sorted(holders, key=lambda h: (_order(h.role), -h.depth)):
        if holder.role in SENT and holder.person not in without:
            found.setdefault(holder.person, holder)
    ordered = sorted(found.values(), key=lambda h: (_order(h.role), -h.depth, busy.get(h.person, 0), h.person))
    return [Candidate(holder.person, holder.name, holder.role, busy.get(holder.person, 0)) for holder in ordered]


def roles_of(person: int | None, holders: Iterable[Holder]) -> tuple[str, ...]:
    """The roles of one person."""
    return tuple(holder.role for holder in holders if holder.person == person)


def _order(role: str) -> int:
    return SENT.index(role) if role in SENT else len(SENT)
