"""For how long an alarm can be kept from people: fixed choices, so that nobody does sums at 3 a.m."""

from datetime import datetime, timedelta

import msgspec

from cloud.console.alarms.data import AlarmRow
from cloud.console.i18n import N_
from cloud.console.words import Voice
from cloud.console.words.times import moment

SHIFT = "shift"
SHIFT_ENDS = (8, 20)
"""Hours at which guards hand over: the two shifts of most estates."""
SHELVES: dict[str, timedelta] = {
    "15m": timedelta(minutes=15),
    "1h": timedelta(hours=1),
    "4h": timedelta(hours=4),
}
LIFE_SAFETY_MOST = timedelta(minutes=15)
"""What is about life is kept from people for no longer (DOMAIN.md); the engine refuses more."""
OUTAGES: dict[str, timedelta] = {
    "4h": timedelta(hours=4),
    "1d": timedelta(days=1),
    "3d": timedelta(days=3),
    "7d": timedelta(days=7),
}
TIME_WORDS = {
    "15m": N_("15 minutes", "for how long"),
    "1h": N_("1 hour", "for how long"),
    "4h": N_("4 hours", "for how long"),
    "1d": N_("1 day", "for how long"),
    "3d": N_("3 days", "for how long"),
    "7d": N_("7 days", "for how long"),
}
REASONS = (
    N_("Dust of building work", "reason"),
    N_("Steam or cooking, looked at on site", "reason"),
    N_("Device broken, repair is ordered", "reason"),
    N_("Known and being worked on", "reason"),
)
"""What is offered to pick while one writes a reason."""
MOST_WHY = 200
"""Characters of a reason."""


class Choice(msgspec.Struct, frozen=True):
    """A time to choose: what the form sends, and its words with the clock at which it would end."""

    value: str
    words: str
    ends: str


def reasons(voice: Voice) -> tuple[str, ...]:
    """What one may pick instead of writing it."""
    return tuple(voice.t.p("reason", reason) for reason in REASONS)


def shelves(voice: Voice, row: AlarmRow) -> tuple[Choice, ...]:
    """The times for which this alarm can be shelved, the shortest first."""
    times = {name: lasts for name, lasts in SHELVES.items() if not row.life_safety or lasts <= LIFE_SAFETY_MOST}
    found = [_choice(voice, name, voice.now + lasts) for name, lasts in times.items()]
    if not row.life_safety:
        ends = shift_ends(voice)
        found.append(Choice(SHIFT, voice.t.p("for how long", "until the shift ends"), moment(voice, ends).clock))
    return tuple(found)


def outages(voice: Voice) -> tuple[Choice, ...]:
    """The times for which what an alarm comes from can be out of service."""
    return tuple(_choice(voice, name, voice.now + lasts) for name, lasts in OUTAGES.items())


def shelf(voice: Voice, row: AlarmRow, value: str) -> timedelta | datetime | None:
    """What a choice of `shelves` means; None for what was not offered."""
    if value not in {choice.value for choice in shelves(voice, row)}:
        return None
    return shift_ends(voice) if value == SHIFT else SHELVES[value]


def shift_ends(voice: Voice) -> datetime:
    """When the shift ends that is on duty now."""
    local = voice.now.astimezone(voice.zone)
    today = [local.replace(hour=hour, minute=0, second=0, microsecond=0) for hour in SHIFT_ENDS]
    return next((at for at in today if at > local), today[0] + timedelta(days=1))


def _choice(voice: Voice, name: str, ends: datetime) -> Choice:
    return Choice(name, voice.t.p("for how long", TIME_WORDS[name]), moment(voice, ends).clock)
