"""The console as a browser uses it, without one: log in, hear what changed, fetch the live part, press buttons."""

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import aiohttp

from contract.errors import AnjuError

_CSRF = re.compile(r'name="csrf" value="([^"]+)"')
_TIMEOUT = aiohttp.ClientTimeout(total=None, connect=5, sock_read=30)


class Browser:
    """One person's browser. Use as `async with Browser.log_in(url, login, password) as browser`."""

    def __init__(self, http: aiohttp.ClientSession) -> None:
        self._http = http

    @classmethod
    @asynccontextmanager
    async def log_in(cls, url: str, login: str, password: str) -> AsyncIterator["Browser"]:
        """Logs in by the form of the login page. Raises AnjuError when the console refuses."""
        jar = aiohttp.CookieJar(unsafe=True)  # the demo's console has an address, no name
        async with aiohttp.ClientSession(url, cookie_jar=jar, timeout=_TIMEOUT) as http:
            browser = cls(http)
            page = await browser.get("/login")
            async with http.post(
                "/login", data={"csrf": csrf_of(page), "login": login, "password": password}
            ) as answer:
                if answer.url.path == "/login":
                    raise AnjuError(f"the console refuses login {login!r}")
            yield browser

    async def get(self, path: str) -> str:
        """A page, or a live part of one. Raises AnjuError when it is not there."""
        async with self._http.get(path) as answer:
            if answer.status != 200:  # OK
                raise AnjuError(f"{path} answers {answer.status}")
            return await answer.text()

    async def post(self, path: str, csrf: str, **fields: str) -> None:
        """Presses a button. Raises AnjuError when the console refuses."""
        async with self._http.post(path, data={"csrf": csrf, **fields}) as answer:
            if answer.status >= 400:  # refused
                raise AnjuError(f"{path} answers {answer.status}")

    async def changes(self, *topics: str) -> AsyncIterator[str]:
        """The names of the stream's events, as they come: hello, change, beat."""
        async with self._http.get("/live", params={"topics": ",".join(topics)}) as answer:
            async for line in answer.content:
                if line.startswith(b"event: "):
                    yield line[7:].decode().strip()


def csrf_of(page: str) -> str:
    """The token against forged posts that a page's forms carry."""
    found = _CSRF.search(page)
    if found is None:
        raise AnjuError("the page has no form")
    return found[1]
