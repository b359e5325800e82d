"""A browser as far as the console's tests need one."""

import re
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

import aiohttp
import msgspec

from tests.support.console_preview import COOKIE, Console

HTMX = {"HX-Request": "true"}


async def token(session: aiohttp.ClientSession) -> str:
    return re.search(r'name="csrf" content="([^"]+)"', (await get(session, "/more")).text)[1]


class Answer(msgspec.Struct):
    status: int
    headers: Mapping[str, str]
    text: str


@asynccontextmanager
async def browser(console: Console, person: str | None = "operator") -> AsyncIterator[aiohttp.ClientSession]:
    """A client that keeps cookies as a browser does; signed in unless `person` is None."""
    jar = aiohttp.CookieJar(unsafe=True)
    async with aiohttp.ClientSession(console.url, cookie_jar=jar) as session:
        if person is not None:
            jar.update_cookies({COOKIE: person})
        yield session


async def get(session: aiohttp.ClientSession, path: str, **more) -> Answer:
    async with session.get(path, allow_redirects=False, **more) as answer:
        return Answer(answer.status, answer.headers, await answer.text())


async def post(session: aiohttp.ClientSession, path: str, csrf: str | None = None, **more) -> Answer:
    data = ({"csrf": csrf} if csrf else {}) | more.pop("data", {})
    async with session.post(path, data=data, allow_redirects=False, **more) as answer:
        return Answer(answer.status, answer.headers, await answer.text())


async def events(answer, count):
    seen = []
    async for line in answer.content:
        if line.startswith(b"event:"):
            seen.append(line.decode().split()[1])
            if len(seen) == count:
                break
    return seen
