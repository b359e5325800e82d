"""Values out of a vendor's advertisement or a characteristic, by the profile's table, and into a write. Pure."""

import math
import struct
from collections.abc import Callable, Mapping, Sequence

from contract.errors import Permanent
from contract.profile.ble import BleFormat, BleRead, BleType, BleWrite

MOST_TEXT = 128
"""Characters of a text value; more are cut off."""

Raw = int | float | str


class Unreadable(Exception):  # noqa: N818  # it says what the bytes are
    """The bytes hold no value, in a few words."""


_FLOATS: dict[str, Callable[[bytes], tuple[float]]] = {
    "little": struct.Struct("<f").unpack,
    "big": struct.Struct(">f").unpack,
}


def decode_value(read: BleRead, data: bytes) -> Raw:
    """The raw value of a point in the data of its format or characteristic. Raises Unreadable."""
    if read.type is BleType.TEXT:
        return _text(data[read.at :])
    part = data[read.at : read.at + read.type.size]
    if len(part) < read.type.size:
        raise Unreadable(f"{len(data)} bytes are too short for {read.type} at {read.at}")
    if read.type is BleType.FLOAT32:
        (number,) = _FLOATS[read.order](part)
        if not math.isfinite(number):
            raise Unreadable("it says that it is no number")
        return number
    raw = int.from_bytes(part, read.order, signed=read.type.value.startswith("int"))
    if read.shift or read.mask is not None:
        raw = raw >> read.shift & (-1 if read.mask is None else read.mask)
    if raw in read.missing:
        raise Unreadable("it does not know")
    return raw


def _text(data: bytes) -> str:
    try:
        text = data.split(b"\0", 1)[0].decode()
    except UnicodeDecodeError as e:
        raise Unreadable("its text is no UTF-8") from e
    return "".join(char for char in text[:MOST_TEXT] if char.isprintable())


class Pattern:
    """A format as numbers, so that an advertisement that is not of it costs little."""

    __slots__ = ("_exact", "_least", "_matches")

    def __init__(self, format_: BleFormat) -> None:
        self._exact, self._least = format_.length, format_.min_length
        self._matches: list[tuple[int, int, int, int]] = []
        for match in format_.match:
            wanted = int.from_bytes(bytes.fromhex(match.bytes))
            size = len(match.bytes) // 2
            mask = int.from_bytes(bytes.fromhex(match.mask)) if match.mask else (1 << 8 * size) - 1
            self._matches.append((match.at, match.at + size, mask, wanted & mask))

    def fits(self, data: bytes) -> bool:
        """Whether the data, after its company or service id, is of this format."""
        if len(data) < self._least or (self._exact is not None and len(data) != self._exact):
            return False
        return all(int.from_bytes(data[start:end]) & mask == wanted for start, end, mask, wanted in self._matches)


def decode_all(reads: Mapping[str, BleRead], data: bytes) -> tuple[dict[str, Raw], dict[str, str]]:
    """The raw values of several points in the same data, and of those that have none why."""
    values: dict[str, Raw] = {}
    errors: dict[str, str] = {}
    for point, read in reads.items():
        try:
            values[point] = decode_value(read, data)
        except Unreadable as e:
            errors[point] = str(e)
    return values, errors


def encode_write(write: BleWrite, value: Raw) -> bytes:
    """What is written for a command: the prefix, then the value. Raises Permanent for one that does not fit."""
    prefix = bytes.fromhex(write.prefix)
    if write.type is BleType.NONE:
        return prefix
    if write.type is BleType.TEXT:
        return prefix + str(value).encode()
    if isinstance(value, str):
        raise Permanent(f"a number is wanted, not {value!r}")
    try:
        if write.type is BleType.FLOAT32:
            return prefix + struct.pack("<f" if write.order == "little" else ">f", value)
        if int(value) != value:
            raise Permanent(f"a whole number is wanted, not {value}")
        signed = write.type.value.startswith("int")
        return prefix + int(value).to_bytes(write.type.size, write.order, signed=signed)
    except (OverflowError, struct.error) as e:
        raise Permanent(f"{value} does not fit into {write.type}") from e


def on_air_patterns(formats: Sequence[BleFormat], *, is_bthome: bool) -> list[tuple[int, int, bytes]]:
    """What BlueZ is to let through when it listens passively: (start, kind of data, its first bytes).

    Kinds and byte order: Bluetooth SIG, Assigned Numbers 2.3, and Core Specification Supplement, part A.
    """
    patterns = {(0, 0x16, b"\xd2\xfc")} if is_bthome else set()
    for format_ in formats:
        if format_.company is not None:
            patterns.add((0, 0xFF, format_.company.to_bytes(2, "little")))
        elif format_.service is not None:
            raw = bytes.fromhex(format_.service.replace("-", ""))[::-1]
            patterns.add((0, {2: 0x16, 4: 0x20}.get(len(raw), 0x21), raw))
    return sorted(patterns)


def full_uuid(uuid: str) -> str:
    """A UUID of 16 or 32 bits as 128 bits, as bleak says it. Source: Bluetooth Core 5.4, vol 3, part B, 2.5.1."""
    return (uuid.rjust(8, "0") + "-0000-1000-8000-00805f9b34fb" if len(uuid) <= 8 else uuid).lower()
