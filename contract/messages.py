"""What travels between the stages of the box: samples, readings, events, commands and their results.

All times on the box are monotonic (`mono_ns`: CLOCK_BOOTTIME nanoseconds of the boot they belong to); only a clock
record ties them to UTC (ARCHITECTURE.md, decision 10).
"""

from collections.abc import Mapping
from enum import IntEnum, StrEnum

import msgspec

from contract.kinds import Lane


class Quality(IntEnum):
    """How far a value can be trusted; never good by default."""

    GOOD = 0
    STALE = 1
    """Older than the profile's limit."""
    FAULT = 2
    """The device itself says so, or what it said makes no sense."""
    UNKNOWN = 3
    """Never seen."""


class Sample(msgspec.Struct, frozen=True, gc=False):
    """What a driver read for one point, before the profile's scale and words: a raw value, or None on a failed read.

    `mono_ns` is the time of the read. `error` says in a few words why `raw` is None. `fields` is None for what is so
    when asked; a message that says that something *happened* has fields, maybe none. `is_kept` marks an old value that
    somebody kept for us (MQTT's retained messages): no sign of life, and never an event.
    """

    device: str
    point: str
    raw: int | float | str | None
    mono_ns: int
    error: str = ""
    fields: Mapping[str, str | int | float | bool] | None = None
    is_kept: bool = False

    def __repr__(self) -> str:
        """Without what may be a card or a plate in clear: wherever it is shown, it may be a log."""
        fields = None if self.fields is None else sorted(self.fields)
        what = "…" if fields else repr(self.raw)
        return (
            f"Sample({self.device!r}, {self.point!r}, {what}, {self.mono_ns}, {self.error!r}, {fields}, {self.is_kept})"
        )


class Reading(msgspec.Struct, frozen=True, gc=False):
    """A value of one point at one time. States carry their word's code, telemetry a float in the point's unit.

    `value` is None only where `quality` is not good and nothing was ever known.
    """

    device: str
    point: str
    value: float | str | None
    quality: Quality
    mono_ns: int
    lane: Lane


class Event(msgspec.Struct, frozen=True, array_like=True, tag="event"):
    """Something that happened at a device, with the fields its kind names. Lane urgent."""

    device: str
    point: str
    fields: dict[str, str | int | float | bool]
    mono_ns: int


class CommandStatus(StrEnum):
    """What became of a command. The last four are answers of the box; the others are the cloud's own knowledge."""

    QUEUED = "queued"
    SENT = "sent"
    """Handed to the box, no answer yet."""
    EXPIRED = "expired"
    """Its not-after passed with no answer; the box would refuse it now."""
    EXECUTED = "executed"
    """Done, and the effect was read back."""
    SENT_NOT_CONFIRMED = "sent_not_confirmed"
    """Written to the device, but its effect was not seen in time."""
    FAILED = "failed"
    """The device refused it or could not be reached; nothing was done."""
    REFUSED = "refused"
    """Too late, not allowed, or the box does not know the time; nothing was done."""


class Command(msgspec.Struct, frozen=True):
    """An order for one device, carried out at most once and never after `not_after_ns` (UTC of the cloud).

    `id` is its nonce: a box that has seen it does not do it again, and repeats its answer.
    """

    id: str
    device: str
    point: str
    args: dict[str, str | int | float | bool]
    not_after_ns: int


class CommandResult(msgspec.Struct, frozen=True, array_like=True, tag="result"):
    """The box's answer to a command, with the reason in a sentence where it was not executed."""

    id: str
    status: CommandStatus
    reason: str
    mono_ns: int


class Outcome(msgspec.Struct, frozen=True):
    """What a driver says became of a command, and a sentence on why. It refuses one that is too late to be written."""

    status: CommandStatus
    reason: str = ""
