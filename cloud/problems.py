"""Where domain errors meet HTTP, as problem details (RFC 9457)."""

import random

import msgspec
import structlog
from fastapi import FastAPI
from starlette.requests import Request
from starlette.responses import Response

from cloud.identity.gateways import (
    ClaimRefusedError,
    NotAuthenticError,
    NotUnderstoodError,
    TooLongError,
    TooManyClaimsError,
)
from cloud.ingest.refused import RefusedError, RevokedError
from cloud.ingest.routes import TooLargeError
from contract.errors import AnjuError, BlockError, Retryable

log = structlog.get_logger()
_STATUS: dict[type[AnjuError], tuple[int, str]] = {
    BlockError: (400, "These bytes are not sound blocks"),
    NotUnderstoodError: (400, "The request makes no sense"),
    NotAuthenticError: (401, "Not authenticated"),
    RevokedError: (401, "Not authenticated"),
    ClaimRefusedError: (403, "The claim cannot be used"),
    TooLongError: (413, "The request is too large"),
    TooLargeError: (413, "The request is too large"),
    TooManyClaimsError: (429, "Too many tries"),
    Retryable: (503, "Try again later"),
}
_WAIT_S = {429: 900, 503: 2}


def problem(status: int, title: str, detail: str, after_s: float | None = None) -> Response:
    """A response that says in a machine's and a person's words what went wrong. Retry-After is spread by half."""
    body = msgspec.json.encode({"type": "about:blank", "status": status, "title": title, "detail": detail})
    response = Response(body, status, media_type="application/problem+json")
    if after_s is not None:
        response.headers["Retry-After"] = str(max(1, round(after_s * random.uniform(1, 1.5))))  # noqa: S311  # spreads load
    return response


def answer(path: str, error: AnjuError) -> Response:
    """The response to one of our errors."""
    status, title = next(_STATUS[kind] for kind in type(error).__mro__ if kind in _STATUS)
    after_s: float | None = _WAIT_S.get(status)
    if isinstance(error, Retryable):
        after_s = error.after_s or after_s
        log.warning("could not serve a request", path=path, problem=str(error))
    return problem(status, title, str(error), after_s)


def add_handlers(app: FastAPI) -> None:
    """Answers our errors on the boxes' routes; everything else is a 500 that the log explains."""

    async def refused(_: Request, error: Exception) -> Response:
        assert isinstance(error, RefusedError)
        return Response(msgspec.json.encode(error.refusal), 409, media_type="application/json")

    async def ours(request: Request, error: Exception) -> Response:
        assert isinstance(error, AnjuError)
        return answer(request.url.path, error)

    app.add_exception_handler(RefusedError, refused)
    for kind in _STATUS:
        app.add_exception_handler(kind, ours)
