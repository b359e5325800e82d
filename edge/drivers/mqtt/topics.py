"""Topics: the placeholders of a profile filled in, and which subscriptions a topic belongs to. Pure."""

from collections.abc import Mapping
from typing import Any

from contract.profile.mqtt import NUMBER
from contract.site import ResolvedMqtt

_NUMBERS = {"{channel}": "channel", NUMBER: "address"}
MAX_LEVELS = 32
"""A topic is taken apart into at most so many levels, and one more."""


def words_of(device: ResolvedMqtt, client: str) -> dict[str, str]:
    """What stands for each placeholder of a device's topics, paths and payloads; `client` is the box's own name."""
    item = device.device
    base = item.base or device.profile.base
    return {"address": item.address, "base": base, "channel": str(item.channel), "client": client}


def fill(text: str, words: Mapping[str, str]) -> str:
    """A text with its placeholders replaced, each once: what replaces one is not looked at again."""
    parts = text.split("{")
    filled = [parts[0]]
    for part in parts[1:]:
        name, closed, rest = part.partition("}")
        filled.append(words[name] + rest if closed and name in words else "{" + part)
    return "".join(filled)


def fill_all(document: Any, words: Mapping[str, str]) -> Any:
    """A JSON document with the placeholders in its texts replaced. A text that is {channel} or {number} alone becomes
    a number."""
    if isinstance(document, dict):
        return {key: fill_all(value, words) for key, value in document.items()}
    if isinstance(document, list):
        return [fill_all(value, words) for value in document]
    if isinstance(document, str):
        number = number_of(document, words)
        return fill(document, words) if number is None else number
    return document


def number_of(text: str, words: Mapping[str, str]) -> int | None:
    """The number that {channel} or {number} alone stands for; None for other texts, and for an address of letters."""
    word = _NUMBERS.get(text)
    return int(words[word]) if word is not None and words[word].isdecimal() else None


class Subscriptions:
    """Topic filters, found by topic in as many steps as the topic has levels (twice as many where there is a +)."""

    def __init__(self) -> None:
        self._root: dict[str, Any] = {}

    def add(self, topic: str) -> None:
        """Adds a filter, in which + stands for any one level."""
        node = self._root
        for level in topic.split("/"):
            node = node.setdefault(level, {})
        node["\0"] = topic  # no level can be called this: a topic has no NUL

    def find(self, topic: str) -> list[str]:
        """The filters that a topic belongs to; empty for one that nobody subscribed to."""
        nodes = [self._root]
        for level in topic.split("/", MAX_LEVELS):
            nodes = [node[key] for node in nodes for key in (level, "+") if key in node]
            if not nodes:
                return []
        return [node["\0"] for node in nodes if "\0" in node]
