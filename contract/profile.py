"""The device profile: how one model's registers map to the standard points of a kind. Facts only, no logic.

One YAML file a model in `device_profiles/`. The box polls by it and the simulator answers by it.
"""

from collections.abc import Iterator, Mapping
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import msgspec

from contract.config import FILE, Problem, is_bad, load_file
from contract.errors import ConfigError, Mistake, Permanent
from contract.kinds import KINDS, PointType

Name = Annotated[
    str,
    msgspec.Meta(
        pattern=r"^[a-z0-9][a-z0-9_.-]*$", max_length=64, description="small letters a to z, digits, and . _ - between"
    ),
]
Seconds = Annotated[float, msgspec.Meta(gt=0, le=7 * 86400)]
_ADDRESSES = 65536


class Table(StrEnum):
    """The four tables of Modbus."""

    COIL = "coil"
    DISCRETE_INPUT = "discrete_input"
    HOLDING_REGISTER = "holding_register"
    INPUT_REGISTER = "input_register"

    @property
    def is_bits(self) -> bool:
        """Whether the table holds single bits rather than 16-bit registers."""
        return self in {Table.COIL, Table.DISCRETE_INPUT}

    @property
    def is_writable(self) -> bool:
        """Whether a client may write to it."""
        return self in {Table.COIL, Table.HOLDING_REGISTER}


class DataType(StrEnum):
    """How a number lies in registers; 32-bit types take two, high word first."""

    BIT = "bit"
    UINT16 = "uint16"
    INT16 = "int16"
    UINT32 = "uint32"
    INT32 = "int32"
    FLOAT32 = "float32"

    @property
    def registers(self) -> int:
        """How many registers (or bits, for `bit`) a value takes."""
        return 2 if self in {DataType.UINT32, DataType.INT32, DataType.FLOAT32} else 1


