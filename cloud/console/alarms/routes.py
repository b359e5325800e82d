"""Routes of the alarm list."""

from typing import Annotated

from fastapi import APIRouter, Depends
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from cloud.console.alarms.view import AlarmList, alarm_list
from cloud.console.data import Action, AlarmsData, Person
from cloud.console.web import Web

ENDED_SHOWN = 10
"""How many ended alarms stand below the active ones: what happened while one looked away."""


def router(pages: Web, alarms: AlarmsData) -> APIRouter:
    """The list, and its live part."""
    routes = APIRouter()

    async def view(request: Request, person: Person) -> AlarmList:
        standing = await pages.standing(request, person)
        ended = await alarms.ended_alarms(person, ENDED_SHOWN)
        return alarm_list(pages.voice(request), standing.active, ended, standing.silent)

    @routes.get("/")
    async def start() -> Response:
        return RedirectResponse("/alarms", 303)

    @routes.get("/alarms")
    async def page(request: Request, person: Annotated[Person, Depends(pages.signed_in)]) -> Response:
        return await pages.page(
            request,
            person,
            "alarms/page.html",
            view=await view(request, person),
            may_acknowledge=person.may(Action.ACKNOWLEDGE),
        )

    @routes.get("/alarms/list")
    async def live(request: Request, person: Annotated[Person, Depends(pages.signed_in)]) -> Response:
        return pages.render(
            request,
            "alarms/list.html",
            view=await view(request, person),
            may_acknowledge=person.may(Action.ACKNOWLEDGE),
        )

    return routes
