"""What every stand-in shares: what it was told and took, how fast it may be told, and what can be wrong with it."""

import time
from collections import deque
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Literal

import msgspec

Clock = Callable[[], float]
"""Seconds; a test's may run faster."""


class Delivery(msgspec.Struct, frozen=True, kw_only=True):
    """A message that was accepted."""

    at: float
    """By the stand-in's clock."""
    service: str
    text: str
    """All that a person would read of it, title first."""
    mentioned: tuple[str, ...] = ()
    key: str = ""
    """What marks a repeat: an idempotency key, a Message-ID."""
    said: dict[str, Any] = {}
    """The body as it came, where it was JSON."""


class Refused(msgspec.Struct, frozen=True, kw_only=True):
    """A request that was refused, and why, as it was answered."""

    at: float
    service: str
    answer: str


class Trouble(msgspec.Struct, frozen=True, kw_only=True):
    """What is wrong with a service, for so many requests (None: until it is taken away)."""

    kind: Literal["slow", "garbage", "status", "code", "cut", "huge", "echo", "drip"]
    """Of mail servers, code is a reply to RCPT and status one to the mail; drip: an answer that never ends."""
    delay_s: float = 0.0
    code: int = 0
    headers: Mapping[str, str] = {}
    times: int | None = None


class Window:
    """At most `limit` in `per_s`; who exceeds it is blocked for `blocked_s`."""

    def __init__(self, limit: int, per_s: float, blocked_s: float = 0.0) -> None:
        self._limit = limit
        self._per_s = per_s
        self._blocked_s = blocked_s
        self._blocked_until = float("-inf")
        self._times: deque[float] = deque()

    def take(self, now: float) -> bool:
        """Whether one more may come now."""
        if now < self._blocked_until:
            return False
        while self._times and self._times[0] <= now - self._per_s:
            self._times.popleft()
        if len(self._times) >= self._limit:
            self._blocked_until = now + self._blocked_s
            return False
        self._times.append(now)
        return True


class Desk:
    """Where stand-ins put what came; `also` hears of each delivery."""

    def __init__(
        self, *, clock: Clock = time.time, log: Path | None = None, also: Callable[[Delivery], None] | None = None
    ) -> None:
        self.clock = clock
        self.accepted: list[Delivery] = []
        self.refused: list[Refused] = []
        self.troubles: dict[str, Trouble] = {}
        """By service: dingtalk, wecom, feishu, webhook, email."""
        self.connections = 0
        """That were opened, whatever came of them."""
        self._log = log
        self._also = also

    def accept(self, delivery: Delivery) -> None:
        """Keeps a message, and writes it to the log as a JSON line."""
        self.accepted.append(delivery)
        if self._log is not None:
            with self._log.open("ab") as file:
                file.write(msgspec.json.encode(delivery) + b"\n")
        if self._also is not None:
            self._also(delivery)

    def refuse(self, service: str, answer: str) -> None:
        """Keeps that a request was refused."""
        self.refused.append(Refused(at=self.clock(), service=service, answer=answer))

    def trouble(self, service: str) -> Trouble | None:
        """What is wrong with a service now; one of its times is over then."""
        trouble = self.troubles.get(service)
        if trouble is not None and trouble.times is not None:
            if trouble.times <= 1:
                del self.troubles[service]
            else:
                self.troubles[service] = msgspec.structs.replace(trouble, times=trouble.times - 1)
        return trouble

    def of(self, service: str) -> list[Delivery]:
        """What a service accepted."""
        return [delivery for delivery in self.accepted if delivery.service == service]

    def most_within(self, service: str, per_s: float) -> int:
        """The most requests, accepted or not, that a service had in any such time."""
        times = sorted(
            [one.at for one in self.accepted if one.service == service]
            + [one.at for one in self.refused if one.service == service]
        )
        most, first = 0, 0
        for last, at in enumerate(times):
            while times[first] <= at - per_s:
                first += 1
            most = max(most, last - first + 1)
        return most
