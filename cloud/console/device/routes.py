"""Routes of one device: the page, its live part, its curve."""

from datetime import timedelta
from typing import Annotated

import msgspec
from fastapi import APIRouter, Depends, Query
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from cloud.console.chart import Mark, chart, table
from cloud.console.data import Action, DevicesData, Person
from cloud.console.device.view import DEFAULT_RANGE, DevicePage, Range, curve, device_page, drawn_point, window
from cloud.console.web import Web
from cloud.console.words.points import is_telemetry, point_name, unit_of, value_words

CURVE_POINTS = 600
"""Most points of the curve: about one a pixel."""
TABLE_POINTS = 240
EVENTS_SHOWN = 20
EVENTS_SINCE = timedelta(days=7)
ORDERS_SHOWN = 5


def router(pages: Web, devices: DevicesData) -> APIRouter:
    """One device."""
    routes = APIRouter()

    async def view(request: Request, person: Person, device_id: int, point: str, span: str) -> DevicePage:
        row = await devices.device(person, device_id)
        if row is None:
            raise HTTPException(404)
        voice = pages.voice(request)
        drawn = drawn_point(row, point)
        shown = None
        if drawn:
            ends = window(voice.now, span)
            series = await devices.series(person, device_id, drawn, *ends, TABLE_POINTS)
            shown = curve(voice, row, drawn, span, table(voice, ends, series))
        orders = await devices.commands(person, device_id, ORDERS_SHOWN)
        events = await devices.events(person, device_id, voice.now - EVENTS_SINCE, EVENTS_SHOWN)
        return device_page(voice, row, orders, events, shown)

    @routes.get("/devices/{device_id}")
    async def page(
        request: Request,
        device_id: int,
        person: Annotated[Person, Depends(pages.signed_in)],
        point: str = "",
        span: Annotated[Range, Query(alias="range")] = DEFAULT_RANGE,
    ) -> Response:
        shown = await view(request, person, device_id, point, span)
        return await pages.page(request, person, "device/page.html", view=shown, may_command=person.may(Action.COMMAND))

    @routes.get("/devices/{device_id}/live")
    async def live(
        request: Request,
        device_id: int,
        person: Annotated[Person, Depends(pages.signed_in)],
        point: str = "",
        span: Annotated[Range, Query(alias="range")] = DEFAULT_RANGE,
    ) -> Response:
        shown = await view(request, person, device_id, point, span)
        return pages.render(request, "device/live.html", view=shown, may_command=person.may(Action.COMMAND))

    @routes.get("/devices/{device_id}/curve")
    async def drawn(
        request: Request,
        device_id: int,
        point: str,
        person: Annotated[Person, Depends(pages.signed_in)],
        span: Annotated[Range, Query(alias="range")] = DEFAULT_RANGE,
    ) -> Response:
        row = await devices.device(person, device_id)
        if row is None or not is_telemetry(row.kind, point):
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
            for event in await devices.events(person, device_id, ends[0], EVENTS_SHOWN)
        )
        series = await devices.series(person, device_id, point, *ends, CURVE_POINTS)
        answer = chart(point_name(voice, row.kind, point), unit_of(row.kind, point), ends, series, marks=marks)
        return Response(msgspec.json.encode(answer), media_type="application/json")

    return routes
