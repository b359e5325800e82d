"""What happened, as a sentence: the fields of the vocabulary's events, and what linkage did by itself.

The codes and sentences of `linkage` are those of edge/linkage (rules.py, performer.py); one that is not known here is
said as it came.
"""

import re
from collections.abc import Mapping
from typing import Final

from cloud.console.i18n import N_
from cloud.console.words import Voice
from cloud.console.words.reasons import reason_words

LINKAGE: Final = "linkage"
Fields = Mapping[str, str | int | float | bool]
Names = Mapping[str, str]
"""What devices are called, by the id that the box knows them by."""

FIELD_WORDS: Final = {
    "credential": N_("card %(value)s", "event field"),
    "reader": N_("reader: %(value)s", "event field"),
    "plate": N_("plate %(value)s", "event field"),
    "direction": N_("direction: %(value)s", "event field"),
    "place": N_("at %(value)s", "event field"),
    "image": N_("picture %(value)s at the recorder", "event field"),
}
GRANTED: Final = {True: N_("let in", "event field"), False: N_("turned away", "event field")}
SIDES: Final = {"in": N_("in", "event field"), "out": N_("out", "event field")}
"""Which way someone went; also what readers at the two sides of a door are called."""

ACTS: Final = {
    "release": N_("Fire release", "linkage"),
    "hold_open": N_("Barrier held open", "linkage"),
    "sound": N_("Sounding", "linkage"),
    "announce": N_("Announcement", "linkage"),
    "show": N_("Text shown", "linkage"),
    "switch": N_("Switching", "linkage"),
    "close": N_("Barrier lowered", "linkage"),
    "silence": N_("Silencing", "linkage"),
}
"""What a device was told."""
STATUSES: Final = {
    "executed": N_("done, read back", "linkage"),
    "sent_not_confirmed": N_("sent, not confirmed: look on site", "linkage"),
    "failed": N_("failed, tried again", "linkage"),
    "refused": N_("refused by the device, tried again", "linkage"),
    "undone": N_("was undone, done again", "linkage"),
    "given_up": N_("not achieved: look on site", "linkage"),
    "not_done": N_("only recorded, not done", "linkage"),
}
"""What became of it."""
TOLD: Final = {
    ("alert", "unconfirmed"): N_(
        "In alarm, not confirmed yet: nothing is released before another one agrees", "linkage"
    ),
    ("alert", "joined"): N_("Another one in alarm", "linkage"),
    ("alert", "over"): N_("The zone's alarm is over, it was not confirmed", "linkage"),
    ("alert", "cut_off"): N_("In alarm with the cloud out of reach: made heard on the spot", "linkage"),
    ("alert", "not_heard"): N_("In alarm with the cloud out of reach: heard nowhere on the spot", "linkage"),
    ("blind", "started"): N_("The zone is blind: watch it by other means", "linkage"),
    ("blind", "ended"): N_("The zone can confirm again", "linkage"),
    ("confirmed", "confirmed"): N_("Alarm confirmed", "linkage"),
    ("confirmed", "again"): N_("Alarm confirmed again after the gateway's restart", "linkage"),
    ("confirmed", "remembered"): N_(
        "The zone's alarm was confirmed before the gateway's restart: what it released is held, unless the power was"
        " cut; the rest is done again once it is heard anew",
        "linkage",
    ),
    ("reset", "done"): N_("The zone was reset, its alarm is over", "linkage"),
    ("over", "done"): N_("The zone's alarm is over by itself", "linkage"),
    ("drill", "started"): N_("Drill begun in the zone, everything is done as in a fire", "linkage"),
    ("drill", "ended"): N_("The zone's drill ended", "linkage"),
    ("silent_drill", "started"): N_("Drill begun in the zone, nothing is done but recorded", "linkage"),
    ("silent_drill", "ended"): N_("The zone's drill without actions ended", "linkage"),
    ("dry_run", "started"): N_("Dry run begun in the zone, nothing is done whatever alarms", "linkage"),
    ("dry_run", "ended"): N_("The zone's dry run ended", "linkage"),
}
"""What became of a zone, or of something in it that triggers, by action and status."""
MODES: Final = {
    "drill": N_("drill", "linkage"),
    "silent_drill": N_("drill without actions", "linkage"),
    "dry_run": N_("dry run", "linkage"),
}
DOUBTS: Final = {
    "unseen": N_("not heard of yet", "linkage"),
    "offline": N_("offline", "linkage"),
    "fault": N_("in fault", "linkage"),
    "stale": N_("no news for too long", "linkage"),
    "testing": N_("under test", "linkage"),
}
"""Why a device did not count."""

