"""Routes of the page More."""

from typing import Annotated

from fastapi import APIRouter, Depends, Query
from starlette.requests import Request
from starlette.responses import Response

from cloud.console.data import Person
from cloud.console.web import Web


def router(pages: Web) -> APIRouter:
    """Display settings and account."""
    routes = APIRouter()

    @routes.get("/more")
    async def page(
        request: Request,
        person: Annotated[Person, Depends(pages.signed_in)],
        was_set: Annotated[str, Query(alias="set")] = "",
    ) -> Response:
        return await pages.page(request, person, "more/page.html", was_set=was_set)  # where the focus goes on

    return routes
