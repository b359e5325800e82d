"""MQTT: how a model's topics and the JSON in them map to points. Facts only: no templates, no expressions.

Topics, paths and the texts of payloads may hold {address}, {base} and {channel}: the site file says them of each
device. A payload may also hold {client}: the name under which the box is at the broker. A value that is {number} alone
is the address as a number, for devices that are called by one.
"""

import re
from collections.abc import Iterator
from typing import Annotated, Any, Literal

import msgspec

from contract.config import Problem, is_bad
from contract.errors import Permanent
from contract.profile.common import Args, Confirm, PointMap, Profile, Raw, Read, Seconds, Write

Where = tuple[str | int, ...]
Topic = Annotated[str, msgspec.Meta(min_length=1, max_length=256)]
JsonPath = Annotated[str, msgspec.Meta(max_length=200, description="keys between dots, and [n] for the n-th of a list")]
Scalar = bool | int | float | str

PLACEHOLDERS = frozenset({"address", "base", "channel", "client"})
NUMBER = "{number}"
_PLACEHOLDER = re.compile(r"\{([^{}]*)\}")
_PATH = re.compile(r"[^.\[\]]+(\[\d+\]|\.[^.\[\]]+)*|(\[\d+\])(\[\d+\]|\.[^.\[\]]+)*")


