"""What keeps a browser honest: the headers of every answer, and the proof that a POST came from our own page."""

import hmac
import secrets
from urllib.parse import urlsplit

from starlette.datastructures import MutableHeaders
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

HEADERS = {
    "Content-Security-Policy": (
        "default-src 'self'; object-src 'none'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Permissions-Policy": "camera=(), microphone=(), geolocation=(), payment=()",
}
SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})


class SecurityHeaders:
    """ASGI middleware: adds HEADERS to each answer, and forbids caches to keep what is not a static file."""

    def __init__(self, app: ASGIApp, *, https: bool) -> None:
        self.app = app
        self.headers = dict(HEADERS)
        if https:
            self.headers["Strict-Transport-Security"] = "max-age=31536000"

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, and its answer with the headers."""

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in self.headers.items():
                    headers.setdefault(name, value)
                headers.setdefault("Cache-Control", "no-store")
            await send(message)

        await self.app(scope, receive, send_with_headers if scope["type"] == "http" else send)


class Csrf:
    """A random token in a cookie that must come back in the form or header (double submit), and from our own origin.

    It needs no session, so that the login form is protected too. Over https the cookie carries the `__Host-` prefix:
    no neighbour on a sister domain can plant one.
    """

    FIELD = "csrf"
    HEADER = "X-CSRF-Token"

    def __init__(self, *, https: bool) -> None:
        self.https = https
        self.cookie = "__Host-anju_csrf" if https else "anju_csrf"

    def token(self, request: Request) -> str:
        """The token that this request's pages carry; made anew where the browser has none yet."""
        kept = request.cookies.get(self.cookie)
        if kept:
            return kept
        token = getattr(request.state, "csrf", None) or secrets.token_urlsafe(32)
        request.state.csrf = token
        return str(token)

    def keep(self, request: Request, response: Response) -> None:
        """Give the browser the token that `token` made for this request, if it made one."""
        made = getattr(request.state, "csrf", None)
        if made:
            response.set_cookie(self.cookie, made, httponly=True, samesite="strict", secure=self.https, path="/")

    async def check(self, request: Request) -> None:
        """Dependency of every route: refuse (403) an unsafe request that cannot prove where it comes from."""
        if request.method in SAFE_METHODS:
            return
        kept = request.cookies.get(self.cookie, "")
        given = request.headers.get(self.HEADER) or (await request.form()).get(self.FIELD)
        if not kept or not isinstance(given, str) or not hmac.compare_digest(kept.encode(), given.encode()):
            raise HTTPException(403, "csrf")
        if not _same_origin(request):
            raise HTTPException(403, "csrf")


def _same_origin(request: Request) -> bool:
    site = request.headers.get("Sec-Fetch-Site")
    if site is not None:
        return site in {"same-origin", "none"}
    origin = request.headers.get("Origin")
    return origin is None or urlsplit(origin).netloc == request.headers.get("Host")


def local_path(target: str | None, default: str) -> str:
    """A path on this site to go back to; anything that could lead elsewhere becomes the default."""
    if not target or not target.startswith("/") or target.startswith("//"):
        return default
    return default if "\\" in target or any(ord(char) < 0x20 for char in target) else target
