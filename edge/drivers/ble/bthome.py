"""One BTHome v2 frame into values through bthome-ble, with the checks that a sensor which encrypts deserves. Pure.

bthome-ble keeps what it knows of a sensor from frame to frame, gives that also for a frame it rejects, and lets a
counter be repeated or begin again below 100. Here each frame meets a parser that knows nothing, so what comes out is
what this frame says; whether the frame may count is decided before and after (`check`, `parse`).
"""

import logging
from collections.abc import Mapping
from typing import Any

import msgspec

from edge.drivers.ble.service_info import BluetoothServiceInfoBleak, BTHomeBluetoothDeviceData

UUID = "0000fcd2-0000-1000-8000-00805f9b34fb"
KEY_BYTES = 16
_ENCRYPTED, _HAS_ADDRESS = 0x01, 0x02
_COUNTER_AND_CHECK = 8

# bthome-ble logs a line, with payloads, for each frame it rejects; those are counted, and told once, by device.
logging.getLogger("bthome_ble").setLevel(logging.CRITICAL)


class Refused(Exception):  # noqa: N818  # it says what becomes of the frame
    """The frame changes nothing. `reason` is one of few words, so that it can be counted."""

    def __init__(self, reason: str, hint: str) -> None:
        super().__init__(hint)
        self.reason = reason


class Frame(msgspec.Struct, frozen=True):
    """What one frame says, by the names of BTHome's properties: numbers in its units, yes-or-no as 1 and 0, events.

    `counter` is that of encryption, `packet` the packet's number where it is plain and has one.
    """

    numbers: dict[str, float | str]
    binaries: dict[str, int]
    events: dict[str, tuple[str, dict[str, str | int | float | bool]]]
    counter: int | None
    packet: int | None


def check(data: bytes, key: bytes | None, last_counter: int) -> int | None:
    """The frame's counter, None where it is plain. Raises Refused for what may not even be opened."""
    if len(data) < 2:
        raise Refused("malformed", "its frame is too short")
    if data[0] >> 5 != 2:
        raise Refused("malformed", "its frame is not of BTHome version 2")
    if not data[0] & _ENCRYPTED:
        if key is not None:
            raise Refused("plain", "it has a bindkey, and this frame is not encrypted: an impostor, or it was reset")
        return None
    if key is None:
        raise Refused("no key", "it encrypts; name its bindkey in the site file")
    if len(data) <= 1 + (6 if data[0] & _HAS_ADDRESS else 0) + _COUNTER_AND_CHECK:
        raise Refused("malformed", "its frame is too short")
    counter = int.from_bytes(data[-_COUNTER_AND_CHECK:-4], "little")
    if counter <= last_counter:
        hint = "a frame of before is sent again; after a change of battery raise counter_resets in the site file"
        raise Refused("replayed", hint)
    return counter


def parse(data: bytes, address: str, key: bytes | None, counter: int | None) -> Frame:
    """What a frame says that `check` let pass. Raises Refused."""
    parser = BTHomeBluetoothDeviceData(key)
    nobody: Any = None
    heard = BluetoothServiceInfoBleak(
        name=address, address=address, rssi=0, manufacturer_data={}, service_data={UUID: data}, service_uuids=[],
        source="", device=nobody, advertisement=None, connectable=False, time=0.0, tx_power=None, raw=None,
    )  # fmt: skip
    try:
        said = parser.update(heard)
    except (ValueError, LookupError, OverflowError, AssertionError) as e:
        raise Refused("malformed", "its frame makes no sense") from e
    if counter is not None and not parser.bindkey_verified:
        raise Refused("bindkey", "its frame does not fit its bindkey: another sensor's key, or an impostor")
    if parser.downgrade_detected:
        raise Refused("plain", "it has a bindkey, and this frame is not encrypted: an impostor, or it was reset")
    numbers: dict[str, float | str] = {}
    for name, value in said.entity_values.items():
        if name.key not in {"packet_id", "signal_strength"} and isinstance(value.native_value, int | float | str):
            numbers[name.key] = value.native_value
    packet = next((v.native_value for n, v in said.entity_values.items() if n.key == "packet_id"), None)
    return Frame(
        numbers=numbers,
        binaries={name.key: int(bool(one.native_value)) for name, one in said.binary_entity_values.items()},
        events={name.key: (str(e.event_type), _fields(e.event_properties)) for name, e in said.events.items()},
        counter=counter,
        packet=int(packet) if isinstance(packet, int | float) else None,
    )


def _fields(properties: Mapping[str, str | int | float | None] | None) -> dict[str, str | int | float | bool]:
    return {name: value for name, value in (properties or {}).items() if value is not None}
