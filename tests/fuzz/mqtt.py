"""MQTT: payloads, paths and topics, what a bus of every model makes of messages, and what announces itself."""

import json
import math
from functools import cache
from pathlib import Path
from typing import Any, cast

import tests.support.recordings
from contract.profile import MqttProfile
from contract.site import MqttBus, MqttDevice, Resolved, ResolvedDevice, ResolvedMqtt
from edge.drivers.mqtt.config import Limits
from edge.drivers.mqtt.decode import (
    MAX_TEXT,
    MISSING,
    BadPayload,
    at_path,
    fields_at,
    matches,
    number_of,
    parse,
    parse_path,
    raw_at,
)
from edge.drivers.mqtt.discovery import MAX_WORDS, id_of, propose, text_of
from edge.drivers.mqtt.inbox import Arrived, Inbox
from edge.drivers.mqtt.read import MAX_HAPPENINGS, MAX_REPEATS
from tests.fuzz.onward import normaliser_of, send_on
from tests.fuzz.target import SEPARATOR, chosen, joined, parts
from tests.support.modbus import PROFILES
from tests.support.mqtt import LoneReader

S = 1_000_000_000
FOLDER: Path = tests.support.recordings.FOLDER / "mqtt"
MODELS = {name: profile for name, profile in PROFILES.items() if isinstance(profile, MqttProfile)}
LIMITS = Limits(messages=8, total_bytes=4096)
_KEPT, _AGAIN, _RECONNECT = 0x80, 0x40, 0x20
"""Bits of a message's first byte: kept by the broker; with a number by which a repeat is known; after a new connection.
The rest is seconds since the message before."""
WORDS = (
    b'{"', b'":', b"null", b"true", b"1e308", b"-0", b"NaN", b"[[[[", b"\\u0000", b"\\ud800", b'{"state":"ON"}',
    b"online", b"offline", SEPARATOR, b"18446744073709551616", b'"after":{', b'"id":', b"/config", b"homeassistant/",
)  # fmt: skip


@cache
def _recorded() -> list[dict[str, Any]]:
    return [json.loads(path.read_text(encoding="utf-8")) for path in sorted(FOLDER.glob("*.json"))]


@cache
def _paths() -> list[tuple[str | int, ...]]:
    """Every path of every model."""
    texts = {""}
    for profile in MODELS.values():
        for point in profile.points.values():
            texts |= {source.path for source in point.read.sources} if point.read else set()
            texts |= {path for path in point.fields.values() if "{" not in path}
    return [parse_path(text) for text in sorted(texts) if "{" not in text]


def payloads(data: bytes) -> None:
    """Any payload: a document within limits or BadPayload, and at any path what a point can carry."""
    path_text, _, payload = data.rpartition(SEPARATOR)
    paths = _paths()
    try:
        paths = [*paths, parse_path(path_text.decode("utf-8", "replace"))]
    except ValueError as e:
        assert "is no path" in str(e)
    try:
        document = parse(payload)
    except BadPayload as e:
        assert len(str(e)) < MAX_TEXT
        return
    for path in paths:
        assert at_path(document, path) is not None or document is None or path
        matches(document, path, ("ON", 1, "online"))
        try:
            raw = raw_at(document, path)
        except BadPayload:
            continue
        if isinstance(raw, str):
            assert len(raw) <= MAX_TEXT
            raw.encode()
            number = number_of(raw)
            assert isinstance(number, str) or math.isfinite(number)
        elif raw is not None:
            assert at_path(document, path) is not MISSING
            assert math.isfinite(raw)
    fields_at(document, {str(n): path for n, path in enumerate(paths)})


def payload_seeds() -> list[bytes]:
    """Recorded payloads, and what payloads should not be."""
    recorded = [message["payload"].encode() for one in _recorded() for message in one["messages"]]
    hostile = [b"[" * 500, b'{"a":' * 40, b"1e999", b'"\\ud800"', b"-" + b"9" * 400, b"\xff\xfe", b"  {}", b" [" * 99]
    return [b"a.b[0]" + SEPARATOR + payload for payload in recorded + hostile]


