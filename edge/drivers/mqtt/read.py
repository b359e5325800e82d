"""What a message means: the samples it brings, who lives, who answers a command. Knows repeats. No I/O."""

import hashlib
from collections import OrderedDict, deque
from collections.abc import Callable, Sequence
from typing import Any, Final

import structlog

from contract.messages import Sample
from edge.drivers.mqtt.decode import MAX_TEXT, BadPayload, Raw, at_path, fields_at, matches, number_of, parse, raw_at
from edge.drivers.mqtt.inbox import Arrived
from edge.drivers.mqtt.life import OFFLINE, ONLINE, Lives
from edge.drivers.mqtt.plan import LINK, AnswerTake, LinkTake, Plan, Route, Take

S: Final = 1_000_000_000
TELL_AGAIN_S: Final = 3600
"""What a device sends and cannot be understood is said this often; the counters have the rest."""
MAX_HAPPENINGS: Final = 256
"""Names of happenings remembered of each event point, to know a repeat by."""
MAX_REPEATS: Final = 64
"""Messages remembered over a reconnect, to know those that the broker sends again."""

log = structlog.get_logger(__name__)


class Reader:
    """Reads the messages of one bus, each once, in the order of their arrival.

    Counts `messages`, those that were `malformed`, and `repeats`: messages and happenings that came a second time.
    """

    def __init__(self, bus: str, plan: Plan, lives: Lives, answer: Callable[[AnswerTake, Any], None]) -> None:
        """`answer` is told of messages on the topics where devices answer commands."""
        self.messages = self.malformed = self.repeats = 0
        self._bus, self._plan, self._lives, self._answer = bus, plan, lives, answer
        self._told_ns: dict[str, int] = {}
        """When it was last said of a device that its payloads cannot be understood."""
        self._happened: dict[tuple[str, str], OrderedDict[Any, None]] = {}
        self._recent: deque[tuple[int, str, bytes]] = deque(maxlen=MAX_REPEATS)
        self._before: set[tuple[int, str, bytes]] = set()
        """Messages of the connection before that the broker may send again on this one."""

    def begin_connection(self, *, keeps_session: bool) -> None:
        """From here on the broker may repeat what the connection before may not have acknowledged."""
        self._before = set(self._recent) if keeps_session else set()
        self._recent.clear()

    def end_repeats(self) -> None:
        """By now it has repeated what it had to."""
        self._before.clear()

    def read(self, message: Arrived) -> list[Sample]:
        """The samples a message brings."""
        if message.mid and self._is_repeat(message):
            self.repeats += 1
            return []
        self.messages += 1
        return self._samples_of(message)

    def _is_repeat(self, message: Arrived) -> bool:
        """Whether the broker sent it on the connection before, and did not learn that it had come."""
        if message.is_kept:
            return False
        digest = hashlib.blake2b(message.payload, digest_size=16).digest()
        what = (message.mid, message.topic, digest)
        if what in self._before:
            self._before.discard(what)
            return True
        self._recent.append(what)
        return False

    def _samples_of(self, message: Arrived) -> list[Sample]:
        if not message.payload:  # how a kept message is taken away: nobody says anything with it
            return []
        routes = [self._plan.routes[topic] for topic in message.filters]
        try:
            document = parse(message.payload)
        except BadPayload as e:
            self.malformed += 1
            return self._malformed(message, routes, str(e))
        samples: list[Sample] = []
        lived: dict[str, None] = {}
        for route in routes:
            for link in route.links:
                samples.extend(self._link(link, document, message))
            for answer in route.answers:
                if not message.is_kept:
                    self._answer(answer, document)
            for take in route.takes_of(document):
                if self._take_point(take, document, message, samples) and not message.is_kept:
                    lived[take.device] = None
        if lived:
            told = {sample.device for sample in samples}
            for device in lived:
                self._lives[device].heard(message.mono_ns)
                if device not in told:
                    samples.append(Sample(device, "link", ONLINE, message.mono_ns))
        return samples

    def _malformed(self, message: Arrived, routes: Sequence[Route], problem: str) -> list[Sample]:
        """A payload that says nothing: told once a device. One that was kept is not even a failure."""
        takes = [take for route in routes for take in route.takes]
        for device in {take.device for take in takes}:
            self._tell(device, problem, message.mono_ns)
        if message.is_kept:
            return []
        return [Sample(take.device, take.point, None, message.mono_ns, problem) for take in takes]

    def _tell(self, device: str, problem: str, now_ns: int) -> None:
        if device not in self._told_ns or now_ns - self._told_ns[device] > TELL_AGAIN_S * S:
            self._told_ns[device] = now_ns
            log.warning("a device sends what cannot be understood", bus=self._bus, device=device, problem=problem)

    def _link(self, link: LinkTake, document: Any, message: Arrived) -> list[Sample]:
        """A last will or an availability message. A bare word counts where an object was expected, and so it was."""
        path = link.path if isinstance(document, dict) else ()
        if matches(document, path, link.offline):
            word = OFFLINE
        elif matches(document, path, link.online):
            word = ONLINE
        else:
            return []
        told = self._lives[link.device].says(link.number, word, message.mono_ns, is_kept=message.is_kept)
        return [Sample(link.device, "link", told, message.mono_ns)] if told is not None else []

    def _take_point(self, take: Take, document: Any, message: Arrived, samples: list[Sample]) -> bool:
        """Adds what a message says of one point; whether it makes sense, and so its device lives."""
        try:
            raw = raw_at(document, take.path)
            if take.is_number and isinstance(raw, str):
                raw = number_of(raw)
        except BadPayload as e:
            if not message.is_kept:
                self._tell(take.device, f"{take.point}: {e}", message.mono_ns)
                samples.append(Sample(take.device, take.point, None, message.mono_ns, str(e)))
            return False
        if take.point == LINK:
            return bool(raw)
        if not take.is_event:
            if raw is not None:
                samples.append(Sample(take.device, take.point, raw, message.mono_ns, is_kept=message.is_kept))
        elif not message.is_kept and self._happens(take, raw, document):
            fields = fields_at(document, take.fields)
            samples.append(Sample(take.device, take.point, raw, message.mono_ns, fields=fields))
        return True

    def _happens(self, take: Take, raw: Raw | None, document: Any) -> bool:
        return raw is not None and (not take.when or raw in take.when) and not self._has_happened(take, document)

    def _has_happened(self, take: Take, document: Any) -> bool:
        """Whether another message told of this very happening before; remembers it."""
        if take.once is None:
            return False
        name = at_path(document, take.once)
        if not isinstance(name, str | int | float) or (isinstance(name, str) and len(name) > MAX_TEXT):
            return False
        known = self._happened.setdefault((take.device, take.point), OrderedDict())
        if name in known:
            self.repeats += 1
            return True
        known[name] = None
        if len(known) > MAX_HAPPENINGS:
            known.popitem(last=False)
        return False
