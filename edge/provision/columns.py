"""Text for a terminal: how wide it is, cut or wrapped to fit, also where half of it is Chinese. Pure."""

import re
import unicodedata

_WIDE = frozenset("WF")
_ATOMS = re.compile(r"[⺀-鿿豈-﫿＀-￯、。〇][，。；：、！？）】》％]*|[^\s⺀-鿿豈-﫿＀-￯、。〇]+|\s+")
"""What a line may be broken between: words, and each wide character with the punctuation that must not begin a line."""


def width_of(text: str) -> int:
    """How many columns a text takes: two for each wide character, none for one that is set over another."""
    return sum(
        0 if unicodedata.combining(letter) else 2 if unicodedata.east_asian_width(letter) in _WIDE else 1
        for letter in text
    )


def pad(text: str, width: int) -> str:
    """A text with spaces behind it up to a width."""
    return text + " " * (width - width_of(text))


def clip(text: str, width: int) -> str:
    """A text of at most `width` columns; an ellipsis stands for what was cut."""
    if width_of(text) <= width:
        return text
    kept = ""
    for letter in text:
        if width_of(kept + letter) >= width:
            break
        kept += letter
    return kept + "…"


def wrap(text: str, width: int, indent: str = "", first: str | None = None) -> list[str]:
    """A text in lines of at most `width` columns, each behind `indent`, the first behind `first` where that is given.

    A word that is longer than a line (an address) has one of its own and is never cut.
    """
    lines: list[str] = []
    line, is_empty = indent if first is None else first, True
    for atom in _ATOMS.findall(text):
        if not is_empty and width_of(line + atom.rstrip()) > width:
            lines.append(line.rstrip())
            line, is_empty = indent, True
        if is_empty and atom.isspace():
            continue
        line += atom
        is_empty = False
    return [*lines, line.rstrip()] if not is_empty else lines
