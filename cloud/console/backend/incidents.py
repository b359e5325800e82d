"""Incidents and mobilisations as a person may see them, and what they do to one in their name."""

from collections.abc import Awaitable, Callable, Sequence
from uuid import UUID

from cloud.console.alarms.data import Label, Priority
from cloud.console.backend.identity import SignedIn, signed_in
from cloud.console.data import Person, Place
from cloud.console.incidents.data import (
    Asked,
    Called,
    Caller,
    Came,
    Candidate,
    Estate,
    Incident,
    IncidentRow,
    Kind,
    Mobilisation,
    MobilisationRow,
    NewReport,
    Outcome,
    PlanRow,
    Reporter,
    RollAnswer,
    Step,
)
from cloud.identity.people import Right
from cloud.incidents import mobilise
from cloud.incidents.incidents import SYSTEM, Actor, Incidents, NoSuchIncidentError, NotNowError, Report
from cloud.incidents.ladder import ROLES
from cloud.incidents.machine import OPEN, Act, State, offered
from cloud.incidents.mobilise import Mobilisations, NoSuchMobilisationError
from cloud.store import Connection, Database, incidents, people, plans
from cloud.store.incidents import Caller as StoredCaller
from contract.messages import CommandStatus

RIGHT_OF = {
    Act.DISPATCH: Right.DISPATCH,
    Act.ACCEPT: Right.RESPOND,
    Act.DECLINE: Right.RESPOND,
    Act.ARRIVE: Right.RESPOND,
    Act.RESOLVE: Right.RESPOND,
    Act.REVIEW: Right.MANAGE,
    Act.REOPEN: Right.DISPATCH,
    Act.CANCEL: Right.DISPATCH,
}
"""What a step asks for, at the incident's estate."""
_REPORTER = {"grid_worker": Reporter.GRID_WORKER}


