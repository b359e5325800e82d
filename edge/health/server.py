"""Serves the page, the metrics and the health check over HTTP."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import msgspec
import structlog

from contract.errors import AnjuError
from edge.health.exposition import CONTENT_TYPE, render
from edge.health.metrics import metrics_of
from edge.health.page import render_page
from edge.health.status import BoxStatus
from edge.http.messages import Request, Response
from edge.http.server import Server
from edge.settings import is_loopback

log = structlog.get_logger(__name__)

_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
}


def parse_listen(text: str) -> tuple[str, int]:
    """Host and port of `host:port`. Raises AnjuError."""
    host, colon, port = text.rpartition(":")
    if not colon or not port.isdecimal() or int(port) > 65535:
        raise AnjuError(f"{text!r} is not an address to listen on; write host:port, for example 127.0.0.1:8081")
    host = host.strip("[]")
    if host in {"", "*"}:
        raise AnjuError(
            f"{text!r} would show this box to its whole network; write 127.0.0.1:{port} for this machine alone,\n"
            f"    or 0.0.0.0:{port} when that is what you want"
        )
    return host, int(port)


@asynccontextmanager
async def serve_health(listen: str, snapshot: Callable[[], BoxStatus]) -> AsyncIterator[int]:
    """Serves until the context ends; gives the port. A port that is taken is said, and the box goes on without (0)."""
    host, port = parse_listen(listen)

    async def page(_: Request) -> Response:
        return Response.text(render_page(snapshot()), "text/html; charset=utf-8")

    async def metrics(_: Request) -> Response:
        return Response.text(render(metrics_of(snapshot())), CONTENT_TYPE)

    async def status(_: Request) -> Response:
        return Response(msgspec.json.encode(snapshot()), "application/json")

    async def health(_: Request) -> Response:
        return Response(b"ok\n")

    pages = {"/": page, "/metrics": metrics, "/status.json": status, "/healthz": health}
    server = Server({path: {"GET": handler} for path, handler in pages.items()}, _HEADERS)
    try:
        try:
            await server.listen(host, port)
            if not is_loopback(host):
                log.warning("the health page can be seen by the whole network: it asks for no password", listen=listen)
        except (OSError, UnicodeError) as e:  # a name that is none is a UnicodeError
            log.warning("no health page: its address cannot be had; the box goes on without", listen=listen,
                        problem=getattr(e, "strerror", None) or str(e),
                        hint="set ANJU_HEALTH_LISTEN to another host:port")  # fmt: skip
        yield server.port
    finally:
        await server.close()
