"""Raw values out of the bytes of an answer, by a plan that is made once for each question. Pure.

Source: Modbus application protocol 1.1b3, sections 4.2 and 6: registers high byte first, the first bit lowest. The
standard says nothing of values wider than a register; profiles say in which order their words lie.
"""

import struct
from collections.abc import Callable
from operator import itemgetter

from contract.messages import Sample
from contract.modbus_plan import Item, Read
from contract.profile import DataType, ModbusRead
from contract.profile.modbus import Order

Decode = Callable[[bytes, int], list[Sample]]
"""From the data of an answer and the time it arrived to a sample for each point in it."""
_Raw = int | float | str
_Convert = Callable[..., _Raw]
"""From what struct unpacks to the raw value. Raises ValueError, saying why there is none."""

FORMATS = {
    DataType.BIT: "H", DataType.UINT16: "H", DataType.INT16: "h", DataType.UINT32: "I", DataType.INT32: "i",
    DataType.UINT64: "Q", DataType.INT64: "q", DataType.FLOAT32: "f", DataType.FLOAT64: "d",
    DataType.BCD16: "H", DataType.BCD32: "I", DataType.BCD64: "Q",
}  # fmt: skip
"""How struct reads each type, high byte and high word first."""


def decoder_of(read: Read) -> Decode:
    """How the answers to a question become samples."""
    return _bits(read) if read.table.is_bits else _registers(read)


def _bits(read: Read) -> Decode:
    places = [(item.device, item.point, item.offset) for item in read.items]

    def decode(data: bytes, mono_ns: int) -> list[Sample]:
        number = int.from_bytes(data, "little")
        return [Sample(device, point, number >> at & 1, mono_ns) for device, point, at in places]

    return decode


def _registers(read: Read) -> Decode:
    """One struct unpacks what lies side by side; what lies over others (bits of a register) takes another pass."""
    unpackers, places = _layers(read)
    unpack = unpackers[0]
    if len(unpackers) == 1 and not any(convert for _, _, convert in places):
        keys = [(device, point) for device, point, _ in places]

        def plain(data: bytes, mono_ns: int) -> list[Sample]:
            return [
                Sample(device, point, raw, mono_ns) for (device, point), raw in zip(keys, unpack(data), strict=True)
            ]

        return plain

    def decode(data: bytes, mono_ns: int) -> list[Sample]:
        values = [value for unpack in unpackers for value in unpack(data)]
        samples = []
        for (device, point, convert), value in zip(places, values, strict=True):
            try:
                raw = convert(value) if convert else value
            except ValueError as e:
                samples.append(Sample(device, point, None, mono_ns, str(e)))
            else:
                samples.append(Sample(device, point, raw, mono_ns))
        return samples

    return decode


_Place = tuple[str, str, _Convert | None]


def _layers(read: Read) -> tuple[list[Callable[[bytes], tuple[_Raw, ...]]], list[_Place]]:
    """As few passes over the data as let each item lie behind the one before it; the places in the order unpacked."""
    layers: list[tuple[str, int, list[_Place]]] = []
    for item in sorted(read.items, key=lambda item: item.offset):
        start, size = 2 * item.offset, 2 * item.read.count
        code, convert = _code(item)
        fitting = next((n for n, (_, end, _) in enumerate(layers) if end <= start), len(layers))
        if fitting == len(layers):
            layers.append((">", 0, []))
        form, end, places = layers[fitting]
        layers[fitting] = (f"{form}{start - end}x{code}", start + size, [*places, (item.device, item.point, convert)])
    structs = [struct.Struct(f"{form}{2 * read.count - end}x") for form, end, _ in layers]
    return [layout.unpack for layout in structs], [place for _, _, places in layers for place in places]


def _code(item: Item) -> tuple[str, _Convert | None]:
    """How struct reads an item, and what is then to be done with it."""
    read = item.read
    if read.type is DataType.STRING:
        return f"{2 * read.count}s", _text(read)
    convert = _conversion(read)
    order = byte_order(read.count, read.words, read.bytes)
    if order is None:
        return FORMATS[read.type], convert
    pick, unpack = itemgetter(*order), struct.Struct(">" + FORMATS[read.type]).unpack

    def ordered(data: bytes) -> _Raw:
        (value,) = unpack(bytes(pick(data)))
        return convert(value) if convert else value

    return f"{2 * read.count}s", ordered


def byte_order(registers: int, words: Order, order: Order) -> list[int] | None:
    """Where each byte of a value, high one first, lies in its registers; None where they lie so already."""
    numbers = range(registers) if words is Order.HIGH_FIRST else reversed(range(registers))
    swap = int(order is Order.LOW_FIRST)
    places = [2 * register + (byte ^ swap) for register in numbers for byte in (0, 1)]
    return None if places == sorted(places) else places


def _conversion(read: ModbusRead) -> _Convert | None:
    """What is to be done with a number once its bytes are in order."""
    if read.type is DataType.BIT:
        shift, mask = read.bit or 0, (1 << read.bits) - 1
        return lambda value: value >> shift & mask
    return _decimal if read.type in {DataType.BCD16, DataType.BCD32, DataType.BCD64} else None


def _decimal(value: int) -> int:
    digits = f"{value:x}"
    if not digits.isdecimal():
        raise ValueError(f"0x{digits} is no binary-coded decimal")
    return int(digits)


def _text(read: ModbusRead) -> _Convert:
    """Text up to its first NUL, without what cannot be shown: it goes to logs and pages."""
    order, encoding = byte_order(read.count, read.words, read.bytes), read.encoding

    def text(data: bytes) -> str:
        in_order = bytes(data[at] for at in order) if order else data
        said = in_order.partition(b"\0")[0].rstrip(b"\xff").decode(encoding, "replace")
        return "".join(letter for letter in said if letter.isprintable()).strip()

    return text
