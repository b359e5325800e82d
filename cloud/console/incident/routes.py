"""Routes of one incident: its page and live part, each step, a comment, its alarms, and who called."""

from collections.abc import Sequence
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Depends, Form
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from cloud.console.alarms.data import AlarmRow, AlarmsData
from cloud.console.data import Action, Person
from cloud.console.i18n import N_
from cloud.console.incident.view import IncidentPage, incident_page
from cloud.console.incidents.data import Came, IncidentsData, Outcome
from cloud.console.security import local_path
from cloud.console.web import Web
from cloud.incidents.machine import Act

MOST_WHY = 2000
RUNNING_READ = 10
SAID = {
    Act.DISPATCH: N_("Sent."),
    Act.ACCEPT: N_("Noted: on the way."),
    Act.DECLINE: N_("Noted: the next one is sent."),
    Act.ARRIVE: N_("Noted: on site."),
    Act.RESOLVE: N_("Resolved."),
    Act.REVIEW: N_("Reviewed."),
    Act.REOPEN: N_("Open again."),
    Act.CANCEL: N_("Called off."),
}
REFUSED = {
    "why": N_("Say why first; nothing was changed."),
    "words": N_("There were no words in it; nothing was changed."),
    "other": N_("Only who was sent can decline; nothing was changed."),
    "label": N_("Say first whether it was real; nothing was changed."),
    "nobody": N_("Nobody is there who could be sent: go yourself, or call somebody by telephone."),
    "alarm": N_("The alarm has another incident by now: go on there."),
}
_LEADS = frozenset({Act.DISPATCH, Act.CANCEL, Act.REOPEN})


def action_of(act: Act) -> Action:
    """What a role must allow for a step; where it does is the store's check."""
    if act is Act.REVIEW:
        return Action.MANAGE
    return Action.DISPATCH if act in _LEADS else Action.RESPOND


def router(pages: Web, incidents: IncidentsData, alarms: AlarmsData) -> APIRouter:
    """One incident."""
    routes = APIRouter()
    looks = Annotated[Person, Depends(pages.signed_in)]
    responds = Annotated[Person, Depends(pages.may(Action.RESPOND))]

    async def rows(person: Person, ids: Sequence[UUID]) -> list[AlarmRow]:
        found = [await alarms.alarm(person, alarm) for alarm in ids]
        return [row for row in found if row is not None]

    async def view(request: Request, person: Person, incident_id: UUID) -> IncidentPage:
        found = await incidents.incident(person, incident_id)
        if found is None:
            raise HTTPException(404)
        running = await incidents.mobilisations(person, RUNNING_READ)
        return incident_page(
            pages.voice(request), found, await rows(person, found.alarms), await rows(person, found.near),
            [one for one in running if one.incident == incident_id], may_respond=person.may(Action.RESPOND),
        )  # fmt: skip

    def answered(request: Request, came: Came, back: str, done: str) -> Response:
        """Back to the page, with a word on what came of it."""
        if came.outcome is Outcome.MISSING:
            raise HTTPException(404)
        t = pages.voice(request).t
        say = {
            Outcome.DONE: t(done),
            Outcome.ALREADY: t("Somebody was quicker; nothing was changed."),
            Outcome.REFUSED: t(REFUSED.get(came.why, REFUSED["why"])),
        }[came.outcome]
        return pages.changed(request, back, "incidents", "alarms", say=say)

    @routes.get("/incidents/{incident_id}")
    async def page(request: Request, incident_id: UUID, person: looks) -> Response:
        return await pages.page(
            request, person, "incident/page.html", view=await view(request, person, incident_id), caller=None,
            may_mobilise=person.may(Action.DISPATCH),
        )  # fmt: skip

    @routes.get("/incidents/{incident_id}/report")
    async def live(request: Request, incident_id: UUID, person: looks) -> Response:
        return pages.render(
            request, "incident/report.html", view=await view(request, person, incident_id), caller=None,
            may_mobilise=person.may(Action.DISPATCH),
        )  # fmt: skip

    @routes.post("/incidents/{incident_id}/do/{act}")
    async def do(
        request: Request,
        incident_id: UUID,
        act: Act,
        person: looks,
        why: Annotated[str, Form(max_length=MOST_WHY)] = "",
        to: Annotated[str, Form(max_length=20)] = "",
        label: Annotated[str, Form(max_length=20)] = "",
        back: Annotated[str, Form()] = "",
    ) -> Response:
        if not person.may(action_of(act)):
            raise HTTPException(403, "role")
        came = await incidents.do(person, incident_id, act, why=why, to=to, label=label)
        return answered(request, came, local_path(back, f"/incidents/{incident_id}"), SAID[act])

    @routes.post("/incidents/{incident_id}/comment")
    async def comment(
        request: Request, incident_id: UUID, person: responds, text: Annotated[str, Form(max_length=MOST_WHY)] = ""
    ) -> Response:
        came = await incidents.comment(person, incident_id, text)
        return answered(request, came, f"/incidents/{incident_id}", N_("Written down."))

    @routes.post("/incidents/{incident_id}/join")
    async def join(request: Request, incident_id: UUID, person: responds, alarm: Annotated[UUID, Form()]) -> Response:
        came = await incidents.join(person, incident_id, alarm)
        return answered(request, came, f"/incidents/{incident_id}", N_("Added."))

    @routes.post("/incidents/{incident_id}/caller")
    async def caller(request: Request, incident_id: UUID, person: responds) -> Response:
        """A look at what is personal is an act, with its line in the audit log."""
        shown = await view(request, person, incident_id)
        called = await incidents.caller(person, incident_id)
        if called is None:
            raise HTTPException(404)
        return await pages.page(
            request, person, "incident/page.html", view=shown, caller=called, may_mobilise=person.may(Action.DISPATCH)
        )

    @routes.post("/alarms/{alarm_id}/incident")
    async def start(
        alarm_id: UUID, person: Annotated[Person, Depends(pages.may(Action.RESPOND))],
        send: Annotated[str, Form(max_length=5)] = "",
    ) -> Response:  # fmt: skip
        """An alarm becomes an incident, and with `send` the first choice is sent in the same press."""
        came = await incidents.follow_up(person, alarm_id)
        if came.outcome is Outcome.MISSING or came.id is None:
            raise HTTPException(404)
        if send and came.outcome is Outcome.DONE and person.may(Action.DISPATCH):
            await incidents.do(person, came.id, Act.DISPATCH)
        return RedirectResponse(f"/incidents/{came.id}", 303)

    return routes
