"""Modbus: how a model's registers and bits map to points."""

from collections.abc import Iterator
from enum import StrEnum
from typing import Annotated, Literal

import msgspec

from contract.config import Problem, is_bad
from contract.profile.common import PointMap, Profile, Read, Seconds, Write

_ADDRESSES = 65536
_BITS = 16
Where = tuple[str | int, ...]


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
    """How a value lies in registers of 16 bits. `bit` is one bit, or some bits side by side, of one register."""

    BIT = "bit"
    UINT16 = "uint16"
    INT16 = "int16"
    UINT32 = "uint32"
    INT32 = "int32"
    UINT64 = "uint64"
    INT64 = "int64"
    FLOAT32 = "float32"
    FLOAT64 = "float64"
    BCD16 = "bcd16"
    BCD32 = "bcd32"
    BCD64 = "bcd64"
    """Two decimal digits a byte."""
    STRING = "string"
    """Text of `length` registers, two bytes each; NULs and spaces at its end are left out."""

    @property
    def registers(self) -> int:
        """How many registers (or bits, for `bit` in a table of bits) a value takes; 0 where the read says it."""
        return _REGISTERS.get(self, 1)

    @property
    def bounds(self) -> tuple[int, int] | None:
        """The least and greatest whole number it holds; None for what holds others than whole numbers."""
        return _BOUNDS.get(self)


