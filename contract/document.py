"""Reads YAML 1.2 into Python's own values that know their lines, quickly and within bounds.

libyaml splits the text, which is some twenty times faster than a reader in Python; what its words mean is decided here,
as YAML 1.2 does (`on` is a word, `017` is seventeen). Whatever is unusual (a tag, a date, a number with underscores, a
key that stands twice, text that is no YAML) is left to ruamel.yaml, which also finds the words for what is wrong. So
ruamel is the reference, and is imported only where it is needed.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import yaml
from yaml.events import (
    AliasEvent,
    CollectionEndEvent,
    DocumentStartEvent,
    MappingStartEvent,
    ScalarEvent,
    SequenceStartEvent,
    StreamEndEvent,
)

from contract.errors import ConfigError, Mistake

FILE: Final = 0
"""The line of a mistake that concerns the file as a whole."""
FULL_WIDTH: Final = re.compile("[：，｛｝［］“”‘’　]")
"""What a Chinese keyboard writes for the signs of YAML; to YAML they are letters."""
FULL_WIDTH_HINT: Final = "write : , { } and quotes with the keyboard in English mode, not full-width"
MAX_CHARACTERS: Final = 1_000_000
"""Longer files are refused; a site of 500 devices has 100,000."""
MAX_DEPTH: Final = 40
MAX_PARTS: Final = 200_000
"""A document has at most so many values, each counted as often as anchors repeat it."""


class Map(dict[Any, Any]):
    """A map, and the line of each key that stands in it; a key that was merged in (<<) has none."""

    __slots__ = ("lines",)

    def __init__(self) -> None:
        self.lines: dict[Any, int] = {}


class Seq(list[Any]):
    """A list, and the line of each item."""

    __slots__ = ("lines",)

    def __init__(self) -> None:
        self.lines: list[int] = []


@dataclass(frozen=True)
class Document:
    """What stands in a file (Map, Seq, or a scalar), and the line where it begins; FILE for a scalar."""

    root: Any
    line: int

    def line_of(self, where: tuple[Any, ...]) -> int:
        """The line of the innermost part of a path of keys and indexes that stands in the file."""
        node, line = self.root, self.line
        for key in where:
            if isinstance(node, Map) and key in node:
                line = node.lines.get(key, line)  # what was merged in has the line of the map
            elif isinstance(node, Seq) and isinstance(key, int) and key < len(node):
                line = node.lines[key]
            else:
                break
            node = node[key]
        return line


def read_document(path: Path) -> Document:
    """The document of a YAML file. Raises ConfigError, with nothing that could be a secret in it."""
    try:
        with path.open(encoding="utf-8-sig") as file:
            text = file.read(MAX_CHARACTERS + 1)
    except OSError as e:
        raise ConfigError(
            [Mistake(str(path), FILE, f"cannot be read: {e.strerror}", "check the path and its rights")]
        ) from e
    except UnicodeDecodeError as e:
        raise ConfigError([Mistake(str(path), FILE, "is not UTF-8 text", "save it as UTF-8")]) from e
    if len(text) > MAX_CHARACTERS:
        raise ConfigError([Mistake(str(path), FILE, f"is longer than {MAX_CHARACTERS} characters", "is it this file?")])
    try:
        try:
            return _Reader(text).document()
        except _UnusualError as e:
            from contract.document_reference import read_by_reference

            _skim(text)
            return read_by_reference(path, text, e.line)
    except TooMuchError as e:
        raise ConfigError([Mistake(str(path), e.line, e.problem, e.hint)]) from None


class TooMuchError(Exception):
    """Whoever reads on in this document would need too much memory or stack."""

    def __init__(self, line: int, problem: str, hint: str) -> None:
        self.line, self.problem, self.hint = line, problem, hint


def refuse_depth(depth: int, line: int) -> None:
    """Raises TooMuchError for a part that stands in so many others, if those are too many."""
    if depth > MAX_DEPTH:
        raise TooMuchError(line, f"is nested more than {MAX_DEPTH} deep", "check the brackets here")


def refuse_parts(parts: int, line: int) -> None:
    """Raises TooMuchError for a document of so many values, if those are too many."""
    if parts > MAX_PARTS:
        problem = f"holds more than {MAX_PARTS} values, counting each as often as anchors repeat it"
        raise TooMuchError(line, problem, "a name after * stands for all that its & holds")


class _UnusualError(Exception):
    """The quick reader does not vouch for what stands at this line."""

    def __init__(self, line: int) -> None:
        self.line = line


_SEEN_DIFFERENTLY: Final = re.compile("[\t\x85\u2028\u2029\ufeff]")
"""Characters that may part words or lines, or be neither, depending on who reads them."""


class _Reader:
    """One pass over the events of a text. Raises _UnusualError for everything it is not sure of."""

    def __init__(self, text: str) -> None:
        if doubtful := _SEEN_DIFFERENTLY.search(text):
            raise _UnusualError(text.count("\n", 0, doubtful.start()) + 1)
        self._next = _events(text)
        self._parts = 0
        self._anchors: dict[str, tuple[Any, int, int]] = {}
        """The finished part of each anchor, of how many values it is, and its line."""
        self._names: set[str] = set()
        """The anchors so far, also of parts that are not finished."""

    def document(self) -> Document:
        """The only document of the text; an empty text is one of None."""
        try:
            self._next()  # the stream's start
            start = self._next()
            if isinstance(start, StreamEndEvent):
                return Document(None, FILE)
            if not isinstance(start, DocumentStartEvent) or start.version or start.tags:
                raise _UnusualError(_line(start))
            first = self._next()
            root = self._node(first, 0)
            self._next()  # the document's end
            end = self._next()
        except yaml.MarkedYAMLError as e:
            raise _UnusualError(e.problem_mark.line + 1 if e.problem_mark else FILE) from None
        except yaml.YAMLError:
            raise _UnusualError(FILE) from None
        if not isinstance(end, StreamEndEvent):
            raise _UnusualError(_line(end))
        return Document(root, _line(first) if isinstance(root, Map | Seq) else FILE)

    def _node(self, event: Any, depth: int) -> Any:
        self._count(event, 1)
        if isinstance(event, AliasEvent):
            if event.anchor not in self._anchors:  # unknown, or within itself
                raise _UnusualError(_line(event))
            value, parts, _ = self._anchors[event.anchor]
            self._count(event, parts)
            return value
        if event.anchor is not None:
            if event.anchor in self._names:  # it names another part from here on
                raise _UnusualError(_line(event))
            self._names.add(event.anchor)
        before = self._parts
        if isinstance(event, ScalarEvent):
            if depth == 0 and event.style in {"|", ">"}:  # whose comments may be its text
                raise _UnusualError(_line(event))
            value = _scalar(event)
        else:
            refuse_depth(depth + 1, _line(event))
            if event.tag is not None:
                raise _UnusualError(_line(event))
            value = self._map(depth + 1) if isinstance(event, MappingStartEvent) else self._seq(depth + 1)
        if event.anchor is not None:
            self._anchors[event.anchor] = value, self._parts - before, _line(event)
        return value

    def _seq(self, depth: int) -> Seq:
        seq = Seq()
        while not isinstance(event := self._next(), CollectionEndEvent):
            seq.append(self._node(event, depth))
            # An item that another place has in full is mended there.
            seq.lines.append(self._anchors[str(event.anchor)][2] if isinstance(event, AliasEvent) else _line(event))
        return seq

    def _map(self, depth: int) -> Map:
        found, merged = Map(), None
        while not isinstance(event := self._next(), CollectionEndEvent):
            if not isinstance(event, ScalarEvent) or event.anchor is not None:
                raise _UnusualError(_line(event))
            self._count(event, 1)
            if event.value == "<<" and event.implicit[0] and event.tag is None and merged is None:
                merged = self._node(self._next(), depth)
                if not isinstance(merged, Map | Seq) or not all(isinstance(part, Map) for part in _parts(merged)):
                    raise _UnusualError(_line(event))
                continue
            key = _scalar(event)
            if key in found:
                raise _UnusualError(_line(event))
            found.lines[key] = _line(event)
            found[key] = self._node(self._next(), depth)
        for part in _parts(merged):
            for key, value in part.items():
                found.setdefault(key, value)
        return found

    def _count(self, event: Any, parts: int) -> None:
        self._parts += parts
        refuse_parts(self._parts, _line(event))


def _skim(text: str) -> None:
    """Raises TooMuchError where a text is too deep or too long for the slower reader, as far as it is YAML."""
    next_event, depth, parts = _events(text), 0, 0
    try:
        while not isinstance(event := next_event(), StreamEndEvent):
            if isinstance(event, MappingStartEvent | SequenceStartEvent):
                depth += 1
            elif isinstance(event, CollectionEndEvent):
                depth -= 1
            parts += 1
            refuse_depth(depth, _line(event))
            refuse_parts(parts, _line(event))
    except yaml.YAMLError:
        return  # the slower reader stumbles here as well, and has the words for it


def _parts(merged: Map | Seq | None) -> list[Any]:
    """The maps that a merge names, in the order in which they count."""
    return merged if isinstance(merged, Seq) else [] if merged is None else [merged]


def _events(text: str) -> Callable[[], Any]:
    """What gives the next event of a text at each call: of libyaml, or of PyYAML where it was built without."""
    loader = yaml.CSafeLoader if yaml.__with_libyaml__ else yaml.SafeLoader
    return loader(text).get_event


def _line(event: Any) -> int:
    line: int = event.start_mark.line + 1
    return line


_WORDS: Final[dict[str, bool | None]] = {
    "": None, "~": None, "null": None, "Null": None, "NULL": None,
    "true": True, "True": True, "TRUE": True, "false": False, "False": False, "FALSE": False,
}  # fmt: skip
_INTEGER: Final = re.compile(r"[-+]?[0-9]{1,18}")
_HEXADECIMAL: Final = re.compile(r"0x[0-9a-fA-F]{1,16}")
_DECIMAL: Final = re.compile(r"[-+]?[0-9]+\.[0-9]*")
_NO_WORD: Final = re.compile(
    r"""[-+]?[0-9][0-9_]*(\.[0-9_]*)?([eE][-+]?[0-9]+)? | [-+]?\.[0-9_]+([eE][-+][0-9]+)?
    | [-+]?\.(inf|Inf|INF) | \.(nan|NaN|NAN) | [-+]?0b[01_]+ | [-+]?0o?[0-7_]+ | [-+]?[0-9_]+ | [-+]?0x[0-9a-fA-F_]+
    | [0-9]{4}-[0-9]{2}-[0-9]{2} | [0-9]{4}-[0-9]{1,2}-[0-9]{1,2}([Tt]|[ \t]+)[0-9].* | = | <<""",
    re.VERBOSE,
)
"""Numbers and dates as ruamel.yaml's resolver knows them for YAML 1.2."""


def _scalar(event: ScalarEvent) -> Any:
    """What a scalar means: text where it is quoted or a block, else None, a truth, a number or a word."""
    text: str = event.value
    if event.tag is not None:
        raise _UnusualError(_line(event))
    if not event.implicit[0]:
        return text
    if text in _WORDS:
        return _WORDS[text]
    if text[0] not in "-+.0123456789=<":
        return text
    if _INTEGER.fullmatch(text):
        return int(text)
    if _DECIMAL.fullmatch(text):
        return float(text)
    if _HEXADECIMAL.fullmatch(text):
        return int(text, 16)
    if _NO_WORD.fullmatch(text):
        raise _UnusualError(_line(event))
    return text
