"""Acknowledging from a message: only the button does it, once, and only for who may."""

import re
from collections.abc import AsyncIterator, Iterator
from zoneinfo import ZoneInfo

import aiohttp
import pytest
from fastapi import Depends, FastAPI

from cloud.console.backend.quick import QuickLinks
from cloud.console.quick.routes import router
from cloud.console.web import Web
from cloud.notify.describe import describer
from cloud.notify.links import MOST_FAILURES, Links, Standing
from tests.support.http import uvicorn_server
from tests.support.notify import ORIGIN, Notified, notified
from tests.support.servers import Database, PlainServer

ROLES = ("operator", "manager")
ADDRESS = "192.0.2.7"


@pytest.fixture(scope="module")
def database(plain_server: PlainServer) -> Iterator[Database]:
    with plain_server.database() as fresh:
        yield fresh


@pytest.fixture
async def scene(database: Database) -> AsyncIterator[Notified]:
    async with notified(database.url) as scene:
        yield scene


def links_of(scene: Notified) -> Links:
    return Links(scene.store, scene.engine.acknowledge, ROLES)


async def mailed(scene: Notified, login: str = "guard", count: int = 1) -> list[str]:
    """Tokens of links in a message to one person."""
    await scene.channels("mail", personal=["mail"])
    await scene.reach(**{login: ["mail"]})
    await scene.policy({"after_s": 0, "tell": [{"person": login}]})
    await scene.alarm(count=count)
    await scene.due()
    await scene.send_all()
    urls = [line.url for message in scene.papers["mail"].sent for line in message.lines]
    assert all(url.startswith(f"{ORIGIN}/a/") for url in urls)
    return [url.rpartition("/")[2] for url in urls]


async def states(scene: Notified) -> list[str]:
    return [state for (state,) in await scene.rows("SELECT state FROM alarm ORDER BY created_at")]


async def test_looking_acknowledges_nothing_and_using_does_it_once(scene: Notified) -> None:
    (token,) = await mailed(scene)
    links = links_of(scene)
    for _ in range(5):
        assert (await links.look(token, ADDRESS)).standing is Standing.OPEN
    assert await states(scene) == ["UNACK"]
    assert (await links.use(token, ADDRESS, ADDRESS)).standing is Standing.DONE
    assert await states(scene) == ["ACKED"]
    assert (await links.use(token, ADDRESS, ADDRESS)).standing is Standing.USED
    audit = await scene.rows(
        "SELECT who, action, address FROM audit WHERE action IN ('use link', 'acknowledge') ORDER BY id"
    )
    assert audit == [("Guard", "acknowledge", ADDRESS), ("Guard", "use link", ADDRESS)]
    assert await scene.rows("SELECT login FROM alarm JOIN person ON person.id = acked_by") == [("guard",)]


async def test_a_link_is_for_one_alarm_and_its_token_is_kept_nowhere(scene: Notified) -> None:
    first, second = await mailed(scene, count=2)
    assert len(first) >= 22  # 128 bits at six a character
    assert first != second
    await links_of(scene).use(first, ADDRESS, ADDRESS)
    assert sorted(await states(scene)) == ["ACKED", "UNACK"]
    (kept,) = await scene.rows("SELECT string_agg(row_to_json(answer_link)::text, '') FROM answer_link")
    assert first not in kept[0]


async def test_a_link_holds_half_an_hour_and_until_somebody_has_the_alarm(scene: Notified) -> None:
    first, second = await mailed(scene, count=2)
    assert await scene.rows("SELECT count(*) FROM answer_link WHERE expires_at - made_at <= interval '30 minutes 1 second'") == [(2,)]  # fmt: skip  # noqa: E501
    (alarm,) = await scene.rows("SELECT id FROM alarm LIMIT 1")
    await scene.acknowledge(alarm[0], "second")
    found = {(await links_of(scene).use(token, ADDRESS, ADDRESS)).standing for token in (first, second)}
    assert found == {Standing.OVER, Standing.DONE}
    await scene.execute("UPDATE alarm SET state = 'UNACK'")
    await scene.execute("UPDATE answer_link SET used_at = NULL, expires_at = now()")
    assert (await links_of(scene).use(first, ADDRESS, ADDRESS)).standing is Standing.EXPIRED
    assert await states(scene) == ["UNACK", "UNACK"]


