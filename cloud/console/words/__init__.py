"""How the console says things: times and durations, places, alarms, points and commands, in the reader's language."""

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

from cloud.console.i18n import Texts


class Voice:
    """In which language, zone and moment words are made; one per request."""

    def __init__(self, texts: Texts, zone: ZoneInfo, now: datetime | None = None) -> None:
        self.t = texts
        self.zone = zone
        self.now = now or datetime.now(UTC)
