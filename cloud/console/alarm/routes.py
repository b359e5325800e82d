"""Routes of one alarm: the report, its live part, its curve, and the acknowledgement."""

from collections.abc import Sequence
from typing import Annotated
from uuid import UUID

import msgspec
from fastapi import APIRouter, Depends, Form
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from cloud.console.alarm.view import AlarmReport, curve_point, curve_window, limits, report
from cloud.console.chart import Mark, chart
from cloud.console.data import (
    Acknowledged,
    Action,
    AlarmsData,
    AlarmState,
    CommandRow,
    DeviceRow,
    DevicesData,
    Person,
)
from cloud.console.security import local_path
from cloud.console.web import Web
from cloud.console.words.alarms import what
from cloud.console.words.points import point_name, unit_of

CURVE_POINTS = 600
"""Most points of the curve: about one a pixel."""
ORDERS_READ = 5


def router(pages: Web, alarms: AlarmsData, devices: DevicesData) -> APIRouter:
    """One alarm."""
    routes = APIRouter()

    async def view(request: Request, person: Person, alarm_id: UUID) -> AlarmReport:
        row = await alarms.alarm(person, alarm_id)
        if row is None:
            raise HTTPException(404)
        device = await devices.device(person, row.device_id)
        doors: list[tuple[DeviceRow, Sequence[CommandRow]]] = [
            (door, await devices.commands(person, door.id, ORDERS_READ))
            for door in await alarms.doors_near(person, row)
        ]
        return report(pages.voice(request), row, device, doors, await alarms.alarm_history(person, alarm_id))

    def rights(person: Person) -> dict[str, bool]:
        return {"may_acknowledge": person.may(Action.ACKNOWLEDGE), "may_command": person.may(Action.COMMAND)}

    @routes.get("/alarms/{alarm_id}")
    async def page(request: Request, alarm_id: UUID, person: Annotated[Person, Depends(pages.signed_in)]) -> Response:
        return await pages.page(
            request, person, "alarm/page.html", view=await view(request, person, alarm_id), **rights(person)
        )

    @routes.get("/alarms/{alarm_id}/report")
    async def live(request: Request, alarm_id: UUID, person: Annotated[Person, Depends(pages.signed_in)]) -> Response:
        return pages.render(request, "alarm/report.html", view=await view(request, person, alarm_id), **rights(person))

    @routes.get("/alarms/{alarm_id}/curve")
    async def curve(request: Request, alarm_id: UUID, person: Annotated[Person, Depends(pages.signed_in)]) -> Response:
        row = await alarms.alarm(person, alarm_id)
        point = curve_point(row, await devices.device(person, row.device_id)) if row else ""
        if row is None or not point:
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

    @routes.post("/alarms/{alarm_id}/acknowledge")
    async def acknowledge(
        request: Request,
        alarm_id: UUID,
        person: Annotated[Person, Depends(pages.may(Action.ACKNOWLEDGE))],
        back: Annotated[str, Form()] = "",
    ) -> Response:
        came = await alarms.acknowledge(person, alarm_id)
        if came is Acknowledged.MISSING:
            raise HTTPException(404)
        t = pages.voice(request).t
        if came is Acknowledged.ALREADY:
            say = t("Somebody was quicker, or the alarm has ended; nothing was changed.")
        elif (row := await alarms.alarm(person, alarm_id)) and row.state is AlarmState.NORM:
            say = t("Acknowledged. The device was back to normal, so the alarm has ended.")
        else:
            say = t("Acknowledged. The alarm stays until the device returns to normal.")
        return pages.changed(request, local_path(back, f"/alarms/{alarm_id}"), "alarms", say=say)

    return routes
