"""Reads a YAML text with ruamel.yaml: all of YAML 1.2, and the words for what is wrong. Slow; see document.py."""

import re
import warnings
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap, CommentedSeq
from ruamel.yaml.constructor import DuplicateKeyError
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.scalarbool import ScalarBoolean

from contract.document import FILE, FULL_WIDTH, FULL_WIDTH_HINT, Document, Map, Seq, refuse_parts
from contract.errors import ConfigError, Mistake


def read_by_reference(path: Path, text: str, suspect: int = FILE) -> Document:
    """The document of a text that was read from a path. Raises ConfigError; where the reader gives no line, the mistake
    has the line `suspect`. Raises TooMuchError where anchors repeat too much.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # they repeat what stands in the file, and are of lawful things
            root = YAML(typ="rt").load(text)
    except MarkedYAMLError as e:
        # `from None`: the parser's own words may repeat what stands in the file, and that may be a secret.
        line = e.problem_mark.line + 1 if e.problem_mark else FILE
        raise ConfigError(
            [Mistake(str(path), line, *_not_yaml(e, text.split("\n")[max(0, line - 2) : line]))]
        ) from None
    except YAMLError as e:
        raise ConfigError([Mistake(str(path), FILE, f"is not YAML: {e}")]) from e
    except (ValueError, LookupError, TypeError, AttributeError, AssertionError, RecursionError):
        # What it lets through for 2026-13-45, !!int x, 0x_ or | with a comment beside it.
        hint = "put a word, a number as it is usually written, or text between quotes"
        raise ConfigError([Mistake(str(path), suspect, "a value here cannot be read", hint)]) from None
    line = root.lc.line + 1 if isinstance(root, CommentedMap | CommentedSeq) else FILE
    own = _own(root, {})
    refuse_parts(_size(own, {}), suspect)
    return Document(own, line)


def _not_yaml(error: MarkedYAMLError, lines: list[str]) -> tuple[str, str]:
    """What the parser stumbled over and what to do, without any value that stands in the file.

    `lines` are the one with the mistake, and the one before it.
    """
    said = str(error.problem or error.context)
    if isinstance(error, DuplicateKeyError):
        key = re.match(r'found duplicate key "(.*?)"(?: with value "|$)', said, re.DOTALL)
        return (f"{key[1]} stands here twice" if key else "a key stands here twice"), "remove one of the two lines"
    if said.startswith("found undefined alias"):
        return "is not YAML: a value that begins with * names another place", "put the value between quotes"
    hint = "check the indentation, the brackets and the colons (a space after each), here and in the line before"
    if said.startswith("found character '\\t'"):
        hint = "a tab stands here: indent with spaces"
    elif said == "but found another document":
        hint = "a file holds one document: remove the line --- and what does not belong here"
    elif any(FULL_WIDTH.search(line) for line in lines):
        hint = f"{FULL_WIDTH_HINT} (here or in the line before)"
    return f"is not YAML: {said}", hint


def _own(node: Any, seen: dict[int, Any]) -> Any:
    """ruamel's containers and scalars as ours; a part that stands in several places remains one."""
    if id(node) in seen:
        return seen[id(node)]
    if isinstance(node, CommentedMap):
        found = seen[id(node)] = Map()
        for key, child in node.items():
            own = _own(key, seen)
            found[own] = _own(child, seen)
            if key in (node.lc.data or ()):  # else it was merged in
                found.lines[own] = node.lc.key(key)[0] + 1
        return found
    if isinstance(node, CommentedSeq):
        items = seen[id(node)] = Seq()
        for i, child in enumerate(node):
            items.append(_own(child, seen))
            # A list with a tag of nobody's has no places of its items.
            items.lines.append((node.lc.item(i)[0] if i in (node.lc.data or ()) else node.lc.line or 0) + 1)
        return items
    if isinstance(node, ScalarBoolean):
        return bool(node)
    for plain in (bool, int, float, str):
        if isinstance(node, plain):
            return plain(node)
    return node


def _size(node: Any, seen: dict[int, int]) -> int:
    """Of how many values a part is, each counted as often as it is repeated."""
    if not isinstance(node, Map | Seq):
        return 1
    if id(node) not in seen:
        seen[id(node)] = 1  # while it is being counted: a part that holds itself
        children = node.values() if isinstance(node, Map) else node
        seen[id(node)] = 1 + sum(_size(child, seen) for child in children)
    return seen[id(node)]
