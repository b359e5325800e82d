"""Routes of the gateway list."""

from typing import Annotated

from fastapi import APIRouter, Depends
from starlette.requests import Request
from starlette.responses import Response

from cloud.console.data import GatewaysData, Person
from cloud.console.gateways.view import gateway_lines
from cloud.console.web import Web


def router(pages: Web, gateways: GatewaysData) -> APIRouter:
    """The list, and its live part."""
    routes = APIRouter()

    @routes.get("/gateways")
    async def page(request: Request, person: Annotated[Person, Depends(pages.signed_in)]) -> Response:
        view = gateway_lines(pages.voice(request), await gateways.gateways(person))
        return await pages.page(request, person, "gateways/page.html", view=view)

    @routes.get("/gateways/list")
    async def live(request: Request, person: Annotated[Person, Depends(pages.signed_in)]) -> Response:
        view = gateway_lines(pages.voice(request), await gateways.gateways(person))
        return pages.render(request, "gateways/list.html", view=view)

    return routes
