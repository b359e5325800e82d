"""The gate before a request: no message begins once its alarm's acknowledgement has committed (ARCHITECTURE.md).

It is a short transaction that holds the alarms as they are (FOR SHARE) while the request is handed to the kernel. An
acknowledgement writes the alarm, so it commits either before the gate looked, and the message is not sent, or after the
gate was left, when the request is on its way. It waits for the gate for milliseconds; for two seconds where the process
in the gate is stopped, since the database then ends its transaction.
"""

import asyncio
from collections import defaultdict
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack, suppress
from types import TracebackType
from uuid import UUID

from cloud.notify.channel import NotWantedError
from cloud.store import Connection, Database, notify
from cloud.store.notices import Wanted
from contract.errors import Retryable

ENTER_S = 3.0
"""How long the locks are waited for at most; then the message is held back, and tried again."""


class Gate:
    """The gate of one send. `begun`: the request was handed over, or may have been; `wanted`: what still is."""

    def __init__(
        self, database: Database, send: UUID, about: Sequence[tuple[str, UUID]], wanted: Mapping[str, Wanted]
    ) -> None:
        self._database = database
        self._send = send
        self._about = about
        self._asked = wanted
        self._stack = AsyncExitStack()
        self.begun = False
        self.wanted: frozenset[UUID] | None = None

    async def __aenter__(self) -> None:
        """Raises NotWantedError where somebody has what the message is about, Retryable where that cannot be seen."""
        assert not self.begun, "a gate is entered once"
        async with AsyncExitStack() as stack:
            connection = await stack.enter_async_context(self._database.transaction())
            async with asyncio.timeout(ENTER_S):
                await self._look(connection)
            self._stack = stack.pop_all()
        self.begun = True

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Lets the alarms go. Raises Retryable where the database was lost; an error of the sending goes before."""
        with suppress(*([Retryable] if error else [])):
            await self._stack.aclose()

    async def _look(self, connection: Connection) -> None:
        await notify.bound_gate(connection)
        if not await notify.hold_send(connection, self._send):
            raise NotWantedError  # given up for lost: another process has its messages
        by_subject: dict[str, list[UUID]] = defaultdict(list)
        for subject, about in self._about:
            by_subject[subject].append(about)
        held: set[UUID] = set()
        for subject, ids in sorted(by_subject.items()):
            held |= await self._hold(connection, subject, ids)
        self.wanted = frozenset(held)
        if any(about not in held for _, about in self._about):
            raise NotWantedError

    async def _hold(self, connection: Connection, subject: str, ids: Sequence[UUID]) -> set[UUID]:
        if subject == "alarm":
            return await notify.hold_wanting(connection, ids)
        return await self._asked[subject](connection, ids) if subject in self._asked else set(ids)
