"""The dead man's switch: an outside address is asked for while the cloud does its work, and no longer."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from uuid import uuid4

import pytest
import structlog
from aiohttp import web

from cloud.settings import Deadman as Settings
from cloud.store import Database, gateways, people
from cloud.upkeep.deadman import LANDED_S, OVERDUE_S, STORED_S, Deadman
from tests.support.servers import Database as Server
from tests.support.servers import PlainServer
from tests.support.waiting import eventually

SECRET = "6f1c-who-knows-this-can-say-that-all-is-well"

DEVICE = """
INSERT INTO device (gateway, estate, key, name, kind, profile, bus)
VALUES ($1, $2, 'd', 'd', 'door', 'p', 'b') RETURNING id
"""
LANDED = f"""
INSERT INTO landing (gateway, inventory, offset_ns, first_at, last_at, items, block, landed_at)
SELECT id, 1, 0, now(), now(), 1, '', now() - INTERVAL '{LANDED_S + 60} seconds' FROM gateway
"""
OVERDUE = f"""
INSERT INTO command (id, gateway, device, point, args, not_after, status, who)
SELECT '{{}}', id, {{}}, 'unlock', '{{{{}}}}', now() - INTERVAL '{OVERDUE_S + 5} seconds', 'sent', 'x' FROM gateway
"""
STUCK = f"""
WITH stuck AS (UPDATE gateway SET seen_at = now(), urgent_backlog = 1, bulk_backlog = 0)
INSERT INTO stream_cursor SELECT id, 'urgent', 1, 1, 1, now() - INTERVAL '{STORED_S + 5} seconds' FROM gateway
"""


class Outside:
    """An outside service: counts what it is asked for, and answers as it is told to."""

    def __init__(self) -> None:
        self.pings = 0
        self.status = 200
        self.url = ""

    async def answer(self, request: web.Request) -> web.Response:
        assert request.path == f"/{SECRET}"
        self.pings += 1
        return web.Response(status=self.status)


@asynccontextmanager
async def serving(outside: Outside) -> AsyncIterator[None]:
    app = web.Application()
    app.router.add_get("/{rest:.*}", outside.answer)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    host, port = runner.addresses[0][:2]
    outside.url = f"http://{host}:{port}/{SECRET}"
    try:
        yield
    finally:
        await runner.cleanup()


@asynccontextmanager
async def running(database: Database, outside: Outside) -> AsyncIterator[Deadman]:
    deadman = Deadman(database, Settings(url=outside.url, every_s=0.02))
    task = asyncio.create_task(deadman.run())
    try:
        yield deadman
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def test_it_is_told_while_the_database_keeps_rows_and_again_once_it_does(
    fresh_plain_server: Callable[[], PlainServer],
) -> None:
    server, outside = fresh_plain_server(), Outside()
    with server.database() as fresh:
        async with Database.open(fresh.url, 3) as database, serving(outside):
            with structlog.testing.capture_logs() as said:
                async with running(database, outside):
                    await eventually(lambda: outside.pings >= 3)
                    server.kill()
                    await eventually(lambda: any("is not told" in line["event"] for line in said))
                    before = outside.pings
                    await asyncio.sleep(0.3)  # fifteen periods
                    assert outside.pings == before
                    server.start()
                    await eventually(lambda: outside.pings > before)
                    await eventually(lambda: any("is told again" in line["event"] for line in said))
    assert len([line for line in said if "is not told" in line["event"]]) == 1
    assert SECRET not in str(said)


async def test_what_is_wrong_outside_is_said_once_without_the_address(database_plain: Server) -> None:
    outside = Outside()
    outside.status = 404
    async with Database.open(database_plain.url, 3) as database:
        with structlog.testing.capture_logs() as said:
            async with serving(outside), running(database, outside):
                await eventually(lambda: outside.pings >= 3)
            async with running(database, outside):  # nobody listens any more
                await eventually(lambda: sum("cannot be told" in line["event"] for line in said) == 2)
    troubles = [line["event"] for line in said if "cannot be told" in line["event"]]
    assert troubles[0].endswith("it answered 404")
    assert troubles[1].endswith("Connection refused")
    assert SECRET not in str(said)


async def test_work_that_is_not_done_withholds_it(database_plain: Server) -> None:
    async with Database.open(database_plain.url, 3) as database:
        deadman = Deadman(database, Settings(url="http://localhost/"))
        assert await deadman.problem() == ""
        async with database.transaction() as connection:
            area = await people.put_area(connection, None, "estate", "西苑小区", "Asia/Shanghai")
            box = await gateways.put_gateway(connection, area, bytes(32), "box", "0.1.0")
            device = await connection.fetchval(DEVICE, box, area)
        for rows, words in ((LANDED, "readings"), (OVERDUE.format(uuid4(), device), "order"), (STUCK, "1 boxes")):
            async with database.connect() as connection:
                await connection.execute(rows)
            assert words in await deadman.problem()
            async with database.connect() as connection:
                await connection.execute("TRUNCATE landing, command, stream_cursor CASCADE")
            assert await deadman.problem() == ""


async def test_without_an_address_nothing_is_asked(database_plain: Server) -> None:
    async with Database.open(database_plain.url, 1) as database:
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(Deadman(database, Settings(every_s=0.01)).run(), 0.2)
        async with database.connect() as connection:
            assert await connection.fetchval("SELECT count(*) FROM pulse") == 0
