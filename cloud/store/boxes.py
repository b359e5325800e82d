"""How boxes are: their beats and reports, their clocks and streams, and what they had to give up."""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from uuid import UUID

import msgspec

from cloud.store.database import Connection, rows_as
from cloud.store.errors import storable
from cloud.store.sql import load_queries
from contract.decoding import from_json
from contract.session import GatewayReport

_SQL = load_queries("boxes")


class Beaten(msgspec.Struct, frozen=True):
    """What was heard of a box lately: its newest beat, how long ago, and when the sessions were opened that beat.

    `shared`: an older session beat after a newer one, which only two boxes can do; so does the oldest of these, where
    it was last heard (`oldest_ago`) after one was opened that is known from an earlier write, which may be another
    process's. Without a beat (None) something else was heard of it.
    """

    urgent_blocks: int | None
    bulk_blocks: int | None
    ago: timedelta
    oldest_at: datetime | None
    oldest_ago: timedelta
    newest_at: datetime | None
    shared: bool


class Heard(msgspec.Struct, frozen=True):
    """What a beat told of a box: whether it was silent until then, and whether two boxes beat as one, then and now."""

    id: UUID
    estate: int
    was_silent: bool
    was_shared: bool
    shared: bool


class SilentBox(msgspec.Struct, frozen=True):
    """A box that says nothing, since when, and how many devices nobody knows of because of it."""

    id: UUID
    estate: str
    hostname: str
    seen_at: datetime | None
    devices: int


class BoxRow(msgspec.Struct, frozen=True):
    """A box as the list shows it; `data_at` is when the cloud last committed anything new from it.

    `lost_items` are those that nobody has marked as seen, `shared` that two boxes speak as this one.
    """

    id: UUID
    estate: str
    hostname: str
    version: str
    enrolled_at: datetime
    seen_at: datetime | None
    uncertainty_ns: int | None
    clock_source: str | None
    silent: bool
    shared: bool
    urgent_backlog: int | None
    bulk_backlog: int | None
    devices: int
    data_at: datetime | None
    lost_items: int
    quarantined: int


class Box(msgspec.Struct, frozen=True):
    """One box, also a revoked one, with its newest report; `replaced` are the boxes whose place it took."""

    id: UUID
    estate_id: int
    estate: str
    hostname: str
    version: str
    site_digest: str | None
    enrolled_at: datetime
    seen_at: datetime | None
    revoked_at: datetime | None
    beat_s: float
    shared_at: datetime | None
    replaced_by: UUID | None
    replaced: Sequence[UUID]
    silent: bool
    shared: bool
    urgent_backlog: int | None
    bulk_backlog: int | None
    devices: int
    data_at: datetime | None
    quarantined: int
    reported_at: datetime | None
    report: GatewayReport | None


class BootRow(msgspec.Struct, frozen=True):
    """A run of a box's clock, and how well its time is known."""

    first_seen_at: datetime
    has_time: bool
    uncertainty_ns: int | None
    source: str | None


class StreamRow(msgspec.Struct, frozen=True):
    """How far a stream of a box is in the cloud, and when it last came further."""

    stream: str
    epoch: int
    number: int
    moved_at: datetime


class EpochRow(msgspec.Struct, frozen=True):
    """A chain of blocks: each after the first of its stream means a restored or replaced disk, or two boxes."""

    stream: str
    epoch: int
    opened_at: datetime
    closed_at: datetime | None
    last_number: int | None
    is_first: bool


class LossRow(msgspec.Struct, frozen=True):
    """What a box said it had to give up, and who has looked at that."""

    id: int
    stream: str
    items: int
    reason: str
    at: datetime
    seen_at: datetime | None
    seen_by: str | None


class UnseenLosses(msgspec.Struct, frozen=True):
    """What a box gave up that nobody has looked at: receipts, what they held, and the newest of them."""

    count: int
    items: int
    last: int


