"""From a box's smoke to a webhook and back by its link, through one whole process of the cloud."""

import re
import time
from pathlib import Path

import pytest

from cloud.notify import administer
from cloud.notify.channels import make_channel
from cloud.notify.tools import read_tools
from contract.kinds import Lane
from simulators.robots.desk import Desk
from simulators.robots.server import SECRETS, serve_robots
from tests.integration.test_cloud_http import AT
from tests.support.blocks import Chain, clock, inventory, smoke
from tests.support.cloud import running_cloud
from tests.support.servers import Database
from tests.support.waiting import eventually

FILE = """\
channels:
  - {name: phone, kind: webhook, area: 西苑小区, personal: true, config: {url: ADDRESS, secret: env:HOOK}}
people:
  - {login: wang, channels: [phone]}
policies:
  - {name: all, area: 西苑小区, steps: [{tell: [{person: wang}]}]}
"""


async def test_smoke_reaches_a_webhook_and_is_acknowledged_by_its_link(
    database_plain: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ANJU_NOTIFY_SECRET_HOOK", SECRETS["webhook"])
    monkeypatch.setenv("ANJU_NOTIFY_NETWORKS", "127.0.0.0/8")
    monkeypatch.setenv("ANJU_NOTIFY_PLAIN", "127.0.0.1")
    desk = Desk()
    path = tmp_path / "notify.yaml"
    async with serve_robots(desk) as robots, running_cloud(database_plain.url, connections=12) as cloud:
        box = await cloud.enrolled_box()
        await box.open_session()
        await cloud.person()
        path.write_text(FILE.replace("ADDRESS", robots.address("webhook")))
        tools = read_tools()
        await administer.put(cloud.database, path, lambda kind, config: make_channel(kind, config, tools), "test")
        chain = Chain(Lane.URGENT)
        await box.post(Lane.URGENT, chain.urgent(inventory(), clock(time.time_ns())))
        began = time.monotonic()
        await box.post(Lane.URGENT, chain.urgent(smoke("smoke", AT)))
        await eventually(lambda: desk.accepted)
        assert time.monotonic() - began < 2.0
        (line,) = desk.accepted[0].said["lines"]
        assert "3号楼2单元1层" in line["text"]
        page = await cloud.get("/a/" + line["url"].rpartition("/")[2])
        assert page.status == 200
        assert "3号楼2单元1层" in page.body.decode()
        assert await cloud.rows("SELECT state FROM alarm") == [("UNACK",)]
        csrf = re.search(r'name="csrf" value="([^"]+)"', page.body.decode())[1]
        said = {"Content-Type": "application/x-www-form-urlencoded", "Cookie": f"anju_csrf={csrf}"}
        done = await cloud.post("/a/" + line["url"].rpartition("/")[2], f"csrf={csrf}".encode(), said)
        assert done.status == 200
        assert await cloud.rows("SELECT state, login FROM alarm JOIN person ON person.id = acked_by") == [
            ("ACKED", "wang")
        ]
