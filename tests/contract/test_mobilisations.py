"""What the cloud promises of one-press mobilisation: all of a plan or none, once, counted, and over by itself."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import msgspec
import pytest

from cloud.commands.commands import Commands
from cloud.incidents.importing import import_plan
from cloud.incidents.incidents import NotNowError
from cloud.incidents.mobilise import Mobilisations, NoSuchMobilisationError, RollAnswer
from cloud.store import Database as Store
from cloud.store import gateways, oncall, plans
from contract.errors import ConfigError
from tests.support.incidents import Scene, after, make_scene, person
from tests.support.servers import Database

PLAN = """\
name: evacuate
title: {zh: 火灾疏散, en: Fire evacuation}
call:
  roles: [grid_worker, operator, manager]
  people: [street]
  schedules: [night]
doors: [%(door)d, %(gate)d]
say:
  - {device: %(display)d, text: 3号楼火情，请走楼梯}
residents:
  - channel: app
    text: {zh: 请按广播疏散, en: Please leave by the stairs}
lasts_h: 4
"""


@dataclass
class Mobilised:
    """The scene with devices, a plan in a file, and the stage over them."""

    scene: Scene
    devices: dict[str, int]
    stage: Mobilisations
    plan: Path

    async def bring(self, changes: dict[str, str] | None = None) -> None:
        text = PLAN % self.devices
        for old, new in (changes or {}).items():
            text = text.replace(old, new)
        self.plan.write_text(text, "utf-8")
        async with self.scene.store.transaction() as connection:
            await import_plan(connection, self.plan, self.scene.estate, self.scene.by("manager"))

    async def start(self, login: str = "guard", seconds: float = 0, **more: object):
        async with self.scene.store.transaction() as connection:
            return await self.stage.start(
                connection, self.scene.estate, "evacuate", [self.scene.estate], self.scene.by(login),
                now=after(seconds), **more,
            )  # fmt: skip

    async def answer(self, mobilisation, login: str, answer: str, by: str = "", estates=None) -> set[str]:
        async with self.scene.store.transaction() as connection:
            return await self.stage.answer(
                connection, mobilisation, self.scene.people[login], RollAnswer(answer), estates or [],
                self.scene.by(by or login),
            )  # fmt: skip

    async def roll(self, mobilisation) -> dict[str, str | None]:
        async with self.scene.store.connect() as connection:
            return {row.name: row.answer for row in await plans.roll(connection, mobilisation)}


async def mobilised(store: Store, folder: Path) -> Mobilised:
    scene = await make_scene(store)

    async def on_duty(connection, names, at) -> set[int]:
        return {scene.people["keeper"]} if names == ["night"] else set()

    async with store.transaction() as connection:
        gateway = await gateways.put_gateway(connection, scene.estate, bytes(32), "box", "0.1.0")
        devices = {}
        for name, kind, command in (("door", "door", "release"), ("gate", "vehicle_gate", "hold_open"),
                                    ("display", "display", "show"), ("lamp", "lighting", "switch")):  # fmt: skip
            devices[name] = await connection.fetchval(
                "INSERT INTO device (gateway, estate, key, name, kind, profile, bus, commands)"
                " VALUES ($1, $2, $3, $3, $4, '', '', $5) RETURNING id",
                gateway, scene.estate, name, kind, [command],
            )  # fmt: skip
        scene.people["keeper"] = await person(connection, "keeper", "operator", scene.areas["street"])
        await oncall.put_channels(
            connection,
            [
                oncall.NewChannel(
                    name="app", kind="webhook", area=scene.estate, config={}, language="zh", personal=False
                )
            ],
        )
        await oncall.put_schedules(connection, {"night": {}})
    stage = Mobilisations(scene.told.tell, Commands(store).order_all, on_duty)
    return Mobilised(scene, devices, stage, folder / "plan.yaml")


@pytest.fixture
async def each(database: Database, tmp_path: Path) -> AsyncIterator[Mobilised]:
    """On each tier."""
    async with Store.open(database.url, 1) as store:
        yield await mobilised(store, tmp_path)


@pytest.fixture
async def there(database_plain: Database, tmp_path: Path) -> AsyncIterator[Mobilised]:
    async with Store.open(database_plain.url, 6) as store:
        yield await mobilised(store, tmp_path)


async def test_one_press_calls_everybody_once_asks_the_doors_and_tells_the_residents(each: Mobilised) -> None:
    await each.bring()
    scene = each.scene
    started = await each.start()
    assert sorted(scene.names[n.person] for n in scene.told.notices) == [
        "guard", "keeper", "manager", "street", "worker",
    ]  # fmt: skip
    said = scene.told.notices[0]
    assert (said.priority, said.drill, said.path) == ("critical", False, f"/mobilisations/{started.id}")
    assert said.text.zh == "一键动员：火灾疏散。请回复：前往、已到或不能到"
    queued = await scene.rows("SELECT device, point, args, status, who FROM command ORDER BY device")
    assert queued == [
        (each.devices["door"], "release", {}, "queued", "guard"),
        (each.devices["gate"], "hold_open", {}, "queued", "guard"),
        (each.devices["display"], "show", {"text": "3号楼火情，请走楼梯"}, "queued", "guard"),
    ]
    assert any(topic.startswith("gateway:") for topic in started.topics)
    ((text, person, drill),) = await scene.rows("SELECT text, person, drill FROM message")
    assert (text["zh"], person, drill) == ("请按广播疏散", None, False)
    audited = [action for (action,) in await scene.rows("SELECT action FROM audit ORDER BY id")]
    assert audited == ["import plan", "command release", "command hold_open", "command show", "mobilise"]

    await each.answer(started.id, "worker", "coming")
    await each.answer(started.id, "worker", "there")
    await each.answer(started.id, "street", "cannot", by="guard", estates=[scene.estate])
    assert await each.roll(started.id) == {
        "guard": None, "keeper": None, "manager": None, "street": "cannot", "worker": "there",
    }  # fmt: skip
    assert await scene.rows("SELECT count(*) FROM mobilisation_answer") == [(3,)]
    async with scene.store.connect() as connection:
        asked = await plans.orders(connection, started.id)
        (row,) = await plans.list_recent(connection, [scene.estate], 5)
        assert await plans.get(connection, started.id, [], scene.people["street"]) is not None
        assert await plans.get(connection, started.id, [], scene.people["community"]) is None
    assert {(order.name, order.status) for order in asked} == {
        ("door", "queued"), ("gate", "queued"), ("display", "queued"),
    }  # fmt: skip
    assert row.ended_at is None
    async with scene.store.transaction() as connection:
        assert await each.stage.wanted(connection, [started.id]) == {started.id}
        await each.stage.end(connection, started.id, [scene.estate], scene.by("manager"), now=after(1))
        assert await each.stage.wanted(connection, [started.id]) == set()
    with pytest.raises(NotNowError, match="over"):
        await each.answer(started.id, "guard", "there")


async def test_a_drill_calls_people_and_orders_nothing(there: Mobilised) -> None:
    await there.bring()
    await there.start(drill=True)
    assert all(notice.drill for notice in there.scene.told.notices)
    assert len(there.scene.told.notices) == 5
    assert await there.scene.rows("SELECT count(*) FROM command") == [(0,)]
    assert await there.scene.rows("SELECT count(*) FROM message") == [(0,)]


async def test_residents_read_of_a_drill_only_where_the_plan_says_so(there: Mobilised) -> None:
    await there.bring({"  - channel: app": "  - channel: app\n    in_drill: true"})
    await there.start(drill=True)
    assert await there.scene.rows("SELECT drill FROM message") == [(True,)]


async def test_pressed_by_several_at_once_it_starts_once_and_a_fire_during_a_drill_starts(there: Mobilised) -> None:
    await there.bring()
    drill = await there.start(drill=True)
    there.scene.told.notices.clear()
    started = await asyncio.gather(*(there.start(login) for login in ("guard", "manager", "guard", "manager")))
    assert len({one.id for one in started}) == 1
    assert sum(one.is_new for one in started) == 1
    assert drill.id != started[0].id
    assert len(there.scene.told.notices) == 5
    assert await there.scene.rows("SELECT count(*) FROM command") == [(3,)]


async def test_it_ends_by_itself_and_can_be_started_again(there: Mobilised) -> None:
    await there.bring()
    first = await there.start()
    for seconds, ended in ((4 * 3600 - 0.001, 0), (4 * 3600, 1), (4 * 3600 + 1, 0)):
        async with there.scene.store.transaction() as connection:
            handled = await there.stage.due(connection, 10, now=after(seconds))
        assert handled.rows == ended
    rows = await there.scene.rows("SELECT ended_by, ended_at - started_at FROM mobilisation")
    assert rows == [("system", timedelta(hours=4))]
    assert (await there.start(seconds=5 * 3600)).id != first.id


async def test_who_was_not_called_and_who_may_not_mobilise_answers_for_nobody(there: Mobilised) -> None:
    await there.bring()
    started = await there.start()
    with pytest.raises(NoSuchMobilisationError):
        await there.answer(started.id, "community", "coming")
    with pytest.raises(NoSuchMobilisationError):
        await there.answer(started.id, "worker", "there", by="street")
    with pytest.raises(NoSuchMobilisationError):
        await there.answer(started.id, "worker", "there", by="guard", estates=[there.scene.estate + 1])
    assert set((await there.roll(started.id)).values()) == {None}


async def test_nobody_starts_or_ends_it_elsewhere(there: Mobilised) -> None:
    await there.bring()
    started = await there.start()
    by = there.scene.by("guard")
    async with there.scene.store.transaction() as connection:
        with pytest.raises(NoSuchMobilisationError):
            await there.stage.start(connection, there.scene.estate, "evacuate", [there.scene.estate + 1], by)
        with pytest.raises(NoSuchMobilisationError):
            await there.stage.start(connection, there.scene.estate, "nothing", [there.scene.estate], by)
        with pytest.raises(NoSuchMobilisationError):
            await there.stage.end(connection, started.id, [there.scene.estate + 1], by)


async def test_a_door_that_is_gone_keeps_nothing_back_and_says_why(there: Mobilised) -> None:
    await there.bring()
    await there.scene.rows("UPDATE device SET active = false WHERE id = $1", there.devices["door"])
    started = await there.start()
    async with there.scene.store.connect() as connection:
        asked = {order.name: (order.status, order.reason) for order in await plans.orders(connection, started.id)}
    assert asked["door"] == ("", f"device {there.devices['door']} has no command release")
    assert asked["gate"] == ("queued", "")


async def test_a_plan_says_all_its_mistakes_with_their_lines(there: Mobilised) -> None:
    wrong = {
        "people: [street]": "people: [street, nobody]",
        "schedules: [night]": "schedules: [day]",
        f"doors: [{there.devices['door']},": f"doors: [{there.devices['lamp']}, 999999,",
        "channel: app": "channel: none",
    }
    with pytest.raises(ConfigError) as refused:
        await there.bring(wrong)
    said = str(refused.value)
    for word in ("no person 'nobody'", "no on-call schedule 'day'", "is a lighting", "no device 999999", "no channel"):
        assert word in said
    assert f"{there.plan}:5" in said
    assert await there.scene.rows("SELECT count(*) FROM plan") == [(0,)]


async def test_a_new_version_leaves_the_old_one_to_what_it_started(there: Mobilised) -> None:
    await there.bring()
    first = await there.start()
    await there.bring({"火灾疏散": "全员疏散"})
    async with there.scene.store.connect() as connection:
        row = await plans.get(connection, first.id, [there.scene.estate], 0)
        (now,) = await plans.list_plans(connection, [there.scene.estate])
    assert row is not None
    assert row.body["title"]["zh"] == "火灾疏散"
    assert (now.version, now.body["title"]["zh"]) == (2, "全员疏散")
    assert msgspec.json.encode(now.body)
