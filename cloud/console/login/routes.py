"""Routes of login and logout."""

from typing import Annotated

from fastapi import APIRouter, Form
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from cloud.console.data import SignedOut, SignIn
from cloud.console.login.view import problem, why_words
from cloud.console.security import local_path
from cloud.console.web import Web


def router(pages: Web) -> APIRouter:
    """Sign in, sign out."""
    routes = APIRouter()

    def form(request: Request, onward: str, login: str, came: SignIn | None, why: str = "") -> Response:
        said = problem(pages.voice(request), came) if came else ""
        status = 200 if came is None else 429 if came.retry_after_s else 401
        onward, reason = local_path(onward, "/alarms"), why_words(pages.voice(request), why)
        response = pages.render(
            request, "login/page.html", status=status, problem=said, why=reason, login=login, next=onward
        )
        if came and came.retry_after_s:
            response.headers["Retry-After"] = str(came.retry_after_s)
        return response

    @routes.get("/login")
    async def page(
        request: Request,
        next: str = "/alarms",  # noqa: A002 - the address's word
        why: str = "",
        again: bool = False,
    ) -> Response:
        if not again and await pages.identity.person(request) is not None:
            return RedirectResponse(local_path(next, "/alarms"), 303)
        return form(request, next, "", None, why)

    @routes.post("/login")
    async def sign_in(
        request: Request,
        login: Annotated[str, Form(max_length=200)] = "",
        password: Annotated[str, Form(max_length=1000)] = "",
        next: Annotated[str, Form()] = "/alarms",  # noqa: A002 - the form's word
    ) -> Response:
        onward = RedirectResponse(local_path(next, "/alarms"), 303)
        came = await pages.identity.sign_in(request, onward, login, password)
        return onward if came.ok else form(request, next, login, came)

    @routes.post("/logout")
    async def sign_out(request: Request) -> Response:
        onward = RedirectResponse(f"/login?why={SignedOut.LEFT.value}", 303)
        await pages.identity.sign_out(request, onward)
        return onward

    return routes
