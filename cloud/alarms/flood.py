"""When alarms come faster than a person can look at them: a flood, after EEMUA 191.

It begins with more than ten new alarms in ten minutes and ends once there are fewer than five. What is suppressed, out
of service or late was told to nobody, and counts for nothing here.
"""

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta

import msgspec

from cloud.store import Connection
from cloud.store import floods as store
from cloud.store.floods import PlaceCount

STARTS_ABOVE = 10
ENDS_BELOW = 5
WITHIN = timedelta(minutes=10)
_LOOKS_BACK = timedelta(hours=2)
_MOST = 20_000
_PLACES = 10


class Flood(msgspec.Struct, frozen=True):
    """The one banner of a flood: since when, how many alarms it has brought, and where the most of them are."""

    since: datetime
    alarms: int
    places: tuple[PlaceCount, ...]


def is_flood(count: int, *, stands: bool) -> bool:
    """Whether it is one now, after `count` new alarms in ten minutes; `stands`: it was one until now."""
    return count > STARTS_ABOVE or (stands and count >= ENDS_BELOW)


def floods(times: Iterable[datetime], until: datetime) -> list[tuple[datetime, datetime | None]]:
    """The floods that alarms of these times made up to `until`: when each began and ended, None for one that stands."""
    ordered = sorted(at for at in times if at <= until)
    found: list[tuple[datetime, datetime | None]] = []
    first, since = 0, None
    for last, at in enumerate(ordered):
        while ordered[first] <= at - WITHIN:  # one goes out of the ten minutes
            first += 1
            if since is not None and not is_flood(last - first, stands=True):
                found.append((since, ordered[first - 1] + WITHIN))
                since = None
        if since is None and is_flood(last - first + 1, stands=False):
            since = at
    if since is None:
        return found
    return [*found, (since, _ended(ordered[first:], until))]


def _ended(left: Sequence[datetime], until: datetime) -> datetime | None:
    """When a flood of these last alarms ended, if it has."""
    ends = left[-ENDS_BELOW] + WITHIN  # with it only four are left
    return ends if ends <= until else None


async def flood_now(connection: Connection, estates: Sequence[int], *, now: datetime | None = None) -> Flood | None:
    """The flood that whoever looks after these estates sees: one of an estate, or one of all of them together."""
    now = now or await store.clock(connection)
    since = min((await store.standing(connection, estates)).values(), default=None)
    if since is None:
        times = await store.times(connection, estates, now - _LOOKS_BACK, now, _MOST)
        since = next((begun for begun, ended in floods(times, now) if ended is None), None)
    if since is None:
        return None
    places = await store.places(connection, estates, since - WITHIN, now)
    return Flood(since, sum(place.alarms for place in places), tuple(places[:_PLACES]))


async def update(connection: Connection, *, now: datetime | None = None) -> set[str]:
    """Begins and ends the floods of estates; returns the topics to wake. One process at a time calls it."""
    changed = await store.update(connection, WITHIN, STARTS_ABOVE, ENDS_BELOW, now=now)
    return {f"alarms:{estate}" for estate in changed}
