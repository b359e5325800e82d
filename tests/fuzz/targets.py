"""All targets, by name: every decoder that bytes from outside reach."""

from pathlib import Path

from tests.fuzz import ble, documents, http, modbus, mqtt, stream
from tests.fuzz.target import KB, SEPARATOR, Target

_YAML = 16 * KB
TARGETS: dict[str, Target] = {
    "modbus-tcp": Target(modbus.tcp_answers, modbus.tcp_seeds, (SEPARATOR, b"\x83\x02", b"\0\0")),
    "modbus-rtu": Target(modbus.rtu_answers, modbus.rtu_seeds, (SEPARATOR, b"\x01\x83", b"\x01\x03\x04")),
    "modbus-values": Target(modbus.values, modbus.value_seeds, (SEPARATOR, b"\x7f\xc0", b"\x7f\x80", b"\xff\xff")),
    "ble-formats": Target(ble.formats, ble.format_seeds, most_bytes=600),
    "ble-frames": Target(ble.frames, ble.frame_seeds, (b"\x40", b"\x53", b"\x54", b"\x3a"), most_bytes=300),
    "ble-sensors": Target(ble.sensors, ble.sensor_seeds, (SEPARATOR, b"\x40")),
    "mqtt-payloads": Target(mqtt.payloads, mqtt.payload_seeds, mqtt.WORDS, most_bytes=16 * KB),
    "mqtt-messages": Target(mqtt.messages, mqtt.message_seeds, mqtt.WORDS, most_bytes=16 * KB),
    "mqtt-announcements": Target(mqtt.announcements, mqtt.announcement_seeds, mqtt.WORDS, most_bytes=16 * KB),
    "yaml": Target(documents.yaml, documents.yaml_seeds, documents.WORDS, most_bytes=_YAML, peak_kb=16 * KB),
    "profile": Target(documents.profile, documents.profile_seeds, documents.WORDS, most_bytes=_YAML, peak_kb=16 * KB),
    "site": Target(documents.site, documents.site_seeds, documents.WORDS, most_bytes=_YAML, peak_kb=16 * KB),
    "http-server": Target(http.server, http.server_seeds, http.WORDS, most_bytes=40 * KB),
    "http-client": Target(http.client, http.client_seeds, http.WORDS, most_bytes=40 * KB),
    "blocks": Target(stream.blocks, stream.block_seeds, (b"ANJB", b"\x28\xb5\x2f\xfd"), peak_kb=64 * KB),
    "records": Target(stream.records, stream.record_seeds, (b"\xa5state", b"\xdd", b"\xdb\xff\xff\xff\xff")),
    "session": Target(stream.session, stream.session_seeds, (b'{"', b'":', b"1e400", b'"cursor":')),
    "commands": Target(stream.commands, stream.command_seeds, (b'"args":{', b"1e400", b"null", b"-1", b"true")),
}
FOUND = Path(__file__).parent / "found"
"""Inputs by target and what was wrong with them once: each stays a seed, so that it is found again if it comes back."""


def seeds_of(name: str) -> list[bytes]:
    """What to begin with: sound inputs, and what was found before."""
    return TARGETS[name].seeds() + [path.read_bytes() for path in sorted((FOUND / name).glob("*"))]
