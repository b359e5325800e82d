"""Alarms as a person may see them, and what they do to one."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from uuid import UUID

from cloud.alarms.acts import UNDO_WITHIN, NoSuchAlarmError, NotNowError
from cloud.alarms.engine import Engine
from cloud.alarms.flood import flood_now
from cloud.alarms.rules.load import pack
from cloud.alarms.rules.model import Rule, Threshold
from cloud.alarms.sources import bus_of, place_of
from cloud.console.alarms.data import (
    Acknowledge,
    Act,
    AlarmRow,
    AlarmState,
    Assign,
    Came,
    Colleague,
    Comment,
    Crowd,
    Flood,
    Label,
    Outcome,
    Priority,
    PutLabel,
    ReturnToService,
    Say,
    Shelve,
    Situation,
    TakeOutOfService,
    Told,
    ToldState,
    Transition,
    UndoAcknowledge,
    Unshelve,
    Window,
    WindowKind,
)
from cloud.console.backend.devices import device_row
from cloud.console.backend.identity import RIGHTS, SignedIn, signed_in
from cloud.console.data import Action, DeviceRow, Person, Place, Value
from cloud.console.words.points import is_telemetry
from cloud.identity.people import ROLES, Right
from cloud.store import Connection, Database, alarm_pages, devices, notify, windows

_RIGHT_OF: dict[type, Action] = {
    Shelve: Action.SHELVE,
    Unshelve: Action.SHELVE,
    TakeOutOfService: Action.RULES,
    ReturnToService: Action.RULES,
}
"""What an act asks for; all others Action.ACKNOWLEDGE."""
_TOLD = {
    "sending": ToldState.SENDING,
    "accepted": ToldState.ACCEPTED,
    "refused": ToldState.REFUSED,
    "not sent": ToldState.DROPPED,
}
"""What a request's outcome means for who is in it; of any other nobody knows whether it arrived."""
_WHO_MAY = tuple(role for role, rights in ROLES.items() if Right.ACKNOWLEDGE in rights)


