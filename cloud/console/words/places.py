"""Places as people of the trade say them: 3号楼2单元7层, Building 3, unit 2, floor 7."""

import re

from cloud.console.data import Place
from cloud.console.words import Voice

_BARE = re.compile(r"-?\d+[A-Za-z]?|[A-Za-z]\d*")
"""A number or letter that still needs its noun: 3, 12A, B, -1."""


def place(voice: Voice, where: Place) -> str:
    """Where in the estate; the estate's own name where nothing nearer is known."""
    t = voice.t
    parts = [
        _with_noun(part, noun)
        for part, noun in (
            (where.building, t("building %(name)s", name=where.building)),
            (where.unit, t("unit %(name)s", name=where.unit)),
            (where.floor, t("floor %(name)s", name=where.floor)),
        )
        if part
    ]
    if t.is_chinese:
        near = "".join(parts)
        said = f"{near} {where.spot}" if near and where.spot else near or where.spot or ""
    else:
        said = ", ".join([*parts, *([where.spot] if where.spot else [])])
        said = said[:1].upper() + said[1:]
    return said or where.estate


def building(voice: Voice, where: Place) -> str:
    """The building alone, or the estate's grounds for what stands in none."""
    if not where.building:
        return voice.t("Grounds")
    said = _with_noun(where.building, voice.t("building %(name)s", name=where.building))
    return said[:1].upper() + said[1:]


def _with_noun(part: str, with_noun: str) -> str:
    return with_noun if _BARE.fullmatch(part) else part