class Report(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """When a reading is worth reporting: it changed by more than `deadband` (in its unit), or a heartbeat is due."""

    deadband: Annotated[float, msgspec.Meta(ge=0)] = 0.0
    heartbeat_s: Seconds = 300.0


class ModbusRead(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Where a point is read: table and address of channel 0 (counted from 0, as on the wire), and how it lies there.

    `stride` is the distance from one channel to the next. `bit` picks one bit (0 is the lowest) of a register.
    """

    table: Table
    address: Annotated[int, msgspec.Meta(ge=0, le=65535)]
    stride: Annotated[int, msgspec.Meta(ge=0, le=1024)] = 0
    type: DataType = DataType.UINT16
    bit: Annotated[int, msgspec.Meta(ge=0, le=15)] | None = None


class ModbusWrite(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Where a command is written: the `value`, or the command's argument named by `argument` when there is one."""

    table: Table
    address: Annotated[int, msgspec.Meta(ge=0, le=65535)]
    stride: Annotated[int, msgspec.Meta(ge=0, le=1024)] = 0
    value: Annotated[int, msgspec.Meta(ge=0, le=65535)] | None = None
    argument: str | None = None
    minimum: Annotated[int, msgspec.Meta(ge=0, le=65535)] = 0
    maximum: Annotated[int, msgspec.Meta(ge=0, le=65535)] = 65535

    def number(self, args: Mapping[str, str | int | float | bool]) -> int:
        """The number that a command with these arguments writes. Raises Permanent, saying what is wrong with them."""
        unknown = sorted(set(args) - {self.argument})
        if unknown:
            raise Permanent(f"it takes no argument {unknown[0]!r}")
        if self.argument is None:
            return self.value or 0
        given = args.get(self.argument)
        if given is None:
            raise Permanent(f"it needs the argument {self.argument!r}")
        if isinstance(given, bool | str) or (isinstance(given, float) and not given.is_integer()):
            raise Permanent(f"{self.argument!r} must be a whole number, it is {given!r}")
        if not self.minimum <= given <= self.maximum:
            raise Permanent(f"{self.argument!r} must be {self.minimum} to {self.maximum}, it is {given}")
        return int(given)


class Confirm(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """How the effect of a command is read back: which state, within how many seconds."""

    point: str
    state: str
    within_s: Annotated[float, msgspec.Meta(gt=0, le=60)] = 3.0


class PointMap(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One point of the model: a state has `states` (raw value to word), telemetry a scale, a command `write`.

    A reading is `raw * scale + offset`. `minimum` and `maximum` bound what is plausible, in the point's unit; what
    lies outside is reported with quality fault.
    """

    read: ModbusRead | None = None
    write: ModbusWrite | None = None
    confirm: Confirm | None = None
    states: dict[int, str] = {}
    scale: float = 1.0
    offset: float = 0.0
    minimum: float | None = None
    maximum: float | None = None
    report: Report = Report()


class ModbusLimits(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What the model allows on the wire: most registers or bits a read, unused ones a merged read may span."""

    max_registers: Annotated[int, msgspec.Meta(ge=1, le=125)] = 125
    max_bits: Annotated[int, msgspec.Meta(ge=1, le=2000)] = 2000
    max_gap: Annotated[int, msgspec.Meta(ge=0, le=124)] = 0
    channels: Annotated[int, msgspec.Meta(ge=1, le=1024)] = 1


class Profile(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One model of device: which kind it is and where its points are. `source` says where the facts come from."""

    id: Name
    vendor: str
    model: str
    kind: str
    source: str
    modbus: ModbusLimits = ModbusLimits()
    points: dict[str, PointMap]

    def stale_after_s(self, point: str) -> float:
        """Seconds of silence after which a point is stale: two and a half heartbeats."""
        return 2.5 * self.points[point].report.heartbeat_s


def check_profile(profile: Profile) -> list[Problem]:
    """What is wrong with a profile that has the right shape; empty when nothing is."""
    kind = KINDS.get(profile.kind)
    if is_bad(profile.kind, profile.points):
        return []
    if kind is None:
        return [Problem(("kind",), f"kind {profile.kind!r} does not exist", f"one of: {', '.join(sorted(KINDS))}")]
    problems = []
    for name, point in profile.points.items():
        where = ("points", name)
        if is_bad(name, point) or is_bad(point.read, point.write, point.states, point.confirm):
            continue
        standard = kind.points.get(name)
        if standard is None:
            problems.append(
                Problem(where, f"{kind.name} has no point {name!r}", f"it has: {', '.join(sorted(kind.points))}")
            )
            continue
        is_command = standard.type is PointType.COMMAND
        if is_command and point.write is None:
            problems.append(
                Problem(where, f"command {name!r} says nowhere to write", "add write: with table and address")
            )
        if not is_command and point.read is None:
            problems.append(Problem(where, f"point {name!r} says nowhere to read", "add read: with table and address"))
        problems.extend(_check_registers(point, where, profile.modbus))
        if standard.type is PointType.STATE:
            known = {word.code for word in standard.words}
            if not point.states:
                problems.append(
                    Problem(where, f"state {name!r} has no states", f"map raw values to: {', '.join(known)}")
                )
            problems.extend(
                Problem((*where, "states"), f"{name!r} has no word {word!r}", f"one of: {', '.join(sorted(known))}")
                for word in point.states.values()
                if word not in known
            )
        argument = point.write.argument if point.write else None
        if is_command and argument is not None and not is_bad(argument) and argument not in standard.fields:
            problem, hint = f"{name!r} has no argument {argument!r}", ", ".join(standard.fields) or "it has none"
            problems.append(Problem((*where, "write", "argument"), problem, hint))
        if point.confirm:
            problems.extend(_check_confirm(point.confirm, (*where, "confirm"), profile))
        bounds = (point.minimum, point.maximum)
        if None not in bounds and not is_bad(*bounds) and point.minimum > point.maximum:  # type: ignore[operator]
            problem = f"minimum {point.minimum:g} is above maximum {point.maximum:g}"
            problems.append(Problem((*where, "minimum"), problem, "exchange them"))
    return problems


def _check_confirm(confirm: Confirm, where: tuple[str | int, ...], profile: Profile) -> Iterator[Problem]:
    """What is wrong with how a command's effect is read back; empty where it can ever be seen."""
    if is_bad(confirm.point, confirm.state):
        return
    seen = profile.points.get(confirm.point)
    if seen is None:
        yield Problem(where, f"confirm names point {confirm.point!r}, not in this profile")
    elif not is_bad(seen) and not is_bad(seen.states) and confirm.state not in seen.states.values():
        problem = f"confirm waits for {confirm.state!r}, which {confirm.point!r} never says"
        yield Problem(where, problem, f"one of: {', '.join(sorted(seen.states.values()))}")


def _check_registers(point: PointMap, where: tuple[str | int, ...], limits: ModbusLimits) -> list[Problem]:
    """What is wrong with where a point is read and written, when the shapes are right."""
    problems = []
    read, write = point.read, point.write
    if read and not is_bad(read.table, read.type, read.bit, read.address, read.stride, limits):
        here = (*where, "read")
        if read.table.is_bits and (read.type is not DataType.BIT or read.bit is not None):
            problems.append(Problem((*here, "type"), f"{read.table} holds single bits", "write type: bit"))
        if not read.table.is_bits and (read.type is DataType.BIT) is (read.bit is None):
            hint = "one bit of a register is type: bit with bit: 0 to 15"
            problems.append(Problem((*here, "type"), "type: bit and bit: belong together in a register", hint))
        if read.address + read.stride * (limits.channels - 1) + read.type.registers > _ADDRESSES:
            problems.append(Problem((*here, "address"), "the last channel lies beyond address 65535"))
        if not read.table.is_bits and read.type.registers > limits.max_registers:
            problems.append(Problem((*here, "type"), f"{read.type} takes more than max_registers"))
    if write and not is_bad(write, write.table, write.value, write.argument, write.address, write.stride, limits):
        here = (*where, "write")
        if not write.table.is_writable:
            problems.append(Problem((*here, "table"), f"{write.table} cannot be written"))
        if (write.value is None) is (write.argument is None):
            problems.append(Problem(here, "say either value: or argument:", "value: 1 writes a 1"))
        if write.address + write.stride * (limits.channels - 1) >= _ADDRESSES:
            problems.append(Problem((*here, "address"), "the last channel lies beyond address 65535"))
    return problems


def load_profile(path: Path) -> Profile:
    """The profile in a file. Raises ConfigError with every mistake."""
    loaded = load_file(path, Profile, check=check_profile)
    problems = []
    if loaded.value.id != path.stem:
        problems.append(
            Problem(
                ("id",), f"id {loaded.value.id!r} differs from the file's name", f"call the file {loaded.value.id}.yaml"
            )
        )
    loaded.raise_for(problems)
    return loaded.value


def load_profiles(folder: Path) -> dict[str, Profile]:
    """All profiles below a folder, by id. Raises ConfigError with every mistake in every file."""
    profiles: dict[str, Profile] = {}
    mistakes: list[Mistake] = []
    for path in sorted(folder.rglob("*.yaml")):
        try:
            profile = load_profile(path)
        except ConfigError as e:
            mistakes.extend(e.mistakes)
            continue
        if profile.id in profiles:
            mistakes.append(Mistake(str(path), FILE, f"profile {profile.id!r} exists twice", "remove one of them"))
        profiles[profile.id] = profile
    if mistakes:
        raise ConfigError(mistakes)
    return profiles


def shipped_profiles() -> Path:
    """The folder of the profiles that come with Anju."""
    return Path(__file__).resolve().parent.parent / "device_profiles"
