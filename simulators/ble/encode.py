"""Values as they lie in a sensor's bytes, as a profile says. Pure; written apart from the box's decoder."""

import struct

from contract.errors import Permanent
from contract.profile.ble import BlePoint, BleRead, BleType, BleWrite
from simulators.bus import Value

Raw = int | float | str


def raw_of(mapped: BlePoint, value: Value) -> Raw:
    """The raw value that a profile reads as this one; what lies in bytes as a whole number is rounded to one.

    Raises Permanent for a word the profile does not have.
    """
    if mapped.states:
        found = next((raw for raw, word in mapped.states.items() if word == value), None)
        if found is None:
            raise Permanent(f"{value!r} is none of: {', '.join(mapped.states.values())}")
        return found
    if isinstance(value, str):
        if mapped.read is not None and mapped.read.type is BleType.TEXT:
            return value
        raise Permanent(f"a number is wanted, not {value!r}")
    exact = (value - mapped.offset) / mapped.scale
    is_whole = mapped.read is not None and not mapped.read.bthome and mapped.read.type.is_whole
    return round(exact) if is_whole else exact


def value_of(mapped: BlePoint, raw: Raw) -> Value:
    """What a raw value is in the profile's words or units: the inverse of `raw_of`."""
    if mapped.states:
        return mapped.states.get(raw if isinstance(raw, str) else int(raw), str(raw))
    return raw if isinstance(raw, str) else round(float(raw) * mapped.scale + mapped.offset, 9)


def put(data: bytearray, read: BleRead, raw: Raw) -> None:
    """Puts a raw value where a profile reads it, making the data longer where it must be.

    Raises Permanent for a number that does not fit.
    """
    if read.type is BleType.TEXT:
        data.extend(bytes(max(0, read.at - len(data))))
        data[read.at :] = str(raw).encode()
        return
    packed = bytes_of(read, raw)
    data.extend(bytes(max(0, read.at + len(packed) - len(data))))
    data[read.at : read.at + len(packed)] = packed if read.mask is None and not read.shift else _merged(data, read, raw)


def _merged(data: bytearray, read: BleRead, raw: Raw) -> bytes:
    """The bytes with the bits that a profile picks set to a raw value, the others as they are."""
    size = read.type.size
    mask = (1 << 8 * size) - 1 >> read.shift if read.mask is None else read.mask
    if int(raw) & ~mask:
        raise Permanent(f"{raw} does not fit into the mask {mask:#x}")
    old = int.from_bytes(data[read.at : read.at + size], read.order)
    return (old & ~(mask << read.shift) | int(raw) << read.shift).to_bytes(size, read.order)


def bytes_of(where: BleRead | BleWrite, raw: Raw) -> bytes:
    """A raw value as the bytes of its type. Raises Permanent for a number that does not fit."""
    if where.type is BleType.NONE:
        return b""
    if where.type is BleType.TEXT:
        return str(raw).encode()
    try:
        if where.type is BleType.FLOAT32:
            return struct.pack("<f" if where.order == "little" else ">f", raw)
        return int(raw).to_bytes(where.type.size, where.order, signed=where.type.value.startswith("int"))
    except (OverflowError, struct.error, ValueError) as e:
        raise Permanent(f"{raw} does not fit into {where.type}") from e
