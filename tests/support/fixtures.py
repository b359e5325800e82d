"""Fixtures for the database servers: each server starts once a run, each test has a fresh, empty database.

A server that is not installed fails the tests that need it, with what to run; nothing is skipped.
"""

from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest

from tests.support.servers import (
    QUICK,
    TIERS,
    ApacheServer,
    CommunityServer,
    Database,
    PlainServer,
    apache_folders,
    plain_folders,
)


@pytest.fixture(scope="session")
def plain_server() -> Iterator[PlainServer]:
    """PostgreSQL alone, started; a test that kills it starts it again."""
    server = PlainServer(plain_folders().take(), settings=QUICK)
    server.start()
    yield server
    server.remove()


@pytest.fixture(scope="session")
def apache_server() -> Iterator[ApacheServer]:
    """TimescaleDB's Apache edition, started; a test that kills it starts it again."""
    server = ApacheServer(apache_folders().take(), settings=QUICK)
    server.start()
    yield server
    server.remove()


@pytest.fixture(scope="session")
def community_server() -> Iterator[CommunityServer]:
    """TimescaleDB's Community edition, one connection at a time."""
    server = CommunityServer()
    server.start()
    yield server
    server.stop()


@pytest.fixture(params=TIERS)
def database(request: pytest.FixtureRequest) -> Iterator[Database]:
    """A fresh, empty database of each tier in turn. Mind its `max_connections`: community has one."""
    with request.getfixturevalue(f"{request.param}_server").database() as fresh:
        yield fresh


@pytest.fixture
def database_plain(plain_server: PlainServer) -> Iterator[Database]:
    """A fresh, empty database of PostgreSQL alone, with many connections."""
    with plain_server.database() as fresh:
        yield fresh


@pytest.fixture
def database_apache(apache_server: ApacheServer) -> Iterator[Database]:
    """A fresh, empty database with TimescaleDB's Apache edition to hand, with many connections."""
    with apache_server.database() as fresh:
        yield fresh


@pytest.fixture
def database_community(community_server: CommunityServer) -> Iterator[Database]:
    """A fresh, empty database with TimescaleDB's Community edition to hand, one connection at a time."""
    with community_server.database() as fresh:
        yield fresh


@pytest.fixture
def fresh_plain_server() -> Iterator[Callable[[], PlainServer]]:
    """Makes started servers for the test alone, with every safety of a real one on; kill() and start() them at will."""
    with ExitStack() as servers:

        def make() -> PlainServer:
            server = PlainServer(plain_folders().take())
            server.start()
            servers.callback(server.remove)
            return server

        yield make
