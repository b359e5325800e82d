"""What a command means on MQTT: what is published where, what the device answers, and whether its effect was seen."""

import asyncio
import itertools
import random
from collections import defaultdict
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Final

import msgspec

from contract.clock import mono_ns
from contract.errors import Permanent
from contract.messages import CommandStatus, Outcome, Sample
from contract.profile import MqttConfirm, MqttPoint, MqttPublish, MqttWrite
from contract.site import ResolvedMqtt
from edge.drivers.mqtt.config import Timing
from edge.drivers.mqtt.decode import MISSING, BadPayload, at_path, parse_path, raw_at
from edge.drivers.mqtt.plan import AnswerTake
from edge.drivers.mqtt.topics import fill, fill_all, words_of
from edge.drivers.mqtt.wire import Lost

S: Final = 1_000_000_000
MAX_ORDERS: Final = 64
"""Commands that may be under way on a bus; more are turned away at once."""
_MAX_WORDS = 120
Args = Mapping[str, str | int | float | bool]
Publish = Callable[[str, bytes, float | None], Awaitable[None]]
"""Publishes a payload to a topic, to be given to nobody after so many seconds. Raises Lost."""


class _Waiting:
    """A command under way: what the device answered and showed so far."""

    __slots__ = ("answered", "confirm", "device", "number", "point", "refusal", "seen", "since_ns", "stopped", "woken")

    def __init__(self, device: str, point: str, confirm: MqttConfirm | None) -> None:
        self.device, self.point, self.confirm = device, point, confirm
        self.number = 0
        self.since_ns = 0
        """Samples before this show nothing of its effect."""
        self.answered = False
        self.refusal = ""
        self.stopped = ""
        self.seen: Sample | None = None
        self.woken = asyncio.Event()


class Commands:
    """The commands of one bus; told of everything that comes in, which may be what one waits for."""

    def __init__(self, client: str, timing: Timing) -> None:
        self._client, self._timing = client, timing
        self._waiting: list[_Waiting] = []
        self._locks: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)
        self._numbers = itertools.count(random.randrange(1, 2**24))  # noqa: S311  # not those of the run before

    def see(self, samples: Sequence[Sample]) -> None:
        """Values that came in: one may be the effect of a command."""
        for waiting in self._waiting:
            confirm = waiting.confirm
            for sample in samples if confirm is not None and waiting.since_ns else ():
                is_it = sample.device == waiting.device and confirm is not None and sample.point == confirm.point
                if is_it and sample.mono_ns >= waiting.since_ns and not sample.is_kept and sample.raw is not None:
                    waiting.seen = sample
                    waiting.woken.set()

    def answer(self, take: AnswerTake, document: Any) -> None:
        """A message on a topic where a device answers."""
        for waiting in self._waiting:
            if (waiting.device, waiting.point) != (take.device, take.point) or not waiting.since_ns:
                continue
            try:
                if take.id is not None and raw_at(document, take.id) != waiting.number:
                    continue
            except BadPayload:
                continue
            error = at_path(document, take.error)
            waiting.answered = True
            if error is not MISSING and error is not None:
                waiting.refusal = str(error)[:_MAX_WORDS] or "it does not say why"
            waiting.woken.set()

    def stop(self, why: str) -> None:
        """Nothing can be seen any more."""
        for waiting in self._waiting:
            waiting.stopped = why
            waiting.woken.set()

    async def execute(
        self, device: ResolvedMqtt, point: str, args: Args, deadline_ns: int, publish: Publish
    ) -> Outcome:
        """Publishes a command and looks for its effect. One at a time a device. Raises nothing of the wire's."""
        mapped = device.profile.points.get(point)
        if mapped is None or mapped.write is None:
            return Outcome(CommandStatus.FAILED, f"this bus has no command {point!r} for that device")
        if len(self._waiting) >= MAX_ORDERS:
            return Outcome(CommandStatus.FAILED, f"{MAX_ORDERS} commands are already under way on this bus")
        try:
            value = mapped.write.given(args)
        except Permanent as e:
            return Outcome(CommandStatus.FAILED, str(e))
        with self._under_way(_Waiting(device.device.id, point, mapped.confirm)) as waiting:
            async with self._locks[device.device.id]:
                return await self._do(device, mapped, mapped.write, value, args, deadline_ns, publish, waiting)

    @contextmanager
    def _under_way(self, waiting: _Waiting) -> Iterator[_Waiting]:
        self._waiting.append(waiting)
        try:
            yield waiting
        finally:
            self._waiting.remove(waiting)

    async def _do(
        self, device: ResolvedMqtt, mapped: MqttPoint, write: MqttWrite, value: Any, args: Args, deadline_ns: int,
        publish: Publish, waiting: _Waiting,
    ) -> Outcome:  # fmt: skip
        words = words_of(device, self._client)
        waiting.number = next(self._numbers)
        payload = payload_of(write, value, words, waiting.number)
        now_ns = waiting.since_ns = mono_ns()
        if waiting.stopped:
            return Outcome(CommandStatus.FAILED, waiting.stopped)
        if now_ns > deadline_ns:
            reason = "its time to be done passed before it could be published; nothing was written"
            return Outcome(CommandStatus.REFUSED, reason)
        doubt = ""
        within_s = mapped.confirm.within_s if mapped.confirm else self._timing.timeout_s
        try:
            await publish(fill(write.topic, words), payload, min((deadline_ns - now_ns) / S, within_s))
        except Lost as e:
            if not e.sent:
                return Outcome(CommandStatus.FAILED, str(e))
            doubt = str(e)
        if mapped.confirm is None:
            return await self._without_confirm(write, doubt, within_s, waiting)
        given = args.get(write.argument) if write.argument else None
        state = mapped.confirm.wanted(given)
        states = device.profile.points[mapped.confirm.point].states
        ask = mapped.confirm.ask
        asking = (fill(ask.topic, words), encode(ask, words)) if ask is not None else None
        return await self._confirm(mapped.confirm, state, states, asking, doubt, publish, waiting)

    async def _without_confirm(self, write: MqttWrite, doubt: str, within_s: float, waiting: _Waiting) -> Outcome:
        """What the device answers is all there is to know."""
        if write.answer is not None:
            await _wake(waiting, mono_ns() + round(within_s * S))
        if waiting.refusal:
            return Outcome(CommandStatus.FAILED, f"the device refused it: {waiting.refusal}")
        accepted = "the device accepted it; " if waiting.answered else ""
        why = waiting.stopped or doubt or f"{accepted}the profile names nothing to read back"
        return Outcome(CommandStatus.SENT_NOT_CONFIRMED, why)

    async def _confirm(
        self, confirm: MqttConfirm, state: str, states: Mapping[int | str, str],
        asking: tuple[str, bytes] | None, doubt: str, publish: Publish, waiting: _Waiting,
    ) -> Outcome:  # fmt: skip
        """Waits until the confirm point shows the state, asking the device for it once if it does not by itself."""
        until_ns = waiting.since_ns + round(confirm.within_s * S)
        ask_ns = waiting.since_ns + round(self._timing.ask_after_s * S)
        while True:
            if waiting.refusal:
                return Outcome(CommandStatus.FAILED, f"the device refused it: {waiting.refusal}")
            word = _word(waiting.seen, states)
            if word == state:
                return Outcome(CommandStatus.EXECUTED)
            now_ns = mono_ns()
            if waiting.stopped or now_ns >= until_ns:
                break
            if asking is not None and now_ns >= ask_ns:
                (topic, payload), asking = asking, None
                try:
                    await publish(topic, payload, confirm.within_s)
                except Lost as e:
                    doubt = str(e)
                continue
            await _wake(waiting, until_ns if asking is None else min(ask_ns, until_ns))
        if waiting.stopped:
            return Outcome(CommandStatus.SENT_NOT_CONFIRMED, waiting.stopped)
        missing = f"{confirm.point} did not become {state} within {confirm.within_s:g} s"
        seen = f"it shows {word}" if word else doubt or ("it accepted it" if waiting.answered else "it said nothing")
        return Outcome(CommandStatus.SENT_NOT_CONFIRMED, f"{missing}: {seen}")


