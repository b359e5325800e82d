"""Routes of one box: the page, its live part, and that somebody has looked at what it gave up."""

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Depends, Form
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from cloud.console.data import Action, GatewaysData, Person
from cloud.console.gateway.view import GatewayPage, gateway_page
from cloud.console.web import Web


def router(pages: Web, gateways: GatewaysData) -> APIRouter:
    """One box."""
    routes = APIRouter()

    async def view(request: Request, person: Person, gateway_id: UUID) -> GatewayPage:
        box = await gateways.gateway(person, gateway_id)
        if box is None:
            raise HTTPException(404)
        return gateway_page(pages.voice(request), box)

    @routes.get("/gateways/{gateway_id}")
    async def page(request: Request, gateway_id: UUID, person: Annotated[Person, Depends(pages.signed_in)]) -> Response:
        return await pages.page(
            request, person, "gateway/page.html", view=await view(request, person, gateway_id),
            may_see=person.may(Action.ACKNOWLEDGE),
        )  # fmt: skip

    @routes.get("/gateways/{gateway_id}/live")
    async def live(request: Request, gateway_id: UUID, person: Annotated[Person, Depends(pages.signed_in)]) -> Response:
        return pages.render(
            request, "gateway/live.html", view=await view(request, person, gateway_id),
            may_see=person.may(Action.ACKNOWLEDGE),
        )  # fmt: skip

    @routes.post("/gateways/{gateway_id}/losses/seen")
    async def see_losses(
        request: Request,
        gateway_id: UUID,
        person: Annotated[Person, Depends(pages.may(Action.ACKNOWLEDGE))],
        last: Annotated[int, Form(ge=1, lt=1 << 63)],
    ) -> Response:
        if not await gateways.see_losses(person, gateway_id, last):
            raise HTTPException(404)
        say = pages.voice(request).t("Marked as seen.")
        return pages.changed(request, f"/gateways/{gateway_id}", "gateways", say=say)

    return routes
