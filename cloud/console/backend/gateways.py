"""Boxes as a person may see them."""

from collections import Counter
from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from cloud.console.backend.identity import signed_in
from cloud.console.data import (
    Chain,
    Gateway,
    GatewayRow,
    Loss,
    Person,
    Run,
    SessionState,
    SilentGateway,
    StreamNow,
    Unseen,
)
from cloud.identity.people import Right
from cloud.store import Database, boxes, people
from contract.kinds import Lane

RUNS_SHOWN = 5
CHAINS_SHOWN = 8
LOSSES_SHOWN = 20


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

    async def gateway(self, person: Person, gateway_id: UUID) -> Gateway | None:
        """One box of the person's estates."""
        estates = signed_in(person).estates()
        async with self._database.connect() as connection:
            box = await boxes.box(connection, gateway_id, estates)
            if box is None:
                return None
            known = await boxes.names(connection, estates)
            streams = {row.stream: row for row in await boxes.streams(connection, box.id)}
            runs = await boxes.boots(connection, box.id, RUNS_SHOWN)
            chains = await boxes.epochs(connection, box.id, CHAINS_SHOWN)
            losses = await boxes.losses(connection, box.id, LOSSES_SHOWN)
            unseen = await boxes.unseen_losses(connection, box.id)
        known |= {box.id: box.hostname}
        names = distinct_names([(str(gateway), hostname) for gateway, hostname in known.items()])
        clock = next((run for run in runs if run.has_time), None)
        waiting = {Lane.URGENT: box.urgent_backlog, Lane.BULK: box.bulk_backlog}
        return Gateway(
            row=GatewayRow(
                id=str(box.id),
                name=names[str(box.id)],
                estate=box.estate,
                session=SessionState.REVOKED if box.revoked_at else _session(box),
                last_seen_at=_heard(box),
                version=box.report.version if box.report else box.version,
                backlog=_backlog(box),
                clock_error_s=_seconds(clock.uncertainty_ns) if clock else None,
                devices=box.devices,
                shared=box.shared,
                lost=unseen.items,
                quarantined=box.quarantined,
            ),
            enrolled_at=box.enrolled_at,
            site_digest=box.site_digest or "",
            shared_at=box.shared_at if box.shared else None,
            replaced_by=str(box.replaced_by or ""),
            replaced=tuple(str(gateway) for gateway in box.replaced),
            streams=tuple(
                StreamNow(lane, waiting[lane], row.number, row.moved_at)
                if (row := streams.get(lane))
                else StreamNow(lane, waiting[lane])
                for lane in Lane
            ),
            runs=tuple(Run(run.first_seen_at, _seconds(run.uncertainty_ns), run.source or "") for run in runs),
            chains=tuple(
                Chain(row.stream, row.opened_at, row.closed_at, row.last_number, row.is_first) for row in chains
            ),
            losses=tuple(
                Loss(row.id, row.stream, row.items, row.reason, row.at, row.seen_at, row.seen_by) for row in losses
            ),
            unseen=Unseen(unseen.count, unseen.items, unseen.last),
            reported_at=box.reported_at,
            report=box.report,
        )

    async def see_losses(self, person: Person, gateway_id: UUID, last: int) -> bool:
        """Somebody who may acknowledge has looked at what a box gave up."""
        who = signed_in(person)
        async with self._database.transaction() as connection:
            box = await boxes.box(connection, gateway_id, who.estates(Right.ACKNOWLEDGE))
            if box is None:
                return False
            receipts, items = await boxes.see_losses(connection, box.id, last, who.known.id)
            if receipts:
                detail = {"receipts": receipts, "items": items, "last": last}
                await people.audit(
                    connection, who.known.id, who.name, "see losses", f"gateway {box.id}", detail, who.address
                )
        await self._database.wake({f"gateways:{box.estate_id}"})
        return True


def distinct_names(boxes: Sequence[tuple[str, str]]) -> dict[str, str]:
    """What to call each box (id, host name): its host name, with the beginning of its id where others have it too."""
    count = Counter(hostname for _, hostname in boxes)
    return {box: hostname if count[hostname] == 1 else f"{hostname} ({box[:4]})" for box, hostname in boxes}


def _row(row: boxes.BoxRow, name: str) -> GatewayRow:
    return GatewayRow(
        id=str(row.id),
        name=name,
        estate=row.estate,
        session=_session(row),
        last_seen_at=_heard(row),
        version=row.version,
        backlog=_backlog(row),
        clock_error_s=_seconds(row.uncertainty_ns),
        devices=row.devices,
        shared=row.shared,
        lost=row.lost_items,
        quarantined=row.quarantined,
    )


def _session(row: boxes.BoxRow | boxes.Box) -> SessionState:
    if row.data_at is None:
        return SessionState.NEVER
    return SessionState.OFFLINE if row.silent else SessionState.ONLINE


def _heard(row: boxes.BoxRow | boxes.Box) -> datetime | None:
    return max((at for at in (row.seen_at, row.data_at) if at is not None), default=None)


def _backlog(row: boxes.BoxRow | boxes.Box) -> int | None:
    return None if row.urgent_backlog is None or row.bulk_backlog is None else row.urgent_backlog + row.bulk_backlog


def _seconds(ns: int | None) -> float | None:
    return None if ns is None else ns / 1e9
