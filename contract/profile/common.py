"""The device profile: how one model's points map to the standard points of a kind. Facts only, no logic.

One YAML file a model in `device_profiles/`. The box reads by it and the simulator answers by it. What is the same
for every protocol is here; how a point is read and written is in the module of each protocol.
"""

from collections.abc import Mapping
from typing import Annotated

import msgspec

from contract.errors import Permanent

Name = Annotated[
    str,
    msgspec.Meta(
        pattern=r"^[a-z0-9][a-z0-9_.-]*$", max_length=64, description="small letters a to z, digits, and . _ - between"
    ),
]
Seconds = Annotated[float, msgspec.Meta(gt=0, le=7 * 86400)]
Pause = Annotated[float, msgspec.Meta(ge=0, le=86400)]
Args = Mapping[str, str | int | float | bool]
Raw = int | float | str
"""A value as a device says it. JSON's true and false are 1 and 0."""


class Report(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """When a reading is worth reporting: it changed by more than a deadband, or a heartbeat is due.

    `deadband` is in the point's unit, `relative` a share of the value reported last; both must be passed. `always`
    reports every read.
    """

    deadband: Annotated[float, msgspec.Meta(ge=0)] = 0.0
    relative: Annotated[float, msgspec.Meta(ge=0, lt=1)] = 0.0
    heartbeat_s: Seconds = 300.0
    always: bool = False


class Debounce(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """How long a state must hold before it is believed: `enter_s` for any word but the kind's normal one, `leave_s` for
    the return to normal. The reading's time is that of the first read of the new state."""

    enter_s: Pause = 0.0
    leave_s: Pause = 0.0


class Counter(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A number that only counts up, until it rolls over or the device is reset.

    `rolls_over_at` is the raw count after which the device begins again at 0. A fall that is no roll-over (counted on,
    it would exceed `most_per_s` raw counts a second) is a reset: the device began anew at 0.
    """

    rolls_over_at: Annotated[int, msgspec.Meta(gt=0)] | None = None
    most_per_s: Annotated[float, msgspec.Meta(gt=0)] | None = None


class Read(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Where a point is read; each protocol has its own."""


class Write(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Where a command is written, and what: the `value`, or the command's argument named by `argument`."""

    value: int | str | None = None
    argument: str | None = None
    minimum: float = 0
    maximum: float = 65535

    def given(self, args: Args) -> int | float | str:
        """What a command with these arguments writes. Raises Permanent, saying what is wrong with them."""
        unknown = sorted(set(args) - {self.argument})
        if unknown:
            raise Permanent(f"it takes no argument {unknown[0]!r}")
        if self.argument is None:
            return 0 if self.value is None else self.value
        value = args.get(self.argument)
        if value is None:
            raise Permanent(f"it needs the argument {self.argument!r}")
        if isinstance(value, str):
            return value
        if value - value != 0:
            raise Permanent(f"{self.argument!r} must be a number, it is {value}")
        if not self.minimum <= value <= self.maximum:
            raise Permanent(f"{self.argument!r} must be {self.minimum:g} to {self.maximum:g}, it is {value}")
        return value

    def number(self, args: Args) -> int:
        """As `given`, for what can only be a whole number."""
        value = args.get(self.argument) if self.argument else None
        if isinstance(value, bool | str) or (isinstance(value, float) and not value.is_integer()):
            raise Permanent(f"{self.argument!r} must be a whole number, it is {value!r}")
        return int(self.given(args))


class Confirm(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """How the effect of a command is read back: which state, within how many seconds."""

    point: str
    state: str
    within_s: Annotated[float, msgspec.Meta(gt=0, le=60)] = 3.0


class PointMap(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One point of the model: a state has `states` (raw value to word), telemetry a scale, a command `write`.

    A reading is `raw * scale + offset`. `minimum` and `maximum` bound what is plausible, in the point's unit; what
    lies outside is reported with quality fault. An event has happened when the raw value becomes one of `when` (for a
    protocol of messages: at each message that says one of them, or at each message when `when` is empty).
    """

    read: Read | None = None
    write: Write | None = None
    confirm: Confirm | None = None
    states: dict[int | str, str] = {}
    when: tuple[int | str, ...] = ()
    scale: float = 1.0
    offset: float = 0.0
    minimum: float | None = None
    maximum: float | None = None
    counter: Counter | None = None
    debounce: Debounce = Debounce()
    report: Report = Report()


class Profile(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One model of device: which kind it is and where its points are. `source` says where the facts come from.

    `notes` and `notes_zh` are for the person who wires it: terminals, DIP switches, factory settings, limits.
    """

    id: Name
    protocol: str
    vendor: str
    model: str
    kind: str
    source: str
    notes: str = ""
    notes_zh: str = ""
    points: Mapping[str, PointMap]

    def stale_after_s(self, point: str) -> float:
        """Seconds of silence after which a point is stale: two and a half heartbeats."""
        return 2.5 * self.points[point].report.heartbeat_s