class IncidentPages:
    """Fulfils IncidentsData."""

    def __init__(self, database: Database, stage: Incidents, mobilisations: Mobilisations) -> None:
        self._database = database
        self._stage = stage
        self._mobilisations = mobilisations

    async def active_incidents(self, person: Person, limit: int) -> Sequence[IncidentRow]:
        """Those that want somebody."""
        who = signed_in(person)
        async with self._database.connect() as connection:
            return [_row(who, row) for row in await incidents.list_active(connection, who.estates(), limit)]

    async def ended_incidents(self, person: Person, limit: int) -> Sequence[IncidentRow]:
        """Those that are over."""
        who = signed_in(person)
        async with self._database.connect() as connection:
            return [_row(who, row) for row in await incidents.list_over(connection, who.estates(), limit)]

    async def incident(self, person: Person, incident_id: UUID) -> Incident | None:
        """One incident, with who can be sent where this person may send somebody."""
        who = signed_in(person)
        async with self._database.connect() as connection:
            row = await incidents.get(connection, incident_id, who.estates())
            if row is None:
                return None
            steps = await incidents.steps(connection, incident_id)
            alarms = await incidents.alarms(connection, incident_id)
            near = await incidents.near_alarms(connection, incident_id) if row.state in OPEN else []
            can = []
            if row.estate_id in who.estates(Right.DISPATCH) and row.state in OPEN:
                holders = await incidents.holders(connection, [row.estate_id], ROLES)
                without = await incidents.declined(connection, incident_id)
                can = await self._stage.candidates(connection, holders, without)
                known = {one.person for one in can}
                every = await self._stage.candidates(connection, holders)
                can += [one for one in every if one.person not in known]  # who declined may be asked again, last
        return Incident(
            row=_row(who, row),
            steps=tuple(_step(step) for step in steps),
            alarms=tuple(alarms),
            near=tuple(near),
            candidates=tuple(Candidate(str(one.person), one.name, one.role, one.busy) for one in can),
        )

    async def report_estates(self, person: Person) -> Sequence[Estate]:
        """Where the person may report."""
        async with self._database.connect() as connection:
            found = await people.area_names(connection, signed_in(person).estates(Right.RESPOND))
        return [Estate(area, name) for area, name in found]

    async def report(self, person: Person, report: NewReport) -> Came:
        """A new incident."""
        who = signed_in(person)
        reporter = Reporter.RESIDENT if report.caller else _REPORTER.get(who.role, Reporter.GUARD)
        new = Report(
            estate=report.estate, kind=report.kind.value, words=report.words, reporter=reporter.value,
            priority=report.priority.value, building=report.building, unit=report.unit, floor=report.floor,
            spot=report.spot, id=report.id,
            caller=StoredCaller(report.caller.name, report.caller.phone) if report.caller else None,
        )  # fmt: skip
        try:
            async with self._database.transaction() as connection:
                started = await self._stage.report(connection, new, who.estates(Right.RESPOND), _actor(who))
        except NoSuchIncidentError:
            return Came(Outcome.MISSING)
        except NotNowError as e:
            return Came(Outcome.REFUSED, why=e.why)
        await self._database.wake(started.topics)
        return Came(Outcome.DONE, started.id)

    async def follow_up(self, person: Person, alarm_id: UUID) -> Came:
        """The incident of an alarm."""
        who = signed_in(person)
        try:
            async with self._database.transaction() as connection:
                started = await self._stage.start(connection, alarm_id, who.estates(Right.RESPOND), _actor(who))
        except NoSuchIncidentError:
            return Came(Outcome.MISSING)
        await self._database.wake(started.topics)
        return Came(Outcome.DONE if started.is_new else Outcome.ALREADY, started.id)

    async def do(
        self, person: Person, incident_id: UUID, act: Act, *, why: str = "", to: str = "", label: str = ""
    ) -> Came:
        """The next step. Whoever notes a step for another needs the right to send people."""
        who = signed_in(person)
        for_other = bool(to) and to != who.id
        estates = who.estates(Right.DISPATCH if for_other else RIGHT_OF[act])
        target = int(to) if to.isdecimal() and to.isascii() and len(to) < 10 else None
        if to and target is None:
            return Came(Outcome.MISSING)

        async def work(connection: Connection) -> set[str]:
            return await self._stage.act(
                connection, incident_id, act, estates, _actor(who), why=why, to=target, label=label
            )

        return await self._do(work, incident_id)

    async def comment(self, person: Person, incident_id: UUID, words: str) -> Came:
        """A line in its history."""
        who = signed_in(person)

        async def work(connection: Connection) -> set[str]:
            return await self._stage.comment(connection, incident_id, words, who.estates(Right.RESPOND), _actor(who))

        return await self._do(work, incident_id)

    async def join(self, person: Person, incident_id: UUID, alarm_id: UUID) -> Came:
        """One more alarm of it."""
        who = signed_in(person)

        async def work(connection: Connection) -> set[str]:
            return await self._stage.join(connection, incident_id, alarm_id, who.estates(Right.RESPOND), _actor(who))

        return await self._do(work, incident_id)

    async def caller(self, person: Person, incident_id: UUID) -> Caller | None:
        """Who called, for somebody who may respond there; the look is written down."""
        who = signed_in(person)
        async with self._database.transaction() as connection:
            if await incidents.get(connection, incident_id, who.estates(Right.RESPOND)) is None:
                return None
            found = await incidents.caller(connection, incident_id)
            if found is not None:
                await people.audit(
                    connection, who.known.id, who.name, "look at caller", f"incident {incident_id}", {}, who.address
                )
        return Caller(found.name, found.phone) if found else None

    async def plans(self, person: Person) -> Sequence[PlanRow]:
        """The plans that the person may start."""
        async with self._database.connect() as connection:
            estates = signed_in(person).estates(Right.DISPATCH)
            rows = await plans.list_plans(connection, estates)
            runs = {
                (row.estate_id, row.plan): row.id
                for row in await plans.list_recent(connection, estates, 100)
                if row.ended_at is None and not row.drill
            }
        return [_plan(row, runs.get((row.estate_id, row.name))) for row in rows]

    async def mobilisations(self, person: Person, limit: int) -> Sequence[MobilisationRow]:
        """The newest."""
        who = signed_in(person)
        async with self._database.connect() as connection:
            rows = await plans.list_recent(connection, who.estates(), limit)
        return [_mobilisation(who, row) for row in rows]

    async def mobilisation(self, person: Person, mobilisation_id: UUID) -> Mobilisation | None:
        """One, with its roll-call."""
        who = signed_in(person)
        async with self._database.connect() as connection:
            row = await plans.get(connection, mobilisation_id, who.estates(), who.known.id)
            if row is None:
                return None
            roll = await plans.roll(connection, mobilisation_id)
            asked = await plans.orders(connection, mobilisation_id)
        return Mobilisation(
            row=_mobilisation(who, row),
            roll=tuple(
                Called(
                    str(one.person), one.name, RollAnswer(one.answer) if one.answer else None, one.at,
                    (one.who or "") if one.answer and one.by_other else "",
                )
                for one in roll
            ),
            asked=tuple(
                Asked(
                    one.device, one.name, one.kind,
                    Place(row.estate, one.building or None, one.unit or None, one.floor or None, one.spot or None),
                    one.point, CommandStatus(one.status) if one.status else None, one.reason,
                )
                for one in asked
            ),
        )  # fmt: skip

    async def mobilise(
        self, person: Person, estate: int, plan: str, *, drill: bool, incident_id: UUID | None = None
    ) -> Came:
        """Starts a plan."""
        who = signed_in(person)
        try:
            async with self._database.transaction() as connection:
                started = await self._mobilisations.start(
                    connection,
                    estate,
                    plan,
                    who.estates(Right.DISPATCH),
                    _actor(who),
                    drill=drill,
                    incident=incident_id,
                )
        except (NoSuchMobilisationError, NotNowError):
            return Came(Outcome.MISSING)
        await self._database.wake(started.topics)
        return Came(Outcome.DONE if started.is_new else Outcome.ALREADY, started.id)

    async def answer(self, person: Person, mobilisation_id: UUID, called: str, answer: RollAnswer) -> Came:
        """What somebody who was called says."""
        who = signed_in(person)
        if not (called.isdecimal() and called.isascii() and len(called) < 10):
            return Came(Outcome.MISSING)

        async def work(connection: Connection) -> set[str]:
            return await self._mobilisations.answer(
                connection, mobilisation_id, int(called), mobilise.RollAnswer(answer.value),
                who.estates(Right.DISPATCH), _actor(who),
            )  # fmt: skip

        return await self._do(work, mobilisation_id)

    async def end(self, person: Person, mobilisation_id: UUID) -> Came:
        """Ends it."""
        who = signed_in(person)

        async def work(connection: Connection) -> set[str]:
            return await self._mobilisations.end(connection, mobilisation_id, who.estates(Right.DISPATCH), _actor(who))

        return await self._do(work, mobilisation_id)

    async def _do(self, work: Callable[[Connection], Awaitable[set[str]]], about: UUID) -> Came:
        try:
            async with self._database.transaction() as connection:
                topics = await work(connection)
        except (NoSuchIncidentError, NoSuchMobilisationError):
            return Came(Outcome.MISSING)
        except NotNowError as e:
            return Came(Outcome.REFUSED if e.why else Outcome.ALREADY, about, e.why)
        await self._database.wake(topics)
        return Came(Outcome.DONE, about)


