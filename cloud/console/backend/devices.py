"""Devices as a person may see them, their charts, and orders to them."""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime

from cloud.commands.commands import CommandRefusedError, Commands
from cloud.console.backend.identity import SignedIn, signed_in
from cloud.console.data import CommandRow, DeviceRow, EventRow, Person, Place, PointNow, Series
from cloud.console.words.events import devices_named
from cloud.identity.people import Right
from cloud.store import Database, commands, devices, history, people, storable
from cloud.store.devices import MOST_ID
from cloud.store.devices import EventRow as StoredEvent
from contract.kinds import KINDS
from contract.messages import CommandStatus, Quality

_NO_SERIES = Series([], [], [], [], 1)
_PERSONAL = frozenset({"access", "passage"})
"""Events that say what a person did."""
_MOST_LOOKS = 10_000
"""Pages whose look was kept already; one that is forgotten is kept once more."""
_KIND_WORDS = {code: f"{code} {kind.zh} {kind.en}" for code, kind in KINDS.items()}


class Devices:
    """Fulfils DevicesData."""

    def __init__(self, database: Database, orders: Commands) -> None:
        self._database = database
        self._orders = orders
        self._looks: dict[tuple[str, int], None] = {}

    async def devices(self, person: Person, search: str, limit: int) -> Sequence[DeviceRow]:
        """Devices whose name or place has every word of `search`."""
        words = storable(search, 200).split()
        async with self._database.connect() as connection:
            found = await devices.search(connection, signed_in(person).estates(), words, _KIND_WORDS, limit)
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

    async def events(
        self, person: Person, device_id: int, since: datetime, limit: int, *, opened: bool = False
    ) -> Sequence[EventRow]:
        """Events and state changes, newest first."""
        async with self._database.connect() as connection:
            if await devices.get(connection, device_id, signed_in(person).estates()) is None:
                return []
            states = await devices.recent_states(connection, device_id, since, limit)
            happened = await devices.recent_events(connection, device_id, since, limit)
            named = {key for row in happened for key in devices_named(row.point, row.fields)}
            names = await devices.names_beside(connection, device_id, named) if named else {}
        await self._note_look(signed_in(person), device_id, happened, opened=opened)
        rows = [EventRow(at=row.at, point=row.point, value=row.value) for row in states]
        rows += [EventRow(at=row.at, point=row.point, fields=row.fields, names=names) for row in happened]
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
        async with self._database.connect() as connection:
            if await devices.get(connection, device_id, signed_in(person).estates()) is None:
                return _NO_SERIES
            found = await devices.series_of(connection, device_id, point)
            if found is None:
                return _NO_SERIES
            series, stale_after_s = found
            curve = await history.chart(connection, series, since, until, most)
        rows = curve.buckets
        return Series(
            t=[row.t for row in rows],
            low=[row.min for row in rows],
            high=[row.max for row in rows],
            mean=[row.mean for row in rows],
            # Values are reported on change: between two reports the value stood still, unless the silence was too long.
            gap_s=max(stale_after_s, 1.5 * curve.bucket_s),
        )

    async def send_command(
        self, person: Person, device_id: int, point: str, args: Mapping[str, str | int | float | bool]
    ) -> CommandRow | None:
        """Queues an order in the person's name."""
        who = signed_in(person)
        estates = who.estates(Right.COMMAND)
        try:
            order = await self._orders.order(
                device_id, point, args, estates, who.known.id, who.name, address=who.address
            )
        except CommandRefusedError:
            return None
        async with self._database.connect() as connection:
            row = await commands.get(connection, order, estates)
        return _command_row(row) if row else None

    async def topics(self, person: Person, wanted: Collection[str]) -> Mapping[str, str]:
        """Lists by estate (and what woke somewhere, nobody knows where), devices by their number."""
        estates = signed_in(person).estates()
        lists = [name for name in ("alarms", "devices", "gateways", "incidents") if name in wanted]
        found = {name: name for name in lists} | {f"{name}:{estate}": name for name in lists for estate in estates}
        asked = [int(name.removeprefix("device:")) for name in wanted if name.startswith("device:")]
        asked = [device for device in asked if device <= MOST_ID]
        if asked:
            async with self._database.connect() as connection:
                found |= {
                    f"device:{device}": f"device:{device}" for device in await devices.among(connection, asked, estates)
                }
        return found

    async def _note_look(self, person: SignedIn, device: int, happened: Sequence[StoredEvent], *, opened: bool) -> None:
        """Who went through which door is personal: a look at it is kept, once a page and its live updates."""
        shown = sum(event.point in _PERSONAL for event in happened)
        look = (person.session, device)
        if not shown or (look in self._looks and not opened):
            return
        async with self._database.transaction() as connection:
            await people.audit(
                connection, person.known.id, person.name, "look at access events", f"device {device}",
                {"events": shown}, person.address,
            )  # fmt: skip
        self._looks.pop(look, None)
        self._looks[look] = None
        if len(self._looks) > _MOST_LOOKS:
            del self._looks[next(iter(self._looks))]


def device_row(row: devices.DeviceRow, points: Sequence[devices.PointNow]) -> DeviceRow:
    """A device as the console wants it; a good value that nobody can know to hold still is stale."""
    return DeviceRow(
        id=row.id,
        name=row.name,
        kind=row.kind,
        profile=row.profile,
        gateway_name=f"{row.hostname} ({str(row.gateway)[:4]})",
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
