"""The channel: configuration and sending."""

import re
from collections.abc import Mapping
from typing import Final

from cloud.notify.channel import Limits, Message, Result
from cloud.notify.channels.config import Common, Problem, address_problems, reference_problems
from cloud.notify.channels.webhook import wire
from cloud.notify.http import Answer, Request
from cloud.notify.posted import Posted
from cloud.notify.secrets import is_reference
from cloud.notify.text import fitted, room
from cloud.notify.tools import Tools

MOST_PER_MIN: Final = 600
_LEAST_BYTES: Final = 4 << 10
_OURS: Final = frozenset(
    {"host", "content-length", "transfer-encoding", "connection", "content-type", "idempotency-key", "expect"}
)
_TOKEN: Final = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,64}")


class WebhookConfig(Common, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An address that takes messages as JSON."""

    url: str
    """The address, or the name of a secret that is one."""
    secret: str = ""
    """Names the secret for signatures; empty: there are none."""
    headers: Mapping[str, str] = {}
    """More headers; each value is one, or the name of a secret that is one."""
    recipients: bool = False
    """Whether the message says to whom it is meant, with their address and number."""
    limit_bytes: int = wire.MOST_BYTES

    def problems(self) -> list[Problem]:
        """What is wrong with it beyond its types."""
        problems = super().problems()
        problems += [] if is_reference(self.url) else address_problems(url=self.url)
        problems += reference_problems(secret=self.secret) if self.secret else []
        if not _LEAST_BYTES <= self.limit_bytes <= wire.MOST_BYTES:
            problems.append((f"limit_bytes is not from {_LEAST_BYTES} to {wire.MOST_BYTES}", ""))
        for name, value in self.headers.items():
            if not _TOKEN.fullmatch(name) or name.lower() in _OURS or name.lower().startswith("anju-"):
                problems.append((f"{name!r} cannot be set as a header", "leave it out"))
            elif not (value.isascii() and value.isprintable() and len(value) <= 1024):
                problems.append((f"the header {name} is not printable ASCII", ""))
        if len(self.headers) > 20:
            problems.append(("there are more than 20 headers", ""))
        return problems

    @property
    def references(self) -> tuple[str, ...]:
        """The secrets that it names."""
        return tuple(text for text in (self.url, self.secret, *self.headers.values()) if is_reference(text))


class Webhook(Posted):
    """A channel, see cloud/notify/channel.py."""

    kind = "webhook"

    def __init__(self, config: WebhookConfig, tools: Tools) -> None:
        super().__init__(Limits(rate_per_min=config.rate(MOST_PER_MIN), limit_bytes=config.limit_bytes), tools)
        self._config = config

    def room(self, message: Message) -> int:
        """See Channel."""
        return room(message, self._fits)

    def request(self, message: Message, at: float) -> Request:
        """The request for a message, signed at a Unix time."""
        config = self._config
        values = {text: self._tools.secrets.read(text) for text in config.references}
        shown, left_out = fitted(message, self._fits)
        body = wire.body(shown, left_out, has_recipients=config.recipients)
        more = {name: values.get(value, value) for name, value in config.headers.items()}
        url = values.get(config.url, config.url)
        return Request(
            url=url,
            body=body,
            headers=more | wire.headers(message, body, values.get(config.secret, ""), at),
            secrets=(*values.values(), *config.headers.values(), url),
        )

    def judge(self, answer: Answer) -> Result:
        """What an answer means."""
        return wire.judge(answer)

    def _fits(self, message: Message, left_out: int) -> bool:
        body = wire.body(message, left_out, has_recipients=self._config.recipients)
        return len(body) <= self._config.limit_bytes
