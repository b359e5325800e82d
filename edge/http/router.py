"""Which handler answers what: a dict of paths and methods."""

from collections.abc import Mapping
from typing import Final
from urllib.parse import unquote, urlsplit

from edge.http.messages import Answered, Handler, Response

Routes = Mapping[str, Mapping[str, Handler]]
"""By path, then by method: `{"/": {"GET": page}, "/zones/{zone}": {"POST": act}}`. A part in braces takes any text."""
_BAD: Final = Response.bare(400)


class Router:
    """Finds a request's handler. HEAD is answered by GET's, without the body."""

    def __init__(self, routes: Routes) -> None:
        self._routes = [(tuple(path.split("/")[1:]), methods) for path, methods in routes.items()]

    def find(self, method: str, path: tuple[str, ...]) -> tuple[Handler, dict[str, str]]:
        """The handler, and the texts for the route's names. Raises Answered: 404, 405."""
        for route, methods in self._routes:
            values = _match(route, path)
            if values is None:
                continue
            handler = methods.get("GET" if method == "HEAD" else method)
            if handler is None:
                allowed = {*methods, *(("HEAD",) if "GET" in methods else ())}
                raise Answered(Response.bare(405).with_header("Allow", ", ".join(sorted(allowed))))
            return handler, values
        raise Answered(Response.bare(404))


def path_of(target: bytes) -> tuple[str, ...]:
    """The decoded parts of a request's path; a slash that is encoded stays within its part. Raises Answered (400)."""
    try:
        text = target.decode("ascii")
        if not text.startswith("/"):
            text = urlsplit(text).path if text.startswith("http://") else ""
        path = text.partition("?")[0].partition("#")[0]
        if not path.startswith("/"):
            raise Answered(_BAD)
        return tuple(unquote(part, errors="strict") for part in path.split("/")[1:])
    except ValueError:  # a UnicodeError is one
        raise Answered(_BAD) from None


def _match(route: tuple[str, ...], path: tuple[str, ...]) -> dict[str, str] | None:
    if len(route) != len(path):
        return None
    values: dict[str, str] = {}
    for expected, part in zip(route, path, strict=True):
        if expected.startswith("{") and part:
            values[expected[1:-1]] = part
        elif expected != part:
            return None
    return values
