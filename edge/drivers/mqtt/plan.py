"""What is subscribed to, and which points of which devices are in a message of each topic. Pure."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import msgspec

from contract.kinds import KINDS, PointType
from contract.profile import MqttSource
from contract.profile.mqtt import NUMBER
from contract.site import ResolvedMqtt
from edge.drivers.mqtt.decode import MISSING, Path, Raw, at_path, matches, parse_path
from edge.drivers.mqtt.topics import Subscriptions, fill, fill_all, words_of

LINK = "link"


class Take(msgspec.Struct, frozen=True):
    """One point of one device within a message: where it is, and what else the message must say.

    An event has `is_event`, its fields, what raw values mean that it happened (all, when empty), and the path of what
    names one happening. A point called LINK is none: that there is something but 0 shows that the device lives.
    """

    device: str
    point: str
    path: Path
    match: tuple[tuple[Path, tuple[Raw, ...]], ...] = ()
    is_number: bool = False
    is_event: bool = False
    when: tuple[Raw, ...] = ()
    fields: Mapping[str, Path] = {}
    once: Path | None = None

    def is_meant(self, document: Any) -> bool:
        """Whether the message tells of this point at all."""
        return all(matches(document, path, wanted) for path, wanted in self.match)


class LinkTake(msgspec.Struct, frozen=True):
    """Whether a device, or what it is behind, is on line; `number` counts the links of the device."""

    device: str
    number: int
    path: Path
    online: tuple[Raw, ...]
    offline: tuple[Raw, ...]


class AnswerTake(msgspec.Struct, frozen=True):
    """A device's answer to a command: the path of its number, if it has one, and of its words of refusal."""

    device: str
    point: str
    id: Path | None
    error: Path


class Route:
    """What one filter brings: the points in each message, those that one value in it picks out, links and answers."""

    __slots__ = ("answers", "by_value", "links", "takes")

    def __init__(self) -> None:
        self.takes: list[Take] = []
        self.by_value: dict[Path, dict[Raw, list[Take]]] = {}
        """Where many devices share a topic, one look-up finds the device a message is of."""
        self.links: list[LinkTake] = []
        self.answers: list[AnswerTake] = []

    def takes_of(self, document: Any) -> Iterator[Take]:
        """The points that a message tells of."""
        for take in self.takes:
            if take.is_meant(document):
                yield take
        for path, by_value in self.by_value.items():
            value = at_path(document, path)
            if value is MISSING or not isinstance(value, str | int | float):
                continue
            for take in by_value.get(value, ()):
                if take.is_meant(document):
                    yield take


class Plan:
    """All that a bus subscribes to, by filter, and each device's links."""

    def __init__(self, devices: Sequence[ResolvedMqtt], client: str) -> None:
        """`client` is the box's name at the broker."""
        self._topics = Subscriptions()
        self.routes: dict[str, Route] = {}
        self.points: dict[str, list[str]] = {}
        """By device: the points that are read."""
        self.own_links: dict[str, list[bool]] = {}
        """By device: of each of its links, whether it speaks of this device alone."""
        for device in devices:
            self._add(device, words_of(device, client))

    def find(self, topic: str) -> list[str]:
        """The filters that a topic belongs to."""
        return self._topics.find(topic)

    @property
    def filters(self) -> list[str]:
        """What to subscribe to."""
        return list(self.routes)

    def _route(self, topic: str) -> Route:
        route = self.routes.get(topic)
        if route is None:
            self._topics.add(topic)
            route = self.routes[topic] = Route()
        return route

    def _add(self, device: ResolvedMqtt, words: Mapping[str, str]) -> None:
        name, profile = device.device.id, device.profile
        kind = KINDS[profile.kind]
        points = self.points[name] = []
        for source in profile.alive:
            self._place(Take(name, LINK, _path(source.path, words), _match(source, words)), source, words)
        for point, mapped in profile.points.items():
            if mapped.read is not None:
                points.append(point)
                is_event = kind.points[point].type is PointType.EVENT
                is_number = kind.points[point].type is PointType.TELEMETRY
                for source in mapped.read.sources:
                    take = Take(
                        name, point, _path(source.path, words), _match(source, words), is_number, is_event,
                        mapped.when if is_event else (),
                        {field: _path(path, words) for field, path in mapped.fields.items()} if is_event else {},
                        _path(mapped.once, words) if is_event and mapped.once else None,
                    )  # fmt: skip
                    self._place(take, source, words)
            if mapped.write is not None and mapped.write.answer is not None:
                answer = mapped.write.answer
                named = _path(answer.id, words) if answer.id else None
                route = self._route(fill(answer.topic, words))
                route.answers.append(AnswerTake(name, point, named, _path(answer.error, words)))
        self.own_links[name] = []
        for number, link in enumerate(profile.link):
            self.own_links[name].append("{address}" in link.topic)
            self._route(fill(link.topic, words)).links.append(
                LinkTake(name, number, _path(link.path, words), _raws(link.online), _raws(link.offline))
            )

    def _place(self, take: Take, source: MqttSource, words: Mapping[str, str]) -> None:
        route = self._route(fill(source.topic, words))
        picks = [(path, wanted) for path, wanted in source.match.items() if wanted in {("{address}",), (NUMBER,)}]
        if "{address}" in source.topic or not picks:
            route.takes.append(take)
            return
        path, wanted = picks[0]
        by_value = route.by_value.setdefault(_path(path, words), {})
        by_value.setdefault(fill_all(wanted[0], words), []).append(take)


def _path(text: str, words: Mapping[str, str]) -> Path:
    """The steps of a path; what stands for a placeholder is one step, whatever it holds."""
    steps = parse_path(text)
    return tuple(fill(step, words) if isinstance(step, str) else step for step in steps)


def _match(source: MqttSource, words: Mapping[str, str]) -> tuple[tuple[Path, tuple[Raw, ...]], ...]:
    return tuple((_path(path, words), _raws(wanted, words)) for path, wanted in source.match.items())


def _raws(wanted: Sequence[bool | Raw], words: Mapping[str, str] | None = None) -> tuple[Raw, ...]:
    if words is None:
        return tuple(wanted)
    return tuple(fill_all(value, words) for value in wanted)
