"""What one press does: whom to call, which doors to release, what displays and loudspeakers say, what residents read.

A plan is a YAML file that a person writes and imports (`anju-cloud plan import`); each version stays in the database.
Devices stand in it by the numbers that their pages have.
"""

from collections.abc import Iterator, Mapping
from typing import Annotated, Literal

import msgspec

from contract.config import Problem, is_bad

MOST_DEVICES = 200
MOST_CALLED = 500
Name = Annotated[
    str, msgspec.Meta(pattern=r"^[a-z0-9][a-z0-9-]{0,39}$", description="small letters, digits and hyphens")
]
Words = Annotated[str, msgspec.Meta(min_length=1, max_length=200)]
DeviceId = Annotated[int, msgspec.Meta(ge=1, le=(1 << 31) - 1)]

POINTS = {"door": "release", "vehicle_gate": "hold_open", "display": "show", "broadcast": "announce"}
"""What is ordered of a device, by its kind."""
DOORS = frozenset({"door", "vehicle_gate"})


class Said(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A text in both languages."""

    zh: Words
    en: Words


class Call(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Who is called. Of a role those at the estate, or at the nearest area above it that has any."""

    roles: list[Literal["grid_worker", "operator", "manager", "supervisor"]] = []
    people: list[Annotated[str, msgspec.Meta(min_length=1, max_length=200)]] = []
    """By their logins."""
    schedules: list[Annotated[str, msgspec.Meta(min_length=1, max_length=200)]] = []
    """On-call schedules: whoever is on duty at that moment."""


class Saying(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What one display shows, or one loudspeaker says."""

    device: DeviceId
    text: Words


class Residents(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A notice to residents through a channel, for example the webhook of a house-owners' app."""

    channel: Annotated[str, msgspec.Meta(min_length=1, max_length=200)]
    text: Said
    in_drill: bool = False
    """Whether it is also sent in a drill, marked as one."""


class Plan(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One plan of an estate."""

    name: Name
    title: Said
    call: Call
    doors: Annotated[list[DeviceId], msgspec.Meta(max_length=MOST_DEVICES)] = []
    """Doors to release and vehicle gates to hold open."""
    say: Annotated[list[Saying], msgspec.Meta(max_length=MOST_DEVICES)] = []
    """What displays show and loudspeakers say."""
    residents: Annotated[list[Residents], msgspec.Meta(max_length=10)] = []
    lasts_h: Annotated[float, msgspec.Meta(gt=0, le=72)] = 4
    """After which it ends by itself."""

    @property
    def devices(self) -> list[int]:
        """Of which something is ordered."""
        return [*self.doors, *(saying.device for saying in self.say)]


class Known(msgspec.Struct, frozen=True):
    """What the estate has: kinds and commands of devices by id, logins, schedules, channels."""

    devices: Mapping[int, tuple[str, frozenset[str]]]
    people: frozenset[str]
    schedules: frozenset[str]
    channels: frozenset[str]


def check(plan: Plan, known: Known) -> list[Problem]:
    """Every mistake in a plan against what the estate has."""
    return list(_mistakes(plan, known))


def _mistakes(plan: Plan, known: Known) -> Iterator[Problem]:
    call = plan.call
    if not is_bad(call) and not (call.roles or call.people or call.schedules):
        yield Problem(("call",), "the plan calls nobody", "name roles, people or schedules")
    if not is_bad(call):
        for field, names, there in (
            ("people", call.people, known.people),
            ("schedules", call.schedules, known.schedules),
        ):
            for i, name in enumerate(names):
                if not is_bad(name) and name not in there:
                    yield Problem(("call", field, i), f"there is no {_ONE[field]} {name!r}")
    for i, device in enumerate(plan.doors):
        if not is_bad(device):
            yield from _device(("doors", i), device, known, DOORS)
    for i, saying in enumerate(plan.say):
        if not is_bad(saying) and not is_bad(saying.device):
            yield from _device(("say", i, "device"), saying.device, known, frozenset(POINTS) - DOORS)
    for i, notice in enumerate(plan.residents):
        if not is_bad(notice) and not is_bad(notice.channel) and notice.channel not in known.channels:
            hint = "it has to be a channel of the estate, or of an area above it"
            yield Problem(("residents", i, "channel"), f"there is no channel {notice.channel!r} for this estate", hint)


_ONE = {"people": "person", "schedules": "on-call schedule"}


def _device(where: tuple[str | int, ...], device: int, known: Known, kinds: frozenset[str]) -> Iterator[Problem]:
    kind, commands = known.devices.get(device, ("", frozenset()))
    if not kind:
        yield Problem(where, f"the estate has no device {device}", "its number stands in its page's address")
    elif kind not in kinds:
        yield Problem(where, f"device {device} is a {kind}; here it has to be one of {', '.join(sorted(kinds))}")
    elif POINTS[kind] not in commands:
        yield Problem(where, f"device {device} has no command {POINTS[kind]}", "its profile does not offer it")
