"""Boxes as a person may see them."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from cloud.console.backend.identity import signed_in
from cloud.console.data import GatewayRow, Person, SessionState
from cloud.store import Database, gateways

_SILENT_AFTER = timedelta(minutes=2)
"""A box with a session says something at least this often: its bulk stream is sealed every minute at the latest."""


class Gateways:
    """Fulfils GatewaysData."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def gateways(self, person: Person) -> Sequence[GatewayRow]:
        """All boxes of the person's estates."""
        async with self._database.connect() as connection:
            rows = await gateways.list_gateways(connection, signed_in(person).estates())
        now = datetime.now(UTC)
        return [_row(row, now) for row in rows]


def _row(row: gateways.GatewayRow, now: datetime) -> GatewayRow:
    heard = max((at for at in (row.seen_at, row.data_at) if at is not None), default=None)
    if heard is None:
        state = SessionState.NEVER
    else:
        online = row.in_session and now - heard < _SILENT_AFTER
        state = SessionState.ONLINE if online else SessionState.OFFLINE
    return GatewayRow(
        id=str(row.id),
        name=row.hostname,
        estate=row.estate,
        session=state,
        last_seen_at=heard,
        version=row.version,
        clock_error_s=None if row.uncertainty_ns is None else row.uncertainty_ns / 1e9,
        devices=row.devices,
    )
