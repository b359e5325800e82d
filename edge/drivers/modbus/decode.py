"""Raw values out of the registers and bits of an answer, from a table. Pure."""

import struct
from collections.abc import Callable, Sequence

from contract.messages import Sample
from contract.profile import DataType
from edge.drivers.modbus.plan import Item, Read

Words = Sequence[int]

_TWO_WORDS = struct.Struct(">HH")
_INT32 = struct.Struct(">i")
_FLOAT32 = struct.Struct(">f")

DECODERS: dict[DataType, Callable[[Words, int], int | float]] = {
    DataType.BIT: lambda words, at: int(words[at]),
    DataType.UINT16: lambda words, at: words[at],
    DataType.INT16: lambda words, at: (words[at] ^ 0x8000) - 0x8000,
    DataType.UINT32: lambda words, at: words[at] << 16 | words[at + 1],
    DataType.INT32: lambda words, at: int(_INT32.unpack(_TWO_WORDS.pack(words[at], words[at + 1]))[0]),
    DataType.FLOAT32: lambda words, at: float(_FLOAT32.unpack(_TWO_WORDS.pack(words[at], words[at + 1]))[0]),
}
"""From the words of an answer (registers as unsigned numbers, or bits) and an offset to the raw value.

32-bit values lie high word first, high byte first. Source: Modbus application protocol 1.1b3, section 4.2, and the
word order contract/profile.py fixes.
"""


def decode_item(item: Item, words: Words) -> int | float:
    """The raw value of one point in an answer."""
    if item.bit is not None:
        return words[item.offset] >> item.bit & 1
    return DECODERS[item.type](words, item.offset)


def decode_read(read: Read, words: Words, mono_ns: int) -> list[Sample]:
    """A sample for each point of an answer, all of the time the answer arrived."""
    return [Sample(item.device, item.point, decode_item(item, words), mono_ns) for item in read.items]
