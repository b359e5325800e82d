"""Messages that wait to be taken: bounded, and fair, so that one device's flood costs no other's alarm."""

import asyncio
from collections import OrderedDict, deque
from collections.abc import Callable, Sequence

import msgspec
from aiomqtt import Message

from contract.clock import mono_ns
from edge.drivers.mqtt.config import Limits
from edge.drivers.mqtt.decode import MAX_PAYLOAD


class Arrived(msgspec.Struct, frozen=True):
    """A message with the time of its arrival and the filters that it belongs to."""

    topic: str
    payload: bytes
    is_kept: bool
    mid: int
    """Names it on this connection, where it is sent until it is acknowledged; else 0."""
    mono_ns: int
    filters: Sequence[str]


class Inbox(asyncio.Queue[Arrived]):
    """The queue that aiomqtt fills and the driver empties, oldest first.

    Counts what it lets go: `dropped` were too many, `foreign` belong to no device. A message that is larger than a
    payload may be is cut just above that, so that it can be told of.
    """

    def __init__(self, find: Callable[[str], Sequence[str]], limits: Limits) -> None:
        """`find` gives the filters of a topic."""
        self._find, self._limits = find, limits
        self.dropped = self.foreign = 0
        super().__init__()

    def _init(self, maxsize: int) -> None:  # noqa: ARG002  # asyncio.Queue's own hook
        self._queue: OrderedDict[int, Arrived] = OrderedDict()
        self._by_key: dict[str, deque[int]] = {}
        self._bytes_of: dict[str, int] = {}
        self._bytes = 0
        self._next = 0

    def _put(self, item: Message | Arrived) -> None:
        message = item if isinstance(item, Arrived) else self._arrived(item)
        if message is None:
            self.foreign += 1
            return
        key, size = message.filters[0], len(message.payload) + len(message.topic)
        waiting = self._by_key.setdefault(key, deque())
        if len(waiting) >= self._limits.messages:
            self._drop_oldest(key)
        while self._queue and self._bytes + size > self._limits.total_bytes:
            self._drop_oldest(max(self._bytes_of, key=self._bytes_of.__getitem__))
        self._queue[self._next] = message
        self._by_key.setdefault(key, waiting).append(self._next)
        self._next += 1
        self._bytes += size
        self._bytes_of[key] = self._bytes_of.get(key, 0) + size

    def _arrived(self, message: Message) -> Arrived | None:
        topic = message.topic.value
        filters = self._find(topic)
        if not filters:
            return None
        payload = message.payload if isinstance(message.payload, bytes) else b""
        if len(payload) > MAX_PAYLOAD:
            payload = payload[: MAX_PAYLOAD + 1]
        mid = message.mid if message.qos else 0
        return Arrived(topic, payload, bool(message.retain), mid, mono_ns(), filters)

    def _get(self) -> Arrived:
        number = next(iter(self._queue))
        message = self._queue[number]
        self._forget(message.filters[0], number)
        return message

    def _drop_oldest(self, key: str) -> None:
        self._forget(key, self._by_key[key][0])
        self.dropped += 1

    def _forget(self, key: str, number: int) -> None:
        """Takes the oldest message of a key, which has this number, off the books."""
        message = self._queue.pop(number)
        waiting = self._by_key[key]
        waiting.popleft()
        size = len(message.payload) + len(message.topic)
        self._bytes -= size
        self._bytes_of[key] -= size
        if not waiting:
            del self._by_key[key], self._bytes_of[key]
