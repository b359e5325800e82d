"""Moves incidents along their life, within the transaction of who acts or of the limit that is over."""

from collections.abc import Awaitable, Callable, Iterable, Sequence
from datetime import datetime, timedelta
from typing import Literal
from uuid import UUID

import msgspec
from prometheus_client import Counter

from cloud.incidents import texts
from cloud.incidents.ladder import ROLES, SENT, Candidate, candidates, holding, is_top, next_rung, roles_of
from cloud.incidents.limits import GUARD, LADDER, LIMITS, Limits, first_rung
from cloud.incidents.machine import GOING, NEEDS_WHY, OPEN, Act, State, step
from cloud.store import Connection, incidents, people, storable
from cloud.store.due import Handled
from cloud.store.incidents import Caller, Holder, LockedAlarm, LockedIncident, NewIncident, Step
from cloud.store.notices import Notice, Tell, Text
from contract.errors import AnjuError

_ACTS = Counter("anju_incident_acts", "What was done to incidents, and escalations", ["act"])
KINDS = ("fire", "water", "person", "security", "facility", "other")
LABELS: dict[str, "Word"] = {"real": "real", "false": "false", "test": "test", "unknown": "unknown"}
SYSTEM = "system"
MOST_WORDS = 500
MOST_WHY = 2000
_KIND_OF_DEVICE = {
    "smoke_detector": "fire", "heat_detector": "fire", "manual_call_point": "fire", "gas_detector": "fire",
    "water_leak": "water", "water_level": "water", "water_meter": "water", "panic_button": "person",
    "elevator": "person", "door": "security", "intrusion": "security", "camera_event": "security",
}  # fmt: skip
"""What an alarm's incident is, by the kind of its device; anything else is a facility."""


class Actor(msgspec.Struct, frozen=True):
    """Who does it: a person, by name, from an address."""

    person: int | None
    who: str
    address: str = ""


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """What somebody reports without a device. `reporter` is guard, grid_worker or resident."""

    estate: int
    kind: str
    words: str
    reporter: str
    priority: str = "high"
    building: str = ""
    unit: str = ""
    floor: str = ""
    spot: str = ""
    caller: Caller | None = None
    """Name and telephone of a resident who called: personal."""
    id: UUID | None = None
    """Of the form that it came by: what is sent twice is one incident."""


class Started(msgspec.Struct, frozen=True):
    """The incident that there is now, and the topics to wake after the commit."""

    id: UUID
    topics: set[str]
    is_new: bool = True


Word = Literal["real", "false", "test", "unknown"]
Label = Callable[[Connection, Sequence[UUID], int, Word, Actor], Awaitable[set[str]]]
"""Labels alarms of an estate real, false, test or unknown, by a person; returns the topics to wake."""


class NoSuchIncidentError(AnjuError):
    """There is no such incident, or it is not for this person to act on."""


class NotNowError(AnjuError):
    """It cannot be done as the incident stands. `state` is where it stands.

    `why` is empty where somebody was quicker, else what is in the way: words, why, label, nobody, alarm, other.
    """

    def __init__(self, sentence: str, state: str = "", why: str = "") -> None:
        super().__init__(sentence)
        self.state = state
        self.why = why


