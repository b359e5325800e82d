"""Boxes as a person may see them."""

from collections.abc import Sequence

from cloud.console.backend.identity import signed_in
from cloud.console.data import GatewayRow, Person, SessionState
from cloud.store import Database, gateways


class Gateways:
    """Fulfils GatewaysData."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def gateways(self, person: Person) -> Sequence[GatewayRow]:
        """All boxes of the person's estates."""
        async with self._database.connect() as connection:
            rows = await gateways.list_gateways(connection, signed_in(person).estates())
        return [_row(row) for row in rows]


def _row(row: gateways.GatewayRow) -> GatewayRow:
    heard = max((at for at in (row.seen_at, row.data_at) if at is not None), default=None)
    heard_of = SessionState.OFFLINE if row.silent else SessionState.ONLINE
    kept = None if row.urgent_backlog is None or row.bulk_backlog is None else row.urgent_backlog + row.bulk_backlog
    return GatewayRow(
        id=str(row.id),
        name=row.hostname,
        estate=row.estate,
        session=SessionState.NEVER if row.data_at is None else heard_of,
        last_seen_at=heard,
        version=row.version,
        backlog=kept,
        clock_error_s=None if row.uncertainty_ns is None else row.uncertainty_ns / 1e9,
        devices=row.devices,
    )
