"""A simulated device: it publishes its points as its profile says they are read, and obeys what it is told."""

import asyncio
import math
import random
from collections.abc import Callable
from typing import Any

import msgspec

from contract.errors import Permanent
from contract.kinds import KINDS, PointType
from contract.profile import MqttLink, MqttPoint, MqttSource, MqttWrite
from contract.site import ResolvedMqtt
from simulators.bus import Fault, Value
from simulators.log import TruthLog
from simulators.mqtt.document import frame_of, get, holds, put

Publish = Callable[[str, bytes, bool, float], None]
"""Topic, payload, whether it is to be kept, and in how many seconds."""
SHARE_OF_SILENCE, LONGEST_S = 0.6, 30.0
"""A device says all it knows this often: a share of its silence limit, and at least every so many seconds."""


class SimulatedDevice:
    """One device. A command with a confirm point takes effect at once, and ends by itself after its `seconds`.

    Faults: `silent` (also deaf), `slow`, `exception` (error objects for values, commands refused), `cut` (off line, as
    its last will says), `garbage`, `truncated`, `jump`, `flood`.
    """

    def __init__(
        self, device: ResolvedMqtt, log: TruthLog, speed: float, dice: random.Random, publish: Publish
    ) -> None:
        self.device = device
        self._log, self._speed, self._dice, self._publish = log, speed, dice, publish
        item = device.device
        self._words = {"address": item.address, "base": item.base or device.profile.base, "channel": str(item.channel)}
        self._words["base"] = self._words["base"].replace("+", "3f6c")
        self._values: dict[str, Value] = {}
        self._timers: dict[str, asyncio.TimerHandle] = {}
        self._fault: Fault | None = None
        self._left: int | None = None
        self._happened = 0
        self.topics = self._topics()
        """Where it listens."""
        self.is_live = False
        """Whether it publishes what happens."""
        for name, mapped in device.profile.points.items():
            if mapped.read:
                self._values[name] = self._at_rest(name, mapped)

    @property
    def period_s(self) -> float:
        """How often it says all it knows."""
        if self._fault is not None and self._fault.kind == "flood":
            return 1 / self._fault.rate
        return min(LONGEST_S, self.device.silent_after_s * SHARE_OF_SILENCE)

    def _topics(self) -> set[str]:
        profile = self.device.profile
        named = [point.write.topic for point in profile.points.values() if point.write]
        named += [point.confirm.ask.topic for point in profile.points.values() if point.confirm and point.confirm.ask]
        return {self._fill(topic) for topic in [*named, *(asked.topic for asked in profile.refresh)]}

    def set(self, point: str, value: Value) -> None:
        """A point takes a value; it says so at once. Raises Permanent when it cannot be."""
        mapped = self._mapped(point)
        raw = self._raw(point, mapped, value)
        before = self._values.pop(point)
        self._values[point] = value  # the last: where a model tells several points by one word, the last set counts
        if before != value:
            self._log.change(self.device.device.id, point, value)
        if self._type(point) is not PointType.EVENT:
            self._say(mapped.read.sources[0] if mapped.read else None)
        elif value:
            self._tell(mapped, raw)

    def get(self, point: str) -> Value:
        """What a point is. Raises Permanent for one there is not."""
        self._mapped(point)
        return self._values[point]

    def fail(self, fault: Fault | None) -> None:
        """Gives it a fault, or takes it away."""
        was_cut = self._fault is not None and self._fault.kind == "cut"
        self._fault = None
        if fault is not None and fault.kind == "cut":
            self.say_link(is_online=False)
        elif was_cut:
            self.say_link(is_online=True)
        self._fault, self._left = fault, fault.times if fault else None

    def close(self) -> None:
        """Stops what still runs."""
        for timer in self._timers.values():
            timer.cancel()

    def say_link(self, *, is_online: bool) -> None:
        """Says on its own link topics that it is there or went, to be kept."""
        for link in self.device.profile.link:
            if "{address}" in link.topic:
                self._send(self._fill(link.topic), _link_payload(link, is_online=is_online), is_kept=True)

    def bridge_links(self) -> dict[str, bytes]:
        """What those it is behind say of themselves, by topic."""
        behind = [link for link in self.device.profile.link if "{address}" not in link.topic]
        return {self._fill(link.topic): _link_payload(link, is_online=True) for link in behind}

    def say_all(self) -> None:
        """Says all it knows, as it does now and then."""
        answers = {p.write.answer.topic for p in self.device.profile.points.values() if p.write and p.write.answer}
        sources: dict[str, MqttSource] = {}
        for name, mapped in self.device.profile.points.items():
            if mapped.read and self._type(name) is not PointType.EVENT:
                for source in mapped.read.sources:
                    if "{client}" not in source.topic and source.topic not in answers:
                        sources.setdefault(source.topic, source)
        for source in [*sources.values(), *self.device.profile.alive]:
            self._say(source)

    def take(self, topic: str, payload: bytes) -> None:
        """A message on one of its topics: a command, or a question for what it knows."""
        if self._meets("silent", "cut"):
            return
        document = _parse(payload)
        client = str(get(document, "src") or "")
        for mapped in self.device.profile.points.values():
            write = mapped.write
            if write is None or self._fill(write.topic) != topic or not payload:
                continue
            if not holds(document, self._fill_all(write.payload, client)):
                continue
            given = get(document, write.path) if write.path else document
            if write.path and given is None:
                continue
            if write.argument is None and write.value is not None and given != write.value:
                continue  # another command of the same topic
            self._obey(mapped, write, given, document, client)
            return
        self._answer_question(topic, document, client)

    def _answer_question(self, topic: str, document: Any, client: str) -> None:
        """Says what it knows: to who asked, or on the topics of its points."""
        private = False
        for mapped in self.device.profile.points.values():
            for source in mapped.read.sources if mapped.read else ():
                if "{client}" in source.topic and client and not private:
                    private = True
                    self._say(source, client, {"id": get(document, "id"), "dst": client})
        if private:
            return
        for mapped in self.device.profile.points.values():
            ask = mapped.confirm.ask if mapped.confirm else None
            confirmed = self.device.profile.points.get(mapped.confirm.point) if mapped.confirm else None
            if ask is not None and self._fill(ask.topic) == topic and confirmed is not None and confirmed.read:
                self._say(confirmed.read.sources[0])
                return
        self.say_all()

    def _obey(self, mapped: MqttPoint, write: MqttWrite, given: Any, document: Any, client: str) -> None:
        self._log.write(self.device.bus.id, 0, self._fill(write.topic), 0, [int(given) if _is_number(given) else 0])
        refuses = self._meets("exception")
        if write.answer is not None:
            answer: dict[str, Any] = {"src": self._words["address"], "dst": client}
            if write.answer.id:
                put(answer, write.answer.id, get(document, write.answer.id))
            if refuses:
                put(answer, write.answer.error, "Unknown")
            elif not write.answer.id:
                answer = {}
            if answer:
                self._send(self._fill(write.answer.topic, client), msgspec.json.encode(answer), is_answer=True)
        if refuses or mapped.confirm is None:
            return
        argument = next((key for key, sent in write.values.items() if sent == given), None)
        state = mapped.confirm.wanted(argument)
        point = mapped.confirm.point
        self.set(point, state)
        if (running := self._timers.pop(point, None)) is not None:
            running.cancel()
        if write.argument == "seconds" and _is_number(given):
            word = KINDS[self.device.profile.kind].points[point].words[0].code
            loop = asyncio.get_running_loop()
            self._timers[point] = loop.call_later(given / self._speed, self.set, point, word)

    def _say(self, source: MqttSource | None, client: str = "", more: dict[str, Any] | None = None) -> None:
        """Publishes all that is in one kind of message."""
        if source is None:
            return
        topic = self._fill(source.topic, client)
        document = frame_of(topic) | (more or {})
        for name, value in self._values.items():
            mapped = self.device.profile.points[name]
            if not mapped.read or self._type(name) is PointType.EVENT:
                continue
            for other in mapped.read.sources:
                if other.topic == source.topic:
                    raw = self._raw(name, mapped, value)
                    if not other.path:
                        self._send(topic, raw.encode() if isinstance(raw, str) else msgspec.json.encode(raw))
                        return
                    self._put(document, other, {"error": 4} if self._meets("exception") else raw)
        if source in self.device.profile.alive:
            put(document, self._fill(source.path), 5.0)
        self._send(topic, msgspec.json.encode(document))

    def _tell(self, mapped: MqttPoint, raw: Any) -> None:
        """Publishes that something happened."""
        if mapped.read is None:
            return
        source = mapped.read.sources[0]
        topic = self._fill(source.topic)
        if not source.path:
            self._send(topic, msgspec.json.encode(raw))
            return
        self._happened += 1
        called = f"{1700000000 + self._happened}.5-{self._dice.randrange(16**6):06x}"
        document = frame_of(topic)
        for path in {*mapped.fields.values(), mapped.once} - {""}:
            put(document, self._fill(path), called)
        self._put(document, source, raw)
        self._send(topic, msgspec.json.encode(document))

    def _put(self, document: dict[str, Any], source: MqttSource, raw: Any) -> None:
        for path, wanted in source.match.items():
            value = wanted[0]
            value = self._number(value)
            put(document, self._fill(path), self._fill(value) if isinstance(value, str) else value)
        put(document, self._fill(source.path), raw)

    def _send(self, topic: str, payload: bytes, *, is_kept: bool = False, is_answer: bool = False) -> None:
        """Publishes, as far and as soundly as its fault lets it."""
        if not self.is_live or self._meets("silent", "cut"):
            self._spend()
            return
        if not is_answer and self._meets("garbage"):
            payload = self._dice.randbytes(24)
        elif not is_answer and self._meets("truncated"):
            payload = payload[: max(1, len(payload) // 2)]
        delay_s = self._fault.delay_s if self._fault is not None and self._meets("slow") else 0.0
        if self._fault is not None and self._fault.kind not in {"flood", "slow"} and not is_answer:
            self._spend()
        self._publish(topic, payload, is_kept, delay_s)

    def _meets(self, *kinds: str) -> bool:
        fault = self._fault
        return fault is not None and fault.kind in kinds and (fault.share >= 1 or self._dice.random() < fault.share)

    def _spend(self) -> None:
        """A message met the fault; it may have been the last."""
        if self._left is not None:
            self._left -= 1
            if self._left <= 0:
                self.fail(None)

    def _raw(self, name: str, mapped: MqttPoint, value: Value) -> Any:
        if mapped.states:
            raw = next((raw for raw, word in mapped.states.items() if word == value), None)
            if raw is None:
                raise Permanent(f"{value!r} is none of: {', '.join(mapped.states.values())}")
            return bool(raw) if set(mapped.states) <= {0, 1} else raw
        if isinstance(value, str):
            raise Permanent(f"a number is wanted, not {value!r}")
        if self._type(name) is PointType.EVENT:
            if value not in {0, 1}:
                raise Permanent(f"an event happens (1) or is over (0), it is not {value}")
            return mapped.when[0] if mapped.when else 1
        wild = 1000.0 if self._meets("jump") else 1.0
        return round((value * wild - mapped.offset) / mapped.scale, 6)

    def _at_rest(self, name: str, mapped: MqttPoint) -> Value:
        """The kind's normal word, or the number nearest 0 that is plausible."""
        standard = KINDS[self.device.profile.kind].points[name]
        if mapped.states:
            words = set(mapped.states.values())
            return next(word.code for word in standard.words if word.code in words)
        low = -math.inf if mapped.minimum is None else mapped.minimum
        high = math.inf if mapped.maximum is None else mapped.maximum
        return min(max(0.0, low), high)

    def _mapped(self, point: str) -> MqttPoint:
        mapped = self.device.profile.points.get(point)
        if mapped is None or not mapped.read:
            raise Permanent(f"{self.device.profile.id} has no point {point!r} to set")
        return mapped

    def _type(self, point: str) -> PointType:
        return KINDS[self.device.profile.kind].points[point].type

    def _fill(self, text: str, client: str = "") -> str:
        for name, value in {**self._words, "client": client}.items():
            text = text.replace("{" + name + "}", value)
        return text

    def _fill_all(self, document: Any, client: str) -> Any:
        if isinstance(document, dict):
            return {key: self._fill_all(value, client) for key, value in document.items()}
        document = self._number(document)
        return self._fill(document, client) if isinstance(document, str) else document

    def _number(self, value: Any) -> Any:
        """What {channel} or {number} alone stands for is a number; any other value stays as it is."""
        word = {"{channel}": "channel", "{number}": "address"}.get(value) if isinstance(value, str) else None
        return int(self._words[word]) if word is not None and self._words[word].isdecimal() else value


def _link_payload(link: MqttLink, *, is_online: bool) -> bytes:
    """A link's message."""
    word = (link.online if is_online else link.offline)[0]
    if not link.path:
        return word.encode() if isinstance(word, str) else msgspec.json.encode(word)
    document: dict[str, Any] = {}
    put(document, link.path, word)
    return msgspec.json.encode(document)


def _parse(payload: bytes) -> Any:
    try:
        return msgspec.json.decode(payload)
    except (ValueError, RecursionError):
        return payload.decode(errors="replace")


def _is_number(value: Any) -> bool:
    return isinstance(value, bool | int | float)
