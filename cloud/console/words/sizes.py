"""Bytes, spans of time and clock errors as a person says them."""

from cloud.console.words import Voice
from cloud.console.words.points import number

_BYTES = ((1e12, "TB"), (1e9, "GB"), (1e6, "MB"), (1e3, "kB"))


def size(of: float) -> str:
    """Bytes in the largest unit that leaves a whole: 1.2 GB."""
    for unit, name in _BYTES:
        if of >= unit:
            return f"{number(of / unit)} {name}"
    return f"{of:.0f} B"


def span(voice: Voice, seconds: float) -> str:
    """A length of time in one unit, without its sign: 0.021 s, 5 min, 3 h, 12 days, 4 years."""
    t, s = voice.t, abs(seconds)
    if s < 120:
        return t("%(n)s s", n=number(s))
    for unit, most, text in (
        (60, 120 * 60, t.p("span", "%(n)s min")),
        (3600, 48 * 3600, t.p("span", "%(n)s h")),
        (86400, 730 * 86400, t.p("span", "%(n)s days")),
    ):
        if s < most:
            return text % {"n": f"{s / unit:.0f}"}
    return t.p("span", "%(n)s years") % {"n": f"{s / 86400 / 365:.0f}"}