class Alarms:
    """Fulfils AlarmsData."""

    def __init__(self, database: Database, engine: Engine) -> None:
        self._database = database
        self._engine = engine

    async def active_alarms(self, person: Person) -> Sequence[AlarmRow]:
        """What wants a person now."""
        who = signed_in(person)
        async with self._database.connect() as connection:
            return self._rows(who, await alarm_pages.active(connection, who.estates()))

    async def held_alarms(self, person: Person, limit: int) -> tuple[Sequence[AlarmRow], int]:
        """What is kept from people, and how many that are."""
        who = signed_in(person)
        async with self._database.connect() as connection:
            found = await alarm_pages.held(connection, who.estates(), limit) if limit else []
            return self._rows(who, found), await alarm_pages.count_held(connection, who.estates())

    async def ended_alarms(self, person: Person, limit: int) -> Sequence[AlarmRow]:
        """What is over, the newest first."""
        who = signed_in(person)
        async with self._database.connect() as connection:
            return self._rows(who, await alarm_pages.ended(connection, who.estates(), limit))

    async def alarm(self, person: Person, alarm_id: UUID) -> AlarmRow | None:
        """One alarm."""
        who = signed_in(person)
        async with self._database.connect() as connection:
            row = await alarm_pages.get(connection, alarm_id, who.estates())
        return self._row(who, row) if row else None

    async def alarm_history(self, person: Person, alarm_id: UUID) -> Sequence[Transition]:
        """What happened to an alarm."""
        async with self._database.connect() as connection:
            if await alarm_pages.get(connection, alarm_id, signed_in(person).estates()) is None:
                return []
            rows = await alarm_pages.history(connection, alarm_id)
        return [
            Transition(
                at=row.at,
                from_state=AlarmState(row.from_state),
                to_state=AlarmState(row.to_state),
                event=row.event,
                who=row.who if row.person is not None else None,
                why=row.why or None,
            )
            for row in rows
        ]

    async def alarm_comments(self, person: Person, alarm_id: UUID) -> Sequence[Comment]:
        """What was written about an alarm."""
        async with self._database.connect() as connection:
            if await alarm_pages.get(connection, alarm_id, signed_in(person).estates()) is None:
                return []
            rows = await alarm_pages.comments(connection, alarm_id)
        return [Comment(row.at, row.who if row.person is not None else None, row.text) for row in rows]

    async def told(self, person: Person, alarm_id: UUID) -> Sequence[Told]:
        """Whom an alarm was brought to."""
        async with self._database.connect() as connection:
            if await alarm_pages.get(connection, alarm_id, signed_in(person).estates()) is None:
                return []
            rows = await notify.of_subject(connection, alarm_id)
        return [
            Told(
                who=row.person,
                channel=row.channel,
                state=_told_state(row),
                at=row.ended_at or row.taken_at,
                repeat=row.repeat,
                code=row.code or "",
                reason=row.reason or "",
            )
            for row in rows
        ]

    async def beneath(self, person: Person, alarm_id: UUID, limit: int) -> Sequence[AlarmRow]:
        """What an alarm suppresses."""
        who = signed_in(person)
        async with self._database.connect() as connection:
            return self._rows(who, await alarm_pages.beneath(connection, alarm_id, who.estates(), limit))

    async def colleagues(self, person: Person, alarm_id: UUID) -> Sequence[Colleague]:
        """Who else may acknowledge an alarm, and so take it."""
        async with self._database.connect() as connection:
            found = await self._who_may(connection, signed_in(person), alarm_id)
        return [Colleague(str(one.id), one.name, one.role) for one in found if str(one.id) != person.id]

    async def _who_may(self, connection: Connection, who: SignedIn, alarm_id: UUID) -> Sequence[alarm_pages.Colleague]:
        row = await alarm_pages.get(connection, alarm_id, who.estates(Right.ACKNOWLEDGE))
        return await alarm_pages.who_may(connection, row.estate_id, _WHO_MAY) if row else []

    async def act(self, person: Person, alarm_id: UUID, act: Act) -> Came:
        """What a person does to an alarm, in their name."""
        who = signed_in(person)
        estates = who.estates(RIGHTS[_RIGHT_OF.get(type(act), Action.ACKNOWLEDGE)])
        try:
            async with self._database.transaction() as connection:
                topics = await self._do(connection, who, alarm_id, estates, act)
        except NoSuchAlarmError:
            return Came(Outcome.MISSING)
        except NotNowError as e:
            return Came(Outcome.REFUSED, str(e))
        await self._database.wake(topics)
        return Came(Outcome.DONE if topics else Outcome.ALREADY)

    async def _do(
        self, connection: Connection, who: SignedIn, alarm: UUID, estates: Sequence[int], act: Act
    ) -> set[str]:
        engine, of = self._engine, (connection, alarm, estates, who.known.id, who.name)
        at = who.address
        match act:
            case Acknowledge():
                return await engine.acknowledge(*of, address=at)
            case UndoAcknowledge():
                return await engine.undo_acknowledge(*of, address=at)
            case Shelve(ends, why):
                return await engine.shelve(*of, await _until(connection, ends), why, address=at)
            case Unshelve():
                return await engine.unshelve(*of, address=at)
            case TakeOutOfService(ends, why):
                return await engine.take_out_of_service(*of, await _until(connection, ends), why, address=at)
            case ReturnToService():
                return await engine.return_to_service(*of, address=at)
            case Assign(to):
                name = {str(one.id): one.name for one in await self._who_may(connection, who, alarm)}
                to = to or who.id
                if to not in name:
                    raise NoSuchAlarmError(f"there is nobody {to} who may take alarm {alarm}")
                return await engine.assign(*of, int(to), name[to], address=at)
            case Say(text):
                return await engine.comment(*of, text, address=at)
            case PutLabel(label):
                return await engine.label(*of, label.value, address=at)

    async def situation(self, person: Person) -> Situation:
        """The flood, and drills and maintenance that stand now."""
        estates = signed_in(person).estates()
        async with self._database.connect() as connection:
            flood = await flood_now(connection, estates)
            now = await alarm_pages.time(connection)
            found = [row for row in await windows.standing(connection, estates, now=now) if row.from_at <= now]
            names = await alarm_pages.area_names(connection, {row.estate for row in found}) if found else {}
        crowds = [Crowd(Place(one.estate, one.building or None), one.alarms) for one in flood.places] if flood else []
        return Situation(
            Flood(flood.since, flood.alarms, tuple(crowds)) if flood else None,
            tuple(
                Window(
                    id=str(row.id),
                    kind=WindowKind(row.kind),
                    place=Place(names.get(row.estate, ""), row.building, row.unit),
                    until=row.until_at,
                    why=row.why,
                    who=row.who,
                    devices=len(row.devices or ()),
                    bus=row.bus or "",
                )
                for row in found
            ),
        )

    async def doors_near(self, person: Person, alarm: AlarmRow) -> Sequence[DeviceRow]:
        """Doors of the alarm's estate that this person may open, those of the same building first.

        None for what is wrong with a box or a bus: no door helps there.
        """
        allowed = signed_in(person).estates(Right.COMMAND)
        if alarm.device_id is None and alarm.gateway_id is not None:
            return []
        async with self._database.connect() as connection:
            row = await alarm_pages.get(connection, alarm.id, allowed)
            if row is None:
                return []
            place = alarm.place
            near = await devices.doors_near(connection, row.estate_id, place.building or "", place.unit or "", allowed)
            points = await devices.points(connection, [door.id for door in near])
        return [device_row(door, points[door.id]) for door in near]

    def _rows(self, who: SignedIn, rows: Sequence[alarm_pages.PageRow]) -> list[AlarmRow]:
        return [self._row(who, row) for row in rows]

    def _row(self, who: SignedIn, row: alarm_pages.PageRow) -> AlarmRow:
        rule = self._engine.book.get(row.rule) or _shipped(row.rule)
        kind, point = _subject(row, rule)
        state = AlarmState(row.state)
        can_undo = row.acked_by_id == who.known.id and state in {AlarmState.ACKED, AlarmState.NORM}
        return AlarmRow(
            id=row.id,
            rule=row.rule,
            priority=Priority(row.priority),
            state=state,
            device_id=row.device,
            device_name=row.device_name,
            kind=kind,
            point=point,
            place=_place(row),
            raised_at=row.raised_at,
            changed_at=row.changed_at,
            value=_value(kind, point, row.value),
            limit=_limit(rule, row.stage),
            texts=rule.text if rule else None,
            curve=rule.curve if rule else "",
            life_safety=rule.life_safety if rule else row.priority == "critical",
            gateway_id=row.gateway,
            holds=row.holds,
            acked_by=row.acked_by,
            acked_at=row.acked_at,
            assignee=row.assignee,
            is_mine=row.assignee_id == who.known.id,
            hold_until=row.hold_until,
            hold_why=row.hold_why,
            held_by=row.held_by,
            cause=row.cause,
            beneath=row.beneath,
            label=Label(row.label) if row.label else None,
            drill=row.drill,
            repeats=row.repeats,
            chattering=row.chattering,
            late=row.late,
            stale=row.stale,
            allowed=frozenset(action for action, right in RIGHTS.items() if row.estate_id in who.estates(right)),
            undo_until=row.acked_at + UNDO_WITHIN if row.acked_at and can_undo else None,
        )


