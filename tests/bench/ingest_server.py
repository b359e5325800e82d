"""The database server that the ingest is measured on: every safety of a real one on, memory as on a small server."""

import asyncio
import itertools
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from tests.support.servers import ApacheServer, PlainServer, ServerMissingError, apache_folders, plain_folders

SETTINGS = {"shared_buffers": "1GB", "max_wal_size": "8GB", "max_connections": "60"}


class BenchServer:
    """PostgreSQL, with TimescaleDB where it is installed. Makes databases."""

    def __init__(self, server: ApacheServer | PlainServer) -> None:
        self.server = server
        self._numbers = itertools.count(1)

    @property
    def kind(self) -> str:
        """What it is, for a note."""
        return f"PostgreSQL, {'TimescaleDB Apache' if self.server.tier == 'apache' else 'plain'}, fsync on, 1 GB"

    @asynccontextmanager
    async def database(self) -> AsyncIterator[str]:
        """A fresh database's address; the server has written everything before out first."""
        name = f"bench_{next(self._numbers)}"
        await asyncio.to_thread(self.server.sql, f"CREATE DATABASE {name}")
        await self.quiet()
        try:
            yield self.server.url_of(name)
        finally:
            await asyncio.to_thread(self.server.sql, f"DROP DATABASE {name} WITH (FORCE)")

    async def quiet(self) -> None:
        """Has the server write out what earlier turns left, so that it is not charged to the next."""
        await asyncio.to_thread(self.server.sql, "CHECKPOINT")


@asynccontextmanager
async def bench_server() -> AsyncIterator[BenchServer]:
    """The server, gone with its data at the end."""
    try:
        server: ApacheServer | PlainServer = ApacheServer(apache_folders().take(), settings=SETTINGS)
    except ServerMissingError:
        server = PlainServer(plain_folders().take(), settings=SETTINGS)
    await asyncio.to_thread(server.start)
    try:
        yield BenchServer(server)
    finally:
        await asyncio.to_thread(server.remove)
