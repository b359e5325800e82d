"""Routes of an order: ask once, send, say what came of it. Without scripts the question is a page of its own."""

from typing import Annotated

from fastapi import APIRouter, Depends, Form
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from cloud.console.command.view import Commanded, commanded
from cloud.console.data import Action, DevicesData, Person
from cloud.console.security import local_path
from cloud.console.web import DeviceId, Web, is_htmx
from cloud.console.words.commands import verb

ORDERS_READ = 5


def router(pages: Web, devices: DevicesData) -> APIRouter:
    """The question, its withdrawal, and the order itself."""
    routes = APIRouter()
    may_command = pages.may(Action.COMMAND)

    async def line(request: Request, person: Person, device_id: int, point: str) -> Commanded:
        device = await devices.device(person, device_id)
        if device is not None:
            orders = await devices.commands(person, device_id, ORDERS_READ)
            for offer in commanded(pages.voice(request), device, orders):
                if offer.point == point:
                    return offer
        raise HTTPException(404)

    def answered(request: Request, offer: Commanded, back: str) -> Response:
        """The line without its question. It takes the focus on, which was on the question."""
        return pages.render(
            request, "command/line.html", line=offer, asking=False, back=back, may_command=True, focus=True
        )

    @routes.get("/devices/{device_id}/ask/{point}")
    async def ask(
        request: Request,
        device_id: DeviceId,
        point: str,
        person: Annotated[Person, Depends(may_command)],
        back: str = "",
    ) -> Response:
        offer = await line(request, person, device_id, point)
        back = local_path(back, offer.url)
        if is_htmx(request):
            return pages.render(request, "command/line.html", line=offer, asking=True, back=back, may_command=True)
        return await pages.page(request, person, "command/ask.html", line=offer, back=back)

    @routes.get("/devices/{device_id}/command-line/{point}")
    async def keep_closed(
        request: Request,
        device_id: DeviceId,
        point: str,
        person: Annotated[Person, Depends(may_command)],
        back: str = "",
    ) -> Response:
        offer = await line(request, person, device_id, point)
        back = local_path(back, offer.url)
        return answered(request, offer, back)

    @routes.post("/devices/{device_id}/commands/{point}")
    async def send(
        request: Request,
        device_id: DeviceId,
        point: str,
        person: Annotated[Person, Depends(may_command)],
        back: Annotated[str, Form()] = "",
    ) -> Response:
        device = await devices.device(person, device_id)
        known = verb(device.kind, point) if device and point in device.commands else None
        if known is None or await devices.send_command(person, device_id, point, known.args) is None:
            raise HTTPException(404)
        back = local_path(back, f"/devices/{device_id}")
        if not is_htmx(request):
            return RedirectResponse(back, 303)
        offer = await line(request, person, device_id, point)
        return answered(request, offer, back)

    return routes
