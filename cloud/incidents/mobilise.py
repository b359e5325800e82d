"""One-press mobilisation 一键动员: calls everybody on a plan, asks doors and displays, and counts who answers."""

from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime, timedelta
from enum import StrEnum
from uuid import UUID

import msgspec
from prometheus_client import Counter

from cloud.incidents import texts
from cloud.incidents.incidents import SYSTEM, Actor, NotNowError, Started
from cloud.incidents.ladder import holding
from cloud.incidents.limits import Rung
from cloud.incidents.plan import MOST_CALLED, POINTS, Plan
from cloud.store import Connection, incidents, notify, people, plans
from cloud.store.commands import Ordered, Wanted
from cloud.store.due import Handled
from cloud.store.notices import Notice, Tell, Text
from cloud.store.notify import NewMessage
from cloud.store.plans import LockedMobilisation, PlanRow
from contract.errors import AnjuError

_STARTED = Counter("anju_mobilisations", "Mobilisations that were started", ["drill"])
PRIORITY = "critical"

Order = Callable[[Connection, Sequence[Wanted], Sequence[int], int | None, str, str], Awaitable[list[Ordered]]]
"""Orders of devices of these estates, by a person (id, name, address): a command for each, or why there is none."""
OnDuty = Callable[[Connection, Sequence[str], datetime], Awaitable[set[int]]]
"""Who is on duty by these schedules at a moment."""


class RollAnswer(StrEnum):
    """What somebody who was called answers."""

    COMING = "coming"
    THERE = "there"
    CANNOT = "cannot"


class NoSuchMobilisationError(AnjuError):
    """There is no such plan or mobilisation, or it is not for this person."""


