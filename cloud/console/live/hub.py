"""Hands wake-ups to the streams that asked for their topic, joined where a stream is slower than the changes."""

import asyncio
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager


class ClosedError(Exception):
    """The hub is shutting down; streams end so that the server can."""


class Subscription:
    """One stream's pending names: a set, so that it never grows beyond what was asked for."""

    def __init__(self) -> None:
        self._pending: set[str] = set()
        self._woken = asyncio.Event()
        self.closed = False

    def wake(self, name: str) -> None:
        """Note that something changed in what the stream calls by this name."""
        self._pending.add(name)
        self._woken.set()

    def close(self) -> None:
        """End the wait, now and in future."""
        self.closed = True
        self._woken.set()

    async def wait(self, timeout_s: float) -> frozenset[str]:
        """The names of what changed, as soon as there is one; empty after `timeout_s`. Raises ClosedError."""
        try:
            async with asyncio.timeout(timeout_s):
                await self._woken.wait()
        except TimeoutError:
            return frozenset()
        if self.closed:
            raise ClosedError
        changed = frozenset(self._pending)
        self._pending.clear()
        self._woken.clear()
        return changed


class Hub:
    """All streams of this process. Used from one event loop.

    `alive` says whether this process hears the database's wake-ups. While it does not, streams are silent, so that
    pages say that they are not live.
    """

    def __init__(self) -> None:
        self.alive = True
        self._by_topic: defaultdict[str, dict[Subscription, str]] = defaultdict(dict)
        self._all: set[Subscription] = set()
        self._closed = False

    def publish(self, topics: Iterable[str]) -> None:
        """Wake every stream that asked for one of the topics. Call it after the commit that changed them."""
        for topic in topics:
            for subscription, name in self._by_topic.get(topic, {}).items():
                subscription.wake(name)

    def publish_all(self) -> None:
        """Wake everything: the database's wake-ups were cut for a while, and nobody knows what changed."""
        for topic in list(self._by_topic):
            self.publish((topic,))

    @contextmanager
    def subscribe(self, topics: Mapping[str, str]) -> Iterator[Subscription]:
        """A stream's place in the hub, for as long as the block lasts: topics, each with the stream's name for it."""
        subscription = Subscription()
        wanted = dict(topics)
        self._all.add(subscription)
        for topic, name in wanted.items():
            self._by_topic[topic][subscription] = name
        if self._closed:
            subscription.close()
        try:
            yield subscription
        finally:
            self._all.discard(subscription)
            for topic in wanted:
                del self._by_topic[topic][subscription]
                if not self._by_topic[topic]:
                    del self._by_topic[topic]

    def close(self) -> None:
        """End all streams. Call it before the server waits for its connections to finish."""
        self._closed = True
        for subscription in list(self._all):
            subscription.close()

    def __len__(self) -> int:
        return len(self._all)
