"""Routes of the alarm list: its tabs, its live part, and acknowledging several at once."""

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Depends, Form, Query
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from cloud.console.alarms.data import Acknowledge, AlarmsData, Outcome
from cloud.console.alarms.view import ACTIVE, ENDED, HELD, AlarmList, Shown, alarm_list, shown
from cloud.console.data import Action, Person
from cloud.console.security import local_path
from cloud.console.web import Web, is_htmx

ENDED_SHOWN = {ACTIVE: 10, HELD: 0, ENDED: 100}
"""How many ended alarms stand below the active ones (what happened while one looked away), and in their own tab."""
HELD_SHOWN = 200
MOST_AT_ONCE = 100
"""How many can be acknowledged together: about what somebody can have read."""


def _shown(
    show: Annotated[str, Query(max_length=20)] = "",
    by: Annotated[str, Query(max_length=20)] = "",
    choose: Annotated[str, Query(max_length=20)] = "",
) -> Shown:
    return shown(show, by, choose)


def router(pages: Web, alarms: AlarmsData) -> APIRouter:
    """The list, and its live part."""
    routes = APIRouter()
    looks = Annotated[Person, Depends(pages.signed_in)]
    look_at = Annotated[Shown, Depends(_shown)]

    async def view(request: Request, person: Person, look: Shown) -> AlarmList:
        standing = await pages.standing(request, person)
        held, held_count = await alarms.held_alarms(person, HELD_SHOWN if look.tab == HELD else 0)
        wanted = ENDED_SHOWN[look.tab]
        ended = await alarms.ended_alarms(person, wanted) if wanted else ()
        return alarm_list(
            pages.voice(request),
            standing.active,
            ended,
            standing.silent,
            held=held,
            held_count=held_count,
            situation=await alarms.situation(person),
            look=look,
        )

    @routes.get("/")
    async def start() -> Response:
        return RedirectResponse("/alarms", 303)

    @routes.get("/alarms")
    async def page(request: Request, person: looks, look: look_at) -> Response:
        return await pages.page(
            request,
            person,
            "alarms/page.html",
            view=await view(request, person, look),
            is_part=False,
            may_acknowledge=person.may(Action.ACKNOWLEDGE),
        )

    @routes.get("/alarms/list")
    async def live(request: Request, person: looks, look: look_at) -> Response:
        return pages.render(
            request,
            "alarms/list.html",
            view=await view(request, person, look),
            is_part=is_htmx(request),
            may_acknowledge=person.may(Action.ACKNOWLEDGE),
        )

    @routes.post("/alarms/acknowledge")
    async def acknowledge(
        request: Request,
        person: Annotated[Person, Depends(pages.may(Action.ACKNOWLEDGE))],
        alarm: Annotated[list[UUID], Form(max_length=MOST_AT_ONCE)] = [],  # noqa: B006 - FastAPI copies it
        back: Annotated[str, Form(max_length=500)] = "",
    ) -> Response:
        t = pages.voice(request).t
        came = [(await alarms.act(person, one, Acknowledge())).outcome for one in dict.fromkeys(alarm)]
        done = came.count(Outcome.DONE)
        say = t.n("%(n)s alarm acknowledged.", "%(n)s alarms acknowledged.", done) if done else ""
        if left := len(came) - done:
            say += t.n(
                "%(n)s was left as it is: somebody was quicker, or it has ended.",
                "%(n)s were left as they are: somebody was quicker, or they have ended.",
                left,
            )
        return pages.changed(request, local_path(back, "/alarms"), "alarms", say=say or t("Choose alarms first."))

    return routes