def _actor(who: SignedIn) -> Actor:
    return Actor(who.known.id, who.name, who.address)


def _row(who: SignedIn, row: incidents.IncidentRow) -> IncidentRow:
    state = State(row.state)
    return IncidentRow(
        id=row.id,
        number=row.number,
        kind=Kind(row.kind),
        priority=Priority(row.priority),
        state=state,
        place=Place(row.estate, row.building or None, row.unit or None, row.floor or None, row.spot or None),
        words=row.words,
        reporter=Reporter(row.reporter),
        reported_by=row.who,
        reported_at=row.reported_at,
        changed_at=row.changed_at,
        limit_s=row.limit_s,
        assignee=row.assignee_name,
        assignee_id=str(row.assignee) if row.assignee else "",
        is_mine=row.assignee == who.known.id,
        label=Label(row.label) if row.label else None,
        has_caller=row.has_caller,
        may=frozenset(act for act in offered(state) if row.estate_id in who.estates(RIGHT_OF[act])),
    )


def _step(step: incidents.StepRow) -> Step:
    return Step(
        step.at, step.act, State(step.from_state), State(step.to_state), None if step.who == SYSTEM else step.who,
        step.assignee, step.limit_s, tuple(step.told), step.why,
    )  # fmt: skip


def _plan(row: plans.PlanRow, running: UUID | None) -> PlanRow:
    plan = mobilise.plan_of(row)
    return PlanRow(
        estate_id=row.estate_id,
        estate=row.estate,
        name=row.name,
        title={"zh": plan.title.zh, "en": plan.title.en},
        roles=tuple(plan.call.roles),
        people=len(plan.call.people) + len(plan.call.schedules),
        doors=len(plan.doors),
        says=len(plan.say),
        residents=len(plan.residents),
        lasts_h=plan.lasts_h,
        running=running,
    )


def _mobilisation(who: SignedIn, row: plans.MobilisationRow) -> MobilisationRow:
    return MobilisationRow(
        id=row.id,
        estate=row.estate,
        title=row.body["title"],
        drill=row.drill,
        who=row.who,
        started_at=row.started_at,
        ends_at=row.ends_at,
        ended_at=row.ended_at,
        ended_by="" if row.ended_by in {None, SYSTEM} else str(row.ended_by),
        incident=row.incident,
        may_lead=row.estate_id in who.estates(Right.DISPATCH),
    )
