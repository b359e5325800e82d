"""BLE: how a model's advertisements and characteristics map to points."""

from collections.abc import Iterator
from typing import Literal

from contract.config import Problem
from contract.profile.common import PointMap, Profile, Read, Seconds, Write


class BleRead(Read, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What of an advertisement is read: the name that BTHome gives a measurement or event."""

    bthome: str


class BleWrite(Write, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """To which characteristic a command is written."""

    characteristic: str


class BlePoint(PointMap, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A point of a BLE model."""

    read: BleRead | None = None
    write: BleWrite | None = None


class BleProfile(Profile, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A model that speaks BLE. After `silent_after_s` without an advertisement it is off line."""

    protocol: Literal["ble"]
    silent_after_s: Seconds
    points: dict[str, BlePoint]


def check_ble(profile: BleProfile) -> Iterator[Problem]:
    """What is wrong with where the points are read and written."""
    for name, point in profile.points.items():
        if point.read is not None and not point.read.bthome:
            yield Problem(("points", name, "read"), f"{name!r} names no measurement", "add bthome:")
