"""Modbus: how a model's registers and bits map to points."""

from collections.abc import Iterator
from enum import StrEnum
from typing import Annotated, Literal

import msgspec

from contract.config import Problem, is_bad
from contract.profile.common import PointMap, Profile, Read, Write

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


class ModbusRead(Read, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Where a point is read: table and address of channel 0 (counted from 0, as on the wire), and how it lies there.

    `stride` is the distance from one channel to the next. `bit` picks one bit (0 is the lowest) of a register.
    """

    table: Table
    address: Annotated[int, msgspec.Meta(ge=0, le=65535)]
    stride: Annotated[int, msgspec.Meta(ge=0, le=1024)] = 0
    type: DataType = DataType.UINT16
    bit: Annotated[int, msgspec.Meta(ge=0, le=15)] | None = None


class ModbusWrite(Write, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Where a command is written: a coil or a holding register, counted as in ModbusRead."""

    table: Table
    address: Annotated[int, msgspec.Meta(ge=0, le=65535)]
    stride: Annotated[int, msgspec.Meta(ge=0, le=1024)] = 0
    value: Annotated[int, msgspec.Meta(ge=0, le=65535)] | None = None


class ModbusPoint(PointMap, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A point of a Modbus model. An event may carry `fields`, read together with it."""

    read: ModbusRead | None = None
    write: ModbusWrite | None = None
    fields: dict[str, ModbusRead] = {}  # noqa: RUF012  # msgspec copies it


class ModbusLimits(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What the model allows on the wire: most registers or bits a read, unused ones a merged read may span."""

    max_registers: Annotated[int, msgspec.Meta(ge=1, le=125)] = 125
    max_bits: Annotated[int, msgspec.Meta(ge=1, le=2000)] = 2000
    max_gap: Annotated[int, msgspec.Meta(ge=0, le=124)] = 0
    channels: Annotated[int, msgspec.Meta(ge=1, le=1024)] = 1


class ModbusProfile(Profile, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A model that speaks Modbus; `modbus` says what it allows on the wire."""

    protocol: Literal["modbus"]
    modbus: ModbusLimits = ModbusLimits()
    points: dict[str, ModbusPoint]


def check_modbus(profile: ModbusProfile) -> Iterator[Problem]:
    """What is wrong with where the points are read and written."""
    for name, point in profile.points.items():
        if is_bad(name, point):
            continue
        if not is_bad(point.read, point.write):
            yield from _check_registers(point, ("points", name), profile.modbus)
        for raw in () if is_bad(point.states) else point.states:
            if isinstance(raw, str):
                hint = "the number that the device says, for example 0"
                yield Problem(("points", name, "states"), f"{raw!r} is no value of a register", hint)


def _check_registers(point: ModbusPoint, where: tuple[str | int, ...], limits: ModbusLimits) -> list[Problem]:
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
