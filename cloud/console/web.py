"""How a route answers: who asks, in which language, and the page, partial or redirect that it gets back."""

import json
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path as FilePath
from typing import Annotated, Any
from urllib.parse import urlencode, urlsplit
from zoneinfo import ZoneInfo

import jinja2
import msgspec
from fastapi import Path
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response

from cloud.console import i18n
from cloud.console.alarms.data import AlarmRow, AlarmsData
from cloud.console.data import Action, GatewaysData, Identity, Person, SilentGateway
from cloud.console.frame.view import Frame, frame
from cloud.console.i18n import N_
from cloud.console.security import Csrf, local_path
from cloud.console.words import Voice
from cloud.console.words.times import TICK_WORDS

COOKIE_AGE_S = 400 * 86400
"""How long a browser keeps its display settings: the longest that browsers allow."""
LANGUAGE_COOKIE = "anju_lang"
THEME_COOKIE = "anju_theme"
SIZE_COOKIE = "anju_size"
THEMES = ("auto", "light", "dark")
SIZES = ("normal", "large")

BUSY_WORDS = {
    "sending": N_("Sending…"),
    "slow": N_("No answer yet…"),
    "unknown": N_(
        "No answer: whether it was done is not known. Look on site and at the fire-alarm panel, and here once the "
        "connection is back; do not press again and again."
    ),
    "unread": N_("No answer: this could not be read. Check the network, and try again."),
}
"""What a page says of a request that it has under way, or that came to nothing (busy.js)."""

DeviceId = Annotated[int, Path(ge=1, lt=1 << 31)]
"""A device's number in an address, as far as the database counts."""
PersonDependency = Callable[[Request], Awaitable[Person]]


class NotSignedInError(Exception):
    """The request has no session; the browser is sent to the login page."""


class Standing(msgspec.Struct, frozen=True):
    """What is wrong now, for the strip and for what a page says of it: active alarms, and boxes that say nothing."""

    active: Sequence[AlarmRow]
    silent: Sequence[SilentGateway]


class Web:
    """Renders for one console: its templates by language, its identity, its token against forged posts."""

    def __init__(
        self,
        identity: Identity,
        alarms: AlarmsData,
        gateways: GatewaysData,
        *,
        zone: ZoneInfo,
        https: bool,
        now: Callable[[], datetime] | None = None,
    ) -> None:
        self.identity = identity
        self._alarms = alarms
        self._gateways = gateways
        self.zone = zone
        self.https = https
        self.now = now or (lambda: datetime.now(UTC))
        self.csrf = Csrf(https=https)
        self._environments = {language: _environment(i18n.texts(language)) for language in i18n.LANGUAGES}

    async def signed_in(self, request: Request) -> Person:
        """Dependency: the person who asks. Raises NotSignedInError without a session."""
        person = await self.identity.person(request)
        if person is None:
            raise NotSignedInError
        request.state.person = person
        return person

    def may(self, action: Action) -> PersonDependency:
        """Dependency factory: the person who asks, if their role allows the action; else 403."""

        async def allowed(request: Request) -> Person:
            person = await self.signed_in(request)
            if not person.may(action):
                raise HTTPException(403, "role")
            return person

        return allowed

    def voice(self, request: Request) -> Voice:
        """Language, zone and moment of this request."""
        person: Person | None = getattr(request.state, "person", None)
        language = i18n.choose(
            request.cookies.get(LANGUAGE_COOKIE),
            person.language if person else None,
            request.headers.get("Accept-Language"),
        )
        return Voice(i18n.texts(language), self.zone, self.now())

    async def standing(self, request: Request, person: Person) -> Standing:
        """What is wrong now, read once a request."""
        known: Standing | None = getattr(request.state, "standing", None)
        if known is None:
            known = Standing(await self._alarms.active_alarms(person), await self._gateways.silent(person))
            request.state.standing = known
        return known

    async def page(self, request: Request, person: Person, template: str, **context: Any) -> Response:
        """A whole page in the frame: state strip, navigation, content."""
        context["frame"] = await self.frame(request, person)
        return self.render(request, template, **context)

    async def frame(self, request: Request, person: Person) -> Frame:
        """The state strip and navigation as they stand now."""
        standing = await self.standing(request, person)
        return frame(self.voice(request), person, standing.active, standing.silent, request.url.path)

    def render(self, request: Request, template: str, *, status: int = 200, **context: Any) -> Response:
        """A template alone: a partial, or a page without the frame (login, errors)."""
        voice = self.voice(request)
        environment = self._environments[voice.t.language]
        context |= {
            "csrf": self.csrf.token(request),
            "lang": i18n.HTML_LANG[voice.t.language],
            "theme": _one_of(THEMES, request.cookies.get(THEME_COOKIE)),
            "size": _one_of(SIZES, request.cookies.get(SIZE_COOKIE)),
            "tick_words": json.dumps({name: voice.t(text) for name, text in TICK_WORDS.items()}, ensure_ascii=False),
            "busy_words": json.dumps({name: voice.t(text) for name, text in BUSY_WORDS.items()}, ensure_ascii=False),
            "here": request.url.path + (f"?{request.url.query}" if request.url.query else ""),
            "zone": str(voice.zone),
            "now": voice.now.timestamp(),
        }
        response = HTMLResponse(environment.get_template(template).render(context), status)
        # A page and its partials share an address's variants: by language, and by who asks (htmx or the browser).
        response.headers["Vary"] = "Cookie, Accept-Language, HX-Request"
        self.csrf.keep(request, response)
        return response

    def changed(self, request: Request, back: str, *topics: str, say: str = "") -> Response:
        """The answer to a POST: a browser without scripts goes back to the page; htmx wakes its live parts.

        `say` is told to the person in the page's status line.
        """
        if not is_htmx(request):
            return RedirectResponse(back, 303)
        triggers: dict[str, Any] = {f"anju:{topic}": {} for topic in topics}
        if say:
            triggers["anju:say"] = {"text": say}
        # json.dumps, since it escapes what is not ASCII, and headers are Latin-1.
        return Response(status_code=204, headers={"HX-Trigger": json.dumps(triggers)})

    def to_login(self, request: Request) -> Response:
        """Send the browser to the login page, which says why, and back to where it was afterwards."""
        why = self.identity.signed_out(request)
        query = {"next": _place(request)} | ({"why": why.value} if why else {})
        if is_htmx(request):
            return Response(status_code=401, headers={"HX-Redirect": f"/login?{urlencode(query)}"})
        return RedirectResponse(f"/login?{urlencode(query)}", 303)


def is_htmx(request: Request) -> bool:
    """Whether htmx asks for a part, and not the browser for a page."""
    return request.headers.get("HX-Request") == "true"


def _place(request: Request) -> str:
    """The page that somebody is on: the one asked for, or the one that a part or a form was asked for from."""
    if request.method == "GET" and not is_htmx(request):
        return request.url.path + (f"?{request.url.query}" if request.url.query else "")
    page = urlsplit(request.headers.get("HX-Current-URL") or request.headers.get("Referer", ""))
    if page.netloc != request.headers.get("Host"):
        return "/alarms"
    return local_path(page.path + (f"?{page.query}" if page.query else ""), "/alarms")


def _one_of(choices: tuple[str, ...], wish: str | None) -> str:
    return wish if wish in choices else choices[0]


def _environment(texts: i18n.Texts) -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(FilePath(__file__).parent),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        extensions=["jinja2.ext.i18n"],
    )
    environment.install_gettext_translations(texts.catalogue, newstyle=True)  # type: ignore[attr-defined]
    environment.globals["languages"] = i18n.NAMES
    return environment
