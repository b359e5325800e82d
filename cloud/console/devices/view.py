"""View of the device list: groups by building, each device with its states in words."""

from collections.abc import Collection, Sequence
from itertools import groupby

import msgspec

from cloud.console.alarms.data import AlarmRow, AlarmState
from cloud.console.data import DeviceRow, PointNow, SilentGateway
from cloud.console.gateways.view import SilentLine, silent_lines
from cloud.console.words import Voice
from cloud.console.words.alarms import icon, state_word, what, worst_first
from cloud.console.words.places import building, place
from cloud.console.words.points import (
    WORKING,
    is_normal,
    is_state,
    is_unreachable,
    kind_name,
    point_name,
    quality_word,
    value_words,
)
from cloud.console.words.times import Moment, moment
from contract.messages import Quality

STATES_SHOWN = 2
"""How many states a row says: more would hide the one that matters."""


class StateNow(msgspec.Struct, frozen=True):
    """One state in words: `tone` is normal, odd (another word than the normal one), stale, fault or unknown."""

    tone: str
    words: str


class DeviceAlarm(msgspec.Struct, frozen=True):
    """An active alarm of a device: its shape and colour, what it is and where it stands, and where it is handled."""

    url: str
    priority: str
    icon: str
    words: str
    point: str
    stale: bool


class DeviceLine(msgspec.Struct, frozen=True):
    """One row of the list. `heard` is the youngest value's time, None where nothing was ever heard.

    `alarms` are the device's, the worst first; what they are about is not said again among `states`.
    """

    id: int
    url: str
    name: str
    kind: str
    place: str
    gateway: str
    alarms: tuple[DeviceAlarm, ...]
    states: tuple[StateNow, ...]
    heard: Moment | None


class Building(msgspec.Struct, frozen=True):
    """The devices of one building."""

    name: str
    estate: str
    devices: tuple[DeviceLine, ...]


class DeviceList(msgspec.Struct, frozen=True):
    """The page: devices in alarm, then all others. `more` says that the search found more than is shown."""

    silent: tuple[SilentLine, ...]
    alarmed: tuple[DeviceLine, ...]
    buildings: tuple[Building, ...]
    search: str
    found: int
    more: bool
    several_estates: bool


def device_list(
    voice: Voice,
    rows: Sequence[DeviceRow],
    search: str,
    limit: int,
    active: Sequence[AlarmRow] = (),
    silent: Sequence[SilentGateway] = (),
) -> DeviceList:
    """Groups neighbouring rows of one building; sorted `rows` hold one above `limit` if there are more.

    Devices with one of the `active` alarms stand before all others, in the order in which those want a person.
    """
    shown = rows[:limit]
    by_id = {row.id: row for row in shown}
    in_alarm = dict.fromkeys(alarm.device_id for alarm in worst_first(active))
    alarmed = [by_id[device] for device in in_alarm if device in by_id]
    others = [row for row in shown if row.id not in in_alarm]
    groups = groupby(others, key=lambda row: (row.place.estate, row.place.building))
    return DeviceList(
        silent=silent_lines(voice, silent),
        alarmed=tuple(device_line(voice, row, active) for row in alarmed),
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


def device_line(voice: Voice, row: DeviceRow, active: Sequence[AlarmRow] = ()) -> DeviceLine:
    """One row in words, with those of the `active` alarms that are its own."""
    alarms = tuple(_alarm(voice, alarm) for alarm in worst_first(active) if alarm.device_id == row.id)
    said = {alarm.point for alarm in alarms}
    states = states_now(voice, row, said)
    if any(alarm.stale for alarm in alarms):  # which says so already
        states = tuple(state for state in states if state.words != voice.t("state unknown"))
    heard = max((now.at for now in row.points if now.at), default=None)
    return DeviceLine(
        id=row.id,
        url=f"/devices/{row.id}",
        name=row.name,
        kind=kind_name(voice, row.kind),
        place=place(voice, row.place),
        gateway=row.gateway_name,
        alarms=alarms,
        states=states,
        heard=moment(voice, heard) if heard else None,
    )


def states_now(voice: Voice, row: DeviceRow, said: Collection[str] = ()) -> tuple[StateNow, ...]:
    """What to say of a device: what is not normal, else how it stands; nothing heard is never normal.

    Points that were `said` already are left out.
    """
    states = [now for now in row.points if is_state(row.kind, now.point)]
    if not states:
        states = list(row.points)
    if is_unreachable(row):
        return _before(voice, row, states, said)
    states = [now for now in states if now.point not in said or now.quality is not Quality.GOOD]
    odd = [_said(voice, row, now) for now in states if not is_normal(row.kind, now)]
    if odd:
        # What was never heard is said last, after what is known to be wrong.
        return tuple(sorted(odd, key=lambda state: state.tone == "unknown"))[:STATES_SHOWN]
    if said:
        return ()
    if not states:
        return (StateNow("unknown", voice.t("nothing heard yet")),)
    working = [_said(voice, row, now, "normal") for now in states if now.point in WORKING]
    return tuple(working[:STATES_SHOWN]) or (StateNow("normal", voice.t("normal")),)


def _before(voice: Voice, row: DeviceRow, states: Sequence[PointNow], said: Collection[str]) -> tuple[StateNow, ...]:
    """A device that cannot be reached: that it is so, and what was wrong before; never how it stands."""
    link = next(now for now in row.points if now.point == "link")
    offline = [_said(voice, row, link)] if link.quality is Quality.GOOD and "link" not in said else []
    before = [
        StateNow("stale", f"{_named(voice, row, now)} ({quality_word(voice, row, now)})")
        for now in states
        if now is not link
        and now.point not in said
        and now.quality is Quality.STALE
        and not is_normal(row.kind, msgspec.structs.replace(now, quality=Quality.GOOD))
    ]
    return (*offline, *before[:STATES_SHOWN]) if before else (*offline, StateNow("stale", voice.t("state unknown")))


def _alarm(voice: Voice, alarm: AlarmRow) -> DeviceAlarm:
    words = what(voice, alarm)
    if alarm.state is not AlarmState.UNACK:
        words = f"{words}{voice.t(', ')}{state_word(voice, alarm)}"
    if alarm.stale:
        words = voice.t("%(value)s, state now unknown", value=words)
    return DeviceAlarm(f"/alarms/{alarm.id}", alarm.priority, icon(alarm), words, alarm.point, alarm.stale)


def _said(voice: Voice, row: DeviceRow, now: PointNow, tone: str = "odd") -> StateNow:
    if now.quality is not Quality.GOOD:
        name = point_name(voice, row.kind, now.point)
        return StateNow(now.quality.name.lower(), f"{name} {quality_word(voice, row, now)}")
    return StateNow(tone, _named(voice, row, now))


def _named(voice: Voice, row: DeviceRow, now: PointNow) -> str:
    name = point_name(voice, row.kind, now.point)
    words = value_words(voice, row.kind, now.point, now.value)
    return words if words == name else f"{name} {words}"
