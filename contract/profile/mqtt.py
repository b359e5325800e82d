"""MQTT: how a model's topics and the JSON in them map to points."""

from collections.abc import Iterator
from typing import Literal

from contract.config import Problem
from contract.profile.common import PointMap, Profile, Read, Seconds, Write


class MqttRead(Read, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Where in which message a point is: `topic` with {address} for the device's own part, `path` within its JSON."""

    topic: str
    path: str = ""


class MqttWrite(Write, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """To which topic a command is published, and where in its JSON object the value stands."""

    topic: str
    path: str = ""


class MqttPoint(PointMap, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A point of a model that speaks MQTT. An event may carry `fields`: paths within the same message."""

    read: MqttRead | None = None
    write: MqttWrite | None = None
    fields: dict[str, str] = {}  # noqa: RUF012  # msgspec copies it


class MqttProfile(Profile, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A model that speaks MQTT. After `silent_after_s` without a message it is off line."""

    protocol: Literal["mqtt"]
    silent_after_s: Seconds
    points: dict[str, MqttPoint]


def check_mqtt(profile: MqttProfile) -> Iterator[Problem]:
    """What is wrong with where the points are read and written."""
    for name, point in profile.points.items():
        if point.read is not None and not point.read.topic:
            yield Problem(("points", name, "read"), f"{name!r} names no topic", "add topic:")