def _word(sample: Sample | None, states: Mapping[int | str, str]) -> str | None:
    """The word of a state as it was seen last; its raw value where the profile has no word for it."""
    if sample is None or sample.raw is None:
        return None
    raw = sample.raw
    whole = int(raw) if isinstance(raw, float) and raw.is_integer() else raw
    word = None if isinstance(whole, float) else states.get(whole)
    return word or str(raw)[:_MAX_WORDS]


async def _wake(waiting: _Waiting, until_ns: int) -> None:
    """Returns when something came in for a command, or at a time."""
    try:
        async with asyncio.timeout(max(0.0, (until_ns - mono_ns()) / S)):
            await waiting.woken.wait()
    except TimeoutError:
        return
    waiting.woken.clear()


def payload_of(write: MqttWrite, value: Any, words: Mapping[str, str], number: int) -> bytes:
    """What is published for a command: the value as text, or the profile's object with the value in its place."""
    has_value = write.argument is not None or write.value is not None
    if not write.payload and not write.path:
        if not has_value:
            return b""
        return value.encode() if isinstance(value, str) else msgspec.json.encode(value)
    document = fill_all(write.payload, words)
    if write.path and has_value:
        _put(document, write.path, value, words)
    if write.answer is not None and write.answer.id:
        _put(document, write.answer.id, number, words)
    return msgspec.json.encode(document)


def _put(document: dict[str, Any], path: str, value: Any, words: Mapping[str, str]) -> None:
    """Sets what is at a path of objects; makes those there are not."""
    *steps, last = [fill(str(step), words) for step in parse_path(path)]
    node = document
    for step in steps:
        child = node.get(step)
        node[step] = node = dict(child) if isinstance(child, dict) else {}
    node[last] = value


def encode(message: MqttPublish, words: Mapping[str, str]) -> bytes:
    """The payload of a message that a profile wants to be published."""
    if isinstance(message.payload, str):
        return fill(message.payload, words).encode()
    return msgspec.json.encode(fill_all(message.payload, words))
