"""Incidents over the real store: nobody sees or does anything in another estate, and each look at a caller is kept."""

from collections.abc import AsyncIterator
from uuid import uuid4

import pytest

from tests.support.browser import Browser
from tests.support.cloud import RunningCloud, running_cloud
from tests.support.servers import Database


@pytest.fixture
async def cloud(database_plain: Database) -> AsyncIterator[RunningCloud]:
    async with running_cloud(database_plain.url) as running:
        yield running


async def signed_in(cloud: RunningCloud, login: str, role: str, area: str) -> Browser:
    await cloud.person(login, role, area)
    browser = Browser(cloud)
    await browser.log_in(login)
    await browser.get("/incidents")
    return browser


async def test_only_people_of_the_estate_see_and_do_and_a_look_at_a_caller_is_kept(cloud: RunningCloud) -> None:
    guard = await signed_in(cloud, "guard", "operator", "西苑小区")
    stranger = await signed_in(cloud, "stranger", "manager", "东苑")
    ((area,),) = await cloud.rows("SELECT id FROM area WHERE name = '西苑小区'")
    form = {"form_id": str(uuid4()), "estate": str(area), "kind": "fire", "words": "冒烟", "phone": "13800138000"}
    assert (await stranger.post("/incidents/new", **form)).status == 404
    made = await guard.post("/incidents/new", **form)
    where = made.headers["Location"]
    assert (await stranger.get(where)).status == 404
    assert b"13800138000" not in (await guard.get(where)).body
    for path in (f"{where}/do/accept", f"{where}/do/cancel", f"{where}/caller", f"{where}/comment"):
        assert (await stranger.post(path, why="x", text="x")).status == 404
    assert await cloud.rows("SELECT count(*) FROM audit WHERE action = 'look at caller'") == [(0,)]
    assert b"13800138000" in (await guard.post(f"{where}/caller")).body
    kept = await cloud.rows("SELECT who, object FROM audit WHERE action = 'look at caller'")
    assert kept == [("guard", f"incident {where.rsplit('/', 1)[1]}")]
    assert await cloud.rows("SELECT state, reporter FROM incident") == [("reported", "resident")]
    ((worker,),) = await cloud.rows("SELECT id FROM person WHERE login = 'stranger'")
    nobody = await guard.post(f"{where}/do/dispatch", to=str(worker))  # who may not respond there cannot be sent
    assert nobody.status == 303
    assert await cloud.rows("SELECT state FROM incident") == [("reported",)]
