"""Devices as a person may see them, their charts, and orders to them."""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from math import ceil

from cloud.commands.commands import CommandRefusedError, Commands
from cloud.console.backend.identity import signed_in
from cloud.console.data import CommandRow, DeviceRow, EventRow, Person, Place, PointNow, Series
from cloud.identity.people import Right
from cloud.store import Database, commands, devices
from contract.messages import CommandStatus, Quality

_FINEST_S = 1


class Devices:
    """Fulfils DevicesData."""

    def __init__(self, database: Database, orders: Commands) -> None:
        self._database = database
        self._orders = orders

    async def devices(self, person: Person, search: str, limit: int) -> Sequence[DeviceRow]:
        """Devices whose name or place has every word of `search`."""
        words = search.casefold().split()
        async with self._database.connect() as connection:
            rows = await devices.list_devices(connection, signed_in(person).estates())
            found = [row for row in rows if all(word in _text(row) for word in words)][:limit]
            points = await devices.points(connection, [row.id for row in found])
        return [device_row(row, points[row.id]) for row in found]

    async def device(self, person: Person, device_id: int) -> DeviceRow | None:
        """One device with all its points."""
        async with self._database.connect() as connection:
            row = await devices.get(connection, device_id, signed_in(person).estates())
            if row is None:
                return None
            points = await devices.points(connection, [row.id])
        return device_row(row, points[row.id])

    async def events(self, person: Person, device_id: int, since: datetime, limit: int) -> Sequence[EventRow]:
        """Events and state changes, newest first."""
        async with self._database.connect() as connection:
            if await devices.get(connection, device_id, signed_in(person).estates()) is None:
                return []
            states = await devices.recent_states(connection, device_id, since, limit)
            happened = await devices.recent_events(connection, device_id, since, limit)
        rows = [EventRow(at=row.at, point=row.point, value=row.value) for row in states]
        rows += [EventRow(at=row.at, point=row.point, fields=row.fields) for row in happened]
        return sorted(rows, key=lambda row: row.at, reverse=True)[:limit]

    async def commands(self, person: Person, device_id: int, limit: int) -> Sequence[CommandRow]:
        """Orders to the device, newest first."""
        async with self._database.connect() as connection:
            if await devices.get(connection, device_id, signed_in(person).estates()) is None:
                return []
            return [_command_row(row) for row in await commands.list_recent(connection, device_id, limit)]

    async def series(
        self, person: Person, device_id: int, point: str, since: datetime, until: datetime, most: int
    ) -> Series:
        """A telemetry point in at most `most` buckets; empty where there is no such point for this person."""
        bucket_s = max(_FINEST_S, ceil((until - since).total_seconds() / most))
        async with self._database.connect() as connection:
            if await devices.get(connection, device_id, signed_in(person).estates()) is None:
                return Series([], [], [], [], bucket_s)
            found = await devices.series_of(connection, device_id, point)
            if found is None:
                return Series([], [], [], [], bucket_s)
            series, stale_after_s = found
            rows = await devices.chart(connection, series, since, until, timedelta(seconds=bucket_s))
        return Series(
            t=[row.t for row in rows],
            low=[row.min for row in rows],
            high=[row.max for row in rows],
            mean=[row.mean for row in rows],
            # Values are reported on change: between two reports the value stood still, unless the silence was too long.
            gap_s=max(stale_after_s, 1.5 * bucket_s),
        )

    async def send_command(
        self, person: Person, device_id: int, point: str, args: Mapping[str, str | int | float | bool]
    ) -> CommandRow | None:
        """Queues an order in the person's name."""
        known = signed_in(person).known
        estates = known.estates(Right.COMMAND)
        try:
            order = await self._orders.order(device_id, point, args, estates, known.id, known.name)
        except CommandRefusedError:
            return None
        async with self._database.connect() as connection:
            row = await commands.get(connection, order, estates)
        return _command_row(row) if row else None


def device_row(row: devices.DeviceRow, points: Sequence[devices.PointNow]) -> DeviceRow:
    """A device as the console wants it; a good value that is too old is stale."""
    return DeviceRow(
        id=row.id,
        name=row.name,
        kind=row.kind,
        profile=row.profile,
        gateway_name=row.hostname,
        place=Place(row.estate, row.building or None, row.unit or None, row.floor or None, row.spot or None),
        points=tuple(_point(point) for point in points),
        commands=tuple(row.commands),
    )


def _point(point: devices.PointNow) -> PointNow:
    quality = Quality.UNKNOWN if point.quality is None else Quality(point.quality)
    if quality is Quality.GOOD and point.stale:
        quality = Quality.STALE
    return PointNow(point.point, point.state if point.value is None else point.value, quality, point.at)


def _command_row(row: commands.CommandRow) -> CommandRow:
    return CommandRow(
        id=str(row.id),
        device_id=row.device,
        point=row.point,
        args=row.args,
        status=CommandStatus(row.status),
        by=row.who,
        at=row.at,
        answered_at=row.answered_at,
        reason=row.reason,
    )


def _text(row: devices.DeviceRow) -> str:
    return f"{row.name} {row.estate} {row.building}号楼 {row.unit}单元 {row.floor}层 {row.spot} {row.kind}".casefold()
