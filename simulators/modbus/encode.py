"""Values as they lie in registers and bits, both ways, as the data types of a profile say. Pure.

Source: Modbus application protocol 1.1b3, section 4.2 (high byte first); the orders and types are those that profiles
name, and BCD has two decimal digits a byte.
"""

import math
import struct
from collections.abc import Sequence

from contract.errors import Permanent
from contract.profile import DataType, ModbusPoint, ModbusRead, ModbusWrite
from contract.profile.modbus import Order
from simulators.bus import Value

Raw = int | float | str
_FLOATS = {DataType.FLOAT32: ">f", DataType.FLOAT64: ">d"}
_SIGNED = frozenset({DataType.INT16, DataType.INT32, DataType.INT64})
_BCD = frozenset({DataType.BCD16, DataType.BCD32, DataType.BCD64})


def raw_of(mapped: ModbusPoint, value: Value) -> Raw:
    """The raw value that a profile reads as this one; numbers are rounded to the nearest the register can hold.

    An event that happens (1) is the first of its `when`, and one that is over (0) the least number that is none.
    Raises Permanent for a word the profile does not have or a number its register cannot hold.
    """
    if mapped.states:
        found = next((raw for raw, word in mapped.states.items() if word == value), None)
        if found is None:
            raise Permanent(f"{value!r} is none of: {', '.join(mapped.states.values())}")
        return found
    if isinstance(value, str):
        raise Permanent(f"a number is wanted, not {value!r}")
    if mapped.when:
        if value not in {0, 1}:
            raise Permanent(f"an event happens (1) or is over (0), it is not {value}")
        return mapped.when[0] if value else next(n for n in range(len(mapped.when) + 1) if n not in mapped.when)
    assert mapped.read is not None
    return fitting(mapped.read, (value - mapped.offset) / mapped.scale, value)


def fitting(where: ModbusRead | ModbusWrite, exact: float, said: float) -> int | float:
    """The number nearest to `exact` that can lie there. Raises Permanent, naming what was said, when none can."""
    if where.type in _FLOATS:
        form = _FLOATS[where.type]
        try:
            return float(struct.unpack(form, struct.pack(form, exact))[0])
        except OverflowError as e:
            raise Permanent(f"{said} does not fit into {where.type}") from e
    low, high = where.type.bounds or (0, 0)
    if isinstance(where, ModbusRead) and where.bit is not None:
        high = (1 << where.bits) - 1
    if not math.isfinite(exact) or not low <= round(exact) <= high:
        raise Permanent(f"{said} does not fit into {where.type} ({low} to {high} before scale and offset)")
    return round(exact)


def value_of(mapped: ModbusPoint, raw: Raw) -> Value:
    """What a raw value is in the profile's words or units: the inverse of `raw_of`."""
    if mapped.states:
        return mapped.states.get(raw if isinstance(raw, str) else int(raw), str(raw))
    if mapped.when:
        return float(raw in mapped.when)
    return round(float(raw) * mapped.scale + mapped.offset, 9)


def registers_of(where: ModbusRead | ModbusWrite, raw: Raw) -> list[int]:
    """A raw value as whole registers, in the order in which they go out. Not for single bits."""
    if isinstance(where, ModbusRead) and where.type is DataType.STRING:
        size = 2 * where.count
        packed = str(raw).encode(where.encoding)
        if len(packed) > size:
            raise Permanent(f"{raw!r} is longer than {size} bytes")
        packed = packed.ljust(size, b"\0")
    elif where.type in _FLOATS:
        packed = struct.pack(_FLOATS[where.type], raw)
    elif where.type in _BCD:
        packed = bytes.fromhex(str(int(raw)).zfill(4 * where.type.registers))
    else:
        packed = int(raw).to_bytes(2 * where.type.registers, "big", signed=where.type in _SIGNED)
    words = list(struct.unpack(f">{len(packed) // 2}H", packed))
    if where.bytes is Order.LOW_FIRST:
        words = [word >> 8 | (word & 0xFF) << 8 for word in words]
    return words[::-1] if where.words is Order.LOW_FIRST else words


def raw_from(where: ModbusRead | ModbusWrite, words: Sequence[int]) -> Raw:
    """The raw value that lies in whole registers: the inverse of `registers_of`. Not for single bits."""
    ordered = list(words)[::-1] if where.words is Order.LOW_FIRST else list(words)
    if where.bytes is Order.LOW_FIRST:
        ordered = [word >> 8 | (word & 0xFF) << 8 for word in ordered]
    packed = struct.pack(f">{len(ordered)}H", *ordered)
    if isinstance(where, ModbusRead) and where.type is DataType.STRING:
        return packed.decode(where.encoding, "replace").rstrip("\0 ")
    if where.type in _FLOATS:
        return float(struct.unpack(_FLOATS[where.type], packed)[0])
    if where.type in _BCD:
        return _decimal(packed)
    return int.from_bytes(packed, "big", signed=where.type in _SIGNED)


def _decimal(packed: bytes) -> int:
    number = 0
    for byte in packed:
        number = number * 100 + (byte >> 4) * 10 + (byte & 15)
    return number
