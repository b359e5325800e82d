"""A store at each tier, with an estate, a box and people in it."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from uuid import UUID

import pytest

from cloud.alarms.engine import Engine
from cloud.alarms.rules import RuleBook
from cloud.commands.commands import Commands
from cloud.ingest.ingest import Ingest
from cloud.ingest.settle import Settler
from cloud.store import Database as Store
from cloud.store import gateways, people
from tests.support.servers import Database


@dataclass
class Estate:
    """One estate of a store, and the stages of the cloud over it."""

    store: Store
    area: int
    gateway: UUID
    person: int
    ingest: Ingest
    engine: Engine
    commands: Commands
    settler: Settler

    async def rows(self, sql: str, *args: object) -> list[tuple]:
        async with self.store.connect() as connection:
            return [tuple(row) for row in await connection.fetch(sql, *args)]


async def make_estate(store: Store) -> Estate:
    async with store.transaction() as connection:
        area = await people.put_area(connection, None, "estate", "西苑小区", "Asia/Shanghai")
        gateway = await gateways.put_gateway(connection, area, bytes(32), "box", "0.1.0")
        person = await people.put(connection, "wang", "王芳", "-", None)
        await people.grant(connection, person, "operator", area)
    return estate_of(store, area, gateway, person)


def estate_of(store: Store, area: int, gateway: UUID, person: int) -> Estate:
    """The stages of the cloud over an estate that is there."""
    engine, commands = Engine(RuleBook()), Commands(store)
    ingest = Ingest(store, engine.evaluate, commands.answer, evaluate_bulk=engine.evaluate_bulk)
    return Estate(store, area, gateway, person, ingest, engine, commands, Settler(store))


@pytest.fixture
async def estate(database: Database) -> AsyncIterator[Estate]:
    async with Store.open(database.url, min(4, database.max_connections)) as store:
        assert store.tier == database.tier
        yield await make_estate(store)