async def beats(connection: Connection, beaten: Mapping[UUID, Beaten]) -> list[Heard]:
    """These boxes live; one statement for all. A box that was revoked meanwhile is left out."""
    heard = beaten.values()
    rows = await connection.fetch(
        _SQL["beats"], list(beaten), [b.urgent_blocks for b in heard], [b.bulk_blocks for b in heard],
        [b.ago for b in heard], [b.oldest_at for b in heard], [b.newest_at for b in heard], [b.shared for b in heard],
        [b.oldest_ago for b in heard],
    )  # fmt: skip
    return rows_as(Heard, rows)


async def put_reports(connection: Connection, reports: Mapping[UUID, GatewayReport]) -> None:
    """What boxes say of themselves."""
    said = [msgspec.json.encode(_storable(report)).decode() for report in reports.values()]
    await connection.execute(_SQL["put_reports"], list(reports), said)


def _storable(report: GatewayReport) -> GatewayReport:
    """Without the NUL characters that PostgreSQL does not take; the contract has bounded all else."""
    buses = tuple(
        msgspec.structs.replace(
            bus, id=storable(bus.id, 100), protocol=storable(bus.protocol, 50), problem=storable(bus.problem, 500)
        )
        for bus in report.buses
    )
    version, source = storable(report.version, 50), storable(report.clock_source, 20)
    return msgspec.structs.replace(report, version=version, clock_source=source, buses=buses)


async def silent(connection: Connection, estates: Sequence[int]) -> list[SilentBox]:
    """The boxes of these estates that say nothing."""
    return rows_as(SilentBox, await connection.fetch(_SQL["silent"], list(estates)))


async def names(connection: Connection, estates: Sequence[int]) -> dict[UUID, str]:
    """The host names of these estates' boxes."""
    return {row["id"]: row["hostname"] for row in await connection.fetch(_SQL["names"], list(estates))}


async def list_boxes(connection: Connection, estates: Sequence[int] | None) -> list[BoxRow]:
    """The boxes of these estates, or of all, that are not revoked."""
    rows = await connection.fetch(_SQL["list_boxes"], None if estates is None else list(estates))
    return rows_as(BoxRow, rows)


async def box(connection: Connection, gateway: UUID, estates: Sequence[int]) -> Box | None:
    """One box of these estates. A report that this version does not understand is none."""
    row = await connection.fetchrow(_SQL["box"], gateway, list(estates))
    if row is None:
        return None
    return Box(**(dict(row) | {"report": _report(row["report"])}))


def _report(text: str | None) -> GatewayReport | None:
    try:
        return None if text is None else from_json(text, GatewayReport)
    except msgspec.DecodeError:
        return None


async def boots(connection: Connection, gateway: UUID, limit: int) -> list[BootRow]:
    """A box's newest boots."""
    return rows_as(BootRow, await connection.fetch(_SQL["boots"], gateway, limit))


async def streams(connection: Connection, gateway: UUID) -> list[StreamRow]:
    """How far a box's streams are, urgent first; a stream of which nothing came is left out."""
    return rows_as(StreamRow, await connection.fetch(_SQL["streams"], gateway))


async def epochs(connection: Connection, gateway: UUID, limit: int) -> list[EpochRow]:
    """A box's newest chains."""
    return rows_as(EpochRow, await connection.fetch(_SQL["epochs"], gateway, limit))


async def losses(connection: Connection, gateway: UUID, limit: int) -> list[LossRow]:
    """What a box gave up, first what nobody has looked at, then the newest."""
    return rows_as(LossRow, await connection.fetch(_SQL["losses"], gateway, limit))


async def unseen_losses(connection: Connection, gateway: UUID) -> UnseenLosses:
    """What a box gave up that nobody has looked at."""
    (found,) = rows_as(UnseenLosses, await connection.fetch(_SQL["unseen_losses"], gateway))
    return found


async def see_losses(connection: Connection, gateway: UUID, last: int, person: int) -> tuple[int, int]:
    """A person has looked at what a box gave up, up to the receipt `last`; how many of them, and what they held."""
    ((receipts, items),) = await connection.fetch(_SQL["see_losses"], gateway, last, person)
    return receipts, items
