"""The console as one ASGI application: its screens, its stream, its files, its error pages."""

from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from zoneinfo import ZoneInfo

from fastapi import Depends, FastAPI
from starlette.responses import Response
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp, Scope

from cloud.console.alarm import routes as alarm
from cloud.console.alarms import routes as alarms
from cloud.console.alarms.data import AlarmsData
from cloud.console.command import routes as command
from cloud.console.data import DevicesData, GatewaysData, Identity, QuarantineData
from cloud.console.device import routes as device
from cloud.console.devices import routes as devices
from cloud.console.errors.handlers import add_handlers
from cloud.console.frame import routes as frame
from cloud.console.gateway import routes as gateway
from cloud.console.gateways import routes as gateways
from cloud.console.incident import routes as incident
from cloud.console.incidents import routes as incidents
from cloud.console.incidents.data import IncidentsData
from cloud.console.live import routes as live
from cloud.console.live.hub import Hub
from cloud.console.live.seats import Seats
from cloud.console.login import routes as login
from cloud.console.mobilisation import routes as mobilisation
from cloud.console.more import routes as more
from cloud.console.quarantine import routes as quarantine
from cloud.console.quick import routes as quick
from cloud.console.quick.data import QuickData
from cloud.console.rules import routes as rules
from cloud.console.rules.data import RulesData
from cloud.console.security import SecurityHeaders
from cloud.console.web import Web

STATIC = Path(__file__).parent / "static"
ZONE = ZoneInfo("Asia/Shanghai")


class StaticWithRevalidation(StaticFiles):
    """Static files that a browser asks about each time (304 mostly), so that a page never meets an older script."""

    async def get_response(self, path: str, scope: Scope) -> Response:
        """As StaticFiles, with the order to ask again."""
        response = await super().get_response(path, scope)
        response.headers["Cache-Control"] = "no-cache"
        return response


def console(
    identity: Identity,
    alarms_data: AlarmsData,
    devices_data: DevicesData,
    gateways_data: GatewaysData,
    quarantine_data: QuarantineData,
    rules_data: RulesData,
    hub: Hub,
    *,
    incidents_data: IncidentsData,
    quick_data: QuickData,
    https: bool,
    zone: ZoneInfo = ZONE,
    now: Callable[[], datetime] | None = None,
    beat_s: float = live.BEAT_S,
    seats: Seats | None = None,
) -> ASGIApp:
    """The console. Mount it last, at the root: it answers every address that nobody else does, with a page.

    `https` says whether browsers reach it that way (ANJU_PUBLIC_URL): cookies are then `Secure`.
    """
    pages = Web(identity, alarms_data, gateways_data, zone=zone, https=https, now=now)
    app = FastAPI(docs_url=None, redoc_url=None, openapi_url=None, dependencies=[Depends(pages.csrf.check)])
    app.mount("/static", StaticWithRevalidation(directory=STATIC), name="static")
    for router in (
        login.router(pages),
        frame.router(pages),
        more.router(pages),
        alarms.router(pages, alarms_data),
        alarm.router(pages, alarms_data, devices_data),
        incidents.router(pages, incidents_data),
        incident.router(pages, incidents_data, alarms_data),
        mobilisation.router(pages, incidents_data),
        quick.router(pages, quick_data),
        devices.router(pages, devices_data),
        device.router(pages, devices_data),
        command.router(pages, devices_data),
        gateways.router(pages, gateways_data),
        gateway.router(pages, gateways_data),
        quarantine.router(pages, quarantine_data),
        rules.router(pages, rules_data),
        live.router(pages, devices_data, hub, seats or Seats(), beat_s=beat_s),
    ):
        app.include_router(router)
    add_handlers(app, pages)
    # Around everything: FastAPI would put it inside of what answers a fault.
    return SecurityHeaders(app, https=https)
