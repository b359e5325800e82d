"""Topics: the placeholders of a profile filled in, and which subscriptions a topic belongs to. Pure."""

from collections.abc import Mapping
from typing import Any, Generic, TypeVar

from contract.site import ResolvedMqtt

T = TypeVar("T")
MAX_LEVELS = 32


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
    """A JSON document with the placeholders in its texts replaced. A text that is {channel} alone becomes a number."""
    if isinstance(document, dict):
        return {key: fill_all(value, words) for key, value in document.items()}
    if isinstance(document, list):
        return [fill_all(value, words) for value in document]
    if document == "{channel}":
        return int(words["channel"])
    return fill(document, words) if isinstance(document, str) else document


class Subscriptions(Generic[T]):
    """What is subscribed to, looked up by topic in as many steps as the topic has levels (twice as many with a +)."""

    def __init__(self) -> None:
        self._root: dict[str, Any] = {}
        self.filters: dict[str, list[T]] = {}

    def add(self, topic: str, item: T) -> None:
        """Adds an item under a topic, in which + stands for any one level."""
        items = self.filters.get(topic)
        if items is None:
            node = self._root
            for level in topic.split("/"):
                node = node.setdefault(level, {})
            items = self.filters[topic] = []
            # No level can be called this: a topic has no NUL.
            node["\0"] = topic
        items.append(item)

    def find(self, topic: str) -> list[str]:
        """The filters that a topic belongs to; empty for one that nobody subscribed to."""
        levels = topic.split("/", MAX_LEVELS)
        nodes = [self._root]
        for level in levels:
            nodes = [node[key] for node in nodes for key in (level, "+") if key in node]
            if not nodes:
                return []
        return [node["\0"] for node in nodes if "\0" in node]
