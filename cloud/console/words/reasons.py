"""Why an order was not carried out, in the reader's language: the sentences of box and cloud are in English.

The sentences are those of edge/commands, edge/drivers, contract/profile and cloud/store/queries/commands.sql. One that
is not known here is not said by these words; the page shows it small, as it came.
"""

import re
from collections.abc import Callable

from cloud.console.i18n import N_
from cloud.console.words import Voice
from cloud.console.words.points import point_name, value_words

REASONS: tuple[tuple[str, str], ...] = (
    (r"no answer before its time was up", N_("the gateway did not answer in time", "reason")),
    (r"it came too late: its time to be done had passed", N_("it reached the gateway too late", "reason")),
    (
        r"its time to be done passed while it waited for the bus; nothing was written",
        N_("its time passed while the bus was busy; nothing was sent", "reason"),
    ),
    (r"this box does not know the time: .*", N_("the gateway does not know the time", "reason")),
    (
        r"this box has no device \S+|this bus has no command \S+ for that device|\S+ has no command \S+",
        N_("the gateway has no such device or command: its configuration has changed", "reason"),
    ),
    (r"\S+ of \S+ cannot be commanded", N_("this point cannot be commanded", "reason")),
    (
        r"(?:\S+ of \S+: )?(?:it takes no argument|it needs the argument|\S+ must be) .*",
        N_("the device does not take this setting", "reason"),
    ),
    (
        r"the device refused it: exception (?P<code>\d+): .*",
        N_("the device refused it (Modbus exception %(code)s)", "reason"),
    ),
    (r"exception (?P<code>\d+): .*", N_("the device refused to be read (Modbus exception %(code)s)", "reason")),
    (r"the profile names nothing to read back", N_("this model has nothing to read back", "reason")),
    (
        r"(?P<point>\w+) did not become (?P<state>\w+) within (?P<seconds>[\d.]+) s(?:: (?P<seen>.*))?",
        N_("%(point)s did not become “%(state)s” within %(seconds)s s", "reason"),
    ),
    (r"it shows (?P<shown>\S+)", N_("it shows “%(shown)s”", "reason")),
    (
        r"no answer within (?P<seconds>[\d.]+) s(?: \(the wait is .*\))?",
        N_("the device did not answer within %(seconds)s s", "reason"),
    ),
    (
        r"gateway has no path|gateway got no answer from the unit",
        N_("the device did not answer", "reason"),
    ),
    (r"no connection to .*", N_("the gateway has no connection to the device's bus", "reason")),
    (r"\S+:\d+ closed the connection|\S+:\d+: .*", N_("the connection to the device's bus broke", "reason")),
    (r"\d+ orders already wait for this bus", N_("too many orders already wait for this bus", "reason")),
    (r"the driver stopped", N_("the gateway was stopped meanwhile", "reason")),
    (
        r"an error within the box; its log has the details",
        N_("the gateway has a fault; its log has the details", "reason"),
    ),
    (
        r"the echo of the write differs .*|answer (?:belongs to|is for|holds) .*",
        N_("the device's answer was damaged", "reason"),
    ),
)
"""Sentences as patterns, and what they mean. The first that fits counts."""


def reason_words(voice: Voice, kind: str, reason: str) -> str:
    """The reason in words; empty for one that is not known, or none. `kind` tells what its points are called."""
    for pattern, text in REASONS:
        if found := re.fullmatch(pattern, reason):
            return _said(voice, kind, text, found.groupdict(default=""))
    return ""


def is_known(reason: str) -> bool:
    """Whether `reason_words` says it."""
    return any(re.fullmatch(pattern, reason) for pattern, _ in REASONS)


def _said(voice: Voice, kind: str, text: str, parts: dict[str, str]) -> str:
    point, seen = parts.get("point", ""), parts.pop("seen", "")
    wanted: dict[str, Callable[[str], str]] = {
        "point": lambda part: point_name(voice, kind, part),
        "state": lambda part: value_words(voice, kind, point, part),
    }
    said = voice.t.p("reason", text, **{name: wanted.get(name, str)(part) for name, part in parts.items()})
    shown = re.fullmatch(r"it shows (\S+)", seen)
    if shown:  # a state of the point that was waited for
        word = value_words(voice, kind, point, shown[1])
        seen_words = voice.t.p("reason", "it shows “%(shown)s”", shown=word)
    else:
        seen_words = reason_words(voice, kind, seen) or seen
    return f"{said}{voice.t(', ')}{seen_words}" if seen_words else said
