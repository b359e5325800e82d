"""No send starts after an acknowledgement has committed (LESSONS.md, 18), shown with real acknowledgements against real
sends, and that it shows: without the lock it is seen to be broken.
"""

import asyncio
import random
import time
from collections.abc import AsyncIterator, Iterator
from ipaddress import ip_network
from uuid import UUID

import pytest

from cloud.notify import sender as sender_module
from cloud.notify.channel import Message, Result, Start
from cloud.notify.channels.webhook.channel import Webhook, WebhookConfig
from cloud.notify.describe import describer
from cloud.notify.gate import Gate
from cloud.notify.http import Http
from cloud.notify.reach import Reach
from cloud.notify.secrets import Secrets
from cloud.notify.sender import Sender
from cloud.notify.tools import Tools
from simulators.robots.desk import Desk
from simulators.robots.server import SECRETS, serve_robots
from tests.support.notify import ORIGIN, Notified, ladder, notified, running
from tests.support.servers import Database, PlainServer

ALARMS = 40
CONNECTING_S = (0.4, 0.9)
"""How long connections take: longer than anything that may delay what the stand-in notes."""
NOTED_WITHIN_S = 0.3
"""From a request's first byte to the stand-in's log, on a busy machine."""


@pytest.fixture(scope="module")
def database(plain_server: PlainServer) -> Iterator[Database]:
    with plain_server.database() as fresh:
        yield fresh


@pytest.fixture
async def scene(database: Database) -> AsyncIterator[Notified]:
    async with notified(database.url, 20) as scene:
        yield scene


class SlowWebhook(Webhook):
    """The real channel over a slow network, one alarm a message, so that there are many sends."""

    def room(self, message: Message) -> int:
        return 1

    async def send(self, message: Message, start: Start) -> Result:
        await asyncio.sleep(random.uniform(*CONNECTING_S))
        return await super().send(message, start)


class EarlyGate(Gate):
    """The mistake: it looks before the connection is made, and holds nothing."""

    async def __aenter__(self) -> None:
        self.begun = True

    async def __aexit__(self, *_: object) -> None:
        return


async def race(scene: Notified) -> tuple[list[float], list[float], int]:
    """Many acknowledgements against many sends.

    Returns for each message how long after its acknowledgement's commit it was noted (below 0: before), how long people
    waited for an acknowledgement, and how many messages were held back.
    """
    desk = Desk()  # its clock is the machine's, which is the database's too
    async with serve_robots(desk) as robots:
        http = Http(Reach(networks=(ip_network("127.0.0.0/8"),), plain=frozenset({"127.0.0.1"})))
        tools = Tools(http, Secrets({"ANJU_NOTIFY_SECRET_HOOK": SECRETS["webhook"]}, None))
        config = WebhookConfig(url=robots.address("webhook"), secret="env:HOOK")
        hooks = [f"hook {n}" for n in range(4)]
        await scene.channels(*hooks)
        await scene.policy({"after_s": 0, "tell": [{"channel": name} for name in hooks]})
        alarms = await scene.alarm(count=ALARMS)
        await scene.due()
        committed: dict[str, float] = {}
        waited: list[float] = []

        async def acknowledge(alarm: UUID) -> None:
            await asyncio.sleep(random.uniform(0, 3.5))
            began = time.monotonic()
            assert await scene.acknowledge(alarm)
            waited.append(time.monotonic() - began)
            (at,) = await scene.rows("SELECT clock_timestamp()")
            committed[str(alarm)] = at[0].timestamp()  # a little after the commit, by the database's clock

        describe = describer(lambda rule, language: None)
        senders = [Sender(scene.store, lambda row: SlowWebhook(config, tools), describe, ORIGIN) for _ in range(2)]
        async with running(*senders):
            await asyncio.gather(*map(acknowledge, alarms))
            await scene.settle()
        late = [
            delivery.at - committed[line["id"]] for delivery in desk.of("webhook") for line in delivery.said["lines"]
        ]
        ((held,),) = await scene.rows("SELECT count(*) FROM message WHERE state = 'not wanted'")
        return late, waited, held


async def test_row_18_no_send_starts_after_the_acknowledgement_has_committed(scene: Notified) -> None:
    late, waited, held = await race(scene)
    assert len(late) > 10, "there was no race: nothing was sent"
    assert held > 10, "there was no race: nothing was acknowledged in time"
    assert max(late) < NOTED_WITHIN_S
    assert max(waited) < 1.0  # a person never waits for a network


async def test_row_18_looking_before_and_without_the_lock_is_seen_to_be_wrong(
    scene: Notified, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sender_module, "Gate", EarlyGate)
    late, _, _ = await race(scene)
    assert max(late) > NOTED_WITHIN_S


async def test_row_18_an_acknowledgement_waits_for_the_request_that_has_begun(scene: Notified) -> None:
    """While the request is handed over the acknowledgement cannot commit; a moment later it does."""
    await ladder(scene)
    (alarm,) = await scene.alarm()
    await scene.due()
    acknowledged: list[asyncio.Task] = []
    order: list[str] = []

    async def acknowledge() -> None:
        await scene.acknowledge(alarm)
        order.append("acknowledged")

    async def in_gate() -> None:
        acknowledged.append(asyncio.create_task(acknowledge()))
        await scene.until("SELECT FROM pg_stat_activity WHERE wait_event_type = 'Lock'")
        assert not acknowledged[0].done()
        order.append("handed over")

    scene.papers["robot"].in_gate = in_gate
    await scene.send_all()
    await asyncio.wait_for(acknowledged[0], 5)
    assert order == ["handed over", "acknowledged"]
    assert await scene.states() == ["accepted"]


async def test_a_process_that_stops_in_the_gate_holds_up_nobody_for_long(scene: Notified) -> None:
    """The database ends its transaction after two seconds, and the acknowledgement goes on."""
    await ladder(scene)
    (alarm,) = await scene.alarm()
    await scene.due()
    stopped, woken = asyncio.Event(), asyncio.Event()

    async def in_gate() -> None:
        stopped.set()
        await woken.wait()

    scene.papers["robot"].in_gate = in_gate
    async with running(scene.sender()):
        await asyncio.wait_for(stopped.wait(), 5)
        async with asyncio.timeout(4):
            assert await scene.acknowledge(alarm)
        woken.set()
        await scene.until("SELECT FROM message WHERE state <> 'sending'")
    # Whether it arrived is not known; nobody needs it any more.
    assert await scene.rows("SELECT outcome FROM send") == [("uncertain",)]


async def test_a_sender_waits_for_who_moves_the_alarm_and_comes_back(scene: Notified) -> None:
    """A transaction that has the alarm for longer than a second: nothing is sent meanwhile, and it goes afterwards."""
    await ladder(scene)
    (alarm,) = await scene.alarm()
    await scene.due()
    async with running(scene.sender()):
        async with scene.store.transaction() as connection:
            await connection.execute("SELECT FROM alarm WHERE id = $1 FOR UPDATE", alarm)
            await scene.until("SELECT FROM send WHERE outcome = 'not sent' AND code = 'busy'")
            assert scene.papers["robot"].sent == []
        await scene.settle()
    assert len(scene.papers["robot"].sent) == 1
