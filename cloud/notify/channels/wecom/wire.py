"""What a WeCom robot is sent and answers; without I/O. Sources: README.md beside this file."""

from collections.abc import Mapping, Sequence
from typing import Any, Final
from urllib.parse import parse_qs, urlencode, urlsplit

import msgspec

from cloud.notify.channel import Message, Result
from cloud.notify.http import Answer
from cloud.notify.posted import Refusal, by_code
from cloud.notify.text import MARKS, WORDS, heading, left_out_words, link, plain, unmarked

MOST_MARKDOWN_BYTES: Final = 4096
MOST_TEXT_BYTES: Final = 2048
"""Of a message's content as UTF-8."""
_TOO_LONG: Final = Refusal("the message is too long for WeCom")
_GONE: Final = Refusal("WeCom does not know the robot: see whether it is still in its group, and the key its own")
_REFUSALS: Final[Mapping[int, Refusal]] = {
    -1: Refusal("WeCom is busy", again=True, after_s=10.0),
    45009: Refusal("sent too fast: WeCom takes 20 messages a minute", again=True, after_s=60.0),
    45033: Refusal("too many requests at once for WeCom", again=True, after_s=5.0),
    93000: _GONE,
    93004: Refusal("the robot was switched off: switch it on in the group's settings"),
    93008: _GONE,
    40058: _TOO_LONG,
    45002: _TOO_LONG,
}


def address(base: str, key: str) -> str:
    """Where to post."""
    return f"{base}?{urlencode({'key': key})}"


def key_of(text: str) -> str:
    """The key, also of who copied the robot's whole address."""
    return parse_qs(urlsplit(text).query).get("key", [text])[0] if "://" in text else text


def markdown(message: Message, left_out: int) -> str:
    """The content of a message of type markdown: who reads it is mentioned by nobody."""
    words = WORDS[message.language]
    parts = [f"**{unmarked(heading(message))}**"]
    for line in message.lines:
        text = unmarked(MARKS.get(line.priority, "") + line.text)
        parts.append(text + (f"\n{link(words.answer, line.url)}" if line.url else ""))
    parts += [more] if (more := left_out_words(message, left_out)) else []
    parts += [link(words.see, message.url)] if message.url else []
    return "\n\n".join(parts)


def text(message: Message, left_out: int) -> str:
    """The content of a message of type text, which alone can mention people by their mobile number."""
    return plain(message, left_out).replace("<@", "＜@")


def markdown_body(content: str) -> bytes:
    """The request's body."""
    return msgspec.json.encode({"msgtype": "markdown", "markdown": {"content": content}})


def text_body(content: str, mobiles: Sequence[str]) -> bytes:
    """The request's body; `@all` among the numbers is everybody."""
    said: dict[str, Any] = {"msgtype": "text", "text": {"content": content, "mentioned_mobile_list": list(mobiles)}}
    return msgspec.json.encode(said)


def judge(answer: Answer) -> Result:
    """Accepted is errcode 0 alone; WeCom refuses with HTTP 200 too."""
    return by_code(answer, "errcode", "errmsg", lambda code, _: _REFUSALS.get(code))
