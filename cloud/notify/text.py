"""How a message becomes a text that fits: what is left out goes by whole lines, and the text says how many."""

import re
import unicodedata
from collections.abc import Callable
from typing import Final
from urllib.parse import quote

import msgspec

from cloud.notify.channel import Language, Message

MOST_TITLE: Final = 100
"""Characters."""

_WORDS_ARE: Final = 50
"""The words of what is left out take less room than so many lines."""

Fits = Callable[[Message, int], bool]
"""Whether a message fits the service, with words that so many more lines were left out (0: none)."""


class Words(msgspec.Struct, frozen=True):
    """What messages say in one language."""

    repeat: str
    more: str
    answer: str
    see: str


WORDS: Final[dict[Language, Words]] = {
    "zh": Words("【重复】", "另有 {} 条未列出，请打开下面的链接查看", "处理此条", "查看全部并处理"),
    "en": Words("[repeat] ", "{} more are not listed: open the link below", "Answer this", "See and answer all"),
}
MARKS: Final = {"critical": "🔴 ", "high": "🟠 ", "medium": "🟡 ", "low": "⚪ "}
"""Stands before a line, so that what matters is found among many."""


def fitted(message: Message, fits: Fits) -> tuple[Message, int]:
    """The message with as many of its lines as fit, cleaned, and how many were left out."""
    shown = most(message, fits, told=True)
    if shown == 0:
        message, shown = _cut(cleaned(message), fits), 1
    lines = message.lines[:shown]
    return cleaned(msgspec.structs.replace(message, lines=lines)), len(message.lines) - len(lines)


def room(message: Message, fits: Fits) -> int:
    """How many of the first lines fit whole into a message of their own; 1 at least."""
    return max(1, most(message, fits, told=False))


def most(message: Message, fits: Fits, *, told: bool) -> int:
    """How many of the first lines fit; `told`: with the words that say how many do not."""

    def fit(count: int) -> bool:
        left_out = len(message.lines) - count if told else 0
        return fits(cleaned(msgspec.structs.replace(message, lines=message.lines[:count])), left_out)

    high, low = 1, 0
    while high <= len(message.lines) and fit(high):
        low, high = high, high * 2
    high = min(high, len(message.lines) + 1)
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if fit(middle) else (low, middle)
    if told and 0 < len(message.lines) - low <= _WORDS_ARE and fit(len(message.lines)):
        return len(message.lines)  # without the words of what is left out, for nothing is
    return low


def _cut(message: Message, fits: Fits) -> Message:
    """The message with its first line cut short, at a whole line of it where that keeps half."""
    if not message.lines:
        return message
    first, rest = message.lines[0], message.lines[1:]

    def with_text(length: int) -> Message:
        text = first.text[:length]
        newline = text.rfind("\n")
        kept = text[:newline] if newline * 2 > length else text
        return msgspec.structs.replace(message, lines=(msgspec.structs.replace(first, text=kept.rstrip() + "…"), *rest))

    low, high = 0, len(first.text)
    while high - low > 1:
        middle = (low + high) // 2
        one = with_text(middle)
        fit = fits(msgspec.structs.replace(one, lines=one.lines[:1]), len(rest))
        low, high = (middle, high) if fit else (low, middle)
    return with_text(low)


def cleaned(message: Message) -> Message:
    """The message without characters that are none for a reader, and with a title of one short line."""
    title = " ".join(clean(message.title).split())
    if len(title) > MOST_TITLE:
        title = title[: MOST_TITLE - 1] + "…"
    lines = tuple(msgspec.structs.replace(line, text=clean(line.text)) for line in message.lines)
    return msgspec.structs.replace(message, title=title, lines=lines)


def clean(text: str) -> str:
    """The text without control characters (but line feeds) and what turns the direction of writing around."""
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    return text if text.isprintable() else "".join(c for c in text if c in "\n\t" or _is_readable(c))


def _is_readable(c: str) -> bool:
    return c not in _TURNS and unicodedata.category(c) not in {"Cc", "Cs"}


_TURNS: Final = frozenset("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")


def heading(message: Message) -> str:
    """The title, and that it is a repeat where it is one."""
    return (WORDS[message.language].repeat if message.repeat else "") + message.title


def left_out_words(message: Message, left_out: int) -> str:
    """The words for what was left out; empty where nothing was."""
    return WORDS[message.language].more.format(left_out) if left_out else ""


def plain(message: Message, left_out: int) -> str:
    """All of it as text, links written out."""
    words = WORDS[message.language]
    parts = [heading(message)]
    parts += (
        MARKS.get(line.priority, "") + line.text + (f"\n{words.answer}: {line.url}" if line.url else "")
        for line in message.lines
    )
    parts += [more] if (more := left_out_words(message, left_out)) else []
    parts += [f"{words.see}: {message.url}"] if message.url else []
    return "\n\n".join(parts)


_FULL_WIDTH: Final = str.maketrans({c: chr(ord(c) + 0xFEE0) for c in "<>[]*_`#~|\\"})


def unmarked(text: str) -> str:
    """The text with what markdown would take for markup as full-width characters.

    The robots' dialects of markdown document no way to escape, and `<@all>` in a name would call everybody.
    """
    return text.translate(_FULL_WIDTH)


def link(text: str, url: str) -> str:
    """A link of markdown; its address cannot end it."""
    return f"[{text}]({_ENDS.sub(lambda c: quote(c[0], safe='', errors='replace'), url)})"


_ENDS: Final = re.compile(r"""[^!-~]|[()<>"\\]""")