@cache
def _devices() -> list[ResolvedMqtt]:
    """A device for each recording, all on one bus."""
    devices = [
        MqttDevice(
            id=f"d{n}", name="d", profile=one["profile"], address=one["address"], base=one.get("base", ""),
            channel=one["channel"],
        )
        for n, one in enumerate(_recorded())
    ]  # fmt: skip
    bus = MqttBus(id="bus", protocol="mqtt", devices=devices)
    return [Resolved(device, bus, MODELS[device.profile]) for device in devices]


def messages(data: bytes) -> None:
    """A run of messages from anybody: bounded while they wait, read without harm, fit for what follows."""
    devices = _devices()
    reader = LoneReader(devices)
    inbox = Inbox(reader.plan.find, LIMITS)
    normaliser = normaliser_of(cast("list[ResolvedDevice]", devices))
    now_ns = S
    for number, message in enumerate(parts(data), 1):
        flags, message = chosen(message)
        now_ns += (flags & 0x1F) ** 2 * S
        topic, _, payload = message.partition(b"\n")
        name = topic.decode("utf-8", "replace").replace("\0", "")
        filters = reader.plan.find(name)
        if flags & _RECONNECT:
            reader.begin_connection(keeps_session=bool(flags & 1))
            reader.lives.forget_words()
        if filters:
            inbox.put(Arrived(name, payload, bool(flags & _KEPT), number if flags & _AGAIN else 0, now_ns, filters))
        assert len(inbox) <= len(reader.plan.filters) * LIMITS.messages
        assert inbox.bytes <= max(LIMITS.total_bytes, len(payload) + len(topic) * 3)
        for arrived in inbox.take(flags & 3):
            send_on(normaliser, reader.read(arrived))
        for device, word in reader.lives.watch(now_ns):
            assert word in {"online", "offline"}, device
    for arrived in inbox.take(1000):
        send_on(normaliser, reader.read(arrived))
    assert inbox.bytes == 0
    assert len(reader._recent) <= MAX_REPEATS
    assert all(len(known) <= MAX_HAPPENINGS for known in reader._happened.values())


def message_seeds() -> list[bytes]:
    """Each recording as it was sent, as it was kept, and again after a new connection."""
    seeds = []
    for one in _recorded():
        sent = [message["topic"].encode() + b"\n" + message["payload"].encode() for message in one["messages"]]
        seeds.append(joined(b"\x03" + message for message in sent))
        seeds.append(joined([b"\x83" + sent[0], b"\x43" + sent[0], b"\x61" + sent[0], b"\x5f" + sent[-1]]))
    return seeds


def announcements(data: bytes) -> None:
    """Announcements for Home Assistant by anybody: proposals in short printable words, a text that is one of lines."""
    configs = []
    for message in parts(data):
        topic, _, payload = message.partition(b"\n")
        configs.append((topic.decode("utf-8", "replace"), payload))
    proposals = propose(configs, MODELS)
    for proposal in proposals:
        assert len(proposal.name) <= MAX_WORDS
        assert id_of(proposal)
        for entity in proposal.entities:
            assert entity.state_topic.isprintable()
            assert entity.name.isprintable()
            assert entity.unit.isprintable()
            assert entity.path is None or entity.path.isprintable(), entity.path
    text = text_of(proposals)
    assert text
    assert all(line.isprintable() for line in text.split("\n"))
    text.encode()


def announcement_seeds() -> list[bytes]:
    """What devices were seen to announce."""
    seen = json.loads((FOLDER / "discovery" / "announcements.json").read_text(encoding="utf-8"))
    lines = [one["topic"].encode() + b"\n" + one["payload"].encode() for one in seen]
    return [*lines, joined(lines[:6])]
