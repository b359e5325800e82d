"""Routes of the page More."""

from typing import Annotated

from fastapi import APIRouter, Depends
from starlette.requests import Request
from starlette.responses import Response

from cloud.console.data import Person
from cloud.console.web import Web


def router(pages: Web) -> APIRouter:
    """Display settings and account."""
    routes = APIRouter()

    @routes.get("/more")
    async def page(request: Request, person: Annotated[Person, Depends(pages.signed_in)]) -> Response:
        return await pages.page(request, person, "more/page.html")

    return routes
