"""What a DingTalk robot is sent and answers; without I/O. Sources: README.md beside this file."""

import base64
import hashlib
import hmac
from collections.abc import Mapping, Sequence
from typing import Any, Final
from urllib.parse import parse_qs, urlencode, urlsplit

import msgspec

from cloud.notify.channel import Message, Result
from cloud.notify.http import Answer
from cloud.notify.posted import Refusal, by_code
from cloud.notify.text import MARKS, WORDS, heading, left_out_words, link, unmarked

MOST_BYTES: Final = 20_000
"""Of a request's body."""
BLOCKED_S: Final = 600.0
"""For so long a robot is blocked that sent too fast."""
_FAST: Final = Refusal("sent too fast: DingTalk blocks the robot for ten minutes", again=True, after_s=BLOCKED_S)
_UNKNOWN: Final = Refusal(
    "DingTalk does not know the robot: see whether it is still in its group, and the token its own"
)
_TOO_LONG: Final = Refusal("the message is too long for DingTalk")
_CONTENT: Final = Refusal("DingTalk takes offence at the text or a link of it")
_REFUSALS: Final[Mapping[int, Refusal]] = {
    -1: Refusal("DingTalk is busy", again=True, after_s=10.0),
    410100: _FAST,
    130101: _FAST,
    660026: _FAST,
    310000: Refusal(
        "the robot's security settings refuse the message: compare secret, keyword and IP addresses with them"
    ),
    300001: _UNKNOWN,
    300005: _UNKNOWN,
    400013: Refusal("the group was dissolved: configure a robot of another"),
    400101: _UNKNOWN,
    400102: Refusal("the robot was switched off: switch it on in the group's settings"),
    400106: _UNKNOWN,
    430101: _CONTENT,
    430102: _CONTENT,
    430104: _CONTENT,
    460101: _TOO_LONG,
    101002: _TOO_LONG,
}


def signature(secret: str, at_ms: int) -> str:
    """The signature of a time in milliseconds: Base64 of HMAC-SHA256 of "time LF secret" by the secret."""
    digest = hmac.new(secret.encode(), f"{at_ms}\n{secret}".encode(), hashlib.sha256).digest()
    return base64.b64encode(digest).decode()


def address(base: str, token: str, secret: str, at: float) -> str:
    """Where to post at a Unix time; without a secret there is no signature."""
    query = {"access_token": token}
    if secret:
        at_ms = round(at * 1000)
        query |= {"timestamp": str(at_ms), "sign": signature(secret, at_ms)}
    return f"{base}?{urlencode(query)}"


def token_of(text: str) -> str:
    """The token, also of who copied the robot's whole address."""
    return parse_qs(urlsplit(text).query).get("access_token", [text])[0] if "://" in text else text


def body(message: Message, left_out: int, keyword: str, mobiles: Sequence[str], *, is_at_all: bool) -> bytes:
    """A message of type markdown: a paragraph for each line, links as links, who is mentioned at its end."""
    words = WORDS[message.language]
    title = heading(message)
    if keyword and keyword not in title:
        title = f"{title} {keyword}"
    parts = [f"### {unmarked(title)}"]
    for line in message.lines:
        text = "  \n".join(unmarked(MARKS.get(line.priority, "") + line.text).split("\n"))
        parts.append(text + (f"  \n{link(words.answer, line.url)}" if line.url else ""))
    parts += [more] if (more := left_out_words(message, left_out)) else []
    parts += [link(words.see, message.url)] if message.url else []
    parts += [" ".join(f"@{mobile}" for mobile in mobiles)] if mobiles else []
    said: dict[str, Any] = {
        "msgtype": "markdown",
        "markdown": {"title": title, "text": "\n\n".join(parts)},
        "at": {"atMobiles": list(mobiles), "isAtAll": is_at_all},
    }
    return msgspec.json.encode(said)


def judge(answer: Answer) -> Result:
    """Accepted is errcode 0 alone; DingTalk refuses with HTTP 200 too."""
    return by_code(answer, "errcode", "errmsg", lambda code, _: _REFUSALS.get(code))
