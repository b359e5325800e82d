"""Routes of one alarm: the report, its live part, its curve, and what a person does to it."""

from collections.abc import Sequence
from typing import Annotated, Any
from uuid import UUID

import msgspec
from fastapi import APIRouter, Depends, Form
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from cloud.console.alarm import holding
from cloud.console.alarm.view import AlarmReport, curve_point, curve_window, limits, report
from cloud.console.alarms.data import (
    Acknowledge,
    Act,
    AlarmRow,
    AlarmsData,
    AlarmState,
    Assign,
    Label,
    Outcome,
    PutLabel,
    ReturnToService,
    Say,
    Shelve,
    TakeOutOfService,
    UndoAcknowledge,
    Unshelve,
)
from cloud.console.chart import Mark, chart
from cloud.console.data import Action, CommandRow, DeviceRow, DevicesData, Person
from cloud.console.security import local_path
from cloud.console.web import Web, is_htmx
from cloud.console.words.acts import came_words
from cloud.console.words.alarms import what
from cloud.console.words.points import point_name, unit_of

CURVE_POINTS = 600
"""Most points of the curve: about one a pixel."""
ORDERS_READ = 5
BENEATH_SHOWN = 20
MOST_COMMENT = 1000
"""Characters of a comment."""
Back = Annotated[str, Form(max_length=500)]
Why = Annotated[str, Form(min_length=1, max_length=holding.MOST_WHY)]
Chosen = Annotated[str, Form(max_length=8)]


