"""Where errors meet HTTP: pages for browsers, a sentence in the status line for htmx."""

import json

import structlog
from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from cloud.console.errors.view import AGAIN_S, Problem, away, problem
from cloud.console.frame.view import Frame
from cloud.console.web import NotSignedInError, Web, is_htmx
from contract.errors import Retryable

log = structlog.get_logger()


def add_handlers(app: FastAPI, pages: Web) -> None:
    """Register the handlers of the console's errors."""

    async def strip(request: Request) -> Frame | None:
        """The frame of somebody who is signed in. What is broken may be what it is read from: then there is none."""
        try:
            person = await pages.identity.person(request)
            request.state.person = person
            return await pages.frame(request, person) if person else None
        except Exception as e:  # noqa: BLE001 - whatever it is, the page about the first fault is still to be had
            log.warning("an error page has no state strip", path=request.url.path, problem=str(e))
            return None

    async def say(request: Request, status: int, said: Problem, again: str = "") -> Response:
        if is_htmx(request):
            trigger = json.dumps({"anju:say": {"text": f"{said.title} {said.words}"}})
            return Response(status_code=status, headers={"HX-Trigger": trigger})
        around = await strip(request)
        context = {"frame": around, "code": status, "problem": said, "again": again}
        return pages.render(request, "errors/page.html", status=status, **context)

    async def answer(request: Request, status: int, detail: str = "") -> Response:
        return await say(request, status, problem(pages.voice(request), status, detail))

    async def not_signed_in(request: Request, error: Exception) -> Response:  # noqa: ARG001
        return pages.to_login(request)

    async def http_error(request: Request, error: Exception) -> Response:
        if not isinstance(error, HTTPException):
            raise error
        return await answer(request, error.status_code, error.detail)

    async def not_understood(request: Request, error: Exception) -> Response:  # noqa: ARG001
        # A mistyped address (an id that is no id) is a page that is not here.
        return await answer(request, 404 if request.method == "GET" else 422)

    async def unavailable(request: Request, error: Exception) -> Response:
        log.warning("could not serve a page", path=request.url.path, problem=str(error))
        looked = request.method == "GET"
        # An order is not sent once more by a page that loads itself again.
        response = await say(request, 503, away(pages.voice(request), looked=looked), "" if looked else "/alarms")
        response.headers["Retry-After"] = str(AGAIN_S)
        return response

    async def fault(request: Request, error: Exception) -> Response:  # noqa: ARG001 - the server logs it
        return await answer(request, 500)

    app.add_exception_handler(NotSignedInError, not_signed_in)
    app.add_exception_handler(HTTPException, http_error)
    app.add_exception_handler(RequestValidationError, not_understood)
    app.add_exception_handler(Retryable, unavailable)
    app.add_exception_handler(Exception, fault)