WHYS: Final = (
    (r"in alarm: (?P<devices>[^;]+)(?:; (?P<rest>.+))?", N_("in alarm: %(devices)s", "linkage")),
    (
        r"alarmed, then lost: (?P<doubts>[^;]+)(?:; (?P<rest>.+))?",
        N_("alarmed before it was lost, and counted: %(doubts)s", "linkage"),
    ),
    (r"not counted: (?P<doubts>.+)", N_("not counted: %(doubts)s", "linkage")),
    (r"no (?P<hazards>[a-z ]+) would be confirmed here; (?P<rest>.+)", N_("nothing would be confirmed", "linkage")),
    (
        r"the cloud cannot be reached; nothing sounds: .*",
        N_("no sounder is configured for it", "linkage"),
    ),
    (
        r"the cloud cannot be reached; a (?:drill|silent drill|dry run) is under way, so nothing sounds",
        N_("nothing sounds during a drill or dry run without actions", "linkage"),
    ),
    (r"the cloud cannot be reached; rule (?P<rule>\S+) sounds", N_("by rule %(rule)s", "linkage")),
    (r"for (?P<minutes>\d+) min", N_("for %(minutes)s min", "linkage")),
    (r"stopped", N_("stopped by hand", "linkage")),
    (r"its time is over", N_("its time was over", "linkage")),
    (r"the box restarted", N_("the gateway was restarted", "linkage")),
    (
        r"more triggers than a drill needs: taken for real",
        N_("more in alarm than a drill needs: taken for a real fire", "linkage"),
    ),
    (r"it was undone \((?P<times>\d+)\); doing it again", N_("time %(times)s", "linkage")),
    (r"after (?P<tries>\d+) tries: (?P<rest>.*)", N_("after %(tries)s tries", "linkage")),
    (r"the driver did not answer in time", N_("the gateway did not get an answer in time", "linkage")),
)
"""Reasons as patterns, and what they mean; `rest` is a reason again. What a device said is in words/reasons.py."""
_SAID_ALREADY: Final = re.compile(
    r"the cloud cannot be reached|confirmed before the restart; .*|a (?:drill|silent drill|dry run) is under way"
)
"""Reasons that the sentence itself tells."""
_CUT_OFF_RULE: Final = "cut-off"
_NAME: Final = re.compile(r"[a-z0-9][a-z0-9_.-]*")
_MOST_WHY: Final = 2000
_DOUBTED: Final = re.compile(r"(?P<device>\S+) \((?P<doubt>\w+)\)")


def event_words(voice: Voice, kind: str, point: str, fields: Fields, names: Names | None = None) -> str:
    """What an event of a device of this kind tells besides its name; empty where that says all."""
    if point == LINKAGE:
        return _linkage(voice, kind, {name: str(value) for name, value in fields.items()}, names or {})
    first = []
    granted = fields.get("granted")
    if isinstance(granted, bool):
        first = [voice.t.p("event field", GRANTED[granted])]
    rest = [_field(voice, name, value) for name, value in fields.items() if name != "granted" or not first]
    return voice.t(", ").join((*first, *rest))


def devices_named(point: str, fields: Fields) -> set[str]:
    """What in an event may be the id of a device, of which `event_words` wants the name."""
    return set(_NAME.findall(str(fields.get("why", ""))[:_MOST_WHY])) if point == LINKAGE else set()


def _field(voice: Voice, name: str, value: str | float | bool) -> str:
    plain = str(value)
    if isinstance(value, bool):
        plain = voice.t("yes") if value else voice.t("no")
    elif name in {"direction", "reader"} and plain in SIDES:
        plain = voice.t.p("event field", SIDES[plain])
    known = FIELD_WORDS.get(name)
    return voice.t.p("event field", known, value=plain) if known else f"{name} {plain}"


def _linkage(voice: Voice, kind: str, said: Mapping[str, str], names: Names) -> str:
    """Release: done, read back (drill); from the guard page · rule fire-3-2."""
    t = voice.t
    action, status = said.get("action", ""), said.get("status", "")
    if not action:
        return ""
    if told := TOLD.get((action, status)):
        words = t.p("linkage", told)
    else:
        act = t.p("linkage", ACTS[action]) if action in ACTS else action
        became = t.p("linkage", STATUSES[status]) if status in STATUSES else status
        words = t.p("linkage", "%(act)s: %(became)s", act=act, became=became)
    mode = said.get("mode", "")
    if mode and mode != action:
        words = t.p("linkage", "%(words)s (%(mode)s)", words=words, mode=t.p("linkage", MODES.get(mode, mode)))
    parts = [words, *_why(voice, kind, said.get("why", ""), names)]
    if said.get("by") == "guard page":
        parts.append(t.p("linkage", "from the guard page"))
    return t(", ").join(parts) + _where(voice, said.get("rule", ""), said.get("zone", ""))


def _where(voice: Voice, rule: str, zone: str) -> str:
    """Whose doing it was: the rule, or the zone where a person or the box itself did it."""
    if rule and rule not in {zone, _CUT_OFF_RULE}:
        return " · " + voice.t.p("linkage", "rule %(rule)s", rule=rule)
    return " · " + voice.t.p("linkage", "zone %(zone)s", zone=zone) if zone else ""


def _why(voice: Voice, kind: str, why: str, names: Names) -> list[str]:
    """The reason in words, in its parts."""
    if not why or _SAID_ALREADY.fullmatch(why):
        return []
    for pattern, text in WHYS:
        if (found := re.fullmatch(pattern, why)) is None:
            continue
        parts = found.groupdict(default="")
        rest = parts.pop("rest", "")
        if "devices" in parts:
            parts["devices"] = voice.t.p("linkage", " and ").join(
                names.get(device, device) for device in parts["devices"].split(", ")
            )
        if "doubts" in parts:
            parts["doubts"] = _doubts(voice, parts["doubts"], names)
        return [voice.t.p("linkage", text, **parts), *_why(voice, kind, rest, names)]
    return [reason_words(voice, kind, why) or why]


def _doubts(voice: Voice, doubts: str, names: Names) -> str:
    said = []
    for one in doubts.split(", "):
        found = _DOUBTED.fullmatch(one)
        if found is None:
            said.append(one)
            continue
        doubt = voice.t.p("linkage", DOUBTS.get(found["doubt"], found["doubt"]))
        words = {"words": names.get(found["device"], found["device"]), "mode": doubt}
        said.append(voice.t.p("linkage", "%(words)s (%(mode)s)", **words))
    return voice.t.p("linkage", " and ").join(said)
