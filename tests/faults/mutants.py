"""Programs of ours with one promise broken, to show that the fault suite would find it.

`python -m tests.faults.mutants NAME anju-cloud serve`, or `… NAME anju run --site FILE --state FOLDER`. Each mutant
also waits where its mistake could be hit by a fault, as a slow machine would.
"""

import asyncio
import os
import sqlite3
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import Any

WAIT_S = 0.3


def cursor_apart() -> None:
    """The cursor moves in a transaction of its own, after that of the rows."""
    from cloud.store import group, streams
    from cloud.store.database import Connection, Database

    deferred: ContextVar[list[Callable[[Connection], Awaitable[None]]]] = ContextVar("deferred")
    storing = Database.storing

    def later(function: Callable[..., Awaitable[None]]) -> Callable[..., Awaitable[None]]:
        async def call(connection: Connection, *arguments: Any) -> None:
            deferred.get().append(lambda other: function(other, *arguments))

        return call

    @asynccontextmanager
    async def store_first(self: Database) -> AsyncIterator[Connection]:
        waiting: list[Callable[[Connection], Awaitable[None]]] = []
        deferred.set(waiting)
        async with storing(self) as connection:
            yield connection
        if waiting:
            await asyncio.sleep(WAIT_S)
            async with storing(self) as connection:
                for call in waiting:
                    await call(connection)

    Database.storing = store_first  # type: ignore[method-assign]
    for module, names in ((group, ("move_cursors", "seal")), (streams, ("move_cursor", "seal"))):
        for name in names:
            setattr(module, name, later(getattr(module, name)))


def early_answer() -> None:
    """Bulk is acknowledged before it is committed."""
    from cloud.ingest.group import GroupCommit

    store = GroupCommit._store

    async def answer_first(self: GroupCommit, connection: Any, members: Sequence[Any], **options: Any) -> Any:
        stored = await store(self, connection, members, **options)
        for member in members:
            if member.gateway in stored.outcomes:
                member.settle(stored.outcomes[member.gateway])
        await asyncio.sleep(WAIT_S)
        return stored

    GroupCommit._store = answer_first  # type: ignore[method-assign]


def settle_apart() -> None:
    """Landed blocks are deleted in a transaction before that which adds their rows."""
    import asyncpg

    from cloud.store import landing

    take = landing.take

    async def take_and_commit(connection: Any, places: Sequence[Any]) -> Any:
        other = await asyncpg.connect(os.environ["DATABASE_URL"])
        try:
            blocks = await take(other, places)
        finally:
            await other.close()
        await asyncio.sleep(WAIT_S)
        return blocks

    landing.take = take_and_commit


def no_fsync() -> None:
    """The box's blocks are on disk when the kernel likes."""
    from edge.disk import connect
    from edge.outbox import store

    def connect_and_forget(path: Path) -> sqlite3.Connection:
        db = connect(path)
        db.execute("PRAGMA synchronous = OFF")
        return db

    vars(store)["connect"] = connect_and_forget


def forgets_states() -> None:
    """The box does not know at its start what it said before."""
    from edge.outbox import Outbox

    Outbox.restored_states = lambda _: []  # type: ignore[method-assign]


MUTANTS: dict[str, tuple[str, Callable[[], None], tuple[str, ...]]] = {
    "cursor apart": ("anju-cloud", cursor_apart, ("cloud killed", "clouds killed", "database killed")),
    "early answer": ("anju-cloud", early_answer, ("clouds killed", "database killed", "database restarted")),
    "settle apart": ("anju-cloud", settle_apart, ("cloud killed", "clouds killed", "database killed")),
    "no fsync": ("anju", no_fsync, ("power cut",)),
    "forgets states": ("anju", forgets_states, ("box killed", "power cut")),
}
"""Each mutant: whose, how it is made, and the faults that are to show it."""


def main(name: str, program: str, *words: str) -> None:
    """Becomes the program, broken where it is the one meant."""
    of, break_it, _ = MUTANTS[name]
    if program == of:
        break_it()
    if program == "anju":
        from edge.__main__ import main as run

        told = dict(zip(words[1::2], words[2::2], strict=True))
        run(told["--site"], told["--state"], os.environ["ANJU_HEALTH_LISTEN"])
        return
    from cloud.cli import main as cloud

    sys.argv = [program, *words]
    cloud()


if __name__ == "__main__":
    main(*sys.argv[1:])
