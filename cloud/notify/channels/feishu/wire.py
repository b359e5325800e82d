"""What a Feishu bot is sent and answers; without I/O. Sources: README.md beside this file."""

import base64
import hashlib
import hmac
from collections.abc import Mapping, Sequence
from typing import Any, Final
from urllib.parse import quote

import msgspec

from cloud.notify.channel import Message, Result
from cloud.notify.http import Answer
from cloud.notify.posted import Refusal, by_code
from cloud.notify.text import MARKS, WORDS, heading, left_out_words

MOST_BYTES: Final = 20_000
"""Of a request's body, of 20 KB."""
_FAST: Final = Refusal("sent too fast, or Feishu is busy", again=True, after_s=60.0)
_REFUSALS: Final[Mapping[int, Refusal]] = {
    11232: _FAST,
    19001: Refusal(
        "Feishu does not know the bot: see whether it is still in its group, and whether the token is its own"
    ),
    19021: Refusal(
        "the signature does not fit: see whether the secret is the bot's own and the cloud's clock is right"
    ),
    19022: Refusal("the bot does not take requests from the cloud's IP address: add it to the bot's settings"),
    19024: Refusal("the bot wants a keyword: configure the one of its settings"),
}
_BAD_REQUEST: Final = 9499


def signature(secret: str, at_s: int) -> str:
    """The signature of a time in seconds: Base64 of HMAC-SHA256 of nothing by "time LF secret"."""
    digest = hmac.new(f"{at_s}\n{secret}".encode(), b"", hashlib.sha256).digest()
    return base64.b64encode(digest).decode()


def address(base: str, token: str) -> str:
    """Where to post."""
    return f"{base.rstrip('/')}/{quote(token, safe='')}"


def token_of(text: str) -> str:
    """The token, also of who copied the bot's whole address."""
    return text.rstrip("/").rpartition("/")[2] if "://" in text else text


def body(message: Message, left_out: int, keyword: str, mentioned: Sequence[str], secret: str, at: float) -> bytes:
    """A message of type post: rich text, so that there is no markup to escape but `<at …>`."""
    words = WORDS[message.language]
    title = heading(message)
    if keyword and keyword not in title:
        title = f"{title} {keyword}"
    paragraphs: list[list[dict[str, str]]] = []
    for line in message.lines:
        paragraphs.append([_text(MARKS.get(line.priority, "") + line.text)])
        paragraphs += [[_link(words.answer, line.url)]] if line.url else []
    paragraphs += [[_text(more)]] if (more := left_out_words(message, left_out)) else []
    paragraphs += [[_link(words.see, message.url)]] if message.url else []
    paragraphs += [[{"tag": "at", "user_id": who} for who in mentioned]] if mentioned else []
    said: dict[str, Any] = {
        "msg_type": "post",
        "content": {
            "post": {"zh_cn" if message.language == "zh" else "en_us": {"title": title, "content": paragraphs}}
        },
    }
    if secret:
        said = {"timestamp": str(int(at)), "sign": signature(secret, int(at))} | said
    return msgspec.json.encode(said)


def judge(answer: Answer) -> Result:
    """Accepted is code 0 alone."""
    return by_code(answer, "code", "msg", _refusal)


def _refusal(code: int, words: str) -> Refusal | None:
    if code == _BAD_REQUEST:  # said of what is too fast, too, with HTTP 400
        return (
            _FAST if "many" in words.lower() else Refusal("Feishu does not understand the request, or it is too long")
        )
    return _REFUSALS.get(code)


def _text(text: str) -> dict[str, str]:
    return {"tag": "text", "text": text.replace("<", "＜")}


def _link(text: str, url: str) -> dict[str, str]:
    return {"tag": "a", "text": text, "href": url}
