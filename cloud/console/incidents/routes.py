"""Routes of the incident list, its live part, and the report of something that no device has noticed."""

from typing import Annotated
from uuid import UUID, uuid4

import msgspec
from fastapi import APIRouter, Depends, Form
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from cloud.console.alarms.data import Priority
from cloud.console.data import Action, Person
from cloud.console.incidents.data import Caller, IncidentsData, Kind, NewReport, Outcome
from cloud.console.incidents.view import IncidentList, incident_list, report_form
from cloud.console.web import Web

MOST_SHOWN = 200
ENDED_SHOWN = 20
RUNNING_SHOWN = 10
_BLANK = dict.fromkeys(NewReport.__struct_fields__, "")


def router(pages: Web, incidents: IncidentsData) -> APIRouter:
    """The list, and the form of a report."""
    routes = APIRouter()
    looks = Annotated[Person, Depends(pages.signed_in)]
    responds = Annotated[Person, Depends(pages.may(Action.RESPOND))]

    async def view(request: Request, person: Person) -> IncidentList:
        return incident_list(
            pages.voice(request),
            await incidents.active_incidents(person, MOST_SHOWN),
            await incidents.ended_incidents(person, ENDED_SHOWN),
            await incidents.mobilisations(person, RUNNING_SHOWN),
        )

    @routes.get("/incidents")
    async def page(request: Request, person: looks) -> Response:
        return await pages.page(
            request, person, "incidents/page.html", view=await view(request, person),
            may_report=person.may(Action.RESPOND), may_mobilise=person.may(Action.DISPATCH),
        )  # fmt: skip

    @routes.get("/incidents/list")
    async def live(request: Request, person: looks) -> Response:
        return pages.render(request, "incidents/list.html", view=await view(request, person))

    @routes.get("/incidents/new")
    async def form(request: Request, person: responds) -> Response:
        asked = report_form(pages.voice(request), await incidents.report_estates(person))
        return await pages.page(
            request, person, "incidents/new.html", form=asked, form_id=uuid4(), problem="", given=_BLANK
        )

    @routes.post("/incidents/new")
    async def report(
        request: Request,
        person: responds,
        form_id: Annotated[UUID, Form()],
        estate: Annotated[int, Form(ge=1, lt=1 << 31)],
        kind: Annotated[Kind, Form()],
        words: Annotated[str, Form(max_length=500)],
        priority: Annotated[Priority, Form()] = Priority.HIGH,
        building: Annotated[str, Form(max_length=100)] = "",
        unit: Annotated[str, Form(max_length=100)] = "",
        floor: Annotated[str, Form(max_length=100)] = "",
        spot: Annotated[str, Form(max_length=100)] = "",
        caller: Annotated[str, Form(max_length=100)] = "",
        phone: Annotated[str, Form(max_length=40)] = "",
    ) -> Response:
        new = NewReport(
            id=form_id, estate=estate, kind=kind, priority=priority, words=words, building=building, unit=unit,
            floor=floor, spot=spot, caller=Caller(caller, phone) if phone.strip() else None,
        )  # fmt: skip
        came = await incidents.report(person, new)
        if came.outcome is Outcome.MISSING:
            raise HTTPException(404)
        if came.outcome is Outcome.REFUSED:
            voice = pages.voice(request)
            asked = report_form(voice, await incidents.report_estates(person))
            problem = voice.t("Say in a few words what it is.")
            return await pages.page(
                request, person, "incidents/new.html", form=asked, form_id=form_id, problem=problem,
                given=msgspec.to_builtins(new),
            )  # fmt: skip
        return RedirectResponse(f"/incidents/{came.id}", 303)

    return routes