async def _until(connection: Connection, ends: timedelta | datetime) -> datetime:
    """When a hold ends, by the database's clock: it alone judges whether that is too long."""
    return await alarm_pages.time(connection) + ends if isinstance(ends, timedelta) else ends.astimezone(UTC)


def _told_state(row: notify.TryRow) -> ToldState:
    """A message that was never in a request waits, or nobody needs it any more."""
    if row.outcome is None:
        return ToldState.DROPPED if row.state == "not wanted" else ToldState.WAITS
    return _TOLD.get(row.outcome, ToldState.UNCERTAIN)


def _shipped(name: str) -> Rule | None:
    """The rule as it came with the software, for the texts of one that is switched off."""
    return next((rule for rule in pack().rules if rule.name == name), None)


def _subject(row: alarm_pages.PageRow, rule: Rule | None) -> tuple[str, str]:
    """Kind and point of what an alarm is about; a box and a bus have those that the cloud watches by itself."""
    kind = "bus" if bus_of(row.source) else row.kind
    if row.point or row.device is not None:
        return kind, row.point or ""
    return kind, rule.points[0] if rule and kind and len(rule.points) == 1 else ""


def _place(row: alarm_pages.PageRow) -> Place:
    if bus := bus_of(row.source):
        return Place(row.estate, spot=f"{row.device_name} · {bus[1]}")
    if (where := place_of(row.source)) is not None:
        return Place(row.estate, where[0] or None, where[1] or None)
    if row.device is None:
        return Place(row.estate, spot=row.device_name or None)
    return Place(row.estate, row.building or None, row.unit or None, row.floor or None, row.spot or None)


def _value(kind: str, point: str, value: str) -> Value:
    if not is_telemetry(kind, point):
        return value or None
    try:
        return float(value)
    except ValueError:
        return value or None


def _limit(rule: Rule | None, stage: int) -> float | None:
    """What the value was held against."""
    if rule is None or not isinstance(rule.form, Threshold) or not 1 <= stage <= rule.stages:
        return None
    return rule.form.stages[stage - 1].at
