"""The strip's live part, and the switches for language, theme and print size."""

from typing import Annotated

from fastapi import APIRouter, Depends, Form
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from cloud.console import i18n, web
from cloud.console.data import Person
from cloud.console.security import local_path

CHOICES = {
    "language": (web.LANGUAGE_COOKIE, i18n.LANGUAGES),
    "theme": (web.THEME_COOKIE, web.THEMES),
    "size": (web.SIZE_COOKIE, web.SIZES),
}


def router(pages: web.Web) -> APIRouter:
    """Routes of the frame."""
    routes = APIRouter()

    @routes.get("/strip")
    async def strip(request: Request, person: Annotated[Person, Depends(pages.signed_in)]) -> Response:
        return pages.render(request, "frame/strip.html", frame=await pages.frame(request, person))

    @routes.post("/settings")
    async def settings(setting: Annotated[str, Form()], back: Annotated[str, Form()] = "/more") -> Response:
        response = RedirectResponse(local_path(back, "/more"), 303)
        name, _, value = setting.partition("=")
        if name in CHOICES and value in CHOICES[name][1]:
            response.set_cookie(
                CHOICES[name][0], value, max_age=web.COOKIE_AGE_S, httponly=True, samesite="lax", secure=pages.https
            )
        return response

    return routes
