"""Routes of one device: the page, its live part, its curve and the curve's table, which are dear, apart from it."""

from datetime import timedelta
from typing import Annotated

import msgspec
from fastapi import APIRouter, Depends, Query
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from cloud.console.chart import Mark, TableRow, chart, table
from cloud.console.data import Action, DeviceRow, DevicesData, Person
from cloud.console.device.view import DEFAULT_RANGE, DevicePage, Range, changes, curve, device_page, drawn_point, window
from cloud.console.web import DeviceId, Web
from cloud.console.words.points import is_telemetry, point_name, unit_of, value_words

CURVE_POINTS = 600
"""Most points of the curve: about one a pixel."""
TABLE_POINTS = 240
EVENTS_SHOWN = 20
EVENTS_READ = 400
"""States are repeated as a sign of life: of so many a few are changes."""
EVENTS_SINCE = timedelta(days=7)
ORDERS_SHOWN = 5


def router(pages: Web, devices: DevicesData) -> APIRouter:
    """One device."""
    routes = APIRouter()

    async def device(person: Person, device_id: int) -> DeviceRow:
        row = await devices.device(person, device_id)
        if row is None:
            raise HTTPException(404)
        return row

    async def view(
        request: Request, person: Person, row: DeviceRow, point: str, span: str, *, opened: bool
    ) -> DevicePage:
        voice = pages.voice(request)
        drawn = drawn_point(row, point)
        orders = await devices.commands(person, row.id, ORDERS_SHOWN)
        since = voice.now - EVENTS_SINCE
        read = await devices.events(person, row.id, since, EVENTS_READ, opened=opened)
        events = changes(row.kind, read, EVENTS_SHOWN)
        active = (await pages.standing(request, person)).active
        return device_page(voice, row, orders, events, curve(voice, row, drawn, span) if drawn else None, active)

    async def rows(request: Request, person: Person, row: DeviceRow, point: str, span: str) -> tuple[TableRow, ...]:
        voice = pages.voice(request)
        ends = window(voice.now, span)
        return table(voice, ends, await devices.series(person, row.id, point, *ends, TABLE_POINTS))

    @routes.get("/devices/{device_id}")
    async def page(
        request: Request,
        device_id: DeviceId,
        person: Annotated[Person, Depends(pages.signed_in)],
        point: str = "",
        span: Annotated[Range, Query(alias="range")] = DEFAULT_RANGE,
    ) -> Response:
        row = await device(person, device_id)
        drawn = drawn_point(row, point)
        return await pages.page(
            request,
            person,
            "device/page.html",
            view=await view(request, person, row, point, span, opened=True),
            figures=await rows(request, person, row, drawn, span) if drawn else (),
            whole=True,
            may_command=person.may(Action.COMMAND),
        )

    @routes.get("/devices/{device_id}/live")
    async def live(
        request: Request,
        device_id: DeviceId,
        person: Annotated[Person, Depends(pages.signed_in)],
        point: str = "",
        span: Annotated[Range, Query(alias="range")] = DEFAULT_RANGE,
    ) -> Response:
        shown = await view(request, person, await device(person, device_id), point, span, opened=False)
        may = person.may(Action.COMMAND)
        return pages.render(request, "device/live.html", view=shown, whole=False, may_command=may)

    @routes.get("/devices/{device_id}/figures")
    async def figures(
        request: Request,
        device_id: DeviceId,
        point: str,
        person: Annotated[Person, Depends(pages.signed_in)],
        span: Annotated[Range, Query(alias="range")] = DEFAULT_RANGE,
    ) -> Response:
        row = await device(person, device_id)
        if not is_telemetry(row.kind, point):
            raise HTTPException(404)
        drawn = curve(pages.voice(request), row, point, span)
        shown = await rows(request, person, row, point, span)
        return pages.render(request, "device/figures.html", curve=drawn, figures=shown)

    @routes.get("/devices/{device_id}/curve")
    async def drawn(
        request: Request,
        device_id: DeviceId,
        point: str,
        person: Annotated[Person, Depends(pages.signed_in)],
        span: Annotated[Range, Query(alias="range")] = DEFAULT_RANGE,
    ) -> Response:
        row = await device(person, device_id)
        if not is_telemetry(row.kind, point):
            raise HTTPException(404)
        voice = pages.voice(request)
        ends = window(voice.now, span)
        marks = tuple(
            Mark(
                event.at.timestamp(),
                value_words(voice, row.kind, event.point, event.value)
                if event.value is not None
                else point_name(voice, row.kind, event.point),
            )
            for event in changes(row.kind, await devices.events(person, device_id, ends[0], EVENTS_READ), EVENTS_SHOWN)
        )
        series = await devices.series(person, device_id, point, *ends, CURVE_POINTS)
        answer = chart(point_name(voice, row.kind, point), unit_of(row.kind, point), ends, series, marks=marks)
        return Response(msgspec.json.encode(answer), media_type="application/json")

    return routes
