"""Alarms as a person may see them, and their acknowledgement."""

from collections.abc import Sequence
from uuid import UUID

from cloud.alarms.engine import Engine, NoSuchAlarmError
from cloud.console.backend.devices import device_row
from cloud.console.backend.identity import signed_in
from cloud.console.data import Acknowledged, AlarmRow, AlarmState, DeviceRow, Person, Place, Priority, Transition
from cloud.identity.people import Right
from cloud.store import Database, alarms, devices


class Alarms:
    """Fulfils AlarmsData."""

    def __init__(self, database: Database, engine: Engine) -> None:
        self._database = database
        self._engine = engine

    async def active_alarms(self, person: Person) -> Sequence[AlarmRow]:
        """What is wrong now."""
        async with self._database.connect() as connection:
            return [_row(row) for row in await alarms.list_active(connection, signed_in(person).estates())]

    async def ended_alarms(self, person: Person, limit: int) -> Sequence[AlarmRow]:
        """What is over, the newest first."""
        async with self._database.connect() as connection:
            return [_row(row) for row in await alarms.list_recent(connection, signed_in(person).estates(), limit)]

    async def alarm(self, person: Person, alarm_id: UUID) -> AlarmRow | None:
        """One alarm."""
        async with self._database.connect() as connection:
            row = await alarms.get(connection, alarm_id, signed_in(person).estates())
        return _row(row) if row else None

    async def alarm_history(self, person: Person, alarm_id: UUID) -> Sequence[Transition]:
        """What happened to an alarm."""
        async with self._database.connect() as connection:
            if await alarms.get(connection, alarm_id, signed_in(person).estates()) is None:
                return []
            rows = await alarms.history(connection, alarm_id)
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

    async def acknowledge(self, person: Person, alarm_id: UUID) -> Acknowledged:
        """Takes an alarm, in the person's name."""
        who = signed_in(person)
        estates = who.estates(Right.ACKNOWLEDGE)
        try:
            async with self._database.transaction() as connection:
                topics = await self._engine.acknowledge(
                    connection, alarm_id, estates, who.known.id, who.name, address=who.address
                )
        except NoSuchAlarmError:
            return Acknowledged.MISSING
        await self._database.wake(topics)
        return Acknowledged.DONE if topics else Acknowledged.ALREADY

    async def doors_near(self, person: Person, alarm: AlarmRow) -> Sequence[DeviceRow]:
        """Doors of the alarm's estate that this person may open, those of the same building first."""
        allowed = signed_in(person).estates(Right.COMMAND)
        async with self._database.connect() as connection:
            near = await devices.doors_near(connection, alarm.device_id, allowed)
            points = await devices.points(connection, [door.id for door in near])
        return [device_row(door, points[door.id]) for door in near]


def _row(row: alarms.AlarmRow) -> AlarmRow:
    return AlarmRow(
        id=row.id,
        rule=row.rule,
        priority=Priority(row.priority),
        state=AlarmState(row.state),
        device_id=row.device or 0,  # 0: there is no such device; it is about a box or a place
        device_name=row.device_name,
        kind=row.kind,
        point=row.point or "",
        place=Place(row.estate, row.building or None, row.unit or None, row.floor or None, row.spot or None),
        raised_at=row.raised_at,
        changed_at=row.changed_at,
        value=row.value,
        acked_by=row.acked_by,
        acked_at=row.acked_at,
        late=row.late,
        stale=row.stale,
    )
