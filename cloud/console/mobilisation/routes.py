"""Routes of mobilisation: the plans, the one question before, the start, the roll-call and its answers, the end."""

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Depends, Form, Path
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from cloud.console.data import Action, Person
from cloud.console.i18n import N_
from cloud.console.incidents.data import Came, IncidentsData, Outcome, PlanRow, RollAnswer
from cloud.console.mobilisation.view import MobilisationPage, mobilisation_page, plan_card, plan_cards
from cloud.console.web import Web

EstateId = Annotated[int, Path(ge=1, lt=1 << 31)]
PlanName = Annotated[str, Path(max_length=40)]
Number = Annotated[str, Form(max_length=20)]


def router(pages: Web, incidents: IncidentsData) -> APIRouter:
    """Mobilisation."""
    routes = APIRouter()
    looks = Annotated[Person, Depends(pages.signed_in)]
    leads = Annotated[Person, Depends(pages.may(Action.DISPATCH))]

    async def plan(person: Person, estate: int, name: str) -> PlanRow:
        for row in await incidents.plans(person):
            if (row.estate_id, row.name) == (estate, name):
                return row
        raise HTTPException(404)

    async def view(request: Request, person: Person, mobilisation_id: UUID) -> MobilisationPage:
        found = await incidents.mobilisation(person, mobilisation_id)
        if found is None:
            raise HTTPException(404)
        return mobilisation_page(pages.voice(request), found, person.id)

    def answered(request: Request, came: Came, back: str, done: str) -> Response:
        if came.outcome is Outcome.MISSING:
            raise HTTPException(404)
        t = pages.voice(request).t
        say = t(done) if came.outcome is Outcome.DONE else t("It is over already; nothing was changed.")
        return pages.changed(request, back, "incidents", say=say)

    @routes.get("/mobilise")
    async def plans(request: Request, person: leads, incident: UUID | None = None) -> Response:
        cards = plan_cards(pages.voice(request), await incidents.plans(person))
        return await pages.page(request, person, "mobilisation/plans.html", cards=cards, incident=incident or "")

    @routes.get("/mobilise/{estate}/{name}")
    async def ask(
        request: Request, estate: EstateId, name: PlanName, person: leads, incident: UUID | None = None
    ) -> Response:
        card = plan_card(pages.voice(request), await plan(person, estate, name))
        return await pages.page(request, person, "mobilisation/ask.html", card=card, incident=incident or "")

    @routes.post("/mobilise/{estate}/{name}")
    async def start(
        estate: EstateId,
        name: PlanName,
        person: leads,
        mode: Annotated[str, Form(pattern="^(real|drill)$")],
        incident: Annotated[str, Form(max_length=36)] = "",
    ) -> Response:
        try:
            incident_id = UUID(incident) if incident else None
        except ValueError as e:
            raise HTTPException(404) from e
        came = await incidents.mobilise(person, estate, name, drill=mode == "drill", incident_id=incident_id)
        if came.id is None:
            raise HTTPException(404)
        return RedirectResponse(f"/mobilisations/{came.id}", 303)

    @routes.get("/mobilisations/{mobilisation_id}")
    async def page(request: Request, mobilisation_id: UUID, person: looks) -> Response:
        return await pages.page(
            request, person, "mobilisation/page.html", view=await view(request, person, mobilisation_id)
        )

    @routes.get("/mobilisations/{mobilisation_id}/live")
    async def live(request: Request, mobilisation_id: UUID, person: looks) -> Response:
        return pages.render(request, "mobilisation/live.html", view=await view(request, person, mobilisation_id))

    @routes.post("/mobilisations/{mobilisation_id}/answer")
    async def answer(
        request: Request, mobilisation_id: UUID, person: looks, called: Number, answer: Annotated[RollAnswer, Form()]
    ) -> Response:
        came = await incidents.answer(person, mobilisation_id, called, answer)
        return answered(request, came, f"/mobilisations/{mobilisation_id}", N_("Noted."))

    @routes.post("/mobilisations/{mobilisation_id}/end")
    async def end(request: Request, mobilisation_id: UUID, person: leads) -> Response:
        came = await incidents.end(person, mobilisation_id)
        return answered(request, came, f"/mobilisations/{mobilisation_id}", N_("Ended."))

    return routes
