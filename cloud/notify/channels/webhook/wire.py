"""What a webhook is sent and answers; without I/O. README.md beside this file describes it for who receives it."""

import hashlib
import hmac
from typing import Any, Final

import msgspec

from cloud.notify.channel import Message, Result
from cloud.notify.http import Answer
from cloud.notify.posted import by_status
from cloud.notify.text import heading, left_out_words

MOST_BYTES: Final = 256 << 10
"""Of a body, where the configuration names no less."""


def signature(secret: str, at_s: int, body: bytes) -> str:
    """`v1=` and HMAC-SHA256 in hex, by the secret, of the time in seconds, a full stop, and the body."""
    return "v1=" + hmac.new(secret.encode(), f"{at_s}.".encode() + body, hashlib.sha256).hexdigest()


def body(message: Message, left_out: int, *, has_recipients: bool) -> bytes:
    """A message as JSON."""
    said: dict[str, Any] = {
        "id": message.id,
        "repeat": message.repeat,
        "language": message.language,
        "title": heading(message),
        "url": message.url,
        "lines": message.lines,
        "left_out": left_out,
        "left_out_text": left_out_words(message, left_out),
    }
    return msgspec.json.encode(said | ({"to": message.to} if has_recipients else {}))


def headers(message: Message, body: bytes, secret: str, at: float) -> dict[str, str]:
    """The headers of a request at a Unix time; without a secret there is no signature."""
    at_s = int(at)
    said = {
        "Content-Type": "application/json; charset=utf-8",
        "Idempotency-Key": "".join(c for c in message.id if c.isascii() and (c.isalnum() or c in "-_./:")),
        "Anju-Timestamp": str(at_s),
    }
    return said | ({"Anju-Signature": signature(secret, at_s, body)} if secret else {})


def judge(answer: Answer) -> Result:
    """Accepted is any 2xx."""
    return by_status(answer) or Result(accepted=True)
