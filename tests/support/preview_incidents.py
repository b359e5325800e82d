"""Incidents and mobilisations of the made-up estate (console_preview.py), and what becomes of them."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid5

import msgspec

from cloud.console.alarms.data import Label, Priority
from cloud.console.data import Action, Person, Place
from cloud.console.incident.routes import action_of
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
from cloud.console.live.hub import Hub
from cloud.incidents.limits import LIMITS
from cloud.incidents.machine import NEEDS_WHY, OPEN, Act, State, offered, step
from contract.messages import CommandStatus
from tests.support.preview_alarms import ESTATE, SPACE

WORKERS = (
    Candidate("4", "赵强", "grid_worker", 0),
    Candidate("1", "王敏", "operator", 1),
    Candidate("3", "周伟", "manager", 0),
)
PLAN = PlanRow(
    1, ESTATE, "evacuate", {"zh": "火灾疏散", "en": "Fire evacuation"}, ("grid_worker", "operator", "manager"), 2, 3,
    2, 1, 4,
)  # fmt: skip


class FakeIncidents:
    """Fulfils IncidentsData over rows in memory."""

    hub: Hub

    def make_incidents(self, found: dict[UUID, Incident]) -> None:
        self.incident_rows = found
        self.mobilised: dict[UUID, Mobilisation] = {}
        self.looks: list[UUID] = []

    def _for(self, person: Person, row: IncidentRow) -> IncidentRow:
        may = frozenset(act for act in offered(row.state) if person.may(action_of(act)))
        return msgspec.structs.replace(row, is_mine=row.assignee_id == person.id, may=may)

    async def active_incidents(self, person: Person, limit: int) -> Sequence[IncidentRow]:
        rows = [self._for(person, found.row) for found in self.incident_rows.values()]
        return [row for row in rows if row.state not in {State.REVIEWED, State.CANCELLED}][:limit]

    async def ended_incidents(self, person: Person, limit: int) -> Sequence[IncidentRow]:
        rows = [self._for(person, found.row) for found in self.incident_rows.values()]
        return [row for row in rows if row.state in {State.REVIEWED, State.CANCELLED}][:limit]

    async def incident(self, person: Person, incident_id: UUID) -> Incident | None:
        found = self.incident_rows.get(incident_id)
        if found is None:
            return None
        leads = person.may(Action.DISPATCH) and found.row.state in OPEN
        return msgspec.structs.replace(
            found, row=self._for(person, found.row), candidates=WORKERS if leads else (),
            near=found.near if found.row.state in OPEN else (),
        )  # fmt: skip

    async def report_estates(self, person: Person) -> Sequence[Estate]:
        return [Estate(1, ESTATE)]

    async def report(self, person: Person, report: NewReport) -> Came:
        if not report.words.strip():
            return Came(Outcome.REFUSED, why="words")
        now = datetime.now(UTC)
        row = IncidentRow(
            report.id, 99, report.kind, report.priority, State.REPORTED,
            Place(ESTATE, report.building or None, report.unit or None, report.floor or None, report.spot or None),
            report.words, Reporter.RESIDENT if report.caller else Reporter.GUARD, person.name, now, now,
            LIMITS[report.priority].dispatch_s, has_caller=report.caller is not None,
        )  # fmt: skip
        said = Step(now, "report", State.REPORTED, State.REPORTED, person.name, limit_s=row.limit_s)
        self.incident_rows[report.id] = Incident(row, (said,))
        self.hub.publish(["incidents"])
        return Came(Outcome.DONE, report.id)

    async def follow_up(self, person: Person, alarm_id: UUID) -> Came:
        for found in self.incident_rows.values():
            if alarm_id in found.alarms and found.row.state in OPEN:
                return Came(Outcome.ALREADY, found.row.id)
        new = NewReport(
            id=uuid5(SPACE, f"of {alarm_id}"), estate=1, kind=Kind.FIRE, priority=Priority.CRITICAL, words="烟感",
            building="3",
        )  # fmt: skip
        await self.report(person, new)
        self.incident_rows[new.id] = msgspec.structs.replace(self.incident_rows[new.id], alarms=(alarm_id,))
        return Came(Outcome.DONE, new.id)

    async def do(
        self, person: Person, incident_id: UUID, act: Act, *, why: str = "", to: str = "", label: str = ""
    ) -> Came:
        found = self.incident_rows.get(incident_id)
        if found is None:
            return Came(Outcome.MISSING)
        row = found.row
        new = step(row.state, act)
        if new is None:
            return Came(Outcome.ALREADY, incident_id)
        if act in NEEDS_WHY and not why:
            return Came(Outcome.REFUSED, incident_id, "why")
        if act is Act.RESOLVE and not label:
            return Came(Outcome.REFUSED, incident_id, "label")
        who = {one.id: one.name for one in WORKERS} | {person.id: person.name}
        holder = to or (WORKERS[0].id if act is Act.DISPATCH else person.id if act is Act.ACCEPT else row.assignee_id)
        if new not in {State.DISPATCHED, State.ACCEPTED, State.ARRIVED, State.RESOLVED, State.REVIEWED}:
            holder = ""
        now = datetime.now(UTC)
        limit_s = LIMITS[row.priority].of(new)
        self.incident_rows[incident_id] = msgspec.structs.replace(
            found,
            row=msgspec.structs.replace(
                row, state=new, changed_at=now, limit_s=limit_s, assignee=who.get(holder), assignee_id=holder,
                label=Label(label) if label else row.label,
            ),
            steps=(*found.steps, Step(now, act, row.state, new, person.name, who.get(holder), limit_s, why=why)),
        )  # fmt: skip
        self.hub.publish(["incidents"])
        return Came(Outcome.DONE, incident_id)

    async def comment(self, person: Person, incident_id: UUID, words: str) -> Came:
        found = self.incident_rows.get(incident_id)
        if found is None:
            return Came(Outcome.MISSING)
        said = Step(datetime.now(UTC), "comment", found.row.state, found.row.state, person.name, why=words)
        self.incident_rows[incident_id] = msgspec.structs.replace(found, steps=(*found.steps, said))
        self.hub.publish(["incidents"])
        return Came(Outcome.DONE, incident_id)

    async def join(self, person: Person, incident_id: UUID, alarm_id: UUID) -> Came:
        found = self.incident_rows.get(incident_id)
        if found is None:
            return Came(Outcome.MISSING)
        self.incident_rows[incident_id] = msgspec.structs.replace(
            found, alarms=(*found.alarms, alarm_id), near=tuple(one for one in found.near if one != alarm_id)
        )
        self.hub.publish(["incidents"])
        return Came(Outcome.DONE, incident_id)

    async def caller(self, person: Person, incident_id: UUID) -> Caller | None:
        found = self.incident_rows.get(incident_id)
        if found is None or not found.row.has_caller:
            return None
        self.looks.append(incident_id)
        return Caller("李女士", "138 0013 8000")

    async def plans(self, person: Person) -> Sequence[PlanRow]:
        runs = next((m.row.id for m in self.mobilised.values() if not m.row.drill and m.row.ended_at is None), None)
        return [msgspec.structs.replace(PLAN, running=runs)]

    async def mobilisations(self, person: Person, limit: int) -> Sequence[MobilisationRow]:
        return [found.row for found in self.mobilised.values()][:limit]

    async def mobilisation(self, person: Person, mobilisation_id: UUID) -> Mobilisation | None:
        found = self.mobilised.get(mobilisation_id)
        if found is None:
            return None
        return msgspec.structs.replace(
            found, row=msgspec.structs.replace(found.row, may_lead=person.may(Action.DISPATCH))
        )

    async def mobilise(
        self, person: Person, estate: int, plan: str, *, drill: bool, incident_id: UUID | None = None
    ) -> Came:
        now = datetime.now(UTC)
        row = MobilisationRow(
            uuid5(SPACE, f"mobilised {len(self.mobilised)}"), ESTATE, PLAN.title, drill, person.name, now,
            now + timedelta(hours=4), incident=incident_id,
        )  # fmt: skip
        names: Mapping[str, str] = {"1": "王敏", "3": "周伟", "4": "赵强", "7": "李强", "8": "孙丽"}
        self.mobilised[row.id] = Mobilisation(
            row, tuple(Called(key, name) for key, name in names.items()), () if drill else ASKED
        )
        self.hub.publish(["incidents"])
        return Came(Outcome.DONE, row.id)

    async def answer(self, person: Person, mobilisation_id: UUID, called: str, answer: RollAnswer) -> Came:
        found = self.mobilised.get(mobilisation_id)
        if found is None or called not in {one.id for one in found.roll}:
            return Came(Outcome.MISSING)
        if called != person.id and not person.may(Action.DISPATCH):
            return Came(Outcome.MISSING)
        if found.row.ended_at:
            return Came(Outcome.ALREADY, mobilisation_id)
        by = "" if called == person.id else person.name
        self.mobilised[mobilisation_id] = msgspec.structs.replace(found, roll=tuple(
            msgspec.structs.replace(one, answer=answer, at=datetime.now(UTC), by=by) if one.id == called else one
            for one in found.roll
        ))  # fmt: skip
        self.hub.publish(["incidents"])
        return Came(Outcome.DONE, mobilisation_id)

    async def end(self, person: Person, mobilisation_id: UUID) -> Came:
        found = self.mobilised.get(mobilisation_id)
        if found is None:
            return Came(Outcome.MISSING)
        row = msgspec.structs.replace(found.row, ended_at=datetime.now(UTC), ended_by=person.name)
        self.mobilised[mobilisation_id] = msgspec.structs.replace(found, row=row)
        self.hub.publish(["incidents"])
        return Came(Outcome.DONE, mobilisation_id)


ASKED = (
    Asked(4, "单元门", "door", Place(ESTATE, "3", "2"), "release", CommandStatus.EXECUTED),
    Asked(17, "后门", "door", Place(ESTATE, "3", "1"), "release", CommandStatus.FAILED, "no answer within 1 s"),
    Asked(14, "北门车闸", "vehicle_gate", Place(ESTATE, spot="北门"), "hold_open", CommandStatus.SENT),
    Asked(
        5, "天台门", "door", Place(ESTATE, "3", "2", None, "天台"), "release", None, "device 5 has no command release"
    ),
)


def made_up_incidents(now: datetime) -> dict[UUID, Incident]:
    """A night's incidents: one just reported, one that is late, one that this operator has, one to be reviewed."""

    def made(key: str, number: int, kind: Kind, priority: str, where: Place, words: str, reporter: Reporter,
             walked: Sequence[tuple[float, str, State, str, dict[str, Any]]], **more: Any) -> Incident:  # fmt: skip
        before, steps, changed, limit_s, holder = State.REPORTED, [], now, None, ""
        for minutes, act, state, who, said in walked:
            at = now - timedelta(minutes=minutes)
            moves = act == "report" or state is not before
            if moves:
                changed, limit_s = at, LIMITS[priority].of(state)
            holder = said.get("assignee", holder if state is not State.REPORTED else "")
            steps.append(Step(at, act, before, state, who or None, holder or None, limit_s if moves else None,
                              said.get("told", ()), said.get("why", "")))  # fmt: skip
            before = state
        ids = {one.name: one.id for one in WORKERS}
        rest = {name: more.pop(name) for name in ("alarms", "near") if name in more}
        row = IncidentRow(
            uuid5(SPACE, key), number, kind, Priority(priority), before, where, words, reporter,
            steps[0].who or "", steps[0].at, changed, limit_s, holder or None, ids.get(holder, ""), **more,
        )  # fmt: skip
        return Incident(row, tuple(steps), **rest)

    smoke = uuid5(SPACE, "smoke")
    rows = [
        made("i-fire", 41, Kind.FIRE, "critical", Place(ESTATE, "3", "2", "7", "走廊"), "烟感 07", Reporter.ALARM, [
            (3.5, "report", State.REPORTED, "王敏", {"told": ("孙丽",)}),
            (3.1, Act.DISPATCH, State.DISPATCHED, "王敏", {"assignee": "赵强", "told": ("赵强",)}),
            (1.1, "escalate", State.DISPATCHED, "", {"told": ("王敏",), "why": "guard"}),
        ], alarms=(smoke,), near=(uuid5(SPACE, "held"),)),
        made("i-water", 42, Kind.WATER, "high", Place(ESTATE, spot="地下车库 B2"), "B2 积水", Reporter.RESIDENT, [
            (1, "report", State.REPORTED, "王敏", {}),
        ], has_caller=True),
        made("i-lift", 40, Kind.PERSON, "critical", Place(ESTATE, "7", "1"), "电梯困人，一老人", Reporter.GUARD, [
            (14, "report", State.REPORTED, "李强", {"told": ("王敏",)}),
            (13.5, Act.DISPATCH, State.DISPATCHED, "王敏", {"assignee": "王敏"}),
            (13.2, Act.ACCEPT, State.ACCEPTED, "王敏", {}),
        ]),
        made("i-gate", 38, Kind.FACILITY, "medium", Place(ESTATE, spot="北门"), "车闸抬不起来", Reporter.GRID_WORKER, [
            (600, "report", State.REPORTED, "赵强", {"told": ("王敏",)}),
            (570, "escalate", State.REPORTED, "", {"told": ("周伟",), "why": "manager"}),
            (560, Act.DISPATCH, State.DISPATCHED, "周伟", {"assignee": "赵强", "told": ("赵强",)}),
            (555, Act.ACCEPT, State.ACCEPTED, "赵强", {}),
            (520, Act.ARRIVE, State.ARRIVED, "赵强", {}),
            (480, "comment", State.ARRIVED, "赵强", {"why": "维保在路上，先用手动抬杆"}),
            (400, Act.RESOLVE, State.RESOLVED, "赵强", {"why": "换了电机皮带"}),
        ], label=Label.REAL),
        made("i-noise", 37, Kind.SECURITY, "low", Place(ESTATE, "5"), "楼道有陌生人", Reporter.RESIDENT, [
            (1500, "report", State.REPORTED, "李强", {}),
            (1490, Act.CANCEL, State.CANCELLED, "李强", {"why": "是送水工"}),
        ], has_caller=True),
    ]  # fmt: skip
    return {found.row.id: found for found in rows}
