"""View of the device list: groups by building, each device with its states in words."""

from collections.abc import Sequence
from itertools import groupby

import msgspec

from cloud.console.data import DeviceRow, PointNow
from cloud.console.words import Voice
from cloud.console.words.places import building, place
from cloud.console.words.points import (
    WORKING,
    is_normal,
    kind_name,
    point_name,
    quality_word,
    value_words,
    vocabulary,
)
from cloud.console.words.times import Moment, moment
from contract.kinds import PointType
from contract.messages import Quality

STATES_SHOWN = 2
"""How many states a row says: more would hide the one that matters."""


class StateNow(msgspec.Struct, frozen=True):
    """One state in words: `tone` is normal, odd (another word than the normal one), stale, fault or unknown."""

    tone: str
    words: str


class DeviceLine(msgspec.Struct, frozen=True):
    """One row of the list. `heard` is the youngest value's time, None where nothing was ever heard."""

    id: int
    url: str
    name: str
    kind: str
    place: str
    gateway: str
    states: tuple[StateNow, ...]
    heard: Moment | None


class Building(msgspec.Struct, frozen=True):
    """The devices of one building."""

    name: str
    estate: str
    devices: tuple[DeviceLine, ...]


class DeviceList(msgspec.Struct, frozen=True):
    """The page. `more` says that the search found more than is shown."""

    buildings: tuple[Building, ...]
    search: str
    found: int
    more: bool
    several_estates: bool


def device_list(voice: Voice, rows: Sequence[DeviceRow], search: str, limit: int) -> DeviceList:
    """Groups neighbouring rows of one building; sorted `rows` hold one above `limit` if there are more."""
    shown = rows[:limit]
    groups = groupby(shown, key=lambda row: (row.place.estate, row.place.building))
    return DeviceList(
        buildings=tuple(
            Building(building(voice, devices[0].place), estate, tuple(device_line(voice, row) for row in devices))
            for (estate, _), group in groups
            if (devices := list(group))
        ),
        search=search,
        found=len(shown),
        more=len(rows) > limit,
        several_estates=len({row.place.estate for row in shown}) > 1,
    )


def device_line(voice: Voice, row: DeviceRow) -> DeviceLine:
    """One row in words."""
    heard = max((now.at for now in row.points if now.at), default=None)
    return DeviceLine(
        id=row.id,
        url=f"/devices/{row.id}",
        name=row.name,
        kind=kind_name(voice, row.kind),
        place=place(voice, row.place),
        gateway=row.gateway_name,
        states=states_now(voice, row),
        heard=moment(voice, heard) if heard else None,
    )


def states_now(voice: Voice, row: DeviceRow) -> tuple[StateNow, ...]:
    """What to say of a device: what is not normal, else how it stands; nothing heard is never normal."""
    states = [now for now in row.points if _is_state(row.kind, now)]
    if not states:
        states = list(row.points)
    odd = [_said(voice, row.kind, now) for now in states if not is_normal(row.kind, now)]
    if odd:
        # What was never heard is said last, after what is known to be wrong.
        return tuple(sorted(odd, key=lambda said: said.tone == "unknown"))[:STATES_SHOWN]
    if not states:
        return (StateNow("unknown", voice.t("nothing heard yet")),)
    working = [_said(voice, row.kind, now, "normal") for now in states if now.point in WORKING]
    return tuple(working[:STATES_SHOWN]) or (StateNow("normal", voice.t("normal")),)


def _is_state(kind: str, now: PointNow) -> bool:
    known = vocabulary(kind, now.point)
    return known is not None and known.type is PointType.STATE


def _said(voice: Voice, kind: str, now: PointNow, tone: str = "odd") -> StateNow:
    name = point_name(voice, kind, now.point)
    if now.quality is not Quality.GOOD:
        return StateNow(now.quality.name.lower(), f"{name} {quality_word(voice, now.quality)}")
    words = value_words(voice, kind, now.point, now.value)
    return StateNow(tone, words if words == name else f"{name} {words}")
