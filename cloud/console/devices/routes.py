"""Routes of the device list."""

from typing import Annotated

from fastapi import APIRouter, Depends, Query
from starlette.requests import Request
from starlette.responses import Response

from cloud.console.data import DevicesData, Person
from cloud.console.devices.view import DeviceList, device_list
from cloud.console.web import Web

SHOWN = 300
"""Most devices of one page; beyond it a person searches."""


def router(pages: Web, devices: DevicesData) -> APIRouter:
    """The list, and its live part."""
    routes = APIRouter()

    async def view(request: Request, person: Person, search: str) -> DeviceList:
        rows = await devices.devices(person, search, SHOWN + 1)
        standing = await pages.standing(request, person)
        return device_list(pages.voice(request), rows, search, SHOWN, standing.active, standing.silent)

    @routes.get("/devices")
    async def page(
        request: Request,
        person: Annotated[Person, Depends(pages.signed_in)],
        q: Annotated[str, Query(max_length=100)] = "",
    ) -> Response:
        return await pages.page(request, person, "devices/page.html", view=await view(request, person, q.strip()))

    @routes.get("/devices/list")
    async def live(
        request: Request,
        person: Annotated[Person, Depends(pages.signed_in)],
        q: Annotated[str, Query(max_length=100)] = "",
    ) -> Response:
        return pages.render(request, "devices/list.html", view=await view(request, person, q.strip()))

    return routes
