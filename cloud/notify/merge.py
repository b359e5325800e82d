"""One message of all that waits for a channel: every alarm is named, the worst first. Pure."""

from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import datetime

import msgspec

from cloud.notify.channel import Language, Line, Message, Recipient
from cloud.notify.policy import PRIORITIES

_PRIORITY_WORDS = {
    "zh": {"critical": "紧急", "high": "高", "medium": "中", "low": "低"},
    "en": {"critical": "critical", "high": "high", "medium": "medium", "low": "low"},
}
_NAME_MOST = 300
_LINES_MOST = 12


class Item(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that is to be said, whoever of the recipients it is for."""

    subject: str
    id: str
    priority: str
    title: str
    """Place, thing and state, in one line."""
    lines: tuple[str, ...] = ()
    """What it means and what to do; said where it is alone."""
    at: datetime
    url: str = ""
    """A link to answer by, of the one person who reads it."""
    path: str = ""
    drill: bool = False


def merge(
    message_id: str, items: Iterable[Item], language: Language, origin: str, to: Sequence[Recipient] = (),
    *, repeat: bool = False,
) -> Message:  # fmt: skip
    """The message. `origin` is where this cloud is reached: https://anju.example.org."""
    ordered = sorted(_distinct(items), key=lambda item: (PRIORITIES.index(item.priority), item.at, item.title))
    alone = len(ordered) == 1
    return Message(
        id=message_id,
        title=_said(ordered[0], language) if alone else _heading(ordered, language),
        lines=tuple(_line(item, language, alone=alone) for item in ordered),
        url=f"{origin}{ordered[0].path if alone and ordered[0].path else '/alarms'}",
        repeat=repeat,
        language=language,
        to=tuple(to),
    )


def _distinct(items: Iterable[Item]) -> list[Item]:
    """Each subject once: it may wait twice, of two steps or for two people who read the same channel."""
    return list({(item.subject, item.id): item for item in items}.values())


def _heading(items: Sequence[Item], language: Language) -> str:
    counts = Counter(item.priority for item in items)
    words = _PRIORITY_WORDS[language]
    said = [(words[priority], counts[priority]) for priority in PRIORITIES if counts[priority]]
    drill = all(item.drill for item in items)
    if language == "zh":
        return f"{'【演练】' if drill else ''}{len(items)} 条：" + "、".join(f"{word} {n}" for word, n in said)
    return f"{'[DRILL] ' if drill else ''}{len(items)} to see: " + ", ".join(f"{n} {word}" for word, n in said)


def _said(item: Item, language: Language) -> str:
    word = _PRIORITY_WORDS[language][item.priority]
    drill = {"zh": "【演练】", "en": "[DRILL] "}[language] if item.drill else ""
    mark = f"【{word}】" if language == "zh" else f"[{word}] "
    return f"{drill}{mark}{_one_line(item.title)}"


def _line(item: Item, language: Language, *, alone: bool) -> Line:
    said = [_said(item, language), *(_one_line(line) for line in item.lines[:_LINES_MOST] if alone)]
    return Line(text="\n".join(said), priority=item.priority, subject=item.subject, id=item.id, url=item.url)


def _one_line(text: str) -> str:
    """A name of a device may hold anything; it must not look like another line, nor push others out."""
    return " ".join(text.split())[:_NAME_MOST]
