"""Messages that wait to be taken: bounded, and fair, so that one device's flood costs no other's alarm."""

import asyncio
from collections import OrderedDict, deque
from collections.abc import Callable, Sequence

import msgspec

from contract.clock import mono_ns
from edge.drivers.mqtt.config import Limits
from edge.drivers.mqtt.decode import MAX_PAYLOAD
from edge.drivers.mqtt.library import Message


class Arrived(msgspec.Struct, frozen=True):
    """A message with the time of its arrival and the filters that it belongs to.

    `mid` is its number on this connection where the broker repeats it until it is acknowledged, else 0.
    """

    topic: str
    payload: bytes
    is_kept: bool
    mid: int
    mono_ns: int
    filters: Sequence[str]

    @property
    def size(self) -> int:
        """About how many bytes it takes while it waits."""
        return len(self.payload) + len(self.topic)


class Inbox:
    """The queue that aiomqtt fills and the driver empties, oldest first; one for all connections.

    Counts what it lets go: `dropped` were too many, `foreign` belong to no device. What is larger than a payload may
    be is cut just above that, so that it can be told of. `wake` is set whenever there is something to look at.
    """

    def __init__(self, find: Callable[[str], Sequence[str]], limits: Limits) -> None:
        """`find` gives the filters of a topic."""
        self._find, self._limits = find, limits
        self.dropped = self.foreign = self.bytes = 0
        self.wake = asyncio.Event()
        self._queue: OrderedDict[int, Arrived] = OrderedDict()
        self._of_filter: dict[str, deque[int]] = {}
        self._bytes_of: dict[str, int] = {}
        self._next = 0

    def __len__(self) -> int:
        return len(self._queue)

    def qsize(self) -> int:
        """How many wait, as aiomqtt asks."""
        return len(self._queue)

    def put_nowait(self, message: Message) -> None:
        """Takes a message as aiomqtt gives it."""
        topic = message.topic.value
        filters = self._find(topic)
        if not filters:
            self.foreign += 1
            return
        payload = bytes(message.payload[: MAX_PAYLOAD + 1])
        mid = message.mid if message.qos else 0
        self.put(Arrived(topic, payload, bool(message.retain), mid, mono_ns(), filters))

    def put(self, message: Arrived) -> None:
        """Adds a message; where there are too many of its filter, or bytes, the oldest of whoever has most go."""
        key = message.filters[0]
        if len(self._of_filter.get(key, ())) >= self._limits.messages:
            self._drop_oldest(key)
        while self._queue and self.bytes + message.size > self._limits.total_bytes:
            self._drop_oldest(max(self._bytes_of, key=self._bytes_of.__getitem__))
        self._queue[self._next] = message
        self._of_filter.setdefault(key, deque()).append(self._next)
        self._bytes_of[key] = self._bytes_of.get(key, 0) + message.size
        self._next += 1
        self.bytes += message.size
        self.wake.set()

    def take(self, most: int) -> list[Arrived]:
        """The oldest messages, at most so many."""
        taken: list[Arrived] = []
        while self._queue and len(taken) < most:
            taken.append(self._remove(next(iter(self._queue))))
        return taken

    def oldest_ns(self) -> int | None:
        """When the oldest message that waits arrived; None where none does."""
        return next(iter(self._queue.values())).mono_ns if self._queue else None

    def _drop_oldest(self, key: str) -> None:
        self._remove(self._of_filter[key][0])
        self.dropped += 1

    def _remove(self, number: int) -> Arrived:
        """Takes the message of this number, the oldest of its filter, off the books."""
        message = self._queue.pop(number)
        key = message.filters[0]
        self._of_filter[key].popleft()
        self._bytes_of[key] -= message.size
        self.bytes -= message.size
        if not self._of_filter[key]:
            del self._of_filter[key], self._bytes_of[key]
        return message
