"""Signs of life of boxes: taken at once, written a second's worth at a time.

Ten thousand boxes beat five hundred times a second; each would be a transaction of its own. What is late by a second is
only how fresh a box looks, and each beat is written with the time at which it came. What the answer tells is what the
beats before have shown.
"""

import asyncio
import time
from datetime import datetime, timedelta
from uuid import UUID

import structlog

from cloud.store import Database, UnkeepableError, boxes, people
from cloud.store.boxes import Beaten, Heard
from cloud.store.gateways import Gateway
from contract.errors import Retryable
from contract.session import Beat, BeatReply, GatewayReport

log = structlog.get_logger()
EVERY_S = 1.0


class _Pending:
    """What is to be written of one box: its newest beat, when it was heard, and what its sessions show."""

    def __init__(self) -> None:
        self.oldest_at: datetime | None = None
        self.oldest_s = 0.0
        """When the oldest session was last heard."""
        self.newest_at: datetime | None = None
        self.beat: Beat | None = None
        self.at_s = time.monotonic()
        self.shared = False

    def take(self, session_at: datetime, beat: Beat) -> None:
        # A box never goes back to a session that it has left.
        self.shared |= self.newest_at is not None and session_at < self.newest_at
        self.newest_at = max(session_at, self.newest_at or session_at)
        self.beat, self.at_s = beat, time.monotonic()
        if self.oldest_at is None or session_at <= self.oldest_at:
            self.oldest_at, self.oldest_s = session_at, self.at_s

    def come_before(self, later: "_Pending") -> None:
        """What was not written goes with what came meanwhile."""
        later.shared |= self.shared
        if self.newest_at is not None and self.oldest_at is not None:
            later.shared |= later.oldest_at is not None and later.oldest_at < self.newest_at
            if later.oldest_at is None or self.oldest_at < later.oldest_at:
                later.oldest_at, later.oldest_s = self.oldest_at, self.oldest_s
            later.newest_at = max(self.newest_at, later.newest_at or self.newest_at)
        later.beat = later.beat or self.beat


class Beats:
    """The beats of one process. As many wait as there are boxes, and of each its newest."""

    def __init__(self, database: Database, every_s: float = EVERY_S) -> None:
        self._database = database
        self._every_s = every_s
        self._pending: dict[UUID, _Pending] = {}
        self._reports: dict[UUID, GatewayReport] = {}
        self._shared: set[UUID] = set()

    def take(self, gateway: Gateway, beat: Beat) -> BeatReply:
        """The box lives. The answer says whether two boxes were heard as this one."""
        self._of(gateway).take(gateway.session_at, beat)
        if beat.report is not None:
            self._reports[gateway.id] = beat.report
        return BeatReply(gateway.id in self._shared)

    def heard(self, gateway: Gateway) -> None:
        """The box sends something: it lives, and need not say it with a beat of its own."""
        self._of(gateway).at_s = time.monotonic()

    def _of(self, gateway: Gateway) -> _Pending:
        pending = self._pending.get(gateway.id)
        if pending is None:
            pending = self._pending[gateway.id] = _Pending()
        return pending

    async def run(self) -> None:
        """Writes what has come, for ever; at the end once more."""
        failing = False
        try:
            while True:
                await asyncio.sleep(self._every_s)
                try:
                    await self.write()
                except Retryable as e:
                    if not failing:
                        log.warning("beats cannot be written; they are kept until they can", problem=str(e))
                    failing = True
                except Exception:
                    log.exception("beats could not be written; they are kept until they can")
                    failing = True
                else:
                    failing = False
        finally:
            try:
                async with asyncio.timeout(self._every_s):
                    await self.write()
            except (Retryable, TimeoutError):
                pass  # the boxes beat again, to whoever is there then

    async def write(self) -> None:
        """Writes what is pending; nothing of it is lost where that fails. Raises Retryable."""
        pending, self._pending = self._pending, {}
        reports, self._reports = self._reports, {}
        if not pending:
            return
        try:
            heard = await self._write(pending)
            await self._write_reports(reports)
        except BaseException:
            for gateway, before in pending.items():  # what came meanwhile is newer
                later = self._pending.setdefault(gateway, before)
                if later is not before:
                    before.come_before(later)
            self._reports = reports | self._reports
            raise
        await self._tell(heard, reports)

    async def _write(self, pending: dict[UUID, _Pending]) -> list[Heard]:
        async with self._database.transaction() as connection:
            now_s = time.monotonic()
            beaten = {
                gateway: Beaten(
                    p.beat.urgent_blocks if p.beat is not None else None,
                    p.beat.bulk_blocks if p.beat is not None else None,
                    timedelta(seconds=now_s - p.at_s),
                    p.oldest_at,
                    timedelta(seconds=now_s - p.oldest_s),
                    p.newest_at,
                    p.shared,
                )
                for gateway, p in sorted(pending.items())
            }
            heard = await boxes.beats(connection, beaten)
            for box in heard:
                if box.shared and not box.was_shared:
                    await people.audit(connection, None, f"gateway {box.id}", "identity shared", f"gateway {box.id}")
        return heard

    async def _write_reports(self, reports: dict[UUID, GatewayReport]) -> None:
        if not reports:
            return
        try:
            async with self._database.storing() as connection:
                await boxes.put_reports(connection, reports)
        except UnkeepableError as e:  # the beats count without them
            log.error("the database refuses reports of boxes", boxes=len(reports), problem=str(e))  # noqa: TRY400

    async def _tell(self, heard: list[Heard], reports: dict[UUID, GatewayReport]) -> None:
        topics = set()
        for box in heard:
            if box.shared:
                self._shared.add(box.id)
            else:
                self._shared.discard(box.id)
            if box.shared and not box.was_shared:
                log.error("two boxes speak as one: a copied disk; enrol one of them anew", gateway=str(box.id))
            if box.was_silent:
                topics |= {f"{topic}:{box.estate}" for topic in ("alarms", "gateways", "devices")}
            if box.shared != box.was_shared or box.id in reports:
                topics.add(f"gateways:{box.estate}")
        if topics:
            await self._database.wake(topics)
