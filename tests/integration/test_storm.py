"""5,000 alarms in a minute against robots that take twenty, and refuse with HTTP 200 and an errcode.

Time runs twenty times faster: a minute of the robots, of the sender's bucket and of the storm is 3 s. All is real
besides: two processes that send, the database, HTTP, the robots' signatures and limits. Names are long, so that a
hundred alarms fit into a message.
"""

import asyncio
import os
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import pytest

from cloud.store import Database as Store
from cloud.store import oncall
from cloud.store.due import keep_up
from cloud.store.oncall import NewChannel
from simulators.robots.desk import Desk, Trouble
from simulators.robots.server import SECRETS, TOKENS, Robots, serve_robots
from tests.support.notify import Notified, make_notified
from tests.support.servers import Database

SPEED = 20.0
MINUTE_S = 60.0 / SPEED
ALARMS = 5000
LONG = "a-name-that-is-as-long-as-some-in-large-estates-are" * 2
ENVIRONMENT = {
    "ANJU_NOTIFY_SECRET_DING_TOKEN": TOKENS["dingtalk"],
    "ANJU_NOTIFY_SECRET_DING_SECRET": SECRETS["dingtalk"],
    "ANJU_NOTIFY_SECRET_WECOM": TOKENS["wecom"],
    "ANJU_NOTIFY_NETWORKS": "127.0.0.0/8",
    "ANJU_NOTIFY_PLAIN": "127.0.0.1",
}


@asynccontextmanager
async def sending(url: str) -> AsyncIterator[None]:
    """A process that sends meanwhile."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.support.notify_sender", url, str(MINUTE_S),
        env=os.environ | ENVIRONMENT, stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip
    assert process.stdout is not None
    try:
        async with asyncio.timeout(30):
            while b"ready" not in (line := await process.stdout.readline()):
                assert line, "the sender ended"
        yield
    finally:
        process.kill()
        await process.communicate()


async def two_robots(scene: Notified, robots: Robots) -> None:
    """The guards' group, and for what it refuses another."""
    ding = {"token": "env:DING_TOKEN", "secret": "env:DING_SECRET", "address": robots.address("dingtalk")}
    wecom = {"key": "env:WECOM", "address": robots.address("wecom")}
    new = [
        NewChannel(name=name, kind=kind, area=scene.street, config=config, language="zh", personal=False)
        for name, kind, config in (("ding", "dingtalk", ding), ("wecom", "wecom", wecom))
    ]
    async with scene.store.transaction() as connection:
        scene.ids = await oncall.put_channels(connection, new)
    await scene.reach(guard=["ding", "wecom"])
    await scene.policy({"after_s": 0, "tell": [{"person": "guard"}]})


async def storm(scene: Notified) -> None:
    """Alarms at the aim's shares of priorities, evenly over a minute; each has a name of its own."""
    for batch in range(20):
        async with scene.store.transaction() as connection:
            rows = await connection.fetch(
                "INSERT INTO alarm (rule, source, estate, priority, state, holds, value, raised_at, announced_at)"
                " SELECT 'storm-' || lpad(n::text, 5, '0') || $4, 'place:' || $1::int || '/' || n, $1,"
                " CASE WHEN n % 20 = 0 THEN 'critical' WHEN n % 20 < 4 THEN 'high' WHEN n % 20 < 10 THEN 'medium'"
                " ELSE 'low' END, 'UNACK', true, 'alarm', clock_timestamp(), clock_timestamp()"
                " FROM generate_series($2::int + 1, $2 + $3) AS n RETURNING id",
                scene.estate, batch * ALARMS // 20, ALARMS // 20, LONG,
            )  # fmt: skip
            await scene.escalations.announce(connection, [row["id"] for row in rows])
        await asyncio.sleep(MINUTE_S / 20)


async def quiet(scene: Notified) -> None:
    """Returns once nothing is to be told and nothing waits or is under way."""
    steps = "SELECT FROM escalation WHERE due_at IS NOT NULL LIMIT 1"
    waiting = "SELECT FROM message WHERE state IN ('queued', 'sending') LIMIT 1"
    async with asyncio.timeout(60):
        while await scene.rows(steps) or await scene.rows(waiting):  # noqa: ASYNC110  # the database tells nobody
            await asyncio.sleep(0.1)


@pytest.mark.timeout(120)
async def test_row_20_a_storm_of_5000_alarms_names_each_and_exceeds_no_rate(database_plain: Database) -> None:
    """LESSONS.md, 20: robots' limits lost alarms."""
    desk = Desk(clock=lambda: time.monotonic() * SPEED)
    desk.troubles["dingtalk"] = Trouble(kind="code", code=310000, times=1)  # HTTP 200, and refused
    async with (
        Store.open(database_plain.url, 8) as store,
        serve_robots(desk) as robots,
        sending(database_plain.url),
        sending(database_plain.url),
    ):
        scene = await make_notified(store)
        await two_robots(scene, robots)
        escalating = asyncio.create_task(keep_up(scene.escalations.due, store, "escalations", at_once=500))
        try:
            await storm(scene)
            await quiet(scene)
        finally:
            escalating.cancel()
            with suppress(asyncio.CancelledError):
                await escalating
        said = "\n".join(delivery.text for delivery in desk.accepted)
        missing = [n for n in range(1, ALARMS + 1) if f"storm-{n:05}{LONG}" not in said]
        assert missing == []
        assert [one.answer for one in desk.refused] == ["code"]
        for service, rate in (("dingtalk", 20), ("wecom", 20)):
            assert desk.most_within(service, 60.0) <= rate
        assert await scene.rows("SELECT DISTINCT state FROM message") == [("accepted",)]
        print(
            {s: (len(desk.of(s)), desk.most_within(s, 60.0)) for s in ("dingtalk", "wecom")},
            (desk.accepted[-1].at - desk.accepted[0].at),
            await scene.rows("SELECT channel, outcome, count(*), sum(lines), max(lines) FROM send GROUP BY 1, 2"),
            await scene.rows(
                "SELECT priority, max(extract(epoch from ended_at-created_at))*20 FROM message GROUP BY 1"
            ),
        )
        requests = len(desk.of("dingtalk")) + len(desk.of("wecom"))
        assert requests < ALARMS / 20  # merged, or it would have taken hours
        repeated = await scene.rows("SELECT count(*) FROM message WHERE repeat")
        assert repeated == [(0,)]
