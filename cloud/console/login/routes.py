"""Routes of login and logout."""

from typing import Annotated

from fastapi import APIRouter, Form
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from cloud.console.data import SignIn
from cloud.console.login.view import problem
from cloud.console.security import local_path
from cloud.console.web import Web


def router(pages: Web) -> APIRouter:
    """Sign in, sign out."""
    routes = APIRouter()

    def form(request: Request, onward: str, login: str, came: SignIn | None) -> Response:
        said = problem(pages.voice(request), came) if came else ""
        status = 200 if came is None else 429 if came.retry_after_s else 401
        response = pages.render(
            request, "login/page.html", status=status, problem=said, login=login, next=local_path(onward, "/alarms")
        )
        if came and came.retry_after_s:
            response.headers["Retry-After"] = str(came.retry_after_s)
        return response

    @routes.get("/login")
    async def page(request: Request, next: str = "/alarms") -> Response:  # noqa: A002 - the address's word
        if await pages.identity.person(request) is not None:
            return RedirectResponse(local_path(next, "/alarms"), 303)
        return form(request, next, "", None)

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
        onward = RedirectResponse("/login", 303)
        await pages.identity.sign_out(request, onward)
        return onward

    return routes
