"""Places as people of the trade say them: 3号楼2单元7层; Building 3, unit 2, floor 7."""

import re
from typing import Literal

_BARE = re.compile(r"-?\d+[A-Za-z]?|[A-Za-z]\d*")
"""A number or letter that still needs its noun: 3, 12A, B, -1."""
_NOUNS = {"zh": ("{}号楼", "{}单元", "{}层"), "en": ("building {}", "unit {}", "floor {}")}


def place(language: Literal["zh", "en"], building: str, unit: str, floor: str, spot: str) -> str:
    """Where in the estate; empty where nothing is known of it."""
    parts = [
        _with_noun(part, noun) for part, noun in zip((building, unit, floor), _NOUNS[language], strict=True) if part
    ]
    if language == "zh":
        return " ".join(part for part in ("".join(parts), spot) if part)
    said = ", ".join([*parts, *([spot] if spot else [])])
    return said[:1].upper() + said[1:]


def _with_noun(part: str, noun: str) -> str:
    return noun.format(part) if _BARE.fullmatch(part) else part
