"""Serves the guard page on the local network: what is shown, what a person asks, and what nobody may do to the box."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

import structlog

from contract.clock import boot_id, mono_ns
from contract.site import GuardPage
from edge.guard import page
from edge.guard.access import RENEW_NS, SESSION_NS, Access, load_key
from edge.guard.listening import MAX_CONNECTIONS, Listening
from edge.guard.live import live
from edge.guard.words import Words
from edge.http.messages import Answered, Request, Response, cookie
from edge.http.router import Routes
from edge.http.server import Server
from edge.secrets import read_secret
from edge.zones import Guarded, GuardView, Mode, Refusal, ZoneView

log = structlog.get_logger(__name__)

_S = 1_000_000_000
COOKIE: Final = "anju_guard"
MAX_BODY: Final = 4096
BODY_S: Final = 5.0
_STATIC = Path(__file__).parent / "static"
_TYPES = {"guard.css": "text/css", "live.js": "text/javascript"}
_HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; img-src data:; "
        "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",  # with no-referrer a browser sends forms of our own as from "null"
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}
_WRONG: Words = ("密码不对", "that is not the password")
_TOO_OFTEN: Words = ("尝试过多，请稍候再试", "too many tries; wait a little and try again")
_OLD_FORM: Words = ("页面已过期，请返回重试", "this page was too old; go back and try again")
_NO_ZONE: Words = ("没有这个分区", "there is no such zone")
_ASKED = frozenset({"release", "reset", "drill"})
"""What is asked once more on a page of its own."""


class Guard:
    """The guard page of a site file; without one, nothing is served. Raises AnjuError for a password that is none."""

    def __init__(self, settings: GuardPage | None, state_dir: Path) -> None:
        self._settings = settings
        self._password = read_secret(settings.password) if settings else ""
        if settings:
            Access(self._password, b"", b"")  # says now what would be wrong with it
        self._key_path = state_dir / "guard.key"

    @asynccontextmanager
    async def serve(self, guarded: Guarded) -> AsyncIterator[int]:
        """Serves until the context ends; gives the port, 0 where it cannot be had: it is then tried again and again."""
        if self._settings is None:
            yield 0
            return
        access = Access(self._password, load_key(self._key_path), boot_id())
        server = Server(_Pages(guarded, access).routes(), _HEADERS, max_connections=MAX_CONNECTIONS)
        listening = Listening(self._settings.listen, server)
        trying: asyncio.Task[None] | None = None
        try:
            if not await listening.try_once():
                trying = asyncio.create_task(listening.try_for_ever(), name="guard page")
            yield listening.port
        finally:
            if trying is not None:
                trying.cancel()
                await asyncio.wait([trying])
            await server.close()


class _Pages:
    """What is answered to whom."""

    def __init__(self, guarded: Guarded, access: Access) -> None:
        self._guarded, self._access = guarded, access
        self._files = {name: (_STATIC / name).read_bytes() for name in _TYPES}

    def routes(self) -> Routes:
        """Every address of the page."""
        return {
            "/": {"GET": self._main},
            "/live": {"GET": self._live},
            "/login": {"POST": self._login},
            "/logout": {"POST": self._logout},
            "/silence": {"POST": self._silence},
            "/zones/{zone}/{what}": {"GET": self._ask, "POST": self._do},
            "/static/{name}": {"GET": self._file},
        }

    # Shown

    async def _main(self, request: Request) -> Response:
        session = self._session(request)
        if session is None:
            return _html(page.login_page(self._guarded.estate))
        return self._renewed(_html(page.main_page(self._guarded.view(), self._access.form_token(session))), session)

    async def _live(self, request: Request) -> Response:
        session = self._session(request)
        if session is None:
            return Response.bare(401)
        return self._renewed(_html(live(self._guarded.view(), self._access.form_token(session))), session)

    async def _ask(self, request: Request) -> Response:
        session = self._session(request)
        if session is None:
            return _see()
        view, what = self._guarded.view(), request.values["what"]
        zone = _zone_of(view, request)
        if zone is None or what not in _ASKED:
            return _html(page.told_page(view.estate, _NO_ZONE), 404)
        return _html(page.ask_page(view.estate, zone, what, self._access.form_token(session)))

    async def _file(self, request: Request) -> Response:
        name = request.values["name"]
        if name not in self._files:
            return Response.bare(404)
        return Response(self._files[name], f"{_TYPES[name]}; charset=utf-8")

    # Asked

    async def _login(self, request: Request) -> Response:
        _same_site(request)
        self._let_stranger(request.remote, mono_ns())
        estate, now_ns, address = self._guarded.estate, mono_ns(), request.remote
        if wait_ns := self._access.wait_ns(address, now_ns):
            answer = _html(page.login_page(estate, _TOO_OFTEN), 429)
            return answer.with_header("Retry-After", str(wait_ns // _S + 1))
        form = await _form(request)
        session = self._access.login(address, form.get("password", ""), now_ns)
        if session is None:
            log.warning("a wrong password on the guard page", address=address)
            return _html(page.login_page(estate, _WRONG), 403)
        log.info("logged in on the guard page", address=address)
        return _keep(_see(), session)

    async def _logout(self, request: Request) -> Response:
        await self._asked(request)
        return _see().with_header(*cookie(COOKIE, "", 0))

    async def _silence(self, request: Request) -> Response:
        await self._asked(request)
        return self._answer(self._guarded.silence(""))

    async def _do(self, request: Request) -> Response:
        form = await self._asked(request)
        view, what = self._guarded.view(), request.values["what"]
        zone = _zone_of(view, request)
        if zone is None:
            return _html(page.told_page(view.estate, _NO_ZONE), 404)
        match what:
            case "silence":
                return self._answer(self._guarded.silence(zone.id))
            case "reset":
                return self._answer(self._guarded.reset(zone.id))
            case "release":
                return self._answer(self._guarded.release(zone.id))
            case "stop":
                return self._answer(self._guarded.stop(zone.id))
            case "drill":
                mode, minutes = form.get("mode", ""), form.get("minutes", "")
                if mode in set(Mode) and minutes in {str(number) for number in page.MINUTES}:
                    return self._answer(self._guarded.start(zone.id, Mode(mode), int(minutes)))
        return Response.bare(404)

    def _answer(self, refusal: Refusal | None) -> Response:
        if refusal is None:
            return _see()
        return _html(page.told_page(self._guarded.estate, (refusal.zh, refusal.en)), 409)

    # Who asks

    def _session(self, request: Request) -> str | None:
        """The session of who asks, if it is one. Raises Answered (429) where too many strangers ask."""
        session, now_ns = request.cookie(COOKIE), mono_ns()
        if self._access.age_ns(session, now_ns) is not None:
            self._access.know(request.remote)
            return session
        self._let_stranger(request.remote, now_ns)
        return None

    def _let_stranger(self, address: str, now_ns: int) -> None:
        if not self._access.may_ask(address, now_ns):
            raise Answered(Response.bare(429))

    def _renewed(self, response: Response, session: str) -> Response:
        """A session that is used goes on; forms of the old one are still good for as long as it is kept."""
        now_ns = mono_ns()
        age_ns = self._access.age_ns(session, now_ns)
        if age_ns is not None and age_ns > RENEW_NS:
            return _keep(response, self._access.session(now_ns))
        return response

    async def _asked(self, request: Request) -> dict[str, str]:
        """The form of a person who is logged in, from a page of ours. Raises Answered for anyone else."""
        _same_site(request)
        session = self._session(request)
        if session is None:
            raise Answered(_see())
        form = await _form(request)
        if not self._access.is_form_token(session, form.get("token", "")):
            raise Answered(_html(page.told_page(self._guarded.estate, _OLD_FORM), 403))
        return form


def _zone_of(view: GuardView, request: Request) -> ZoneView | None:
    return next((zone for zone in view.zones if zone.id == request.values["zone"]), None)


def _same_site(request: Request) -> None:
    """Raises Answered (403) for a form that another site sent."""
    origin = request.headers.get("origin")
    site = request.headers.get("sec-fetch-site", "same-origin")
    if (origin is not None and origin.partition("://")[2] != request.headers.get("host")) or site not in {
        "same-origin",
        "none",
    }:
        raise Answered(Response(b"sent by another site\n", status=403))


async def _form(request: Request) -> dict[str, str]:
    """What a form says. Raises Answered for one that is too large, too slow or none."""
    return await request.form(MAX_BODY, BODY_S)


def _keep(response: Response, session: str) -> Response:
    return response.with_header(*cookie(COOKIE, session, SESSION_NS // _S))


def _see() -> Response:
    """Sends the browser to the page, so that loading it again repeats nothing."""
    return Response.bare(303).with_header("Location", "/")


def _html(text: str, status: int = 200) -> Response:
    return Response.text(text, "text/html; charset=utf-8", status)
