"""Looks at what rules on the silence of a point ask for: that nothing was heard of it for too many of its intervals.

Boxes say when a device is off line, and the sweep when a box or a bus is silent; but a device may answer and still say
nothing of one of its points. One process at a time looks, and only where there is such a rule.
"""

import asyncio
from datetime import datetime, timedelta

import structlog

from cloud.alarms.engine import Engine, Observation
from cloud.alarms.rules import Rule
from cloud.alarms.rules.memory import Seen
from cloud.alarms.rules.model import Silence
from cloud.alarms.sources import series_source
from cloud.store import Connection, Database, unheard
from cloud.store.alarms import Subject
from cloud.store.unheard import Asked
from contract.errors import Retryable

log = structlog.get_logger()
EVERY_S = 10.0
AT_ONCE = 500


async def run(database: Database, engine: Engine, *, every_s: float = EVERY_S) -> None:
    """Looks, for ever."""
    while True:
        try:
            while await _look_once(database, engine):
                pass
        except Retryable as e:
            log.warning("cannot look which points are silent", problem=str(e))
        except Exception:
            log.exception("a look for silent points failed; trying again")
        await asyncio.sleep(every_s)


async def _look_once(database: Database, engine: Engine) -> bool:
    """Whether there may be more."""
    if not engine.book.silences:
        return False
    async with database.transaction() as connection:
        told, topics = await look(connection, engine) if await unheard.lock(connection) else (0, set())
    await database.wake(topics)
    return told >= AT_ONCE


async def look(connection: Connection, engine: Engine, *, now: datetime | None = None) -> tuple[int, set[str]]:
    """Tells the rules which points fell silent or were heard again; returns of how many, and the topics to wake."""
    observations = []
    for rule in engine.book.silences:
        observations += [_observation(rule, one) for one in await unheard.news(connection, _asked(rule), AT_ONCE, now)]
    topics = await engine.observe(connection, observations, now=now) if observations else set()
    return len(observations), topics


def _asked(rule: Rule) -> Asked:
    form = rule.form
    assert isinstance(form, Silence)
    return Asked(
        rule=rule.name, point=form.point, intervals=form.intervals, kinds=rule.kinds, except_kinds=rule.except_kinds,
        areas=rule.areas, devices=rule.devices, except_devices=rule.except_devices,
    )  # fmt: skip


def _observation(rule: Rule, one: unheard.Unheard) -> Observation:
    form = rule.form
    assert isinstance(form, Silence)
    subject = Subject(
        source=series_source(one.series), kind=one.kind, point=rule.points[0], estate=one.estate,
        areas=tuple(int(part) for part in one.path.split("/") if part), zone=one.zone, gateway=one.gateway,
        device=one.device, series=one.series,
    )  # fmt: skip
    if one.intervals < form.intervals:  # at the time of the look: a reading may have come long after it was made
        return Observation(subject, Seen(one.now, one.intervals))
    since = one.heard_at + timedelta(seconds=form.intervals * one.stale_after_s)
    return Observation(subject, Seen(since, one.intervals))
