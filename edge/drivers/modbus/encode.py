"""A command's value as the bits or registers that are written. Pure."""

import struct
from collections.abc import Mapping

from contract.errors import Permanent
from contract.profile import DataType, ModbusWrite
from edge.drivers.modbus.decode import FORMATS, byte_order

Args = Mapping[str, str | int | float | bool]
_FUZZ = 1e-6
_FLOATS = frozenset({DataType.FLOAT32, DataType.FLOAT64})
_DECIMALS = frozenset({DataType.BCD16, DataType.BCD32, DataType.BCD64})


def encode_write(write: ModbusWrite, args: Args) -> list[int]:
    """What a command with these arguments writes: one bit, or registers as numbers.

    Raises Permanent, saying what is wrong with the arguments.
    """
    given = write.given(args)
    if isinstance(given, str):
        raise Permanent(f"{write.argument!r} must be a number, it is {given!r}")
    if write.table.is_bits:
        if given not in {0, 1}:
            raise Permanent(f"{write.argument!r} must be on or off (1 or 0), it is {given!r}")
        return [int(given)]
    if isinstance(given, bool):
        raise Permanent(f"{write.argument!r} must be a number, it is {given!r}")
    raw = given if write.argument is None else (given - write.offset) / write.scale
    try:
        number = raw if write.type in _FLOATS else _whole(raw, write)
        packed = struct.pack(">" + FORMATS[write.type], number)
    except (struct.error, OverflowError, ValueError):
        raise Permanent(f"{write.argument!r} is {given}, which does not fit into {write.type}") from None
    order = byte_order(len(packed) // 2, write.words, write.bytes)
    if order is not None:
        lying = bytearray(len(packed))
        for value, at in zip(packed, order, strict=True):
            lying[at] = value
        packed = bytes(lying)
    return list(struct.unpack(f">{len(packed) // 2}H", packed))


def _whole(raw: float, write: ModbusWrite) -> int:
    """The whole number that a scaled argument comes to. Raises ValueError for what is not finite."""
    number = round(raw)
    if abs(raw - number) > _FUZZ * max(1.0, abs(raw)):
        raise Permanent(f"{write.argument!r} must be a whole number" + _steps(write))
    if write.type in _DECIMALS:
        if number < 0:
            raise ValueError(number)
        number = int(str(number), 16)
    return number


def _steps(write: ModbusWrite) -> str:
    return "" if write.scale == 1 else f" of steps of {abs(write.scale):g}"
