"""What the link with the cloud carried this month, against its budget. Kept over restarts, and cheaply so."""

import asyncio
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Annotated, Final, Never
from zoneinfo import ZoneInfo

import msgspec
import structlog

from contract.decoding import from_json
from contract.site.common import URGENT_SHARE
from edge.disk import write_durably
from edge.http.client import Traffic
from edge.uplink.terms import Terms

log = structlog.get_logger(__name__)

TRAFFIC_FILE: Final = "traffic.json"
LOOK_S: Final = 60.0
KEEP_BYTES: Final = 64 << 10
"""What was counted is put on disk when it has grown by so much, at most each LOOK_S, and at a clean stop: a quiet box
writes it some fifteen times a day. A power cut forgets so much, or what a minute carried."""
_MAX_FILE: Final = 4096
_S: Final = 1e9


class _Kept(msgspec.Struct, frozen=True):
    month: str
    bytes: Annotated[int, msgspec.Meta(ge=0)]


class Meter:
    """Counts a month's bytes both ways, by months in the estate's zone and the cloud's clock.

    Until the cloud has told the time the month is taken to go on. A month that lies before the one counted is no new
    one: it changes the name and keeps the count.
    """

    def __init__(
        self, state_dir: Path, timezone: str, terms: Terms, traffic: Traffic, utc_ns: Callable[[], int | None]
    ) -> None:
        self._path, self._zone = state_dir / TRAFFIC_FILE, ZoneInfo(timezone)
        self.budget_bytes, self._quiet_bytes_a_day = terms.month_bytes, terms.quiet_bytes_a_day
        self._traffic, self._utc_ns = traffic, utc_ns
        kept = self._load()
        self._month, self.month_bytes = kept.month, kept.bytes
        self._seen = self._carried()
        self._kept_bytes = self.month_bytes
        self._held = False

    def look(self) -> None:
        """Counts what was carried since the last look."""
        self._traffic.look()
        carried = self._carried()
        now = self._local()
        month = f"{now:%Y-%m}" if now is not None else self._month
        if month > self._month and self._month:
            log.info("a new month of the data budget", month=month, before_bytes=self.month_bytes)
            self.month_bytes = self._kept_bytes = 0
        self._month = month
        self.month_bytes += carried - self._seen
        self._seen = carried

    @property
    def reserved_bytes(self) -> int:
        """What the rest of the month needs for alarms, states and keeping in touch; 0 without a budget."""
        if not self.budget_bytes:
            return 0
        now = self._local()
        days = 31.0 if now is None else (_next_month(now) - now) / timedelta(days=1)
        return round(days * self._quiet_bytes_a_day) + self.budget_bytes // URGENT_SHARE

    @property
    def holds_bulk(self) -> bool:
        """Whether telemetry must wait, because what is left of the month's budget is needed for what is urgent."""
        if not self.budget_bytes:
            return False
        self.look()
        left = self.budget_bytes - self.month_bytes - self.reserved_bytes
        # Once it is held it waits until some minutes' worth of it can go: not a head for each block.
        is_held = left < (KEEP_BYTES if self._held else 0)
        if is_held != self._held:
            said = log.bind(month=self.month_bytes, budget=self.budget_bytes, reserved=self.reserved_bytes)
            if is_held:
                said.warning("telemetry waits: the rest of the data budget is kept for what is urgent")
            else:
                said.info("telemetry goes again: the data budget has room")
        self._held = is_held
        return is_held

    async def keep(self) -> Never:
        """Keeps the count on disk, for ever, and at the end."""
        try:
            while True:
                await asyncio.sleep(LOOK_S)
                self.look()
                if abs(self.month_bytes - self._kept_bytes) >= KEEP_BYTES:
                    await asyncio.to_thread(self._write)
        finally:
            self.look()
            if self.month_bytes != self._kept_bytes:
                self._write()

    def _write(self) -> None:
        kept = _Kept(self._month, self.month_bytes)
        try:
            write_durably(self._path, msgspec.json.encode(kept))
            self._kept_bytes = kept.bytes
        except OSError as e:
            log.warning("what the link carried this month cannot be kept", problem=str(e))

    def _load(self) -> _Kept:
        try:
            with self._path.open("rb") as file:
                return from_json(file.read(_MAX_FILE), _Kept)
        except FileNotFoundError:
            pass
        except (OSError, msgspec.MsgspecError) as e:
            log.warning("what the link carried this month is not known any more; counting from 0", problem=str(e))
        return _Kept("", 0)

    def _carried(self) -> int:
        return self._traffic.sent_bytes + self._traffic.received_bytes

    def _local(self) -> datetime | None:
        utc_ns = self._utc_ns()
        return None if utc_ns is None else datetime.fromtimestamp(utc_ns / _S, self._zone)


def _next_month(now: datetime) -> datetime:
    first = now.replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    return (first + timedelta(days=32)).replace(day=1)
