"""Boxes as a person may see them."""

from collections import Counter
from collections.abc import Sequence

from cloud.console.backend.identity import signed_in
from cloud.console.data import GatewayRow, Person, SessionState, SilentGateway
from cloud.store import Database, boxes


class Gateways:
    """Fulfils GatewaysData."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def gateways(self, person: Person) -> Sequence[GatewayRow]:
        """All boxes of the person's estates."""
        async with self._database.connect() as connection:
            rows = await boxes.list_boxes(connection, signed_in(person).estates())
        names = distinct_names([(str(row.id), row.hostname) for row in rows])
        return [_row(row, names[str(row.id)]) for row in rows]

    async def silent(self, person: Person) -> Sequence[SilentGateway]:
        """The boxes of the person's estates that say nothing."""
        estates = signed_in(person).estates()
        async with self._database.connect() as connection:
            rows = await boxes.silent(connection, estates)
            known = await boxes.names(connection, estates) if rows else {}
        names = distinct_names([(str(box), hostname) for box, hostname in known.items()])
        return [
            SilentGateway(str(row.id), names.get(str(row.id), row.hostname), row.estate, row.seen_at, row.devices)
            for row in rows
        ]


def distinct_names(boxes: Sequence[tuple[str, str]]) -> dict[str, str]:
    """What to call each box (id, host name): its host name, with the beginning of its id where others have it too."""
    count = Counter(hostname for _, hostname in boxes)
    return {box: hostname if count[hostname] == 1 else f"{hostname} ({box[:4]})" for box, hostname in boxes}


def _row(row: boxes.BoxRow, name: str) -> GatewayRow:
    heard = max((at for at in (row.seen_at, row.data_at) if at is not None), default=None)
    heard_of = SessionState.OFFLINE if row.silent else SessionState.ONLINE
    kept = None if row.urgent_backlog is None or row.bulk_backlog is None else row.urgent_backlog + row.bulk_backlog
    return GatewayRow(
        id=str(row.id),
        name=name,
        estate=row.estate,
        session=SessionState.NEVER if row.data_at is None else heard_of,
        last_seen_at=heard,
        version=row.version,
        backlog=kept,
        clock_error_s=None if row.uncertainty_ns is None else row.uncertainty_ns / 1e9,
        devices=row.devices,
    )