def router(pages: Web, alarms: AlarmsData, devices: DevicesData) -> APIRouter:
    """One alarm."""
    routes = APIRouter()
    looks = Annotated[Person, Depends(pages.signed_in)]
    acknowledges = Annotated[Person, Depends(pages.may(Action.ACKNOWLEDGE))]
    shelves = Annotated[Person, Depends(pages.may(Action.SHELVE))]
    rules = Annotated[Person, Depends(pages.may(Action.RULES))]

    async def found(person: Person, alarm_id: UUID) -> AlarmRow:
        row = await alarms.alarm(person, alarm_id)
        if row is None:
            raise HTTPException(404)
        return row

    async def view(request: Request, person: Person, row: AlarmRow) -> AlarmReport:
        doors: list[tuple[DeviceRow, Sequence[CommandRow]]] = [
            (door, await devices.commands(person, door.id, ORDERS_READ))
            for door in await alarms.doors_near(person, row)
        ]
        can_give = Action.ACKNOWLEDGE in row.allowed and row.state is not AlarmState.NORM
        return report(
            pages.voice(request),
            row,
            await devices.device(person, row.device_id) if row.device_id is not None else None,
            doors,
            await alarms.alarm_history(person, row.id),
            await alarms.alarm_comments(person, row.id),
            cause=await alarms.alarm(person, row.cause) if row.cause and row.state is AlarmState.DSUPR else None,
            beneath=await alarms.beneath(person, row.id, BENEATH_SHOWN) if row.beneath else (),
            told=await alarms.told(person, row.id),
            colleagues=await alarms.colleagues(person, row.id) if can_give else (),
        )

    def around(request: Request, person: Person) -> dict[str, Any]:
        return {
            "may_command": person.may(Action.COMMAND),
            "may_respond": person.may(Action.RESPOND),
            "may_dispatch": person.may(Action.DISPATCH),
            "reasons": holding.reasons(pages.voice(request)),
        }

    async def whole(request: Request, person: Person, row: AlarmRow, *, said: str = "", status: int = 200) -> Response:
        return await pages.page(
            request, person, "alarm/page.html", view=await view(request, person, row), said=said, status=status,
            **around(request, person),
        )  # fmt: skip

    @routes.get("/alarms/{alarm_id}")
    async def page(request: Request, alarm_id: UUID, person: looks) -> Response:
        return await whole(request, person, await found(person, alarm_id))

    @routes.get("/alarms/{alarm_id}/report")
    async def live(request: Request, alarm_id: UUID, person: looks) -> Response:
        row = await found(person, alarm_id)
        return pages.render(
            request, "alarm/report.html", view=await view(request, person, row),
            **around(request, person),
        )  # fmt: skip

    @routes.get("/alarms/{alarm_id}/curve")
    async def curve(request: Request, alarm_id: UUID, person: looks) -> Response:
        row = await found(person, alarm_id)
        if row.device_id is None or not (point := curve_point(row, await devices.device(person, row.device_id))):
            raise HTTPException(404)
        voice = pages.voice(request)
        window = curve_window(row, voice.now)
        drawn = chart(
            point_name(voice, row.kind, point),
            unit_of(row.kind, point),
            window,
            await devices.series(person, row.device_id, point, *window, CURVE_POINTS),
            limits(voice, row, point),
            (Mark(row.raised_at.timestamp(), what(voice, row)),),
        )
        return Response(msgspec.json.encode(drawn), media_type="application/json")

    async def done(request: Request, person: Person, alarm_id: UUID, act: Act, back: str = "") -> Response:
        """What the page says of an act. What cannot be done is said where nothing else would tell it."""
        came = await alarms.act(person, alarm_id, act)
        row = await alarms.alarm(person, alarm_id)
        if came.outcome is Outcome.MISSING or row is None:
            raise HTTPException(404)
        say = came_words(pages.voice(request), act, came, row)
        if came.outcome is Outcome.REFUSED and not is_htmx(request):
            return await whole(request, person, row, said=say, status=409)
        return pages.changed(request, local_path(back, f"/alarms/{alarm_id}"), "alarms", say=say)

    @routes.post("/alarms/{alarm_id}/acknowledge")
    async def acknowledge(request: Request, alarm_id: UUID, person: acknowledges, back: Back = "") -> Response:
        return await done(request, person, alarm_id, Acknowledge(), back)

    @routes.post("/alarms/{alarm_id}/undo")
    async def undo(request: Request, alarm_id: UUID, person: acknowledges, back: Back = "") -> Response:
        return await done(request, person, alarm_id, UndoAcknowledge(), back)

    @routes.post("/alarms/{alarm_id}/assign")
    async def assign(
        request: Request, alarm_id: UUID, person: acknowledges, to: Annotated[str, Form(max_length=20)] = ""
    ) -> Response:
        return await done(request, person, alarm_id, Assign(to or None))

    @routes.post("/alarms/{alarm_id}/comment")
    async def comment(
        request: Request,
        alarm_id: UUID,
        person: acknowledges,
        text: Annotated[str, Form(min_length=1, max_length=MOST_COMMENT)],
    ) -> Response:
        return await done(request, person, alarm_id, Say(text))

    @routes.post("/alarms/{alarm_id}/label")
    async def label(
        request: Request, alarm_id: UUID, person: acknowledges, label: Annotated[Label, Form()]
    ) -> Response:
        return await done(request, person, alarm_id, PutLabel(label))

    @routes.post("/alarms/{alarm_id}/shelve")
    async def shelve(request: Request, alarm_id: UUID, person: shelves, lasts: Chosen, why: Why) -> Response:
        ends = holding.shelf(pages.voice(request), await found(person, alarm_id), lasts)
        if ends is None:
            raise HTTPException(422)
        return await done(request, person, alarm_id, Shelve(ends, why))

    @routes.post("/alarms/{alarm_id}/unshelve")
    async def unshelve(request: Request, alarm_id: UUID, person: shelves) -> Response:
        return await done(request, person, alarm_id, Unshelve())

    @routes.post("/alarms/{alarm_id}/outage")
    async def outage(request: Request, alarm_id: UUID, person: rules, lasts: Chosen, why: Why) -> Response:
        if lasts not in holding.OUTAGES:
            raise HTTPException(422)
        return await done(request, person, alarm_id, TakeOutOfService(holding.OUTAGES[lasts], why))

    @routes.post("/alarms/{alarm_id}/return")
    async def give_back(request: Request, alarm_id: UUID, person: rules) -> Response:
        return await done(request, person, alarm_id, ReturnToService())

    return routes
