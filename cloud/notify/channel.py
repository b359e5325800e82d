"""What a channel is to the sender: something that says how much fits into a message, and sends one.

The sender (cloud/notify) decides who is told of what and when; a channel knows how its service is spoken to. One folder
a channel under `channels/`; cloud/notify/channels/__init__.py makes one of its configuration.
"""

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from typing import Literal, Protocol

import msgspec

Language = Literal["zh", "en"]

Start = Callable[[], AbstractAsyncContextManager[None]]
"""The gate before a request: who enters it may begin to send, once; see `Channel.send`."""


class NotWantedError(Exception):
    """Raised on entering the gate: nobody needs the message any more. A channel lets it pass, having sent nothing."""


class Line(msgspec.Struct, frozen=True, kw_only=True):
    """One alarm or incident of a message, in one language. Its text may be of several lines."""

    text: str
    priority: str = ""
    """critical, high, medium, low; empty where it has none."""
    subject: str = ""
    """For machines: alarm, incident, mobilisation."""
    id: str = ""
    """For machines: the subject's UUID."""
    url: str = ""
    """A one-time link for it alone, to acknowledge or answer; empty: there is none."""


class Recipient(msgspec.Struct, frozen=True, kw_only=True):
    """A person to whom a message is meant; a channel takes what it has use for, and may be to a whole group anyway."""

    name: str = ""
    email: str = ""
    mobile: str = ""


class Message(msgspec.Struct, frozen=True, kw_only=True):
    """What is to be said: a title, and a line for each thing it is about."""

    id: str
    """The same for each try of the same message, so that a receiver can know a repeat."""
    title: str
    lines: tuple[Line, ...]
    url: str = ""
    """Where all of it can be seen and answered."""
    repeat: bool = False
    """It may have arrived before: the words say so."""
    language: Language = "zh"
    to: tuple[Recipient, ...] = ()
    """Whom the channel should mention, or write to; empty: whoever its configuration names."""


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """What a service takes by its documents, or less where the configuration says less."""

    rate_per_min: int
    """Messages in any 60 s."""
    rate_per_s: int = 0
    """Messages in any second; 0: as many as a minute has."""
    blocked_s: float = 0.0
    """For so long a service blocks who exceeded its rate, where it does not say how long."""
    limit_bytes: int = 0
    """Of a message's text as UTF-8, or of the whole request, as the service counts; 0: no such limit."""
    limit_chars: int = 0
    """Of a message's text; 0: no such limit."""


class Result(msgspec.Struct, frozen=True, kw_only=True):
    """What became of one send. No secret is in it, nor an address with one."""

    accepted: bool
    """The service said that it took the message."""
    reason: str = ""
    """Why not, as a sentence that says what to do; empty where it was accepted."""
    code: str = ""
    """For machines and statistics: `HTTP 503`, `errcode 310000`, `connect`, `tls`, `time-out`, `garbage`, …"""
    again: bool = False
    """The same message may be accepted by the same channel later; otherwise a person must change something first."""
    retry_after_s: float | None = None
    """Not before so long, where the service said so or is known for it; nothing else either through this channel."""
    uncertain: bool = False
    """It was sent and not answered: it may have arrived, so whoever sends it again marks it as a repeat."""


class Channel(Protocol):
    """One way to people. Made once, used for many messages, by one task or several."""

    @property
    def kind(self) -> str:
        """webhook, email, dingtalk, wecom, feishu or apprise."""

    @property
    def limits(self) -> Limits:
        """How often and how much."""

    def room(self, message: Message) -> int:
        """How many of the message's first lines fit whole into one; 1 at least, though that one may be cut then."""

    async def send(self, message: Message, start: Start) -> Result:
        """Sends one message and waits for the service's answer.

        It connects (and shakes hands, logs in) first, then enters `async with start():`, where it hands the request to
        the kernel and does nothing else, and waits for the answer outside. So no request begins once the gate has said
        no, and the locks behind the gate are held for no network's time. The gate is entered once at most. Whatever the
        service or the network does is a Result too; it comes within the channel's time-outs (connecting, answering:
        10 s each where not configured).

        Raises what `start` raises on entering, with nothing sent; and CancelledError.
        """


def split(channel: Channel, message: Message) -> list[Message]:
    """The message in as many as it takes for each to fit the channel, lines in their order.

    Their ids are the message's own with `/1`, `/2`, … behind it where there is more than one.
    """
    parts: list[tuple[Line, ...]] = []
    rest = message.lines
    while rest:
        room = max(1, channel.room(msgspec.structs.replace(message, lines=rest)))
        parts.append(rest[:room])
        rest = rest[room:]
    if len(parts) < 2:
        return [message]
    return [
        msgspec.structs.replace(message, id=f"{message.id}/{number}", lines=lines)
        for number, lines in enumerate(parts, 1)
    ]
