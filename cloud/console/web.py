"""How a route answers: who asks, in which language, and the page, partial or redirect that it gets back."""

import json
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from pathlib import Path as FilePath
from typing import Annotated, Any
from urllib.parse import quote
from zoneinfo import ZoneInfo

import jinja2
from fastapi import Path
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response

from cloud.console import i18n
from cloud.console.data import Action, AlarmsData, Identity, Person
from cloud.console.frame.view import Frame, frame
from cloud.console.security import Csrf
from cloud.console.words import Voice
from cloud.console.words.times import TICK_WORDS

COOKIE_AGE_S = 400 * 86400
"""How long a browser keeps its display settings: the longest that browsers allow."""
LANGUAGE_COOKIE = "anju_lang"
THEME_COOKIE = "anju_theme"
SIZE_COOKIE = "anju_size"
THEMES = ("auto", "light", "dark")
SIZES = ("normal", "large")

DeviceId = Annotated[int, Path(ge=1, lt=1 << 31)]
"""A device's number in an address, as far as the database counts."""
PersonDependency = Callable[[Request], Awaitable[Person]]


class NotSignedInError(Exception):
    """The request has no session; the browser is sent to the login page."""


class Web:
    """Renders for one console: its templates by language, its identity, its token against forged posts."""

    def __init__(
        self,
        identity: Identity,
        alarms: AlarmsData,
        *,
        zone: ZoneInfo,
        https: bool,
        now: Callable[[], datetime] | None = None,
    ) -> None:
        self.identity = identity
        self.alarms = alarms
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

    async def page(self, request: Request, person: Person, template: str, **context: Any) -> Response:
        """A whole page in the frame: state strip, navigation, content."""
        context["frame"] = await self.frame(request, person)
        return self.render(request, template, **context)

    async def frame(self, request: Request, person: Person) -> Frame:
        """The state strip and navigation as they stand now."""
        voice = self.voice(request)
        return frame(voice, person, await self.alarms.active_alarms(person), request.url.path)

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


def is_htmx(request: Request) -> bool:
    """Whether htmx asks for a part, and not the browser for a page."""
    return request.headers.get("HX-Request") == "true"


def to_login(request: Request) -> Response:
    """Send the browser to the login page, and back here afterwards."""
    if is_htmx(request):
        return Response(status_code=401, headers={"HX-Redirect": "/login"})
    if request.method != "GET":
        return RedirectResponse("/login", 303)
    target = request.url.path + (f"?{request.url.query}" if request.url.query else "")
    return RedirectResponse(f"/login?next={quote(target, safe='')}", 303)


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
