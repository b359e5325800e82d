"""The console as a browser uses it, without one: log in, hear what changed, fetch the live part, press buttons."""

import re
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager

import aiohttp

from contract.errors import AnjuError

_CSRF = re.compile(r'name="csrf" value="([^"]+)"')
_SILENCE_S = 30
"""The live stream beats more often; a page takes milliseconds."""
_TIMEOUT = aiohttp.ClientTimeout(total=None, connect=5, sock_read=_SILENCE_S)


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
            fields = {"csrf": csrf_of(await browser.get("/login")), "login": login, "password": password}
            with _in_words("/login"):
                async with http.post("/login", data=fields) as answer:
                    if answer.url.path == "/login":
                        raise AnjuError(f"the console refuses login {login!r}")
            yield browser

    async def get(self, path: str) -> str:
        """A page, or a live part of one. Raises AnjuError when it is not there."""
        with _in_words(path):
            async with self._http.get(path) as answer:
                if answer.status != 200:  # OK
                    raise AnjuError(f"{path} answers {answer.status}")
                return await answer.text()

    async def post(self, path: str, csrf: str, **fields: str) -> None:
        """Presses a button. Raises AnjuError when the console refuses."""
        with _in_words(path):
            async with self._http.post(path, data={"csrf": csrf, **fields}) as answer:
                if answer.status >= 400:  # refused
                    raise AnjuError(f"{path} answers {answer.status}")

    async def changes(self, *topics: str) -> AsyncIterator[str]:
        """The names of the stream's events, as they come: hello, change, beat. Raises AnjuError when it is lost."""
        with _in_words("/live"):
            answer = await self._http.get("/live", params={"topics": ",".join(topics)})
        async with answer:
            if answer.status != 200:  # OK
                raise AnjuError(f"/live answers {answer.status}")
            while True:
                with _in_words("/live"):
                    line = await answer.content.readline()
                if not line:
                    return
                if line.startswith(b"event: "):
                    yield line[7:].decode().strip()


@contextmanager
def _in_words(path: str) -> Iterator[None]:
    """A network's failure as a sentence."""
    try:
        yield
    except TimeoutError as e:
        raise AnjuError(f"the console is silent: {path} has not answered in time. The machine may be too busy.") from e
    except aiohttp.ClientError as e:
        raise AnjuError(f"the console was lost at {path}: {str(e) or type(e).__name__}") from e


def csrf_of(page: str) -> str:
    """The token against forged posts that a page's forms carry."""
    found = _CSRF.search(page)
    if found is None:
        raise AnjuError("the page has no form")
    return found[1]
