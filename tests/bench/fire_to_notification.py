"""From a changed smoke register to a message that a webhook has accepted, on the whole system of the demo.

The moments: the simulator changes the register (its log), and the webhook's receiver has taken the message that names
the detector. Between them lie the poll, the box, its uplink, the ingest's commit with the alarm and its escalation, the
step that is due at once, the channel's bucket, the gate and one HTTP request. The receiver checks the signature.
"""

import asyncio
import os
import random
from pathlib import Path

from cloud.alarms.engine import Engine
from cloud.alarms.rules import RuleBook
from cloud.store import Database, alarms, people
from contract.clock import mono_ns
from simulators.demo.estate import ESTATE, Demo
from simulators.demo.processes import run_once
from simulators.log import Change, read_log
from simulators.robots.desk import Desk
from simulators.robots.server import SECRETS, Robots, serve_robots
from tests.bench.figures import Figure, percentile
from tests.support.system import quiet_system, set_point

ROUNDS = 100
SEED = 20261124
EVERY_S = 3.0
"""One detector of eight at a time: none comes so often that it chatters."""
_LONGEST_S = 30.0
_ENVIRONMENT = {
    "ANJU_NOTIFY_SECRET_HOOK": SECRETS["webhook"],
    "ANJU_NOTIFY_NETWORKS": "127.0.0.0/8",
    "ANJU_NOTIFY_PLAIN": "127.0.0.1",
}
_FILE = """
channels:
  - name: hook
    kind: webhook
    area: {estate}
    config: {{url: "{url}", secret: env:HOOK}}
policies:
  - name: everything
    area: {estate}
    priorities: [critical, high, medium, low]
    steps: [{{after_s: 0, tell: [{{channel: hook}}]}}]
"""


async def fire_to_notification(folder: Path) -> list[Figure]:
    """p50 and p99 of the change of a register to the message accepted, over ROUNDS alarms."""
    dice = random.Random(SEED)
    detectors = [f"smoke-3-2-0{n}" for n in range(1, 9)]
    desk = Desk(clock=lambda: mono_ns() / 1e9)
    os.environ.update(_ENVIRONMENT)
    took: list[float] = []
    try:
        async with (
            serve_robots(desk) as robots,
            quiet_system(folder) as demo,
            Database.open(demo.database_url, 2) as store,
        ):
            await _configure(folder, demo, robots)
            for n in range(ROUNDS):
                detector = detectors[n % len(detectors)]
                await asyncio.sleep(dice.uniform(EVERY_S, EVERY_S + 0.5))
                await set_point(demo, detector, "smoke", "smoke")
                changes = [e for e in read_log(demo.truth) if isinstance(e, Change) and e.device == detector]
                changed_s = changes[-1].mono_ns / 1e9
                assert changes[-1].value == "smoke"
                took.append(await _named(desk, changed_s, f"{int(detector[-2:])}层") - changed_s)
                await set_point(demo, detector, "smoke", "clear")
                await _acknowledge_all(store, demo.login)
    finally:
        for name in _ENVIRONMENT:
            del os.environ[name]
    note = f"{ROUNDS} alarms on the demo's estate, one after another; a webhook over HTTP, signed"
    return [
        Figure(name="alarms.fire_to_notification_p50_s", value=percentile(took, 50), unit="s", note=note),
        Figure(name="alarms.fire_to_notification_p99_s", value=percentile(took, 99), unit="s", note=note, most=2.0),
    ]


async def _configure(folder: Path, demo: Demo, robots: Robots) -> None:
    file = folder / "notify.yaml"
    file.write_text(_FILE.format(estate=ESTATE, url=robots.address("webhook")), encoding="utf-8")
    environment = {"DATABASE_URL": demo.database_url}
    await run_once("anju-cloud", "notify", "import", str(file), environment=environment)


async def _named(desk: Desk, since_s: float, place: str) -> float:
    """When the first message after a moment was accepted that names a place, both in seconds of the desk's clock."""
    async with asyncio.timeout(_LONGEST_S):
        while True:
            for delivery in list(desk.accepted):
                if delivery.at > since_s and place in delivery.text and "烟" in delivery.text:
                    return delivery.at
            await asyncio.sleep(0.01)


async def _acknowledge_all(store: Database, login: str) -> None:
    """A guard takes what stands, so that each round is a new alarm."""
    engine = Engine(RuleBook())
    async with store.transaction() as connection:
        (estate,) = [row.id for row in await people.areas_named(connection, ESTATE)]
        person = await connection.fetchval("SELECT id FROM person WHERE login = $1", login)
        for alarm in await alarms.list_active(connection, [estate]):
            await engine.acknowledge(connection, alarm.id, [estate], person, login)
