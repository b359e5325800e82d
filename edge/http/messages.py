"""What a handler of the server gets and gives: a request with its body to be read, a response, forms and cookies."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Final, Self
from urllib.parse import parse_qsl

import h11
import msgspec

from edge.http.wire import Wire, headers_of

MAX_FIELDS: Final = 100
FORM: Final = "application/x-www-form-urlencoded"
_REASONS: Final = {
    200: "OK", 303: "See Other", 400: "Bad Request", 401: "Unauthorized", 403: "Forbidden", 404: "Not Found",
    405: "Method Not Allowed", 408: "Request Timeout", 409: "Conflict", 413: "Content Too Large",
    415: "Unsupported Media Type", 429: "Too Many Requests", 431: "Request Header Fields Too Large",
    500: "Internal Server Error", 501: "Not Implemented", 503: "Service Unavailable",
}  # fmt: skip


class Response(msgspec.Struct, frozen=True):
    """An answer, whole. `headers` are added to the server's own."""

    body: bytes
    content_type: str = "text/plain; charset=utf-8"
    status: int = 200
    headers: tuple[tuple[str, str], ...] = ()

    @classmethod
    def text(cls, text: str, content_type: str = "text/plain; charset=utf-8", status: int = 200) -> Self:
        """An answer in UTF-8. Nothing that a name holds breaks it."""
        return cls(text.encode(errors="replace"), content_type, status)

    @classmethod
    def bare(cls, status: int) -> Self:
        """An answer that only says its status."""
        return cls.text(f"{status} {reason(status)}\n", status=status)

    def with_header(self, name: str, value: str) -> Self:
        """This answer with one header more."""
        return msgspec.structs.replace(self, headers=(*self.headers, (name, value)))


class Answered(Exception):  # noqa: N818  # it is no error: it is the answer
    """Raised by a handler (or what it calls) to give an answer at once."""

    def __init__(self, response: Response) -> None:
        super().__init__(response.status)
        self.response = response


class Request:
    """A request whose head has come; the body is read by who wants it."""

    def __init__(self, head: h11.Request, wire: Wire, path: tuple[str, ...], values: Mapping[str, str]) -> None:
        self.method = head.method.decode("ascii")
        self.path, self.values = path, values
        """The path's parts, decoded, and those of them that the route has names for."""
        self.headers = headers_of(head)
        """By names in small letters."""
        self._wire = wire

    @property
    def remote(self) -> str:
        """The address of who asks; empty where the connection is gone already."""
        return self._wire.remote

    def cookie(self, name: str) -> str:
        """A cookie's value; empty where there is none."""
        for part in self.headers.get("cookie", "").split(";"):
            key, _, value = part.strip().partition("=")
            if key == name:
                return value.strip('"')
        return ""

    async def read(self, limit: int, within_s: float) -> bytes:
        """The body. Raises Answered for one that is larger (413), slower (408) or broken (400)."""
        length = self.headers.get("content-length", "0")
        if len(length) > 18 or int(length) > limit:  # h11 has checked that it is a number
            raise Answered(Response.bare(413))
        body = bytearray()
        try:
            async with asyncio.timeout(within_s):
                if self._wire.engine.they_are_waiting_for_100_continue:
                    self._wire.send(h11.InformationalResponse(status_code=100, headers=[]))
                while isinstance(event := await self._wire.next(), h11.Data):
                    body += event.data
                    if len(body) > limit:
                        raise Answered(Response.bare(413))
        except TimeoutError:
            raise Answered(Response.bare(408)) from None
        except h11.RemoteProtocolError:
            raise Answered(Response.bare(400)) from None
        return bytes(body)

    async def form(self, limit: int, within_s: float) -> dict[str, str]:
        """The fields of a form in UTF-8. Raises Answered for what is none (415, 400) and as `read`."""
        kind, _, rest = self.headers.get("content-type", "").partition(";")
        if kind.strip().lower() != FORM:
            raise Answered(Response.bare(415))
        charset = rest.strip().lower()
        if charset and charset.replace('"', "") not in {"charset=utf-8", "charset=utf8"}:
            raise Answered(Response.bare(400))
        try:
            text = (await self.read(limit, within_s)).decode()
            return dict(parse_qsl(text, keep_blank_values=True, max_num_fields=MAX_FIELDS))
        except ValueError:  # a UnicodeError is one
            raise Answered(Response.bare(400)) from None


Handler = Callable[[Request], Awaitable[Response]]
"""Answers a request. May raise Answered."""


def reason(status: int) -> str:
    """A status in words."""
    return _REASONS.get(status, "")


def cookie(name: str, value: str, max_age_s: int) -> tuple[str, str]:
    """A header that sets a cookie for this server's own pages alone; with an age of 0 it goes.

    Not "secure": the box's pages are not encrypted, and a browser would keep no such cookie.
    """
    return "Set-Cookie", f"{name}={value}; Max-Age={max_age_s}; Path=/; HttpOnly; SameSite=Strict"