class Mobilisations:
    """Starts, counts and ends them."""

    def __init__(self, tell: Tell, order: Order, on_duty: OnDuty) -> None:
        self._tell = tell
        self._order = order
        self._on_duty = on_duty

    async def start(
        self, connection: Connection, estate: int, name: str, estates: Sequence[int], by: Actor,
        *, drill: bool = False, incident: UUID | None = None, now: datetime | None = None,
    ) -> Started:  # fmt: skip
        """Calls everybody on a plan, and unless it is a drill asks its doors and displays; all of it, or none.

        A second press finds the one that runs. Raises NoSuchMobilisationError.
        """
        row = await plans.get_plan(connection, estate, name) if estate in estates else None
        if row is None:
            raise NoSuchMobilisationError(f"there is no plan {name!r} here")
        if incident is not None and await incidents.get(connection, incident, [estate]) is None:
            raise NoSuchMobilisationError(f"there is no incident {incident} in this estate")
        plan = plan_of(row)
        began = await plans.start(
            connection, row, drill=drill, incident=incident, person=by.person, who=by.who,
            lasts=timedelta(hours=plan.lasts_h), now=now,
        )  # fmt: skip
        if began is None:
            found = await plans.running(connection, estate, name, drill=drill)
            if found is None:
                raise NotNowError("it has just been ended: press again if it is still needed")
            return Started(found, set(), is_new=False)
        mobilisation, at = began
        called = await self._called(connection, plan, estate, at)
        await plans.put_calls(connection, mobilisation, called)
        await self._tell(connection, [_notice(mobilisation, person, estate, plan, drill=drill) for person in called])
        await self._tell_residents(connection, mobilisation, row, plan, drill=drill)
        ordered = [] if drill else await self._orders(connection, mobilisation, plan, estate, by)
        detail = {"plan": name, "drill": drill, "called": len(called), "ordered": len(ordered)}
        await people.audit(
            connection, by.person, by.who, "mobilise", f"mobilisation {mobilisation}", detail, by.address
        )
        _STARTED.labels(str(drill).lower()).inc()
        topics = {f"gateway:{order.gateway}" for order in ordered if order.gateway}
        return Started(mobilisation, topics | {f"device:{order.device}" for order in ordered} | _topics(estate))

    async def _called(self, connection: Connection, plan: Plan, estate: int, at: datetime) -> list[int]:
        """Who is called, each once: by name, by schedule, by role."""
        found = dict.fromkeys((await plans.known_people(connection, plan.call.people)).values())
        if plan.call.schedules:
            found |= dict.fromkeys(sorted(await self._on_duty(connection, plan.call.schedules, at)))
        holders = await incidents.holders(connection, [estate], plan.call.roles)
        for role in plan.call.roles:
            found |= dict.fromkeys(holder.person for holder in holding(Rung(role, role), holders))
        return list(found)[:MOST_CALLED]

    async def _orders(
        self, connection: Connection, mobilisation: UUID, plan: Plan, estate: int, by: Actor
    ) -> list[Ordered]:
        known = {device.id: device.kind for device in await plans.known_devices(connection, estate, plan.devices)}
        wanted = [Wanted(door, POINTS[known.get(door, "door")], {}) for door in plan.doors]
        wanted += [
            Wanted(saying.device, POINTS[known.get(saying.device, "display")], {"text": saying.text})
            for saying in plan.say
        ]
        if not wanted:
            return []
        ordered = await self._order(connection, wanted, [estate], by.person, by.who, by.address)
        await plans.put_orders(connection, mobilisation, ordered)
        return ordered

    @staticmethod
    async def _tell_residents(
        connection: Connection, mobilisation: UUID, row: PlanRow, plan: Plan, *, drill: bool
    ) -> None:
        wanted = [notice for notice in plan.residents if notice.in_drill or not drill]
        if not wanted:
            return
        channels = await plans.known_channels(connection, row.estate_id)
        messages = [
            NewMessage(
                subject="mobilisation", subject_id=mobilisation, step=f"residents {n}", estate=row.estate_id,
                priority="high", person=None, target=channels[notice.channel],
                text={"zh": notice.text.zh, "en": notice.text.en}, path="", drill=drill,
            )
            for n, notice in enumerate(wanted)
            if notice.channel in channels
        ]  # fmt: skip
        if messages:
            await notify.put_messages(connection, messages)

    async def answer(
        self, connection: Connection, mobilisation: UUID, person: int, answer: RollAnswer, estates: Sequence[int],
        by: Actor, *, now: datetime | None = None,
    ) -> set[str]:  # fmt: skip
        """What somebody who was called says, by themselves or through whoever may mobilise in these estates.

        The newest answer counts, every one is kept. Raises NoSuchMobilisationError, NotNowError once it is over.
        """
        found = await self._lock(connection, mobilisation)
        if not await plans.is_called(connection, mobilisation, person) or (
            person != by.person and found.estate not in estates
        ):
            raise NoSuchMobilisationError("this answer is for somebody else to give")
        if found.ended_at is not None:
            raise NotNowError("the mobilisation is over")
        await plans.put_answer(connection, mobilisation, person, answer, by.person, by.who, now)
        detail = {"person": person, "answer": answer.value}
        await people.audit(
            connection, by.person, by.who, "answer roll-call", f"mobilisation {mobilisation}", detail, by.address
        )
        return _topics(found.estate)

    async def end(
        self, connection: Connection, mobilisation: UUID, estates: Sequence[int], by: Actor,
        *, now: datetime | None = None,
    ) -> set[str]:  # fmt: skip
        """A person ends it: nobody is called any more. What doors were asked stays as it is. Raises as `answer`."""
        found = await self._lock(connection, mobilisation)
        if found.estate not in estates:
            raise NoSuchMobilisationError(f"there is no mobilisation {mobilisation}")
        if found.ended_at is not None:
            raise NotNowError("the mobilisation is over")
        await plans.end(connection, [mobilisation], by.who, now)
        await people.audit(
            connection, by.person, by.who, "end mobilisation", f"mobilisation {mobilisation}", {}, by.address
        )
        return _topics(found.estate)

    async def due(self, connection: Connection, limit: int, *, now: datetime | None = None) -> Handled:
        """Ends those whose time is over."""
        over = await plans.lock_due(connection, limit, now)
        if over:
            await plans.end(connection, [found.id for found in over], SYSTEM, now)
        return Handled(len(over), frozenset(topic for found in over for topic in _topics(found.estate)))

    @staticmethod
    async def wanted(connection: Connection, asked: Sequence[UUID]) -> set[UUID]:
        """Which of these mobilisations are running, right before a message about them leaves."""
        return await plans.wanted(connection, asked)

    @staticmethod
    async def _lock(connection: Connection, mobilisation: UUID) -> LockedMobilisation:
        found = await plans.lock(connection, mobilisation)
        if found is None:
            raise NoSuchMobilisationError(f"there is no mobilisation {mobilisation}")
        return found


def plan_of(row: PlanRow) -> Plan:
    """The plan of a row."""
    return msgspec.convert(row.body, Plan)


def _notice(mobilisation: UUID, person: int, estate: int, plan: Plan, *, drill: bool) -> Notice:
    return Notice(
        person=person, subject="mobilisation", id=mobilisation, priority=PRIORITY, estate=estate, step="called",
        text=texts.mobilised(Text(plan.title.zh, plan.title.en)), path=f"/mobilisations/{mobilisation}", drill=drill,
    )  # fmt: skip


def _topics(estate: int) -> set[str]:
    return {f"incidents:{estate}"}