class Incidents:
    """What people do to incidents, and what happens when nobody does."""

    def __init__(self, tell: Tell, label: Label, limits: dict[str, Limits] = LIMITS) -> None:
        self._tell = tell
        self._label = label
        self._limits = limits

    async def report(
        self, connection: Connection, report: Report, estates: Sequence[int], by: Actor, *, now: datetime | None = None
    ) -> Started:
        """A new incident of what somebody says. Raises NoSuchIncidentError where the estate is none of theirs."""
        if report.estate not in estates:
            raise NoSuchIncidentError("incidents of this estate are reported by others")
        words = storable(report.words.strip(), MOST_WORDS)
        if report.kind not in KINDS or report.priority not in self._limits or not words:
            raise NotNowError("say what it is: its kind, how bad it is, and a few words", why="words")
        place = {name: storable(getattr(report, name).strip(), 100) for name in ("building", "unit", "floor", "spot")}
        new = NewIncident(
            estate=report.estate, kind=report.kind, priority=report.priority, words=words, reporter=report.reporter,
            person=by.person, who=by.who, rung=GUARD, due_in=self._due_in(report.priority, State.REPORTED),
            id=report.id, **place,
        )  # fmt: skip
        started = await self._start(connection, new, by, now)
        if started.is_new and report.caller is not None and report.caller.phone.strip():
            caller = Caller(storable(report.caller.name.strip(), 100), storable(report.caller.phone.strip(), 40))
            await incidents.put_caller(connection, started.id, caller, now)
        return started

    async def start(
        self, connection: Connection, alarm: UUID, estates: Sequence[int], by: Actor, *, now: datetime | None = None
    ) -> Started:
        """The incident of an alarm: the one that is open, or a new one. Raises NoSuchIncidentError."""
        found = await incidents.lock_alarm(connection, alarm, estates)
        if found is None:
            raise NoSuchIncidentError(f"there is no alarm {alarm}")
        if open_one := await incidents.of_alarm(connection, alarm):
            return Started(open_one, set(), is_new=False)
        started = await self._start(connection, self._of(found, by), by, now)
        await incidents.join_alarm(connection, started.id, alarm)
        return Started(started.id, started.topics | {f"alarms:{found.estate}"})

    def _of(self, alarm: LockedAlarm, by: Actor) -> NewIncident:
        return NewIncident(
            estate=alarm.estate, kind=_KIND_OF_DEVICE.get(alarm.kind, "facility"), priority=alarm.priority,
            building=alarm.building, unit=alarm.unit, floor=alarm.floor, spot=alarm.spot, words=alarm.device_name,
            reporter="alarm", person=by.person, who=by.who, rung=GUARD,
            due_in=self._due_in(alarm.priority, State.REPORTED),
        )  # fmt: skip

    async def _start(self, connection: Connection, new: NewIncident, by: Actor, now: datetime | None) -> Started:
        made = await incidents.put(connection, new, now)
        if made is None:
            assert new.id is not None
            return Started(new.id, set(), is_new=False)
        incident, number, at = made
        known = LockedIncident(
            incident, number, new.estate, new.kind, new.priority, State.REPORTED, new.building, new.unit, new.floor,
            new.spot, new.words, new.person, None, new.rung, at, at + new.due_in,
        )  # fmt: skip
        holders = await incidents.holders(connection, [new.estate], ROLES)
        guards = [holder.person for holder in holding(LADDER[GUARD], holders) if holder.person != by.person]
        limit_s = self._limits[new.priority].of(State.REPORTED)
        await incidents.add_steps(
            connection,
            [Step(incident=incident, at=at, act="report", from_state=State.REPORTED, to_state=State.REPORTED,
                  who=by.who, person=by.person, limit_s=limit_s, told=tuple(guards))],
        )  # fmt: skip
        await self._notify(connection, known, guards, "reported", texts.waiting(known), at)
        await _audit(connection, by, "report incident", incident, {"kind": new.kind, "estate": new.estate})
        _ACTS.labels("report").inc()
        return Started(incident, _topics(new.estate))

    async def join(
        self, connection: Connection, incident: UUID, alarm: UUID, estates: Sequence[int], by: Actor,
        *, now: datetime | None = None,
    ) -> set[str]:  # fmt: skip
        """One more alarm of an open incident. Raises NoSuchIncidentError, NotNowError."""
        found = await self._lock(connection, incident, estates)
        _open_only(found)
        other = await incidents.lock_alarm(connection, alarm, [found.estate])
        if other is None:
            raise NoSuchIncidentError(f"there is no alarm {alarm} in this estate")
        if not await incidents.join_alarm(connection, incident, alarm):
            raise NotNowError("this alarm belongs to an incident already", found.state, "alarm")
        await self._note(connection, found, "join", other.device_name, by, now)
        await _audit(connection, by, "join alarm", incident, {"alarm": str(alarm)})
        return _topics(found.estate) | {f"alarms:{found.estate}"}

    async def comment(
        self, connection: Connection, incident: UUID, words: str, estates: Sequence[int], by: Actor,
        *, now: datetime | None = None,
    ) -> set[str]:  # fmt: skip
        """A line in the incident's history. Raises NoSuchIncidentError, NotNowError for one without words."""
        found = await self._lock(connection, incident, estates)
        said = storable(words.strip(), MOST_WHY)
        if not said:
            raise NotNowError("a comment has words", found.state, "words")
        await self._note(connection, found, "comment", said, by, now)
        await _audit(connection, by, "comment on incident", incident, {})
        return _topics(found.estate)

    async def act(
        self, connection: Connection, incident: UUID, act: Act, estates: Sequence[int], by: Actor,
        *, why: str = "", to: int | None = None, label: str = "", now: datetime | None = None,
    ) -> set[str]:  # fmt: skip
        """A person does the next step; returns the topics to wake after the commit.

        `estates` are those where they may do this act. `to` is whom to send (the first choice where it is left out), or
        for whom a step that they said by telephone is noted. Resolving takes the `label` of the alarms.
        Raises NoSuchIncidentError; NotNowError where somebody was quicker, or something has to be said first.
        """
        found = await self._lock(connection, incident, estates)
        state = State(found.state)
        new = step(state, act)
        why = storable(why.strip(), MOST_WHY)
        if new is None:
            raise NotNowError(f"{act}: not while the incident is {state}; somebody was quicker", state)
        if act in NEEDS_WHY and not why:
            raise NotNowError("say why", state, "why")
        if act is Act.DECLINE and by.person != found.assignee and to != found.assignee:
            raise NotNowError("only who was sent can decline", state, "other")
        if act is Act.RESOLVE and label not in LABELS:
            raise NotNowError("say whether it was real, false, a test or unknown", state, "label")
        if act is Act.REOPEN and await incidents.taken_alarms(connection, incident):
            raise NotNowError("its alarm has another incident by now: go on there", state, "alarm")
        holders = await incidents.holders(connection, [found.estate], ROLES)
        at = await incidents.moment(connection, now)
        assignee = await self._assignee(connection, found, act, holders, by, to)
        await self._move(connection, found, act, new, assignee, holders, by, why, at, label=label or None)
        topics = _topics(found.estate)
        if act is Act.RESOLVE and (alarms := await incidents.alarms(connection, incident)):
            topics |= await self._label(connection, alarms, found.estate, LABELS[label], by)
        detail = {"why": why, "to": assignee, "label": label}
        await _audit(connection, by, f"{act} incident", incident, {name: said for name, said in detail.items() if said})
        return topics

    async def _assignee(
        self, connection: Connection, found: LockedIncident, act: Act, holders: Sequence[Holder], by: Actor,
        to: int | None,
    ) -> int | None:  # fmt: skip
        """Who has it after an act."""
        if act is Act.DISPATCH:
            without = await incidents.declined(connection, found.id) if to is None else set()
            can = await self.candidates(connection, holders, without)
            sent = next((one.person for one in can if to is None or one.person == to), None)
            if sent is None:
                sentence = "nobody is there who could be sent: go yourself, or call somebody"
                raise NotNowError(sentence, found.state, "nobody")
            return sent
        if act is Act.ACCEPT:
            return by.person if to is None or not set(roles_of(to, holders)) & set(SENT) else to
        return found.assignee if step(State(found.state), act) in {*GOING, State.RESOLVED, State.REVIEWED} else None

    async def _move(
        self, connection: Connection, found: LockedIncident, act: Act, new: State, assignee: int | None,
        holders: Sequence[Holder], by: Actor, why: str, at: datetime, *, label: str | None = None,
    ) -> None:  # fmt: skip
        """One step, and after a refusal the next one that follows from it: another one is sent."""
        can: list[Candidate] = []
        if new is State.DECLINED:
            without = {*await incidents.declined(connection, found.id), *([found.assignee] if found.assignee else [])}
            can = await self.candidates(connection, holders, without)
        told = [] if can else self._told(new, assignee, holders, by)
        limit_s = self._limits[found.priority].of(new)
        due_at = None if limit_s is None else at + timedelta(seconds=limit_s)
        rung = first_rung(new, roles_of(assignee, holders))
        await incidents.move(
            connection, found.id, new, at, assignee=assignee, rung=rung, wants=bool(told), due_at=due_at,
            is_open=new in OPEN, label=label,
        )  # fmt: skip
        said = Step(
            incident=found.id, at=at, act=act, from_state=found.state, to_state=new, who=by.who, person=by.person,
            assignee=assignee, limit_s=limit_s, told=tuple(told), why=why,
        )  # fmt: skip
        await incidents.add_steps(connection, [said])
        _ACTS.labels(act).inc()
        if can:
            declined = msgspec.structs.replace(found, state=new, assignee=None)
            system = Actor(None, SYSTEM)
            await self._move(
                connection, declined, Act.DISPATCH, State.DISPATCHED, can[0].person, holders, system, "", at
            )
            return
        text = texts.dispatched(found) if new is State.DISPATCHED else texts.waiting(found)
        await self._notify(connection, found, told, new, text, at)

    @staticmethod
    def _told(new: State, assignee: int | None, holders: Sequence[Holder], by: Actor) -> list[int]:
        """Who has to be told of a step: whoever was sent, or has to send somebody."""
        if new is State.DISPATCHED:
            return [assignee] if assignee is not None and assignee != by.person else []
        if new in {State.REPORTED, State.DECLINED}:
            return [holder.person for holder in holding(LADDER[GUARD], holders) if holder.person != by.person]
        return []

    @staticmethod
    async def candidates(
        connection: Connection, holders: Sequence[Holder], without: Iterable[int] = ()
    ) -> list[Candidate]:
        """Who of the holders can be sent, the first choice first."""
        busy = await incidents.busy(connection, [holder.person for holder in holders if holder.role in SENT])
        return candidates(holders, busy, set(without))

    async def due(self, connection: Connection, limit: int, *, now: datetime | None = None) -> Handled:
        """Tells the next ones of incidents whose limit is over; each limit once, whichever process finds it."""
        late = await incidents.lock_due(connection, limit, now)
        if not late:
            return Handled(0)
        at = await incidents.moment(connection, now)
        holders = await incidents.holders(connection, sorted({found.estate for found in late}), ROLES)
        steps, moved, notices = [], [], []
        for found in late:
            here = [holder for holder in holders if holder.estate == found.estate]
            rung, told = next_rung(found.rung, here)
            state, limits = State(found.state), self._limits[found.priority]
            limit_s = limits.of(state) or limits.again_s
            is_review = state is State.RESOLVED  # which can wait for the morning
            pause = timedelta(seconds=limits.again_s if is_top(rung, here) and not is_review else limit_s)
            assert found.due_at is not None
            # After an outage nobody is passed over: each has their time.
            due_at = found.due_at + pause if found.due_at + pause > at else at + pause
            moved.append((found.id, rung, due_at))
            people_told = tuple(holder.person for holder in told)
            steps.append(
                Step(incident=found.id, at=at, act="escalate", from_state=state, to_state=state, who=SYSTEM,
                     assignee=found.assignee, told=people_told, why=LADDER[rung].name if told else "")
            )  # fmt: skip
            text = texts.overdue(found, state, (at - found.changed_at).total_seconds() // 1, LADDER[rung].name)
            priority = "low" if is_review else found.priority
            notices += _notices(found, people_told, f"escalated to {LADDER[rung].name}", text, at, priority)
            _ACTS.labels("escalate").inc()
        await incidents.escalate(connection, moved)
        await incidents.add_steps(connection, steps)
        if notices:
            await self._tell(connection, notices)
        return Handled(len(late), frozenset(topic for found in late for topic in _topics(found.estate)))

    @staticmethod
    async def wanted(connection: Connection, asked: Sequence[UUID]) -> set[UUID]:
        """Which of these incidents still want somebody, right before a message about them leaves."""
        return await incidents.wanted(connection, asked)

    async def _lock(self, connection: Connection, incident: UUID, estates: Sequence[int]) -> LockedIncident:
        found = await incidents.lock(connection, incident)
        if found is None or found.estate not in estates:
            raise NoSuchIncidentError(f"there is no incident {incident}")
        return found

    async def _note(
        self, connection: Connection, found: LockedIncident, act: str, why: str, by: Actor, now: datetime | None
    ) -> None:
        said = Step(
            incident=found.id, at=await incidents.moment(connection, now), act=act, from_state=found.state,
            to_state=found.state, who=by.who, person=by.person, assignee=found.assignee, why=why,
        )  # fmt: skip
        await incidents.add_steps(connection, [said])
        _ACTS.labels(act).inc()

    async def _notify(
        self, connection: Connection, found: LockedIncident, told: Sequence[int], step: str, text: Text, at: datetime
    ) -> None:
        if told:
            await self._tell(connection, _notices(found, told, step, text, at))

    def _due_in(self, priority: str, state: State) -> timedelta:
        limit_s = self._limits[priority].of(state)
        assert limit_s is not None
        return timedelta(seconds=limit_s)


def _notices(
    found: LockedIncident, told: Iterable[int], step: str, text: Text, at: datetime, priority: str = ""
) -> list[Notice]:
    return [
        Notice(
            person=person, subject="incident", id=found.id, priority=priority or found.priority, estate=found.estate,
            step=f"{step} {at.timestamp():.6f}",  # told once a step, and the same step may come again
            text=text, path=f"/incidents/{found.id}",
        )
        for person in told
    ]  # fmt: skip


def _open_only(found: LockedIncident) -> None:
    if found.state not in OPEN:
        raise NotNowError(f"the incident is {found.state}", found.state)


def _topics(estate: int) -> set[str]:
    return {f"incidents:{estate}"}


async def _audit(connection: Connection, by: Actor, action: str, incident: UUID, detail: dict[str, object]) -> None:
    await people.audit(connection, by.person, by.who, action, f"incident {incident}", detail, by.address)
