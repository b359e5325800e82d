"""RTU frames: their checksum, where a question ends, and how long bytes take on the wire. Pure.

Source: Modbus over serial line 1.02, sections 2.5.1 (character and frame timing) and 6.2.2 (CRC).
"""

CHARACTER_BITS = 11
"""Start, eight of data, parity or a second stop bit, stop. Lines without either take 10."""
BROADCAST = 0
MAX_FRAME = 256
_FIXED_GAP_ABOVE = 19200
_FIXED_GAP_S = 0.00175
_POLYNOMIAL = 0xA001
_FIXED = frozenset((1, 2, 3, 4, 5, 6))
"""Functions whose question is an address and a number."""
_COUNTED = frozenset((15, 16))
"""Functions whose question says in its seventh byte how many follow."""


def _row(index: int) -> int:
    for _ in range(8):
        index = index >> 1 ^ (_POLYNOMIAL if index & 1 else 0)
    return index


_TABLE = tuple(_row(index) for index in range(256))


def crc16(data: bytes) -> bytes:
    """The checksum of a frame, low byte first as it goes out."""
    crc = 0xFFFF
    for byte in data:
        crc = crc >> 8 ^ _TABLE[(crc ^ byte) & 0xFF]
    return crc.to_bytes(2, "little")


def frame(unit: int, pdu: bytes) -> bytes:
    """A frame as it goes over the line."""
    body = bytes((unit,)) + pdu
    return body + crc16(body)


def character_s(baud: int, bits: int = CHARACTER_BITS) -> float:
    """Seconds that a byte takes; 0 without a baud rate (a line that is not paced)."""
    return bits / baud if baud else 0.0


def gap_s(baud: int, bits: int = CHARACTER_BITS) -> float:
    """The silence that ends a frame: 3.5 characters, and above 19200 baud a fixed time."""
    return _FIXED_GAP_S if not baud or baud > _FIXED_GAP_ABOVE else 3.5 * character_s(baud, bits)


def question_size(begun: bytes) -> int | None:
    """How many bytes the question that begins so will have; None while that cannot be said."""
    if len(begun) < 2:
        return None
    if begun[1] in _FIXED:
        return 8
    if begun[1] in _COUNTED:
        return 9 + begun[6] if len(begun) > 6 else None
    return None


def whole_question(begun: bytes) -> bytes | None:
    """The sound frame that these bytes are, or None."""
    return begun if 4 <= len(begun) <= MAX_FRAME and crc16(begun[:-2]) == begun[-2:] else None
