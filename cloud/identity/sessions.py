"""Whose tokens these are: asked of the database together.

Ten thousand boxes ask seven hundred times a second. What comes while a question is under way is asked in the next, so
that the database hears as many as it can answer, and no token is believed for longer than its one request.
"""

import asyncio

from cloud.identity.tokens import token_hash
from cloud.store import Database, gateways
from cloud.store.gateways import Gateway
from contract.errors import AnjuError, Retryable

MOST_TOGETHER = 500


class Sessions:
    """The sessions of boxes, as one process asks for them."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._asked: list[tuple[bytes, asyncio.Future[Gateway | None]]] = []
        self._asking: asyncio.Task[None] | None = None

    async def gateway(self, token: str) -> Gateway | None:
        """The box whose token this is; None when it has expired or the box was revoked. Raises Retryable."""
        found: asyncio.Future[Gateway | None] = asyncio.get_running_loop().create_future()
        self._asked.append((token_hash(token), found))
        if self._asking is None or self._asking.done():
            self._asking = asyncio.create_task(self._ask(), name="whose tokens")
        return await found

    async def _ask(self) -> None:
        while self._asked:
            asked, self._asked = self._asked[:MOST_TOGETHER], self._asked[MOST_TOGETHER:]
            try:
                async with self._database.connect() as connection:
                    found = await gateways.session_gateways(connection, {hashed for hashed, _ in asked})
            except AnjuError as e:
                _settle(asked, e)
            except BaseException:  # a mistake of ours, or the end of the process: nobody may wait for ever
                _settle([*asked, *self._asked], Retryable("cannot tell whose session this is"))
                raise
            else:
                for hashed, answer in asked:
                    if not answer.done():  # else nobody waits any more
                        answer.set_result(found.get(hashed))


def _settle(asked: list[tuple[bytes, asyncio.Future[Gateway | None]]], error: AnjuError) -> None:
    for _, answer in asked:
        if not answer.done():
            answer.set_exception(error)