_REGISTERS = {
    DataType.UINT32: 2, DataType.INT32: 2, DataType.FLOAT32: 2, DataType.BCD32: 2,
    DataType.UINT64: 4, DataType.INT64: 4, DataType.FLOAT64: 4, DataType.BCD64: 4, DataType.STRING: 0,
}  # fmt: skip
_BOUNDS = {
    DataType.BIT: (0, 1),
    **{DataType(f"uint{bits}"): (0, 2**bits - 1) for bits in (16, 32, 64)},
    **{DataType(f"int{bits}"): (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1) for bits in (16, 32, 64)},
    **{DataType(f"bcd{bits}"): (0, 10 ** (bits // 4) - 1) for bits in (16, 32, 64)},
}


class Order(StrEnum):
    """Which part of a value comes first: the high one, as the standard has it of bytes, or the low one."""

    HIGH_FIRST = "high_first"
    LOW_FIRST = "low_first"


class ModbusRead(Read, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Where a point is read: table and address of channel 0 (counted from 0, as on the wire), and how it lies there.

    `stride` is the distance from one channel to the next. `bit` picks `bits` bits of a register from that one on (0 is
    the lowest). `words` is the order of the registers of a value, `bytes` that of the bytes of a register. Strings
    have a `length` in registers. `every_s` is the period of what need not be read at each poll of its bus.
    """

    table: Table
    address: Annotated[int, msgspec.Meta(ge=0, le=65535)]
    stride: Annotated[int, msgspec.Meta(ge=0, le=1024)] = 0
    type: DataType = DataType.UINT16
    bit: Annotated[int, msgspec.Meta(ge=0, le=15)] | None = None
    bits: Annotated[int, msgspec.Meta(ge=1, le=16)] = 1
    words: Order = Order.HIGH_FIRST
    bytes: Order = Order.HIGH_FIRST
    length: Annotated[int, msgspec.Meta(ge=1, le=125)] | None = None
    encoding: Literal["utf-8", "ascii", "gb18030"] = "utf-8"
    every_s: Seconds | None = None

    @property
    def count(self) -> int:
        """How many registers, or bits of a table of bits, are read."""
        return self.length or self.type.registers or 1


class ModbusWrite(Write, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Where a command is written: a coil or a holding register, counted as in ModbusRead, and how it lies there.

    A `value` is written as it is. An argument is in the unit that people use: `argument = raw * scale + offset`, as of
    a reading. `multiple` writes one coil or register by function 15 or 16, for models that know no 5 or 6.
    """

    table: Table
    address: Annotated[int, msgspec.Meta(ge=0, le=65535)]
    stride: Annotated[int, msgspec.Meta(ge=0, le=1024)] = 0
    type: DataType = DataType.UINT16
    words: Order = Order.HIGH_FIRST
    bytes: Order = Order.HIGH_FIRST
    scale: float = 1.0
    offset: float = 0.0
    multiple: bool = False
    value: int | None = None


class ModbusPoint(PointMap, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A point of a Modbus model."""

    read: ModbusRead | None = None
    write: ModbusWrite | None = None


class ModbusLimits(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What the model allows on the wire: most registers or bits a read, unused ones a merged read may span.

    `answer_ms` is how long it takes to begin an answer, for the sum of what a serial line can carry.
    """

    max_registers: Annotated[int, msgspec.Meta(ge=1, le=125)] = 125
    max_bits: Annotated[int, msgspec.Meta(ge=1, le=2000)] = 2000
    max_gap: Annotated[int, msgspec.Meta(ge=0, le=124)] = 0
    channels: Annotated[int, msgspec.Meta(ge=1, le=1024)] = 1
    answer_ms: Annotated[float, msgspec.Meta(ge=0, le=5000)] = 10.0


class ModbusProfile(Profile, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A model that speaks Modbus; `modbus` says what it allows on the wire."""

    protocol: Literal["modbus"]
    modbus: ModbusLimits = ModbusLimits()
    points: dict[str, ModbusPoint]


def check_modbus(profile: ModbusProfile) -> Iterator[Problem]:
    """What is wrong with where the points are read and written."""
    limits = profile.modbus
    has_limits = not is_bad(limits) and not is_bad(*_parts(limits))
    for name, point in profile.points.items():
        if is_bad(name, point):
            continue
        where = ("points", name)
        read, write = point.read, point.write
        if has_limits and read is not None and not is_bad(read) and not is_bad(*_parts(read)):
            yield from _check_read(read, (*where, "read"), limits)
            yield from _check_period(read, point, (*where, "read"))
        if has_limits and write is not None and not is_bad(write) and not is_bad(*_parts(write)):
            yield from _check_write(write, (*where, "write"), limits)
        is_text = read is not None and not is_bad(read) and read.type is DataType.STRING
        for raw in () if is_bad(point.states) or is_text else point.states:
            if isinstance(raw, str):
                hint = "the number that the device says, for example 0"
                yield Problem((*where, "states"), f"{raw!r} is no value of a register", hint)


def _parts(struct: msgspec.Struct) -> tuple[object, ...]:
    return msgspec.structs.astuple(struct)


def _check_read(read: ModbusRead, here: Where, limits: ModbusLimits) -> Iterator[Problem]:
    """What is wrong with where and how a point is read."""
    if read.table.is_bits and (read.type is not DataType.BIT or read.bit is not None or read.bits != 1):
        yield Problem((*here, "type"), f"{read.table} holds single bits", "write type: bit")
    elif not read.table.is_bits and (read.type is DataType.BIT) is (read.bit is None):
        hint = "one bit of a register is type: bit with bit: 0 to 15"
        yield Problem((*here, "type"), "type: bit and bit: belong together in a register", hint)
    elif read.bits != 1 and read.bit is None:
        yield Problem((*here, "bits"), "bits: says how many from bit: on", "write type: bit, and bit: the lowest")
    elif read.bit is not None and read.bit + read.bits > _BITS:
        problem = f"a register has bits 0 to 15, and {read.bits} from bit {read.bit} on go beyond"
        yield Problem((*here, "bits"), problem, f"at most {_BITS - read.bit}")
    if (read.type is DataType.STRING) is (read.length is None):
        hint = "text is type: string with length: its number of registers"
        yield Problem((*here, "length"), "type: string and length: belong together", hint)
    if read.address + read.stride * (limits.channels - 1) + read.count > _ADDRESSES:
        yield Problem((*here, "address"), "the last channel lies beyond address 65535")
    if not read.table.is_bits and read.count > limits.max_registers:
        yield Problem((*here, "type"), f"{read.type} takes more than max_registers")


def _check_period(read: ModbusRead, point: ModbusPoint, here: Where) -> Iterator[Problem]:
    """Whether a point with a period of its own is read often enough to be fresh."""
    if read.every_s is None or is_bad(point.report) or is_bad(point.report.heartbeat_s):
        return
    if read.every_s > point.report.heartbeat_s:
        problem = f"every_s {read.every_s:g} is longer than the point's heartbeat ({point.report.heartbeat_s:g} s)"
        hint = "at most the heartbeat: what is reported later is stale before it is read again"
        yield Problem((*here, "every_s"), problem, hint)


def _check_write(write: ModbusWrite, here: Where, limits: ModbusLimits) -> Iterator[Problem]:
    """What is wrong with where and what a command writes."""
    if not write.table.is_writable:
        yield Problem((*here, "table"), f"{write.table} cannot be written")
    if (write.value is None) is (write.argument is None):
        yield Problem(here, "say either value: or argument:", "value: 1 writes a 1")
    if write.table.is_bits and (write.type not in {DataType.UINT16, DataType.BIT} or write.scale != 1 or write.offset):
        yield Problem((*here, "type"), f"{write.table} holds single bits", "leave out type, scale and offset")
    elif not write.table.is_bits and write.type in {DataType.BIT, DataType.STRING}:
        hint = "single bits and text in registers cannot be written; write the whole register as uint16"
        yield Problem((*here, "type"), f"{write.type} cannot be written", hint)
    if not write.scale:
        yield Problem((*here, "scale"), "scale is 0", "leave it out, or write what one raw step is in the unit")
    bounds = (0, 1) if write.table.is_bits else write.type.bounds
    if write.value is not None and bounds is not None and not bounds[0] <= write.value <= bounds[1]:
        what = write.table if write.table.is_bits else write.type
        yield Problem((*here, "value"), f"{write.value} does not fit into {what}", f"{bounds[0]} to {bounds[1]}")
    if write.address + write.stride * (limits.channels - 1) + (write.type.registers or 1) > _ADDRESSES:
        yield Problem((*here, "address"), "the last channel lies beyond address 65535")
