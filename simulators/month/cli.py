"""The month from beginning to end: a PostgreSQL of its own, played, counted, printed."""

import asyncio
import tempfile
from collections.abc import Callable
from contextlib import AsyncExitStack
from pathlib import Path

from cloud.store import Database
from simulators.month.report import Outcome, lines, outcome, write
from simulators.month.run import Wish, play
from simulators.postgres import EmbeddedPostgres

_QUICK = {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off"}
"""What it holds is thrown away at the end."""


async def run(wish: Wish, operators: int, out: Path, say: Callable[[str], None]) -> bool:
    """Plays and counts a month, writes it to `out`; whether no fire was missed and each KPI is inside its target."""
    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="anju-month-")))
        server = EmbeddedPostgres(folder / "postgres", settings=_QUICK, ends_with_us=True)
        stack.callback(server.stop)
        await asyncio.to_thread(server.start)
        database = await stack.enter_async_context(Database.open(server.url, 2))
        found = await month(database, wish, operators, say)
    for line in lines(found):
        say(line)
    write(found, out)
    say(f"wrote {out}")
    return found.is_good


async def month(database: Database, wish: Wish, operators: int, say: Callable[[str], None]) -> Outcome:
    """Plays a month into a database that has nothing else, and counts it."""
    played = await play(database, wish, say)
    async with database.connect() as connection:
        return await outcome(connection, wish, played, operators)
