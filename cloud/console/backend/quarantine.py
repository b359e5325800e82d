"""Blocks that could not be stored, as a person may see them and decide about them."""

from collections.abc import Awaitable, Callable, Sequence
from uuid import UUID

from cloud.console.backend.identity import signed_in
from cloud.console.data import Person, Readable, Replay, ReplayOutcome, SetAside
from cloud.identity.people import Right
from cloud.store import Database, people, quarantine
from contract.block import inflate, split_block
from contract.errors import BlockError

StoreAgain = Callable[[int], Awaitable[str]]
"""Stores a block that was set aside once more; returns why that cannot be done, "" where it was. Raises Retryable."""


class Quarantine:
    """Fulfils QuarantineData. `store_again` is ingest's; the console does not know it."""

    def __init__(self, database: Database, store_again: StoreAgain | None) -> None:
        self._database = database
        self._store_again = store_again

    @property
    def can_replay(self) -> bool:
        """Whether there is somebody who can."""
        return self._store_again is not None

    async def set_aside(self, person: Person, gateway_id: UUID | None, limit: int) -> tuple[Sequence[SetAside], int]:
        """Those of the person's estates that were not stored since."""
        estates = signed_in(person).estates()
        async with self._database.connect() as connection:
            rows = await quarantine.list_blocks(connection, estates, gateway_id, limit)
            count = await quarantine.count_blocks(connection, estates, gateway_id)
        return [_row(row) for row in rows], count

    async def block(self, person: Person, block_id: int) -> tuple[SetAside, Readable] | None:
        """One of the person's estates."""
        async with self._database.connect() as connection:
            found = await quarantine.get_block(connection, block_id, signed_in(person).estates())
        return (_row(found), readable(found.block)) if found else None

    async def replay(self, person: Person, block_id: int) -> Replay:
        """Once more, in the name of somebody who manages the block's estate."""
        who = signed_in(person)
        async with self._database.connect() as connection:
            found = await quarantine.get_block(connection, block_id, who.estates(Right.MANAGE))
        if found is None or self._store_again is None:
            return Replay(ReplayOutcome.MISSING)
        if found.replayed_at is not None:
            return Replay(ReplayOutcome.ALREADY)
        problem = await self._store_again(block_id)
        detail = {"stream": found.stream, "epoch": found.epoch, "number": found.number, "problem": problem[:500]}
        async with self._database.transaction() as connection:
            await people.audit(
                connection, who.known.id, who.name, "replay block", f"gateway {found.gateway}", detail, who.address
            )
        await self._database.wake({f"{topic}:{found.estate_id}" for topic in ("gateways", "devices", "alarms")})
        return Replay(ReplayOutcome.REFUSED, problem) if problem else Replay(ReplayOutcome.STORED)

    async def drop(self, person: Person, block_id: int) -> bool:
        """For good, in the name of somebody who manages the block's estate."""
        who = signed_in(person)
        async with self._database.transaction() as connection:
            dropped = await quarantine.drop_block(connection, block_id, who.estates(Right.MANAGE))
            if dropped is None:
                return False
            await people.audit(
                connection, who.known.id, who.name, "drop block", f"gateway {dropped.gateway}", dropped.detail,
                who.address,
            )  # fmt: skip
        await self._database.wake({f"gateways:{dropped.estate_id}"})
        return True


def readable(block: bytes) -> Readable:
    """What can be read of a block, as far as that goes."""
    try:
        header, body_bytes, packed = split_block(block)
    except BlockError as e:
        return Readable(problem=str(e))
    try:
        return Readable(header, len(inflate(body_bytes, packed)))
    except BlockError as e:
        return Readable(header, None, str(e))


def _row(row: quarantine.BlockRow) -> SetAside:
    return SetAside(
        id=row.id,
        gateway_id=str(row.gateway),
        gateway_name=row.hostname,
        estate=row.estate,
        stream=row.stream,
        epoch=row.epoch,
        number=row.number,
        bytes=row.bytes,
        reason=row.reason,
        at=row.at,
        replayed_at=row.replayed_at,
    )