class MqttSource(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A place in a kind of message: `path` within the JSON of `topic`, or the bare payload without one.

    `match` names what else must stand in the same message, by path: one of these values, or a list that holds one.
    """

    topic: Topic
    path: JsonPath = ""
    match: dict[JsonPath, tuple[Scalar, ...]] = {}


class MqttRead(Read, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Where a point is, as MqttSource says; `also` are other messages that say the same."""

    topic: Topic
    path: JsonPath = ""
    match: dict[JsonPath, tuple[Scalar, ...]] = msgspec.field(default_factory=dict)
    also: list[MqttSource] = msgspec.field(default_factory=list)

    @property
    def sources(self) -> tuple[MqttSource, ...]:
        """All the messages in which the point is."""
        return (MqttSource(topic=self.topic, path=self.path, match=self.match), *self.also)


class MqttPublish(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A message as it is published: a JSON object, a text, or nothing."""

    topic: Topic
    payload: dict[str, Any] | str = ""


class MqttAnswer(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Where the device answers a command. `error` is the path of its words where it refuses.

    `id` is the path of a number that stands in the command and comes back in its answer; without one the next message
    on the topic is the answer.
    """

    topic: Topic
    error: JsonPath
    id: JsonPath = ""


class MqttWrite(Write, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """To which topic a command is published, and what.

    `payload` is a JSON object in which the value (or the command's argument) is put at `path`; without a payload the
    value is the whole text. `values` says what is sent for each value of the argument; others are refused then.
    """

    topic: Topic
    payload: dict[str, Any] = msgspec.field(default_factory=dict)
    path: JsonPath = ""
    values: dict[int | str, Scalar] = msgspec.field(default_factory=dict)
    answer: MqttAnswer | None = None

    def given(self, args: Args) -> int | float | str:
        """What is sent for a command with these arguments. Raises Permanent, saying what is wrong with them."""
        value = super().given(args)
        if not self.values or self.argument is None:
            return value
        key = int(value) if isinstance(value, bool | float) else value
        if key not in self.values:
            raise Permanent(f"{self.argument!r} must be one of {', '.join(map(str, self.values))}, it is {value!r}")
        return self.values[key]


class MqttConfirm(Confirm, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """How the effect is read back. `states` says which state shows it for a value of the argument, where not `state`.

    `ask` is published to make the device say its state, once the command has been published.
    """

    states: dict[int | str, str] = msgspec.field(default_factory=dict)
    ask: MqttPublish | None = None

    def wanted(self, value: Raw | bool | None) -> str:
        """The state that shows the effect of a command whose argument had this value (None: it takes none)."""
        key = int(value) if isinstance(value, bool) else value
        return self.state if key is None or isinstance(key, float) else self.states.get(key, self.state)


class MqttPoint(PointMap, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A point of a model that speaks MQTT.

    An event may carry `fields`: paths within the same message. `once` is the path of what names one happening, where
    several messages tell of it: it is reported with the first.
    """

    read: MqttRead | None = None
    write: MqttWrite | None = None
    confirm: MqttConfirm | None = None
    fields: dict[str, JsonPath] = msgspec.field(default_factory=dict)
    once: JsonPath = ""


class MqttLink(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Where it is said whether a device, or what it is behind, is on line: a last will, an availability topic."""

    topic: Topic
    path: JsonPath = ""
    online: tuple[Scalar, ...] = ("online",)
    offline: tuple[Scalar, ...] = ("offline",)


class MqttProfile(Profile, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A model that speaks MQTT. After `silent_after_s` without a message it is off line.

    `base` stands for {base} where the site file does not say another. Of `link` all must say online. `alive` is
    where anything but 0 shows that the device lives. `refresh` makes it say all it knows; that is published when the
    box comes to the broker, and then every `refresh_s`: for devices that only speak when something changes.
    """

    protocol: Literal["mqtt"]
    silent_after_s: Seconds
    base: str = ""
    link: list[MqttLink] = msgspec.field(default_factory=list)
    alive: list[MqttSource] = msgspec.field(default_factory=list)
    refresh: list[MqttPublish] = msgspec.field(default_factory=list)
    refresh_s: Annotated[float, msgspec.Meta(ge=1, le=86400)] | None = None
    points: dict[str, MqttPoint]

    @property
    def is_called_by_number(self) -> bool:
        """Whether the address of such a device must be a number."""
        return NUMBER.encode() in msgspec.json.encode(self)


def check_mqtt(profile: MqttProfile) -> Iterator[Problem]:
    """What is wrong with topics, paths and what is published; the rest is the same for every protocol."""
    for name, point in profile.points.items():
        if is_bad(name, point):
            continue
        where: Where = ("points", name)
        if point.read is not None and not is_bad(point.read) and not is_bad(point.read.also):
            yield from _check_source(point.read, (*where, "read"))
            for i, source in enumerate(point.read.also):
                if not is_bad(source):
                    yield from _check_source(source, (*where, "read", "also", i))
        if point.write is not None and not is_bad(point.write):
            yield from _check_write(point.write, (*where, "write"))
        if not is_bad(point.fields):
            for field, path in point.fields.items():
                yield from _check_path(path, (*where, "fields", field))
        yield from _check_path(point.once, (*where, "once"))
        confirm = point.confirm
        if confirm is not None and not is_bad(confirm) and not is_bad(confirm.states, confirm.point):
            yield from _check_states(confirm, (*where, "confirm"), profile)
    if not is_bad(profile.link):
        for i, link in enumerate(profile.link):
            if not is_bad(link):
                yield from _check_topic(link.topic, ("link", i, "topic"), is_filter=False)
                yield from _check_path(link.path, ("link", i, "path"))
    if not is_bad(profile.alive):
        for i, source in enumerate(profile.alive):
            if not is_bad(source):
                yield from _check_source(source, ("alive", i))
    if profile.refresh_s is not None and profile.refresh == []:
        yield Problem(("refresh_s",), "there is nothing to ask again", "add refresh:")
    if not is_bad(profile.refresh):
        for i, asked in enumerate(profile.refresh):
            if not is_bad(asked):
                yield from _check_topic(asked.topic, ("refresh", i, "topic"), is_filter=False)


def _check_source(source: MqttRead | MqttSource, where: Where) -> Iterator[Problem]:
    if is_bad(source.topic, source.match):
        return
    yield from _check_topic(source.topic, (*where, "topic"), is_filter=True)
    yield from _check_path(source.path, (*where, "path"))
    for path in source.match:
        yield from _check_path(path, (*where, "match", path))
    words = [word for values in source.match.values() if not is_bad(values) for word in values]
    is_told_apart = "{address}" in source.topic or "{address}" in str(source.path) or {"{address}", NUMBER} & set(words)
    if not is_told_apart:
        hint = "put {address} into the topic, or into match: where all devices share one"
        yield Problem((*where, "topic"), "nothing tells this device's messages from another's", hint)


def _check_topic(topic: str, where: Where, *, is_filter: bool) -> Iterator[Problem]:
    if is_bad(topic):
        return
    unknown = sorted(set(_PLACEHOLDER.findall(topic)) - PLACEHOLDERS)
    if unknown or re.search(r"[{}]", _PLACEHOLDER.sub("", topic)):
        yield Problem(where, f"{topic!r} has a placeholder that does not exist", "{address}, {base} and {channel} do")
    if "#" in topic or "\0" in topic:
        yield Problem(where, f"{topic!r} is too wide", "name the topic; + stands for one level")
    elif "+" in topic and (not is_filter or any("+" in level and level != "+" for level in topic.split("/"))):
        hint = "+ stands alone between two slashes" if is_filter else "a message goes to one topic"
        yield Problem(where, f"{topic!r} has a + that cannot be there", hint)


def _check_path(path: str, where: Where) -> Iterator[Problem]:
    if path and not is_bad(path) and not _PATH.fullmatch(path):
        yield Problem(where, f"{path!r} is no path", "keys between dots, and [n] for the n-th of a list")


def _check_write(write: MqttWrite, where: Where) -> Iterator[Problem]:
    if is_bad(write.topic, write.payload, write.path, write.value, write.argument, write.values):
        return
    yield from _check_topic(write.topic, (*where, "topic"), is_filter=False)
    yield from _check_path(write.path, (*where, "path"))
    if "[" in write.path:
        yield Problem((*where, "path"), "a value can only be put into objects", "keys between dots")
    if write.payload and not write.path and (write.argument is not None or write.value is not None):
        yield Problem(where, "it does not say where in the payload the value stands", "add path:")
    if write.path and write.argument is None and write.value is None:
        yield Problem((*where, "path"), "there is no value to put there", "add value: or argument:")
    if not write.payload and not write.path and write.argument is None and write.value is None:
        yield Problem(where, "it says nothing to publish", "add value:, argument: or payload:")
    if write.answer is not None and not is_bad(write.answer):
        yield from _check_topic(write.answer.topic, (*where, "answer", "topic"), is_filter=False)
        yield from _check_path(write.answer.error, (*where, "answer", "error"))
        yield from _check_path(write.answer.id, (*where, "answer", "id"))


def _check_states(confirm: MqttConfirm, where: Where, profile: MqttProfile) -> Iterator[Problem]:
    seen = profile.points.get(confirm.point)
    if seen is None or is_bad(seen) or is_bad(seen.states) or is_bad(*seen.states.values()):
        return
    for state in confirm.states.values():
        if not is_bad(state) and state not in seen.states.values():
            hint = f"one of: {', '.join(sorted(seen.states.values()))}"
            yield Problem((*where, "states"), f"confirm waits for {state!r}, which {confirm.point!r} never says", hint)
