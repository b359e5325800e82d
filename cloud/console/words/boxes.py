"""What boxes say of themselves, in the reader's language: streams, sources of time, and why they gave something up."""

import re

from cloud.console.i18n import N_
from cloud.console.words import Voice

STREAMS = {"urgent": N_("Alarms and states", "stream"), "bulk": N_("Measurements", "stream")}
SOURCES = {
    "session": N_("from the cloud", "time source"),
    "system": N_("from its machine, kept by NTP", "time source"),
    "bounded": N_("between what was known before and after", "time source"),
}
LOSSES: tuple[tuple[str, str], ...] = (
    (r"storage was full", N_("its share of the disk was full; the oldest went", "loss")),
    (r"the disk was full", N_("its disk was full; the oldest went", "loss")),
    (r"older than (?P<days>\d+) days", N_("older than %(days)s days; the oldest went", "loss")),
    (r"block was damaged on disk: .*", N_("damaged on its disk", "loss")),
    (r"\S+-wal was damaged: .*", N_("its file was damaged: what it wrote last is lost", "loss")),
    (
        r"\S+ was damaged, moved aside as (?P<file>\S+)",
        N_("its file was damaged; it was moved aside as %(file)s", "loss"),
    ),
    (r"\S+ could not be used: .*", N_("its file could not be used", "loss")),
    (
        r"the site file was changed too often for what waits|its inventory \S+ is not known any more",
        N_("what it meant is not known any more: its configuration was changed too often", "loss"),
    ),
)
"""The sentences of edge/outbox and edge/uplink as patterns, and what they mean."""


def stream_word(voice: Voice, stream: str) -> str:
    """What goes along a stream; a stream that is not known is said by its name."""
    return voice.t.p("stream", STREAMS[stream]) if stream in STREAMS else stream


def source_word(voice: Voice, source: str) -> str:
    """Where a box has its time from."""
    return voice.t.p("time source", SOURCES[source]) if source in SOURCES else source


def loss_words(voice: Voice, reason: str) -> str:
    """Why something was given up; a sentence that is not known stays as it came."""
    for pattern, text in LOSSES:
        if found := re.fullmatch(pattern, reason, re.DOTALL):
            return voice.t.p("loss", text, **found.groupdict())
    return reason
