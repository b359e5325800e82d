"""A file that says who is told of what, put in force; and a channel tried by command."""

import os
import sys
from collections.abc import AsyncIterator, Iterator
from ipaddress import ip_network
from pathlib import Path
from subprocess import run

import pytest

from cloud.notify import administer
from cloud.notify.channels import make_channel
from cloud.notify.http import Http
from cloud.notify.reach import Reach
from cloud.notify.secrets import Secrets
from cloud.notify.tools import Tools
from contract.errors import AnjuError, ConfigError
from simulators.robots.desk import Desk, Trouble
from simulators.robots.server import SECRETS, TOKENS, serve_robots
from tests.support.notify import ORIGIN, Notified, notified
from tests.support.servers import Database, PlainServer

SECRETS_HERE = {
    "ANJU_NOTIFY_SECRET_TOKEN": TOKENS["dingtalk"],
    "ANJU_NOTIFY_SECRET_SIGN": SECRETS["dingtalk"],
}
TOOLS = Tools(
    Http(Reach(networks=(ip_network("127.0.0.0/8"),), plain=frozenset({"127.0.0.1"}))), Secrets(SECRETS_HERE, None)
)
FILE = """\
channels:
  - name: 门岗群
    kind: dingtalk
    area: 西苑小区
    config: {token: env:TOKEN, secret: env:SIGN, address: ADDRESS}
people:
  - {login: guard, mobile: "13800138000", channels: [门岗群]}
schedules:
  - name: 门岗
    rotations: [{people: [guard], start: "2026-03-01 00:00"}]
policies:
  - {name: 全部, area: 西苑小区, steps: [{tell: [{schedule: 门岗}]}]}
"""


@pytest.fixture(scope="module")
def database(plain_server: PlainServer) -> Iterator[Database]:
    with plain_server.database() as fresh:
        yield fresh


@pytest.fixture
async def scene(database: Database) -> AsyncIterator[Notified]:
    async with notified(database.url) as scene:
        yield scene


def make(row):
    return make_channel(row.kind, row.config, TOOLS)


async def put(scene: Notified, path: Path, text: str, address: str = "https://oapi.dingtalk.com/robot/send"):
    path.write_text(text.replace("ADDRESS", address))
    return await administer.put(scene.store, path, lambda kind, config: make_channel(kind, config, TOOLS), "tester")


async def test_a_file_takes_the_place_of_what_was_and_is_in_the_audit_log(scene: Notified, tmp_path: Path) -> None:
    path = tmp_path / "notify.yaml"
    assert await put(scene, path, FILE) == {"channels": 1, "people": 1, "schedules": 1, "policies": 1}
    await put(scene, path, FILE)
    shown = "\n".join(await administer.show(scene.store))
    assert "channel\t门岗群\tdingtalk" in shown
    assert "person\tguard\t门岗群" in shown
    assert "13800138000" not in shown
    assert "env:" not in shown
    (alarm,) = await scene.alarm()
    await scene.due()
    assert len(await scene.told()) == 1
    await put(scene, path, "channels: []\n")
    assert await administer.show(scene.store) == ["Nothing is configured: alarms show in the console alone."]
    await scene.due()
    assert await scene.rows("SELECT who, action FROM audit") == [("tester", "import notify")] * 3
    assert await scene.rows("SELECT due_at, policy FROM escalation WHERE alarm = $1", alarm) == [(None, None)]


async def test_whoever_was_to_be_told_still_is_by_what_is_in_force_now(scene: Notified, tmp_path: Path) -> None:
    """A policy and a channel of other names, while an alarm stands and a message waits."""
    path = tmp_path / "notify.yaml"
    await put(scene, path, FILE)
    await scene.alarm()
    await scene.due()
    await scene.alarm()
    await put(scene, path, FILE.replace("门岗群", "新群").replace("全部", "所有"))
    names = "SELECT channel.name, message.state FROM message JOIN channel ON channel.id = message.channel"
    assert await scene.rows(names) == [("新群", "queued")]
    await scene.due()
    assert await scene.rows(names) == [("新群", "queued")] * 2
    await put(scene, path, "channels: []\n")
    assert await scene.rows("SELECT DISTINCT state FROM message") == [("refused",)]
    assert await scene.due() == 0


async def test_what_the_database_does_not_have_is_said_with_its_line_and_changes_nothing(
    scene: Notified, tmp_path: Path
) -> None:
    text = FILE.replace("area: 西苑小区", "area: 东苑小区").replace("people: [guard]", "people: [guard, nobody]")
    with pytest.raises(ConfigError) as caught:
        await put(scene, tmp_path / "notify.yaml", text)
    said = {(mistake.line, mistake.problem) for mistake in caught.value.mistakes}
    assert said == {
        (4, "there is no area '东苑小区'"),
        (10, "there is no person 'nobody'"),
        (12, "there is no area '东苑小区'"),
    }
    assert await scene.rows("SELECT count(*) FROM channel") == [(0,)]


async def test_a_channel_can_be_tried_and_takes_its_token(scene: Notified, tmp_path: Path) -> None:
    desk = Desk()
    async with serve_robots(desk) as robots:
        await put(scene, tmp_path / "notify.yaml", FILE, robots.address("dingtalk"))
        result = await administer.try_channel(scene.store, "门岗群", make, ORIGIN, "tester", "guard")
        assert result.accepted
        assert "安居测试消息" in desk.accepted[0].text
        desk.troubles["dingtalk"] = Trouble(kind="code", code=130101)
        result = await administer.try_channel(scene.store, "门岗群", make, ORIGIN, "tester")
        assert not result.accepted
        with pytest.raises(AnjuError, match="paused"):
            await administer.try_channel(scene.store, "门岗群", make, ORIGIN, "tester")
        with pytest.raises(AnjuError, match="there is no channel 'x'"):
            await administer.try_channel(scene.store, "x", make, ORIGIN, "tester")
    assert await scene.rows("SELECT outcome FROM send ORDER BY taken_at") == [("accepted",), ("refused",)]
    audit = await scene.rows("SELECT object, detail ->> 'outcome' FROM audit WHERE action = 'test channel' ORDER BY id")
    assert audit == [("channel 门岗群", "accepted"), ("channel 门岗群", "refused")]


async def test_the_command_says_what_is_wrong_and_what_is_in_force(scene: Notified, tmp_path: Path) -> None:
    path = tmp_path / "notify.yaml"
    environment = os.environ | SECRETS_HERE | {"DATABASE_URL": scene.store._url}

    def command(*arguments: str) -> tuple[int, str]:
        done = run(
            [sys.executable, "-c", "from cloud.cli import main; main()", "notify", *arguments],
            env=environment, capture_output=True, text=True, check=False, timeout=60,
        )  # fmt: skip
        return done.returncode, done.stdout + done.stderr

    path.write_text(FILE.replace("ADDRESS", "https://oapi.dingtalk.com/robot/send").replace("[门岗群]", "[门岗]"))
    status, said = command("import", str(path))
    assert status == 2
    assert "notify.yaml:7: there is no channel '门岗' in this file" in said
    await put(scene, path, FILE)
    status, said = command("show")
    assert status == 0
    assert "policy\t全部\t西苑小区\tcritical high medium low\t1 steps" in said
