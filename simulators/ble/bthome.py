"""BTHome v2 as a sensor sends it: objects into a payload, and the payload encrypted.

Written from the standard (https://bthome.io/format, https://bthome.io/encryption) and RFC 3610, not from a library.
"""

from collections.abc import Iterable

import msgspec
from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.ciphers.modes import ECB

from contract.errors import Permanent

UUID = "fcd2"
_UUID_ON_AIR = b"\xd2\xfc"
PLAIN, ENCRYPTED = 0x40, 0x41
"""The first byte: version 2 in the upper three bits, bit 0 for encryption."""
PACKET_ID = 0x00
_MIC_BYTES = 4


class Object(msgspec.Struct, frozen=True):
    """One object of the standard: its id, its bytes, and what one count of it is worth."""

    id: int
    size: int
    factor: float = 1.0
    is_signed: bool = False


NUMBERS: dict[str, tuple[Object, ...]] = {
    "acceleration": (Object(0x51, 2, 0.001),),
    "battery": (Object(0x01, 1),),
    "carbon_dioxide": (Object(0x12, 2),),
    "channel": (Object(0x60, 1),),
    "conductivity": (Object(0x56, 2),),
    "count": (Object(0x09, 1), Object(0x3D, 2), Object(0x3E, 4)),
    "current": (Object(0x43, 2, 0.001), Object(0x5D, 2, 0.001, True)),
    "dew_point": (Object(0x08, 2, 0.01, True),),
    "direction": (Object(0x5E, 2, 0.01),),
    "distance": (Object(0x40, 2),),
    "duration": (Object(0x42, 3, 0.001),),
    "energy": (Object(0x0A, 3, 0.001), Object(0x4D, 4, 0.001)),
    "gas": (Object(0x4B, 3, 0.001), Object(0x4C, 4, 0.001)),
    "gyroscope": (Object(0x52, 2, 0.001),),
    "humidity": (Object(0x03, 2, 0.01),),
    "illuminance": (Object(0x05, 3, 0.01),),
    "mass": (Object(0x06, 2, 0.01),),
    "moisture": (Object(0x14, 2, 0.01),),
    "pm10": (Object(0x0E, 2),),
    "pm25": (Object(0x0D, 2),),
    "power": (Object(0x0B, 3, 0.01), Object(0x5C, 4, 0.01, True)),
    "precipitation": (Object(0x5F, 2, 0.1),),
    "pressure": (Object(0x04, 3, 0.01),),
    "rotation": (Object(0x3F, 2, 0.1, True),),
    "rotational_speed": (Object(0x61, 2),),
    "speed": (Object(0x44, 2, 0.01),),
    "temperature": (Object(0x02, 2, 0.01, True), Object(0x45, 2, 0.1, True)),
    "uv_index": (Object(0x46, 1, 0.1),),
    "volatile_organic_compounds": (Object(0x13, 2),),
    "voltage": (Object(0x0C, 2, 0.001), Object(0x4A, 2, 0.1)),
    "volume": (Object(0x4E, 4, 0.001),),
    "volume_flow_rate": (Object(0x49, 2, 0.001),),
    "volume_storage": (Object(0x55, 4, 0.001),),
    "water": (Object(0x4F, 4, 0.001),),
}
BINARIES: dict[str, int] = {
    "battery": 0x15, "battery_charging": 0x16, "carbon_monoxide": 0x17, "cold": 0x18, "connectivity": 0x19,
    "door": 0x1A, "garage_door": 0x1B, "gas": 0x1C, "generic": 0x0F, "heat": 0x1D, "light": 0x1E, "lock": 0x1F,
    "moisture": 0x20, "motion": 0x21, "moving": 0x22, "occupancy": 0x23, "opening": 0x11, "plug": 0x24, "power": 0x10,
    "presence": 0x25, "problem": 0x26, "running": 0x27, "safety": 0x28, "smoke": 0x29, "sound": 0x2A, "tamper": 0x2B,
    "vibration": 0x2C, "window": 0x2D,
}  # fmt: skip
BUTTON = 0x3A
PRESSES: dict[str, int] = {
    "press": 0x01, "double_press": 0x02, "triple_press": 0x03, "long_press": 0x04, "long_double_press": 0x05,
    "long_triple_press": 0x06, "hold_press": 0x80, "hold_release": 0x81,
}  # fmt: skip


def number(name: str, value: float) -> bytes:
    """A measurement as the finest object that holds it. Raises Permanent where none does."""
    for one in NUMBERS.get(name, ()):
        try:
            return bytes([one.id]) + round(value / one.factor).to_bytes(one.size, "little", signed=one.is_signed)
        except (OverflowError, ValueError):
            continue
    raise Permanent(f"BTHome cannot say {name} {value}")


def binary(name: str, is_so: bool) -> bytes:
    """A yes-or-no."""
    return bytes((BINARIES[name], is_so))


def payload(objects: Iterable[bytes], packet_id: int | None = None) -> bytes:
    """Objects in the order of their ids, as the standard wants them, after the packet's number where one is given."""
    first = [] if packet_id is None else [bytes((PACKET_ID, packet_id & 0xFF))]
    return b"".join([*first, *sorted(objects, key=lambda one: one[0])])


def service_data(body: bytes, address: str, key: bytes | None = None, counter: int = 0) -> bytes:
    """The service data of a payload; encrypted where there is a key."""
    if key is None:
        return bytes([PLAIN]) + body
    counted = counter.to_bytes(4, "little")
    nonce = bytes.fromhex(address.replace(":", "")) + _UUID_ON_AIR + bytes([ENCRYPTED]) + counted
    sealed, mic = seal(key, nonce, body)
    return bytes([ENCRYPTED]) + sealed + counted + mic


def seal(key: bytes, nonce: bytes, body: bytes) -> tuple[bytes, bytes]:
    """AES-CCM without associated data: what is sent for a body, and its check of 4 bytes. Source: RFC 3610, section 2.

    The nonce has 13 bytes, so the length is counted in 2.
    """
    block = Cipher(AES(key), ECB()).encryptor().update  # noqa: S305  # CCM is made of single blocks
    length_bytes = 15 - len(nonce)
    mac = block(bytes([8 * ((_MIC_BYTES - 2) // 2) + length_bytes - 1]) + nonce + len(body).to_bytes(length_bytes))
    for at in range(0, len(body), 16):
        mac = block(_xor(mac, body[at : at + 16].ljust(16, b"\0")))
    stream = [block(bytes([length_bytes - 1]) + nonce + i.to_bytes(length_bytes)) for i in range(len(body) // 16 + 2)]
    return _xor(body, b"".join(stream[1:])), _xor(mac, stream[0])[:_MIC_BYTES]


def _xor(left: bytes, right: bytes) -> bytes:
    return bytes(a ^ b for a, b in zip(left, right, strict=False))