async def test_what_a_person_may_do_is_asked_when_the_link_is_used(scene: Notified) -> None:
    (token,) = await mailed(scene)
    await scene.execute("UPDATE person_grant SET role = 'auditor' WHERE person = $1", scene.people["guard"])
    assert (await links_of(scene).use(token, ADDRESS, ADDRESS)).standing is Standing.NOT_ALLOWED
    await scene.execute("UPDATE person_grant SET role = 'operator' WHERE person = $1", scene.people["guard"])
    await scene.execute("UPDATE person SET disabled = true")
    assert (await links_of(scene).use(token, ADDRESS, ADDRESS)).standing is Standing.NOT_ALLOWED
    assert await states(scene) == ["UNACK"]


async def test_who_may_not_acknowledge_gets_no_link_and_no_group_does(scene: Notified) -> None:
    await scene.channels("mail", "robot", personal=["mail"])
    await scene.reach(supervisor=["mail"], guard=["robot"])
    await scene.policy({"after_s": 0, "tell": [{"person": "supervisor"}, {"person": "guard"}]})
    await scene.alarm()
    await scene.due()
    await scene.send_all()
    for name in ("mail", "robot"):
        assert [line.url for message in scene.papers[name].sent for line in message.lines] == [""]


async def test_guessing_is_slowed_by_where_it_comes_from(scene: Notified) -> None:
    (token,) = await mailed(scene)
    links = links_of(scene)
    for number in range(MOST_FAILURES):
        assert (await links.look(f"guess-{number}", ADDRESS)).standing is Standing.UNKNOWN
    assert (await links.use(token, ADDRESS, ADDRESS)).standing is Standing.TOO_MANY
    assert (await links.look("x" * 10_000, "192.0.2.8")).standing is Standing.UNKNOWN
    assert (await links.use(token, "192.0.2.9", "192.0.2.9")).standing is Standing.DONE


async def test_the_page_asks_and_only_its_button_answers(scene: Notified) -> None:
    """As a phone's browser, a chat robot's preview and a stranger's page see it."""
    (token,) = await mailed(scene)

    class Nobody:
        async def person(self, request: object) -> None:
            return None

    pages = Web(Nobody(), None, None, zone=ZoneInfo("Asia/Shanghai"), https=False)  # type: ignore[arg-type]
    app = FastAPI(dependencies=[Depends(pages.csrf.check)])
    app.include_router(router(pages, QuickLinks(links_of(scene), describer(lambda rule, language: None))))
    headers = {"Accept-Language": "zh-CN"}
    async with uvicorn_server(app) as port, browser(port, headers) as phone, browser(port) as stranger:
        status, page, answered = await ask(phone.get(f"/a/{token}"))
        assert status == 200
        assert "西苑小区" in page
        assert "Guard" in page
        assert answered["Referrer-Policy"] == "no-referrer"
        await ask(stranger.head(f"/a/{token}"))
        await ask(stranger.get(f"/a/{token}"))
        assert await states(scene) == ["UNACK"]
        assert (await ask(stranger.post(f"/a/{token}", data={"csrf": "made up"})))[0] == 403
        assert await states(scene) == ["UNACK"]
        csrf = re.search(r'name="csrf" value="([^"]+)"', page)[1]
        _, page, _ = await ask(phone.post(f"/a/{token}", data={"csrf": csrf}))
        assert "已确认" in page
        assert await states(scene) == ["ACKED"]
        _, page, _ = await ask(phone.get(f"/a/{token}"))
        assert "已经用过" in page
        assert "西苑小区" not in page
        assert (await ask(phone.get("/a/nothing")))[0] == 404


def browser(port: int, headers: dict[str, str] | None = None) -> aiohttp.ClientSession:
    jar = aiohttp.CookieJar(unsafe=True)
    return aiohttp.ClientSession(f"http://127.0.0.1:{port}", cookie_jar=jar, headers=headers)


async def ask(request) -> tuple[int, str, object]:
    async with request as answer:
        return answer.status, await answer.text(), answer.headers
